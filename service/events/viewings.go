package events

import (
	"fmt"
	"sync"
	"time"

	"bijou"
)

// A viewing may report so many facts at once, and so many a second in the long run: many times what any player has to say, even one that was
// without the service for a while. Who reports more is broken, and must not crowd others out.
const (
	burst     = 600
	perSecond = 20
)

// halfViewings is how many viewings are remembered at least, and half of how many at most: some 200 bytes each.
const halfViewings = 50_000

// viewings remembers the viewings that reported last: how much they may report, and what those in CMCD event mode were at. It is a help:
// one that was forgotten may report as a new one does.
type viewings struct {
	mu    sync.Mutex
	young map[bijou.SessionID]*viewing
	old   map[bijou.SessionID]*viewing
}

// viewing is what is remembered of one.
type viewing struct {
	allowance float64
	at        time.Time // when the allowance was that
	playing   playing
}

func newViewings() *viewings {
	return &viewings{young: map[bijou.SessionID]*viewing{}}
}

// admit takes the facts from what their viewings may report. It fails with Exhausted, taking nothing, where any has used it up.
func (v *viewings) admit(facts []bijou.Fact, now time.Time) error {
	counts := map[bijou.SessionID]float64{}
	for _, f := range facts {
		counts[f.Session]++
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, n := range counts {
		x := v.of(id, now)
		x.allowance, x.at = min(burst, x.allowance+max(0, now.Sub(x.at).Seconds())*perSecond), now
		if x.allowance < n {
			return fmt.Errorf("viewing %s reports more than %d facts a second: send them again later: %w", id, perSecond, bijou.Exhausted)
		}
	}
	for id, n := range counts {
		v.of(id, now).allowance -= n
	}
	return nil
}

// of returns the viewing, which is remembered from now on. The lock is held.
func (v *viewings) of(id bijou.SessionID, now time.Time) *viewing {
	if x := v.young[id]; x != nil {
		return x
	}
	x := v.old[id]
	if x == nil {
		x = &viewing{allowance: burst, at: now}
	}
	if len(v.young) >= halfViewings {
		v.old, v.young = v.young, make(map[bijou.SessionID]*viewing, halfViewings)
	}
	v.young[id] = x
	return x
}

// playingOf returns what the viewing was at when it reported last.
func (v *viewings) playingOf(id bijou.SessionID, now time.Time) playing {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.of(id, now).playing
}

// note remembers what viewings are at, once their facts are kept.
func (v *viewings) note(all map[bijou.SessionID]playing, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, p := range all {
		v.of(id, now).playing = p
	}
}
