// Package memcached keeps a cache on memcached servers, which many instances share. It speaks the meta protocol over few connections, each
// of which carries many requests at a time.
//
// A key lies on one server (ketama). While that does not answer, its keys are not kept anywhere else: what would be kept in between would hide
// later what was forgotten, or the other way round. A server that fails three times in a row is left alone for half a second, and then longer,
// up to five: so one that is away costs nobody its patience.
package memcached

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/kit/guard"
	"bijou/wire/memcache"
)

// Patience is how long a call waits for the servers where nothing else is said. What a cache saves is not worth more.
const Patience = 50 * time.Millisecond

// linksPerServer is how many connections one server gets. A key always goes by the same.
const linksPerServer = 2

// Options are what somebody wants different.
type Options struct {
	Patience time.Duration  // Patience where 0
	Roots    *x509.CertPool // who may vouch for the servers by TLS; nil: whom the system trusts
}

// Cache implements bijou.CacheStore.
type Cache struct {
	place    place
	ring     ring
	servers  []*server
	patience time.Duration

	work  context.Context
	stop  context.CancelFunc
	links sync.WaitGroup
	mu    sync.RWMutex // held while links start, so that none does after Close
}

// server is one memcached.
type server struct {
	address string
	breaker guard.Breaker
	links   [linksPerServer]*link
}

// Open returns the cache at an address such as memcached://host1:11211,host2:11211?prefix=bijou. Each key begins with the prefix and a colon;
// with tls=true the servers are spoken to by TLS. It does no I/O: a server that is away is found out by the first call. It fails with Invalid
// for an address that nobody can read.
func Open(address string, o Options) (*Cache, error) {
	p, err := parse(address)
	if err != nil {
		return nil, err
	}
	c := &Cache{place: p, ring: newRing(p.servers), patience: o.Patience}
	if c.patience == 0 {
		c.patience = Patience
	}
	c.work, c.stop = context.WithCancel(context.Background())
	runs := &atomic.Uint64{}
	for _, at := range p.servers {
		s := &server{address: at, breaker: guard.Breaker{Failures: 3, Wait: 500 * time.Millisecond, MostWait: 5 * time.Second}}
		for i := range s.links {
			s.links[i] = &link{dial: dialer(at, p.tls, o.Roots), runs: runs, queue: make(chan *batch, maxQueued)}
		}
		c.servers = append(c.servers, s)
	}
	return c, nil
}

func dialer(at string, secure bool, roots *x509.CertPool) func(context.Context) (net.Conn, error) {
	if secure {
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots}}
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", at) }
	}
	var d net.Dialer
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", at) }
}

// Close ends the connections. Calls after it fail with Unavailable.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.links.Wait()
	return nil
}

// share is the keys that go by one link: which they are of those asked for, and what goes out.
type share struct {
	server *server
	link   *link
	of     []int // indexes of the keys
	batch  *batch
}

// shares divides the keys among the links, in order, and prints the requests.
func (c *Cache) shares(keys []string, print func(b []byte, key string, opaque uint32) []byte) []*share {
	var all []*share
	by := map[*link]*share{}
	stored := make([]string, len(keys))
	for i, key := range keys {
		stored[i] = c.place.prefix + ":" + key
		n, spread := c.ring.of(stored[i])
		server := c.servers[n]
		l := server.links[spread%linksPerServer]
		if by[l] == nil {
			by[l] = &share{server: server, link: l}
			all = append(all, by[l])
		}
		by[l].of = append(by[l].of, i)
	}
	for _, s := range all {
		n := len(s.of)
		first := s.link.opaque.Add(uint32(n)) - uint32(n)
		var requests []byte
		for i, key := range s.of {
			requests = print(requests, stored[key], first+uint32(i))
		}
		s.batch = newBatch(requests, first, n)
	}
	return all
}

