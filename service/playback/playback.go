// Package playback is the room that starts a viewing: may this caller play this title, and where from. It signs grants and writes
// the manifests of a session.
package playback

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/kit/rpc"
	"bijou/wire/dash"
	"bijou/wire/grant"
	"bijou/wire/hls"
)

// Config is the room's section of the configuration.
type Config struct {
	GrantTerm   time.Duration `yaml:"grant_term" doc:"How long a player may fetch segments before it renews its grant."`
	BindNetwork string        `yaml:"bind_network" doc:"Whether a grant holds in the viewer's network alone (IPv4 /24, IPv6 /48): public binds viewers with an address of the public internet, always binds all, never none. Where a proxy stands in front of the service and not of the appliances, say never."`
	SteerEvery  time.Duration `yaml:"steer_every" doc:"How often players are told to ask which appliance is best now."`
	Guests      bool          `yaml:"guests" doc:"Whether people who have not signed in may play titles."`
}

// DefaultConfig is the configuration where nothing is said. Four hours outlast most films, so that few viewings depend on a renewal.
func DefaultConfig() Config {
	return Config{GrantTerm: 4 * time.Hour, BindNetwork: bindPublic, SteerEvery: 10 * time.Second, Guests: true}
}

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	var wrong conf.Errors
	wrong.Add(c.GrantTerm >= 10*time.Second && c.GrantTerm <= 7*24*time.Hour, "grant_term is %s: it must be 10s to 168h", c.GrantTerm)
	wrong.Add(c.BindNetwork == bindPublic || c.BindNetwork == bindAlways || c.BindNetwork == bindNever, "bind_network is %q: it must be public, always or never", c.BindNetwork)
	wrong.Add(c.SteerEvery >= time.Second && c.SteerEvery <= time.Hour, "steer_every is %s: it must be 1s to 1h", c.SteerEvery)
	return wrong.Err()
}

// keyRing is the keys that grants are signed with and checked with.
type keyRing interface {
	Signing(now time.Time) ed25519.PrivateKey
	InUse(now time.Time) [][]byte
	Rotate(now time.Time, delay, keep time.Duration) error
}

// Deps are what the room works with.
type Deps struct {
	Titles      bijou.Titles
	Positions   bijou.Positions
	Steering    bijou.Steering
	Revocations bijou.RevocationStore
	Blobs       bijou.BlobStore  // descriptions of assets
	Cache       bijou.CacheStore // of what manifests need of them
	Keys        keyRing
	Collector   string // where players in CMCD event mode report
	Now         func() time.Time
	Config      Config
}

// Service starts and renews viewings. It keeps nothing of them: all that it knows of a viewing is in its grant.
type Service struct {
	Deps
	asked askedCache
}

// New assembles the room.
func New(d Deps) *Service {
	return &Service{Deps: d, asked: askedCache{last: map[bijou.SessionID]time.Time{}}}
}

// open reads a grant that this room signed. It fails with Denied for any other.
func (s *Service) open(token string) (bijou.Grant, error) {
	var keys []ed25519.PublicKey
	for _, k := range s.Keys.InUse(s.Now()) {
		keys = append(keys, k)
	}
	return grant.Open(token, grant.NewKeys(keys...))
}

// renewalWindow is how long after its end a grant can still be renewed: a film paused over a holiday goes on.
const renewalWindow = 7 * 24 * time.Hour

// Start grants a viewing of the title to the caller. It fails with NotFound for a title that is not published, with Unsupported
// for a series or a season, with Unavailable for one whose film is not there yet, and with Denied for a guest where guests may not play.
func (s *Service) Start(ctx context.Context, in StartPlay) (bijou.Play, error) {
	caller := bijou.CallerOf(ctx)
	if err := s.welcome(caller); err != nil {
		return bijou.Play{}, err
	}
	title, err := s.Titles.PublishedTitle(ctx, in.Title)
	if err != nil {
		return bijou.Play{}, err
	}
	if err := playable(title); err != nil {
		return bijou.Play{}, err
	}
	play, err := s.play(caller, bijou.Grant{
		Session: bijou.NewID[bijou.SessionID](bijou.SessionPrefix), Title: title.ID, Asset: title.Asset,
	}, title)
	if err != nil {
		return bijou.Play{}, err
	}
	if play.PositionMS, err = s.resume(ctx, caller, title); err != nil {
		return bijou.Play{}, err
	}
	return play, nil
}

// welcome refuses a guest where guests may not play.
func (s *Service) welcome(caller bijou.Caller) error {
	if caller.Guest() && !s.Config.Guests {
		return fmt.Errorf("sign in to play: guests may not on this service: %w", bijou.Denied)
	}
	return nil
}

