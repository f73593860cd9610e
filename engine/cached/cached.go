// Package cached puts a cache before what is asked often, keeps the contract of what it stands before, and counts what the cache is good for.
package cached

import (
	"context"
	"errors"
	"strings"
	"time"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
)

// Counted implements bijou.CacheStore by another one, and counts. What a key is of is its part before the first slash.
type Counted struct {
	cache                         bijou.CacheStore
	hits, misses, failures, bytes *prometheus.CounterVec
}

// Count returns the cache, counted in the metrics.
func Count(c bijou.CacheStore, m prometheus.Registerer) *Counted {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bijou_cache_" + name, Help: help}, labels)
		m.MustRegister(v)
		return v
	}
	return &Counted{
		cache:    c,
		hits:     counter("hits_total", "Values that were found in the cache.", "of"),
		misses:   counter("misses_total", "Values that were not, those that it could not tell included.", "of"),
		failures: counter("failures_total", "Calls of the cache that failed. None of them makes what called it fail.", "of", "call"),
		bytes:    counter("bytes_total", "Bytes of values, read from the cache or kept in it.", "of", "way"),
	}
}

// of tells what the keys are of.
func of(keys ...string) string {
	if len(keys) == 0 {
		return ""
	}
	of, _, _ := strings.Cut(keys[0], "/")
	return of
}

// failed counts a failure, but not that of a caller who left.
func (c *Counted) failed(ctx context.Context, err error, call string, keys ...string) {
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		c.failures.WithLabelValues(of(keys...), call).Inc()
	}
}

// Recall implements bijou.CacheStore.
func (c *Counted) Recall(ctx context.Context, keys ...string) ([]bijou.Cached, error) {
	found, err := c.cache.Recall(ctx, keys...)
	for i, f := range found {
		what := of(keys[i])
		if !f.Found {
			c.misses.WithLabelValues(what).Inc()
			continue
		}
		c.hits.WithLabelValues(what).Inc()
		c.bytes.WithLabelValues(what, "read").Add(float64(len(f.Value)))
	}
	c.failed(ctx, err, "recall", keys...)
	return found, err
}

// Fill implements bijou.CacheStore.
func (c *Counted) Fill(ctx context.Context, key string, ticket bijou.CacheTicket, value []byte, ttl time.Duration) (bool, error) {
	kept, err := c.cache.Fill(ctx, key, ticket, value, ttl)
	if kept {
		c.bytes.WithLabelValues(of(key), "kept").Add(float64(len(value)))
	}
	c.failed(ctx, err, "fill", key)
	return kept, err
}

// Forget implements bijou.CacheStore.
func (c *Counted) Forget(ctx context.Context, keys ...string) error {
	err := c.cache.Forget(ctx, keys...)
	c.failed(ctx, err, "forget", keys...)
	return err
}
