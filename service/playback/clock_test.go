package playback

import (
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

func TestAClockThatJumpsSilencesNoPlayer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		asked, now := &askedCache{last: map[bijou.SessionID]time.Time{}}, time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
		for range rapid.IntRange(1, 20).Draw(rt, "questions") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, -time.Second, time.Hour, -87_600 * time.Hour, 87_600 * time.Hour}).Draw(rt, "step"))
			asked.may("ply_1", now)
			if !asked.may("ply_1", now.Add(steerWait)) {
				rt.Fatalf("a player may not ask %s after it asked", steerWait)
			}
		}
	})
}