// playable refuses a title that no player can show, and says what to do instead.
func playable(t bijou.Title) error {
	switch {
	case t.Playable():
		return nil
	case t.Kind == bijou.Film || t.Kind == bijou.Episode:
		return fmt.Errorf("%q has no film yet: try it later: %w", t.Name, bijou.Unavailable)
	}
	return fmt.Errorf("%q is a %s and cannot be played itself: play one of its episodes: %w", t.Name, t.Kind, bijou.Unsupported)
}

// resume returns where the caller goes on: from the start for a guest, a new title, or one that was seen to its end.
func (s *Service) resume(ctx context.Context, caller bijou.Caller, title bijou.Title) (int64, error) {
	if caller.Profile == "" {
		return 0, nil
	}
	p, err := s.Positions.LastPosition(ctx, caller.Profile, title.ID)
	if errors.Is(err, bijou.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if title.RuntimeMS > 0 {
		p.RuntimeMS = title.RuntimeMS // a player may not have said it, or played a longer cut
	}
	if p.Finished() {
		return 0, nil
	}
	return p.PositionMS, nil
}

// Renew grants the same viewing anew. It fails with Denied for a grant that is forged or ended more than seven days ago, and for a guest
// where guests may not play, with NotFound where the title is gone, and with Conflict where its film was replaced: then a new viewing
// has to be started.
func (s *Service) Renew(ctx context.Context, in Renewal) (bijou.Play, error) {
	caller := bijou.CallerOf(ctx)
	if err := s.welcome(caller); err != nil {
		return bijou.Play{}, err
	}
	g, err := s.open(in.Grant)
	if err != nil {
		return bijou.Play{}, err
	}
	if s.Now().After(g.Expires.Add(renewalWindow)) {
		return bijou.Play{}, fmt.Errorf("the grant ended more than %d days ago: start the title again: %w", renewalWindow/(24*time.Hour), bijou.Denied)
	}
	if err := s.revoked(ctx, g.Session); err != nil {
		return bijou.Play{}, err
	}
	title, err := s.Titles.PublishedTitle(ctx, g.Title)
	if err != nil {
		return bijou.Play{}, err
	}
	if title.Asset != g.Asset {
		return bijou.Play{}, fmt.Errorf("the film of %q was replaced: start it again: %w", title.Name, bijou.Conflict)
	}
	return s.play(caller, g, title)
}

func (s *Service) play(caller bijou.Caller, g bijou.Grant, title bijou.Title) (bijou.Play, error) {
	g.Network = networkOf(caller.Address, s.Config.BindNetwork)
	g.Expires = s.Now().Add(s.Config.GrantTerm).Truncate(time.Second).UTC()
	token, err := grant.Sign(g, s.Keys.Signing(s.Now()))
	if err != nil {
		return bijou.Play{}, err
	}
	base := manifestBase + token
	return bijou.Play{
		Session: g.Session, Title: g.Title, Asset: g.Asset, Grant: token, Expires: g.Expires,
		HLS: base + "/master.m3u8", DASH: base + "/manifest.mpd", Collector: s.Collector, RuntimeMS: title.RuntimeMS,
	}, nil
}

// HLS writes the session's multivariant playlist (RFC 8216bis).
func (s *Service) HLS(ctx context.Context, in Manifest) (rpc.Body, error) {
	return s.manifest(ctx, in.Grant, hls.MediaType, hls.Multivariant)
}

// DASH writes the session's media presentation description (ISO/IEC 23009-1).
func (s *Service) DASH(ctx context.Context, in Manifest) (rpc.Body, error) {
	return s.manifest(ctx, in.Grant, dash.MediaType, dash.MPD)
}

func (s *Service) manifest(ctx context.Context, token, mediaType string, print func(a bijou.Asset, r bijou.Routes) ([]byte, error)) (rpc.Body, error) {
	g, err := s.open(token)
	if err != nil {
		return rpc.Body{}, err
	}
	if !s.Now().Before(g.Expires) {
		return rpc.Body{}, fmt.Errorf("the grant ended at %s: renew it: %w", g.Expires.Format(time.RFC3339), bijou.Denied)
	}
	a, err := s.asset(ctx, g.Asset)
	if err != nil {
		return rpc.Body{}, err
	}
	routes, err := s.routes(ctx, token, g)
	if err != nil {
		return rpc.Body{}, err
	}
	b, err := print(a, routes)
	if err != nil { // nothing that was asked is wrong: what is stored is
		return rpc.Body{}, fmt.Errorf("asset %s cannot be described (%v): encode its title anew: %w", g.Asset, err, bijou.Corrupt)
	}
	return rpc.Body{ContentType: mediaType, CacheControl: "private, no-store", Bytes: b}, nil
}
