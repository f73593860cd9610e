//go:build engines

package memcached

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
	"bijou/test/engines"
	"bijou/wire/memcache"
)

// term bounds waits for what a server does at once.
const term = time.Minute

// prefixes gives each cache of a test keys of its own, so that it holds nothing.
var prefixes atomic.Int64

// opened opens a cache on the servers that waits long, since the machine may be busy.
func opened(t *testing.T, o Options, servers ...*engines.Server) *Cache {
	t.Helper()
	var at []string
	for _, s := range servers {
		at = append(at, s.Address)
	}
	c, err := Open(fmt.Sprintf("memcached://%s?prefix=test%d", strings.Join(at, ","), prefixes.Add(1)), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var patient = Options{Patience: 20 * time.Second}

func TestOnRealServers(t *testing.T) {
	one, two, three := engines.Memcached(t), engines.Memcached(t), engines.Memcached(t)
	t.Run("Contract", func(t *testing.T) {
		contract.CacheStore(t, func(t *testing.T) bijou.CacheStore { return opened(t, patient, one) })
	})
	t.Run("ContractOnThreeServers", func(t *testing.T) {
		contract.CacheStore(t, func(t *testing.T) bijou.CacheStore { return opened(t, patient, one, two, three) })
	})
	t.Run("WhatTheServersAre", func(t *testing.T) { realVersion(t, one, two) })
	t.Run("AHundredThousandGetsArePipelined", func(t *testing.T) { pipelined(t, one) })
	t.Run("ALostServerCostsItsOwnKeysAlone", func(t *testing.T) { lostServer(t, one, two) })
	t.Run("AServerComesBackByItself", func(t *testing.T) { comesBack(t, three) })
	t.Run("ATicketEndsWithTheServerThatGaveIt", func(t *testing.T) { ticketOfBefore(t, three) })
	t.Run("APausedServerCostsAFewCallsTheirPatience", func(t *testing.T) { paused(t, three) })
	t.Run("AConnectionThatIsResetIsMadeAnew", func(t *testing.T) { reset(t, three) })
}

func put(t *testing.T, c *Cache, key, value string) {
	t.Helper()
	engines.Until(t, key+" is kept", term, func() error {
		found, err := c.Recall(t.Context(), key)
		if err != nil || found[0].Found {
			return err
		}
		kept, err := c.Fill(t.Context(), key, found[0].Ticket, []byte(value), time.Hour)
		if err == nil && !kept {
			err = errors.New("not kept")
		}
		return err
	})
}

func realVersion(t *testing.T, servers ...*engines.Server) {
	c := opened(t, patient, servers...)
	says, err := c.Version(t.Context())
	if err != nil || !strings.Contains(says, "memcached 1.6.") || !strings.Contains(says, servers[1].Address) {
		t.Errorf("got %q, %v", says, err)
	}
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func pipelined(t *testing.T, server *engines.Server) {
	c := opened(t, patient, server)
	const callers, keys = 100, 1000
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			var names []string
			for n := range keys {
				names = append(names, fmt.Sprint("k/", caller, "/", n))
			}
			found, err := c.Recall(t.Context(), names...)
			if err != nil {
				t.Errorf("recall: %v", err)
				return
			}
			for n := 0; n < keys; n += 100 {
				if kept, err := c.Fill(t.Context(), names[n], found[n].Ticket, []byte(names[n]), time.Hour); err != nil || !kept {
					t.Errorf("fill %s: kept %v, %v", names[n], kept, err)
				}
			}
			found, err = c.Recall(t.Context(), names...)
			if err != nil {
				t.Errorf("recall again: %v", err)
				return
			}
			for n, f := range found {
				if f.Found != (n%100 == 0) || f.Found && string(f.Value) != names[n] {
					t.Errorf("%s: found %v, %q", names[n], f.Found, f.Value)
					return
				}
			}
		})
	}
	all.Wait()
}

