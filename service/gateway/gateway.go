// Package gateway is the one door: it finds out who asks, keeps forged headers out, and hands each request to the room that answers it
// or to the member site.
package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/watch"
)

// Deps are what the room works with.
type Deps struct {
	Sessions      bijou.Sessions
	Operators     bijou.Operators
	API           http.Handler // the rooms' public methods
	Site          fs.FS        // the built member site, index.html at its root
	OpenAPI       []byte       // the document at /api/v1/openapi.json
	OperatorToken string       // who sends it is the local administrator
	SessionCookie string       // name of the cookie that carries a member's session token
	NewCookie     func(token string, expires time.Time, secure bool) *http.Cookie
	Collector     string // path at which players report that were loaded from other sites too
	Config        Config
}

// Service is the door.
type Service struct {
	Deps
	operator [sha256.Size]byte
	site     *site
	origins  *http.CrossOriginProtection
	proxies  []netip.Prefix // who is believed about the client
}

// New assembles the room.
func New(d Deps) *Service {
	return &Service{
		Deps:     d,
		operator: sha256.Sum256([]byte(d.OperatorToken)),
		site:     newSite(d.Site),
		origins:  http.NewCrossOriginProtection(),
		proxies:  d.Config.proxies(),
	}
}

// policy is the site's content security policy (CSP level 3): nothing but the service itself, what a player makes in memory, and appliances, which
// may be anywhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: http: https:; " +
	"connect-src 'self' http: https:; font-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// ServeHTTP answers every request but those for segments, which go to appliances.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", policy)
	// What the rooms trust comes from here alone.
	for name := range r.Header {
		if strings.HasPrefix(name, "Bijou-") {
			r.Header.Del(name)
		}
	}
	switch {
	case r.URL.Path == "/api/v1/openapi.json":
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-cache")
		w.Write(s.OpenAPI) // the client may have gone; nobody is left to tell
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.api(w, r)
	default:
		s.site.ServeHTTP(w, r)
	}
}

// api finds out who asks and hands the request on.
func (s *Service) api(w http.ResponseWriter, r *http.Request) {
	switch foreign := s.origins.Check(r) != nil; {
	case r.URL.Path == s.Collector:
		if s.collect(w, r, foreign) {
			return
		}
	case foreign:
		rpc.WriteProblem(w, r, fmt.Errorf("the request comes from another site: use the service's own page: %w", bijou.Denied))
		return
	}
	address, secure := s.client(r)
	caller, err := s.caller(w, r, secure)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	caller.Address, caller.Secure, caller.Host = address, secure, hostOf(r.Host)
	b, err := json.Marshal(caller)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	r.Header.Set(rpc.CallerHeader, string(b))
	w.Header().Set("Cache-Control", "no-store") // a method that may be cached says so itself
	s.API.ServeHTTP(w, r)
}

// collect lets players report that were loaded from another site (Fetch standard, section 3.3). Whatever the browser sends along, they do so as guests. It
// returns true where the request was a browser's question whether it may, which is answered.
func (s *Service) collect(w http.ResponseWriter, r *http.Request, foreign bool) (answered bool) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if foreign {
		r.Header.Del("Cookie")
	}
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", http.MethodPost)
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// hostOf returns the host of a Host header without its port, as it can stand in an address; nothing where it is no host.
func hostOf(header string) string {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Is6() {
			return "[" + ip.WithZone("").String() + "]"
		}
		return ip.String()
	}
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" || len(host) > 253 {
		return ""
	}
	return host
}

// caller finds out who asks: a bearer token must hold, while a cookie that does not leaves a guest, who can then sign in anew.
func (s *Service) caller(w http.ResponseWriter, r *http.Request, secure bool) (bijou.Caller, error) {
	if token, ok := bearer(r); ok {
		sum := sha256.Sum256([]byte(token))
		if s.OperatorToken != "" && subtle.ConstantTimeCompare(sum[:], s.operator[:]) == 1 {
			return bijou.LocalCaller, nil
		}
		if strings.HasPrefix(token, bijou.ProgramTokenPrefix) {
			return s.Operators.AuthenticateOperator(r.Context(), token, bijou.TokenProgram)
		}
		return s.Sessions.Authenticate(r.Context(), token)
	}
	caller, err := whose(r, s.SessionCookie, s.Sessions.Authenticate)
	if err != nil {
		return caller, err
	}
	if caller.Stale {
		s.rotate(w, r, secure)
	}
	operator, err := whose(r, rpc.OperatorCookie, func(ctx context.Context, token string) (bijou.Caller, error) {
		return s.Operators.AuthenticateOperator(ctx, token, bijou.TokenSession)
	})
	caller.Operator, caller.OperatorName, caller.Role, caller.OperatorToken = operator.Operator, operator.OperatorName, operator.Role, operator.OperatorToken
	return caller, err
}

// whose returns the caller whom the cookie's token belongs to: a guest where it holds no more, or there is none.
func whose(r *http.Request, cookie string, authenticate func(context.Context, string) (bijou.Caller, error)) (bijou.Caller, error) {
	c, err := r.Cookie(cookie)
	if err != nil || c.Value == "" {
		return bijou.Caller{}, nil
	}
	caller, err := authenticate(r.Context(), c.Value)
	if errors.Is(err, bijou.Denied) {
		return bijou.Caller{}, nil
	}
	return caller, err
}

// rotate gives the browser a newer token. Where that fails the old one holds, and the next request tries again.
func (s *Service) rotate(w http.ResponseWriter, r *http.Request, secure bool) {
	cookie, err := r.Cookie(s.SessionCookie)
	if err != nil {
		return
	}
	renewed, err := s.Sessions.Rotate(r.Context(), cookie.Value)
	switch {
	case err == nil:
		http.SetCookie(w, s.NewCookie(renewed.Token, renewed.Expires, secure))
	case !errors.Is(err, bijou.Conflict): // another request of the same browser was first
		watch.Note(r.Context(), err)
	}
}

// bearer returns the token of the Authorization header. The scheme's name has no case (RFC 9110 section 11.1).
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}
