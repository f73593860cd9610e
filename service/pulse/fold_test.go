package pulse

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// told is a fact so long after noon.
func told(kind bijou.FactKind, seq int64, after time.Duration, more ...func(*bijou.Fact)) bijou.Fact {
	f := bijou.Fact{Kind: kind, Session: "ply_1", Seq: seq, Title: "ttl_1", Player: "tv/1", At: noon.Add(after)}
	for _, m := range more {
		m(&f)
	}
	return f
}

func lasting(d time.Duration) func(*bijou.Fact) {
	return func(f *bijou.Fact) { f.DurationMS = d.Milliseconds() }
}

func because(c bijou.FactCause) func(*bijou.Fact) { return func(f *bijou.Fact) { f.Cause = c } }

// counterNames are for messages.
func counterNames(n [counters]int64) map[string]int64 {
	names := map[counter]string{starts: "starts", succeeded: "succeeded", abandoned: "abandoned", broken: "broken", playedMS: "played", stalls: "stalls", stalledMS: "stalled", kilobits: "kilobits", ratedMS: "rated"}
	maps.Copy(names, failures)
	out := map[string]int64{}
	for c, v := range n {
		if v != 0 {
			out[names[counter(c)]] = v
		}
	}
	return out
}

func TestWhatBecomesOfAStart(t *testing.T) {
	s := time.Second
	start := told(bijou.FactStart, 1, 0)
	for _, c := range []struct {
		name  string
		facts []bijou.Fact
		now   time.Duration // after noon; a minute where 0
		want  map[string]int64
	}{
		{"a picture in time", []bijou.Fact{start, told(bijou.FactFirstFrame, 2, s, lasting(900*time.Millisecond))}, 0, map[string]int64{"starts": 1, "succeeded": 1}},
		{"a picture after exactly ten seconds is in time", []bijou.Fact{start, told(bijou.FactFirstFrame, 2, 10*s, lasting(10*s))}, 0, map[string]int64{"starts": 1, "succeeded": 1}},
		{"a picture after more than ten seconds", []bijou.Fact{start, told(bijou.FactFirstFrame, 2, 11*s, lasting(10*s+time.Millisecond))}, 0, map[string]int64{"starts": 1, "timeout": 1}},
		{"a picture in time of which the service hears an hour later", []bijou.Fact{start, told(bijou.FactFirstFrame, 2, time.Hour, lasting(s))}, 2 * time.Hour, map[string]int64{"starts": 1, "succeeded": 1}},
		{"the player gave up", []bijou.Fact{start, told(bijou.FactError, 2, 9*s, because(bijou.CauseManifest))}, 0, map[string]int64{"starts": 1, "manifest": 1}},
		{"the player gave up and did not say why", []bijou.Fact{start, told(bijou.FactError, 2, 9*s)}, 0, map[string]int64{"starts": 1, "other": 1}},
		{"the viewer left within ten seconds", []bijou.Fact{start, told(bijou.FactEnd, 2, 10*s)}, 0, map[string]int64{"starts": 1, "abandoned": 1}},
		{"the viewer waited for longer and left", []bijou.Fact{start, told(bijou.FactEnd, 2, 10*s+time.Millisecond)}, 0, map[string]int64{"starts": 1, "timeout": 1}},
		{"nothing more was heard, too early to say", []bijou.Fact{start}, 15*s - time.Millisecond, map[string]int64{"starts": 1}},
		{"nothing more was heard", []bijou.Fact{start}, 15 * s, map[string]int64{"starts": 1, "silence": 1}},
		{"heartbeats decide nothing", []bijou.Fact{start, told(bijou.FactHeartbeat, 2, 5*s)}, 15 * s, map[string]int64{"starts": 1, "silence": 1}},
		{"the browser waits for the viewer to press play", []bijou.Fact{start, told(bijou.FactPause, 2, s)}, 0, map[string]int64{"starts": 1}},
		{"the browser is known to wait after silence was counted", []bijou.Fact{start, told(bijou.FactPause, 2, 40*s)}, 0, map[string]int64{"starts": 1}},
		{"the viewer pressed play at last", []bijou.Fact{start, told(bijou.FactPause, 2, s), told(bijou.FactFirstFrame, 3, 50*s, lasting(s))}, 0, map[string]int64{"starts": 1, "succeeded": 1}},
		{"the viewer never pressed play and left", []bijou.Fact{start, told(bijou.FactPause, 2, s), told(bijou.FactEnd, 3, 50*s)}, 0, map[string]int64{"starts": 1, "abandoned": 1}},
		{"the player gave up after the first picture", []bijou.Fact{start, told(bijou.FactFirstFrame, 2, s, lasting(s)), told(bijou.FactError, 3, 20*s), told(bijou.FactError, 4, 21*s)}, 0, map[string]int64{"starts": 1, "succeeded": 1, "broken": 1}},
		{"a picture after the player gave up changes nothing", []bijou.Fact{start, told(bijou.FactError, 2, s, because(bijou.CauseMedia)), told(bijou.FactFirstFrame, 3, 2*s, lasting(2*s)), told(bijou.FactError, 4, 3*s)}, 0, map[string]int64{"starts": 1, "media": 1}},
		{"a second start of a viewing is none", []bijou.Fact{start, told(bijou.FactStart, 2, s), told(bijou.FactEnd, 3, 2*s)}, 0, map[string]int64{"starts": 1, "abandoned": 1}},
		{"all comes twice", []bijou.Fact{start, start, told(bijou.FactFirstFrame, 2, s, lasting(s)), start, told(bijou.FactFirstFrame, 2, 3*s, lasting(s))}, 0, map[string]int64{"starts": 1, "succeeded": 1}},
		{"the picture is heard of before the start", []bijou.Fact{told(bijou.FactFirstFrame, 2, 0, lasting(s)), told(bijou.FactStart, 1, s)}, 0, map[string]int64{"starts": 1, "succeeded": 1}},
		{"thirteen hours later it is another viewing", []bijou.Fact{start, told(bijou.FactStart, 1, 13*time.Hour), told(bijou.FactEnd, 2, 13*time.Hour+s)}, 14 * time.Hour, map[string]int64{"starts": 2, "silence": 1, "abandoned": 1}},
	} {
		for _, ticks := range []time.Duration{time.Second, time.Hour} { // however often it is told what time it is
			now := max(c.now, 0)
			if c.now == 0 {
				now = time.Minute
			}
			var got series
			add := func(x *change) { got.apply(x) }
			f := newFold(10)
			at := time.Duration(0)
			for _, x := range c.facts {
				for ; at < x.At.Sub(noon); at += ticks {
					f.advance(noon.Add(at).UnixMilli(), add)
				}
				f.apply(&x, add)
			}
			f.advance(noon.Add(now).UnixMilli(), add)
			if d := cmp.Diff(c.want, counterNames(got.n)); d != "" {
				t.Errorf("%s, told the time each %s: want (-), got (+):\n%s", c.name, ticks, d)
			}
		}
	}
}

