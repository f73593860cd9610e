package pulse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// aDay is a room that has kept a day: each minute one start of title 1 from apl_1 and, every other minute, one of title 2 that the network failed.
func aDay(t *testing.T) *Service {
	t.Helper()
	l := newMemoryLog(1)
	for m := range 24 * 60 {
		at := func(f *bijou.Fact) {
			f.At, f.Session, f.Appliance = noon.Add(time.Duration(m)*time.Minute), bijou.SessionID(fmt.Sprint("ply_a", m)), "apl_1"
		}
		l.put(t, 0, told(bijou.FactStart, 1, 0, at), told(bijou.FactFirstFrame, 2, 0, at, lasting(time.Second)))
		if m%2 == 0 {
			other := func(f *bijou.Fact) { f.Session, f.Title = bijou.SessionID(fmt.Sprint("ply_b", m)), "ttl_2" }
			l.put(t, 0, told(bijou.FactStart, 1, 0, at, other), told(bijou.FactError, 2, 0, at, other, because(bijou.CauseNetwork)))
		}
	}
	s := catchUp(t, l, []int64{int64(len(l.topics[bijou.TopicFacts][0]))}, noon.Add(24*time.Hour))
	return s
}

func TestARangeIsToldInAllOverTimeAndByValue(t *testing.T) {
	s := aDay(t)
	handler := rpc.Handler(rpc.Deps{}, s.Routes()...)
	operator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(rpc.CallerHeader, `{"operator":"opr_1","role":"viewer"}`)
		handler.ServeHTTP(w, r)
	}))
	defer operator.Close()
	for name, ask := range map[string]func(context.Context, Query) (Answer, error){"here": s.Query, "there": NewClient(rpc.NewClient(operator.URL)).Query} {
		a, err := ask(t.Context(), Query{From: "2026-11-24T13:00:00Z", Until: "2026-11-24T15:00:00Z", StepS: 1800, By: "title"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.Total.Starts != 180 || a.Total.Succeeded != 120 || a.Total.Failed != 60 || a.Total.FailedRatio != 1.0/3 || a.Total.StartsPerSecond != 180.0/7200 {
			t.Errorf("%s: two hours: got %+v", name, a.Total)
		}
		if len(a.Points) != 4 || a.Points[3].At.Format("15:04") != "14:30" || a.Points[3].Figures.Starts != 45 || a.Points[3].Expected == nil || a.Points[3].Expected.StartsPerSecond.Known {
			t.Errorf("%s: got %d points, the last %+v", name, len(a.Points), a.Points[len(a.Points)-1])
		}
		if len(a.Groups) != 2 || a.Groups[0].Value != "ttl_1" || a.Groups[0].Figures.Succeeded != 120 || a.Groups[1].Figures.Failures[0] != (bijou.PulseFailure{Reason: "network", Count: 60}) {
			t.Errorf("%s: by title: got %+v", name, a.Groups)
		}
		if !a.Since.Equal(noon) {
			t.Errorf("%s: known since %s, want noon", name, a.Since)
		}
		one, err := ask(t.Context(), Query{From: "2026-11-24T13:00:00Z", Until: "2026-11-24T15:00:00Z", Title: "ttl_2"})
		if err != nil || one.Total.Starts != 60 || one.Total.Failed != 60 || one.Points[0].Expected != nil || one.StepS != 60 {
			t.Errorf("%s: title 2: got %+v, %v", name, one.Total, err)
		}
		most, err := ask(t.Context(), Query{From: "2026-11-24T13:00:00Z", Until: "2026-11-24T15:00:00Z", By: "title", Limit: 1})
		if err != nil || len(most.Groups) != 2 || most.Groups[1].Value != "*" || most.Groups[1].Figures.Starts != 60 {
			t.Errorf("%s: one title and the rest: got %+v, %v", name, most.Groups, err)
		}
	}
	all := bijou.PulseRange{From: noon, Until: noon.Add(time.Hour)}
	one := all
	one.By, one.Value = bijou.ByTitle, "ttl_1"
	for name, p := range map[string]bijou.Pulse{"here": s, "there": NewClient(rpc.NewClient(operator.URL))} {
		if f, err := p.Figures(t.Context(), all); err != nil || f.Starts != 90 {
			t.Errorf("%s: an hour: got %+v, %v, want 90 starts", name, f, err)
		}
		if f, err := p.Figures(t.Context(), one); err != nil || f.Starts != 60 || f.Failed != 0 {
			t.Errorf("%s: an hour of title 1: got %+v, %v, want 60 starts", name, f, err)
		}
		if _, err := p.Figures(t.Context(), bijou.PulseRange{From: noon, Until: noon}); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: an empty range: got %v, want %q", name, err, bijou.Invalid)
		}
	}
}

