package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/events"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var now = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)

// log is a log of some partitions. The room appends to it and asks for nothing else.
type log struct {
	bijou.LogStore
	kept [][]bijou.Record
	most int           // records of the largest append
	fail error         // of Append
	gate chan struct{} // Append waits for it where it is set
}

// Partitions implements bijou.LogStore.
func (l *log) Partitions(_ context.Context, topic string) (int, error) {
	if topic != bijou.TopicFacts {
		return 0, fmt.Errorf("topic %q: %w", topic, bijou.NotFound)
	}
	return len(l.kept), nil
}

// Append implements bijou.LogStore.
func (l *log) Append(ctx context.Context, topic string, partition int, records []bijou.Record) (int64, error) {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if l.fail != nil || topic != bijou.TopicFacts {
		return 0, l.fail
	}
	first := int64(len(l.kept[partition]))
	l.most = max(l.most, len(records))
	l.kept[partition] = append(l.kept[partition], records...)
	return first, nil
}

// facts reads a partition back.
func (l *log) facts(t *testing.T, partition int) (out []bijou.Fact) {
	t.Helper()
	for _, r := range l.kept[partition] {
		var f bijou.Fact
		if err := json.Unmarshal(r.Value, &f); err != nil {
			t.Fatalf("record %s: %v", r.Value, err)
		}
		if string(r.Key) != string(f.Session) {
			t.Errorf("the record of viewing %s has key %q", f.Session, r.Key)
		}
		out = append(out, f)
	}
	return out
}

func newRoom(partitions int) (*events.Service, *log, *prometheus.Registry) {
	l, metrics := &log{kept: make([][]bijou.Record, partitions)}, prometheus.NewRegistry()
	return events.New(events.Deps{Facts: l, Zones: zones{"apl_near": "oslo"}, Now: func() time.Time { return now.In(time.FixedZone("", 3600)) }, Metrics: metrics}), l, metrics
}

// zones knows where some appliances stand.
type zones map[bijou.ApplianceID]string

// ZoneOf implements bijou.Zones.
func (z zones) ZoneOf(id bijou.ApplianceID) string { return z[id] }

// counted returns a counter's values by their label, "" where it has none.
func counted(t *testing.T, metrics *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			for _, l := range m.GetLabel() {
				label += l.GetValue()
			}
			out[label] = m.GetCounter().GetValue()
		}
	}
	return out
}

func fact(session bijou.SessionID, seq int64) bijou.Fact {
	return bijou.Fact{Kind: bijou.FactHeartbeat, Session: session, Seq: seq, Title: "ttl_1", PositionMS: seq * 1000, RuntimeMS: 100_000}
}

func TestAFactIsOnTheLogWithWhatTheServiceKnows(t *testing.T) {
	room, l, metrics := newRoom(1)
	sent := fact("ply_1", 1)
	sent.At, sent.Profile, sent.Zone, sent.Appliance = now.Add(-time.Hour), "prf_forged", "forged", "apl_near"
	for _, profile := range []bijou.ProfileID{"prf_1", ""} {
		got, err := room.Report(bijou.WithCaller(t.Context(), bijou.Caller{Profile: profile}), events.Report{Facts: []bijou.Fact{sent}})
		if err != nil || got.Accepted != 1 {
			t.Fatalf("Report = %+v, %v", got, err)
		}
		want := fact("ply_1", 1)
		want.At, want.Profile, want.Zone, want.Appliance = now, profile, "oslo", "apl_near"
		kept := l.facts(t, 0)
		if diff := cmp.Diff(want, kept[len(kept)-1]); diff != "" {
			t.Errorf("profile %q: kept fact (-want +got):\n%s", profile, diff)
		}
	}
	if got := counted(t, metrics, "bijou_facts_accepted_total")[""]; got != 2 {
		t.Errorf("%v facts counted as accepted, want 2", got)
	}
}

