package pulse

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// audience makes the facts of random viewings: in order or not, twice or not, late or not.
type audience struct {
	*rand.Rand
	partitions int
	viewings   []bijou.SessionID
	next       map[bijou.SessionID]int64
	all        map[int][]bijou.Fact // by partition, to be sent again
}

func newAudience(r *rand.Rand, partitions int) *audience {
	return &audience{Rand: r, partitions: partitions, next: map[bijou.SessionID]int64{}, all: map[int][]bijou.Fact{}}
}

func pick[T any](a *audience, of ...T) T { return of[a.IntN(len(of))] }

// fact returns a fact and the partition that it belongs to.
func (a *audience) fact(now time.Time) (partition int, f bijou.Fact) {
	if len(a.viewings) == 0 || a.IntN(4) == 0 {
		a.viewings = append(a.viewings, bijou.SessionID(fmt.Sprintf("ply_%d", len(a.viewings))))
	}
	v := a.IntN(len(a.viewings))
	if n := len(a.viewings); a.IntN(3) > 0 && n > 5 {
		v = n - 1 - a.IntN(5) // mostly the latest
	}
	id := a.viewings[v]
	partition = v % a.partitions
	if old := a.all[partition]; len(old) > 0 && a.IntN(6) == 0 { // sent again
		f = old[len(old)-1-a.IntN(min(len(old), 40))]
		f.At = now
		return partition, f
	}
	a.next[id] += pick(a, int64(1), 1, 1, 1, 1, 1, 2, 30, 300)
	seq := a.next[id]
	if a.IntN(10) == 0 {
		seq = max(1, seq-int64(a.IntN(300))) // out of order
	}
	kinds := []bijou.FactKind{bijou.FactHeartbeat, bijou.FactHeartbeat, bijou.FactStall, bijou.FactFirstFrame, bijou.FactFirstFrame, bijou.FactEnd, bijou.FactError, bijou.FactStart, bijou.FactPause}
	kind := pick(a, kinds...)
	if seq == 1 && a.IntN(8) > 0 {
		kind = bijou.FactStart
	}
	f = bijou.Fact{
		Kind: kind, Session: id, Seq: seq, Title: bijou.TitleID(fmt.Sprintf("ttl_%d", v%7)), At: now,
		Player: pick(a, "", "bijou-web/1", "tv/2"), Appliance: pick[bijou.ApplianceID](a, "", "apl_1", "apl_2"), Zone: pick(a, "", "oslo", "bergen"),
		DurationMS: int64(a.IntN(14_000)), Cause: pick(a, "", bijou.CauseNetwork, bijou.CauseMedia, bijou.CauseTimeout),
	}
	if kind != bijou.FactStart {
		f.PlayedMS, f.BPS = pick(a, 0, int64(a.IntN(30_000))), pick(a, 0, int64(a.IntN(8_000_000)))
	}
	if a.IntN(20) == 0 {
		f.At = now.Add(-time.Duration(a.IntN(5000)) * time.Millisecond) // two reports overtook each other
	}
	a.all[partition] = append(a.all[partition], f)
	return partition, f
}

// wantRecount compares what the room answers with a recount of the facts.
func wantRecount(t *testing.T, s *Service, facts [][]bijou.Fact, from, until time.Time) {
	t.Helper()
	from, until, now := from.Truncate(time.Second), until.Truncate(time.Second), s.Now()
	for _, by := range append([]bijou.PulseDimension{""}, dimensionNames[:]...) {
		got, err := s.Query(t.Context(), Query{From: from.Format(time.RFC3339), Until: until.Format(time.RFC3339), By: string(by), Limit: 200, StepS: 3600})
		if err != nil {
			t.Fatal(err)
		}
		total, groups := Recount(facts, from, until, now, by)
		if d := cmp.Diff(total, got.Total, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s to %s: recount (-), pulse (+):\n%s", from, until, d)
		}
		if d := cmp.Diff(groups, got.Groups, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s to %s by %q: recount (-), pulse (+):\n%s", from, until, by, d)
		}
		var sum int64
		for _, p := range got.Points {
			sum += p.Figures.Starts
		}
		if sum != total.Starts {
			t.Errorf("the points have %d starts, want %d", sum, total.Starts)
		}
	}
}

func TestHoweverFactsComeAndWheneverItDiesPulseEqualsARecount(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { liveThrough(t, seed) }) })
	}
}

