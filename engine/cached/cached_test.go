package cached

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/memory"
	"bijou/engine/sqlite"
	"bijou/test/contract"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func openCatalog(t *testing.T) *sqlite.Catalog {
	t.Helper()
	s, err := sqlite.OpenCatalog(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestTitlesBehindACacheKeepTheContractOfTitleStore(t *testing.T) {
	contract.TitleStore(t, func(t *testing.T) bijou.TitleStore { return NewTitles(openCatalog(t), memory.New(1<<20), time.Now) })
}

func TestFreshTitlesKeepTheContractOfTitleStore(t *testing.T) {
	contract.TitleStore(t, func(t *testing.T) bijou.TitleStore {
		return NewTitles(openCatalog(t), memory.New(1<<20), time.Now).Fresh()
	})
}

func TestTitlesBehindACacheThatFailsKeepTheContractOfTitleStore(t *testing.T) {
	contract.TitleStore(t, func(t *testing.T) bijou.TitleStore {
		return NewTitles(openCatalog(t), &flaky{CacheStore: memory.New(1 << 20), down: true}, time.Now)
	})
}

func TestACountedCacheKeepsTheContractOfCacheStore(t *testing.T) {
	contract.CacheStore(t, func(*testing.T) bijou.CacheStore { return Count(memory.New(16<<20), prometheus.NewRegistry()) })
}

// flaky is a cache that fails while it is down.
type flaky struct {
	bijou.CacheStore
	mu        sync.Mutex
	down      bool
	forgotten func() // called once, after something was forgotten and before that is said
}

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return fmt.Errorf("the cache is away: %w", bijou.Unavailable)
	}
	return nil
}

// Recall implements bijou.CacheStore.
func (f *flaky) Recall(ctx context.Context, keys ...string) ([]bijou.Cached, error) {
	if err := f.err(); err != nil {
		return make([]bijou.Cached, len(keys)), err
	}
	return f.CacheStore.Recall(ctx, keys...)
}

// Fill implements bijou.CacheStore.
func (f *flaky) Fill(ctx context.Context, key string, ticket bijou.CacheTicket, value []byte, ttl time.Duration) (bool, error) {
	if err := f.err(); err != nil {
		return false, err
	}
	return f.CacheStore.Fill(ctx, key, ticket, value, ttl)
}

// Forget implements bijou.CacheStore.
func (f *flaky) Forget(ctx context.Context, keys ...string) error {
	if err := f.err(); err != nil {
		return err
	}
	err := f.CacheStore.Forget(ctx, keys...)
	if hook := f.forgotten; hook != nil {
		f.forgotten = nil
		hook()
	}
	return err
}

// gated is a store that can be stopped at a read or a write, and counts reads.
type gated struct {
	bijou.TitleStore
	mu      sync.Mutex
	reads   int
	read    func() // called after a title was read and before it is returned
	written func() // called after a title was written and before that is said
}

// Title implements bijou.TitleStore.
func (g *gated) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	t, err := g.TitleStore.Title(ctx, id)
	g.mu.Lock()
	g.reads++
	hook := g.read
	g.read = nil
	g.mu.Unlock()
	if hook != nil {
		hook()
	}
	return t, err
}

// PutTitle implements bijou.TitleStore.
func (g *gated) PutTitle(ctx context.Context, t bijou.Title) error {
	err := g.TitleStore.PutTitle(ctx, t)
	if g.written != nil {
		g.written()
	}
	return err
}

func film(name string) bijou.Title {
	return bijou.Title{ID: "ttl_1", Kind: bijou.Film, Name: name, State: bijou.Published, Genres: []string{"x"}, Added: time.Date(2026, 11, 24, 12, 0, 0, 5000, time.UTC)}
}

func put(t *testing.T, s bijou.TitleStore, name string) {
	t.Helper()
	if err := s.PutTitle(t.Context(), film(name)); err != nil {
		t.Fatal(err)
	}
}

func wantName(t *testing.T, when string, s bijou.TitleStore, name string) {
	t.Helper()
	got, err := s.Title(t.Context(), "ttl_1")
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if d := cmp.Diff(film(name), got); d != "" {
		t.Errorf("%s: got (+), want (-):\n%s", when, d)
	}
}

