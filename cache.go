package bijou

import (
	"context"
	"fmt"
	"time"
)

// Bounds of what a cache keeps.
const (
	MaxCacheKey   = 200                 // bytes of a key; with a prefix of the engine's it stays below memcached's 250
	MaxCacheValue = 1<<20 - 1<<10       // bytes of a value; with its head it is an item that memcached takes without being told to
	MaxCacheKeys  = 1000                // keys in one call
	MaxCacheTTL   = 30 * 24 * time.Hour // beyond it memcached reads a time to live as a date
	// TicketTerm is how long a ticket holds at most: as long as reading what is missing may take.
	TicketTerm = 10 * time.Second
)

// CacheTicket lets its holder fill the key that it was given for, once. The zero ticket fills nothing.
type CacheTicket struct{ Number, Run uint64 }

// Cached is what a cache knows of one key.
type Cached struct {
	Found  bool
	Value  []byte      // where it was found; not to be changed
	Ticket CacheTicket // where it was not found, for the one caller who is to fill it; all others get the zero ticket
}

// CacheStore keeps bytes near, for a while, and may forget anything at any time. A value gets in by a ticket alone, which ends when its key is
// forgotten: so a caller who was slow to read what is missing cannot put back what was changed meanwhile, if whoever changes it calls Forget
// afterwards.
type CacheStore interface {
	// Recall returns what is kept under each of the keys, in their order. It fails with Invalid where CheckCacheKeys does, and with
	// Unavailable where a part of the cache does not answer: the answer then has what the other parts know, and the rest as not found.
	Recall(ctx context.Context, keys ...string) ([]Cached, error)
	// Fill keeps the value under the key for at most ttl, in whole seconds, and reports whether it does: not with a ticket that was used, is
	// older than TicketTerm, or was given before the key was forgotten. It fails with Invalid where CheckFill does, and with Unavailable or
	// Exhausted where the cache does not answer or does not take more; then it may be kept or not.
	Fill(ctx context.Context, key string, ticket CacheTicket, value []byte, ttl time.Duration) (bool, error)
	// Forget removes what is kept under the keys, and ends the tickets that were given for them. It fails as Recall does; then some may be
	// forgotten and some not.
	Forget(ctx context.Context, keys ...string) error
}

// CheckCacheKeys refuses, as Invalid, more than MaxCacheKeys keys, and a key that is not 1 to MaxCacheKey printable characters of ASCII without
// a space.
func CheckCacheKeys(keys ...string) error {
	if len(keys) > MaxCacheKeys {
		return fmt.Errorf("%d keys of a cache in one call: ask for at most %d: %w", len(keys), MaxCacheKeys, Invalid)
	}
	for _, key := range keys {
		if key == "" || len(key) > MaxCacheKey {
			return fmt.Errorf("cache key of %d bytes: it must have 1 to %d: %w", len(key), MaxCacheKey, Invalid)
		}
		for _, c := range []byte(key) {
			if c <= ' ' || c > '~' {
				return fmt.Errorf("cache key %q: only printable characters of ASCII without a space may stand in it: %w", key, Invalid)
			}
		}
	}
	return nil
}

// CheckFill refuses, as Invalid, what no cache keeps: a key as CheckCacheKeys says, a value of more than MaxCacheValue bytes, and a time to live
// that is not one second to MaxCacheTTL.
func CheckFill(key string, value []byte, ttl time.Duration) error {
	switch {
	case len(value) > MaxCacheValue:
		return fmt.Errorf("cache %q: the value has %d bytes, and may have %d: %w", clip(key, 80), len(value), MaxCacheValue, Invalid)
	case ttl < time.Second || ttl > MaxCacheTTL:
		return fmt.Errorf("cache %q: the time to live is %s, and must be 1s to %s: %w", clip(key, 80), ttl, MaxCacheTTL, Invalid)
	}
	return CheckCacheKeys(key)
}
