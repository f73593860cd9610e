package playback

import (
	"net/http"

	"bijou"
	"bijou/kit/rpc"
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

// manifestBase begins the addresses of manifests.
const manifestBase = "/api/v1/plays/"

var (
	start       = rpc.Call[StartPlay, bijou.Play]{Verb: "POST", Path: "/api/v1/titles/{id}/plays", Summary: "Start a viewing", Status: http.StatusCreated}
	renew       = rpc.Call[Renewal, bijou.Play]{Verb: "POST", Path: "/api/v1/plays/renewals", Summary: "Renew a viewing's grant", Idempotent: true}
	hlsManifest = rpc.Document[Manifest]{Verb: "GET", Path: manifestBase + "{grant}/master.m3u8", Summary: "HLS multivariant playlist of a viewing", ContentType: "application/vnd.apple.mpegurl"}
	mpd         = rpc.Document[Manifest]{Verb: "GET", Path: manifestBase + "{grant}/manifest.mpd", Summary: "DASH MPD of a viewing", ContentType: "application/dash+xml"}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{start.Serve(s.Start), renew.Serve(s.Renew), hlsManifest.Serve(s.HLS), mpd.Serve(s.DASH)}
}