func TestSilenceCountsInItsOwnMinuteAndIsTakenBackThere(t *testing.T) {
	l := newLedger()
	f := newFold(10)
	start := told(bijou.FactStart, 1, 50*time.Second, func(f *bijou.Fact) { f.Zone = "oslo" })
	f.apply(&start, l.add)
	f.advance(noon.Add(2*time.Minute).UnixMilli(), l.add)
	next := l.pending[minuteOf(noon.UnixMilli())+1]
	if next == nil || next.total.n[failedSilence] != 1 || next.by[byZone]["oslo"].n[failedSilence] != 1 {
		t.Fatalf("65 s after noon: got %+v, want one start failed for silence", next)
	}
	picture := told(bijou.FactFirstFrame, 2, 3*time.Minute, lasting(time.Second))
	f.apply(&picture, l.add)
	if n := next.by[byZone]["oslo"].n[failedSilence]; n != 0 {
		t.Errorf("after the player was heard: got %d starts failed for silence, want 0", n)
	}
	if n := l.pending[minuteOf(noon.UnixMilli())+3].total.n[succeeded]; n != 1 {
		t.Errorf("in the minute in which it was heard: got %d successes, want 1", n)
	}
}

func TestFactsAddPlayedTimeStallsAndRates(t *testing.T) {
	var got series
	f := newFold(10)
	for _, x := range []bijou.Fact{
		told(bijou.FactHeartbeat, 1, 0, func(f *bijou.Fact) { f.PlayedMS, f.BPS = 30_000, 1_000_000 }),
		told(bijou.FactRate, 2, 0, func(f *bijou.Fact) { f.PlayedMS, f.BPS = 10_000, 5_000_000 }),
		told(bijou.FactPause, 3, 0, func(f *bijou.Fact) { f.PlayedMS = 5_000 }),
		told(bijou.FactStall, 4, 0, lasting(5*time.Second)),
		told(bijou.FactStall, 5, 0, lasting(1000*time.Hour)), // a player whose clock is wrong
	} {
		f.apply(&x, func(c *change) { got.apply(c) })
	}
	x := got.figures(time.Minute)
	if x.PlayedMS != 45_000 || x.Stalls != 2 || x.StalledMS != 5_000+maxStallMS || x.Watching != 0.75 {
		t.Errorf("got %+v", x)
	}
	if x.Rate.MeanBPS != 2_000_000 || !near(x.Rate.P50BPS, 1_000_000) || !near(x.Rate.P90BPS, 5_000_000) {
		t.Errorf("rates are %+v, want 2 Mbit/s on average, half of the time at most 1 and nine tenths at most 5", x.Rate)
	}
}

