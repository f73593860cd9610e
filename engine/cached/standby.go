package cached

import (
	"context"
	"errors"
	"time"

	"bijou"
)

// Standby implements bijou.CacheStore by a cache that others share, and by one of this process alone while that fails: so that its loss does not
// have every call do anew what the cache saved. It is for what never changes: what another process forgot meanwhile it still knows.
type Standby struct{ shared, own bijou.CacheStore }

// NewStandby returns the shared cache with the own one behind it.
func NewStandby(shared, own bijou.CacheStore) *Standby { return &Standby{shared, own} }

// ownRun marks the tickets of the own cache.
const ownRun = ^uint64(0)

// Recall implements bijou.CacheStore.
func (s *Standby) Recall(ctx context.Context, keys ...string) ([]bijou.Cached, error) {
	found, err := s.shared.Recall(ctx, keys...)
	if !errors.Is(err, bijou.Unavailable) {
		return found, err
	}
	var open []string // that the shared one could not tell of
	var at []int
	for i, f := range found {
		if !f.Found && f.Ticket == (bijou.CacheTicket{}) {
			open, at = append(open, keys[i]), append(at, i)
		}
	}
	own, err := s.own.Recall(ctx, open...)
	for i, o := range own {
		if o.Ticket != (bijou.CacheTicket{}) {
			o.Ticket.Run = ownRun
		}
		found[at[i]] = o
	}
	return found, err
}

// Fill implements bijou.CacheStore. The value goes to the cache that gave the ticket.
func (s *Standby) Fill(ctx context.Context, key string, ticket bijou.CacheTicket, value []byte, ttl time.Duration) (bool, error) {
	if ticket.Run == ownRun {
		return s.own.Fill(ctx, key, bijou.CacheTicket{Number: ticket.Number}, value, ttl)
	}
	return s.shared.Fill(ctx, key, ticket, value, ttl)
}

// Forget implements bijou.CacheStore. It fails where the shared cache does.
func (s *Standby) Forget(ctx context.Context, keys ...string) error {
	return errors.Join(s.own.Forget(ctx, keys...), s.shared.Forget(ctx, keys...))
}
