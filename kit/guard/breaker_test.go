package guard_test

import (
	"errors"
	"testing"
	"time"

	"bijou"
	"bijou/kit/guard"
)

// allowed counts how many of n calls are let through, none of which ends.
func allowed(t *testing.T, b *guard.Breaker, now time.Time, n int) (got int) {
	t.Helper()
	for range n {
		switch err := b.Allow(now); {
		case err == nil:
			got++
		case !errors.Is(err, bijou.Unavailable):
			t.Fatalf("refused with %v, want Unavailable", err)
		}
	}
	return got
}

func wantAllowed(t *testing.T, when string, b *guard.Breaker, now time.Time, want int) {
	t.Helper()
	if got := allowed(t, b, now, 10); got != want {
		t.Errorf("%s: %d of 10 calls are let through, want %d", when, got, want)
	}
}

func TestABreakerRefusesAfterFailuresInARowAndLetsOneThroughToSee(t *testing.T) {
	b := &guard.Breaker{Failures: 3, Wait: time.Second, MostWait: 3 * time.Second}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	b.Done(now, false)
	b.Done(now, false)
	b.Done(now, true)
	b.Done(now, false)
	b.Done(now, false)
	wantAllowed(t, "after two failures in a row", b, now, 10)
	b.Done(now, false)
	wantAllowed(t, "after three", b, now, 0)
	wantAllowed(t, "before half of the wait", b, now.Add(499*time.Millisecond), 0)
	for i, wait := range []time.Duration{1, 2, 3, 3} {
		now = now.Add(wait * time.Second)
		wantAllowed(t, "after the wait", b, now, 1)
		b.Done(now, false)
		next := min(2*wait, 3) * time.Second
		wantAllowed(t, "after the trial failed", b, now.Add(next/2-1), 0)
		if i == 3 {
			now = now.Add(next)
		}
	}
	wantAllowed(t, "at last", b, now, 1)
	b.Leave()
	wantAllowed(t, "after who tried has left", b, now, 1)
	b.Done(now, true)
	wantAllowed(t, "after it succeeded", b, now, 10)
}

func TestLateFailuresDoNotMakeABreakerWaitLonger(t *testing.T) {
	b := &guard.Breaker{Failures: 1, Wait: time.Second, MostWait: time.Hour}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for range 100 { // calls that were under way together
		b.Done(now, false)
	}
	wantAllowed(t, "after the first wait", b, now.Add(time.Second), 1)
}
