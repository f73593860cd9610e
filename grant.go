package bijou

import (
	"net/netip"
	"time"
)

// Grant is a viewing's right to fetch one asset's files: a path prefix of its addresses, signed by playback, checked by
// appliances with the public key alone.
type Grant struct {
	Session SessionID
	Title   TitleID
	Asset   AssetID
	Expires time.Time    // to the second
	Network netip.Prefix // who may use it; the zero value: anyone
}

// Play is a viewing that was granted: what a player needs to begin.
type Play struct {
	Session    SessionID `json:"session"`
	Title      TitleID   `json:"title"`
	Asset      AssetID   `json:"asset"`
	Grant      string    `json:"grant" doc:"The right itself: first part of every segment's path after /g/."`
	Expires    time.Time `json:"expires" doc:"When the grant ends; renew before, or on a refusal."`
	HLS        string    `json:"hls" doc:"Address of the HLS multivariant playlist, relative to the service."`
	DASH       string    `json:"dash" doc:"Address of the DASH MPD, relative to the service."`
	Collector  string    `json:"collector" doc:"Address at which a player in CMCD event mode reports (CTA-5004-B), relative to the service, with the session as session id and the title as content id."`
	PositionMS int64     `json:"position_ms" doc:"Where to begin, in milliseconds."`
	RuntimeMS  int64     `json:"runtime_ms"`
}
