package sqlite

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"bijou"
)

// Steering implements bijou.ApplianceStore and bijou.RevocationStore on one file.
type Steering struct {
	d   *db
	now atomic.Int64 // that Revocations was asked for last, in microseconds since 1970
}

// OpenSteering opens the file as OpenMembers does.
func OpenSteering(ctx context.Context, path string) (*Steering, error) {
	d, err := open(ctx, path, "steering")
	if err != nil {
		return nil, err
	}
	return &Steering{d: d}, nil
}

// Close lets go of the file.
func (s *Steering) Close() error { return s.d.close() }

// WantAppliance implements bijou.ApplianceStore.
func (s *Steering) WantAppliance(ctx context.Context, id bijou.ApplianceID, state bijou.ApplianceState) error {
	if _, err := s.d.exec(ctx, `INSERT OR REPLACE INTO wanted (appliance, state) VALUES (?, ?)`, id, state); err != nil {
		return s.d.failure("keep the state of an appliance", err)
	}
	return nil
}

// WantedAppliances implements bijou.ApplianceStore.
func (s *Steering) WantedAppliances(ctx context.Context) (map[bijou.ApplianceID]bijou.ApplianceState, error) {
	type wanted struct {
		id    bijou.ApplianceID
		state bijou.ApplianceState
	}
	list, err := rows(ctx, s.d, s.d.read, func(scan func(...any) error, w *wanted) error { return scan(&w.id, &w.state) }, `SELECT appliance, state FROM wanted`)
	if err != nil {
		return nil, s.d.failure("list the states of appliances", err)
	}
	out := map[bijou.ApplianceID]bijou.ApplianceState{}
	for _, w := range list {
		out[w.id] = w.state
	}
	return out, nil
}

// revocationsKept is how long a revocation stays in the file after its end, for clocks that are set back.
const revocationsKept = 24 * time.Hour

// Revoke implements bijou.RevocationStore. It removes those that ended long ago.
func (s *Steering) Revoke(ctx context.Context, r bijou.Revocation) error {
	return s.d.tx(ctx, "revoke a grant", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM revocations WHERE until_us < ?`, s.now.Load()-revocationsKept.Microseconds()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO revocations (session, until_us) VALUES (?, ?)
			ON CONFLICT (session) DO UPDATE SET until_us = max(until_us, excluded.until_us)`, r.Session, micros(r.Until))
		return err
	})
}

// Revoked implements bijou.RevocationStore.
func (s *Steering) Revoked(ctx context.Context, id bijou.SessionID, now time.Time) (revoked bool, err error) {
	err = s.d.row(ctx, func(scan func(...any) error) error { return scan(&revoked) },
		`SELECT EXISTS (SELECT 1 FROM revocations WHERE session = ? AND until_us > ?)`, id, micros(now))
	if err != nil {
		return false, s.d.failure("find a revocation", err)
	}
	return revoked, nil
}

// Revocations implements bijou.RevocationStore.
func (s *Steering) Revocations(ctx context.Context, now time.Time) ([]bijou.Revocation, error) {
	s.now.Store(micros(now))
	list, err := rows(ctx, s.d, s.d.read, func(scan func(...any) error, r *bijou.Revocation) error {
		var until int64
		err := scan(&r.Session, &until)
		r.Until = fromMicros(until)
		return err
	}, `SELECT session, until_us FROM revocations WHERE until_us > ? ORDER BY session`, micros(now))
	if err != nil {
		return nil, s.d.failure("list revocations", err)
	}
	return list, nil
}
