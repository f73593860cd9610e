//go:build engines

package cached

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/engine/memcached"
	"bijou/test/contract"
	"bijou/test/engines"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTitlesBehindARealMemcachedKeepTheContractOfTitleStore(t *testing.T) {
	server := engines.Memcached(t)
	var stores atomic.Int64 // each has a prefix of its own, and so holds nothing
	registry := prometheus.NewRegistry()
	cache := func(t *testing.T) *memcached.Cache {
		c, err := memcached.Open(fmt.Sprintf("memcached://%s?prefix=%d", server.Address, stores.Add(1)), memcached.Options{Patience: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	contract.TitleStore(t, func(t *testing.T) bijou.TitleStore { return NewTitles(openCatalog(t), cache(t), time.Now) })
	titles := NewTitles(openCatalog(t), Count(cache(t), registry), time.Now)
	put(t, titles, "a")
	wantName(t, "filled in", titles, "a")
	wantName(t, "found", titles, "a")
	if got := counted(t, registry)["bijou_cache_hits_total title"]; got != 1 {
		t.Errorf("two reads found the title %v times in memcached, want once", got)
	}
}