func TestATitleIsReadFromTheStoreOnce(t *testing.T) {
	store := &gated{TitleStore: openCatalog(t)}
	titles := NewTitles(store, memory.New(1<<20), time.Now)
	put(t, titles, "a")
	for range 5 {
		wantName(t, "read", titles, "a")
	}
	if store.reads != 1 {
		t.Errorf("five reads asked the store %d times, want once", store.reads)
	}
	wantName(t, "fresh", titles.Fresh(), "a")
	if store.reads != 2 {
		t.Errorf("a fresh read asked the store %d times, want once", store.reads-1)
	}
	put(t, titles.Fresh(), "b")
	wantName(t, "after a change", titles, "b")
}

// Two processes share a cache: one reads slowly while the other changes the title.
func TestASlowReaderDoesNotPutBackWhatWasChanged(t *testing.T) {
	store, cache := openCatalog(t), memory.New(1<<20)
	slowStore := &gated{TitleStore: store}
	slow, other := NewTitles(slowStore, cache, time.Now), NewTitles(store, cache, time.Now)
	put(t, other, "old")
	slowStore.read = func() { put(t, other, "new") }
	wantName(t, "the slow reader, which read before the change", slow, "old")
	wantName(t, "the slow reader afterwards", slow, "new")
	wantName(t, "the other process", other, "new")
	// The same where another reader has filled the new one in meanwhile.
	slowStore.read = func() {
		put(t, other, "newer")
		wantName(t, "a quick reader", other, "newer")
	}
	if err := cache.Forget(t.Context(), titleKey("ttl_1")); err != nil {
		t.Fatal(err)
	}
	wantName(t, "the slow reader again", slow, "new")
	wantName(t, "the other process again", other, "newer")
}

func TestWhatIsChangedWhileTheCacheIsAwayIsSeenWhenItComesBack(t *testing.T) {
	cache := &flaky{CacheStore: memory.New(1 << 20)}
	store := &gated{TitleStore: openCatalog(t)}
	titles := NewTitles(store, cache, time.Now)
	put(t, titles, "a")
	wantName(t, "before", titles, "a") // and so in the cache
	cache.set(true)
	put(t, titles, "b")
	wantName(t, "while it is away", titles, "b")
	cache.set(false)
	wantName(t, "when it is back", titles, "b")
	reads := store.reads
	wantName(t, "afterwards", titles, "b")
	if store.reads != reads {
		t.Error("the title is not kept in the cache that came back")
	}
	if len(titles.doubts) != 0 {
		t.Errorf("doubts are left: %v", titles.doubts)
	}
}

func TestWhoReadsWhileATitleChangesNeverSeesItGoBack(t *testing.T) {
	store := &gated{TitleStore: openCatalog(t)}
	titles := NewTitles(store, memory.New(1<<20), time.Now)
	put(t, titles, "a")
	wantName(t, "before", titles, "a")
	store.written = func() { wantName(t, "written, and not yet forgotten", titles, "b") }
	put(t, titles, "b")
	store.written = nil
	wantName(t, "after", titles, "b")
}

// While one forgets, another process fills the title in, and then it is changed without being forgotten.
func TestForgettingCoversOnlyWhatWasChangedBefore(t *testing.T) {
	for what, forget := range map[string]func(t *testing.T, titles *Titles, cache *flaky){
		"a writer": func(t *testing.T, titles *Titles, _ *flaky) { put(t, titles, "b") },
		"a reader who pays what is owed": func(t *testing.T, titles *Titles, cache *flaky) {
			hook := cache.forgotten
			cache.forgotten = nil
			cache.set(true)
			put(t, titles, "b")
			cache.set(false)
			cache.forgotten = hook
			wantName(t, "the reader", titles, "c")
		},
	} {
		store, cache := openCatalog(t), &flaky{CacheStore: memory.New(1 << 20)}
		titles, other := NewTitles(store, cache, time.Now), NewTitles(store, cache.CacheStore, time.Now)
		put(t, titles, "a")
		cache.forgotten = func() {
			wantName(t, "another process", other, "b") // and so in the cache
			cache.set(true)
			put(t, titles, "c")
			cache.set(false)
		}
		forget(t, titles, cache)
		wantName(t, "after "+what+" forgot", titles, "c")
		wantName(t, "and again", titles, "c")
	}
}

