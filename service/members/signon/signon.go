// Package signon lets people in by way of an OpenID Connect provider: another service that knows them already.
//
// It holds the protocol alone (OpenID Connect Core 1.0, section 3.1, with PKCE, RFC 7636): Start sends the browser to the provider, Finish
// takes what it comes back with and says who it is. What that person may do here is for who asks.
package signon

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/kit/trust"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Config says which provider, and who the service is there.
type Config struct {
	Issuer       string `yaml:"issuer" doc:"Address of the OpenID Connect provider, such as https://id.example.org; empty means no sign-on by one."`
	ClientID     string `yaml:"client_id" doc:"What the provider calls this service."`
	ClientSecret string `yaml:"client_secret" secret:"true" doc:"The service's secret at the provider; empty where it has none."`
	GroupsClaim  string `yaml:"groups_claim" doc:"Claim of the ID token that lists the person's groups."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config { return Config{GroupsClaim: "groups"} }

// On tells whether there is a provider.
func (c Config) On() bool { return c.Issuer != "" }

// Check refuses, as Invalid, what no provider has.
func (c Config) Check() error {
	if !c.On() {
		return nil
	}
	var wrong conf.Errors
	wrong.Add(isIssuer(c.Issuer), "issuer is %q: write the provider's address, such as https://id.example.org", c.Issuer)
	wrong.Add(c.ClientID != "", "client_id is empty: write what the provider calls this service")
	return wrong.Err()
}

// isIssuer tells whether s is an address that a provider can have: over TLS, unless it is on this machine.
func isIssuer(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

// loopback tells whether what is sent to the host stays on this machine.
func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// HostOf is what people call the provider that has the address: its host.
func HostOf(issuer string) string {
	if u, err := url.Parse(issuer); err == nil {
		return u.Host
	}
	return issuer
}

// Deps are what a Provider works with.
type Deps struct {
	Config   Config
	Redirect string // address of the service's own page that the browser comes back to; registered at the provider
	Now      func() time.Time
}

// Provider is the service's side of one provider.
type Provider struct {
	Deps
	http *http.Client

	mu      sync.Mutex
	found   *oidc.Provider
	foundAt time.Time
	pending map[string]pending // by state
}

// pending is a sign-on that has begun.
type pending struct {
	nonce, verifier, binding string
	begun                    time.Time
}

const (
	// patience is how long the provider may take for an answer.
	patience = 10 * time.Second
	// discovered is how long what the provider says of itself is believed. Its keys are asked for again as soon as one is new.
	discovered = time.Hour
	// term is how long a person has to sign on.
	term = 10 * time.Minute
	// maxPending bounds the sign-ons that have begun; the oldest goes first.
	maxPending = 10_000
	// skew is how far the provider's clock may be from this one.
	skew = time.Minute
	// maxAnswer bounds an answer of the provider, in bytes.
	maxAnswer = 1 << 20
	// maxGroups bounds the groups that are read.
	maxGroups = 1000
)

// New assembles a Provider. It asks nothing of the provider yet.
func New(d Deps) *Provider {
	return &Provider{Deps: d, http: &http.Client{Timeout: patience, Transport: bounded{http.DefaultTransport}}, pending: map[string]pending{}}
}

// bounded reads no more of an answer than any provider has to say.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

// Started is a sign-on that has begun.
type Started struct {
	Address string // that the browser goes to
	Binding string // that the same browser has to show at the end
	Expires time.Time
}

// Start begins a sign-on. It fails with Unavailable where the provider does not answer.
func (p *Provider) Start(ctx context.Context) (Started, error) {
	provider, err := p.provider(ctx)
	if err != nil {
		return Started{}, err
	}
	now, state := p.Now(), trust.NewToken()
	begun := pending{nonce: trust.NewToken(), verifier: oauth2.GenerateVerifier(), binding: trust.NewToken(), begun: now}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy(now)
	p.pending[state] = begun
	address := p.client(provider).AuthCodeURL(state, oidc.Nonce(begun.nonce), oauth2.S256ChallengeOption(begun.verifier))
	return Started{Address: address, Binding: begun.binding, Expires: now.Add(term)}, nil
}

// tidy drops what took too long, and the oldest where there are too many.
func (p *Provider) tidy(now time.Time) {
	oldest, at := "", time.Time{}
	for state, x := range p.pending {
		if now.Sub(x.begun) > term {
			delete(p.pending, state)
		} else if oldest == "" || x.begun.Before(at) {
			oldest, at = state, x.begun
		}
	}
	if len(p.pending) >= maxPending {
		delete(p.pending, oldest)
	}
}

// client is the service as the provider knows it.
func (p *Provider) client(provider *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.Config.ClientID, ClientSecret: p.Config.ClientSecret, Endpoint: provider.Endpoint(), RedirectURL: p.Redirect,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
}

// provider returns what the provider says of itself, asking where that is not known yet or was long ago.
func (p *Provider) provider(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	found, at := p.found, p.foundAt
	p.mu.Unlock()
	if found != nil && p.Now().Sub(at) < discovered {
		return found, nil
	}
	fresh, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.Config.Issuer)
	if err != nil {
		return nil, p.away(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found, p.foundAt = fresh, p.Now()
	return fresh, nil
}

func (p *Provider) away(err error) error {
	return fmt.Errorf("the sign-on provider %s does not answer as it should (%s): sign in with a password, or try again later: %w",
		p.Config.Issuer, oneLine(err), bijou.Unavailable)
}

// oneLine returns what a library says, fit for a sentence: a provider's page may be in it.
func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

// Return is what the browser comes back with.
type Return struct {
	State, Code string
	Error       string // that the provider gives instead of a code (RFC 6749 section 4.1.2.1)
	Binding     string // of the browser that began
}

// Person is who signed on.
type Person struct {
	Issuer  string
	Subject string // the provider's own name for the person, which never changes
	Name    string // that the person has chosen, or nothing
	Email   string // that the provider has verified, or nothing
	Groups  []string
}

// Finish ends a sign-on, which can be done once. It fails with Denied where the provider or the token says no, and with Unavailable where the
// provider does not answer.
func (p *Provider) Finish(ctx context.Context, r Return) (Person, error) {
	begun, ok := p.take(r.State)
	if !ok || subtle.ConstantTimeCompare([]byte(begun.binding), []byte(r.Binding)) != 1 {
		return Person{}, fmt.Errorf("this sign-on was not begun in this browser, is finished, or took too long: begin again: %w", bijou.Denied)
	}
	if r.Error != "" || r.Code == "" {
		return Person{}, fmt.Errorf("the sign-on provider refused (%s): begin again: %w", oneLine(errors.New(r.Error)), bijou.Denied)
	}
	provider, err := p.provider(ctx)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, p.http)
	token, err := p.client(provider).Exchange(ctx, r.Code, oauth2.VerifierOption(begun.verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response.StatusCode < 500 {
		return Person{}, fmt.Errorf("the sign-on provider refused the code (%s): begin again: %w", oneLine(errors.New(refused.ErrorCode)), bijou.Denied)
	}
	if err != nil {
		return Person{}, p.away(err)
	}
	raw, _ := token.Extra("id_token").(string)
	return p.person(ctx, provider, raw, begun.nonce)
}

// take returns the sign-on that has the state, which nobody gets a second time.
func (p *Provider) take(state string) (pending, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy(p.Now())
	begun, ok := p.pending[state]
	delete(p.pending, state)
	return begun, ok
}

// person checks an ID token (OpenID Connect Core 1.0, section 3.1.3.7) and reads it.
func (p *Provider) person(ctx context.Context, provider *oidc.Provider, raw, nonce string) (Person, error) {
	verifier := provider.Verifier(&oidc.Config{ClientID: p.Config.ClientID, Now: func() time.Time { return p.Now().Add(-skew) }})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") {
			return Person{}, p.away(err)
		}
		return Person{}, p.wrong(oneLine(err))
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
		Name            string `json:"preferred_username"`
		Email           string `json:"email"`
		Verified        any    `json:"email_verified"` // true, or "true" at some providers
	}
	var all map[string]any
	if err := errors.Join(token.Claims(&claims), token.Claims(&all)); err != nil {
		return Person{}, p.wrong(oneLine(err))
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return Person{}, p.wrong("it has the nonce of another sign-on")
	case token.Subject == "":
		return Person{}, p.wrong("it names nobody")
	case len(token.Audience) > 1 && claims.AuthorizedParty != p.Config.ClientID:
		return Person{}, p.wrong("it was made for another service")
	}
	who := Person{Issuer: token.Issuer, Subject: token.Subject, Name: claims.Name, Groups: groups(all[p.Config.GroupsClaim])}
	if claims.Verified == true || claims.Verified == "true" {
		who.Email = claims.Email
	}
	return who, nil
}

func (p *Provider) wrong(why string) error {
	return fmt.Errorf("the sign-on provider's ID token does not hold (%s): begin again: %w", why, bijou.Denied)
}

// groups reads a claim that is one group or a list of them.
func groups(claim any) (out []string) {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		for _, g := range c[:min(len(c), maxGroups)] {
			if s, ok := g.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
