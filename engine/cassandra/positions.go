package cassandra

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"bijou"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"
)

// parts is how many partitions a profile's positions are spread over. It must not change.
const parts = 8

// partOf returns the partition of a title.
func partOf(title bijou.TitleID) int8 {
	h := fnv.New32a()
	h.Write([]byte(title))
	return int8(h.Sum32() % parts)
}

// atOnce is how many queries of one call are under way at the same time.
const atOnce = 8

// turns reads the turns of some titles, all of one part.
func (s *Store) turns(ctx context.Context, db *gocql.Session, profile bijou.ProfileID, titles ...bijou.TitleID) ([]turn, error) {
	q := s.ask(db, "SELECT title, session, since_us, seq, at_us, rank_us, position_ms, runtime_ms FROM $.positions WHERE profile = ? AND part = ? AND title IN ?",
		profile, partOf(titles[0]), titles)
	return rows(ctx, q, func(scan func(...any) bool, t *turn) bool {
		var at int64
		ok := scan(&t.Title, &t.Session, &t.since, &t.Seq, &at, &t.rank, &t.PositionMS, &t.RuntimeMS)
		t.Profile, t.At = profile, fromMicros(at)
		return ok
	})
}

// SavePosition implements bijou.PositionStore. A viewing's next report is one plain write; the first one, and one a minute, look first at what is kept.
func (s *Store) SavePosition(ctx context.Context, p bijou.Position) error {
	p.At = fromMicros(micros(p.At))
	return s.try(ctx, "save position", func(ctx context.Context, db *gocql.Session) error {
		next, ok := s.recent.follow(p, time.Now())
		if !ok {
			var err error
			if next, ok, err = s.takeOver(ctx, db, p); err != nil || !ok {
				return err
			}
		}
		err := s.change(ctx, db, `INSERT INTO $.positions (profile, part, title, session, since_us, seq, at_us, rank_us, position_ms, runtime_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`,
			p.Profile, partOf(p.Title), p.Title, p.Session, next.since, p.Seq, micros(p.At), next.rank, p.PositionMS, p.RuntimeMS, next.stamp())
		if err == nil {
			s.recent.keep(next)
		}
		return err
	})
}

// takeOver reads what is kept, and returns the turn to write where the report replaces it. What has to be there before that is written.
func (s *Store) takeOver(ctx context.Context, db *gocql.Session, p bijou.Position) (k known, replaces bool, err error) {
	read := time.Now()
	var exists bool
	var turns []turn
	g, together := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		exists, err = s.exists(together, db, p.Profile)
		return err
	})
	g.Go(func() (err error) {
		turns, err = s.turns(together, db, p.Profile, p.Title)
		return err
	})
	if err := g.Wait(); err != nil || !exists {
		return k, false, err
	}
	next, replaces := follow(turns, p)
	if !replaces {
		return k, false, nil
	}
	if now, begun := latest(turns); !begun || dayOf(now.At) != dayOf(p.At) {
		if err := s.noteDay(ctx, db, p); err != nil {
			return k, false, err
		}
	}
	for _, t := range outlived(turns) {
		// What the viewing reports later has a later timestamp, and stays.
		err := s.change(ctx, db, "DELETE FROM $.positions USING TIMESTAMP ? WHERE profile = ? AND part = ? AND title = ? AND session = ? AND since_us = ?",
			t.stamp(), p.Profile, partOf(p.Title), p.Title, t.Session, t.since)
		if err != nil {
			return k, false, err
		}
	}
	return known{next, read}, true, nil
}

// day is one of the calendar, in UTC.
type day struct{ month, day int } // month is 203103 for March of 2031

func dayOf(t time.Time) day {
	y, m, d := t.UTC().Date()
	return day{100*y + int(m), d}
}

// begins returns the day's first moment.
func (d day) begins() time.Time {
	return time.Date(d.month/100, time.Month(d.month%100), d.day, 0, 0, 0, 0, time.UTC)
}

// noteDay has the position's title found on its day. The month comes first: what cannot be found need not be there.
func (s *Store) noteDay(ctx context.Context, db *gocql.Session, p bijou.Position) error {
	d := dayOf(p.At)
	if err := s.change(ctx, db, "INSERT INTO $.months (profile, month) VALUES (?, ?)", p.Profile, d.month); err != nil {
		return err
	}
	return s.change(ctx, db, "INSERT INTO $.days (profile, month, day, title) VALUES (?, ?, ?, ?)", p.Profile, d.month, d.day, p.Title)
}

// Position implements bijou.PositionStore.
func (s *Store) Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (p bijou.Position, err error) {
	err = s.try(ctx, "find position", func(ctx context.Context, db *gocql.Session) error {
		turns, err := s.turns(ctx, db, profile, title)
		if err != nil {
			return err
		}
		t, begun := latest(turns)
		if !begun {
			return fmt.Errorf("profile %s has not begun %s: %w", profile, title, bijou.NotFound)
		}
		p = t.Position
		return nil
	})
	return p, err
}

