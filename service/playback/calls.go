package playback

import (
	"context"
	"net/http"

	"bijou"
	"bijou/kit/rpc"
	"bijou/wire/steering"
)

// StartPlay asks for a viewing.
type StartPlay struct {
	Title bijou.TitleID `path:"id"`
}

// Renewal asks for a new grant of the same viewing.
type Renewal struct {
	Grant string `json:"grant" maxLength:"512" doc:"The grant that ends or has ended."`
}

// Manifest names a viewing by its grant.
type Manifest struct {
	Grant string `path:"grant"`
}

// SteerQuery is a player's question which appliance is best now (RFC 8216bis section 7.2).
type SteerQuery struct {
	Grant          string `path:"grant"`
	HLSPathway     string `query:"_HLS_pathway" maxLength:"200" doc:"The pathway that the player uses."`
	HLSThroughput  string `query:"_HLS_throughput" maxLength:"200" doc:"What it measured, in bits a second."`
	DASHPathway    string `query:"_DASH_pathway" maxLength:"1000"`
	DASHThroughput string `query:"_DASH_throughput" maxLength:"1000"`
}

// OneSession names a viewing.
type OneSession struct {
	Session bijou.SessionID `path:"session"`
}

// PublicKeys are what grants are checked with.
type PublicKeys struct {
	PEM string `json:"pem" doc:"PEM blocks of Ed25519 public keys, one after another."`
}

// manifestBase begins the addresses of manifests.
const manifestBase = "/api/v1/plays/"

var (
	start       = rpc.Call[StartPlay, bijou.Play]{Verb: "POST", Path: "/api/v1/titles/{id}/plays", Summary: "Start a viewing", Status: http.StatusCreated}
	renew       = rpc.Call[Renewal, bijou.Play]{Verb: "POST", Path: "/api/v1/plays/renewals", Summary: "Renew a viewing's grant", Idempotent: true}
	hlsManifest = rpc.Document[Manifest]{Verb: "GET", Path: manifestBase + "{grant}/master.m3u8", Summary: "HLS multivariant playlist of a viewing", ContentType: "application/vnd.apple.mpegurl"}
	steeringDoc = rpc.Document[SteerQuery]{Verb: "GET", Path: manifestBase + "{grant}/steering.json", Summary: "Content steering manifest of a viewing", ContentType: steering.MediaType, Also: []int{http.StatusGone}}
	revoke      = rpc.Call[OneSession, struct{}]{Verb: "PUT", Path: "/api/v1/revocations/{session}", Summary: "Take a viewing's grants back", Needs: rpc.Operator}
	rotate      = rpc.Call[struct{}, struct{}]{Verb: "POST", Path: "/api/v1/keys/rotations", Summary: "Begin to sign grants with a new key", Needs: rpc.Administrator}
	keys        = rpc.Call[struct{}, PublicKeys]{Verb: "GET", Path: "/api/v1/keys", Summary: "The public keys that grants are checked with"}
	mpd         = rpc.Document[Manifest]{Verb: "GET", Path: manifestBase + "{grant}/manifest.mpd", Summary: "DASH MPD of a viewing", ContentType: "application/dash+xml"}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		start.Serve(s.Start), renew.Serve(s.Renew), hlsManifest.Serve(s.HLS), mpd.Serve(s.DASH), steeringDoc.Serve(s.Steer),
		revoke.Serve(s.Revoke), rotate.Serve(s.Rotate), keys.Serve(s.PublicKeys),
	}
}

// Client is the room in another process, for operators.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// Revoke is as Service.Revoke.
func (c *Client) Revoke(ctx context.Context, id bijou.SessionID) error {
	_, err := revoke.Do(ctx, c.c, OneSession{id})
	return err
}

// Rotate is as Service.Rotate.
func (c *Client) Rotate(ctx context.Context) error {
	_, err := rotate.Do(ctx, c.c, struct{}{})
	return err
}

// PublicKeys is as Service.PublicKeys.
func (c *Client) PublicKeys(ctx context.Context) (PublicKeys, error) {
	return keys.Do(ctx, c.c, struct{}{})
}
