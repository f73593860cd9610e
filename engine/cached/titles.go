package cached

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"bijou"
)

// titleFor is how long a title is kept at most. It matters where other processes read the same cache: for so long they may see a title as it was,
// when whoever changed it could not reach the cache or died before it forgot it. One process alone never does.
const titleFor = time.Minute

// maxDoubts bounds the titles that are known to be doubtful.
const maxDoubts = 10_000

// Titles implements bijou.TitleStore by another one and a cache of single titles. Lists come from the store. A failure of the cache is a title
// that is not in it.
//
// A title that changes is forgotten afterwards, and a reader who was slow cannot put back what it was, since the cache ends its ticket then. From
// before the change until the cache has said that it has forgotten, this process asks the store itself: so it sees what it has changed, whether
// the cache can be reached or not.
type Titles struct {
	bijou.TitleStore
	cache bijou.CacheStore
	now   func() time.Time

	mu       sync.Mutex
	doubts   map[bijou.TitleID]doubt
	allUntil time.Time // no title is trusted before: there were too many doubts to know them all
}

// doubt is why what the cache has of a title is not to be trusted.
type doubt struct {
	writers int  // that are changing it
	owed    bool // it was changed, and not forgotten
	turn    int  // counts what happened to it, so that who forgets it knows whether that covers all
}

// NewTitles returns the store behind the cache.
func NewTitles(store bijou.TitleStore, cache bijou.CacheStore, now func() time.Time) *Titles {
	return &Titles{TitleStore: store, cache: cache, now: now, doubts: map[bijou.TitleID]doubt{}}
}

// fresh is the store as editors need it: what they change is forgotten too.
type fresh struct {
	bijou.TitleStore
	near *Titles
}

// PutTitle implements bijou.TitleStore.
func (f fresh) PutTitle(ctx context.Context, title bijou.Title) error {
	return f.near.PutTitle(ctx, title)
}

// RemoveTitle implements bijou.TitleStore.
func (f fresh) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	return f.near.RemoveTitle(ctx, id)
}

// Fresh returns the same titles, each read from the store itself, for who writes back what was read.
func (t *Titles) Fresh() bijou.TitleStore { return fresh{t.TitleStore, t} }

func titleKey(id bijou.TitleID) string { return "title/" + string(id) }

// Title implements bijou.TitleStore.
func (t *Titles) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	if !t.trusts(ctx, id) {
		return t.TitleStore.Title(ctx, id)
	}
	var known bijou.Cached
	if found, err := t.cache.Recall(ctx, titleKey(id)); err == nil {
		known = found[0]
	}
	var title bijou.Title
	if known.Found && json.Unmarshal(known.Value, &title) == nil && title.ID == id {
		return title, nil
	}
	title, err := t.TitleStore.Title(ctx, id)
	if err != nil || known.Ticket == (bijou.CacheTicket{}) {
		return title, err
	}
	if b, err := json.Marshal(title); err == nil {
		_, _ = t.cache.Fill(ctx, titleKey(id), known.Ticket, b, titleFor) // what is not kept is read again
	}
	return title, nil
}

// PutTitle implements bijou.TitleStore.
func (t *Titles) PutTitle(ctx context.Context, title bijou.Title) error {
	return t.change(ctx, []bijou.TitleID{title.ID}, func() error { return t.TitleStore.PutTitle(ctx, title) })
}

// RemoveTitle implements bijou.TitleStore. The season and the series that it is in may go with it.
func (t *Titles) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	ids := []bijou.TitleID{id}
	for above := id; ; {
		title, err := t.TitleStore.Title(ctx, above)
		if err != nil && !errors.Is(err, bijou.NotFound) {
			return err
		}
		if above = title.Parent; above == "" {
			break
		}
		ids = append(ids, above)
	}
	return t.change(ctx, ids, func() error { return t.TitleStore.RemoveTitle(ctx, id) })
}

// change does work that changes the titles, and has them forgotten, however the work ends.
func (t *Titles) change(ctx context.Context, ids []bijou.TitleID, work func() error) error {
	t.begin(ids)
	err := work()
	turns := t.turns(ids)
	var keys []string
	for _, id := range ids {
		keys = append(keys, titleKey(id))
	}
	// Who asked may have left: the titles are changed all the same.
	t.end(ids, turns, t.cache.Forget(context.WithoutCancel(ctx), keys...) == nil)
	return err
}

// begin notes that the titles are about to change.
func (t *Titles) begin(ids []bijou.TitleID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		d := t.doubts[id]
		d.writers, d.turn = d.writers+1, d.turn+1
		t.doubts[id] = d
	}
}

// turns returns where the titles stand.
func (t *Titles) turns(ids []bijou.TitleID) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	turns := make([]int, len(ids))
	for i, id := range ids {
		turns[i] = t.doubts[id].turn
	}
	return turns
}

// end notes that the titles have changed, and whether they were forgotten after the turns.
func (t *Titles) end(ids []bijou.TitleID, turns []int, forgotten bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, id := range ids {
		d := t.doubts[id]
		d.writers--
		// Where another one writes too, or wrote meanwhile, forgetting may have come before its change.
		d.owed = !forgotten || d.turn != turns[i]
		d.turn++
		t.doubts[id] = d
		if d.writers > 0 {
			continue
		}
		if !d.owed {
			delete(t.doubts, id)
		} else if len(t.doubts) > maxDoubts {
			delete(t.doubts, id)
			t.allUntil = t.now().Add(titleFor)
		}
	}
}

// trusts tells whether what the cache has of the title may be used. What is owed it pays first.
func (t *Titles) trusts(ctx context.Context, id bijou.TitleID) bool {
	t.mu.Lock()
	d, doubted := t.doubts[id]
	none := t.now().Before(t.allUntil)
	t.mu.Unlock()
	if !doubted || none || d.writers > 0 {
		return !doubted && !none
	}
	if t.cache.Forget(ctx, titleKey(id)) != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.doubts[id].turn != d.turn {
		return false
	}
	delete(t.doubts, id)
	return true
}