// near tells whether a value is within the stated accuracy.
func near(got, want float64) bool { return got >= want*(1-accuracy) && got <= want*(1+accuracy) }

func TestQuantilesAreWithinTheStatedErrorAndMergeWithoutLoss(t *testing.T) {
	all, odd, even := newSketch(), newSketch(), newSketch()
	for v := int64(1); v <= 20_000; v++ {
		all.add(v, maxFrameMS, 1)
		if v%2 == 0 {
			even.add(v, maxFrameMS, 1)
		} else {
			odd.add(v, maxFrameMS, 1)
		}
	}
	odd.merge(even)
	for _, q := range []float64{0.001, 0.1, 0.5, 0.95, 0.99, 1} {
		got := all.quantiles(q)[0]
		if !near(got, q*20_000) {
			t.Errorf("quantile %v of 1 to 20,000 is %v, more than %v off", q, got, accuracy)
		}
		if merged := odd.quantiles(q)[0]; merged != got {
			t.Errorf("quantile %v of two halves is %v, and of the whole %v", q, merged, got)
		}
	}
	few := newSketch()
	for _, v := range []int64{300, 600, 900, 1200, 1500} {
		few.add(v, maxFrameMS, 1)
	}
	if got := few.quantiles(0.5, 0.95, 0.99); !near(got[0], 900) || !near(got[1], 1500) || !near(got[2], 1500) {
		t.Errorf("quantiles of five values are %v, want the third and the fifth", got)
	}
}

func TestPlacesAreToldApartWithinTheWindow(t *testing.T) {
	for _, places := range [][]int64{{1, 2, 3}, {5, 1, 200, 3, 199, 2}, {1, 257, 2}, {300, 45, 46}, {64, 128, 192, 1}, {1 << 62, 1<<62 - 255, 1}} {
		var s seen
		had, top := map[int64]bool{}, int64(0)
		for range 2 {
			for _, p := range places {
				want := !had[p] && p > top-window
				had[p], top = true, max(top, p)
				if got := s.first(p); got != want {
					t.Errorf("places %v: %d is new: got %v, want %v", places, p, got, want)
				}
			}
		}
	}
}

func TestMemoryOfViewingsIsBounded(t *testing.T) {
	f := newFold(100)
	var got series
	for n := range 1000 {
		x := told(bijou.FactStart, 1, time.Duration(n)*time.Millisecond, func(f *bijou.Fact) { f.Session = bijou.SessionID(fmt.Sprint("ply_", n)) })
		f.apply(&x, func(c *change) { got.apply(c) })
	}
	if len(f.viewings) != 100 || f.forgottenSoon != 900 || f.viewings["ply_999"] == nil || f.viewings["ply_899"] != nil {
		t.Errorf("after 1,000 viewings %d are remembered and %d forgotten, want the latest 100", len(f.viewings), f.forgottenSoon)
	}
	f.advance(noon.Add(time.Hour).UnixMilli(), func(c *change) { got.apply(c) })
	if got.n[starts] != 1000 || got.n[failedSilence] != 1000 {
		t.Errorf("got %v, want each start counted as failed for silence, forgotten or not", counterNames(got.n))
	}
	late := told(bijou.FactPause, 1, 13*time.Hour, func(f *bijou.Fact) { f.Session = "ply_late" })
	f.apply(&late, discard)
	if len(f.viewings) != 1 {
		t.Errorf("thirteen hours later %d viewings are remembered, want the one that was heard of", len(f.viewings))
	}
}
