// Package gateway is the one door: it finds out who asks, keeps forged headers out, and hands each request to the room that answers it
// or to the member site.
package gateway

import (
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
	API           http.Handler // the rooms' public methods
	Site          fs.FS        // the built member site, index.html at its root
	OpenAPI       []byte       // the document at /api/v1/openapi.json
	OperatorToken string       // who sends it is an operator
	SessionCookie string       // name of the cookie that carries a session token
	NewCookie     func(token string, expires time.Time, secure bool) *http.Cookie
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
	if err := s.origins.Check(r); err != nil {
		rpc.WriteProblem(w, r, fmt.Errorf("the request comes from another site: use the service's own page: %w", bijou.Denied))
		return
	}
	address, client, secure := s.client(r)
	caller, err := s.caller(w, r, secure)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	caller.Address, caller.Client, caller.Secure, caller.Host = address, client, secure, hostOf(r.Host)
	b, err := json.Marshal(caller)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	r.Header.Set(rpc.CallerHeader, string(b))
	w.Header().Set("Cache-Control", "no-store") // a method that may be cached says so itself
	s.API.ServeHTTP(w, r)
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
			return bijou.Caller{Operator: true}, nil
		}
		return s.Sessions.Authenticate(r.Context(), token)
	}
	cookie, err := r.Cookie(s.SessionCookie)
	if err != nil || cookie.Value == "" {
		return bijou.Caller{}, nil
	}
	caller, err := s.Sessions.Authenticate(r.Context(), cookie.Value)
	if errors.Is(err, bijou.Denied) {
		return bijou.Caller{}, nil
	}
	if err == nil && caller.Stale {
		s.rotate(w, r, cookie.Value, secure)
	}
	return caller, err
}

// rotate gives the browser a newer token. Where that fails the old one holds, and the next request tries again.
func (s *Service) rotate(w http.ResponseWriter, r *http.Request, token string, secure bool) {
	renewed, err := s.Sessions.Rotate(r.Context(), token)
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
