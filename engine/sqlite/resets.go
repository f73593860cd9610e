package sqlite

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
	return m.d.tx(ctx, "request reset", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO reset_requests (email, asked_us, next_us, tries)
			SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM reset_requests) < ?5 OR EXISTS (SELECT 1 FROM reset_requests WHERE email = ?1)
			ON CONFLICT (email) DO UPDATE SET tries = tries`, r.Email, micros(r.Asked), micros(r.Next), r.Tries, bijou.MaxResetRequests)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%d reset links wait to be sent: try again later: %w", bijou.MaxResetRequests, bijou.Exhausted))
		}
		return nil
	})
}

// ResetRequests implements bijou.ResetStore.
func (m *Members) ResetRequests(ctx context.Context, now time.Time, limit int) ([]bijou.ResetRequest, error) {
	rs, err := rows(ctx, m.d, m.d.read, func(scan func(...any) error, r *bijou.ResetRequest) error {
		var asked, next int64
		err := scan(&r.Email, &asked, &next, &r.Tries)
		r.Asked, r.Next = fromMicros(asked), fromMicros(next)
		return err
	}, `SELECT email, asked_us, next_us, tries FROM reset_requests WHERE next_us <= ? ORDER BY next_us, email LIMIT ?`, micros(now), max(limit, 0))
	if err != nil {
		return nil, m.d.failure("list reset requests", err)
	}
	return rs, nil
}

// PostponeReset implements bijou.ResetStore.
func (m *Members) PostponeReset(ctx context.Context, r bijou.ResetRequest) error {
	if _, err := m.d.exec(ctx, `UPDATE reset_requests SET next_us = ?, tries = ? WHERE email = ?`, micros(r.Next), r.Tries, r.Email); err != nil {
		return m.d.failure("postpone reset", err)
	}
	return nil
}

// FinishReset implements bijou.ResetStore.
func (m *Members) FinishReset(ctx context.Context, email string) error {
	if _, err := m.d.exec(ctx, `DELETE FROM reset_requests WHERE email = ?`, email); err != nil {
		return m.d.failure("finish reset", err)
	}
	return nil
}

// PutReset implements bijou.ResetStore.
func (m *Members) PutReset(ctx context.Context, r bijou.Reset) error {
	n, err := m.d.exec(ctx, `INSERT INTO resets (token_hash, account, expires_us) SELECT ?, id, ? FROM accounts WHERE id = ?
		ON CONFLICT (account) DO UPDATE SET token_hash = excluded.token_hash, expires_us = excluded.expires_us`, r.TokenHash, micros(r.Expires), r.Account)
	return m.changed(n, err, "put reset", "there is no account %s", r.Account)
}

// Reset implements bijou.ResetStore.
func (m *Members) Reset(ctx context.Context, tokenHash string, now time.Time) (a bijou.Account, err error) {
	var created int64
	err = m.d.row(ctx, func(scan func(...any) error) error { return scan(&a.ID, &a.Email, &created) },
		`SELECT a.id, a.email, a.created_us FROM resets r JOIN accounts a ON a.id = r.account WHERE r.token_hash = ? AND r.expires_us > ?`, tokenHash, micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return a, noReset()
	}
	if err != nil {
		return a, m.d.failure("find reset", err)
	}
	a.Created = fromMicros(created)
	return a, nil
}

func noReset() error {
	return fmt.Errorf("the reset link is unknown, used or too old: %w", bijou.NotFound)
}

// UseReset implements bijou.ResetStore.
func (m *Members) UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error {
	return m.d.tx(ctx, "use reset", func(tx *sql.Tx) error {
		var id bijou.AccountID
		err := tx.QueryRowContext(ctx, `SELECT account FROM resets WHERE token_hash = ? AND expires_us > ?`, tokenHash, micros(now)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return noReset()
		}
		if err != nil {
			return err
		}
		return setPassword(ctx, tx, id, passwordHash, "")
	})
}