func TestATitleThatIsRemovedTakesItsSeasonOutOfTheCache(t *testing.T) {
	titles := NewTitles(openCatalog(t), memory.New(1<<20), time.Now)
	for _, v := range []bijou.Title{
		{ID: "ttl_1", Kind: bijou.Series}, {ID: "ttl_2", Kind: bijou.Season, Parent: "ttl_1", Number: 1}, {ID: "ttl_3", Kind: bijou.Episode, Parent: "ttl_2", Number: 1},
	} {
		v.Name, v.State = "x", bijou.Published
		if err := titles.PutTitle(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		if _, err := titles.Title(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := titles.RemoveTitle(t.Context(), "ttl_3"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []bijou.TitleID{"ttl_1", "ttl_2", "ttl_3"} {
		if v, err := titles.Title(t.Context(), id); !errors.Is(err, bijou.NotFound) {
			t.Errorf("%s: got %+v, %v, want NotFound", id, v, err)
		}
	}
}

func TestMoreDoubtsThanCanBeKnownMakeTheCacheUntrustedForAsLongAsItKeepsTitles(t *testing.T) {
	cache := &flaky{CacheStore: memory.New(1 << 20)}
	store := &gated{TitleStore: openCatalog(t)}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	titles := NewTitles(store, cache, func() time.Time { return now })
	put(t, titles, "a")
	wantName(t, "before", titles, "a")
	cache.set(true)
	for n := range maxDoubts {
		titles.begin([]bijou.TitleID{bijou.TitleID(fmt.Sprint("ttl_x", n))})
		titles.end([]bijou.TitleID{bijou.TitleID(fmt.Sprint("ttl_x", n))}, []int{1}, false)
	}
	put(t, titles, "b")
	cache.set(false)
	if len(titles.doubts) > maxDoubts {
		t.Errorf("%d doubts, want at most %d", len(titles.doubts), maxDoubts)
	}
	wantName(t, "with too many doubts", titles, "b")
	reads := store.reads
	wantName(t, "and again", titles, "b")
	if store.reads == reads {
		t.Error("the cache is trusted, want the store to be asked")
	}
	now = now.Add(titleFor)
	cache.CacheStore = memory.New(1 << 20) // by then it has forgotten
	wantName(t, "later", titles, "b")
	reads = store.reads
	wantName(t, "and again", titles, "b")
	if store.reads != reads {
		t.Error("the cache is not trusted again")
	}
}

// Many change and read one title at once, while the cache comes and goes: nobody sees a state older than one that a change has acknowledged.
func TestNobodySeesATitleOlderThanWhatWasAcknowledged(t *testing.T) {
	cache := &flaky{CacheStore: memory.New(1 << 20)}
	titles := NewTitles(openCatalog(t), cache, time.Now)
	var mu sync.Mutex // of the editor: changes come one after another, as the catalog has it
	acked := 0
	year := func() int {
		mu.Lock()
		defer mu.Unlock()
		return acked
	}
	put(t, titles, "a")
	var all sync.WaitGroup
	for worker := range 6 {
		all.Go(func() {
			for n := range 100 {
				if worker == 0 {
					mu.Lock()
					v := film("a")
					v.Year = acked + 1
					if err := titles.PutTitle(t.Context(), v); err != nil {
						t.Errorf("put: %v", err)
					}
					acked++
					mu.Unlock()
					cache.set(n%7 > 3)
					continue
				}
				least := year()
				if v, err := titles.Title(t.Context(), "ttl_1"); err != nil || v.Year < least {
					t.Errorf("read %d, %v, after %d was acknowledged", v.Year, err, least)
				}
			}
		})
	}
	all.Wait()
}

func TestWhatTheCacheIsGoodForIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	cache := &flaky{CacheStore: memory.New(1 << 20)}
	titles := NewTitles(openCatalog(t), Count(cache, registry), time.Now)
	put(t, titles, "a")
	for range 3 {
		wantName(t, "read", titles, "a")
	}
	cache.set(true)
	wantName(t, "while it is away", titles, "a")
	put(t, titles, "b")
	b, err := json.Marshal(film("a"))
	if err != nil {
		t.Fatal(err)
	}
	size := float64(len(b))
	if d := cmp.Diff(map[string]float64{
		"bijou_cache_hits_total title": 2, "bijou_cache_misses_total title": 2, "bijou_cache_failures_total forget title": 1, "bijou_cache_failures_total recall title": 1,
		"bijou_cache_bytes_total title read": 2 * size, "bijou_cache_bytes_total title kept": size,
	}, counted(t, registry)); d != "" {
		t.Errorf("got (+), want (-):\n%s", d)
	}
}

// counted returns all counters, by their names and the values of their labels.
func counted(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	return got
}
