package app

import (
	"time"

	"bijou"
	"bijou/engine/cached"
	"bijou/engine/memory"
)

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
