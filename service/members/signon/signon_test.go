package signon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/service/members/signon"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// provider is an OpenID Connect provider that signs real tokens, and lies where a test tells it to.
type provider struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	keyID  string
	codes  map[string]url.Values // by code: what the browser came with
	claims map[string]any        // that differ from an honest token's; nil takes one out
	forge  func(token string) string
	now    time.Time
	down   bool
}

func newProvider(t *testing.T) *provider {
	p := &provider{t: t, codes: map[string]url.Values{}, claims: map[string]any{}, now: time.Date(2031, 3, 4, 12, 0, 0, 0, time.UTC)}
	p.rotate()
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down {
			http.Error(w, "<html>down for\nrepair</html>", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	answer := func(path string, f func(r *http.Request) any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			p.mu.Lock()
			defer p.mu.Unlock()
			out := f(r)
			w.Header().Set("Content-Type", "application/json")
			if refused, ok := out.(map[string]string); ok && refused["error"] != "" {
				w.WriteHeader(http.StatusBadRequest)
			}
			if err := json.NewEncoder(w).Encode(out); err != nil {
				t.Error(err)
			}
		})
	}
	answer("GET /.well-known/openid-configuration", func(*http.Request) any {
		return map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256", "none"}, "subject_types_supported": []string{"public"}, "response_types_supported": []string{"code"},
		}
	})
	answer("GET /keys", func(*http.Request) any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.keyID, Algorithm: "ES256", Use: "sig"}}}
	})
	answer("POST /token", p.token)
	return p
}

func (p *provider) rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key, p.keyID = key, fmt.Sprintf("key-%s", p.keyID)
}

// authorize is what happens at the provider's page: the person agrees, and the browser comes back with state and code.
func (p *provider) authorize(address string) (state, code string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme+"://"+u.Host+u.Path != p.URL+"/authorize" {
		p.t.Fatalf("the browser is sent to %q, %v", address, err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"client_id": "bijou", "response_type": "code", "scope": "openid profile email", "code_challenge_method": "S256", "redirect_uri": "https://tv.example.org/operate/signed-on",
	} {
		if q.Get(name) != want {
			p.t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code = fmt.Sprintf("code-%d", len(p.codes))
	p.codes[code] = q
	return q.Get("state"), code
}

func (p *provider) token(r *http.Request) any {
	asked, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	id, secret, _ := r.BasicAuth()
	if !ok || id != "bijou" || secret != "s3cret" || base64.RawURLEncoding.EncodeToString(challenge[:]) != asked.Get("code_challenge") ||
		r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
		return map[string]string{"error": "invalid_grant"}
	}
	claims := map[string]any{
		"iss": p.URL, "sub": "4711", "aud": "bijou", "nonce": asked.Get("nonce"), "iat": p.now.Unix(), "exp": p.now.Add(5 * time.Minute).Unix(),
		"email": "ada@example.org", "email_verified": true, "preferred_username": "ada", "groups": []string{"staff", "admins"},
	}
	maps.Copy(claims, p.claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token := p.sign(claims)
	if p.forge != nil {
		token = p.forge(token)
	}
	return map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": token}
}

func (p *provider) sign(claims map[string]any) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: p.keyID}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := s.Sign(b)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *provider) client() *signon.Provider {
	c := signon.DefaultConfig()
	c.Issuer, c.ClientID, c.ClientSecret = p.URL, "bijou", "s3cret"
	return signon.New(signon.Deps{Config: c, Redirect: "https://tv.example.org/operate/signed-on", Now: func() time.Time { return p.now }})
}

// begin goes to the provider and comes back.
func (p *provider) begin(s *signon.Provider) signon.Return {
	p.t.Helper()
	started, err := s.Start(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	state, code := p.authorize(started.Address)
	return signon.Return{State: state, Code: code, Binding: started.Binding}
}

func TestWhoSignsOnIsKnownByTheProvidersWord(t *testing.T) {
	p := newProvider(t)
	s := p.client()
	want := signon.Person{Issuer: p.URL, Subject: "4711", Name: "ada", Email: "ada@example.org", Groups: []string{"staff", "admins"}}
	check := func(what string, claims map[string]any, want signon.Person) {
		t.Helper()
		p.claims = claims
		got, err := s.Finish(t.Context(), p.begin(s))
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
	check("a clock that is half a minute behind", map[string]any{"exp": p.now.Add(-30 * time.Second).Unix()}, want)
	check("a clock that is ahead", map[string]any{"iat": p.now.Add(time.Minute).Unix(), "nbf": p.now.Add(time.Minute).Unix()}, want)
	p.rotate()
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
		p := newProvider(t)
		p.claims, p.forge = c.claims, c.forge
		s := p.client()
		got, err := s.Finish(t.Context(), p.begin(s))
		if !errors.Is(err, bijou.Denied) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") || got.Subject != "" {
			t.Errorf("%s: got %+v, %v; want Denied with %q", name, got, err, c.says)
		}
	}
}

func TestATokenOfAKeyThatIsNotTheProvidersIsRefused(t *testing.T) {
	p, evil := newProvider(t), newProvider(t)
	p.forge = func(string) string {
		evil.keyID = p.keyID
		return evil.sign(map[string]any{"iss": p.URL, "sub": "4711", "aud": "bijou", "exp": p.now.Add(time.Hour).Unix()})
	}
	s := p.client()
	if got, err := s.Finish(t.Context(), p.begin(s)); !errors.Is(err, bijou.Denied) {
		t.Errorf("got %+v, %v; want Denied", got, err)
	}
}

func TestASignOnIsFinishedOnceInTheBrowserThatBeganIt(t *testing.T) {
	p := newProvider(t)
	s := p.client()
	first := p.begin(s)
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
	replayed := p.begin(s)
	replayed.State = first.State
	refused("the state of another", replayed)
	r := p.begin(s)
	r.Binding = p.begin(s).Binding
	refused("another browser", r)
	r = p.begin(s)
	r.Binding = ""
	refused("no cookie", r)
	refused("nothing", signon.Return{})
	r = p.begin(s)
	r.Code = "code-unknown"
	refused("a code that the provider does not know", r)
	r = p.begin(s)
	r.Code, r.Error = "", "access_denied"
	refused("the person said no", r)
	r, other := p.begin(s), p.begin(s)
	r.Code = other.Code
	refused("the code of another sign-on", r)
	r = p.begin(s)
	p.now = p.now.Add(11 * time.Minute)
	refused("too late", r)
}

func TestAProviderThatIsDownIsNamedAndTriedAgain(t *testing.T) {
	p := newProvider(t)
	s := p.client()
	p.down = true
	_, err := s.Start(t.Context())
	if !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), p.URL) || !strings.Contains(err.Error(), "sign in with name and password") || strings.Contains(err.Error(), "\n") {
		t.Errorf("start: got %v, want Unavailable with the provider's address and what to do", err)
	}
	p.down = false
	r := p.begin(s)
	p.down = true
	if _, err := s.Finish(t.Context(), r); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("finish: got %v, want Unavailable", err)
	}
	p.down = false
	if _, err := s.Finish(t.Context(), p.begin(s)); err != nil {
		t.Errorf("finish: got %v", err)
	}
	// A key that cannot be fetched is the provider's fault, and no reason to say that the token is wrong.
	r = p.begin(s)
	p.rotate()
	p.forge = func(token string) string { p.down = true; return token }
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
