package trust

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	gun := make(chan struct{})
	for range 50 {
		r := requestOf(t, stranger(t))
		wg.Go(func() {
			<-gun
			if _, err := tokens.Redeem(secret, r, joinDay); err == nil {
				mu.Lock()
				joined++
				mu.Unlock()
			}
		})
	}
	close(gun)
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

// issued returns tokens with one in them, and its secret.
func issued(t *testing.T, a *Authority, term time.Duration) (*Tokens, string) {
	t.Helper()
	tokens := NewTokens(filepath.Join(t.TempDir(), "tokens.json"))
	text, err := tokens.Create(a, "appliance", joinDay, term)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := ParseJoin(text)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, secret
}

func TestATokenLetsOneMemberJoinUnderOneName(t *testing.T) {
	a := newTestAuthority(t)
	tokens, secret := issued(t, a, time.Hour)
	id := stranger(t)
	for range 2 { // the answer may be lost
		answer, err := a.Admit(tokens, JoinRequest{secret, requestOf(t, id), "apl_1"}, joinDay)
		if err != nil {
			t.Fatal(err)
		}
		if joined, err := id.Accept(answer.Certificate, answer.Authority); err != nil || joined.Name() != "appliance/apl_1" {
			t.Errorf("got %v, want a certificate of appliance/apl_1", err)
		}
	}
	if _, err := a.Admit(tokens, JoinRequest{secret, requestOf(t, id), "apl_2"}, joinDay); !errors.Is(err, bijou.Denied) {
		t.Errorf("the same key under another name: got %v, want Denied", err)
	}
	if _, err := a.Renew("", requestOf(t, id), joinDay); !errors.Is(err, bijou.Denied) {
		t.Errorf("nobody renews: got %v, want Denied", err)
	}
}

func TestARequestThatNothingCanBeMadeOfUsesNoTokenUp(t *testing.T) {
	a := newTestAuthority(t)
	tokens, secret := issued(t, a, time.Hour)
	for what, r := range oddRequests(t) {
		if _, err := tokens.Redeem(secret, r, joinDay); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: got %v, want Invalid", what, err)
		}
	}
	for _, id := range []string{"", "a/b", "A", "../x", strings.Repeat("a", 95)} {
		if _, err := a.Admit(tokens, JoinRequest{secret, requestOf(t, stranger(t)), id}, joinDay); !errors.Is(err, bijou.Invalid) {
			t.Errorf("identifier %q: got %v, want Invalid", id, err)
		}
	}
	if _, err := a.Admit(tokens, JoinRequest{secret, requestOf(t, stranger(t)), "apl_1"}, joinDay); err != nil {
		t.Errorf("a good request after all these: got %v, want a certificate", err)
	}
}

func TestATokenEndsOnTimeAndIsForgotten(t *testing.T) {
	a := newTestAuthority(t)
	tokens, secret := issued(t, a, time.Hour)
	r := requestOf(t, stranger(t))
	if _, err := tokens.Redeem(secret, r, joinDay.Add(time.Hour)); !errors.Is(err, bijou.Denied) {
		t.Errorf("at its end: got %v, want Denied", err)
	}
	if _, err := tokens.Redeem(secret, r, joinDay.Add(time.Hour-1)); err != nil {
		t.Errorf("just before: %v", err)
	}
	if _, err := tokens.Create(a, "appliance", joinDay.Add(2*time.Hour), time.Hour); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(tokens.path)
	if err != nil || strings.Contains(string(raw), HashToken(secret)) {
		t.Errorf("the file keeps a token that has ended, or %v", err)
	}
	for _, term := range []time.Duration{0, -time.Second} {
		if _, err := tokens.Create(a, "appliance", joinDay, term); !errors.Is(err, bijou.Invalid) {
			t.Errorf("a term of %s: got %v, want Invalid", term, err)
		}
	}
}

