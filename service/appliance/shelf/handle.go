package shelf

import (
	"os"
	"sync"
	"sync/atomic"
)

// keptOpen bounds how many files stay open though nobody reads them. To open a file, look at it and close it again costs an eighth of an answer of 200 kB.
const keptOpen = 512

// handle is a file that is open for several readers. Nobody uses its position.
type handle struct {
	file   *os.File
	refs   atomic.Int64 // readers, and one while the shelf keeps it open; at 0 it is closed
	recent atomic.Bool  // somebody asked for it since the shelf last looked for one to let go
}

// hold takes part in the handle, unless it is closed.
func (h *handle) hold() bool {
	for {
		n := h.refs.Load()
		if n == 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends one's part in it.
func (h *handle) release() error {
	if h.refs.Add(-1) == 0 {
		return h.file.Close()
	}
	return nil
}

// openFiles are the files that stay open: those asked for lately (the CLOCK algorithm, second chance).
type openFiles struct {
	mu   sync.Mutex
	ring [keptOpen]*item
	hand int
}

// add has the file stay open, instead of one that nobody asked for lately.
func (o *openFiles) add(it *item, h *handle) {
	h.refs.Add(1)
	if !it.open.CompareAndSwap(nil, h) {
		h.refs.Add(-1) // another was quicker; this reader still has its part
		return
	}
	o.mu.Lock()
	for {
		old := o.ring[o.hand]
		if old != nil {
			if h := old.open.Load(); h != nil && h.recent.Swap(false) {
				o.hand = (o.hand + 1) % keptOpen
				continue
			}
			old.letGo()
		}
		o.ring[o.hand] = it
		o.hand = (o.hand + 1) % keptOpen
		break
	}
	o.mu.Unlock()
	if it.gone.Load() {
		it.letGo() // whoever took it out of the books may have looked before
	}
}

// close lets go of all.
func (o *openFiles) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, it := range o.ring {
		if it != nil {
			it.letGo()
			o.ring[i] = nil
		}
	}
}

// letGo ends the shelf's part in the item's open file.
func (it *item) letGo() {
	if h := it.open.Swap(nil); h != nil {
		_ = h.release() // it was read alone: nothing can be lost
	}
}

// handleOf opens the file, or takes part in it where it is open already, and tells how it looks. One that looks different from when it was checked is
// opened anew by its name.
func (s *Shelf) handleOf(it *item) (*handle, stamp, error) {
	if h := it.open.Load(); h != nil && h.hold() {
		now, err := stampOf(h.file)
		if seen := it.seen.Load(); err == nil && seen != nil && *seen == now {
			h.recent.Store(true)
			return h, now, nil
		}
		it.letGo()
		_ = h.release() // as in letGo
	}
	f, now, err := s.openItem(it)
	if err != nil {
		return nil, now, err
	}
	h := &handle{file: f}
	h.refs.Store(1)
	if seen := it.seen.Load(); seen != nil && *seen == now && s.life.Err() == nil {
		s.handles.add(it, h)
	}
	return h, now, nil
}