func lostServer(t *testing.T, stays, goes *engines.Server) {
	c := opened(t, patient, stays, goes)
	var names []string
	for n := range 40 {
		names = append(names, fmt.Sprint("k", n))
		put(t, c, names[n], names[n])
	}
	goes.Kill(t)
	found, err := c.Recall(t.Context(), names...)
	if !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), goes.Address) {
		t.Errorf("with a server killed: got %v, want Unavailable with its name", err)
	}
	kept := 0
	for i, f := range found {
		at, _ := c.ring.of(c.place.prefix + ":" + names[i])
		if want := c.servers[at].address == stays.Address; f.Found != want {
			t.Errorf("%s lies at %s: found %v", names[i], c.servers[at].address, f.Found)
		}
		if f.Found {
			kept++
		}
	}
	if kept < 5 || kept > 35 {
		t.Errorf("%d of %d keys lie at one of two servers", kept, len(names))
	}
	goes.Start(t)
}

func comesBack(t *testing.T, server *engines.Server) {
	c := opened(t, patient, server)
	put(t, c, "k", "v")
	server.Kill(t)
	if err := c.Forget(t.Context(), "k"); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("while it is away: got %v, want Unavailable", err)
	}
	if err := c.Check(t.Context()); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("check: got %v, want Unavailable", err)
	}
	server.Start(t)
	put(t, c, "k", "v")
}

// A memcached numbers anew when it starts: the numbers that it gave before come again.
func ticketOfBefore(t *testing.T, server *engines.Server) {
	server.Kill(t)
	server.Start(t)
	c := opened(t, patient, server)
	recalled := func() bijou.CacheTicket {
		var by bijou.CacheTicket
		engines.Until(t, "a ticket is given", term, func() error {
			found, err := c.Recall(t.Context(), "k")
			if err == nil {
				by = found[0].Ticket
			}
			return err
		})
		return by
	}
	before := recalled()
	server.Kill(t)
	server.Start(t)
	after := recalled()
	if before.Number != after.Number || before.Number == 0 {
		t.Fatalf("tickets are %+v and %+v, want the same number of both servers", before, after)
	}
	if kept, err := c.Fill(t.Context(), "k", before, []byte("old"), time.Hour); kept || err != nil {
		t.Errorf("fill by the ticket of before: kept %v, %v", kept, err)
	}
	if kept, err := c.Fill(t.Context(), "k", after, []byte("new"), time.Hour); !kept || err != nil {
		t.Errorf("fill by the ticket of now: kept %v, %v", kept, err)
	}
}

func paused(t *testing.T, server *engines.Server) {
	c := opened(t, Options{Patience: 200 * time.Millisecond}, server)
	put(t, c, "k", "v")
	server.Pause(t)
	waited, refused := 0, 0
	for range 1000 {
		switch _, err := c.Recall(t.Context(), "k"); {
		case err == nil && waited == 0: // it takes a moment until the system has stopped it
		case !errors.Is(err, bijou.Unavailable):
			t.Errorf("got %v, want Unavailable", err)
		case strings.Contains(err.Error(), "no answer within"):
			waited++
		default:
			refused++
		}
	}
	if waited < 1 || waited > 10 || refused < 500 {
		t.Errorf("%d of 1000 calls waited for a paused server and %d were refused, want a few and all others", waited, refused)
	}
	server.Resume(t)
	put(t, c, "k", "v")
	// What its connections still held does no harm.
	if found, err := c.Recall(t.Context(), "k"); err != nil || !found[0].Found || string(found[0].Value) != "v" {
		t.Errorf("after it went on: %+v, %v", found, err)
	}
}

// relay passes bytes between a cache and a server until it is told to reset what it carries.
type relay struct {
	net.Listener
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (r *relay) run(to string) {
	for {
		in, err := r.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, in.(*net.TCPConn), out.(*net.TCPConn))
		r.mu.Unlock()
		go func() { _, _ = io.Copy(out, in) }() // ends with the connection
		go func() { _, _ = io.Copy(in, out) }()
	}
}

func (r *relay) reset() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.SetLinger(0) // so that it is a reset
		c.Close()
	}
	n, r.conns = len(r.conns), nil
	return n
}

func reset(t *testing.T, server *engines.Server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := &relay{Listener: l}
	go r.run(server.Address)
	c := opened(t, patient, &engines.Server{Address: l.Addr().String()})
	for range 5 {
		put(t, c, "k", "v")
		if r.reset() == 0 {
			t.Fatal("no connection was there to reset")
		}
	}
	put(t, c, "k", "v")
	r.reset()
}