// A kill amid a write must leave the file as it was: what is written is a new file, which then takes the name.
func TestAFileIsReplacedAndNeverWrittenInto(t *testing.T) {
	a := newTestAuthority(t)
	tokens, secret := issued(t, a, time.Hour)
	id := stranger(t)
	request := requestOf(t, id)
	answer, err := a.Renew("appliance/apl_1", request, joinDay)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		path   string
		change func() error
	}{
		"a token is used": {tokens.path, func() error {
			_, err := tokens.Redeem(secret, request, joinDay)
			return err
		}},
		"a certificate comes": {id.path, func() error {
			_, err := id.Accept(answer.Certificate, answer.Authority)
			return err
		}},
	} {
		old := filepath.Join(t.TempDir(), "old")
		if err := os.Link(c.path, old); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		after, errAfter := os.ReadFile(c.path)
		kept, errKept := os.ReadFile(old)
		if string(kept) != string(before) || string(after) == string(before) || errAfter != nil || errKept != nil {
			t.Errorf("%s: the old file was written into, or nothing was written (%v, %v)", what, errAfter, errKept)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(c.path), ".secret-*")); err != nil || len(left) != 0 {
			t.Errorf("%s: left over: %v (%v)", what, left, err)
		}
	}
}

func TestTokensAreBoundedAndTheirFileHoldsThemAll(t *testing.T) {
	a := newTestAuthority(t)
	tokens := NewTokens(filepath.Join(t.TempDir(), "tokens.json"))
	hash := HashToken("x")
	name := "appliance/" + strings.Repeat("x", 100-len("appliance/"))
	full := slices.Repeat([]joinToken{{Hash: hash, Role: "appliance", Expires: joinDay.Add(time.Hour), Key: hash, Name: name}}, maxTokens)
	if err := tokens.save(full); err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.load(joinDay); err != nil || len(got) != maxTokens {
		t.Errorf("got %d tokens, %v, want all of the longest", len(got), err)
	}
	if _, err := tokens.Create(a, "appliance", joinDay, time.Hour); !errors.Is(err, bijou.Exhausted) {
		t.Errorf("one more: got %v, want Exhausted", err)
	}
	if _, err := tokens.Create(a, "appliance", joinDay.Add(time.Hour), time.Hour); err != nil {
		t.Errorf("when they have ended: got %v, want a token", err)
	}
}

func TestATokensFileThatIsNoneIsSaidSo(t *testing.T) {
	for what, c := range map[string]struct {
		raw  string
		mode os.FileMode
		want bijou.Kind
	}{
		"others can read it": {"[]", 0o644, bijou.Denied},
		"cut off":            {`[{"hash":"`, 0o600, bijou.Corrupt},
		"no hash":            {`[{"hash":"x","role":"appliance","expires":"2100-01-01T00:00:00Z"}]`, 0o600, bijou.Corrupt},
		"no role":            {`[{"hash":"` + HashToken("x") + `","expires":"2100-01-01T00:00:00Z"}]`, 0o600, bijou.Corrupt},
		"far too long":       {"[]" + strings.Repeat(" ", maxTokensFile), 0o600, bijou.Corrupt},
	} {
		path := filepath.Join(t.TempDir(), "tokens.json")
		if err := os.WriteFile(path, []byte(c.raw), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := NewTokens(path).Create(newTestAuthority(t), "appliance", joinDay, time.Hour); bijou.KindOf(err) != c.want || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %s, and the file named", what, err, c.want)
		}
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
	hash := HashToken("x")
	for _, seed := range []string{
		"", "[]", "null", `[{"hash":"a","role":"appliance","expires":"2030-01-01T00:00:00Z"}]`,
		`[{"hash":"` + hash + `","role":"appliance","expires":"2030-01-01T00:00:00Z","key":"` + hash + `","name":"appliance/apl_1"}]`,
		`[{"hash":"` + hash + `","role":"../x","expires":"2030-01-01T00:00:00Z"}]`, `[{"hash":"` + hash + `","role":"a","name":"b/c"}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := parseTokens(raw)
		if err != nil {
			return
		}
		for _, x := range all {
			if x.check() != nil || len(x.Hash) != 64 || x.Role == "" {
				t.Errorf("%q: got token %+v", raw, x)
			}
		}
		again, err := json.Marshal(all)
		if err != nil {
			return // a year that JSON cannot say is none that was written
		}
		if got, err := parseTokens(again); err != nil || len(got) != len(all) {
			t.Errorf("%q: read, written and read again: %d tokens of %d, %v", raw, len(got), len(all), err)
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
