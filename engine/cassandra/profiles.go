package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bijou"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// goneFor is how long it is remembered that a profile was deleted: twice as long as a tombstone lasts (gc_grace_seconds, 10 days).
const goneFor = 20 * 24 * 60 * 60

// maxChanges is how many of its latest changes an account's partition names.
const maxChanges = 8

// household is an account's partition: its profiles, also those that are being deleted, and the latest changes, last one first.
type household struct {
	profiles []member
	changes  []gocql.UUID
}

type member struct {
	bijou.Profile
	leaving bool
}

// here returns the profiles that are not being deleted, oldest first.
func (h household) here() (out []bijou.Profile) {
	for _, m := range h.profiles {
		if !m.leaving {
			out = append(out, m.Profile)
		}
	}
	slices.SortFunc(out, func(a, b bijou.Profile) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// has tells whether the profile is there, also if it is being deleted.
func (h household) has(id bijou.ProfileID) bool {
	return slices.ContainsFunc(h.profiles, func(m member) bool { return m.ID == id })
}

// lives tells whether the profile is there and not being deleted.
func (h household) lives(id bijou.ProfileID) bool {
	return slices.ContainsFunc(h.profiles, func(m member) bool { return m.ID == id && !m.leaving })
}

// household reads an account's partition.
func (s *Store) household(ctx context.Context, db *gocql.Session, id bijou.AccountID, level gocql.Consistency) (h household, err error) {
	iter := s.ask(db, "SELECT profile, name, children, created_us, leaving, changes FROM $.profiles WHERE account = ?", id).Consistency(level).IterContext(ctx)
	var profile *bijou.ProfileID // none in the one row of a partition that has no rows
	m := member{Profile: bijou.Profile{Account: id}}
	var created int64
	for iter.Scan(&profile, &m.Name, &m.Children, &created, &m.leaving, &h.changes) {
		if profile != nil {
			m.ID, m.Created = *profile, fromMicros(created)
			h.profiles = append(h.profiles, m)
		}
	}
	return h, iter.Close()
}

// alter changes an account's partition by lightweight transactions. decide returns what is to be changed, nothing where there is nothing to do, or why it is refused.
//
// Each change names itself in the partition. One whose outcome is unknown is looked for at LOCAL_SERIAL: so it is done once, whatever became of its answer.
func (s *Store) alter(ctx context.Context, verb string, account bijou.AccountID, decide func(household) ([]statement, error)) error {
	var mine gocql.UUID // the change whose outcome is unknown, made on before
	var before []gocql.UUID
	level := gocql.LocalQuorum
	return s.tryBy(ctx, contended, verb, func(ctx context.Context, db *gocql.Session) error {
		h, err := s.household(ctx, db, account, level)
		if err != nil {
			return err
		}
		level = gocql.LocalSerial
		if mine != (gocql.UUID{}) {
			switch {
			case slices.Contains(h.changes, mine):
				return nil
			case len(h.changes) == maxChanges && (len(before) == 0 || !slices.Contains(h.changes, before[0])):
				return fmt.Errorf("%s: so many others changed account %s that nobody knows whether this was done: look, and try again: %w", verb, account, bijou.Conflict)
			}
			mine = gocql.UUID{}
		}
		statements, err := decide(h)
		if err != nil || len(statements) == 0 {
			return err
		}
		id, err := gocql.RandomUUID()
		if err != nil {
			return err
		}
		changes := append([]gocql.UUID{id}, h.changes[:min(len(h.changes), maxChanges-1)]...)
		mark := statement{"UPDATE $.profiles SET changes = ? WHERE account = ? IF changes = ?", []any{changes, account, h.changes}}
		err = s.transact(ctx, db, append([]statement{mark}, statements...)...)
		if err != nil && !errors.Is(err, errContended) {
			mine, before = id, h.changes
		}
		return err
	})
}

// CreateProfile implements bijou.ProfileStore. The identifier is claimed first, and the profile made then: a claim without a profile means nothing to
// anybody but who made it.
func (s *Store) CreateProfile(ctx context.Context, p bijou.Profile) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	room := func(h household) error {
		switch {
		case h.has(p.ID):
			return taken(p.ID)
		case len(h.here()) >= bijou.MaxProfiles:
			return fmt.Errorf("the account has %d profiles, which is the most: delete one first: %w", bijou.MaxProfiles, bijou.Exhausted)
		}
		return nil
	}
	err := s.try(ctx, "create profile", func(ctx context.Context, db *gocql.Session) error {
		h, err := s.household(ctx, db, p.Account, gocql.LocalQuorum)
		if err != nil {
			return err
		}
		return room(h)
	})
	if err != nil {
		return err
	}
	if err := s.claim(ctx, p); err != nil {
		return err
	}
	return s.alter(ctx, "create profile", p.Account, func(h household) ([]statement, error) {
		if err := room(h); err != nil {
			return nil, err
		}
		return []statement{{"INSERT INTO $.profiles (account, profile, name, children, created_us, leaving) VALUES (?, ?, ?, ?, ?, false)",
			[]any{p.Account, p.ID, p.Name, p.Children, micros(p.Created)}}}, nil
	})
}

func taken(id bijou.ProfileID) error {
	return fmt.Errorf("create profile: %s is taken: %w", id, bijou.Conflict)
}

// claim makes the identifier the account's. One that is the account's already stays so.
func (s *Store) claim(ctx context.Context, p bijou.Profile) error {
	return s.tryBy(ctx, contended, "create profile", func(ctx context.Context, db *gocql.Session) error {
		err := s.transact(ctx, db, statement{"INSERT INTO $.owners (profile, account) VALUES (?, ?) IF NOT EXISTS", []any{p.ID, p.Account}})
		if err == nil {
			return nil
		}
		owner, readErr := s.owner(ctx, db, p.ID, gocql.LocalSerial)
		switch {
		case readErr != nil:
			return readErr
		case owner == nil:
			return err
		case *owner != p.Account:
			return taken(p.ID)
		}
		return nil
	})
}

// owner returns whose the profile is: nil where nobody's, and the empty account where it was deleted.
func (s *Store) owner(ctx context.Context, db *gocql.Session, id bijou.ProfileID, level gocql.Consistency) (*bijou.AccountID, error) {
	var account bijou.AccountID
	err := s.ask(db, "SELECT account FROM $.owners WHERE profile = ?", id).Consistency(level).ScanContext(ctx, &account)
	if errors.Is(err, gocql.ErrNotFound) {
		return nil, nil
	}
	return &account, err
}

// exists tells whether there is such a profile.
func (s *Store) exists(ctx context.Context, db *gocql.Session, id bijou.ProfileID) (bool, error) {
	owner, err := s.owner(ctx, db, id, gocql.LocalQuorum)
	if err != nil || owner == nil || *owner == "" {
		return false, err
	}
	h, err := s.household(ctx, db, *owner, gocql.LocalQuorum)
	return h.lives(id), err
}

// Profiles implements bijou.ProfileStore.
func (s *Store) Profiles(ctx context.Context, id bijou.AccountID) (out []bijou.Profile, err error) {
	err = s.try(ctx, "list profiles", func(ctx context.Context, db *gocql.Session) error {
		h, err := s.household(ctx, db, id, gocql.LocalQuorum)
		out = h.here()
		return err
	})
	return out, err
}

// UpdateProfile implements bijou.ProfileStore.
func (s *Store) UpdateProfile(ctx context.Context, p bijou.Profile) error {
	return s.alter(ctx, "update profile", p.Account, func(h household) ([]statement, error) {
		if !h.lives(p.ID) {
			return nil, fmt.Errorf("the account has no profile %s: %w", p.ID, bijou.NotFound)
		}
		return []statement{{"UPDATE $.profiles SET name = ?, children = ? WHERE account = ? AND profile = ?", []any{p.Name, p.Children, p.Account, p.ID}}}, nil
	})
}

// DeleteProfile implements bijou.ProfileStore. The profile is gone for all with the first step; should the program end before the last, the next
// deletion in the account takes up what is left.
func (s *Store) DeleteProfile(ctx context.Context, account bijou.AccountID, id bijou.ProfileID) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	err := s.alter(ctx, "delete profile", account, func(h household) ([]statement, error) {
		switch {
		case !h.lives(id):
			return nil, fmt.Errorf("the account has no profile %s: %w", id, bijou.NotFound)
		case len(h.here()) == 1:
			return nil, fmt.Errorf("it is the account's last profile: make another one first: %w", bijou.Conflict)
		}
		return []statement{leave(account, id)}, nil
	})
	if err != nil && !errors.Is(err, bijou.NotFound) {
		return err
	}
	if left := s.finish(ctx, "delete profile", account); left != nil {
		return left
	}
	return err
}