func TestAServerThatTakesNoMoreSaysSoAndServesOn(t *testing.T) {
	c := opened(t, patient, engines.Memcached(t, "-m", "2", "-M")) // -M: it refuses rather than forgets
	put(t, c, "small", "v")
	engines.Until(t, "it takes no more", term, func() error {
		key := fmt.Sprint("k", prefixes.Add(1))
		found, err := c.Recall(t.Context(), key)
		if err != nil {
			return err
		}
		kept, err := c.Fill(t.Context(), key, found[0].Ticket, make([]byte, 500_000), time.Hour)
		if errors.Is(err, bijou.Exhausted) && strings.Contains(err.Error(), "-m") && !kept {
			return nil
		}
		return fmt.Errorf("kept %v, %w", kept, err)
	})
	if found, err := c.Recall(t.Context(), "small"); err != nil || !found[0].Found {
		t.Errorf("afterwards: %+v, %v", found, err)
	}
}

// A certificate of this test alone vouches for the server.
func TestTheWayToAServerCanBeTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600)); err != nil {
		t.Fatal(err)
	}
	server := engines.Memcached(t, "-Z", "-o", "ssl_chain_cert="+certFile, "-o", "ssl_key="+keyFile)
	open := func(roots *x509.CertPool) *Cache {
		c, err := Open("memcached://"+server.Address+"?tls=true", Options{Patience: patient.Patience, Roots: roots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	put(t, open(roots), "k", "v")
	if err := open(x509.NewCertPool()).Check(t.Context()); !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: got %v, want Unavailable that says so", err)
	}
	if _, err := opened(t, patient, server).Recall(t.Context(), "k"); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("in clear text: got %v, want Unavailable", err)
	}
}

func TestAFullServerForgetsAndServesOn(t *testing.T) {
	c := opened(t, patient, engines.Memcached(t, "-m", "4"))
	for n := range 50 {
		put(t, c, fmt.Sprint("k", n), strings.Repeat("v", 500_000))
	}
	found, err := c.Recall(t.Context(), "k49")
	if err != nil || !found[0].Found {
		t.Errorf("what was kept last: found %v, %v", found[0].Found, err)
	}
}

func TestAnAnswerAfterItsCallerLeftHarmsNobody(t *testing.T) {
	c := opened(t, patient, engines.Memcached(t))
	put(t, c, "k", "v")
	for range maxQueued / 2 { // those that have left wait no longer, and may all be in the queue still
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if found, err := c.Recall(ctx, "k"); err == nil && string(found[0].Value) != "v" {
			t.Fatalf("got %q", found[0].Value)
		}
	}
	if found, err := c.Recall(t.Context(), "k"); err != nil || string(found[0].Value) != "v" {
		t.Errorf("got %+v, %v", found, err)
	}
}

// The wire's decoder against the real server: each kind of answer, asked for by hand.
func TestTheServerAnswersAsTheWireReads(t *testing.T) {
	conn, err := net.Dial("tcp", engines.Memcached(t).Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, c := range []struct {
		request []byte
		want    memcache.Status
	}{
		{memcache.AppendGet(nil, "k", 1, 30), memcache.Value},
		{memcache.AppendSet(nil, "k", 2, []byte("v"), 999, 30), memcache.Exists},
		{memcache.AppendSet(nil, "none", 3, []byte("v"), 999, 30), memcache.NotFound},
		{memcache.AppendSet(nil, "k", 4, []byte("v"), 1, 30), memcache.Done},
		{memcache.AppendDelete(nil, "none", 5), memcache.NotFound},
		{memcache.AppendDelete(nil, "k", 6), memcache.Done},
		{memcache.AppendVersion(nil), memcache.Version},
		{[]byte("nonsense\r\n"), memcache.Unknown},
		{[]byte("ms k\r\n"), memcache.Refused},
		{memcache.AppendSet(nil, "k", 7, make([]byte, 2<<20), 1, 30), memcache.ServerError},
	} {
		if _, err := conn.Write(c.request); err != nil {
			t.Fatal(err)
		}
		if a, err := memcache.Read(r, 1<<20); err != nil || a.Status != c.want {
			t.Errorf("%.40q: got %+v, %v, want %s", c.request, a, err, c.want)
		}
	}
}
