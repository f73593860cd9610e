package steering

import (
	"container/list"
	"sync"

	"bijou"
)

// maxDecisions is how many viewings can be asked about.
const maxDecisions = 10_000

// decisions keeps the latest decision of each of the latest viewings.
type decisions struct {
	mu    sync.Mutex
	kept  map[bijou.SessionID]*list.Element
	order *list.List // of bijou.Decision, latest first
}

func newDecisions() *decisions {
	return &decisions{kept: map[bijou.SessionID]*list.Element{}, order: list.New()}
}

func (d *decisions) keep(x bijou.Decision) {
	id := x.Viewing.Session
	if id == "" {
		return // nobody could ask about it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.kept[id]; e != nil {
		e.Value = x
		d.order.MoveToFront(e)
		return
	}
	d.kept[id] = d.order.PushFront(x)
	if d.order.Len() > maxDecisions {
		oldest, _ := d.order.Remove(d.order.Back()).(bijou.Decision)
		delete(d.kept, oldest.Viewing.Session)
	}
}

func (d *decisions) of(id bijou.SessionID) (bijou.Decision, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.kept[id]
	if e == nil {
		return bijou.Decision{}, false
	}
	x, ok := e.Value.(bijou.Decision)
	return x, ok
}
