//go:build engines

package cassandra

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/test/engines"
)

const (
	seed         = 20310304
	callers      = 8
	callsAFault  = 2000
	slowestCall  = 10 * time.Second // that the contract of the engine allows
	sharedTitles = 6                // that all callers watch by the same profiles
)

// faults strikes the nodes one after the other while callers go on.
func faults(t *testing.T, c *engines.Cassandra) {
	a, b := opened(t, c.Address("faults")), opened(t, c.Address("faults"))
	checked(t, a)
	tr := newTraffic(t, a, b)
	tr.run(t, "all nodes there", callsAFault, func() {})
	tr.run(t, "one killed", callsAFault, func() { c.Nodes[1].Kill(t) })
	c.Nodes[1].Start(t)
	c.AwaitHints(t)
	tr.run(t, "one paused", callsAFault, func() { c.Nodes[0].Pause(t) })
	c.Nodes[0].Resume(t)
	c.AwaitHints(t)
	c.Nodes[2].Kill(t)
	t.Run("EveryAcknowledgedWriteIsThereAfterAnotherNodeWasKilled", func(t *testing.T) { tr.verify(t) })
	t.Run("PositionsNeverGoBack", func(t *testing.T) { tr.history.check(t) })

	c.Nodes[0].Kill(t)
	c.Nodes[1].Kill(t)
	_, err := a.Profiles(t.Context(), "acc_0")
	wantKind(t, "profiles while all nodes are away", err, bijou.Unavailable, "Cassandra at 127.0.0.1")
	for _, n := range c.Nodes[:2] { // two of three are enough
		n.Launch(t)
	}
	engines.Until(t, "the store answers again by itself", 2*time.Minute, func() error {
		_, err := a.Profiles(t.Context(), "acc_0")
		return err
	})
	t.Run("AllIsThereAfterAllNodesWereAway", func(t *testing.T) { tr.verify(t) })
}

// traffic is what callers do at the same time. Each has a profile of its own for what it alone changes, and all watch the same titles by the profiles of all.
// A transaction whose answer is lost and that is made twice, or not at all, fails as taken or as not found.
type traffic struct {
	stores  []*Store
	history *history
	rand    []*rand.Rand
	own     []map[bijou.TitleID]bool // the titles on each caller's own list
	names   []string                 // of each caller's own profile
	guests  []int                    // how many profiles each caller made beside its own; each is deleted before the next is made
	present []bool                   // whether the last of them is there
}

func newTraffic(t *testing.T, stores ...*Store) *traffic {
	tr := &traffic{stores: stores, history: newHistory(), guests: make([]int, callers), present: make([]bool, callers)}
	for n := range callers {
		p := ownProfile(n)
		must(t, "create profile", stores[0].CreateProfile(t.Context(), p))
		tr.rand = append(tr.rand, rand.New(rand.NewPCG(seed, uint64(n))))
		tr.own, tr.names = append(tr.own, map[bijou.TitleID]bool{}), append(tr.names, p.Name)
	}
	return tr
}

func ownProfile(n int) bijou.Profile {
	return someProfile(fmt.Sprint("prf_", n), fmt.Sprint("acc_", n/2))
}

