package cassandra

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bijou"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// gone is the count of the list of a profile that was deleted: nothing is added to it any more.
const gone = -1

// place is what a change of a list depends on.
type place struct {
	count  *int // of the list; nil where nothing was ever listed
	listed bool // the title is on it
}

// number returns how many titles are listed.
func (p place) number() int {
	if p.count == nil {
		return 0
	}
	return *p.count
}

func (s *Store) place(ctx context.Context, db *gocql.Session, profile bijou.ProfileID, title bijou.TitleID, level gocql.Consistency) (p place, err error) {
	var added int64
	err = s.ask(db, "SELECT count, added_us FROM $.lists WHERE profile = ? AND title = ?", profile, title).Consistency(level).ScanContext(ctx, &p.count, &added)
	if err == nil || !errors.Is(err, gocql.ErrNotFound) {
		p.listed = err == nil
		return p, err
	}
	err = s.ask(db, "SELECT count FROM $.lists WHERE profile = ? LIMIT 1", profile).Consistency(level).ScanContext(ctx, &p.count)
	if errors.Is(err, gocql.ErrNotFound) {
		return p, nil
	}
	return p, err
}

// arrange changes a list by lightweight transactions on its count. decide returns the new count and the changes beside it, nothing where there is nothing
// to do, or why it is refused. An outcome that is unknown needs no more than another look: what was done is seen, and not done again.
func (s *Store) arrange(ctx context.Context, verb string, profile bijou.ProfileID, title bijou.TitleID, decide func(context.Context, *gocql.Session, place) (int, []statement, error)) error {
	level := gocql.LocalQuorum
	return s.tryBy(ctx, contended, verb, func(ctx context.Context, db *gocql.Session) error {
		p, err := s.place(ctx, db, profile, title, level)
		if err != nil {
			return err
		}
		level = gocql.LocalSerial
		count, statements, err := decide(ctx, db, p)
		if err != nil || len(statements) == 0 {
			return err
		}
		mark := "UPDATE $.lists SET count = ? WHERE profile = ? IF count = ?"
		if count == gone {
			mark = fmt.Sprintf("UPDATE $.lists USING TTL %d SET count = ? WHERE profile = ? IF count = ?", goneFor)
		}
		return s.transact(ctx, db, append([]statement{{mark, []any{count, profile, p.count}}}, statements...)...)
	})
}

// AddToList implements bijou.ListStore.
func (s *Store) AddToList(ctx context.Context, e bijou.ListEntry) error {
	return s.arrange(ctx, "add to list", e.Profile, e.Title, func(ctx context.Context, db *gocql.Session, p place) (int, []statement, error) {
		if p.listed {
			return 0, nil, nil
		}
		known, err := s.exists(ctx, db, e.Profile)
		switch {
		case err != nil:
			return 0, nil, err
		case !known || p.number() == gone:
			return 0, nil, fmt.Errorf("there is no profile %s: %w", e.Profile, bijou.NotFound)
		case p.number() >= bijou.MaxList:
			return 0, nil, fmt.Errorf("the list holds %d titles, which is the most: remove one first: %w", bijou.MaxList, bijou.Exhausted)
		}
		return p.number() + 1, []statement{{"INSERT INTO $.lists (profile, title, added_us) VALUES (?, ?, ?) IF NOT EXISTS", []any{e.Profile, e.Title, micros(e.Added)}}}, nil
	})
}

// RemoveFromList implements bijou.ListStore.
func (s *Store) RemoveFromList(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) error {
	return s.arrange(ctx, "remove from list", profile, title, func(_ context.Context, _ *gocql.Session, p place) (int, []statement, error) {
		if !p.listed {
			return 0, nil, nil
		}
		return p.number() - 1, []statement{{"DELETE FROM $.lists WHERE profile = ? AND title = ? IF EXISTS", []any{profile, title}}}, nil
	})
}

// clearList empties the list of a profile that leaves, for good.
func (s *Store) clearList(ctx context.Context, verb string, profile bijou.ProfileID) error {
	return s.arrange(ctx, verb, profile, "", func(_ context.Context, _ *gocql.Session, p place) (int, []statement, error) {
		if p.number() == gone {
			return 0, nil, nil
		}
		return gone, []statement{{"DELETE FROM $.lists WHERE profile = ? AND title >= ''", []any{profile}}}, nil
	})
}

// List implements bijou.ListStore. The list is read whole, since it is bounded, and put in order here: a partition in the order of time could not be asked for a title.
func (s *Store) List(ctx context.Context, profile bijou.ProfileID, before string, limit int) (bijou.ListPage, error) {
	var from *bijou.ListEntry
	if before != "" {
		e, err := parseCursor(before)
		if err != nil {
			return bijou.ListPage{}, err
		}
		from = &e
	}
	var all []bijou.ListEntry
	err := s.try(ctx, "read list", func(ctx context.Context, db *gocql.Session) (err error) {
		all, err = s.entries(ctx, db, profile)
		return err
	})
	if err != nil {
		return bijou.ListPage{}, err
	}
	return pageOf(all, from, max(limit, 1)), nil
}

func (s *Store) entries(ctx context.Context, db *gocql.Session, profile bijou.ProfileID) ([]bijou.ListEntry, error) {
	all, err := rows(ctx, s.ask(db, "SELECT title, added_us FROM $.lists WHERE profile = ?", profile), func(scan func(...any) bool, e *bijou.ListEntry) bool {
		var added int64
		ok := scan(&e.Title, &added)
		e.Profile, e.Added = profile, fromMicros(added)
		return ok
	})
	// A partition that has no rows any more, and a count, comes as one row without a title.
	return slices.DeleteFunc(all, func(e bijou.ListEntry) bool { return e.Title == "" }), err
}

// pageOf returns the page of at most limit entries after from, latest first.
func pageOf(all []bijou.ListEntry, from *bijou.ListEntry, limit int) (page bijou.ListPage) {
	slices.SortFunc(all, laterFirst)
	if from != nil {
		at, _ := slices.BinarySearchFunc(all, *from, laterFirst)
		if at < len(all) && all[at].Title == from.Title {
			at++
		}
		all = all[at:]
	}
	page.Entries = all[:min(limit, len(all))]
	if len(all) > limit {
		page.Next = cursor(all[limit-1])
	}
	return page
}

// laterFirst is the order of a list.
func laterFirst(a, b bijou.ListEntry) int {
	return cmp.Or(b.Added.Compare(a.Added), cmp.Compare(b.Title, a.Title))
}

// cursor names the place behind an entry.
func cursor(e bijou.ListEntry) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(micros(e.Added), 10) + " " + string(e.Title)))
}

func parseCursor(s string) (bijou.ListEntry, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	at, title, ok := strings.Cut(string(b), " ")
	n, numErr := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || numErr != nil || bijou.CheckID(title, bijou.TitlePrefix) != nil {
		return bijou.ListEntry{}, fmt.Errorf("%.40q is no page's next: leave it out for the first page: %w", s, bijou.Invalid)
	}
	return bijou.ListEntry{Title: bijou.TitleID(title), Added: fromMicros(n)}, nil
}
