// Package guard keeps a call to another part of the service from waiting for ever or failing for a moment's sake.
package guard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"bijou"
)

// maxBackoff bounds the wait before a try, however many there were.
const maxBackoff = time.Minute

// Policy says how long and how often to try.
type Policy struct {
	Timeout time.Duration // of each try; none where 0. A try that takes longer has failed with Unavailable.
	Tries   int           // in all; 1 where 0
	Backoff time.Duration // before the second try; doubles each time up to a minute, and half of it is random so that callers spread
}

// Do calls f until it succeeds, fails with anything but Unavailable, the tries are used up, or ctx ends. It returns the last failure.
// It does not wait for a try that ctx leaves no time for.
func Do(ctx context.Context, p Policy, f func(context.Context) error) error {
	wait := p.Backoff
	for try := 1; ; try++ {
		err := once(ctx, p.Timeout, f)
		if err == nil || try >= p.Tries || !errors.Is(err, bijou.Unavailable) || ctx.Err() != nil {
			return err
		}
		pause := wait/2 + rand.N(wait/2+1)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
			wait = min(2*wait, maxBackoff)
		}
	}
}

// once makes one try.
func once(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	if timeout <= 0 {
		return f(ctx)
	}
	own, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(own)
	late := ctx.Err() == nil && errors.Is(own.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded)
	if late && bijou.KindOf(err) == "" {
		return fmt.Errorf("no answer within %s (%w): %w", timeout, err, bijou.Unavailable)
	}
	return err
}
