package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bijou"
)

const sessionColumns = `id, token_hash, account, profile, created_us, seen_us, expires_us, issued_us, old_hash, old_until_us, device, address`

func scanSession(scan func(...any) error, s *bijou.MemberSession) error {
	var created, seen, expires, issued, oldUntil int64
	err := scan(&s.ID, &s.TokenHash, &s.Account, &s.Profile, &created, &seen, &expires, &issued, &s.OldHash, &oldUntil, &s.Device, &s.Address)
	s.Created, s.Seen, s.Expires, s.Issued = fromMicros(created), fromMicros(seen), fromMicros(expires), fromMicros(issued)
	if oldUntil != 0 {
		s.OldUntil = fromMicros(oldUntil)
	}
	return err
}

// orZero is micros, with 0 for no time at all.
func orZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

// OpenSession implements bijou.SessionStore. Sessions that have ended go as new ones come.
func (m *Members) OpenSession(ctx context.Context, s bijou.MemberSession) error {
	return m.d.tx(ctx, "open session", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE expires_us <= ?`, micros(s.Created)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE id IN
			(SELECT id FROM sessions WHERE account = ? ORDER BY seen_us DESC, id LIMIT -1 OFFSET ?)`, s.Account, bijou.MaxSessions-1); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO sessions (`+sessionColumns+`)
			SELECT ?, ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM accounts WHERE id = ?`, s.ID, s.TokenHash, s.Profile, micros(s.Created), micros(s.Seen),
			micros(s.Expires), micros(s.Issued), s.OldHash, orZero(s.OldUntil), s.Device, s.Address, s.Account)
		return oneRow(res, err, "open session: there is no account %s", s.Account)
	})
}

// Session implements bijou.SessionStore.
func (m *Members) Session(ctx context.Context, tokenHash string, now time.Time) (s bijou.MemberSession, err error) {
	err = m.d.row(ctx, func(scan func(...any) error) error { return scanSession(scan, &s) }, `SELECT `+sessionColumns+` FROM sessions
		WHERE (token_hash = ?1 OR old_hash = ?1 AND old_hash <> '' AND (old_until_us = 0 OR old_until_us > ?2)) AND expires_us > ?2`, tokenHash, micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("the session is unknown or has ended: %w", bijou.NotFound)
	}
	if err != nil {
		return s, m.d.failure("find session", err)
	}
	return s, nil
}

// Sessions implements bijou.SessionStore.
func (m *Members) Sessions(ctx context.Context, id bijou.AccountID, now time.Time) ([]bijou.MemberSession, error) {
	all, err := rows(ctx, m.d, m.d.read, scanSession,
		`SELECT `+sessionColumns+` FROM sessions WHERE account = ? AND expires_us > ? ORDER BY seen_us DESC, id`, id, micros(now))
	if err != nil {
		return nil, m.d.failure("list sessions", err)
	}
	return all, nil
}

// NoteSession implements bijou.SessionStore.
func (m *Members) NoteSession(ctx context.Context, s bijou.MemberSession) error {
	if _, err := m.d.exec(ctx, `UPDATE sessions SET seen_us = ?, old_until_us = ? WHERE id = ? AND token_hash = ?`,
		micros(s.Seen), orZero(s.OldUntil), s.ID, s.TokenHash); err != nil {
		return m.d.failure("note session", err)
	}
	return nil
}

// RotateSession implements bijou.SessionStore.
func (m *Members) RotateSession(ctx context.Context, from, to string, now, lost time.Time) error {
	n, err := m.d.exec(ctx, `UPDATE sessions SET token_hash = ?2, old_hash = ?1, old_until_us = 0, issued_us = ?3
		WHERE token_hash = ?1 OR old_hash = ?1 AND old_until_us = 0 AND issued_us < ?4`, from, to, micros(now), micros(lost))
	if err != nil {
		return m.d.failure("rotate session", err)
	}
	if n == 0 {
		return fmt.Errorf("the session has a newer token already: %w", bijou.Conflict)
	}
	return nil
}

// ChooseProfile implements bijou.SessionStore.
func (m *Members) ChooseProfile(ctx context.Context, id bijou.SignInID, profile bijou.ProfileID) error {
	n, err := m.d.exec(ctx, `UPDATE sessions SET profile = ? WHERE id = ?`, profile, id)
	return m.changed(n, err, "choose profile", "there is no sign-in %s", id)
}

// CloseSessions implements bijou.SessionStore.
func (m *Members) CloseSessions(ctx context.Context, account bijou.AccountID, only, except bijou.SignInID) (int, error) {
	n, err := m.d.exec(ctx, `DELETE FROM sessions WHERE account = ?1 AND (?2 = '' OR id = ?2) AND id <> ?3`, account, only, except)
	if err != nil {
		return 0, m.d.failure("close sessions", err)
	}
	return int(n), nil
}
