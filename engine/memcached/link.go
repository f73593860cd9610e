package memcached

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/wire/memcache"
)

const (
	maxQueued   = 256             // batches that wait for a connection
	maxInFlight = 64              // batches of a connection whose answers are still to come
	dialTime    = time.Second     // to connect, TLS included
	stallTime   = 2 * time.Second // without an answer that is due, or without taking what is sent, after which a connection is given up
)

// batch is requests that go out together, and their answers.
type batch struct {
	requests []byte
	first    uint32 // opaque token of the first request; the others count on
	untagged bool   // the answer carries no token
	run      uint64 // connection that it has to go by; any where 0
	answers  []memcache.Answer
	by       uint64 // connection that it went by; 0 where it was gone
	err      error
	done     chan struct{} // closed when answers, by and err are there
	left     atomic.Bool   // nobody waits for it any more
}

func newBatch(requests []byte, first uint32, n int) *batch {
	return &batch{requests: requests, first: first, answers: make([]memcache.Answer, n), done: make(chan struct{})}
}

func (b *batch) end(err error) {
	b.err = err
	close(b.done)
}

// read reads the batch's answers.
func (b *batch) read(r *bufio.Reader) error {
	for i := range b.answers {
		a, err := memcache.Read(r, bijou.MaxCacheValue)
		switch {
		case err != nil:
			return err
		case a.Status == memcache.Refused || a.Status == memcache.Unknown:
			return fmt.Errorf("the server says %s %s", a.Status, a.Text)
		case a.Status != memcache.ServerError && (a.Tagged == b.untagged || a.Tagged && a.Opaque != b.first+uint32(i)):
			return fmt.Errorf("an answer to another request: %w", memcache.ErrMalformed)
		}
		b.answers[i] = a
	}
	return nil
}

// link is one connection to a server, made anew when it breaks. Batches go out in the order in which they were sent, without waiting for the
// answers of those before.
type link struct {
	dial    func(context.Context) (net.Conn, error)
	runs    *atomic.Uint64 // numbers connections
	queue   chan *batch
	opaque  atomic.Uint32
	started sync.Once
}

// send hands the batch over. It does not wait.
func (l *link) send(b *batch) error {
	select {
	case l.queue <- b:
		return nil
	default:
		return fmt.Errorf("%d requests wait already", maxQueued)
	}
}

// run serves batches until ctx ends.
func (l *link) run(ctx context.Context) {
	defer l.refuse(fmt.Errorf("the cache is closed"))
	for {
		b := l.next(ctx, nil)
		if b == nil {
			return
		}
		dialing, cancel := context.WithTimeout(ctx, dialTime)
		conn, err := l.dial(dialing)
		cancel()
		if err != nil {
			b.end(err)
			l.refuse(err)
			continue
		}
		l.serve(ctx, conn, b)
	}
}

// next returns the next batch that somebody waits for, or nil when ctx or broken ends.
func (l *link) next(ctx context.Context, broken <-chan struct{}) *batch {
	for {
		select {
		case b := <-l.queue:
			if !b.left.Load() {
				return b
			}
			b.end(context.Canceled)
		case <-broken:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// refuse ends the batches that wait.
func (l *link) refuse(err error) {
	for {
		select {
		case b := <-l.queue:
			b.end(err)
		default:
			return
		}
	}
}

// serve sends batches by the connection until that breaks or ctx ends.
func (l *link) serve(ctx context.Context, conn net.Conn, b *batch) {
	c := &connection{Conn: conn, run: l.runs.Add(1), room: make(chan struct{}, maxInFlight), broken: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(c.read)
	defer func() {
		conn.Close()
		reading.Wait()
		c.endAll()
	}()
	w := bufio.NewWriterSize(conn, 64<<10)
	for ; b != nil; b = l.next(ctx, c.broken) {
		if b.run != 0 && b.run != c.run {
			b.end(nil) // the connection that it had to go by is gone, and b.by says so
			continue
		}
		if err := c.makeRoom(ctx, w); err != nil {
			b.end(err)
			return
		}
		b.by = c.run
		c.expect(b)
		// What cannot be sent breaks the connection, and so ends the batch with all others that wait for answers.
		if _, err := w.Write(b.requests); err != nil {
			return
		}
		if len(l.queue) == 0 && w.Flush() != nil {
			return
		}
	}
}

// makeRoom waits until one more batch may be in flight.
func (c *connection) makeRoom(ctx context.Context, w *bufio.Writer) error {
	if err := c.SetWriteDeadline(time.Now().Add(stallTime)); err != nil {
		return err
	}
	if len(c.room) == cap(c.room) { // what those in flight wait for may not have gone out yet
		if err := w.Flush(); err != nil {
			return err
		}
	}
	select {
	case c.room <- struct{}{}:
		return c.SetWriteDeadline(time.Now().Add(stallTime))
	case <-c.broken:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connection is a connection and the batches whose answers are to come by it.
type connection struct {
	net.Conn
	run    uint64
	room   chan struct{} // a token for each batch in flight
	broken chan struct{} // closed when nothing is read any more

	mu       sync.Mutex
	inFlight []*batch
	err      error // why nothing is read any more
}

// expect notes that the batch's answers are to come, before it is sent.
func (c *connection) expect(b *batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight = append(c.inFlight, b)
	if len(c.inFlight) == 1 {
		c.due(time.Now().Add(stallTime))
	}
}

// due sets the time by which something has to come, or none. A connection that cannot be told is closed, which reading finds.
func (c *connection) due(at time.Time) { _ = c.SetReadDeadline(at) }

// read reads answers until the connection breaks.
func (c *connection) read() {
	defer close(c.broken)
	r := bufio.NewReaderSize(c.Conn, 64<<10)
	for {
		if _, err := r.Peek(1); err != nil {
			c.err = err
			return
		}
		c.mu.Lock()
		var b *batch
		if len(c.inFlight) > 0 {
			b = c.inFlight[0]
		}
		c.mu.Unlock()
		if b == nil {
			c.err = fmt.Errorf("an answer to no request: %w", memcache.ErrMalformed)
			return
		}
		if err := b.read(r); err != nil {
			c.err = err
			return
		}
		c.mu.Lock()
		c.inFlight = c.inFlight[1:]
		if len(c.inFlight) == 0 {
			c.due(time.Time{})
		} else {
			c.due(time.Now().Add(stallTime))
		}
		c.mu.Unlock()
		<-c.room
		b.end(nil)
	}
}

// endAll ends the batches whose answers will not come any more.
func (c *connection) endAll() {
	for _, b := range c.inFlight {
		b.end(c.err)
	}
}
