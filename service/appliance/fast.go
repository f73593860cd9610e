package appliance

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"
	"bijou/service/appliance/shelf"
	"bijou/wire/http1"

	"golang.org/x/sys/unix"
)

// The fast lane answers what players send by the thousand, plain HTTP/1.1 requests for files under grants that hold, without net/http: a head is
// read into a buffer that only a busy connection has, and the file goes to the network by sendfile(2). Every other request (errors, HTTP/2,
// several ranges, odd addresses) goes to net/http together with its connection, so that there is one place for all that is rare.

// lane is the fast lane of one listener.
type lane struct {
	s    *Service
	slow *handOver

	mu    sync.Mutex
	open  map[*fastConn]struct{}
	ended bool
	wg    sync.WaitGroup
}

// handOver is the listener by which net/http gets the connections that are not for the fast lane.
type handOver struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Accept implements net.Listener.
func (h *handOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handOver) Close() error {
	h.once.Do(func() { close(h.done) })
	return h.Listener.Close()
}

func newLane(s *Service, l net.Listener) *lane {
	return &lane{s: s, slow: &handOver{Listener: l, conns: make(chan net.Conn), done: make(chan struct{})}, open: map[*fastConn]struct{}{}}
}

// accept takes connections until the listener is closed.
func (l *lane) accept(ctx context.Context) error {
	for {
		c, err := l.slow.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			l.give(c)
			continue
		}
		if fc, ok := l.enter(tcp); ok {
			go l.serve(fc)
		} else {
			c.Close()
		}
	}
}

// give hands a connection over to net/http.
func (l *lane) give(c net.Conn) {
	select {
	case l.slow.conns <- c:
	case <-l.slow.done:
		c.Close()
	}
}

// stop ends the connections that wait for a request, and lets answers finish for lastWords.
func (l *lane) stop() {
	l.mu.Lock()
	l.ended = true
	for c := range l.open {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // a connection that is closed already needs no deadline
	}
	l.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return
	case <-time.After(lastWords):
	}
	l.mu.Lock()
	for c := range l.open {
		c.Close()
	}
	l.mu.Unlock()
	<-finished
}

// fastConn is a connection in the fast lane.
type fastConn struct {
	*net.TCPConn
	raw      syscall.RawConn
	client   netip.Addr
	patience Patience
	buf      []byte // what came and was not answered yet; nil while nothing did
	got      int    // of the last read
	err      error
	wait     func(fd uintptr) bool // reads into buf; kept, so that waiting makes no garbage

	begun           bool      // a head has begun, and has a deadline of its own
	readBy, writeBy time.Time // deadlines as they are set
}

// heads are the buffers of connections that have something to say.
var heads = sync.Pool{New: func() any { b := make([]byte, 0, http1.MaxHead); return &b }}

// enter takes a connection in, unless the lane is ending.
func (l *lane) enter(tcp *net.TCPConn) (*fastConn, bool) {
	c := &fastConn{TCPConn: tcp, patience: l.s.Patience}
	c.wait = c.readOnce
	var err error
	if c.raw, err = tcp.SyscallConn(); err != nil {
		return nil, false
	}
	if ap, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		c.client = ap.AddrPort().Addr()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, false
	}
	l.open[c] = struct{}{}
	l.wg.Add(1)
	l.s.connections.Add(1)
	return c, true
}

// serve answers requests of one connection, one after another, until it ends or goes to net/http.
func (l *lane) serve(c *fastConn) {
	given := l.requests(c)
	l.leave(c)
	if given != nil {
		l.give(given) // net/http counts it from now on
		return
	}
	c.Close()
}

func (l *lane) leave(c *fastConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	l.s.connections.Add(-1)
	l.wg.Done()
}

func (l *lane) stopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// requests returns the connection for net/http, with what it said, or nil where it has ended.
func (l *lane) requests(c *fastConn) net.Conn {
	defer c.release()
	for {
		var req http1.Request
		var n int
		verdict := http1.More
		if len(c.buf) > 0 {
			req, n, verdict = http1.Parse(c.buf)
		}
		switch verdict {
		case http1.More:
			if l.stopping() || !c.more() {
				return nil
			}
			continue
		case http1.Other:
			return c.handed()
		}
		done, again := l.answer(c, req)
		switch {
		case !done:
			return c.handed()
		case !again || req.Close || l.stopping():
			return nil
		}
		rest := copy(c.buf, c.buf[n:])
		c.buf, c.begun = c.buf[:rest], false
		if rest == 0 {
			c.release()
		}
	}
}

