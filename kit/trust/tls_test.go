package trust

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"testing"
	"time"
)

// madeBy returns an identity whose certificate is made of the template, signed by the given certificate and key.
func madeBy(t *testing.T, template *x509.Certificate, by *Identity) *Identity {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	if by == nil {
		by = &Identity{key: key, cert: template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{key: key, cert: c, authority: by.cert}
}

// signedAt returns a member whose certificate was made at the time.
func signedAt(t *testing.T, a *Authority, name string, at time.Time) *Identity {
	t.Helper()
	i, err := a.Member(t.TempDir(), name, at)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// shown makes a client or server present what it has, though it trusts the authority.
func shown(a *Authority, i *Identity) func() *Identity {
	return fixed(&Identity{key: i.key, cert: i.cert, authority: a.cert})
}

func TestACertificateThatDoesNotHoldIsRefusedOnEitherSide(t *testing.T) {
	a, other := newTestAuthority(t), newTestAuthority(t)
	box := member(t, a, "appliance/apl_1")
	for what, make := range map[string]func(name string) *Identity{
		"ended":                            func(name string) *Identity { return signedAt(t, a, name, joinDay.Add(-31*24*time.Hour)) },
		"of a day to come":                 func(name string) *Identity { return signedAt(t, a, name, joinDay.Add(2*time.Hour)) },
		"of another authority":             func(name string) *Identity { return member(t, other, name) },
		"signed by itself":                 func(name string) *Identity { return madeBy(t, memberTemplate(name, joinDay), nil) },
		"signed by a member":               func(name string) *Identity { return madeBy(t, memberTemplate(name, joinDay), box) },
		"the authority's, but no member's": func(string) *Identity { return &Identity{key: a.key, cert: a.cert, authority: a.cert} },
		"of a member without the key": func(name string) *Identity {
			m := member(t, a, name)
			return &Identity{key: ecKey(t, elliptic.P256()), cert: m.cert, authority: m.authority}
		},
	} {
		server := ServerTLS(fixed(member(t, a, "service/up")))
		if peer, errS, _ := shake(t, server, ClientTLS(shown(a, make("appliance/apl_1")), "service")); errS == nil || peer != "" {
			t.Errorf("a client's certificate %s: seen as %q, %v, want a refusal", what, peer, errS)
		}
		bad := ServerTLS(shown(a, make("service/up")))
		if _, _, errC := shake(t, bad, ClientTLS(fixed(box), "service")); errC == nil {
			t.Errorf("a server's certificate %s: accepted by a member", what)
		}
		if _, _, errC := shake(t, bad, JoinTLS(a.Fingerprint())); errC == nil {
			t.Errorf("a server's certificate %s: accepted by one who joins", what)
		}
	}
}

func TestAClockThatIsLessThanAnHourBehindDoesNoHarm(t *testing.T) {
	a := newTestAuthority(t)
	ahead := joinDay.Add(30 * time.Minute)
	server := ServerTLS(fixed(signedAt(t, a, "service/up", ahead)))
	if peer, errS, errC := shake(t, server, ClientTLS(fixed(signedAt(t, a, "appliance/apl_1", ahead)), "service")); peer != "appliance/apl_1" || errS != nil || errC != nil {
		t.Errorf("seen as %q, %v, %v, want no refusal", peer, errS, errC)
	}
}

func TestOnlyOneWithRoleServiceIsJoined(t *testing.T) {
	a := newTestAuthority(t)
	if _, _, errC := shake(t, ServerTLS(fixed(member(t, a, "appliance/apl_1"))), JoinTLS(a.Fingerprint())); errC == nil {
		t.Error("one who joins was led to an appliance that plays the service")
	}
}

func TestOnlyTLS13IsSpoken(t *testing.T) {
	a := newTestAuthority(t)
	server := ServerTLS(fixed(member(t, a, "service/up")))
	old := JoinTLS(a.Fingerprint())
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, errS, _ := shake(t, server, old); errS == nil {
		t.Error("a client of TLS 1.2 was served")
	}
	server.MinVersion, server.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for what, client := range map[string]*tls.Config{"a member": ClientTLS(fixed(member(t, a, "appliance/apl_1")), "service"), "one who joins": JoinTLS(a.Fingerprint())} {
		if _, _, errC := shake(t, server, client); errC == nil {
			t.Errorf("%s spoke TLS 1.2", what)
		}
	}
}

func TestWithoutACertificateNobodyServesOrCalls(t *testing.T) {
	a := newTestAuthority(t)
	box := member(t, a, "appliance/apl_1")
	for what, none := range map[string]*Identity{"one that has not joined": stranger(t), "none at all": nil} {
		if _, errS, errC := shake(t, ServerTLS(fixed(none)), ClientTLS(fixed(box), "service")); errS == nil || errC == nil {
			t.Errorf("a server with %s: %v, %v, want a refusal", what, errS, errC)
		}
		if peer, _, errC := shake(t, ServerTLS(fixed(member(t, a, "service/up"))), ClientTLS(fixed(none), "service")); errC == nil {
			t.Errorf("a client with %s: seen as %q, want a refusal", what, peer)
		}
	}
	if got := Peer(nil) + Peer(&tls.ConnectionState{}); got != "" {
		t.Errorf("no connection is of %q", got)
	}
}

func TestARenewedCertificateIsShownByConnectionsMadeLater(t *testing.T) {
	a := newTestAuthority(t)
	var identity atomic.Pointer[Identity]
	first := member(t, a, "appliance/apl_1")
	identity.Store(first)
	server, client := ServerTLS(fixed(member(t, a, "service/up"))), ClientTLS(identity.Load, "service")
	var seen []string
	verify := server.VerifyConnection
	server.VerifyConnection = func(c tls.ConnectionState) error {
		seen = append(seen, fingerprint(c.PeerCertificates[0]))
		return verify(c)
	}
	for turn := range 2 {
		if peer, errS, errC := shake(t, server, client); peer != "appliance/apl_1" || errS != nil || errC != nil {
			t.Fatalf("turn %d: seen as %q, %v, %v", turn, peer, errS, errC)
		}
		answer, err := a.Renew("appliance/apl_1", requestOf(t, identity.Load()), joinDay)
		if err != nil {
			t.Fatal(err)
		}
		next, err := identity.Load().Accept(answer.Certificate, answer.Authority)
		if err != nil {
			t.Fatal(err)
		}
		identity.Store(next)
	}
	if len(seen) != 2 || seen[0] != fingerprint(first.cert) || seen[1] == seen[0] {
		t.Errorf("the server saw %q, want the first certificate, then another", seen)
	}
}
