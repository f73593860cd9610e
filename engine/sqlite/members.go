package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bijou"
)

// Members implements bijou.AccountStore and bijou.ProfileStore on one file.
type Members struct{ d *db }

// OpenMembers opens the file, and makes it where it is missing. It fails with Unsupported for a file of a newer version,
// with Corrupt for one that is no database, and with Unavailable for one that cannot be written.
func OpenMembers(ctx context.Context, path string) (*Members, error) {
	d, err := open(ctx, path, "members")
	if err != nil {
		return nil, err
	}
	return &Members{d}, nil
}

// Close lets go of the file.
func (m *Members) Close() error { return m.d.close() }

// CreateAccount implements bijou.AccountStore.
func (m *Members) CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error {
	_, err := m.d.exec(ctx, `INSERT INTO accounts (id, email, password_hash, created_us) VALUES (?, ?, ?, ?)`,
		a.ID, a.Email, passwordHash, micros(a.Created))
	if unique(err) {
		return fmt.Errorf("create account: %s or %s is taken: %w", a.Email, a.ID, bijou.Conflict)
	}
	if err != nil {
		return m.d.failure("create account", err)
	}
	return nil
}

// Account implements bijou.AccountStore.
func (m *Members) Account(ctx context.Context, id bijou.AccountID) (bijou.Account, error) {
	a, _, err := m.account(ctx, "id", string(id))
	return a, err
}

// Credentials implements bijou.AccountStore.
func (m *Members) Credentials(ctx context.Context, email string) (bijou.Account, string, error) {
	return m.account(ctx, "email", email)
}

// account finds an account by the column id or email.
func (m *Members) account(ctx context.Context, column, value string) (a bijou.Account, hash string, err error) {
	var created int64
	err = m.d.row(ctx, func(scan func(...any) error) error { return scan(&a.ID, &a.Email, &hash, &created) },
		`SELECT id, email, password_hash, created_us FROM accounts WHERE `+column+` = ?`, value)
	if errors.Is(err, sql.ErrNoRows) {
		return a, "", fmt.Errorf("no account has %s %s: %w", column, value, bijou.NotFound)
	}
	if err != nil {
		return a, "", m.d.failure("find account", err)
	}
	a.Created = fromMicros(created)
	return a, hash, nil
}

// OpenSession implements bijou.AccountStore. Sessions that have ended go as new ones come.
func (m *Members) OpenSession(ctx context.Context, s bijou.MemberSession) error {
	return m.d.tx(ctx, "open session", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE expires_us <= ?`, micros(s.Created)); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO sessions (token_hash, account, profile, created_us, expires_us)
			SELECT ?, id, ?, ?, ? FROM accounts WHERE id = ?`, s.TokenHash, s.Profile, micros(s.Created), micros(s.Expires), s.Account)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("open session: there is no account %s: %w", s.Account, bijou.NotFound))
		}
		return nil
	})
}

// Session implements bijou.AccountStore.
func (m *Members) Session(ctx context.Context, tokenHash string, now time.Time) (s bijou.MemberSession, err error) {
	var created, expires int64
	err = m.d.row(ctx, func(scan func(...any) error) error {
		return scan(&s.TokenHash, &s.Account, &s.Profile, &created, &expires)
	},
		`SELECT token_hash, account, profile, created_us, expires_us FROM sessions WHERE token_hash = ? AND expires_us > ?`, tokenHash, micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("the session is unknown or has ended: %w", bijou.NotFound)
	}
	if err != nil {
		return s, m.d.failure("find session", err)
	}
	s.Created, s.Expires = fromMicros(created), fromMicros(expires)
	return s, nil
}

// CloseSession implements bijou.AccountStore.
func (m *Members) CloseSession(ctx context.Context, tokenHash string) error {
	if _, err := m.d.exec(ctx, `DELETE FROM sessions WHERE token_hash = ?`, tokenHash); err != nil {
		return m.d.failure("close session", err)
	}
	return nil
}

// CreateProfile implements bijou.ProfileStore.
func (m *Members) CreateProfile(ctx context.Context, p bijou.Profile) error {
	_, err := m.d.exec(ctx, `INSERT INTO profiles (id, account, name, children, created_us) VALUES (?, ?, ?, ?, ?)`,
		p.ID, p.Account, p.Name, p.Children, micros(p.Created))
	if unique(err) {
		return fmt.Errorf("create profile: %s is taken: %w", p.ID, bijou.Conflict)
	}
	if err != nil {
		return m.d.failure("create profile", err)
	}
	return nil
}

// Profiles implements bijou.ProfileStore.
func (m *Members) Profiles(ctx context.Context, id bijou.AccountID) ([]bijou.Profile, error) {
	ps, err := rows(ctx, m.d, m.d.read, func(scan func(...any) error, p *bijou.Profile) error {
		var created int64
		err := scan(&p.ID, &p.Account, &p.Name, &p.Children, &created)
		p.Created = fromMicros(created)
		return err
	}, `SELECT id, account, name, children, created_us FROM profiles WHERE account = ? ORDER BY created_us, id`, id)
	if err != nil {
		return nil, m.d.failure("list profiles", err)
	}
	return ps, nil
}

const positionColumns = `profile, title, position_ms, runtime_ms, session, seq, at_us`

func scanPosition(scan func(...any) error, p *bijou.Position) error {
	var at int64
	err := scan(&p.Profile, &p.Title, &p.PositionMS, &p.RuntimeMS, &p.Session, &p.Seq, &at)
	p.At = fromMicros(at)
	return err
}

// SavePosition implements bijou.ProfileStore.
func (m *Members) SavePosition(ctx context.Context, p bijou.Position) error {
	// The condition is bijou.Position.Newer.
	_, err := m.d.exec(ctx, `INSERT INTO positions (`+positionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (profile, title) DO UPDATE SET position_ms = excluded.position_ms, runtime_ms = excluded.runtime_ms,
			session = excluded.session, seq = excluded.seq, at_us = excluded.at_us
		WHERE CASE WHEN session = excluded.session THEN excluded.seq > seq ELSE excluded.at_us > at_us END`,
		p.Profile, p.Title, p.PositionMS, p.RuntimeMS, p.Session, p.Seq, micros(p.At))
	if err != nil {
		return m.d.failure("save position", err)
	}
	return nil
}

// Position implements bijou.ProfileStore.
func (m *Members) Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (p bijou.Position, err error) {
	err = m.d.row(ctx, func(scan func(...any) error) error { return scanPosition(scan, &p) },
		`SELECT `+positionColumns+` FROM positions WHERE profile = ? AND title = ?`, profile, title)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("profile %s has not begun %s: %w", profile, title, bijou.NotFound)
	}
	if err != nil {
		return p, m.d.failure("find position", err)
	}
	return p, nil
}

// Positions implements bijou.ProfileStore.
func (m *Members) Positions(ctx context.Context, profile bijou.ProfileID, limit int) ([]bijou.Position, error) {
	// SQLite takes a negative limit for none.
	ps, err := rows(ctx, m.d, m.d.read, scanPosition, `SELECT `+positionColumns+` FROM positions WHERE profile = ? ORDER BY at_us DESC, title LIMIT ?`, profile, max(limit, 0))
	if err != nil {
		return nil, m.d.failure("list positions", err)
	}
	return ps, nil
}
