package playback

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/wire/grant"
	"bijou/wire/steering"
)

// What Config.BindNetwork may be.
const (
	bindPublic = "public"
	bindAlways = "always"
	bindNever  = "never"
)

// The sizes of the networks that grants are bound to: what one household or campus usually has, so that a viewer whose address changes within it
// plays on.
const (
	bits4 = 24
	bits6 = 48
)

// networkOf returns the network that a grant for a viewer at the address is bound to, or none.
func networkOf(address, bind string) netip.Prefix {
	a, err := netip.ParseAddr(address)
	if err != nil || bind == bindNever {
		return netip.Prefix{}
	}
	a = a.Unmap()
	if bind == bindPublic && (!a.IsGlobalUnicast() || a.IsPrivate()) {
		return netip.Prefix{} // a proxy's address, or one of a home: it says nothing of the viewer
	}
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// routes returns the appliances that the viewing is sent to, as a manifest names them.
func (s *Service) routes(ctx context.Context, token string, g bijou.Grant) (bijou.Routes, error) {
	d, err := s.decide(ctx, g)
	if err != nil {
		return bijou.Routes{}, err
	}
	r := bijou.Routes{Steering: manifestBase + token + "/steering.json"}
	host := bijou.CallerOf(ctx).Host
	for _, p := range d.Places {
		r.Pathways = append(r.Pathways, bijou.Pathway{ID: string(p.Appliance), Base: addressFor(p.Address, host) + grant.Base(token, g.Asset)})
	}
	return r, nil
}

func (s *Service) decide(ctx context.Context, g bijou.Grant) (bijou.Decision, error) {
	client, err := netip.ParseAddr(bijou.CallerOf(ctx).Client)
	if err != nil {
		client = netip.Addr{} // nobody knows where the viewer is
	}
	return s.Steering.Steer(ctx, bijou.Viewing{Session: g.Session, Title: g.Title, Asset: g.Asset, Client: client})
}

// addressFor returns an appliance's address for a viewer who reached the service by the host.
func addressFor(address, host string) string {
	if host == "" {
		host = "127.0.0.1"
	}
	return strings.Replace(address, "//*", "//"+host, 1)
}

// steerWait is how long a player has to wait between two questions at least.
const steerWait = time.Second

// Steer answers a player that asks which appliance is best now. A viewing whose title is gone is told so by 410, after which players ask no
// more (RFC 8216bis section 7.2). It fails with Exhausted for a player that asks more than once a second.
func (s *Service) Steer(ctx context.Context, in SteerQuery) (rpc.Body, error) {
	g, err := s.open(in.Grant)
	if err != nil {
		return rpc.Body{}, err
	}
	now := s.Now()
	if !s.asked.may(g.Session, now) {
		return rpc.Body{}, fmt.Errorf("viewing %s asks more than once in %s: wait: %w", g.Session, steerWait, bijou.Exhausted)
	}
	gone := now.After(g.Expires.Add(renewalWindow)) || errors.Is(s.revoked(ctx, g.Session), bijou.Denied)
	if title, err := s.Titles.PublishedTitle(ctx, g.Title); errors.Is(err, bijou.NotFound) || err == nil && title.Asset != g.Asset {
		gone = true
	}
	if gone {
		return rpc.Body{Status: http.StatusGone, ContentType: steering.MediaType, CacheControl: "no-store", Bytes: []byte("{}\n")}, nil
	}
	d, err := s.decide(ctx, g)
	if err != nil {
		return rpc.Body{}, err
	}
	m := steering.Manifest{TTL: s.Config.SteerEvery}
	for _, p := range d.Places {
		m.Pathways = append(m.Pathways, string(p.Appliance))
	}
	b, err := steering.Print(m)
	return rpc.Body{ContentType: steering.MediaType, CacheControl: "private, no-store", Bytes: b}, err
}

// askedCache knows when each viewing asked last.
type askedCache struct {
	mu   sync.Mutex
	last map[bijou.SessionID]time.Time
}

// maxAsked bounds the viewings that are remembered; beyond that all may ask.
const maxAsked = 20_000

func (c *askedCache) may(id bijou.SessionID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since := now.Sub(c.last[id]); since >= 0 && since < steerWait { // a clock that was set back silences nobody
		return false
	}
	if len(c.last) >= maxAsked {
		clear(c.last)
	}
	c.last[id] = now
	return true
}

// revoked refuses, as Denied, a viewing whose grants were taken back.
func (s *Service) revoked(ctx context.Context, id bijou.SessionID) error {
	revoked, err := s.Revocations.Revoked(ctx, id, s.Now())
	if err != nil {
		return err
	}
	if revoked {
		return fmt.Errorf("the grant was taken back: start the title again: %w", bijou.Denied)
	}
	return nil
}

// Revoke takes a viewing's grants back: no appliance serves it any more once it has reported, and none is renewed.
func (s *Service) Revoke(ctx context.Context, in OneSession) (struct{}, error) {
	if err := bijou.CheckID(in.Session, bijou.SessionPrefix); err != nil {
		return struct{}{}, err
	}
	// No grant of the viewing outlasts one that was signed this moment, and none is renewed after the window.
	until := s.Now().Add(s.Config.GrantTerm + renewalWindow)
	return struct{}{}, s.Revocations.Revoke(ctx, bijou.Revocation{Session: in.Session, Until: until})
}

const (
	// keyDelay is the time between the making of a key and its first signature: appliances that report have learnt it by then.
	keyDelay = time.Minute
	// keyKept is how long a key is kept after another followed it: until no grant of its can be used or renewed.
	keyKept = renewalWindow + 7*24*time.Hour
)

// Rotate makes a new key, which signs grants from a minute on. It fails with Conflict while one is about to.
func (s *Service) Rotate(context.Context, struct{}) (struct{}, error) {
	return struct{}{}, s.Keys.Rotate(s.Now(), keyDelay, keyKept)
}

// PublicKeys returns what appliances in front of another origin check grants with.
func (s *Service) PublicKeys(context.Context, struct{}) (PublicKeys, error) {
	var out strings.Builder
	for _, k := range s.Keys.InUse(s.Now()) {
		der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(k))
		if err != nil {
			return PublicKeys{}, err
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	return PublicKeys{out.String()}, nil
}
