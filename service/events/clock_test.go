package events

import (
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

func TestAClockThatJumpsLetsAViewingReportAsItMay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v, now := newViewings(), time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
		facts := make([]bijou.Fact, burst)
		for i := range facts {
			facts[i].Session = "ply_1"
		}
		for range rapid.IntRange(1, 20).Draw(rt, "reports") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, -time.Second, time.Hour, -87_600 * time.Hour, 87_600 * time.Hour}).Draw(rt, "step"))
			_ = v.admit(facts[:rapid.IntRange(1, burst).Draw(rt, "facts")], now) // whether it is refused is the other tests' matter
			if left := v.of("ply_1", now).allowance; left < 0 || left > burst {
				rt.Fatalf("may report %.0f facts, want 0 to %d", left, burst)
			}
		}
		if err := v.admit(facts, now.Add(burst/perSecond*time.Second)); err != nil {
			rt.Fatalf("after a pause: %v", err)
		}
	})
}
