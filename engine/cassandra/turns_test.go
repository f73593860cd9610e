package cassandra

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"bijou"
)

// shelf keeps the turns of a title as Cassandra does: of one key the write with the higher timestamp stays, and what is removed stays away up to its timestamp.
type shelf struct {
	turns   map[string]turn
	removed map[string]int64
}

func newShelf() *shelf { return &shelf{map[string]turn{}, map[string]int64{}} }

func key(t turn) string { return fmt.Sprint(t.Session, " ", t.since) }

func (s *shelf) write(t turn) {
	if cut, ok := s.removed[key(t)]; ok && t.stamp() <= cut {
		return
	}
	if old, ok := s.turns[key(t)]; !ok || t.stamp() > old.stamp() {
		s.turns[key(t)] = t
	}
}

func (s *shelf) remove(t turn) {
	s.removed[key(t)] = max(s.removed[key(t)], t.stamp())
	if old, ok := s.turns[key(t)]; ok && old.stamp() <= t.stamp() {
		delete(s.turns, key(t))
	}
}

func (s *shelf) all() (out []turn) {
	for _, t := range s.turns {
		out = append(out, t)
	}
	return out
}

// save is SavePosition without the cluster.
func (s *shelf) save(p bijou.Position) {
	turns := s.all()
	t, ok := follow(turns, p)
	if !ok {
		return
	}
	for _, old := range outlived(turns) {
		s.remove(old)
	}
	s.write(t)
}

func report(r *rand.Rand) bijou.Position {
	return bijou.Position{
		Session: bijou.SessionID(fmt.Sprint("ply_", r.IntN(4))), Seq: 1 + r.Int64N(12), At: time.UnixMicro(1_900_000_000_000_000 + r.Int64N(25)).UTC(), PositionMS: r.Int64N(1000),
	}
}

func TestOneAfterAnotherReportsReplaceAsTheContractSays(t *testing.T) {
	for seed := range uint64(3000) {
		r, s := rand.New(rand.NewPCG(seed, 1)), newShelf()
		var want bijou.Position // the contract in one variable
		for n := range 40 {
			p := report(r)
			if n == 0 || p.Newer(want) {
				want = p
			}
			s.save(p)
			got, _ := latest(s.all())
			if got.Position != want {
				t.Fatalf("seed %d, report %d, %+v:\n got %+v\nwant %+v\nof %+v", seed, n, p, got.Position, want, s.all())
			}
			if len(s.turns) > maxTurns {
				t.Fatalf("seed %d, report %d: %d turns are kept, want at most %d", seed, n, len(s.turns), maxTurns)
			}
		}
	}
}

// Writers who saw different things write in any order: as long as no time goes back, the report taken in last stays.
func TestOfReportsAtTheSameTimeTheLatestStays(t *testing.T) {
	for seed := range uint64(3000) {
		r, s := rand.New(rand.NewPCG(seed, 2)), newShelf()
		var seq [4]int64
		at := time.UnixMicro(1_900_000_000_000_000).UTC()
		var kept []bijou.Position
		seen := []turn{}
		for range 40 {
			session := r.IntN(len(seq))
			seq[session]++
			at = at.Add(time.Microsecond)
			p := bijou.Position{Session: bijou.SessionID(fmt.Sprint("ply_", session)), Seq: seq[session], At: at}
			if r.IntN(3) > 0 {
				seen = s.all() // else the writer looked earlier
			}
			kept = append(kept, p)
			next, ok := follow(seen, p)
			if !ok {
				t.Fatalf("seed %d: %+v is newer than all before and was refused", seed, p)
			}
			for _, old := range outlived(seen) {
				s.remove(old)
			}
			s.write(next)
			if got, _ := latest(s.all()); got.Position != p {
				t.Fatalf("seed %d: got %+v, want %+v, of %+v", seed, got.Position, p, kept)
			}
		}
	}
}

func TestAReportThatComesLateReplacesNothingInAnyOrder(t *testing.T) {
	for seed := range uint64(3000) {
		r, s := rand.New(rand.NewPCG(seed, 3)), newShelf()
		var all []bijou.Position
		for n := range 12 {
			all = append(all, bijou.Position{
				Session: bijou.SessionID(fmt.Sprint("ply_", r.IntN(3))), Seq: int64(n + 1), At: time.UnixMicro(1_900_000_000_000_000 + int64(n)).UTC(),
			})
		}
		want := all[len(all)-1]
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for group := range slices.Chunk(all, 3) { // three look at once, and write then
			seen := s.all()
			for _, p := range group {
				if next, ok := follow(seen, p); ok {
					s.write(next)
				}
			}
		}
		if got, _ := latest(s.all()); got.Position != want {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got.Position, want)
		}
	}
}

func TestNoPlaceInAViewingWritesPastTheFence(t *testing.T) {
	for _, seq := range []int64{-1 << 63, -1, 0, 1, maxStamp, fence, 1<<63 - 1} {
		if got := (turn{Position: bijou.Position{Seq: seq}}).stamp(); got < 0 || got >= fence {
			t.Errorf("place %d: got the timestamp %d, want 0 to %d", seq, got, int64(fence-1))
		}
	}
}

func TestWhatIsRememberedIsBoundedAndNotTrustedForLong(t *testing.T) {
	r := newRecent()
	now := time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
	p := bijou.Position{Profile: "prf_1", Title: "ttl_1", Session: "ply_1", Seq: 3, At: now}
	r.keep(known{turn{Position: p, since: 7, rank: micros(now)}, now})
	later := p
	later.Seq, later.At = 4, now.Add(-time.Second)
	if k, ok := r.follow(later, now.Add(trustFor)); !ok || k.since != 7 || k.rank != micros(now) || k.Position != later || k.read != now {
		t.Errorf("the next report: got %+v, %v", k, ok)
	}
	for what, change := range map[string]func(p *bijou.Position, at *time.Time){
		"a minute later":         func(_ *bijou.Position, at *time.Time) { *at = now.Add(trustFor + 1) },
		"of another viewing":     func(p *bijou.Position, _ *time.Time) { p.Session = "ply_2" },
		"the same one":           func(p *bijou.Position, _ *time.Time) { p.Seq = 3 },
		"of another title":       func(p *bijou.Position, _ *time.Time) { p.Title = "ttl_2" },
		"of another profile":     func(p *bijou.Position, _ *time.Time) { p.Profile = "prf_2" },
		"taken in the day after": func(p *bijou.Position, _ *time.Time) { p.At = now.Add(12 * time.Hour) },
	} {
		other, at := later, now
		change(&other, &at)
		if k, ok := r.follow(other, at); ok {
			t.Errorf("a report %s: got %+v, want that the store is read", what, k)
		}
	}
	for n := range 3 * maxRecent {
		p.Title = bijou.TitleID(fmt.Sprint("ttl_", n))
		r.keep(known{turn{Position: p}, now})
	}
	if len(r.young)+len(r.old) > 2*maxRecent {
		t.Errorf("%d turns are remembered, want at most %d", len(r.young)+len(r.old), 2*maxRecent)
	}
}
