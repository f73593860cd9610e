package app

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// split shares one address between two servers: connections that begin with a TLS handshake go to one, all others to the other. So members of the
// cluster find the service at the address that people type.
type split struct {
	net.Listener
	tls, plain *half
}

// half is one side of a split, as a listener.
type half struct {
	from  *split
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

const (
	// firstByte is the time that a stranger has to say anything.
	firstByte = 5 * time.Second
	// handshake is the first byte of a TLS record that carries one (RFC 8446 section 5.1).
	handshake = 22
	// maxUndecided bounds the connections that have not said anything yet.
	maxUndecided = 1024
)

func newSplit(l net.Listener) *split {
	s := &split{Listener: l}
	s.tls = &half{from: s, conns: make(chan net.Conn), done: make(chan struct{})}
	s.plain = &half{from: s, conns: make(chan net.Conn), done: make(chan struct{})}
	return s
}

// run accepts connections until ctx ends, when it closes the listener.
func (s *split) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { s.Listener.Close() })()
	slots := make(chan struct{}, maxUndecided)
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			s.tls.end()
			s.plain.end()
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close() // so many say nothing that something is wrong with them
			continue
		}
		go func() {
			defer func() { <-slots }()
			s.sort(c)
		}()
	}
}

// sort reads the first byte and hands the connection on.
func (s *split) sort(c net.Conn) {
	var b [1]byte
	err := c.SetReadDeadline(time.Now().Add(firstByte))
	if err == nil {
		if _, err = io.ReadFull(c, b[:]); err == nil {
			err = c.SetReadDeadline(time.Time{})
		}
	}
	if err != nil {
		c.Close()
		return
	}
	to := s.plain
	if b[0] == handshake {
		to = s.tls
	}
	select {
	case to.conns <- &peeked{Conn: c, first: b[:]}:
	case <-to.done:
		c.Close()
	}
}

// Accept implements net.Listener.
func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The other half goes on.
func (h *half) Close() error {
	h.end()
	return nil
}

func (h *half) end() { h.once.Do(func() { close(h.done) }) }

// Addr implements net.Listener.
func (h *half) Addr() net.Addr { return h.from.Listener.Addr() }

// peeked is a connection whose first byte was read already.
type peeked struct {
	net.Conn
	first []byte
}

// Read implements net.Conn.
func (p *peeked) Read(b []byte) (int, error) {
	if len(p.first) > 0 && len(b) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// ReadFrom implements io.ReaderFrom, by which net/http comes to sendfile(2).
func (p *peeked) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := p.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{p.Conn}, r)
}
