package events

import (
	"net/http"

	"bijou"
	"bijou/kit/rpc"
)

// Report is what a player sends.
type Report struct {
	Facts   []bijou.Fact `json:"facts" minItems:"1" maxItems:"100"`
	Dropped int64        `json:"dropped,omitempty" minimum:"0" maximum:"100000" doc:"Facts that the player gave up for lack of room since the report before."`
}

// Accepted says how many facts are on the log.
type Accepted struct {
	Accepted int `json:"accepted"`
}

// Collector is where players in CMCD event mode report.
const Collector = "/api/v1/cmcd"

// maxCMCD bounds a report in CMCD event mode, in bytes.
const maxCMCD = 1 << 20

var (
	// A report may come from navigator.sendBeacon as a page closes, which sends text/plain.
	report = rpc.Call[Report, Accepted]{Verb: "POST", Path: "/api/v1/facts", Summary: "Report what the player did", Status: http.StatusAccepted, Beacon: true}
	// Players try again on 202 as on a failure, so that success is 204.
	reportCMCD = rpc.Upload[struct{}, struct{}]{Verb: "POST", Path: Collector, Summary: "Report what the player did, in CMCD event mode (CTA-5004-B)", MaxBytes: maxCMCD}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	counted := report
	counted.Refused = func(error) { s.drop(dropUnreadable, 1) }
	return []rpc.Route{counted.Serve(s.Report), reportCMCD.Serve(s.ReportCMCD)}
}