func TestFactsOfOneViewingLieInOnePartitionInOrder(t *testing.T) {
	room, l, _ := newRoom(8)
	const viewings, each = 40, 5
	for seq := int64(1); seq <= each; seq += 2 {
		var facts []bijou.Fact
		for v := range viewings {
			for s := seq; s < seq+2 && s <= each; s++ {
				facts = append(facts, fact(bijou.SessionID(fmt.Sprintf("ply_%d", v)), s))
			}
		}
		if got, err := room.Report(t.Context(), events.Report{Facts: facts}); err != nil || got.Accepted != len(facts) {
			t.Fatalf("Report of %d facts = %+v, %v", len(facts), got, err)
		}
	}
	where, used := map[bijou.SessionID]int{}, map[int]bool{}
	last := map[bijou.SessionID]int64{}
	for p := range l.kept {
		for _, f := range l.facts(t, p) {
			if at, ok := where[f.Session]; ok && at != p {
				t.Errorf("viewing %s lies in partitions %d and %d", f.Session, at, p)
			}
			where[f.Session], used[p] = p, true
			if f.Seq != last[f.Session]+1 {
				t.Errorf("viewing %s: fact %d follows %d", f.Session, f.Seq, last[f.Session])
			}
			last[f.Session] = f.Seq
		}
	}
	if len(where) != viewings || len(used) < 4 {
		t.Errorf("%d viewings lie in %d partitions, want %d spread over most of 8", len(where), len(used), viewings)
	}
}

func TestOneFactThatCannotBeRefusesTheWholeReport(t *testing.T) {
	for name, change := range map[string]func(*bijou.Fact){
		"kind":     func(f *bijou.Fact) { f.Kind = "bookmark" },
		"viewing":  func(f *bijou.Fact) { f.Session = "x" },
		"title":    func(f *bijou.Fact) { f.Title = "../x" },
		"seq":      func(f *bijou.Fact) { f.Seq = 0 },
		"position": func(f *bijou.Fact) { f.PositionMS = -1 },
		"far":      func(f *bijou.Fact) { f.PositionMS = 1 << 40 },
		"reason":   func(f *bijou.Fact) { f.Reason = strings.Repeat("x", 301) },
		"stall":    func(f *bijou.Fact) { f.DurationMS = 25 * 3600 * 1000 },
		"played":   func(f *bijou.Fact) { f.PlayedMS = 25 * 3600 * 1000 },
		"cause":    func(f *bijou.Fact) { f.Cause = "weather" },
		"player":   func(f *bijou.Fact) { f.Player = "A Player" },
		"box":      func(f *bijou.Fact) { f.Appliance = "box1" },
	} {
		room, l, metrics := newRoom(1)
		bad := fact("ply_1", 2)
		change(&bad)
		got, err := room.Report(t.Context(), events.Report{Facts: []bijou.Fact{fact("ply_1", 1), bad}})
		if !errors.Is(err, bijou.Invalid) || got.Accepted != 0 || len(l.kept[0]) != 0 {
			t.Errorf("%s: Report = %+v, %v and %d facts kept; want Invalid and none", name, got, err, len(l.kept[0]))
		}
		if got := counted(t, metrics, "bijou_facts_dropped_total")["invalid"]; got != 2 {
			t.Errorf("%s: %v facts counted as invalid, want 2", name, got)
		}
	}
}

func TestAFactIsNotAcknowledgedThatTheLogDidNotKeep(t *testing.T) {
	room, l, metrics := newRoom(1)
	l.fail = fmt.Errorf("the disk is full: %w", bijou.Exhausted)
	if got, err := room.Report(t.Context(), events.Report{Facts: []bijou.Fact{fact("ply_1", 1)}}); !errors.Is(err, bijou.Exhausted) || got.Accepted != 0 {
		t.Errorf("Report = %+v, %v; want Exhausted", got, err)
	}
	if got := counted(t, metrics, "bijou_facts_dropped_total")["log"]; got != 1 {
		t.Errorf("%v facts counted as lost by the log, want 1", got)
	}
	if got := counted(t, metrics, "bijou_facts_accepted_total")[""]; got != 0 {
		t.Errorf("%v facts counted as accepted, want none", got)
	}
}

