package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bijou"
)

// stranger returns an identity that has not joined.
func stranger(t testing.TB) *Identity {
	t.Helper()
	i, err := OpenIdentity(filepath.Join(t.TempDir(), "id.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func requestOf(t testing.TB, i *Identity) string {
	t.Helper()
	r, err := i.Request()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request returns a certificate request that says what the template says, signed by the key.
func request(t testing.TB, template *x509.CertificateRequest, key any) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: der}))
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// forged returns a request whose signature does not hold, though all else does.
func forged(t testing.TB) string {
	t.Helper()
	block, _ := pem.Decode([]byte(request(t, &x509.CertificateRequest{}, ecKey(t, elliptic.P256()))))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(block.Bytes, csr.RawSubjectPublicKeyInfo)
	other, err := x509.MarshalPKIXPublicKey(ecKey(t, elliptic.P256()).Public())
	if err != nil {
		t.Fatal(err)
	}
	copy(block.Bytes[at:], other) // of the same length
	return string(pem.EncodeToMemory(block))
}

// oddRequests are certificate requests that nothing may be made of.
func oddRequests(t testing.TB) map[string]string {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	whole := request(t, &x509.CertificateRequest{}, ecKey(t, elliptic.P256()))
	return map[string]string{
		"nothing": "", "half of one": whole[:len(whole)/2], "another's key in it": forged(t), "an Ed25519 key": request(t, &x509.CertificateRequest{}, ed),
		"a key on P-384": request(t, &x509.CertificateRequest{}, ecKey(t, elliptic.P384())), "too long": strings.Repeat("\n", maxRequest) + whole,
	}
}

func TestAnAuthorityIsMadeOnceAndIsTheSameAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authority.pem")
	first, err := OpenAuthority(path, joinDay)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(path, joinDay.Add(9*365*24*time.Hour))
	if err != nil || again.Fingerprint() != first.Fingerprint() {
		t.Errorf("nine years later: got another authority, or %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := OpenAuthority(path, joinDay.Add(11*365*24*time.Hour)); !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("after its end: got %v, want Invalid, and the file named", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(path, joinDay); !errors.Is(err, bijou.Denied) {
		t.Errorf("where others can read it: got %v, want Denied", err)
	}
}

func TestADamagedAuthorityIsNotReplaced(t *testing.T) {
	a := newTestAuthority(t)
	other, m := newTestAuthority(t), member(t, a, "service/up")
	join := func(key *ecdsa.PrivateKey, certs ...[]byte) []byte {
		raw, err := pairPEM(key, certs...)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	flipped := bytes.Clone(a.cert.Raw)
	flipped[len(flipped)-1] ^= 1
	for what, raw := range map[string][]byte{
		"no certificate": join(a.key), "another's certificate": join(a.key, other.cert.Raw), "two certificates": join(a.key, a.cert.Raw, a.cert.Raw),
		"a member's": join(m.key, m.cert.Raw), "one bit of the signature": join(a.key, flipped), "nothing": nil,
	} {
		path := filepath.Join(t.TempDir(), "authority.pem")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAuthority(path, joinDay); !errors.Is(err, bijou.Corrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want Corrupt, and the file named", what, err)
		}
		if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, raw) {
			t.Errorf("%s: the file was changed (%v)", what, err)
		}
	}
}

func TestOfARequestOnlyTheKeyCounts(t *testing.T) {
	a := newTestAuthority(t)
	greedy := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "service/up"}, DNSNames: []string{"example.org"},
		URIs:            []*url.URL{{Scheme: nameScheme, Host: nameHost, Path: "/service/up"}},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}, // basicConstraints, cA true (RFC 5280, 4.2.1.9)
	}
	text, err := a.Sign(request(t, greedy, ecKey(t, elliptic.P256())), "appliance/apl_1", joinDay)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseCert(text)
	if err != nil {
		t.Fatal(err)
	}
	if c.IsCA || c.KeyUsage&x509.KeyUsageCertSign != 0 || memberOf(c) != "appliance/apl_1" || len(c.URIs) != 1 || strings.Contains(strings.Join(c.DNSNames, " "), "example.org") {
		t.Errorf("got CA %v, usage %b, names %v %v, want a plain certificate of appliance/apl_1", c.IsCA, c.KeyUsage, c.URIs, c.DNSNames)
	}
	if want := joinDay.Add(-time.Hour); !c.NotBefore.Equal(want.Truncate(time.Second)) || c.NotAfter.Sub(joinDay).Round(time.Hour) != 30*24*time.Hour {
		t.Errorf("got %s to %s, want an hour before to 30 days after %s", c.NotBefore, c.NotAfter, joinDay)
	}
	for what, r := range oddRequests(t) {
		if _, err := a.Sign(r, "appliance/apl_1", joinDay); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: got %v, want Invalid", what, err)
		}
	}
}

