package operators

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAClockThatJumpsKeepsNoOperatorOutForLongerThanTheWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, now := newAttempts(), time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
		for range rapid.IntRange(1, 40).Draw(rt, "tries") {
			step := rapid.SampledFrom([]time.Duration{0, time.Second, -time.Minute, time.Hour, -87_600 * time.Hour, 87_600 * time.Hour}).Draw(rt, "step")
			now = now.Add(step)
			_ = a.begin("ada", "192.0.2.1", now) // whether it is refused is the other tests' matter
		}
		refused := a.begin("ada", "192.0.2.1", now)
		if err := a.begin("ada", "192.0.2.1", now.Add(window)); refused != nil && err != nil {
			rt.Fatalf("refused a window later still: %v, after %v", err, refused)
		}
		for range maxNoted {
			a.mayNote(now)
		}
		if a.mayNote(now) || !a.mayNote(now.Add(time.Minute)) {
			rt.Fatal("what is noted in a minute is not bounded, or stays so")
		}
	})
}

func TestAClockThatGoesBackGivesNoMoreTries(t *testing.T) {
	a, now := newAttempts(), time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
	for n := range maxHere {
		if err := a.begin("ada", "192.0.2.1", now.Add(-time.Duration(n)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.begin("ada", "192.0.2.1", now.Add(-time.Hour)); err == nil {
		t.Error("one try too many is taken once the clock went back")
	}
}
