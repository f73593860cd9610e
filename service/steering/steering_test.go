package steering

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is all that the room works with.
type world struct {
	mu        sync.Mutex
	published map[bijou.TitleID]bool
	asked     map[bijou.TitleID]int
	silent    error // of the catalogue
	revoked   []bijou.Revocation
	failing   error // of the stores
	wanted    map[bijou.ApplianceID]bijou.ApplianceState
	signed    int
}

// PublishedTitle implements bijou.Titles.
func (w *world) PublishedTitle(_ context.Context, id bijou.TitleID) (bijou.Title, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[id]++
	if w.silent != nil {
		return bijou.Title{}, w.silent
	}
	if !w.published[id] {
		return bijou.Title{}, fmt.Errorf("there is no title %s: %w", id, bijou.NotFound)
	}
	return bijou.Title{ID: id}, nil
}

// Revoke implements bijou.RevocationStore.
func (w *world) Revoke(_ context.Context, r bijou.Revocation) error {
	w.revoked = append(w.revoked, r)
	return w.failing
}

// Revoked implements bijou.RevocationStore.
func (w *world) Revoked(_ context.Context, id bijou.SessionID, now time.Time) (bool, error) {
	return slices.ContainsFunc(w.revoked, func(r bijou.Revocation) bool { return r.Session == id && r.Until.After(now) }), nil
}

// Revocations implements bijou.RevocationStore.
func (w *world) Revocations(context.Context, time.Time) ([]bijou.Revocation, error) {
	return w.revoked, w.failing
}

// WantAppliance implements bijou.ApplianceStore.
func (w *world) WantAppliance(_ context.Context, id bijou.ApplianceID, s bijou.ApplianceState) error {
	if w.failing == nil {
		w.wanted[id] = s
	}
	return w.failing
}

// WantedAppliances implements bijou.ApplianceStore.
func (w *world) WantedAppliances(context.Context) (map[bijou.ApplianceID]bijou.ApplianceState, error) {
	out := map[bijou.ApplianceID]bijou.ApplianceState{}
	for id, s := range w.wanted {
		out[id] = s
	}
	return out, w.failing
}

func newWorld() *world {
	return &world{
		published: map[bijou.TitleID]bool{"ttl_x": true}, asked: map[bijou.TitleID]int{}, wanted: map[bijou.ApplianceID]bijou.ApplianceState{},
	}
}

