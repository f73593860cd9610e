package shelf

import (
	"hash/maphash"
	"sync/atomic"
)

// queue says which file goes first when space is short: S3-FIFO (Yang et al., SOSP 2023). New files wait in a small queue; those asked for more than
// once there go on to the main one, the others out, so that a scan of what nobody asks for twice passes through without harm. What went out of the
// small queue is remembered for a while, and enters the main one if it comes back. In the main queue each file goes round once for each time it was
// asked for, at most maxAsked. A hit only raises a number, so readers need no lock; all else is guarded by the caller's.
type queue[V any] struct {
	room              int64 // bytes that all queues may take together; ghosts take as much again
	small, main, last ring[V]
	ghosts            ghosts
	seed              maphash.Seed
}

const (
	// smallShare is the part of all room that new files have: a tenth, as in the paper.
	smallShare = 10
	// maxAsked is how often a file can be asked for and have that count, as in the paper.
	maxAsked = 3
	// promoted is how often a new file has to be asked for to stay, as in the paper.
	promoted = 2
)

// node is a file's place in the queue.
type node[V any] struct {
	value      V
	name       string
	size       int64
	last       bool // goes only when nothing else is left
	asked      atomic.Int32
	in         *ring[V]
	prev, next *node[V]
}

// touch notes that the file was asked for. It takes no lock.
func (n *node[V]) touch() {
	if a := n.asked.Load(); a < maxAsked {
		n.asked.CompareAndSwap(a, a+1) // one of two that meet is enough
	}
}

func newQueue[V any](room int64) queue[V] {
	return queue[V]{room: room, ghosts: newGhosts(room), seed: maphash.MakeSeed()}
}

// add puts a new file in.
func (q *queue[V]) add(n *node[V]) {
	switch {
	case n.last:
		q.last.push(n)
	case q.ghosts.take(maphash.String(q.seed, n.name)):
		q.main.push(n)
	default:
		q.small.push(n)
	}
}

// restore puts a file in that was kept before the process began: it is not new.
func (q *queue[V]) restore(n *node[V]) {
	if n.last {
		q.last.push(n)
		return
	}
	q.main.push(n)
}

// remove takes a file out that goes for another reason than space.
func (q *queue[V]) remove(n *node[V]) {
	if n.in != nil {
		n.in.remove(n)
	}
}

// evict takes the file out that goes first. It returns nil where there is none.
func (q *queue[V]) evict() *node[V] {
	for {
		fromSmall := q.small.head != nil && (q.small.bytes > q.room/smallShare || q.main.head == nil)
		switch {
		case fromSmall:
			n := q.small.pop()
			if n.asked.Load() < promoted {
				q.ghosts.add(maphash.String(q.seed, n.name), n.size)
				return n
			}
			n.asked.Store(0)
			q.main.push(n)
		case q.main.head != nil:
			n := q.main.pop()
			if n.asked.Load() == 0 {
				return n
			}
			n.asked.Add(-1)
			q.main.push(n)
		default:
			return q.last.pop()
		}
	}
}

// ring is a queue of files, the oldest at its head.
type ring[V any] struct {
	head, tail *node[V]
	bytes      int64
}

func (r *ring[V]) push(n *node[V]) {
	n.in, n.prev, n.next = r, r.tail, nil
	if r.tail == nil {
		r.head = n
	} else {
		r.tail.next = n
	}
	r.tail = n
	r.bytes += n.size
}

func (r *ring[V]) pop() *node[V] {
	n := r.head
	if n != nil {
		r.remove(n)
	}
	return n
}

func (r *ring[V]) remove(n *node[V]) {
	if n.prev == nil {
		r.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		r.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.in, n.prev, n.next = nil, nil, nil
	r.bytes -= n.size
}

// ghosts are files that went out of the small queue: hashes of their names, the oldest first, as many as together took room bytes.
type ghosts struct {
	room, bytes int64
	order       []ghost // also those that count no more
	known       map[uint64]ghost
	next        uint64
}

type ghost struct {
	hash, number uint64
	size         int64
}

// maxGhosts bounds how many are remembered, in entries of some 80 bytes.
const maxGhosts = 1 << 18

func newGhosts(room int64) ghosts { return ghosts{room: room, known: map[uint64]ghost{}} }

func (g *ghosts) add(hash uint64, size int64) {
	g.take(hash)
	g.next++
	x := ghost{hash, g.next, size}
	g.known[hash] = x
	g.order = append(g.order, x)
	g.bytes += size
	for len(g.order) > 0 {
		oldest := g.order[0]
		counts := g.known[oldest.hash].number == oldest.number
		if counts && g.bytes <= g.room && len(g.known) <= maxGhosts {
			break
		}
		if counts {
			g.take(oldest.hash)
		}
		g.order = g.order[1:]
	}
	if len(g.order) > 2*len(g.known)+64 {
		g.tidy()
	}
}

// take forgets a ghost, and tells whether it was there.
func (g *ghosts) take(hash uint64) bool {
	x, ok := g.known[hash]
	if ok {
		delete(g.known, hash)
		g.bytes -= x.size
	}
	return ok
}

// tidy drops entries that count no more.
func (g *ghosts) tidy() {
	kept := make([]ghost, 0, len(g.known))
	for _, x := range g.order {
		if g.known[x.hash].number == x.number {
			kept = append(kept, x)
		}
	}
	g.order = kept
}
