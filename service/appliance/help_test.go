package appliance_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"bijou"
)

var publicKey = key.Public().(ed25519.PublicKey)

// orders is a service that answers reports.
type orders struct {
	mu     sync.Mutex
	answer bijou.ApplianceOrders
	last   bijou.ApplianceReport
	count  int
	away   bool
}

// Report implements bijou.Control.
func (o *orders) Report(_ context.Context, r bijou.ApplianceReport) (bijou.ApplianceOrders, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count++
	if o.away {
		return bijou.ApplianceOrders{}, fmt.Errorf("nobody answers: %w", bijou.Unavailable)
	}
	if r.Listed {
		o.answer.Known = r.Version
	}
	o.last = r
	return o.answer, nil
}

func (o *orders) order(change func(*bijou.ApplianceOrders)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.answer)
}

// reported waits until so many more reports were answered; the one before the last is obeyed by then.
func (o *orders) reported(t *testing.T, more int) {
	t.Helper()
	o.mu.Lock()
	want := o.count + more
	o.mu.Unlock()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		o.mu.Lock()
		got := o.count
		o.mu.Unlock()
		if got >= want {
			return
		}
		runtime.Gosched()
	}
	t.Fatal("the appliance does not report")
}

// clock is a time that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// certificate is a certificate and its key, in files.
type certificate struct {
	cert, key string
	renewals  int
}

func newCertificate(t *testing.T, name string) *certificate {
	t.Helper()
	dir := t.TempDir()
	c := &certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.renew(t, name)
	return c
}

func (c *certificate) renew(t *testing.T, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, c.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c.write(t, c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func (c *certificate) spoil(t *testing.T) {
	t.Helper()
	c.write(t, c.cert, []byte("half a certifi"))
}

// write writes the file with another modification time than any before.
func (c *certificate) write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c.renewals++
	at := time.Now().Add(time.Duration(c.renewals) * time.Minute)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// countedStore notes what is asked of a store, and fails when told to.
type countedStore struct {
	bijou.BlobStore
	mu    sync.Mutex
	asked map[string]bool
	err   error
}

// Get implements bijou.BlobStore.
func (s *countedStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	s.mu.Lock()
	if s.asked == nil {
		s.asked = map[string]bool{}
	}
	s.asked[key] = true
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return nil, bijou.Blob{}, err
	}
	return s.BlobStore.Get(ctx, key, offset, length)
}

func (s *countedStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// wait returns once the blob was asked for.
func (s *countedStore) wait(t *testing.T, key string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		s.mu.Lock()
		asked := s.asked[key]
		s.mu.Unlock()
		if asked {
			return
		}
	}
	t.Fatalf("%s is never asked for", key)
}
