package guard

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"bijou"
)

// Breaker keeps callers from waiting for what does not answer. After failures in a row it refuses calls for a while, then lets one through to
// see: where that fails it refuses for twice as long, and where it succeeds all may call again. Its zero value refuses nothing; it is set up
// by its fields before the first use.
type Breaker struct {
	Failures int           // in a row, that it takes
	Wait     time.Duration // how long it refuses at first; half of it is random so that callers spread
	MostWait time.Duration // how long at most
	mu       sync.Mutex
	failed   int // in a row
	wait     time.Duration
	until    time.Time
	trial    bool // one was let through to see, and has not ended
}

// Allow lets a call be made now, or fails with Unavailable. Who is let through calls Done or Leave afterwards.
func (b *Breaker) Allow(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Failures == 0 || b.failed < b.Failures {
		return nil
	}
	if b.trial || now.Before(b.until) {
		return fmt.Errorf("it failed %d times in a row and is left alone for a moment: %w", b.failed, bijou.Unavailable)
	}
	b.trial = true
	return nil
}

// Done notes how a call that was allowed has ended.
func (b *Breaker) Done(now time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	if ok {
		b.failed, b.wait = 0, 0
		return
	}
	b.failed++
	if b.Failures == 0 || b.failed < b.Failures || now.Before(b.until) {
		return
	}
	b.wait = min(max(2*b.wait, b.Wait), b.MostWait)
	b.until = now.Add(b.wait/2 + rand.N(b.wait/2+1))
}

// Leave notes that a call that was allowed has ended without a verdict: who asked has left.
func (b *Breaker) Leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
}
