package mysql

import (
	"context"
	"sync/atomic"
	"time"

	"bijou"
)

// Steering implements bijou.ApplianceStore and bijou.RevocationStore.
type Steering struct {
	s   *schema
	now atomic.Int64 // that Revocations was asked for last, in microseconds since 1970
}

// Steering returns the store of what operators want of appliances.
func (d *Database) Steering() *Steering { return &Steering{s: d.schema("steering")} }

// WantAppliance implements bijou.ApplianceStore.
func (s *Steering) WantAppliance(ctx context.Context, id bijou.ApplianceID, state bijou.ApplianceState) error {
	return s.s.put(ctx, "keep the state of an appliance", `INSERT INTO wanted (appliance, state) VALUES (?, ?) ON DUPLICATE KEY UPDATE state = VALUES(state)`, id, state)
}

// WantedAppliances implements bijou.ApplianceStore.
func (s *Steering) WantedAppliances(ctx context.Context) (map[bijou.ApplianceID]bijou.ApplianceState, error) {
	type wanted struct {
		id    bijou.ApplianceID
		state bijou.ApplianceState
	}
	list, err := rows(ctx, s.s, "list the states of appliances", func(scan func(...any) error, w *wanted) error { return scan(&w.id, &w.state) },
		`SELECT appliance, state FROM wanted`)
	if err != nil {
		return nil, err
	}
	out := map[bijou.ApplianceID]bijou.ApplianceState{}
	for _, w := range list {
		out[w.id] = w.state
	}
	return out, nil
}

// revocationsKept is how long a revocation stays after its end, for clocks that are set back.
const revocationsKept = 24 * time.Hour

// Revoke implements bijou.RevocationStore. It removes those that ended long ago.
func (s *Steering) Revoke(ctx context.Context, r bijou.Revocation) error {
	return s.s.tx(ctx, "revoke a grant", func(t *tx) error {
		if _, err := t.exec(`DELETE FROM revocations WHERE until_us < ?`, s.now.Load()-revocationsKept.Microseconds()); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO revocations (session, until_us) VALUES (?, ?) ON DUPLICATE KEY UPDATE until_us = GREATEST(until_us, VALUES(until_us))`,
			r.Session, micros(r.Until))
		return err
	})
}

// Revoked implements bijou.RevocationStore.
func (s *Steering) Revoked(ctx context.Context, id bijou.SessionID, now time.Time) (revoked bool, err error) {
	err = s.s.row(ctx, "find a revocation", into(&revoked), `SELECT EXISTS (SELECT 1 FROM revocations WHERE session = ? AND until_us > ?)`, id, micros(now))
	return revoked, err
}

// Revocations implements bijou.RevocationStore.
func (s *Steering) Revocations(ctx context.Context, now time.Time) ([]bijou.Revocation, error) {
	s.now.Store(micros(now))
	return rows(ctx, s.s, "list revocations", func(scan func(...any) error, r *bijou.Revocation) error {
		var until int64
		err := scan(&r.Session, &until)
		r.Until = fromMicros(until)
		return err
	}, `SELECT session, until_us FROM revocations WHERE until_us > ? ORDER BY session`, micros(now))
}
