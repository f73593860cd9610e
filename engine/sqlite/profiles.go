package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"bijou"
)

// CreateProfile implements bijou.ProfileStore.
func (m *Members) CreateProfile(ctx context.Context, p bijou.Profile) error {
	n, err := m.d.exec(ctx, `INSERT INTO profiles (id, account, name, children, created_us)
		SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT count(*) FROM profiles WHERE account = ?2) < ?6`,
		p.ID, p.Account, p.Name, p.Children, micros(p.Created), bijou.MaxProfiles)
	switch {
	case unique(err):
		return fmt.Errorf("create profile: %s is taken: %w", p.ID, bijou.Conflict)
	case err != nil:
		return m.d.failure("create profile", err)
	case n == 0:
		return fmt.Errorf("the account has %d profiles, which is the most: delete one first: %w", bijou.MaxProfiles, bijou.Exhausted)
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

// UpdateProfile implements bijou.ProfileStore.
func (m *Members) UpdateProfile(ctx context.Context, p bijou.Profile) error {
	n, err := m.d.exec(ctx, `UPDATE profiles SET name = ?, children = ? WHERE id = ? AND account = ?`, p.Name, p.Children, p.ID, p.Account)
	return m.changed(n, err, "update profile", "the account has no profile %s", p.ID)
}

// DeleteProfile implements bijou.ProfileStore.
func (m *Members) DeleteProfile(ctx context.Context, account bijou.AccountID, id bijou.ProfileID) error {
	return m.d.tx(ctx, "delete profile", func(tx *sql.Tx) error {
		var others int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM profiles WHERE account = ? AND id <> ?`, account, id).Scan(&others); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM profiles WHERE id = ? AND account = ?`, id, account)
		if err := oneRow(res, err, "the account has no profile %s", id); err != nil {
			return err
		}
		if others == 0 {
			return fmt.Errorf("it is the account's last profile: make another one first: %w", bijou.Conflict)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM positions WHERE profile = ?`, id)
		return err
	})
}

// DeleteProfiles implements bijou.ProfileStore.
func (m *Members) DeleteProfiles(ctx context.Context, account bijou.AccountID) error {
	return m.d.tx(ctx, "delete profiles", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM positions WHERE profile IN (SELECT id FROM profiles WHERE account = ?)`, account); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM profiles WHERE account = ?`, account)
		return err
	})
}

// AddToList implements bijou.ListStore.
func (m *Members) AddToList(ctx context.Context, e bijou.ListEntry) error {
	return m.d.tx(ctx, "add to list", func(tx *sql.Tx) error {
		var known, listed bool
		var count int
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM profiles WHERE id = ?1),
			EXISTS (SELECT 1 FROM lists WHERE profile = ?1 AND title = ?2), (SELECT count(*) FROM lists WHERE profile = ?1)`, e.Profile, e.Title).Scan(&known, &listed, &count)
		switch {
		case err != nil || listed:
			return err
		case !known:
			return fmt.Errorf("there is no profile %s: %w", e.Profile, bijou.NotFound)
		case count >= bijou.MaxList:
			return fmt.Errorf("the list holds %d titles, which is the most: remove one first: %w", bijou.MaxList, bijou.Exhausted)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO lists (profile, title, added_us) VALUES (?, ?, ?)`, e.Profile, e.Title, micros(e.Added))
		return err
	})
}

// RemoveFromList implements bijou.ListStore.
func (m *Members) RemoveFromList(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) error {
	if _, err := m.d.exec(ctx, `DELETE FROM lists WHERE profile = ? AND title = ?`, profile, title); err != nil {
		return m.d.failure("remove from list", err)
	}
	return nil
}

// List implements bijou.ListStore.
func (m *Members) List(ctx context.Context, profile bijou.ProfileID, before string, limit int) (bijou.ListPage, error) {
	at, title := int64(math.MaxInt64), ""
	if before != "" {
		var err error
		if at, title, err = parseCursor(before, bijou.TitlePrefix); err != nil {
			return bijou.ListPage{}, err
		}
	}
	limit = max(limit, 1)
	entries, err := rows(ctx, m.d, m.d.read, func(scan func(...any) error, e *bijou.ListEntry) error {
		var added int64
		err := scan(&e.Profile, &e.Title, &added)
		e.Added = fromMicros(added)
		return err
	}, `SELECT profile, title, added_us FROM lists WHERE profile = ? AND (added_us, title) < (?, ?) ORDER BY added_us DESC, title DESC LIMIT ?`,
		profile, at, title, limit+1)
	if err != nil {
		return bijou.ListPage{}, m.d.failure("read list", err)
	}
	page := bijou.ListPage{Entries: entries}
	if len(entries) > limit {
		page.Entries = entries[:limit]
		last := entries[limit-1]
		page.Next = cursor(micros(last.Added), last.Title)
	}
	return page, nil
}

const positionColumns = `profile, title, position_ms, runtime_ms, session, seq, at_us`

func scanPosition(scan func(...any) error, p *bijou.Position) error {
	var at int64
	err := scan(&p.Profile, &p.Title, &p.PositionMS, &p.RuntimeMS, &p.Session, &p.Seq, &at)
	p.At = fromMicros(at)
	return err
}

// SavePosition implements bijou.PositionStore.
func (m *Members) SavePosition(ctx context.Context, p bijou.Position) error {
	// The condition is bijou.Position.Newer.
	_, err := m.d.exec(ctx, `INSERT INTO positions (`+positionColumns+`) SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM profiles WHERE id = ?1
		ON CONFLICT (profile, title) DO UPDATE SET position_ms = excluded.position_ms, runtime_ms = excluded.runtime_ms,
			session = excluded.session, seq = excluded.seq, at_us = excluded.at_us
		WHERE CASE WHEN session = excluded.session THEN excluded.seq > seq ELSE excluded.at_us > at_us END`,
		p.Profile, p.Title, p.PositionMS, p.RuntimeMS, p.Session, p.Seq, micros(p.At))
	if err != nil {
		return m.d.failure("save position", err)
	}
	return nil
}

// Position implements bijou.PositionStore.
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

// Positions implements bijou.PositionStore.
func (m *Members) Positions(ctx context.Context, profile bijou.ProfileID, limit int) ([]bijou.Position, error) {
	// SQLite takes a negative limit for none.
	ps, err := rows(ctx, m.d, m.d.read, scanPosition, `SELECT `+positionColumns+` FROM positions WHERE profile = ? ORDER BY at_us DESC, title LIMIT ?`, profile, max(limit, 0))
	if err != nil {
		return nil, m.d.failure("list positions", err)
	}
	return ps, nil
}
