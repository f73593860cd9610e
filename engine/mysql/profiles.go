package mysql

import (
	"context"
	"fmt"
	"math"
	"slices"

	"bijou"
)

// CreateProfile implements bijou.ProfileStore.
func (m *Members) CreateProfile(ctx context.Context, p bijou.Profile) error {
	return m.s.tx(ctx, "create profile", func(t *tx) error {
		for {
			used, err := collect(func(scan func(...any) error, place *int) error { return scan(place) })(
				t.conn.QueryContext(t.ctx, `SELECT place FROM profiles WHERE account = ?`, p.Account))
			if err != nil {
				return err
			}
			place := 0
			for slices.Contains(used, place) {
				place++
			}
			if place >= bijou.MaxProfiles {
				return t.unless(fmt.Errorf("the account has %d profiles, which is the most: delete one first: %w", bijou.MaxProfiles, bijou.Exhausted), "profiles", p.ID)
			}
			_, err = t.exec(`INSERT INTO profiles (id, account, place, name, children, created_us, by_call) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				p.ID, p.Account, place, p.Name, p.Children, micros(p.Created), t.call)
			if !duplicate(err) {
				return err
			}
			var taken bool
			if err := t.scan(into(&taken), `SELECT EXISTS (SELECT 1 FROM profiles WHERE id = ?)`, p.ID); err != nil {
				return err
			}
			if taken {
				return t.unless(fmt.Errorf("create profile: %s is taken: %w", p.ID, bijou.Conflict), "profiles", p.ID)
			} // else another was faster at the place: there is one less
		}
	})
}

// Profiles implements bijou.ProfileStore.
func (m *Members) Profiles(ctx context.Context, id bijou.AccountID) ([]bijou.Profile, error) {
	return rows(ctx, m.s, "list profiles", func(scan func(...any) error, p *bijou.Profile) error {
		var created int64
		err := scan(&p.ID, &p.Account, &p.Name, &p.Children, &created)
		p.Created = fromMicros(created)
		return err
	}, `SELECT id, account, name, children, created_us FROM profiles WHERE account = ? ORDER BY created_us, id`, id)
}

func noProfile(id bijou.ProfileID) error {
	return fmt.Errorf("the account has no profile %s: %w", id, bijou.NotFound)
}

// UpdateProfile implements bijou.ProfileStore.
func (m *Members) UpdateProfile(ctx context.Context, p bijou.Profile) error {
	return m.s.change(ctx, "update profile", noProfile(p.ID), `UPDATE profiles SET name = ?, children = ? WHERE id = ? AND account = ?`,
		p.Name, p.Children, p.ID, p.Account)
}

// DeleteProfile implements bijou.ProfileStore. List and positions go with the profile's row.
func (m *Members) DeleteProfile(ctx context.Context, account bijou.AccountID, id bijou.ProfileID) error {
	deleted := false
	return m.s.tx(ctx, "delete profile", func(t *tx) error {
		// All of the account's are locked: of two that are deleted at once the second sees what the first left.
		all, err := collect(identifier[bijou.ProfileID])(t.conn.QueryContext(t.ctx, `SELECT id FROM profiles WHERE account = ? ORDER BY place FOR UPDATE`, account))
		switch {
		case err != nil:
			return err
		case !slices.Contains(all, id) && deleted: // by an earlier try, which was committed
			return nil
		case !slices.Contains(all, id):
			return noProfile(id)
		case len(all) == 1:
			return fmt.Errorf("it is the account's last profile: make another one first: %w", bijou.Conflict)
		}
		_, err = t.exec(`DELETE FROM profiles WHERE id = ?`, id)
		deleted = err == nil
		return err
	})
}

// DeleteProfiles implements bijou.ProfileStore.
func (m *Members) DeleteProfiles(ctx context.Context, account bijou.AccountID) error {
	return m.s.put(ctx, "delete profiles", `DELETE FROM profiles WHERE account = ?`, account)
}

// AddToList implements bijou.ListStore.
func (m *Members) AddToList(ctx context.Context, e bijou.ListEntry) error {
	return m.s.tx(ctx, "add to list", func(t *tx) error {
		if err := t.lock(fmt.Errorf("there is no profile %s: %w", e.Profile, bijou.NotFound), `SELECT 1 FROM profiles WHERE id = ? FOR UPDATE`, e.Profile); err != nil {
			return err
		}
		var listed bool
		var count int
		err := t.scan(into(&listed, &count), `SELECT EXISTS (SELECT 1 FROM lists WHERE profile = ? AND title = ?), (SELECT COUNT(*) FROM lists WHERE profile = ?)`,
			e.Profile, e.Title, e.Profile)
		if err != nil || listed {
			return err
		}
		if count >= bijou.MaxList {
			return fmt.Errorf("the list holds %d titles, which is the most: remove one first: %w", bijou.MaxList, bijou.Exhausted)
		}
		_, err = t.exec(`INSERT INTO lists (profile, title, added_us) VALUES (?, ?, ?)`, e.Profile, e.Title, micros(e.Added))
		return err
	})
}

// RemoveFromList implements bijou.ListStore.
func (m *Members) RemoveFromList(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) error {
	return m.s.put(ctx, "remove from list", `DELETE FROM lists WHERE profile = ? AND title = ?`, profile, title)
}

// List implements bijou.ListStore.
func (m *Members) List(ctx context.Context, profile bijou.ProfileID, from string, limit int) (bijou.ListPage, error) {
	at, title := int64(math.MaxInt64), ""
	if from != "" {
		var err error
		if at, title, err = parseCursor(from, bijou.TitlePrefix); err != nil {
			return bijou.ListPage{}, err
		}
	}
	limit = max(limit, 1)
	entries, err := rows(ctx, m.s, "read list", func(scan func(...any) error, e *bijou.ListEntry) error {
		var added int64
		err := scan(&e.Profile, &e.Title, &added)
		e.Added = fromMicros(added)
		return err
	}, `SELECT profile, title, added_us FROM lists WHERE profile = ? AND `+before("added_us", "title")+` ORDER BY added_us DESC, title DESC LIMIT ?`,
		profile, at, at, title, limit+1)
	if err != nil {
		return bijou.ListPage{}, err
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

// SavePosition implements bijou.PositionStore. It is called for every report of every player, of which nearly all go on in a title: that takes one
// statement, which is a transaction by itself. It may come twice, and late: what is older than what is kept changes nothing.
func (m *Members) SavePosition(ctx context.Context, p bijou.Position) error {
	return m.s.do(ctx, "save position", func(ctx context.Context) error {
		// The condition is bijou.Position.Newer.
		replace := func() (int64, error) {
			return m.s.exec(ctx, `UPDATE positions SET position_ms = ?, runtime_ms = ?, session = ?, seq = ?, at_us = ?
				WHERE profile = ? AND title = ? AND IF(session = ?, seq < ?, at_us < ?)`,
				p.PositionMS, p.RuntimeMS, p.Session, p.Seq, micros(p.At), p.Profile, p.Title, p.Session, p.Seq, micros(p.At))
		}
		if n, err := replace(); err != nil || n > 0 {
			return err
		}
		_, err := m.s.exec(ctx, `INSERT INTO positions (`+positionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			p.Profile, p.Title, p.PositionMS, p.RuntimeMS, p.Session, p.Seq, micros(p.At))
		switch {
		case orphan(err): // the profile does not exist (any more)
			return nil
		case duplicate(err): // it is there and newer, or came in between and may be older
			_, err = replace()
		}
		return err
	})
}

// Position implements bijou.PositionStore.
func (m *Members) Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	all, err := rows(ctx, m.s, "find position", scanPosition, `SELECT `+positionColumns+` FROM positions WHERE profile = ? AND title = ?`, profile, title)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("profile %s has not begun %s: %w", profile, title, bijou.NotFound)
	}
	if err != nil {
		return bijou.Position{}, err
	}
	return all[0], nil
}

// Positions implements bijou.PositionStore.
func (m *Members) Positions(ctx context.Context, profile bijou.ProfileID, limit int) ([]bijou.Position, error) {
	return rows(ctx, m.s, "list positions", scanPosition,
		`SELECT `+positionColumns+` FROM positions WHERE profile = ? ORDER BY at_us DESC, title LIMIT ?`, profile, max(limit, 0))
}