// Positions implements bijou.PositionStore. It goes back day by day, until enough titles were watched since.
func (s *Store) Positions(ctx context.Context, profile bijou.ProfileID, limit int) (out []bijou.Position, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = s.try(ctx, "list positions", func(ctx context.Context, db *gocql.Session) error {
		months, err := s.months(ctx, db, profile)
		if err != nil {
			return err
		}
		w := &walk{s: s, db: db, profile: profile, limit: limit, seen: map[bijou.TitleID]bool{}}
		for _, month := range months {
			if enough, err := w.back(ctx, month); err != nil || enough {
				out = w.latest()
				return err
			}
		}
		err = w.read(ctx)
		out = w.latest()
		return err
	})
	return out, err
}

func (s *Store) months(ctx context.Context, db *gocql.Session, profile bijou.ProfileID) ([]int, error) {
	return rows(ctx, s.ask(db, "SELECT month FROM $.months WHERE profile = ?", profile), func(scan func(...any) bool, m *int) bool { return scan(m) })
}

// walk gathers a profile's positions, last day first.
type walk struct {
	s       *Store
	db      *gocql.Session
	profile bijou.ProfileID
	limit   int

	seen   map[bijou.TitleID]bool
	unread []bijou.TitleID // seen, whose positions are not read yet
	found  []bijou.Position
}

// daysPage is how many rows of a month are read at a time.
const daysPage = 200

// back goes through a month. It tells whether there are enough positions that are later than all which it did not come to.
func (w *walk) back(ctx context.Context, month int) (enough bool, err error) {
	iter := w.s.ask(w.db, "SELECT day, title FROM $.days WHERE profile = ? AND month = ?", w.profile, month).PageSize(daysPage).IterContext(ctx)
	at := day{month: month}
	var next int
	var title bijou.TitleID
	for iter.Scan(&next, &title) {
		if next != at.day && at.day != 0 {
			if enough, err = w.enough(ctx, at); err != nil || enough {
				_ = iter.Close() // the rest of the month is not wanted
				return enough, err
			}
		}
		at.day = next
		if !w.seen[title] {
			w.seen[title], w.unread = true, append(w.unread, title)
		}
	}
	if err := iter.Close(); err != nil || at.day == 0 {
		return false, err
	}
	return w.enough(ctx, at)
}

// enough tells whether enough positions are of the day or later. It reads what was seen where they may be.
func (w *walk) enough(ctx context.Context, d day) (bool, error) {
	if len(w.unread)+len(w.found) < w.limit {
		return false, nil
	}
	if err := w.read(ctx); err != nil {
		return false, err
	}
	n := 0
	for _, p := range w.found {
		if !p.At.Before(d.begins()) {
			n++
		}
	}
	return n >= w.limit, nil
}

// read reads the positions of the titles that were seen, part by part.
func (w *walk) read(ctx context.Context) error {
	byPart := map[int8][]bijou.TitleID{}
	for _, title := range w.unread {
		byPart[partOf(title)] = append(byPart[partOf(title)], title)
	}
	w.unread = nil
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, titles := range byPart {
		for some := range slices.Chunk(titles, maxIn) {
			g.Go(func() error {
				turns, err := w.s.turns(ctx, w.db, w.profile, some...)
				mu.Lock()
				defer mu.Unlock()
				w.found = append(w.found, latestOfEach(turns)...)
				return err
			})
		}
	}
	return g.Wait()
}

// maxIn is how many titles one query asks for.
const maxIn = 50

func latestOfEach(turns []turn) (out []bijou.Position) {
	byTitle := map[bijou.TitleID][]turn{}
	for _, t := range turns {
		byTitle[t.Title] = append(byTitle[t.Title], t)
	}
	for _, all := range byTitle {
		t, _ := latest(all) // there is one at least
		out = append(out, t.Position)
	}
	return out
}

// latest returns at most limit of what was found, latest first.
func (w *walk) latest() []bijou.Position {
	slices.SortFunc(w.found, func(a, b bijou.Position) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Title, b.Title)) })
	return w.found[:min(w.limit, len(w.found))]
}

// clearPositions removes the positions of a profile that leaves. Each part gets a tombstone from beyond all timestamps: a report that comes late, by
// whomever and however long it was on its way, is written and seen by nobody.
func (s *Store) clearPositions(ctx context.Context, verb string, profile bijou.ProfileID) error {
	return s.try(ctx, verb, func(ctx context.Context, db *gocql.Session) error {
		months, err := s.months(ctx, db, profile)
		if err != nil {
			return err
		}
		g, together := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		for part := range parts {
			g.Go(func() error {
				return s.change(together, db, "DELETE FROM $.positions USING TIMESTAMP ? WHERE profile = ? AND part = ?", int64(fence), profile, int8(part))
			})
		}
		for _, month := range months {
			g.Go(func() error {
				return s.change(together, db, "DELETE FROM $.days WHERE profile = ? AND month = ?", profile, month)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return s.change(ctx, db, "DELETE FROM $.months WHERE profile = ?", profile) // last, since it says what the others were
	})
}