func (w *world) room(change ...func(d *Deps)) *Service {
	d := Deps{
		Titles: w, Wanted: w, Revocations: w, Keys: func() [][]byte { return [][]byte{{1}, {2}} },
		Sign: func(g bijou.Grant) (string, error) {
			w.signed++
			return "grant-of-" + string(g.Asset), nil
		},
		Config: DefaultConfig(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}
	for _, f := range change {
		f(&d)
	}
	return New(d)
}

func mustReport(t *testing.T, c bijou.Control, r bijou.ApplianceReport) bijou.ApplianceOrders {
	t.Helper()
	o, err := c.Report(t.Context(), r)
	if err != nil {
		t.Fatalf("report of %s: %v", r.Appliance.ID, err)
	}
	return o
}

func viewing(n int) bijou.Viewing {
	return bijou.Viewing{Session: bijou.SessionID(fmt.Sprint("ply_", n)), Title: "ttl_x", Asset: "ast_x", Client: netip.MustParseAddr("::ffff:10.1.2.3")}
}

func placesOf(ps []bijou.Place) (out []string) {
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return out
}

func wantPlaces(t *testing.T, s bijou.Steering, what string, want ...string) {
	t.Helper()
	d, err := s.Steer(t.Context(), viewing(1))
	if err != nil && len(want) > 0 || err == nil && len(want) == 0 {
		t.Errorf("%s: got %v", what, err)
	}
	if got := placesOf(d.Places); !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// contracts are what others ask of the room.
type contracts interface {
	bijou.Control
	bijou.Steering
}

// here and there run the check on the room, and on the room in another process. Each has a world of its own.
func hereAndThere(t *testing.T, change func(d *Deps), check func(t *testing.T, w *world, c contracts, s *Service)) {
	if change == nil {
		change = func(*Deps) {}
	}
	t.Run("here", func(t *testing.T) {
		w := newWorld()
		s := w.room(change)
		check(t, w, s, s)
	})
	t.Run("there", func(t *testing.T) {
		w := newWorld()
		s := w.room(change)
		server := httptest.NewServer(rpc.Handler(rpc.Deps{}, s.Routes()...))
		defer server.Close()
		client := rpc.NewClient(server.URL, rpc.Trusted())
		defer client.Close()
		check(t, w, NewClient(client), s)
	})
}

func TestTheRoomIsTheSameHereAndThere(t *testing.T) {
	zones := func(d *Deps) { d.Config.Networks = []string{"10.0.0.0/8=north"} }
	hereAndThere(t, zones, func(t *testing.T, w *world, c contracts, s *Service) {
		if _, err := c.Steer(t.Context(), viewing(1)); !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), "bijou appliance list") {
			t.Errorf("without appliances: got %v, want Unavailable and what to do", err)
		}
		w.revoked = []bijou.Revocation{{Session: "ply_gone", Until: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)}}
		a, b := sketch{id: "a", zone: "south"}.report(), sketch{id: "b", zone: "north"}.report()
		a.Appliance.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
		a.Version, a.Listed, a.Holdings = 3, true, []bijou.Holding{{Asset: "ast_x", Title: "ttl_x", Complete: true}, {Asset: "ast_old", Title: "ttl_removed"}, {Asset: "ast_odd"}}
		want := bijou.ApplianceOrders{
			State: bijou.ApplianceServing, Keys: [][]byte{{1}, {2}}, Revoked: w.revoked, Gone: []bijou.AssetID{"ast_old"}, Known: 3, EveryMS: 2000,
		}
		if diff := cmp.Diff(want, mustReport(t, c, a), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("orders of the first (-want +got):\n%s", diff)
		}
		want.Gone, want.Known = nil, -1
		want.Peers = []bijou.Peer{{ID: "apl_a", Address: "http://a.example.org", Zone: "south", Grants: map[bijou.AssetID]string{"ast_x": "grant-of-ast_x"}}}
		if diff := cmp.Diff(want, mustReport(t, c, b), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("orders of the second (-want +got):\n%s", diff)
		}
		d, err := c.Steer(t.Context(), viewing(1))
		if err != nil {
			t.Fatal(err)
		}
		places := []bijou.Place{
			{Appliance: "apl_a", Name: "a", Address: "http://a.example.org", Zone: "south", Reason: "first: it has all of it, is meant for the viewer's network (/16), uses 0 % of its capacity"},
			{Appliance: "apl_b", Name: "b", Address: "http://b.example.org", Zone: "north", Reason: "after a: a is meant for the viewer's network (/16), and it is not"},
		}
		if diff := cmp.Diff(places, d.Places); diff != "" || len(d.Left) != 0 || d.Viewing.Client != netip.MustParseAddr("10.1.2.3") {
			t.Errorf("decision %+v, places (-want +got):\n%s", d, diff)
		}
		kept, err := s.Why(t.Context(), OneSession{Session: "ply_1"})
		if diff := cmp.Diff(d, kept, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("why: %v (-decided +kept):\n%s", err, diff)
		}
	})
}

func TestWhatNoApplianceReportsIsRefusedInWordsThatNameIt(t *testing.T) {
	hereAndThere(t, nil, func(t *testing.T, _ *world, c contracts, s *Service) {
		for what, spoil := range map[string]func(r *bijou.ApplianceReport){
			"another's prefix": func(r *bijou.ApplianceReport) { r.Appliance.ID = "acc_1" },
			"no address":       func(r *bijou.ApplianceReport) { r.Appliance.Address = "" },
			"no state":         func(r *bijou.ApplianceReport) { r.State = "" },
			"too much": func(r *bijou.ApplianceReport) {
				r.Holdings = slices.Repeat([]bijou.Holding{{Asset: "ast_x"}}, bijou.MaxHoldings+1)
			},
		} {
			r := sketch{id: "a"}.report()
			spoil(&r)
			if _, err := c.Report(t.Context(), r); !errors.Is(err, bijou.Invalid) {
				t.Errorf("%s: got %v, want Invalid", what, err)
			}
		}
		if list, err := s.List(t.Context(), struct{}{}); err != nil || len(list.Appliances) != 0 {
			t.Errorf("after refused reports: got %v, %v, want none", list, err)
		}
	})
}

func TestTheLargestReportThatIsAllowedIsTaken(t *testing.T) {
	hereAndThere(t, nil, func(t *testing.T, _ *world, c contracts, s *Service) {
		r := sketch{id: "a"}.report()
		r.Listed = true
		for i := range bijou.MaxHoldings {
			r.Holdings = append(r.Holdings, bijou.Holding{Asset: bijou.AssetID(fmt.Sprintf("ast_%016d", i)), Title: "ttl_x", Files: 1e4, Bytes: 1e12, Complete: true})
		}
		for i := range maxNetworks {
			r.Appliance.Networks = append(r.Appliance.Networks, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i), 15: 1}), 128))
		}
		mustReport(t, c, r)
		if list, err := s.List(t.Context(), struct{}{}); err != nil || list.Appliances[0].Assets != bijou.MaxHoldings {
			t.Errorf("got %v, want an appliance with %d assets", err, bijou.MaxHoldings)
		}
	})
}