// handed returns the connection as net/http takes it over: with the bytes that were read already, and without deadlines.
func (c *fastConn) handed() net.Conn {
	said := append([]byte(nil), c.buf...)
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil
	}
	return &resumed{TCPConn: c.TCPConn, said: said}
}

// resumed is a connection some of whose bytes were read before.
type resumed struct {
	*net.TCPConn // with its ReadFrom, by which net/http comes to sendfile(2)
	said         []byte
}

// Read implements net.Conn.
func (r *resumed) Read(b []byte) (int, error) {
	if len(r.said) > 0 && len(b) > 0 {
		n := copy(b, r.said)
		r.said = r.said[n:]
		return n, nil
	}
	return r.TCPConn.Read(b)
}

// release gives the buffer back.
func (c *fastConn) release() {
	if c.buf != nil {
		b := c.buf[:0]
		heads.Put(&b)
		c.buf = nil
	}
}

// more waits for more of a request, or for the next, and tells whether any came.
func (c *fastConn) more() bool {
	by, stale := time.Now().Add(idleTime), false
	switch {
	case len(c.buf) == 0:
		stale = c.readBy.Sub(by) < -deadlineSlack || c.readBy.After(by)
	case !c.begun:
		// Its head comes at once, and however many pieces it comes in, they share the time.
		by, stale, c.begun = time.Now().Add(c.patience.Head), true, true
	}
	if stale {
		if c.SetReadDeadline(by) != nil {
			return false
		}
		c.readBy = by
	}
	if err := c.raw.Read(c.wait); err != nil || c.err != nil || c.got <= 0 {
		return false
	}
	return true
}

// deadlineSlack is by how much a deadline may be off before it is set anew: setting one costs as much as a system call.
const deadlineSlack = 10 * time.Second

// readOnce reads what there is, and tells the runtime to wait where there is nothing. Only then has the connection no buffer.
func (c *fastConn) readOnce(fd uintptr) bool {
	if c.buf == nil {
		c.buf = *heads.Get().(*[]byte) // nothing else is put in
	}
	at := len(c.buf)
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(int(fd), c.buf[at:cap(c.buf)]) })
	if errors.Is(err, unix.EAGAIN) {
		if at == 0 {
			c.release()
		}
		return false
	}
	c.got, c.err = n, err
	if n > 0 {
		c.buf = c.buf[:at+n]
	}
	return true
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// answer answers a plain request for a file that there is, under a grant that holds. It is not done where the request is for net/http, and not again
// where the connection cannot go on.
func (l *lane) answer(c *fastConn, req http1.Request) (done, again bool) {
	s := l.s
	token, asset, file, ok := s.split(string(req.Path))
	if !ok || s.State() == bijou.AppliancePaused || s.State() == bijou.ApplianceDropped || req.IfRange != nil || !s.servable(asset, file) {
		return false, false
	}
	if _, err := s.gate.admit(token, asset, c.client, s.Now()); err != nil {
		return false, false
	}
	f, err := s.find(context.Background(), asset, file)
	if err != nil {
		return false, false // asked again there, and explained
	}
	defer f.Close()
	a := reply{file: f, length: f.Size, status: "200 OK"}
	if req.Range != nil {
		if a.from, a.length, ok = http1.ParseRange(req.Range, f.Size); !ok {
			return false, false
		}
		a.status, a.part = "206 Partial Content", true
	}
	tag := s.tagOf(asset, file, f)
	if req.IfNoneMatch != nil {
		if string(req.IfNoneMatch) != tag {
			return false, false
		}
		a.status, a.length, a.bare = "304 Not Modified", 0, true
	}
	s.requests.Add(1)
	defer s.requests.Add(-1)
	if !c.timed(a.length) {
		return true, false
	}
	a.head = s.appendHead(make([]byte, 0, 768), a, s.mediaType(file, f), tag)
	if req.Head {
		a.length = 0
	}
	sent, err := c.send(a)
	s.sent.Add(sent)
	s.metrics.served.Add(float64(sent))
	if err != nil {
		if errors.Is(err, bijou.Corrupt) || errors.Is(err, bijou.Unavailable) {
			s.metrics.broken.Inc()
			s.Log.Warn("file broke off", "file", shortName(f.Name), "error", err)
		}
		return true, false
	}
	return true, true
}

// timed gives the connection the time that the slowest reader may take for so many bytes.
func (c *fastConn) timed(length int64) bool {
	by := time.Now().Add(c.patience.forAnswer(length))
	if by.Sub(c.writeBy) < min(deadlineSlack, c.patience.Grace/2) {
		return true
	}
	if c.SetWriteDeadline(by) != nil {
		return false
	}
	c.writeBy = by
	return true
}

