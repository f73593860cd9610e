package pulse

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"bijou"
)

const (
	// liveEvery is how often those who look on are told, where anything is different.
	liveEvery = time.Second
	// liveAnyway is how often they are told all the same.
	liveAnyway = 10 * time.Second
)

// Live implements bijou.Pulse.
func (s *Service) Live(context.Context) (bijou.PulseLive, error) {
	l, err := s.known()
	if err != nil {
		return bijou.PulseLive{}, err
	}
	return l.live(s.now()), nil
}

// live says how things are, at now in ms since 1970.
func (l *ledger) live(now int64) bijou.PulseLive {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := bijou.PulseLive{At: time.UnixMilli(now).UTC()}
	out.Starts1, _ = l.perSecond(now, 1)
	out.Starts10, _ = l.perSecond(now, 10)
	out.Starts60, out.Failed60 = l.perSecond(now, 60)
	this := minuteOf(now)
	so := span{now: now}
	out.Minute = l.recentFigures(this, so.time(this, this+1))
	out.Last = l.recentFigures(this-1, time.Minute)
	p := past{l.history, l.since}
	out.Starts, out.Ratio = expectStarts(p, this, 1), expectFailed(p, this, 1)
	return out
}

func (l *ledger) recentFigures(at int64, span time.Duration) bijou.PulseFigures {
	if s := l.recent[at]; s != nil {
		return s.figures(span)
	}
	return (&series{}).figures(span)
}

// Follow tells how things are: at once, then every second in which something is different, and every ten seconds. It fails with Exhausted where
// a hundred look on.
func (s *Service) Follow(ctx context.Context, _ struct{}, send func(bijou.PulseLive) error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return fmt.Errorf("%d look on already: close some pages, or try again later: %w", maxListeners, bijou.Exhausted)
	}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	var last bijou.PulseLive
	for {
		now, err := s.Live(ctx)
		if err != nil {
			return err
		}
		if now.At.Sub(last.At) >= liveAnyway || !same(now, last) {
			if err := send(now); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// same tells whether nothing is different but the time that has passed.
func same(a, b bijou.PulseLive) bool {
	a.At = b.At
	for _, f := range []*bijou.PulseFigures{&a.Minute, &b.Minute} {
		f.StartsPerSecond, f.Watching = 0, 0 // averages over the time so far
	}
	return reflect.DeepEqual(a, b)
}
