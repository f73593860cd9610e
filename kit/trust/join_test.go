package trust

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
)

var joinDay = time.Now() // certificates are checked against the system's clock

func newTestAuthority(t *testing.T) *Authority {
	t.Helper()
	a, err := OpenAuthority(filepath.Join(t.TempDir(), "authority.pem"), joinDay)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func member(t *testing.T, a *Authority, name string) *Identity {
	t.Helper()
	i, err := a.Member(t.TempDir(), name, joinDay)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// shake performs a handshake and returns whom the server sees, and both sides' errors.
func shake(t *testing.T, server, client *tls.Config) (peer string, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	var wg sync.WaitGroup
	wg.Go(func() {
		if serverErr = s.Handshake(); serverErr == nil {
			state := s.ConnectionState()
			peer = Peer(&state)
			_, serverErr = s.Write([]byte("x"))
		}
		a.Close()
	})
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1)) // in TLS 1.3 a refusal of the client comes after its handshake
	}
	b.Close()
	wg.Wait()
	return peer, serverErr, clientErr
}

func fixed(i *Identity) func() *Identity { return func() *Identity { return i } }

func TestMembersOfOneAuthorityKnowEachOtherAndNobodyElse(t *testing.T) {
	ours, theirs := newTestAuthority(t), newTestAuthority(t)
	server := ServerTLS(fixed(member(t, ours, "service/up")))
	box := member(t, ours, "appliance/apl_1")
	if peer, errS, errC := shake(t, server, ClientTLS(fixed(box), "service")); peer != "appliance/apl_1" || errS != nil || errC != nil {
		t.Errorf("a member: seen as %q, %v, %v", peer, errS, errC)
	}
	for what, client := range map[string]*tls.Config{
		"a member of another authority":   ClientTLS(fixed(member(t, theirs, "appliance/apl_1")), "service"),
		"a member who wants another role": ClientTLS(fixed(box), "members"),
		"who joins another cluster":       JoinTLS(theirs.Fingerprint()),
	} {
		if peer, _, err := shake(t, server, client); err == nil || peer != "" && what != "a member who wants another role" {
			t.Errorf("%s: seen as %q, client's error %v, want a refusal", what, peer, err)
		}
	}
	if peer, errS, errC := shake(t, server, JoinTLS(ours.Fingerprint())); peer != "" || errS != nil || errC != nil {
		t.Errorf("who joins: seen as %q, %v, %v, want nobody and no error", peer, errS, errC)
	}
	if _, errS, errC := shake(t, ServerTLS(fixed(box)), ClientTLS(fixed(box), "service")); errC == nil {
		t.Errorf("an appliance that plays the service: %v, %v, want a refusal", errS, errC)
	}
}

