package bijou

import (
	"context"
	"net/netip"
	"time"
)

// Viewing is what steering has to know to choose appliances for a viewing.
type Viewing struct {
	Session SessionID  `json:"session"`
	Title   TitleID    `json:"title"`
	Asset   AssetID    `json:"asset"`
	Client  netip.Addr `json:"client,omitzero" doc:"Where the viewer is; absent where nobody knows."`
}

// Place is an appliance at its place in an answer, and why it is there.
type Place struct {
	Appliance ApplianceID `json:"appliance"`
	Name      string      `json:"name"`
	Address   string      `json:"address"`
	Zone      string      `json:"zone,omitempty"`
	Reason    string      `json:"reason" doc:"Why it stands here, in a sentence."`
}

// Decision is an answer of steering: the appliances for a viewing, best first.
type Decision struct {
	Viewing Viewing   `json:"viewing"`
	At      time.Time `json:"at"`
	Places  []Place   `json:"places"`
	Left    []Place   `json:"left,omitempty" doc:"Appliances that were not chosen, and why."`
}

// Steering chooses appliances. The steering room offers it.
type Steering interface {
	// Steer returns the appliances for the viewing, best first: at least two wherever two are known. It fails with Unavailable where none is.
	Steer(ctx context.Context, v Viewing) (Decision, error)
}

// Pathway is one appliance as a manifest names it: a content steering pathway (RFC 8216bis section 7.1), a service location in DASH.
type Pathway struct {
	ID   string // letters, digits, hyphen, underscore and dot
	Base string // address below which the asset's files are fetched under the viewing's grant; ends in a slash
}

// Routes are the ways in which a viewing's files can be fetched, best first.
type Routes struct {
	Pathways []Pathway
	Steering string // address of the steering manifest; empty for none
}