func TestNobodyReportsForAnotherAppliance(t *testing.T) {
	only := func(d *Deps) {
		d.MayReport = func(_ context.Context, id bijou.ApplianceID) error {
			if id != "apl_a" {
				return fmt.Errorf("the certificate is not %s's: %w", id, bijou.Denied)
			}
			return nil
		}
	}
	hereAndThere(t, only, func(t *testing.T, _ *world, c contracts, _ *Service) {
		mustReport(t, c, sketch{id: "a"}.report())
		if _, err := c.Report(t.Context(), sketch{id: "b"}.report()); !errors.Is(err, bijou.Denied) {
			t.Errorf("another's report: got %v, want Denied", err)
		}
		wantPlaces(t, c, "after a refused report", "a")
	})
}

func TestABoxThatSaysNothingIsALastResortThenLeftOutThenForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld().room()
		mustReport(t, s, sketch{id: "a"}.report())
		b := sketch{id: "b"}.report()
		b.Listed, b.Holdings = true, []bijou.Holding{{Asset: "ast_x", Complete: true}}
		mustReport(t, s, b)
		after := func(d time.Duration, what string, want ...string) {
			t.Helper()
			time.Sleep(d)
			mustReport(t, s, sketch{id: "a"}.report())
			wantPlaces(t, s, what, want...)
		}
		after(6*time.Second, "three intervals later", "b", "a")
		after(time.Millisecond, "and a moment more", "a", "b")
		after(hideAfter-6*time.Second, "after ten minutes", "a")
		if list, err := s.List(t.Context(), struct{}{}); err != nil || len(list.Appliances) != 2 || list.Appliances[1].Usable || list.Appliances[1].Reason != "it has not reported for 600 s" {
			t.Errorf("list after ten minutes: got %+v, %v", list, err)
		}
		after(forgetAfter, "after a day", "a")
		if list, err := s.List(t.Context(), struct{}{}); err != nil || len(list.Appliances) != 1 {
			t.Errorf("list after a day: got %+v, %v", list, err)
		}
		mustReport(t, s, b)
		wantPlaces(t, s, "when it is back", "b", "a")
	})
}

func TestWhatTheOperatorWantsHoldsAtOnceAndAfterARestart(t *testing.T) {
	w := newWorld()
	s := w.room()
	a, b := sketch{id: "a"}.report(), sketch{id: "b"}.report()
	mustReport(t, s, a)
	mustReport(t, s, b)
	set := func(id bijou.ApplianceID, state bijou.ApplianceState) error {
		_, err := s.SetState(t.Context(), NewState{ID: id, State: state})
		return err
	}
	if err := set("apl_a", bijou.ApplianceDropped); err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, s, "at once", "b")
	if o := mustReport(t, s, a); o.State != bijou.ApplianceDropped {
		t.Errorf("orders: got state %s, want dropped", o.State)
	}
	s = w.room()
	mustReport(t, s, a)
	mustReport(t, s, b)
	wantPlaces(t, s, "after a restart", "b")
	for what, c := range map[string]struct {
		id    bijou.ApplianceID
		state bijou.ApplianceState
		want  bijou.Kind
	}{
		"an unknown appliance": {"apl_none", bijou.AppliancePaused, bijou.NotFound},
		"no appliance":         {"ttl_1", bijou.AppliancePaused, bijou.Invalid},
		"no state":             {"apl_a", "asleep", bijou.Invalid},
	} {
		if err := set(c.id, c.state); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", what, err, c.want)
		}
	}
	w.failing = fmt.Errorf("the disk is gone: %w", bijou.Unavailable)
	if err := set("apl_b", bijou.AppliancePaused); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("where it cannot be kept: got %v, want Unavailable", err)
	}
	wantPlaces(t, s, "after what was not kept", "b")
	w.failing = nil
	if err := set("apl_a", bijou.ApplianceServing); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Steer(t.Context(), viewing(1)); err != nil || len(d.Places) != 2 {
		t.Errorf("when it serves again: got %v, %v", placesOf(d.Places), err)
	}
}

func TestWithoutRevocationsAnApplianceHearsNothingButIsSeen(t *testing.T) {
	w := newWorld()
	s := w.room()
	mustReport(t, s, sketch{id: "a"}.report())
	w.failing = fmt.Errorf("the disk is gone: %w", bijou.Unavailable)
	o, err := s.Report(t.Context(), sketch{id: "b"}.report())
	if !errors.Is(err, bijou.Unavailable) || o.Keys != nil {
		t.Errorf("got %+v, %v, want Unavailable and no orders", o, err)
	}
	if d, err := s.Steer(t.Context(), viewing(1)); err != nil || len(d.Places) != 2 {
		t.Errorf("got %v, %v, want both", placesOf(d.Places), err)
	}
}

