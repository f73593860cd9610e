package members

import (
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

// jumps moves a clock on a little, mostly, and sometimes forth or back by up to ten years.
func jumps(rt *rapid.T, now time.Time) time.Time {
	most := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 10 * 365 * 24 * time.Hour}).Draw(rt, "step up to")
	least := -most
	if rapid.Bool().Draw(rt, "on") {
		least = 0
	}
	return now.Add(time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(rt, "step")))
}

func TestAClockThatJumpsKeepsNobodyOutForLongerThanTheRuleSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tries, now := newTries(), at
		r := rapid.SampledFrom([]rule{byAddress, byAccount, byPIN, mailAccount}).Draw(rt, "rule")
		for range rapid.IntRange(1, 60).Draw(rt, "tries") {
			now = jumps(rt, now)
			wait := tries.take("key", r, now)
			if wait < 0 || wait > r.most {
				rt.Fatalf("has to wait %s, want at most %s", wait, r.most)
			}
		}
		wait := tries.take("key", r, now)
		if again := tries.take("key", r, now.Add(wait)); wait > 0 && again > 0 {
			rt.Fatalf("has to wait %s after having waited %s as told", again, wait)
		}
	})
}

func TestAClockThatGoesBackTakesNoTriesBack(t *testing.T) {
	tries := newTries()
	for n := range byPIN.free {
		if wait := tries.take("key", byPIN, at.Add(-time.Duration(n)*time.Second)); wait > 0 {
			t.Fatalf("try %d has to wait %s", n, wait)
		}
	}
	if wait := tries.take("key", byPIN, at.Add(-time.Minute)); wait == 0 {
		t.Error("one try too many may be made while the clock goes back")
	}
}

func TestASignInThatAWrongClockNotedIsSetRightByItsNextUse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := jumps(rt, at)
		kept := bijou.MemberSession{TokenHash: "new", OldHash: "old", Issued: jumps(rt, now), Seen: jumps(rt, now), OldUntil: jumps(rt, now)}
		if rapid.Bool().Draw(rt, "never used") {
			kept.OldUntil = time.Time{}
		}
		used, _ := noteUse(kept, "new", now)
		if off := now.Sub(used.Seen).Abs(); off >= seenEvery {
			rt.Errorf("seen %s away from when it was, want less than %s", off, seenEvery)
		}
		if used.OldUntil.IsZero() || used.OldUntil.After(now.Add(2*overlap)) {
			rt.Errorf("the old token holds until %s at %s, want %s more at most", used.OldUntil, now, 2*overlap)
		}
		if off := now.Sub(kept.Issued).Abs(); stale(kept, "new", now) != (off >= rotateAfter) {
			rt.Errorf("a token issued %s away is stale: %v", off, stale(kept, "new", now))
		}
		if again, changed := noteUse(used, "new", now); changed {
			rt.Errorf("noted twice for one use: %+v, then %+v", used, again)
		}
	})
}

// at is where the clocks of these tests begin.
var at = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