// liveThrough has a room live through random facts, kills and failures of its log.
func liveThrough(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	l := newMemoryLog(1 + r.IntN(3))
	a := newAudience(r, l.partitions)
	begin := time.Now()
	start := func() (*Service, func()) {
		s := newRoom(l, time.Now)
		s.rememberEvery = int64(1 + r.IntN(100))
		return s, runs(t, s)
	}
	s, stop := start()
	for range 80 {
		for range r.IntN(30) {
			partition, f := a.fact(time.Now())
			l.put(t, partition, f)
			if r.IntN(10) == 0 {
				time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
			}
		}
		l.mu.Lock()
		l.most = 1 + r.IntN(20)
		if r.IntN(8) == 0 {
			l.writes, l.keeps = r.IntN(4), r.IntN(6)
		} else {
			l.writes = -1
		}
		l.mu.Unlock()
		switch r.IntN(12) {
		case 0:
			stop()
			time.Sleep(time.Duration(r.IntN(60)) * time.Second)
			s, stop = start()
		case 1:
			time.Sleep(time.Duration(r.IntN(14*60)) * time.Minute)
		default:
			time.Sleep(time.Duration(r.IntN(40_000)) * time.Millisecond)
		}
	}
	l.mu.Lock()
	l.writes = -1
	l.mu.Unlock()
	time.Sleep(2 * time.Minute) // the room tries again after a failure, and the last starts become silent
	facts := l.facts(t)
	for range 2 {
		end := time.Now()
		wantRecount(t, s, facts, begin, end)
		for range 3 {
			from := begin.Add(time.Duration(r.Int64N(int64(end.Sub(begin)))))
			wantRecount(t, s, facts, from, from.Add(time.Minute+time.Duration(r.Int64N(int64(end.Sub(from))))))
		}
		stop()
		s, stop = start()
		time.Sleep(2 * time.Minute)
	}
	stop()
	l.mu.Lock()
	l.topics[bijou.TopicPulse] = nil // somebody took the kept minutes away
	l.mu.Unlock()
	s, stop = start()
	time.Sleep(2 * time.Minute)
	wantRecount(t, s, facts, begin, time.Now())
	stop()
}

func TestALogOfFactsThatWasPutBackFromABackupIsCountedFromItsEndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(1)
		start := func(n int) bijou.Fact {
			return bijou.Fact{Kind: bijou.FactStart, Session: bijou.SessionID(fmt.Sprint("ply_", n)), Seq: 1, Title: "ttl_1", At: time.Now()}
		}
		stop := runs(t, newRoom(l, time.Now))
		for n := range 10 {
			l.put(t, 0, start(n))
		}
		time.Sleep(2 * time.Minute)
		stop()
		l.topics[bijou.TopicFacts][0] = l.topics[bijou.TopicFacts][0][:7] // the backup had seven of them, and all that was counted
		s := newRoom(l, time.Now)
		stop = runs(t, s)
		time.Sleep(time.Minute)
		for n := range 5 {
			l.put(t, 0, start(100+n))
		}
		time.Sleep(2 * time.Minute)
		if a, err := s.Query(t.Context(), Query{}); err != nil || a.Total.Starts != 15 {
			t.Errorf("ten starts before and five after: got %d, %v", a.Total.Starts, err)
		}
		stop()
	})
}

func TestWhatIsKeptWhileAnotherPartitionIsReadAgainDoesNotSetThatOneBack(t *testing.T) {
	l := newMemoryLog(2)
	begin := func() *worker {
		w, err := newRoom(l, func() time.Time { return noon.Add(time.Hour) }).restore(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	keep := func(w *worker, partitions ...int) {
		for _, n := range partitions {
			records, err := l.Read(t.Context(), bijou.TopicFacts, n, w.parts[n].next, 1000)
			if err != nil {
				t.Fatal(err)
			}
			w.take(w.batchOf(n, records))
		}
		if err := w.keep(t.Context(), noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	l.put(t, 0, told(bijou.FactStart, 1, 0), told(bijou.FactEnd, 2, time.Second))
	other := func(f *bijou.Fact) { f.Session = "ply_2" }
	l.put(t, 1, told(bijou.FactStart, 1, 0, other), told(bijou.FactEnd, 2, time.Second, other))
	keep(begin(), 0, 1)
	l.put(t, 0, told(bijou.FactStall, 3, time.Minute))
	keep(begin(), 0) // nothing is remembered of viewings yet, so both begin again, and only one has come so far
	s := catchUp(t, l, []int64{3, 2}, noon.Add(time.Hour))
	wantRecount(t, s, l.facts(t), noon, noon.Add(time.Hour))
}
