package engines

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Proxy stands before a server and spoils what goes through it. Unspoilt it passes all on.
type Proxy struct {
	Address string // host:port that clients connect to

	listener net.Listener
	mu       sync.Mutex
	to       string
	how      spoil
	random   *rand.Rand
	open     map[*net.TCPConn]bool // both ends of each connection
	closed   bool
	all      sync.WaitGroup
}

// spoil is what the proxy does to connections that are made from now on, and what it withholds.
type spoil struct {
	refuse  bool
	swallow bool
	delay   time.Duration // at most, of each piece that goes either way
	cut     int64         // bytes that may come from the server on one connection; 0: all
}

// Forward starts a proxy on loopback before the server at the address, which need not be there yet. It is closed with the test.
func Forward(t T, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Address: l.Addr().String(), listener: l, to: to, random: rand.New(rand.NewPCG(1, 1)), open: map[*net.TCPConn]bool{}}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// To has connections that are made from now on lead to another address.
func (p *Proxy) To(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = address
}

// Reset ends all connections now, with an RST to both ends.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		abort(c)
	}
}

// Refuse ends all connections, and each new one at once, until Heal.
func (p *Proxy) Refuse() {
	p.spoil(func(s *spoil) { s.refuse = true })
	p.Reset()
}

// Swallow takes all that comes, and passes nothing on: who asks is neither answered nor hung up on. What was swallowed is lost, so that Heal ends
// the connections which it came by.
func (p *Proxy) Swallow() { p.spoil(func(s *spoil) { s.swallow = true }) }

// Delay holds each piece that goes either way back for a time of at most the term, which the seed decides.
func (p *Proxy) Delay(most time.Duration, seed uint64) {
	p.spoil(func(s *spoil) { s.delay = most })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.random = rand.New(rand.NewPCG(seed, 1))
}

// Cut resets each new connection after so many bytes have come from the server by it.
func (p *Proxy) Cut(after int64) { p.spoil(func(s *spoil) { s.cut = after }) }

// Heal passes all on again.
func (p *Proxy) Heal() {
	p.mu.Lock()
	swallowed := p.how.swallow
	p.how = spoil{}
	p.mu.Unlock()
	if swallowed {
		p.Reset()
	}
}

func (p *Proxy) spoil(change func(*spoil)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.how)
}

func (p *Proxy) close() {
	_ = p.listener.Close() // which ends accept
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Reset()
	p.all.Wait()
}

// abort closes a connection by an RST: what is on its way either way is lost.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close() // twice closed is closed
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.all.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

// keep notes a connection, or returns false where none may be.
func (p *Proxy) keep(c *net.TCPConn) (to string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.how.refuse {
		return "", false
	}
	p.open[c] = true
	return p.to, true
}

func (p *Proxy) drop(c *net.TCPConn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	_ = c.Close() // twice closed is closed
}

func (p *Proxy) serve(client *net.TCPConn) {
	defer p.drop(client)
	to, ok := p.keep(client)
	if !ok {
		abort(client)
		return
	}
	c, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		abort(client) // as the server would: no connection
		return
	}
	server := c.(*net.TCPConn)
	defer p.drop(server)
	if _, ok := p.keep(server); !ok {
		abort(client)
		return
	}
	p.mu.Lock()
	cut := p.how.cut
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, 0) })
	both.Go(func() { p.pass(client, server, cut) })
	both.Wait()
}

// pass hands on what comes, up to a bound where there is one. An end that is orderly is handed on too; any other ends both ways.
func (p *Proxy) pass(to, from *net.TCPConn, bound int64) {
	buf := make([]byte, 32<<10)
	for passed := int64(0); ; {
		n, err := from.Read(buf)
		how, wait := p.now()
		if how.swallow {
			n = 0
		}
		if wait > 0 {
			<-time.After(wait)
		}
		if bound > 0 && passed+int64(n) >= bound {
			n, err = int(bound-passed), io.ErrUnexpectedEOF
		}
		passed += int64(n)
		if _, werr := to.Write(buf[:n]); werr != nil && err == nil {
			err = werr
		}
		switch {
		case err == io.EOF && !how.swallow:
			_ = to.CloseWrite() // one that is closed already needs no more
			return
		case err != nil && how.swallow:
			return
		case err != nil:
			abort(to)
			abort(from)
			return
		}
	}
}

// now returns what is spoilt, and how long the next piece waits.
func (p *Proxy) now() (spoil, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how.delay <= 0 {
		return p.how, 0
	}
	return p.how, time.Duration(p.random.Int64N(int64(p.how.delay)))
}
