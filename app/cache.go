package app

import (
	"time"

	"bijou"
	"bijou/engine/cached"
	"bijou/engine/memory"
	"bijou/kit/watch"
)

// near is the cache as rooms have it, and what stands behind it.
type near struct {
	titles   *cached.Titles
	outlines bijou.CacheStore // of assets, which never change
}

// near returns the cache, one for all rooms of the process: so that whoever changes a title and whoever reads it know of each other.
func (p *process) near() *near {
	if p.cached == nil {
		p.cached = p.newNear()
	}
	return p.cached
}

func (p *process) newNear() *near {
	at := p.config.Stores
	if at.Cache == "" {
		own := cached.Count(p.stores.cache, watch.Labelled(p.metrics, "at", "process"))
		return &near{cached.NewTitles(p.stores.titles, own, time.Now), own}
	}
	shared := cached.Count(p.stores.cache, watch.Labelled(p.metrics, "at", "shared"))
	own := cached.Count(memory.New(int64(at.CacheMemory)), watch.Labelled(p.metrics, "at", "process"))
	titles := own // nobody else changes those of the data directory, and a server's answer takes longer than the file's
	if at.Titles != "" {
		titles = shared
	}
	return &near{cached.NewTitles(p.stores.titles, titles, time.Now), cached.NewStandby(shared, own)}
}
