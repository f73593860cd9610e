package signon_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/service/members/signon"
	"bijou/test/harness"

	"github.com/google/go-cmp/cmp"
)

// client is the service's side of the provider.
func client(p *harness.Provider) *signon.Provider {
	c := signon.DefaultConfig()
	c.Issuer, c.ClientID, c.ClientSecret = p.URL, "bijou", "s3cret"
	return signon.New(signon.Deps{Config: c, Redirect: p.Redirect, Now: func() time.Time { return p.Now }})
}

// begin goes to the provider and comes back.
func begin(t *testing.T, p *harness.Provider, s *signon.Provider) signon.Return {
	t.Helper()
	started, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, code := p.Authorize(started.Address)
	return signon.Return{State: state, Code: code, Binding: started.Binding}
}

func TestWhoSignsOnIsKnownByTheProvidersWord(t *testing.T) {
	p := harness.NewProvider(t)
	s := client(p)
	want := signon.Person{Issuer: p.URL, Subject: "4711", Name: "ada", Email: "ada@example.org", Groups: []string{"staff", "admins"}}
	check := func(what string, claims map[string]any, want signon.Person) {
		t.Helper()
		p.Claims = claims
		got, err := s.Finish(t.Context(), begin(t, p, s))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: got error %v, and (-want +got):\n%s", what, err, diff)
		}
	}
	check("an honest token", nil, want)
	one, unverified, bare := want, want, want
	one.Groups, unverified.Email = []string{"staff"}, ""
	bare.Groups, bare.Email, bare.Name = nil, "", ""
	check("one group as text", map[string]any{"groups": "staff"}, one)
	check("verified as text", map[string]any{"email_verified": "true"}, want)
	check("an address that is not verified", map[string]any{"email_verified": false}, unverified)
	check("an address of which nothing is said", map[string]any{"email_verified": nil}, unverified)
	check("nothing but the person", map[string]any{"groups": nil, "email": nil, "preferred_username": nil}, bare)
	check("for several services, made for this one", map[string]any{"aud": []string{"bijou", "other"}, "azp": "bijou"}, want)
	check("a clock that is half a minute behind", map[string]any{"exp": p.Now.Add(-30 * time.Second).Unix()}, want)
	check("a clock that is ahead", map[string]any{"iat": p.Now.Add(time.Minute).Unix(), "nbf": p.Now.Add(time.Minute).Unix()}, want)
	p.Rotate()
	check("a new key", nil, want)
}

func TestATokenThatDoesNotHoldIsRefused(t *testing.T) {
	part := func(token string, n int) string { return strings.Split(token, ".")[n] }
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	for name, c := range map[string]struct {
		claims map[string]any
		forge  func(string) string
		says   string
	}{
		"the nonce of another sign-on":     {map[string]any{"nonce": "other"}, nil, "nonce"},
		"no nonce":                         {map[string]any{"nonce": nil}, nil, "nonce"},
		"another service's":                {map[string]any{"aud": "other"}, nil, "audience"},
		"for several, made for another":    {map[string]any{"aud": []string{"bijou", "other"}, "azp": "other"}, nil, "another service"},
		"for several, nobody knows whose":  {map[string]any{"aud": []string{"bijou", "other"}}, nil, "another service"},
		"another provider's":               {map[string]any{"iss": "https://evil.example"}, nil, "different provider"},
		"expired":                          {map[string]any{"exp": int64(1)}, nil, "expired"},
		"expired more than the clocks may": {map[string]any{"exp": time.Date(2031, 3, 4, 11, 58, 59, 0, time.UTC).Unix()}, nil, "expired"},
		"not yet valid":                    {map[string]any{"nbf": time.Date(2031, 3, 4, 13, 0, 0, 0, time.UTC).Unix()}, nil, "nbf"},
		"of nobody":                        {map[string]any{"sub": ""}, nil, "nobody"},
		"no token":                         {nil, func(string) string { return "" }, "malformed"},
		"no JWT":                           {nil, func(string) string { return "a.b.c" }, "malformed"},
		"unsigned, with algorithm none":    {nil, func(s string) string { return none + "." + part(s, 1) + "." }, ""},
		"none, and the old signature":      {nil, func(s string) string { return none + "." + part(s, 1) + "." + part(s, 2) }, ""},
		"other claims under the signature": {nil, func(s string) string {
			b, _ := base64.RawURLEncoding.DecodeString(part(s, 1))
			return part(s, 0) + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), "4711", "4712", 1))) + "." + part(s, 2)
		}, "signature"},
	} {
		p := harness.NewProvider(t)
		p.Claims, p.Forge = c.claims, c.forge
		s := client(p)
		got, err := s.Finish(t.Context(), begin(t, p, s))
		if !errors.Is(err, bijou.Denied) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") || got.Subject != "" {
			t.Errorf("%s: got %+v, %v; want Denied with %q", name, got, err, c.says)
		}
	}
}

