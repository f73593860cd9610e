package bijou

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
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

// Check refuses, as Invalid, routes that no manifest can tell players of: without a pathway, with two of one name, or with what is no address.
func (r Routes) Check() error {
	if len(r.Pathways) == 0 {
		return fmt.Errorf("there is no way to the files: %w", Invalid)
	}
	seen := map[string]bool{}
	for _, p := range r.Pathways {
		if strings.Trim(p.ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || p.ID == "" {
			return fmt.Errorf("pathway %q: its name must be of letters, digits, hyphens, underscores and dots: %w", clip(p.ID, 80), Invalid)
		}
		if seen[p.ID] {
			return fmt.Errorf("two pathways are called %q: %w", p.ID, Invalid)
		}
		seen[p.ID] = true
		if !strings.HasSuffix(p.Base, "/") || strings.ContainsFunc(p.Base, notInAddress) || strings.ContainsAny(p.Base, "#?") {
			return fmt.Errorf("pathway %q: %q is not an address that ends in a slash: %w", p.ID, clip(p.Base, 80), Invalid)
		}
	}
	if strings.ContainsFunc(r.Steering, notInAddress) {
		return fmt.Errorf("steering manifest %q is no address: %w", clip(r.Steering, 80), Invalid)
	}
	return nil
}

// notInAddress tells what neither a line nor a quoted string nor an element can hold as it is.
func notInAddress(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"<>{}", c) }
