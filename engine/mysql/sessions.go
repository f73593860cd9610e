package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"bijou"
)

const sessionColumns = `id, token_hash, account, profile, created_us, seen_us, expires_us, issued_us, COALESCE(old_hash, ''), old_until_us, device, address`

func scanSession(scan func(...any) error, s *bijou.MemberSession) error {
	var created, seen, expires, issued, oldUntil int64
	err := scan(&s.ID, &s.TokenHash, &s.Account, &s.Profile, &created, &seen, &expires, &issued, &s.OldHash, &oldUntil, &s.Device, &s.Address)
	s.Created, s.Seen, s.Expires, s.Issued = fromMicros(created), fromMicros(seen), fromMicros(expires), fromMicros(issued)
	if oldUntil != 0 {
		s.OldUntil = fromMicros(oldUntil)
	}
	return err
}

// endedAtOnce bounds how many sessions that have ended go when a new one comes, so that nobody waits long for it.
const endedAtOnce = 100

// OpenSession implements bijou.SessionStore. Sessions that have ended go as new ones come.
func (m *Members) OpenSession(ctx context.Context, s bijou.MemberSession) error {
	return m.s.tx(ctx, "open session", func(t *tx) error {
		if err := t.lockAccount(s.Account, "open session"); err != nil {
			return err
		}
		surplus, err := collect(identifier[bijou.SignInID])(t.conn.QueryContext(t.ctx, `SELECT id FROM sessions WHERE account = ? AND id <> ?
			ORDER BY seen_us DESC, id LIMIT ? OFFSET ?`, s.Account, s.ID, math.MaxInt32, bijou.MaxSessions-1))
		if err != nil {
			return err
		}
		for _, id := range surplus {
			if _, err := t.exec(`DELETE FROM sessions WHERE id = ?`, id); err != nil {
				return err
			}
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE expires_us <= ? ORDER BY expires_us LIMIT ?`, micros(s.Created), endedAtOnce); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO sessions (id, token_hash, account, profile, created_us, seen_us, expires_us, issued_us, old_hash, old_until_us, device, address, by_call)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULLIF(?, ''), ?, ?, ?, ?)`, s.ID, s.TokenHash, s.Account, s.Profile, micros(s.Created), micros(s.Seen),
			micros(s.Expires), micros(s.Issued), s.OldHash, orZero(s.OldUntil), s.Device, s.Address, t.call)
		if duplicate(err) {
			return t.unless(fmt.Errorf("open session: %s or its token is taken: %w", s.ID, bijou.Conflict), "sessions", s.ID)
		}
		return err
	})
}

// Session implements bijou.SessionStore. A look-up each for the token and the old token: one with OR might read all sessions.
func (m *Members) Session(ctx context.Context, tokenHash string, now time.Time) (bijou.MemberSession, error) {
	all, err := rows(ctx, m.s, "find session", scanSession,
		`SELECT `+sessionColumns+` FROM sessions WHERE token_hash = ? AND expires_us > ? UNION ALL
		SELECT `+sessionColumns+` FROM sessions WHERE old_hash = ? AND (old_until_us = 0 OR old_until_us > ?) AND expires_us > ? LIMIT 1`,
		tokenHash, micros(now), tokenHash, micros(now), micros(now))
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the session is unknown or has ended: %w", bijou.NotFound)
	}
	if err != nil {
		return bijou.MemberSession{}, err
	}
	return all[0], nil
}

// Sessions implements bijou.SessionStore.
func (m *Members) Sessions(ctx context.Context, id bijou.AccountID, now time.Time) ([]bijou.MemberSession, error) {
	return rows(ctx, m.s, "list sessions", scanSession,
		`SELECT `+sessionColumns+` FROM sessions WHERE account = ? AND expires_us > ? ORDER BY seen_us DESC, id`, id, micros(now))
}

// NoteSession implements bijou.SessionStore.
func (m *Members) NoteSession(ctx context.Context, s bijou.MemberSession) error {
	return m.s.put(ctx, "note session", `UPDATE sessions SET seen_us = ?, old_until_us = ? WHERE id = ? AND token_hash = ?`,
		micros(s.Seen), orZero(s.OldUntil), s.ID, s.TokenHash)
}

// RotateSession implements bijou.SessionStore.
func (m *Members) RotateSession(ctx context.Context, from, to string, now, lost time.Time) error {
	newer := fmt.Errorf("the session has a newer token already: %w", bijou.Conflict)
	return m.s.tx(ctx, "rotate session", func(t *tx) error {
		var id bijou.SignInID
		err := t.scan(into(&id), `SELECT id FROM sessions WHERE token_hash = ? UNION ALL SELECT id FROM sessions WHERE old_hash = ? LIMIT 1`, from, from)
		if errors.Is(err, sql.ErrNoRows) {
			return newer
		}
		if err != nil {
			return err
		}
		// Of many who wait for the row one still finds it as it was.
		n, err := t.exec(`UPDATE sessions SET token_hash = ?, old_hash = ?, old_until_us = 0, issued_us = ?, by_call = ?
			WHERE id = ? AND (token_hash = ? OR old_hash = ? AND old_until_us = 0 AND issued_us < ?)`, to, from, micros(now), t.call, id, from, from, micros(lost))
		if err == nil && n == 0 {
			return t.unless(newer, "sessions", id)
		}
		return err
	})
}

// ChooseProfile implements bijou.SessionStore.
func (m *Members) ChooseProfile(ctx context.Context, id bijou.SignInID, profile bijou.ProfileID) error {
	return m.s.change(ctx, "choose profile", fmt.Errorf("choose profile: there is no sign-in %s: %w", id, bijou.NotFound),
		`UPDATE sessions SET profile = ? WHERE id = ?`, profile, id)
}

// CloseSessions implements bijou.SessionStore.
func (m *Members) CloseSessions(ctx context.Context, account bijou.AccountID, only, except bijou.SignInID) (closed int, err error) {
	err = m.s.tx(ctx, "close sessions", func(t *tx) error {
		n, err := t.exec(`DELETE FROM sessions WHERE account = ? AND (? = '' OR id = ?) AND id <> ?`, account, only, only, except)
		closed = max(closed, int(n)) // where an earlier try was committed, it found them
		return err
	})
	return closed, err
}