func TestWhatCannotBeAskedIsRefusedInASentence(t *testing.T) {
	s := aDay(t)
	for name, q := range map[string]Query{
		"until":      {Until: "yesterday"},
		"from":       {From: "2026-11-24"},
		"order":      {From: "2026-11-24T15:00:00Z", Until: "2026-11-24T13:00:00Z"},
		"step":       {StepS: 90},
		"points":     {From: "2026-11-01T00:00:00Z", StepS: 60},
		"by":         {By: "viewer"},
		"two":        {Title: "ttl_1", Zone: "oslo"},
		"by another": {By: "zone", Title: "ttl_1"},
	} {
		if _, err := s.Query(t.Context(), q); !errors.Is(err, bijou.Invalid) || bijou.Sentence(err) == err.Error() {
			t.Errorf("%s: got %v, want a sentence that ends in %q", name, err, bijou.Invalid)
		}
	}
	if _, err := newRoom(newMemoryLog(1), time.Now).Query(t.Context(), Query{}); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("before what is kept was read: got %v, want %q", err, bijou.Unavailable)
	}
}

func TestOnlyOperatorsAsk(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, newRoom(newMemoryLog(1), time.Now).Routes()...)
	for _, path := range []string{"/api/v1/pulse", "/api/v1/pulse/live"} {
		for caller, want := range map[string]int{`{}`: http.StatusUnauthorized, `{"account":"acc_1"}`: http.StatusForbidden, `{"operator":"opr_1","role":"viewer"}`: http.StatusServiceUnavailable} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set(rpc.CallerHeader, caller)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s asked by %s: got %d, want %d", path, caller, w.Code, want)
			}
		}
	}
}

func TestThirtyDaysAreKeptAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(1)
		s := newRoom(l, time.Now)
		stop := runs(t, s)
		begin := time.Now()
		for n := range 40 {
			l.put(t, 0, bijou.Fact{Kind: bijou.FactStart, Session: bijou.SessionID(fmt.Sprint("ply_", n)), Seq: 1, Title: "ttl_1", At: time.Now()})
			time.Sleep(24 * time.Hour)
		}
		check := func(s *Service) {
			t.Helper()
			a, err := s.Query(t.Context(), Query{From: begin.Format(time.RFC3339), By: "title"})
			if err != nil || a.Total.Starts != 30 || len(a.Groups) != 1 || a.Groups[0].Figures.Starts != 30 {
				t.Errorf("of 40 days with a start each: got %+v and %v, want 30", a.Total, err)
			}
			l := s.ledger.Load()
			if len(l.index) > 32*2 || len(l.history) > 32*2 || len(l.pending) != 0 {
				t.Errorf("%d minutes are in the index and %d in the history, want those of 30 days", len(l.index), len(l.history))
			}
		}
		check(s)
		stop()
		again := newRoom(l, time.Now)
		stop = runs(t, again)
		synctest.Wait()
		check(again)
		stop()
	})
}

func TestWhatIsLiveIsToldWhenItChangesAndEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(2)
		s := newRoom(l, time.Now)
		stop := runs(t, s)
		synctest.Wait()
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
		begin := time.Now()
		var got []bijou.PulseLive
		ctx, leave := context.WithTimeout(t.Context(), 2*time.Minute-time.Second)
		defer leave()
		followed := make(chan error, 1)
		go func() {
			followed <- s.Follow(ctx, struct{}{}, func(l bijou.PulseLive) error {
				got = append(got, l)
				return nil
			})
		}()
		time.Sleep(25*time.Second + 500*time.Millisecond)
		for n := range 20 {
			l.put(t, n%2, bijou.Fact{Kind: bijou.FactStart, Session: bijou.SessionID(fmt.Sprint("ply_", n)), Seq: 1, Title: "ttl_1", At: time.Now()},
				bijou.Fact{Kind: bijou.FactFirstFrame, Session: bijou.SessionID(fmt.Sprint("ply_", n)), Seq: 2, Title: "ttl_1", At: time.Now(), DurationMS: 700})
		}
		if err := <-followed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Follow = %v", err)
		}
		at := func(x bijou.PulseLive) int { return int(x.At.Sub(begin).Seconds()) }
		var times []int
		for _, x := range got {
			times = append(times, at(x))
		}
		// At once; twice for the ten seconds; 26: the minute has starts and the last second had them; 27: the last second has none; 36: they are
		// more than ten seconds old; 60: another minute; 86: they are more than a minute old.
		if want := "[0 10 20 26 27 36 46 56 60 70 80 86 96 106 116]"; fmt.Sprint(times) != want {
			t.Errorf("told after %v seconds, want %s", times, want)
		}
		x := got[3]
		if x.Starts1 != 20 || x.Starts10 != 2 || x.Starts60 != 20.0/60 || x.Minute.Starts != 20 || x.Minute.Succeeded != 20 || !near(x.Minute.FirstFrame.P99MS, 700) || x.Starts.Known {
			t.Errorf("after 26 s: got %+v", x)
		}
		if y := got[8]; y.Minute.Starts != 0 || y.Last.Starts != 20 || y.Last.StartsPerSecond != 20.0/60 {
			t.Errorf("in the next minute: got %+v", y)
		}
		stop()
	})
}

