// Package memory keeps a cache in this process: what is read often stays, within a bound of bytes.
package memory

import (
	"context"
	"sync/atomic"
	"time"

	"bijou"

	"github.com/maypok86/otter/v2"
)

// entryBytes is about what an entry takes beside its key and its value.
const entryBytes = 160

// Cache implements bijou.CacheStore. Which entries stay when the bound is reached goes by how recently and how often they were read (W-TinyLFU).
type Cache struct {
	kept    *otter.Cache[string, entry]
	tickets atomic.Uint64
}

// entry is a value, or a ticket that somebody holds.
type entry struct {
	ticket uint64 // 0 for a value
	value  []byte
	ttl    time.Duration
}

// New returns an empty cache that takes about this many bytes at most.
func New(bytes int64) *Cache {
	return &Cache{kept: otter.Must(&otter.Options[string, entry]{
		MaximumWeight:    uint64(max(bytes, 1)),
		Weigher:          func(key string, e entry) uint32 { return uint32(entryBytes + len(key) + len(e.value)) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, entry]) time.Duration { return e.Value.ttl }),
	})}
}

// Recall implements bijou.CacheStore.
func (c *Cache) Recall(ctx context.Context, keys ...string) ([]bijou.Cached, error) {
	if err := bijou.CheckCacheKeys(keys...); err != nil {
		return nil, err
	}
	found := make([]bijou.Cached, len(keys))
	for i, key := range keys {
		e, ok := c.kept.GetIfPresent(key)
		if !ok {
			number := c.tickets.Add(1)
			e, _ = c.kept.ComputeIfAbsent(key, func() (entry, bool) { return entry{ticket: number, ttl: bijou.TicketTerm}, false })
			if e.ticket == number {
				found[i].Ticket.Number = number
				continue
			}
		}
		if e.ticket == 0 {
			found[i] = bijou.Cached{Found: true, Value: e.value}
		}
	}
	return found, ctx.Err()
}

// Fill implements bijou.CacheStore.
func (c *Cache) Fill(ctx context.Context, key string, ticket bijou.CacheTicket, value []byte, ttl time.Duration) (kept bool, err error) {
	if err := bijou.CheckFill(key, value, ttl); err != nil {
		return false, err
	}
	if ticket == (bijou.CacheTicket{}) {
		return false, ctx.Err()
	}
	c.kept.ComputeIfPresent(key, func(old entry) (entry, otter.ComputeOp) {
		if kept = old.ticket == ticket.Number; !kept {
			return old, otter.CancelOp
		}
		return entry{value: append([]byte{}, value...), ttl: ttl}, otter.WriteOp
	})
	return kept, ctx.Err()
}

// Forget implements bijou.CacheStore.
func (c *Cache) Forget(ctx context.Context, keys ...string) error {
	if err := bijou.CheckCacheKeys(keys...); err != nil {
		return err
	}
	for _, key := range keys {
		c.kept.Invalidate(key)
	}
	return ctx.Err()
}
