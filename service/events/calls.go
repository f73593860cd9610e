package events

import (
	"net/http"

	"bijou"
	"bijou/kit/rpc"
)

// Report is what a player sends.
type Report struct {
	Facts []bijou.Fact `json:"facts" minItems:"1" maxItems:"100"`
}

// Accepted says how many facts are on the log.
type Accepted struct {
	Accepted int `json:"accepted"`
}

// A report may come from navigator.sendBeacon as a page closes, which sends text/plain.
var report = rpc.Call[Report, Accepted]{Verb: "POST", Path: "/api/v1/facts", Summary: "Report what the player did", Status: http.StatusAccepted, Beacon: true}

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route { return []rpc.Route{report.Serve(s.Report)} }
