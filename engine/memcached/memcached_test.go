package memcached

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
)

func TestAnAddressIsRead(t *testing.T) {
	for address, want := range map[string]place{
		"memcached://host1:11211,host2:11212?prefix=site": {servers: []string{"host1:11211", "host2:11212"}, prefix: "site"},
		"memcached://cache": {servers: []string{"cache:11211"}, prefix: "bijou"},
		"memcached://[::1]:11211,[fe80::1],127.0.0.1?tls=true": {servers: []string{"[::1]:11211", "[fe80::1]:11211", "127.0.0.1:11211"}, prefix: "bijou", tls: true},
	} {
		got, err := parse(address)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %+v, %v, want %+v", address, got, err, want)
		}
	}
	for address, want := range map[string]string{
		"": "memcached://", "http://host:11211": "memcached://", "memcached://": "host:port", "memcached://a,,b": "host:port", "memcached://a:0": "host:port", "memcached://a:70000": "host:port",
		"memcached://a:b:c": "host:port", "memcached://a b": "host:port", "memcached://a,a:11211": "twice", "memcached://user:secret@host": "password", "memcached://host/1": "path",
		"memcached://host?prefx=a": `"prefx"`, "memcached://host?tls=perhaps": "true or false", "memcached://host?prefix=a%20b": "printable", "memcached://host?prefix=": "printable",
		"memcached://host?prefix=" + strings.Repeat("p", 50): "1 to 49", "memcached://host?%zz": "?prefix=bijou",
		"memcached://h" + manyHosts(64): "at most 64",
	} {
		c, err := Open(address, Options{})
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, %v, want Invalid that says %q", address, c, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", address, err)
		}
	}
}

func manyHosts(n int) (list string) {
	for i := range n {
		list += fmt.Sprintf(",h%d", i)
	}
	return list
}

func FuzzAnAddressIsReadWholeOrRefused(f *testing.F) {
	f.Add("memcached://host1:11211,[::1]?prefix=a&tls=true")
	f.Add("memcached://a:b:c,%")
	f.Fuzz(func(t *testing.T, address string) {
		p, err := parse(address)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("got %v, want Invalid", err)
			}
			return
		}
		again, err := parse(scheme + strings.Join(p.servers, ",") + "?prefix=" + fmt.Sprintf("%%%x", p.prefix[0]) + queryRest(p.prefix))
		if err != nil || strings.Join(again.servers, ",") != strings.Join(p.servers, ",") || len(p.servers) == 0 {
			t.Errorf("%q was read as %+v, and that as %+v, %v", address, p, again, err)
		}
	})
}

// queryRest returns the prefix but for its first byte, as it stands in an address.
func queryRest(prefix string) (out string) {
	for _, c := range []byte(prefix[1:]) {
		out += fmt.Sprintf("%%%02x", c)
	}
	return out
}

// The points are those of ketama: the first bytes of MD5, little endian; a key goes to the next point.
func TestTheRingIsThatOfKetama(t *testing.T) {
	r := newRing([]string{"localhost/127.0.0.1:11211", "127.0.0.2/127.0.0.2:11211"})
	if len(r) != 320 {
		t.Fatalf("%d points, want 320", len(r))
	}
	for i, want := range []point{{9098405, 1}, {29898907, 0}, {33056010, 1}, {63710428, 1}, {87521638, 0}, {105292090, 0}, {110989757, 1}, {113416974, 1}} {
		if r[i] != want {
			t.Errorf("point %d is %+v, want %+v", i, r[i], want)
		}
	}
	for key, want := range map[string]int{"cid:str": 1, "cid:int": 0, "cid:spread1": 0, "cid:spread2": 1, "cid:spread3": 0, "cid:spread4": 0, "cid:spread5": 0} {
		if got, _ := r.of(key); got != want {
			t.Errorf("%s goes to %d, want %d", key, got, want)
		}
	}
}

func TestAServerThatGoesMovesTheKeysOfItsOwnShareAlone(t *testing.T) {
	three, two := newRing([]string{"a:1", "b:1", "c:1"}), newRing([]string{"a:1", "b:1"})
	share := [3]int{}
	for n := range 3000 {
		key := fmt.Sprint("key", n)
		before, _ := three.of(key)
		after, _ := two.of(key)
		share[before]++
		if before != 2 && before != after {
			t.Fatalf("%s moved from %d to %d", key, before, after)
		}
	}
	for i, n := range share {
		if n < 500 || n > 1500 {
			t.Errorf("server %d has %d of 3000 keys", i, n)
		}
	}
}