// DeleteProfiles implements bijou.ProfileStore.
func (s *Store) DeleteProfiles(ctx context.Context, account bijou.AccountID) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	err := s.alter(ctx, "delete profiles", account, func(h household) (out []statement, err error) {
		for _, p := range h.here() {
			out = append(out, leave(account, p.ID))
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	return s.finish(ctx, "delete profiles", account)
}

func leave(account bijou.AccountID, id bijou.ProfileID) statement {
	return statement{"UPDATE $.profiles SET leaving = true WHERE account = ? AND profile = ?", []any{account, id}}
}

// finish removes what the account's leaving profiles left behind, and then them. Doing it twice, also at once, is doing it once.
func (s *Store) finish(ctx context.Context, verb string, account bijou.AccountID) error {
	var leaving []bijou.ProfileID
	err := s.try(ctx, verb, func(ctx context.Context, db *gocql.Session) error {
		h, err := s.household(ctx, db, account, gocql.LocalQuorum)
		leaving = nil
		for _, m := range h.profiles {
			if m.leaving {
				leaving = append(leaving, m.ID)
			}
		}
		return err
	})
	if err != nil || len(leaving) == 0 {
		return err
	}
	for _, id := range leaving {
		if err := s.disown(ctx, verb, account, id); err != nil {
			return err
		}
		if err := s.clearList(ctx, verb, id); err != nil {
			return err
		}
		if err := s.clearPositions(ctx, verb, id); err != nil {
			return err
		}
	}
	return s.alter(ctx, verb, account, func(h household) (out []statement, err error) {
		for _, id := range leaving {
			if h.has(id) {
				out = append(out, statement{"DELETE FROM $.profiles WHERE account = ? AND profile = ?", []any{account, id}})
			}
		}
		return out, nil
	})
}

// disown notes that the profile is nobody's any more. Its identifier stays taken for a while, so that nothing that comes late finds another's.
func (s *Store) disown(ctx context.Context, verb string, account bijou.AccountID, id bijou.ProfileID) error {
	return s.tryBy(ctx, contended, verb, func(ctx context.Context, db *gocql.Session) error {
		err := s.transact(ctx, db, statement{fmt.Sprintf("UPDATE $.owners USING TTL %d SET account = '' WHERE profile = ? IF account = ?", goneFor), []any{id, account}})
		if err == nil {
			return nil
		}
		owner, readErr := s.owner(ctx, db, id, gocql.LocalSerial)
		switch {
		case readErr != nil:
			return readErr
		case owner != nil && *owner == account:
			return err
		}
		return nil
	})
}

// Times are kept as microseconds since 1970, which order as numbers; what is finer is cut off.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