func TestATokenLetsOneKeyJoinOnceOrAgainWhenTheAnswerWasLost(t *testing.T) {
	a := newTestAuthority(t)
	tokens := NewTokens(filepath.Join(t.TempDir(), "tokens.json"))
	text, err := tokens.Create(a, "appliance", joinDay, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	fp, secret, err := ParseJoin(text + "\n")
	if err != nil || fp != a.Fingerprint() {
		t.Fatalf("parse %q: %q, %v", text, fp, err)
	}
	path := filepath.Join(t.TempDir(), "id.pem")
	var requests []string
	for range 3 {
		id, err := OpenIdentity(path) // as after a restart
		if err != nil {
			t.Fatal(err)
		}
		r, err := id.Request()
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, r)
	}
	if _, err := tokens.Redeem(secret, requests[0], joinDay.Add(2*time.Hour)); !errors.Is(err, bijou.Denied) {
		t.Errorf("an ended token: got %v, want Denied", err)
	}
	for _, r := range requests {
		if role, err := tokens.Redeem(secret, r, joinDay); err != nil || role != "appliance" {
			t.Errorf("the same key again: got %q, %v", role, err)
		}
	}
	other, err := OpenIdentity(filepath.Join(t.TempDir(), "id.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := other.Request()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Redeem(secret, r, joinDay); !errors.Is(err, bijou.Denied) {
		t.Errorf("another key: got %v, want Denied", err)
	}
	if _, err := tokens.Redeem(strings.Repeat("0", 64), r, joinDay); !errors.Is(err, bijou.Denied) {
		t.Errorf("an unknown token: got %v, want Denied", err)
	}
	raw, err := os.ReadFile(tokens.path)
	if err != nil || strings.Contains(string(raw), secret) {
		t.Errorf("the file holds the secret itself, or cannot be read (%v)", err)
	}
}

func TestOfManyWhoUseATokenAtOnceOneJoins(t *testing.T) {
	a := newTestAuthority(t)
	tokens := NewTokens(filepath.Join(t.TempDir(), "tokens.json"))
	text, err := tokens.Create(a, "appliance", joinDay, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := ParseJoin(text)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	joined := 0
	for range 20 {
		id, err := OpenIdentity(filepath.Join(t.TempDir(), "id.pem"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := id.Request()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if _, err := tokens.Redeem(secret, r, joinDay); err == nil {
				mu.Lock()
				joined++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if joined != 1 {
		t.Errorf("%d joined, want 1", joined)
	}
}

func TestAnIdentityOutlivesARestartAndIsRenewedInTime(t *testing.T) {
	a := newTestAuthority(t)
	dir := t.TempDir()
	first, err := a.Member(dir, "service/up", joinDay)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Member(dir, "service/up", joinDay.Add(19*24*time.Hour))
	if err != nil || !again.cert.Equal(first.cert) || again.Name() != "service/up" {
		t.Errorf("after 19 days: another certificate, or %v", err)
	}
	later, err := a.Member(dir, "service/up", joinDay.Add(21*24*time.Hour))
	if err != nil || later.cert.Equal(first.cert) {
		t.Errorf("after 21 days: the same certificate, or %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "service-up.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity file: %v, %v, want mode 0600", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "service-up.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Member(dir, "service/up", joinDay); !errors.Is(err, bijou.Corrupt) {
		t.Errorf("a damaged file: got %v, want Corrupt", err)
	}
}

func TestTheAuthorityNamesMembersItselfAndSignsNothingOdd(t *testing.T) {
	a := newTestAuthority(t)
	id, err := OpenIdentity(filepath.Join(t.TempDir(), "id.pem"))
	if err != nil {
		t.Fatal(err)
	}
	request, err := id.Request()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "x", "a/b/c", "A/b", "a/ü", "a/", "/b", strings.Repeat("a", 99) + "/b"} {
		if _, err := a.Sign(request, name, joinDay); !errors.Is(err, bijou.Invalid) {
			t.Errorf("name %q: got %v, want Invalid", name, err)
		}
	}
	for _, r := range []string{"", "x", a.Certificate(), request[:len(request)/2]} {
		if _, err := a.Sign(r, "a/b", joinDay); !errors.Is(err, bijou.Invalid) {
			t.Errorf("request of %d bytes: got %v, want Invalid", len(r), err)
		}
	}
	cert, err := newTestAuthority(t).Sign(request, "a/b", joinDay)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := id.Accept(cert, a.Certificate()); !errors.Is(err, bijou.Invalid) {
		t.Errorf("a certificate of another authority: got %v, want Invalid", err)
	}
}

func FuzzParseJoin(f *testing.F) {
	f.Add(joinPrefix + strings.Repeat("a", 64) + "." + strings.Repeat("b", 64))
	f.Add("bijou-join-.")
	f.Fuzz(func(t *testing.T, text string) {
		fp, secret, err := ParseJoin(text)
		if (err == nil) != (strings.TrimSpace(text) == joinPrefix+fp+"."+secret && len(fp) == 64 && len(secret) == 64) {
			t.Errorf("%q: got %q, %q, %v", text, fp, secret, err)
		}
	})
}

func FuzzTokensFile(f *testing.F) {
	f.Add([]byte(`[{"hash":"a","role":"appliance","expires":"2030-01-01T00:00:00Z"}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "tokens.json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := NewTokens(path).load(time.Unix(0, 0))
		if err == nil != json.Valid(raw) && !errors.Is(err, bijou.Corrupt) {
			t.Errorf("%q: got %v, %v", raw, got, err)
		}
	})
}

func FuzzParsePair(f *testing.F) {
	raw, err := newAuthority(joinDay)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, _, err := parsePair(raw)
		if (key == nil) != (err != nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}