func TestReportsBeyondTheBoundAreRefusedAndComeInLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room, l, metrics := newRoom(1)
		l.gate = make(chan struct{})
		const most = 1024
		done := make(chan error, most)
		report := func(n int) error {
			_, err := room.Report(t.Context(), events.Report{Facts: []bijou.Fact{fact(bijou.SessionID(fmt.Sprint("ply_", n)), 1)}})
			return err
		}
		for n := range most {
			go func() { done <- report(n) }()
		}
		synctest.Wait() // all of them stand before the log
		if err := report(most); !errors.Is(err, bijou.Exhausted) {
			t.Errorf("report %d at once = %v, want Exhausted", most+1, err)
		}
		if got := counted(t, metrics, "bijou_facts_dropped_total")["overload"]; got != 1 {
			t.Errorf("%v facts counted as overload, want 1", got)
		}
		close(l.gate)
		for range most {
			if err := <-done; err != nil {
				t.Errorf("a report within the bound = %v", err)
			}
		}
		if l.most < most-1 {
			t.Errorf("the largest append has %d records, want all that waited for the first in one", l.most)
		}
		if err := report(most + 1); err != nil {
			t.Errorf("a report after the crowd = %v", err)
		}
		if len(l.kept[0]) != most+1 {
			t.Errorf("%d facts kept, want %d", len(l.kept[0]), most+1)
		}
	})
}

func TestPlayersReportOverHTTP(t *testing.T) {
	room, l, metrics := newRoom(1)
	h := rpc.Handler(rpc.Deps{}, room.Routes()...)
	check := func(name, contentType, body string, status, kept int) {
		t.Helper()
		l.kept[0] = nil
		r := httptest.NewRequest("POST", "/api/v1/facts", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set(rpc.CallerHeader, `{"account":"acc_1","profile":"prf_1"}`)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != status || len(l.kept[0]) != kept {
			t.Errorf("%s: answer %d %s and %d facts kept, want %d and %d", name, rec.Code, rec.Body, len(l.kept[0]), status, kept)
		}
		for _, f := range l.facts(t, 0) {
			if f.Profile != "prf_1" {
				t.Errorf("%s: kept for profile %q", name, f.Profile)
			}
		}
	}
	const one = `{"kind":"pause","session":"ply_1","seq":1,"title":"ttl_1","position_ms":5}`
	check("a report", "application/json", `{"facts":[`+one+`]}`, http.StatusAccepted, 1)
	check("a page that closes", "text/plain;charset=UTF-8", `{"facts":[`+one+`]}`, http.StatusAccepted, 1)
	check("none", "application/json", `{"facts":[]}`, http.StatusBadRequest, 0)
	check("too many", "application/json", `{"facts":[`+strings.Repeat(one+",", 100)+one+`]}`, http.StatusBadRequest, 0)
	check("unknown kind", "application/json", `{"facts":[`+strings.Replace(one, "pause", "nap", 1)+`]}`, http.StatusBadRequest, 0)
	check("no JSON", "application/json", `{`, http.StatusBadRequest, 0)
	if got := counted(t, metrics, "bijou_facts_dropped_total")["unreadable"]; got != 4 {
		t.Errorf("%v reports counted as unreadable, want 4", got)
	}
}

func TestReportsThatWaitHaveABoundInBytesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room, l, metrics := newRoom(1)
		l.gate = make(chan struct{})
		report := func(viewing int) error {
			facts := make([]bijou.Fact, 100)
			for i := range facts {
				facts[i] = fact(bijou.SessionID(fmt.Sprint("ply_", viewing)), int64(i+1))
				facts[i].Reason = strings.Repeat("<", 300) // six bytes each in JSON
			}
			_, err := room.Report(t.Context(), events.Report{Facts: facts})
			return err
		}
		const most = 400 // reports of some 200 kB: far more bytes than may wait, and fewer reports
		results := make(chan error, most)
		for n := range most {
			go func() { results <- report(n) }()
		}
		synctest.Wait()
		close(l.gate)
		refused := 0
		for range most {
			if err := <-results; errors.Is(err, bijou.Exhausted) {
				refused++
			} else if err != nil {
				t.Errorf("Report = %v", err)
			}
		}
		if kept := len(l.kept[0]); refused == 0 || kept != (most-refused)*100 {
			t.Errorf("%d reports refused and %d facts kept, want some refused and the facts of all others kept", refused, kept)
		}
		if got := counted(t, metrics, "bijou_facts_dropped_total")["overload"]; got != float64(refused*100) {
			t.Errorf("%v facts counted as overload, want %d", got, refused*100)
		}
	})
}