func TestNoCertificateOutlivesItsAuthority(t *testing.T) {
	a := newTestAuthority(t)
	id, end := stranger(t), a.cert.NotAfter
	near := end.Add(-9 * 24 * time.Hour)
	answer, err := a.Renew("appliance/apl_1", requestOf(t, id), near)
	if err != nil {
		t.Fatal(err)
	}
	joined, err := id.Accept(answer.Certificate, answer.Authority)
	if err != nil || joined.cert.NotAfter.After(end) {
		t.Errorf("got an end at %v, %v, want at most %s", joined, err, end)
	}
	if got, want := joined.RenewAt(), end.Add(-3*24*time.Hour); got.Sub(want).Abs() > time.Second {
		t.Errorf("renewed at %s, want %s, when a third of nine days is left", got, want)
	}
	if _, err := a.Renew("appliance/apl_1", requestOf(t, id), end); !errors.Is(err, bijou.Invalid) {
		t.Errorf("after the end: got %v, want Invalid", err)
	}
}

func TestADamagedIdentityIsSaidSo(t *testing.T) {
	a := newTestAuthority(t)
	m, other := member(t, a, "appliance/apl_1"), newTestAuthority(t)
	for what, c := range map[string]struct {
		key   *ecdsa.PrivateKey
		certs [][]byte
	}{
		"another's key":            {ecKey(t, elliptic.P256()), [][]byte{m.cert.Raw, a.cert.Raw}},
		"another authority":        {m.key, [][]byte{m.cert.Raw, other.cert.Raw}},
		"no authority":             {m.key, [][]byte{m.cert.Raw}},
		"the authority itself":     {a.key, [][]byte{a.cert.Raw, a.cert.Raw}},
		"one certificate too many": {m.key, [][]byte{m.cert.Raw, a.cert.Raw, a.cert.Raw}},
	} {
		path := filepath.Join(t.TempDir(), "id.pem")
		raw, err := pairPEM(c.key, c.certs...)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIdentity(path); !errors.Is(err, bijou.Corrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want Corrupt, and the file named", what, err)
		}
	}
	if err := os.Chmod(m.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentity(m.path); !errors.Is(err, bijou.Denied) {
		t.Errorf("where others can read it: got %v, want Denied", err)
	}
}

func TestAKeyIsOnDiskForItsOwnerAloneBeforeItAsksToJoin(t *testing.T) {
	id := stranger(t)
	if id.Joined(joinDay) || id.Name() != "" || !id.RenewAt().IsZero() {
		t.Errorf("before it joined: got joined %v, name %q, renewal at %s", id.Joined(joinDay), id.Name(), id.RenewAt())
	}
	requestOf(t, id)
	again, err := OpenIdentity(id.path)
	if err != nil || !again.key.Equal(id.key) {
		t.Errorf("after a restart: got another key, or %v", err)
	}
	if info, err := os.Stat(id.path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, r := range oddRequests(f) {
		f.Add(r)
	}
	f.Add(request(f, &x509.CertificateRequest{}, ecKey(f, elliptic.P256())))
	f.Fuzz(func(t *testing.T, text string) {
		csr, err := parseRequest(text)
		if (csr == nil) != errors.Is(err, bijou.Invalid) {
			t.Errorf("%q: got %v, %v", text, csr, err)
		}
		if err == nil && csr.CheckSignature() != nil {
			t.Errorf("%q: a request is taken whose signature does not hold", text)
		}
	})
}