func TestOnlyATitleThatTheCatalogueDeniesIsGoneAndItIsNotAskedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.room()
		r := sketch{id: "a"}.report()
		r.Listed = true
		for i := range 3 {
			id := bijou.TitleID(fmt.Sprint("ttl_", i))
			w.published[id] = true
			r.Holdings = append(r.Holdings, bijou.Holding{Asset: bijou.AssetID(fmt.Sprint("ast_", i)), Title: id})
		}
		check := func(what string, asked int, want ...bijou.AssetID) {
			t.Helper()
			clear(w.asked)
			if o := mustReport(t, s, r); !slices.Equal(o.Gone, want) {
				t.Errorf("%s: got %v gone, want %v", what, o.Gone, want)
			}
			sum := 0
			for _, n := range w.asked {
				sum += n
			}
			if sum != asked {
				t.Errorf("%s: the catalogue was asked %d times, want %d", what, sum, asked)
			}
		}
		check("all are published", 3)
		delete(w.published, "ttl_1")
		time.Sleep(2 * time.Second)
		check("two seconds later", 0)
		time.Sleep(2 * time.Second)
		check("four seconds later", 3, "ast_1")
		w.silent = fmt.Errorf("no answer: %w", bijou.Unavailable)
		delete(w.published, "ttl_2")
		time.Sleep(time.Minute)
		check("where the catalogue does not answer", 1, "ast_1")
		w.silent = nil
		check("when it does again", 3, "ast_1", "ast_2")
		w.published["ttl_1"] = true
		time.Sleep(titleAge)
		check("published again", 3, "ast_2")
	})
}

func TestAGrantBetweenAppliancesIsSignedOnceForAllThatAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.room()
		full := sketch{id: "full"}.report()
		full.Listed, full.Holdings = true, whole1("ast_a", "ast_b")
		mustReport(t, s, full)
		for i := range 5 {
			if o := mustReport(t, s, sketch{id: fmt.Sprint("b", i)}.report()); len(o.Peers) != 1 || len(o.Peers[0].Grants) != 2 {
				t.Errorf("got peers %+v, want one with two grants", o.Peers)
			}
		}
		if w.signed != 2 {
			t.Errorf("%d grants were signed, want 2", w.signed)
		}
		time.Sleep(fillAge)
		mustReport(t, s, full)
		mustReport(t, s, sketch{id: "b0"}.report())
		if w.signed != 4 {
			t.Errorf("after their time %d grants were signed, want 4", w.signed)
		}
	})
}

func TestWhyOfAnUnknownViewingIsNotFoundInASentence(t *testing.T) {
	s := newWorld().room()
	if _, err := s.Why(t.Context(), OneSession{"ply_none"}); !errors.Is(err, bijou.NotFound) || !strings.Contains(err.Error(), "ply_none") {
		t.Errorf("got %v, want NotFound that names it", err)
	}
	if _, err := s.Why(t.Context(), OneSession{"none"}); !errors.Is(err, bijou.Invalid) {
		t.Errorf("what is no viewing: got %v, want Invalid", err)
	}
}

func TestAppliancesAreCountedByHowTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := newWorld().room(func(d *Deps) { d.Metrics = reg })
		mustReport(t, s, sketch{id: "quiet"}.report())
		time.Sleep(time.Minute)
		for _, k := range []sketch{{id: "a"}, {id: "b"}, {id: "full", load: 1}, {id: "faulty", fault: "its disk is full"}, {id: "drains", state: bijou.ApplianceDraining}} {
			mustReport(t, s, k.report())
		}
		if _, err := s.Steer(t.Context(), viewing(1)); err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{
			"appliances draining": 1, "appliances dropped": 0, "appliances faulty": 1, "appliances full": 1, "appliances paused": 0,
			"appliances silent": 1, "appliances usable": 2, "decisions_total two": 1, "reports_total taken": 6,
		}
		if diff := cmp.Diff(want, counted(t, reg)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

// counted returns the room's metrics by name and label.
func counted(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[strings.TrimPrefix(f.GetName(), "bijou_steering_")+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func TestManyReportAndAskAtOnce(t *testing.T) {
	s := newWorld().room(func(d *Deps) { d.Sign = func(bijou.Grant) (string, error) { return "g", nil } })
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				r := sketch{id: fmt.Sprint("b", i)}.report()
				r.Listed, r.Holdings = n%3 == 0, whole1(bijou.AssetID(fmt.Sprint("ast_", n%5)))
				if _, err := s.Report(context.Background(), r); err != nil {
					t.Errorf("report: %v", err)
				}
				if d, err := s.Steer(context.Background(), viewing(n)); err != nil || len(d.Places) == 0 {
					t.Errorf("steer: %v, %v", d, err)
				}
				if _, err := s.List(context.Background(), struct{}{}); err != nil {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	all.Wait()
}