func TestAPlayerThatLeavesTakesNobodyElsesFactsAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room, l, _ := newRoom(1)
		l.gate = make(chan struct{})
		done := make(chan error, 3)
		report := func(ctx context.Context, id bijou.SessionID) {
			_, err := room.Report(ctx, events.Report{Facts: []bijou.Fact{fact(id, 1)}})
			done <- err
		}
		go report(t.Context(), "ply_first")
		synctest.Wait() // it stands before the log
		left, leave := context.WithCancel(t.Context())
		go report(left, "ply_left") // it leads the next append
		synctest.Wait()
		go report(t.Context(), "ply_last")
		synctest.Wait()
		leave()
		close(l.gate)
		for range 3 {
			if err := <-done; err != nil {
				t.Errorf("Report = %v", err)
			}
		}
		if len(l.kept[0]) != 3 {
			t.Errorf("%d facts kept, want 3", len(l.kept[0]))
		}
	})
}

func TestAViewingThatReportsWithoutEndIsRefusedAndOthersAreNot(t *testing.T) {
	room, l, metrics := newRoom(1)
	report := func(id bijou.SessionID, n int) error {
		facts := make([]bijou.Fact, n)
		for i := range facts {
			facts[i] = fact(id, int64(i+1))
		}
		_, err := room.Report(t.Context(), events.Report{Facts: facts})
		return err
	}
	for range 6 { // what one that was without the service for long may have to say
		if err := report("ply_broken", 100); err != nil {
			t.Fatalf("Report = %v", err)
		}
	}
	if err := report("ply_broken", 1); !errors.Is(err, bijou.Exhausted) {
		t.Errorf("the 601st fact in no time = %v, want Exhausted", err)
	}
	if err := report("ply_other", 100); err != nil {
		t.Errorf("another viewing = %v", err)
	}
	now = now.Add(time.Second)
	defer func() { now = now.Add(-time.Second) }()
	if err := report("ply_broken", 20); err != nil {
		t.Errorf("a second later = %v", err)
	}
	if err := report("ply_broken", 1); !errors.Is(err, bijou.Exhausted) {
		t.Errorf("the 21st fact of a second = %v, want Exhausted", err)
	}
	if got := counted(t, metrics, "bijou_facts_dropped_total")["rate"]; got != 2 || len(l.kept[0]) != 720 {
		t.Errorf("%v facts counted as too many and %d kept, want 2 and 720", got, len(l.kept[0]))
	}
}

func TestWhatAPlayerGaveUpIsCountedOnceItsReportIsKept(t *testing.T) {
	room, l, metrics := newRoom(1)
	in := events.Report{Facts: []bijou.Fact{fact("ply_1", 9)}, Dropped: 5}
	l.fail = fmt.Errorf("the disk is full: %w", bijou.Exhausted)
	if _, err := room.Report(t.Context(), in); err == nil {
		t.Fatal("a report that the log did not keep was accepted")
	}
	l.fail = nil
	if _, err := room.Report(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, metrics, "bijou_facts_dropped_total")["player"]; got != 5 {
		t.Errorf("%v facts counted as given up by the player, want 5", got)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(`{"facts":[{"kind":"stall","session":"ply_1","seq":1,"title":"ttl_1","position_ms":5,"cause":"network","player":"bijou-web/1"}],"dropped":3}`)
	f.Add(`{"facts":[{}]}`)
	f.Add(`{"facts":[{"kind":"end","session":"ply_1","seq":9007199254740993,"title":"ttl_1","at":"2026-01-01T00:00:00Z","position_ms":1e3}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		room, l, _ := newRoom(1)
		r := httptest.NewRequest("POST", "/api/v1/facts", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		rpc.Handler(rpc.Deps{}, room.Routes()...).ServeHTTP(rec, r)
		kept := l.facts(t, 0)
		if rec.Code != http.StatusAccepted && (rec.Code != http.StatusBadRequest || len(kept) > 0) {
			t.Fatalf("%q: answer %d %s and %d facts kept", body, rec.Code, rec.Body, len(kept))
		}
		for _, f := range kept {
			if err := f.Check(); err != nil || !f.At.Equal(now) {
				t.Fatalf("%q: kept %+v: %v", body, f, err)
			}
		}
	})
}
