package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bijou"
)

// RequestReset implements bijou.ResetStore.
func (m *Members) RequestReset(ctx context.Context, r bijou.ResetRequest) error {
	return m.s.tx(ctx, "request reset", func(t *tx) error {
		if err := t.lock(lostRow("reset_bound"), `SELECT 1 FROM reset_bound FOR UPDATE`); err != nil {
			return err
		}
		var known bool
		var count int
		err := t.scan(into(&known, &count), `SELECT EXISTS (SELECT 1 FROM reset_requests WHERE email = ?), (SELECT COUNT(*) FROM reset_requests)`, r.Email)
		if err != nil || known {
			return err
		}
		if count >= bijou.MaxResetRequests {
			return fmt.Errorf("%d reset links wait to be sent: try again later: %w", bijou.MaxResetRequests, bijou.Exhausted)
		}
		_, err = t.exec(`INSERT INTO reset_requests (email, asked_us, next_us, tries) VALUES (?, ?, ?, ?)`, r.Email, micros(r.Asked), micros(r.Next), r.Tries)
		return err
	})
}

// ResetRequests implements bijou.ResetStore.
func (m *Members) ResetRequests(ctx context.Context, now time.Time, limit int) ([]bijou.ResetRequest, error) {
	return rows(ctx, m.s, "list reset requests", func(scan func(...any) error, r *bijou.ResetRequest) error {
		var asked, next int64
		err := scan(&r.Email, &asked, &next, &r.Tries)
		r.Asked, r.Next = fromMicros(asked), fromMicros(next)
		return err
	}, `SELECT email, asked_us, next_us, tries FROM reset_requests WHERE next_us <= ? ORDER BY next_us, email LIMIT ?`, micros(now), max(limit, 0))
}

// PostponeReset implements bijou.ResetStore.
func (m *Members) PostponeReset(ctx context.Context, r bijou.ResetRequest) error {
	return m.s.put(ctx, "postpone reset", `UPDATE reset_requests SET next_us = ?, tries = ? WHERE email = ?`, micros(r.Next), r.Tries, r.Email)
}

// FinishReset implements bijou.ResetStore.
func (m *Members) FinishReset(ctx context.Context, email string) error {
	return m.s.put(ctx, "finish reset", `DELETE FROM reset_requests WHERE email = ?`, email)
}

// PutReset implements bijou.ResetStore.
func (m *Members) PutReset(ctx context.Context, r bijou.Reset) error {
	return m.s.tx(ctx, "put reset", func(t *tx) error {
		if err := t.lockAccount(r.Account, "put reset"); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO resets (token_hash, account, expires_us) VALUES (?, ?, ?)
			ON DUPLICATE KEY UPDATE token_hash = VALUES(token_hash), expires_us = VALUES(expires_us)`, r.TokenHash, r.Account, micros(r.Expires))
		return err
	})
}

// Reset implements bijou.ResetStore.
func (m *Members) Reset(ctx context.Context, tokenHash string, now time.Time) (a bijou.Account, err error) {
	var created int64
	err = m.s.row(ctx, "find reset", into(&a.ID, &a.Email, &created),
		`SELECT a.id, a.email, a.created_us FROM resets r JOIN accounts a ON a.id = r.account WHERE r.token_hash = ? AND r.expires_us > ?`, tokenHash, micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return a, errNoReset
	}
	a.Created = fromMicros(created)
	return a, err
}

var errNoReset = fmt.Errorf("the reset link is unknown, used or too old: %w", bijou.NotFound)

// UseReset implements bijou.ResetStore.
func (m *Members) UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error {
	var id bijou.AccountID // stays known where an earlier try used the link up
	return m.s.tx(ctx, "use reset", func(t *tx) error {
		err := t.scan(into(&id), `SELECT account FROM resets WHERE token_hash = ? AND expires_us > ?`, tokenHash, micros(now))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		err = t.lock(errNoReset, `SELECT 1 FROM accounts WHERE id = ? FOR UPDATE`, id)
		if err != nil {
			return err
		}
		// Of many who wait for the account one finds the link still there.
		if n, err := t.exec(`DELETE FROM resets WHERE token_hash = ? AND account = ? AND expires_us > ?`, tokenHash, id, micros(now)); err != nil {
			return err
		} else if n == 0 {
			return t.unless(errNoReset, "accounts", id)
		}
		return setPassword(t, id, passwordHash, "")
	})
}