// reply is an answer of the fast lane.
type reply struct {
	file         *shelf.File
	from, length int64
	status       string
	part, bare   bool // a range; without a body
	head         []byte
}

// stamped is the Date field of the current second.
var stamped atomic.Pointer[struct {
	second int64
	text   string
}]

func date(now time.Time) string {
	if d := stamped.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &struct {
		second int64
		text   string
	}{now.Unix(), now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	stamped.Store(d)
	return d.text
}

// common are the header fields of every file.
const common = "\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: " + exposed + "\r\nTiming-Allow-Origin: *\r\n" +
	"Cross-Origin-Resource-Policy: cross-origin\r\nX-Content-Type-Options: nosniff\r\nCache-Control: " + forever + "\r\nAccept-Ranges: bytes\r\nCache-Status: "

// appendHead appends the answer's head to b.
func (s *Service) appendHead(b []byte, a reply, mediaType, tag string) []byte {
	b = append(append(b, "HTTP/1.1 "...), a.status...)
	b = append(append(b, "\r\nDate: "...), date(time.Now())...)
	b = append(append(b, common...), cacheStatus(a.file)...)
	b = append(append(b, "\r\nETag: "...), tag...)
	if !a.bare {
		b = append(append(b, "\r\nContent-Type: "...), mediaType...)
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), a.length, 10)
	}
	if a.part {
		b = strconv.AppendInt(append(b, "\r\nContent-Range: bytes "...), a.from, 10)
		b = strconv.AppendInt(append(b, '-'), a.from+a.length-1, 10)
		b = strconv.AppendInt(append(b, '/'), a.file.Size, 10)
	}
	return append(b, "\r\n\r\n"...)
}

// send sends the head and the file's part, and returns how much of the part went out.
func (c *fastConn) send(a reply) (int64, error) {
	disk, ok := a.file.Shared()
	if a.length == 0 {
		_, err := c.Write(a.head)
		return 0, err
	}
	if !ok {
		return c.copy(a)
	}
	flags := 0
	if a.length < joinBelow {
		flags = unix.MSG_MORE
	}
	if err := c.write(a.head, flags); err != nil {
		return 0, err
	}
	return c.sendfile(disk, a.from, a.length)
}

// joinBelow is the length of a body below which the head waits for it (MSG_MORE), so that both share a packet. It saves two fifths of an answer of
// 200 kB; a body of 2 MB costs a third more that way, since its pages do not begin where packets do (make bench ARGS=appliance).
const joinBelow = 512 << 10

// write sends all of b with the flags.
func (c *fastConn) write(b []byte, flags int) error {
	var failed error
	err := c.raw.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			n, err := ignoringEINTR(func() (int, error) { return unix.SendmsgN(int(fd), b, nil, nil, flags) })
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			if err != nil {
				failed = err
				return true
			}
			b = b[n:]
		}
		return true
	})
	return errors.Join(err, failed)
}

// maxSendfile bounds one call, so that a fast reader of a large file does not keep a thread for long.
const maxSendfile = 4 << 20

// sendfile sends a part of the file by the kernel.
func (c *fastConn) sendfile(f *os.File, from, length int64) (sent int64, err error) {
	src, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = src.Control(func(in uintptr) { // keeps the file open meanwhile
		failed = c.raw.Write(func(out uintptr) bool {
			for sent < length {
				at := from + sent
				n, e := ignoringEINTR(func() (int, error) { return unix.Sendfile(int(out), int(in), &at, int(min(length-sent, maxSendfile))) })
				sent += int64(max(n, 0))
				switch {
				case errors.Is(e, unix.EAGAIN):
					return false
				case e != nil:
					err = e
					return true
				case n == 0:
					err = io.ErrUnexpectedEOF // the file became shorter
					return true
				}
			}
			return true
		})
	})
	return sent, errors.Join(err, failed)
}

// copied are the buffers of files that are not on disk yet.
var copied = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// copy sends a part of a file as it comes.
func (c *fastConn) copy(a reply) (int64, error) {
	if _, err := c.Write(a.head); err != nil {
		return 0, err
	}
	if _, err := a.file.Seek(a.from, io.SeekStart); err != nil {
		return 0, err
	}
	buf := copied.Get().(*[]byte) // nothing else is put in
	defer copied.Put(buf)
	var sent int64
	for sent < a.length {
		n, err := a.file.Read((*buf)[:min(int64(len(*buf)), a.length-sent)])
		if n > 0 {
			w, werr := c.Write((*buf)[:n])
			sent += int64(w)
			if werr != nil {
				return sent, werr
			}
		}
		if err != nil && sent < a.length {
			return sent, err
		}
	}
	return sent, nil
}