func TestATokenOfAKeyThatIsNotTheProvidersIsRefused(t *testing.T) {
	p, evil := harness.NewProvider(t), harness.NewProvider(t)
	p.Forge = func(string) string {
		evil.KeyID = p.KeyID
		return evil.Sign(map[string]any{"iss": p.URL, "sub": "4711", "aud": "bijou", "exp": p.Now.Add(time.Hour).Unix()})
	}
	s := client(p)
	if got, err := s.Finish(t.Context(), begin(t, p, s)); !errors.Is(err, bijou.Denied) {
		t.Errorf("got %+v, %v; want Denied", got, err)
	}
}

func TestASignOnIsFinishedOnceInTheBrowserThatBeganIt(t *testing.T) {
	p := harness.NewProvider(t)
	s := client(p)
	first := begin(t, p, s)
	if _, err := s.Finish(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, r signon.Return) {
		t.Helper()
		if got, err := s.Finish(t.Context(), r); !errors.Is(err, bijou.Denied) {
			t.Errorf("%s: got %+v, %v; want Denied", what, got, err)
		}
	}
	refused("the same again", first)
	replayed := begin(t, p, s)
	replayed.State = first.State
	refused("the state of another", replayed)
	r := begin(t, p, s)
	r.Binding = begin(t, p, s).Binding
	refused("another browser", r)
	r = begin(t, p, s)
	r.Binding = ""
	refused("no cookie", r)
	refused("nothing", signon.Return{})
	r = begin(t, p, s)
	r.Code = "code-unknown"
	refused("a code that the provider does not know", r)
	r = begin(t, p, s)
	r.Code, r.Error = "", "access_denied"
	refused("the person said no", r)
	r, other := begin(t, p, s), begin(t, p, s)
	r.Code = other.Code
	refused("the code of another sign-on", r)
	r = begin(t, p, s)
	p.Now = p.Now.Add(11 * time.Minute)
	refused("too late", r)
}

func TestAProviderThatIsDownIsNamedAndTriedAgain(t *testing.T) {
	p := harness.NewProvider(t)
	s := client(p)
	p.Down = true
	_, err := s.Start(t.Context())
	if !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), p.URL) || !strings.Contains(err.Error(), "sign in with a password") || strings.Contains(err.Error(), "\n") {
		t.Errorf("start: got %v, want Unavailable with the provider's address and what to do", err)
	}
	p.Down = false
	r := begin(t, p, s)
	p.Down = true
	if _, err := s.Finish(t.Context(), r); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("finish: got %v, want Unavailable", err)
	}
	p.Down = false
	if _, err := s.Finish(t.Context(), begin(t, p, s)); err != nil {
		t.Errorf("finish: got %v", err)
	}
	// A key that cannot be fetched is the provider's fault, and no reason to say that the token is wrong.
	r = begin(t, p, s)
	p.Rotate()
	p.Forge = func(token string) string { p.Down = true; return token }
	if _, err := s.Finish(t.Context(), r); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("finish without keys: got %v, want Unavailable", err)
	}
}

func TestAConfigurationThatNoProviderHasIsRefused(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"": true, "https://id.example.org": true, "https://id.example.org/realms/tv": true, "http://127.0.0.1:5556": true, "http://localhost/x": true,
		"http://id.example.org": false, "id.example.org": false, "https://": false, "https://id.example.org?x=1": false, "ftp://id.example.org": false,
	} {
		c := signon.DefaultConfig()
		c.Issuer, c.ClientID = issuer, "bijou"
		if err := c.Check(); (err == nil) != ok || err != nil && !errors.Is(err, bijou.Invalid) {
			t.Errorf("issuer %q: got %v, want it allowed: %v", issuer, err, ok)
		}
	}
	if err := (signon.Config{Issuer: "https://id.example.org"}).Check(); !errors.Is(err, bijou.Invalid) {
		t.Errorf("no client_id: got %v, want Invalid", err)
	}
}
