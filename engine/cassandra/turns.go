package cassandra

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"bijou"
)

// turn is the latest report of one viewing of a title, from when the viewing took the title over until another did.
//
// A report is written to its viewing's turn, and of two the one with the later place stays, since the place is the write's timestamp. Of a title's
// turns the one with the highest rank counts. See docs/decisions: Positions in Cassandra.
type turn struct {
	bijou.Position
	since int64 // microseconds: when the viewing took over; with the session, the turn's key
	rank  int64 // microseconds: at least those of the report, and more than those of every turn that was known when it took over
}

// latest returns the turn that counts, if the title was begun.
func latest(turns []turn) (turn, bool) {
	if len(turns) == 0 {
		return turn{}, false
	}
	return slices.MaxFunc(turns, lower), true
}

// lower is the order of turns. Two that took over at the same moment are in the order of their names, so that all who read see the same.
func lower(a, b turn) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Session, b.Session), cmp.Compare(a.since, b.since))
}

// follow returns the turn as it is after the report, and whether the report replaces what counts.
func follow(turns []turn, p bijou.Position) (turn, bool) {
	at := micros(p.At)
	now, begun := latest(turns)
	switch {
	case !begun:
		return turn{Position: p, rank: max(at, 0)}, true
	case !p.Newer(now.Position):
		return turn{}, false
	case p.Session == now.Session:
		return now.on(p), true
	}
	t := turn{Position: p, since: now.rank + 1, rank: max(at, now.rank+1)}
	var own []turn // those that the viewing goes on with: its report there is an earlier one
	for _, old := range turns {
		if old.Session == p.Session && p.Seq > old.Seq {
			own = append(own, old)
		}
	}
	if before, ok := latest(own); ok {
		t.since = before.since
	}
	return t, true
}

// on returns the turn after a later report of its viewing.
func (t turn) on(p bijou.Position) turn {
	return turn{Position: p, since: t.since, rank: max(micros(p.At), t.rank)}
}

// outlived returns the turns that need not be kept beside the next one.
func outlived(turns []turn) []turn {
	if len(turns) < maxTurns {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(turns), lower)
	return sorted[:len(sorted)-maxTurns+1]
}

// maxTurns is how many turns of a title are kept, but for those that are written at the same time: enough that two or three who watch the same title
// by one profile, at the same time, leave no tombstones.
const maxTurns = 4

// The timestamps of positions are places in a viewing. Nothing is written after the fence, which a deleted profile leaves.
const (
	maxStamp = 1 << 60
	fence    = maxStamp + 1
)

// stamp returns the timestamp of the turn's report.
func (t turn) stamp() int64 { return min(max(t.Seq, 0), maxStamp) }

const (
	trustFor  = time.Minute // that a turn may be followed without reading it again
	maxRecent = 50_000      // turns remembered, twice
)

// recent remembers the turns that this process wrote, so that a viewing's next report needs no reading. It is bounded: when it is full, the older half goes.
type recent struct {
	mu         sync.Mutex
	young, old map[seat]known
}

// seat is a profile before a title.
type seat struct {
	profile bijou.ProfileID
	title   bijou.TitleID
}

type known struct {
	turn
	read time.Time // when all turns of the title were last read
}

func newRecent() *recent { return &recent{young: map[seat]known{}} }

// follow returns the turn after the report where nothing has to be read for that: it is the next of a viewing that had the title a moment ago, on the same day.
func (r *recent) follow(p bijou.Position, now time.Time) (known, bool) {
	r.mu.Lock()
	k, ok := r.young[seat{p.Profile, p.Title}]
	if !ok {
		k, ok = r.old[seat{p.Profile, p.Title}]
	}
	r.mu.Unlock()
	if !ok || k.Session != p.Session || p.Seq <= k.Seq || now.Sub(k.read) > trustFor || dayOf(k.At) != dayOf(p.At) {
		return known{}, false
	}
	return known{k.on(p), k.read}, true
}

func (r *recent) keep(k known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= maxRecent {
		r.young, r.old = map[seat]known{}, r.young
	}
	r.young[seat{k.Profile, k.Title}] = k
}
