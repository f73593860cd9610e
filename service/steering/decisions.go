package steering

import (
	"sync"

	"bijou"
)

// maxDecisions is how many viewings can be asked about.
const maxDecisions = 10_000

// decisions keeps the latest decision of each of the latest viewings.
type decisions struct {
	mu    sync.Mutex
	kept  map[bijou.SessionID]bijou.Decision
	order []bijou.SessionID // a ring: the next one to forget is at next
	next  int
}

func newDecisions() *decisions { return &decisions{kept: map[bijou.SessionID]bijou.Decision{}} }

func (d *decisions) keep(x bijou.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := x.Viewing.Session
	if _, known := d.kept[id]; !known {
		if len(d.order) < maxDecisions {
			d.order = append(d.order, id)
		} else {
			delete(d.kept, d.order[d.next])
			d.order[d.next] = id
			d.next = (d.next + 1) % maxDecisions
		}
	}
	d.kept[id] = x
}

func (d *decisions) of(id bijou.SessionID) (bijou.Decision, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, ok := d.kept[id]
	return x, ok
}
