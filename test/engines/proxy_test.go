package engines

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo starts a server that says what it is told.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // until either end hangs up
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// said sends the text and returns as much as comes back.
func said(c *net.TCPConn, text string) (string, error) {
	if _, err := c.Write([]byte(text)); err != nil {
		return "", err
	}
	b := make([]byte, len(text))
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

func passes(t *testing.T, c *net.TCPConn, text string) {
	t.Helper()
	if got, err := said(c, text); err != nil || got != text {
		t.Fatalf("through the proxy: got %q and error %v, want %q", got, err, text)
	}
}

func broken(t *testing.T, what string, c *net.TCPConn) {
	t.Helper()
	if got, err := said(c, "x"); err == nil {
		t.Errorf("%s: got %q, want an error", what, got)
	}
}

func TestAProxyPassesAllOnAndAnOrderlyEndToo(t *testing.T) {
	c := dial(t, Forward(t, echo(t)))
	passes(t, c, "first")
	large := bytes.Repeat([]byte("all of it "), 100_000)
	go func() {
		_, _ = c.Write(large)
		_ = c.CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, large) {
		t.Errorf("got %d bytes and error %v, want the same %d", len(got), err, len(large))
	}
}

func TestAResetEndsConnectionsAndNewOnesWork(t *testing.T) {
	p := Forward(t, echo(t))
	first, second := dial(t, p), dial(t, p)
	passes(t, first, "first")
	passes(t, second, "second")
	p.Reset()
	broken(t, "after a reset", first)
	broken(t, "after a reset", second)
	passes(t, dial(t, p), "third")
}

func TestAProxyThatRefusesAndLeadsElsewhereLater(t *testing.T) {
	p := Forward(t, echo(t))
	first := dial(t, p)
	passes(t, first, "first")
	p.Refuse()
	broken(t, "while it refuses", first)
	if c, err := net.Dial("tcp", p.Address); err == nil { // the system accepts before the proxy does
		broken(t, "while it refuses", c.(*net.TCPConn))
	}
	p.To(echo(t))
	p.Heal()
	passes(t, dial(t, p), "second")
}

func TestAProxyThatSwallowsNeitherAnswersNorHangsUpUntilItIsHealed(t *testing.T) {
	p := Forward(t, echo(t))
	c := dial(t, p)
	passes(t, c, "first")
	p.Swallow()
	if _, err := c.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("the connection ended by itself: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	p.Heal()
	if err := <-ended; err == nil {
		t.Error("an answer came to what was swallowed")
	}
	passes(t, dial(t, p), "second")
}

func TestAConnectionIsCutAfterSoManyBytes(t *testing.T) {
	p := Forward(t, echo(t))
	p.Cut(7)
	c := dial(t, p)
	if got, err := said(c, "ten bytes."); err == nil || len(got) > 7 {
		t.Errorf("got %q and error %v, want at most 7 bytes and an error", got, err)
	}
	p.Heal()
	passes(t, dial(t, p), "ten bytes.")
}

func TestADelayLosesNothing(t *testing.T) {
	p := Forward(t, echo(t))
	p.Delay(3*time.Millisecond, 1)
	c := dial(t, p)
	for _, text := range []string{"first", "second", "third"} {
		passes(t, c, text)
	}
}
