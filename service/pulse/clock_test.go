package pulse

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

const years = 10 * 365 * 24 * time.Hour

func TestAViewingThatGoesOnAfterAClockWasAheadIsRememberedAndSoAreOthers(t *testing.T) {
	f := newFold(1000)
	var sum [counters]int64
	apply := func(id bijou.SessionID, x bijou.Fact) {
		x.Session = id
		f.apply(&x, func(c *change) {
			for i, n := range c.n {
				sum[i] += n
			}
		})
	}
	apply("ply_a", told(bijou.FactStart, 1, 0))
	apply("ply_a", told(bijou.FactFirstFrame, 2, years, lasting(time.Second)))
	apply("ply_a", told(bijou.FactHeartbeat, 3, time.Second))
	apply("ply_b", told(bijou.FactStart, 1, 2*time.Second))
	apply("ply_b", told(bijou.FactFirstFrame, 2, 3*time.Second, lasting(time.Second)))
	if len(f.viewings) != 2 || sum[starts] != 2 || sum[failedSilence] > 1 { // the one that the leap was in may have failed
		t.Errorf("%d viewings are remembered, and %v counted; want 2, and no failure of the viewing that began afterwards", len(f.viewings), counterNames(sum))
	}
}

func TestAClockThatWasWrongForAWhileDoesNoLastingHarm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f, now := newFold(1000), noon
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		a := newAudience(random, 1)
		for range rapid.IntRange(1, 60).Draw(rt, "facts") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Second, time.Minute, -time.Hour, years, -years}).Draw(rt, "step"))
			_, x := a.fact(now)
			f.apply(&x, discard)
			f.advance(now.UnixMilli(), discard)
		}
		// The clock is right from now on. What is heard of no more is forgotten after its time.
		for n := range 20 {
			x := told(bijou.FactStart, 1, time.Duration(n)*time.Hour)
			x.Session = bijou.SessionID(fmt.Sprint("ply_later_", n))
			f.apply(&x, discard)
			f.advance(x.At.UnixMilli(), discard)
		}
		most := int(memoryMS/time.Hour.Milliseconds()) + 2
		if n := len(f.viewings); n > most {
			rt.Fatalf("%d viewings are remembered, want the %d of the last hours alone", n, most)
		}
		for id, v := range f.viewings {
			if v.outcome == undecided && v.started+silenceMS <= f.latest() {
				rt.Fatalf("viewing %s of %d ms waits for ever at %d ms", id, v.started, f.latest())
			}
		}
	})
}

func TestWhatIsUsualNeedsNoClockThatIsRight(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.Int64Range(-1<<40, 1<<40)
		p := past{map[int64]tally{}, at.Draw(rt, "since")}
		now := at.Draw(rt, "now")
		for range rapid.IntRange(0, 20).Draw(rt, "minutes") {
			p.minutes[now-rapid.Int64Range(0, 40*24*60).Draw(rt, "ago")] = tally{starts: rapid.Int32Range(0, 1000).Draw(rt, "starts")}
		}
		for _, b := range []bijou.PulseBand{expectStarts(p, now, 5), expectFailed(p, now, 5)} {
			if b.Low < 0 || b.Low > b.Mid || b.Mid > b.High {
				rt.Fatalf("band %+v is not in order", b)
			}
		}
	})
}
