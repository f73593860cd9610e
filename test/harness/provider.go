package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Provider is an OpenID Connect provider that signs real tokens, and lies where a test tells it to.
type Provider struct {
	*httptest.Server
	t testing.TB

	Claims   map[string]any            // that differ from an honest token's; nil takes one out
	Forge    func(token string) string // what is given in place of a token
	Now      time.Time                 // by its clock
	Down     bool                      // it answers with an error alone
	KeyID    string
	Redirect string // where it sends browsers back to

	mu    sync.Mutex
	key   *ecdsa.PrivateKey
	codes map[string]url.Values // by code: what the browser came with
}

// NewProvider starts one, which ends with the test. Its clock stands at noon of a day in 2031.
func NewProvider(t testing.TB) *Provider {
	p := &Provider{t: t, codes: map[string]url.Values{}, Claims: map[string]any{}, Redirect: "https://tv.example.org/operate/signed-on", Now: time.Date(2031, 3, 4, 12, 0, 0, 0, time.UTC)}
	p.Rotate()
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.Down {
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
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.KeyID, Algorithm: "ES256", Use: "sig"}}}
	})
	answer("POST /token", p.token)
	return p
}

// Rotate has it sign with a new key from now on.
func (p *Provider) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key, p.KeyID = key, fmt.Sprintf("key-%s", p.KeyID)
}

// Authorize is what happens at the provider's page: the person agrees, and the browser comes back with state and code.
func (p *Provider) Authorize(address string) (state, code string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme+"://"+u.Host+u.Path != p.URL+"/authorize" {
		p.t.Fatalf("the browser is sent to %q, %v", address, err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"client_id": "bijou", "response_type": "code", "scope": "openid profile email", "code_challenge_method": "S256", "redirect_uri": p.Redirect,
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

func (p *Provider) token(r *http.Request) any {
	asked, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	id, secret, _ := r.BasicAuth()
	if !ok || id != "bijou" || secret != "s3cret" || base64.RawURLEncoding.EncodeToString(challenge[:]) != asked.Get("code_challenge") ||
		r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
		return map[string]string{"error": "invalid_grant"}
	}
	claims := map[string]any{
		"iss": p.URL, "sub": "4711", "aud": "bijou", "nonce": asked.Get("nonce"), "iat": p.Now.Unix(), "exp": p.Now.Add(5 * time.Minute).Unix(),
		"email": "ada@example.org", "email_verified": true, "preferred_username": "ada", "groups": []string{"staff", "admins"},
	}
	maps.Copy(claims, p.Claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token := p.Sign(claims)
	if p.Forge != nil {
		token = p.Forge(token)
	}
	return map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": token}
}

// Sign returns a token with the claims.
func (p *Provider) Sign(claims map[string]any) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: p.KeyID}}, nil)
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
