//go:build engines

package system_test

import (
	"strings"
	"testing"
	"time"

	"bijou/test/engines"
	"bijou/test/harness"
)

// strikes is how many viewings are started while something is wrong with the cache.
const strikes = 200

// TestTheServiceDoesWithoutItsMemcached kills and pauses the cache under a service that plays. Its titles are at a server, since those of the data
// directory are cached in the process.
func TestTheServiceDoesWithoutItsMemcached(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		cache := engines.Memcached(t)
		address := "memcached://" + cache.Address + "?prefix=site"
		titles := engines.MySQLDatabase(t, engines.MySQL(t), "bijou", "")
		options := harness.Options{Env: []string{"BIJOU_STORES_CACHE=" + address, "BIJOU_STORES_TITLES=" + titles}}
		sv, film := library(t, shape, options)
		doctor := func(want string) {
			t.Helper()
			r := sv.CLI(t, "--set", "stores.cache="+address, "doctor")
			if !strings.Contains(r.Out, want) {
				t.Errorf("doctor says %s, want %q", r.Out, want)
			}
		}
		used := func() {
			t.Helper()
			titles, outlines := cached(t, sv, "shared", "title"), cached(t, sv, "shared", "outline")
			harness.Eventually(t, "the cache is used", func() bool {
				plays(t, sv, film.ID)
				return cached(t, sv, "shared", "title") > titles && cached(t, sv, "shared", "outline") > outlines
			})
		}
		starts := func() time.Duration {
			t.Helper()
			begin := time.Now()
			for range strikes {
				plays(t, sv, film.ID)
			}
			return time.Since(begin)
		}
		used()
		doctor("memcached 1.6.")
		well := starts()

		cache.Pause(t)
		paused := starts()
		// Each start and each manifest asks the cache once: waiting 50 ms each time would take so long.
		if most := 3*well + strikes*3*memcachedPatience/4; paused > most {
			t.Errorf("%d starts took %s with the cache paused and %s before, want at most %s", strikes, paused, well, most)
		}
		rename(t, sv, film.ID, "while it was paused")
		cache.Resume(t)
		for range strikes {
			wantNamed(t, sv, film.ID, "while it was paused")
		}
		used()
		wantNamed(t, sv, film.ID, "while it was paused")

		cache.Kill(t)
		doctor("failure  store cache")
		harness.Eventually(t, "the service says that its cache is away", func() bool {
			return strings.Contains(string(sv.Guest().Get(t, "/readyz?verbose")), "store cache: away")
		})
		killed := starts()
		rename(t, sv, film.ID, "while it was dead")
		sv.Stop(t)
		sv = sv.Restart(t, options)
		plays(t, sv, film.ID) // it starts without the cache too
		cache.Start(t)
		used()
		rename(t, sv, film.ID, "when it was back")
		t.Logf("%d starts with their manifests took %s with the cache, %s while it was paused, %s while it was dead", strikes, well, paused, killed)
		if failures := harness.Metric(t, sv.Guest(), `bijou_cache_failures_total{at="shared",call="recall",of="title"}`); failures == 0 {
			t.Error("no failure of the cache is counted")
		}
	})
}

// memcachedPatience is how long a call waits for memcached, as docs/engines/memcached.md has it.
const memcachedPatience = 50 * time.Millisecond