// do sends the shares and waits for all answers, for as long as patience says. It returns the shares that were answered; the error is the first
// failure of those that were not.
func (c *Cache) do(ctx context.Context, shares []*share, patience time.Duration) (answered []*share, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fail := func(s *share, cause error) {
		if err == nil {
			err = unavailable(s.server.address, cause)
		}
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	waiting := shares[:0:0]
	for _, s := range shares {
		if refused := s.server.breaker.Allow(time.Now()); refused != nil {
			fail(s, refused)
			continue
		}
		if refused := c.send(s); refused != nil {
			s.server.breaker.Leave() // it says nothing of the server itself: those that wait will
			fail(s, refused)
			continue
		}
		waiting = append(waiting, s)
	}
	ended := false
	for _, s := range waiting {
		if !ended {
			select {
			case <-s.batch.done:
			case <-over.C:
				ended = true
			case <-ctx.Done():
				ended = true
			}
		}
		if cause := c.settle(ctx, s, patience); cause != nil {
			fail(s, cause)
			continue
		}
		answered = append(answered, s)
	}
	return answered, err
}

// settle returns what became of the share, and tells the breaker.
func (c *Cache) settle(ctx context.Context, s *share, patience time.Duration) error {
	select {
	case <-s.batch.done:
		s.server.breaker.Done(time.Now(), s.batch.err == nil)
		return s.batch.err
	default:
	}
	s.batch.left.Store(true)
	if err := ctx.Err(); err != nil { // the server may be well: the caller had less patience
		s.server.breaker.Leave()
		return err
	}
	s.server.breaker.Done(time.Now(), false)
	return fmt.Errorf("no answer within %s", patience)
}

// send hands the share to its link, which is started where it is the first.
func (c *Cache) send(s *share) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.work.Err(); err != nil {
		return errors.New("the cache is closed")
	}
	s.link.started.Do(func() { c.links.Go(func() { s.link.run(c.work) }) })
	return s.link.send(s.batch)
}

func unavailable(address string, cause error) error {
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	return fmt.Errorf("memcached at %s does not serve (%s): see that it runs there and can be reached: %w", address, bijou.Sentence(cause), bijou.Unavailable)
}

// Recall implements bijou.CacheStore.
func (c *Cache) Recall(ctx context.Context, keys ...string) ([]bijou.Cached, error) {
	if err := bijou.CheckCacheKeys(keys...); err != nil {
		return nil, err
	}
	found := make([]bijou.Cached, len(keys))
	answered, err := c.do(ctx, c.shares(keys, func(b []byte, key string, opaque uint32) []byte {
		return memcache.AppendGet(b, key, opaque, int64(bijou.TicketTerm/time.Second))
	}), c.patience)
	for _, s := range answered {
		for i, a := range s.batch.answers {
			switch {
			case a.Status != memcache.Value || a.Lost: // not kept, or to be filled by another
			case a.Won:
				found[s.of[i]].Ticket = bijou.CacheTicket{Number: a.CAS, Run: s.batch.by}
			default:
				found[s.of[i]] = bijou.Cached{Found: true, Value: a.Value}
			}
		}
	}
	return found, err
}

// Fill implements bijou.CacheStore. It goes by the connection that the ticket came by or not at all: where that is gone, the server may be
// another than the one whose number the ticket holds.
func (c *Cache) Fill(ctx context.Context, key string, ticket bijou.CacheTicket, value []byte, ttl time.Duration) (bool, error) {
	if err := bijou.CheckFill(key, value, ttl); err != nil {
		return false, err
	}
	if ticket == (bijou.CacheTicket{}) {
		return false, ctx.Err()
	}
	shares := c.shares([]string{key}, func(b []byte, key string, opaque uint32) []byte {
		return memcache.AppendSet(b, key, opaque, value, ticket.Number, int64(ttl/time.Second))
	})
	shares[0].batch.run = ticket.Run
	answered, err := c.do(ctx, shares, c.patience)
	if err != nil || answered[0].batch.by == 0 {
		return false, err
	}
	a := answered[0].batch.answers[0]
	if a.Status == memcache.ServerError {
		return false, fmt.Errorf("memcached at %s does not keep %d bytes (%s): give it more memory (-m), or larger items (-I): %w", shares[0].server.address, len(value), a.Text, bijou.Exhausted)
	}
	return a.Status == memcache.Done, nil
}

// Forget implements bijou.CacheStore.
func (c *Cache) Forget(ctx context.Context, keys ...string) error {
	if err := bijou.CheckCacheKeys(keys...); err != nil {
		return err
	}
	answered, err := c.do(ctx, c.shares(keys, memcache.AppendDelete), c.patience)
	for _, s := range answered {
		for _, a := range s.batch.answers {
			if a.Status != memcache.Done && a.Status != memcache.NotFound {
				err = errors.Join(err, unavailable(s.server.address, fmt.Errorf("it says %s %s", a.Status, a.Text)))
			}
		}
	}
	return err
}