func TestAtMostAHundredLookOn(t *testing.T) {
	s := aDay(t)
	ctx, leave := context.WithCancel(t.Context())
	on, gone := make(chan struct{}), make(chan struct{})
	for range maxListeners {
		go func() {
			_ = s.Follow(ctx, struct{}{}, func(bijou.PulseLive) error { on <- struct{}{}; return nil }) // it ends with ctx
			gone <- struct{}{}
		}()
		<-on
	}
	if err := s.Follow(ctx, struct{}{}, func(bijou.PulseLive) error { return io.EOF }); !errors.Is(err, bijou.Exhausted) {
		t.Errorf("one more: got %v, want %q", err, bijou.Exhausted)
	}
	leave()
	for range maxListeners {
		<-gone
	}
	if err := s.Follow(t.Context(), struct{}{}, func(bijou.PulseLive) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("after they left: got %v, want %v", err, io.EOF)
	}
}

func TestAnIdleRoomDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		l := newMemoryLog(2)
		s := newRoom(l, func() time.Time {
			asked++
			return time.Now()
		})
		stop := runs(t, s)
		l.put(t, 0, told(bijou.FactStart, 1, 0, func(f *bijou.Fact) { f.At = time.Now() }))
		time.Sleep(5 * time.Minute) // the start is silent and kept
		synctest.Wait()
		before, records := asked, len(l.topics[bijou.TopicPulse][0])
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if asked != before || len(l.topics[bijou.TopicPulse][0]) != records {
			t.Errorf("in two days without facts it looked at the clock %d times and wrote %d records, want none", asked-before, len(l.topics[bijou.TopicPulse][0])-records)
		}
		stop()
	})
}

func TestMetricsNameNoViewerAndFewValues(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	for n := range 500 {
		c := change{who: who{fmt.Sprint("ttl_", n), fmt.Sprint("apl_", n), fmt.Sprint("zone", n), fmt.Sprint("player/", n)}, frameMS: 500}
		c.n[starts], c.n[succeeded], c.n[playedMS], c.n[stalls], c.n[stalledMS] = 1, 1, 2000, 1, 500
		m.count(&c)
	}
	taken := change{}
	taken.n[failedSilence] = -1
	m.count(&taken)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > maxLabels+1 {
			t.Errorf("%s has %d values, want at most %d", f.GetName(), n, maxLabels+1)
		}
		for _, x := range f.GetMetric() {
			for _, label := range x.GetLabel() {
				if strings.HasPrefix(label.GetValue(), "ttl_") {
					t.Errorf("%s has a label of a title", f.GetName())
				}
			}
		}
		if want, ok := map[string]float64{
			"bijou_pulse_starts_total": 500, "bijou_pulse_start_outcomes_total": 500, "bijou_pulse_first_frame_seconds": 250,
			"bijou_pulse_played_seconds_total": 1000, "bijou_pulse_stalled_seconds_total": 250, "bijou_pulse_stalls_total": 500, "bijou_pulse_silence_taken_back_total": 1,
		}[f.GetName()]; ok && sumOf(f) != want {
			t.Errorf("%s is %v, want %v", f.GetName(), sumOf(f), want)
		}
	}
}

func sumOf(f *dto.MetricFamily) (sum float64) {
	for _, m := range f.GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
	}
	return sum
}

func TestARecordThatIsNoFactIsPassedOver(t *testing.T) {
	l := newMemoryLog(1)
	l.put(t, 0, told(bijou.FactStart, 1, 0))
	l.add(bijou.TopicFacts, 0, []bijou.Record{{Value: []byte("{")}, {Value: []byte(`{"kind":"nap"}`)}, {Value: []byte(`{"kind":"start","session":"ply_2","seq":1,"title":"ttl_1"}`)}})
	l.put(t, 0, told(bijou.FactEnd, 2, time.Second))
	s := catchUp(t, l, []int64{5}, noon.Add(time.Minute))
	f, err := s.Figures(t.Context(), bijou.PulseRange{From: noon, Until: noon.Add(time.Minute)})
	if err != nil || f.Starts != 1 || f.Abandoned != 1 {
		t.Errorf("got %+v, %v, want a start that was abandoned", f, err)
	}
}
