package app

import (
	"context"
	"fmt"
	"time"

	"bijou"
	"bijou/engine/cached"
	"bijou/engine/memcached"
	"bijou/engine/memory"
)

// openCache returns the cache that the configuration names, and what closes it. It does no I/O.
func openCache(s Stores) (bijou.CacheStore, func(), error) {
	if s.Cache == "" {
		return memory.New(int64(s.CacheMemory)), func() {}, nil
	}
	shared, err := memcached.Open(s.Cache, memcached.Options{})
	if err != nil {
		return nil, func() {}, err
	}
	return shared, func() { _ = shared.Close() }, nil // it ends connections, and has nothing to lose
}

// near is the cache as rooms have it, and what stands behind it.
type near struct {
	titles   *cached.Titles
	outlines bijou.CacheStore // of assets, which never change
}

// near returns the cache, one for all rooms of the process: so that whoever changes a title and whoever reads it know of each other.
func (p *process) near() *near {
	if p.cached == nil {
		c := cached.Count(p.stores.cache, p.metrics)
		p.cached = &near{cached.NewTitles(p.stores.titles, c, time.Now), c}
		if p.config.Stores.Cache != "" {
			p.cached.outlines = cached.NewStandby(c, memory.New(int64(p.config.Stores.CacheMemory)))
		}
	}
	return p.cached
}

// checkCache looks whether the cache answers. Nothing depends on it, so what is wrong with it is a warning.
func checkCache(ctx context.Context, s Stores) Finding {
	const name = "cache"
	if s.Cache == "" {
		return Finding{name, FindingOK, fmt.Sprintf("in the service's process, at most %d MiB", s.CacheMemory>>20), ""}
	}
	shared, err := memcached.Open(s.Cache, memcached.Options{})
	if err != nil {
		return Finding{name, FindingFailure, bijou.Sentence(err), "write stores.cache as its documentation has it"}
	}
	defer shared.Close()
	says, err := shared.Version(ctx)
	if err != nil {
		return Finding{name, FindingWarning, bijou.Sentence(err), "start it, or mend stores.cache: until then everything works without, and asks the stores more often"}
	}
	return Finding{name, FindingOK, says, ""}
}