func TestVersionsThatHaveTheMetaProtocol(t *testing.T) {
	for version, want := range map[string]bool{"1.6.18": true, "1.6.0": true, "1.10.1": true, "2.0": true, "1.5.22": false, "1.4.0": false, "": false, "x": false, "1": false} {
		if got := newEnough(version); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

// fake answers connections with what answer says to each line.
func fake(t *testing.T, answer func(line string) string) *Cache {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if _, err := conn.Write([]byte(answer(lines.Text()))); err != nil {
						return
					}
				}
			}()
		}
	}()
	c, err := Open(scheme+l.Addr().String(), Options{Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestWhatIsNoAnswerToTheRequestIsNeverTakenForOne(t *testing.T) {
	for what, answer := range map[string]string{
		"another request's": "VA 1 c1 O99\r\nv\r\n", "no token": "VA 1 c1\r\nv\r\n", "the old protocol's": "VALUE k 0 1\r\nv\r\nEND\r\n", "a web server's": "HTTP/1.1 400 Bad Request\r\n\r\n",
		"refused": "CLIENT_ERROR bad\r\n", "unknown": "ERROR\r\n", "too long": fmt.Sprintf("VA %d c1 O0\r\n", bijou.MaxCacheValue+1), "a version": "VERSION 1.6.18\r\n",
	} {
		c := fake(t, func(string) string { return answer })
		found, err := c.Recall(t.Context(), "k")
		if !errors.Is(err, bijou.Unavailable) || found[0].Found {
			t.Errorf("%s: got %+v, %v, want Unavailable", what, found, err)
		}
	}
}

func TestAServerThatIsTooOldIsUnsupported(t *testing.T) {
	c := fake(t, func(string) string { return "VERSION 1.5.22\r\n" })
	if err := c.Check(t.Context()); !errors.Is(err, bijou.Unsupported) || !strings.Contains(err.Error(), "1.6") {
		t.Errorf("got %v, want Unsupported that says what is needed", err)
	}
}

func TestAServerThatCannotForgetIsUnavailable(t *testing.T) {
	c := fake(t, func(string) string { return "SERVER_ERROR out of memory\r\n" })
	if err := c.Forget(t.Context(), "k"); !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v, want Unavailable with the reason", err)
	}
	if found, err := c.Recall(t.Context(), "k"); err != nil || found[0].Found || found[0].Ticket != (bijou.CacheTicket{}) {
		t.Errorf("recall: got %+v, %v, want nothing found and no ticket", found, err)
	}
}

func TestAClosedCacheIsUnavailable(t *testing.T) {
	c := fake(t, func(line string) string {
		return "VA 1 c1 " + string(bytes.Fields([]byte(line))[5]) + "\r\nv\r\n"
	})
	if found, err := c.Recall(t.Context(), "k"); err != nil || string(found[0].Value) != "v" {
		t.Fatalf("got %+v, %v", found, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recall(t.Context(), "k"); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("got %v, want Unavailable", err)
	}
}

// Requests gather while a connection is made; more of them than may be in flight go out by parts.
func TestMoreRequestsThanMayBeInFlightAllGoOut(t *testing.T) {
	c := fake(t, func(line string) string {
		return "VA 1 c1 " + string(bytes.Fields([]byte(line))[5]) + "\r\nv\r\n"
	})
	_, spread := c.ring.of(c.place.prefix + ":k")
	l := c.servers[0].links[spread%linksPerServer]
	dial, gathered := l.dial, make(chan struct{})
	l.dial = func(ctx context.Context) (net.Conn, error) {
		<-gathered
		return dial(ctx)
	}
	const calls = 3 * maxInFlight
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if found, err := c.Recall(t.Context(), "k"); err != nil || string(found[0].Value) != "v" {
				t.Errorf("got %+v, %v", found, err)
			}
		})
	}
	for len(l.queue) < calls-1 { // the first is taken out already
		runtime.Gosched()
	}
	close(gathered)
	all.Wait()
}