// run makes that many calls, and strikes when a quarter of them is made. It fails the test for a call that fails, or takes longer than the contract allows.
func (tr *traffic) run(t *testing.T, what string, calls int, strike func()) {
	var made atomic.Int64
	var mu sync.Mutex
	took := map[string][]time.Duration{}
	begin := time.Now()
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			for {
				k := made.Add(1)
				if k > int64(calls) {
					return
				}
				if k == int64(calls/4) {
					strike()
				}
				began := time.Now()
				name, err := tr.call(t, n)
				d := time.Since(began)
				if err != nil || d > slowestCall {
					t.Errorf("%s, seed %d, caller %d: %s took %s and failed with %v", what, seed, n, name, d, err)
				}
				mu.Lock()
				took[name] = append(took[name], d)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	var every []time.Duration
	for name, ds := range took {
		slices.Sort(ds)
		every = append(every, ds...)
		t.Logf("%s: %5d of %-16s median %6.1f ms, p99 %7.1f ms, slowest %7.1f ms", what, len(ds), name, ms(ds[len(ds)/2]), ms(ds[len(ds)*99/100]), ms(ds[len(ds)-1]))
	}
	t.Logf("%s: %d calls in %.1f s, slowest %.1f ms", what, len(every), time.Since(begin).Seconds(), ms(slices.Max(every)))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// call makes one of caller n's calls.
func (tr *traffic) call(t *testing.T, n int) (name string, err error) {
	r := tr.rand[n]
	s := tr.stores[n%len(tr.stores)]
	own := ownProfile(n)
	title := bijou.TitleID(fmt.Sprint("ttl_", r.IntN(40)))
	switch k := r.IntN(100); {
	case k < 50:
		return "SavePosition", tr.history.save(t, s, r)
	case k < 80:
		return "Position", tr.history.read(t, s, r)
	case k < 90:
		_, err = s.Profiles(t.Context(), own.Account)
		return "Profiles", err
	case k < 94:
		if err = s.AddToList(t.Context(), bijou.ListEntry{Profile: own.ID, Title: title, Added: own.Created}); err == nil {
			tr.own[n][title] = true
		}
		return "AddToList", err
	case k < 96:
		if err = s.RemoveFromList(t.Context(), own.ID, title); err == nil {
			delete(tr.own[n], title)
		}
		return "RemoveFromList", err
	case k < 97:
		_, err = s.Positions(t.Context(), own.ID, 50)
		return "Positions", err
	case k < 99 && tr.present[n]:
		tr.present[n] = false
		return "DeleteProfile", s.DeleteProfile(t.Context(), own.Account, tr.guest(n).ID)
	case k < 99:
		tr.guests[n]++
		tr.present[n] = true
		return "CreateProfile", s.CreateProfile(t.Context(), tr.guest(n))
	}
	own.Name = fmt.Sprint("name ", r.Uint32())
	if err = s.UpdateProfile(t.Context(), own); err == nil {
		tr.names[n] = own.Name
	}
	return "UpdateProfile", err
}

// guest returns the profile that the caller made last beside its own.
func (tr *traffic) guest(n int) bijou.Profile {
	return someProfile(fmt.Sprint("prf_guest", n, "x", tr.guests[n]), string(ownProfile(n).Account))
}

// household returns the profiles that the caller's account has.
func (tr *traffic) household(n int) (out []bijou.Profile) {
	for k := range callers {
		if own := ownProfile(k); own.Account == ownProfile(n).Account {
			own.Name = tr.names[k]
			if out = append(out, own); tr.present[k] {
				out = append(out, tr.guest(k))
			}
		}
	}
	slices.SortFunc(out, func(a, b bijou.Profile) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// verify reads what was acknowledged.
func (tr *traffic) verify(t *testing.T) {
	s := tr.stores[0]
	for n := range callers {
		own := ownProfile(n)
		profiles, err := s.Profiles(t.Context(), own.Account)
		must(t, "profiles", err)
		if want := tr.household(n); !slices.Equal(profiles, want) {
			t.Errorf("profiles of %s: got %+v, want %+v", own.Account, profiles, want)
		}
		page, err := s.List(t.Context(), own.ID, "", bijou.MaxList)
		must(t, "list", err)
		listed := map[bijou.TitleID]bool{}
		for _, e := range page.Entries {
			listed[e.Title] = true
		}
		if len(page.Entries) != len(tr.own[n]) || fmt.Sprint(listed) != fmt.Sprint(tr.own[n]) {
			t.Errorf("list of %s: got %v, want %v", own.ID, listed, tr.own[n])
		}
		positions, err := s.Positions(t.Context(), own.ID, 1000)
		must(t, "positions", err)
		for title := range sharedTitles {
			tr.history.verify(t, s, seat{own.ID, sharedTitle(title)}, positions)
		}
	}
}

func sharedTitle(n int) bijou.TitleID { return bijou.TitleID(fmt.Sprint("ttl_shared", n)) }

// history is what callers saved and saw. Reports are taken in one after another, as the service does, and so each is newer than those before it: what
// is read must be the newest that was acknowledged before, or a later one, and never older than what anybody read before.
type history struct {
	mu    sync.Mutex
	clock int64 // microseconds
	seq   map[bijou.SessionID]int64
	acked map[seat]bijou.Position
	seen  []sight
	saved map[seat]map[bijou.Position]bool
}

// sight is one answer of Position, with the time around it.
type sight struct {
	at           seat
	acked        bijou.Position // the newest that was acknowledged when it was asked
	got          bijou.Position // the zero value where there was none
	asked, heard time.Time
}

func newHistory() *history {
	return &history{clock: time.Date(2031, time.March, 4, 23, 59, 59, 0, time.UTC).UnixMicro(), seq: map[bijou.SessionID]int64{}, acked: map[seat]bijou.Position{}, saved: map[seat]map[bijou.Position]bool{}}
}

// report takes a report in: of one of three viewings of a title that all watch.
func (h *history) report(r *rand.Rand) bijou.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := seat{bijou.ProfileID(fmt.Sprint("prf_", r.IntN(callers))), sharedTitle(r.IntN(sharedTitles))}
	session := bijou.SessionID(fmt.Sprint("ply_", at.profile, at.title, r.IntN(3)))
	h.seq[session]++
	h.clock += 1000
	p := bijou.Position{Profile: at.profile, Title: at.title, Session: session, Seq: h.seq[session], At: fromMicros(h.clock), PositionMS: r.Int64N(1e6), RuntimeMS: 1e6}
	if h.saved[at] == nil {
		h.saved[at] = map[bijou.Position]bool{}
	}
	h.saved[at][p] = true
	return p
}

func (h *history) save(t *testing.T, s *Store, r *rand.Rand) error {
	p := h.report(r)
	err := s.SavePosition(t.Context(), p)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := seat{p.Profile, p.Title}
	if err == nil && p.At.After(h.acked[at].At) {
		h.acked[at] = p
	}
	return err
}

func (h *history) read(t *testing.T, s *Store, r *rand.Rand) error {
	at := seat{bijou.ProfileID(fmt.Sprint("prf_", r.IntN(callers))), sharedTitle(r.IntN(sharedTitles))}
	h.mu.Lock()
	acked, asked := h.acked[at], time.Now()
	h.mu.Unlock()
	got, err := s.Position(t.Context(), at.profile, at.title)
	if errors.Is(err, bijou.NotFound) {
		err = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.seen = append(h.seen, sight{at, acked, got, asked, time.Now()})
	}
	return err
}

// check goes through what was seen.
func (h *history) check(t *testing.T) {
	bySeat := map[seat][]sight{}
	for _, s := range h.seen {
		if s.got.At.Before(s.acked.At) {
			t.Errorf("%v: got %+v, older than %+v, which was acknowledged before", s.at, s.got, s.acked)
		}
		if s.got != (bijou.Position{}) && !h.saved[s.at][s.got] {
			t.Errorf("%v: got %+v, which nobody saved", s.at, s.got)
		}
		bySeat[s.at] = append(bySeat[s.at], s)
	}
	compared := 0
	for at, all := range bySeat {
		slices.SortFunc(all, func(a, b sight) int { return a.heard.Compare(b.heard) })
		for i, later := range all {
			newest := slices.MaxFunc(append([]sight{{}}, before(all[:i], later.asked)...), func(a, b sight) int { return cmp.Compare(a.got.At.UnixMicro(), b.got.At.UnixMicro()) })
			if later.got.At.Before(newest.got.At) {
				t.Errorf("%v went back: got %+v, after %+v was read", at, later.got, newest.got)
			}
			compared++
		}
	}
	t.Logf("seed %d: %d reads of %d titles compared", seed, compared, len(bySeat))
}

// before returns those that were heard before the moment.
func before(all []sight, moment time.Time) []sight {
	n, _ := slices.BinarySearchFunc(all, moment, func(s sight, m time.Time) int { return s.heard.Compare(m) })
	return all[:n]
}

// verify compares what is kept of a seat, alone and among all of the profile's, with what was acknowledged. Nothing is being written.
func (h *history) verify(t *testing.T, s *Store, at seat, positions []bijou.Position) {
	h.mu.Lock()
	acked := h.acked[at]
	h.mu.Unlock()
	if acked == (bijou.Position{}) {
		return
	}
	got, err := s.Position(t.Context(), at.profile, at.title)
	if err != nil || got != acked {
		t.Errorf("%v: got %+v, %v, want the newest that was acknowledged, %+v", at, got, err, acked)
	}
	if !slices.Contains(positions, acked) {
		t.Errorf("positions of %s: want %+v among them", at.profile, acked)
	}
}
