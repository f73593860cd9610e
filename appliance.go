package bijou

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"time"
)

// ApplianceState says what an appliance is to do, and what it does.
type ApplianceState string

// The states of an appliance.
const (
	ApplianceServing  ApplianceState = "serving"
	ApplianceDraining ApplianceState = "draining" // serves on, but nobody is sent to it any more
	AppliancePaused   ApplianceState = "paused"   // refuses every request, and keeps its files
	ApplianceDropped  ApplianceState = "dropped"  // belongs to the service no more
)

// Appliance is a box as it describes itself.
type Appliance struct {
	ID          ApplianceID    `json:"id"`
	Name        string         `json:"name" maxLength:"100" doc:"For people."`
	Address     string         `json:"address" maxLength:"300" doc:"Where viewers reach it, such as https://box1.example.org:8443. A host of * stands for the host by which the viewer reached the service."`
	Zone        string         `json:"zone,omitempty" maxLength:"100" doc:"The part of the network that it stands in."`
	Networks    []netip.Prefix `json:"networks,omitempty" maxItems:"10000" doc:"Networks whose viewers it is meant for."`
	CapacityBPS int64          `json:"capacity_bps,omitempty" minimum:"0" doc:"What it can send, in bits a second; 0 where nobody said."`
	Version     string         `json:"version,omitempty" maxLength:"100"`
	Started     time.Time      `json:"started"`
}

// Check refuses, as Invalid, a description that nobody could be sent to.
func (a Appliance) Check() error {
	if err := CheckID(a.ID, AppliancePrefix); err != nil {
		return err
	}
	u, err := url.Parse(a.Address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("appliance %s: address %q is none that viewers can reach: write one such as https://box1.example.org:8443: %w", a.ID, clip(a.Address, 80), Invalid)
	}
	return nil
}

// ApplianceLoad is how busy an appliance is.
type ApplianceLoad struct {
	Connections int64   `json:"connections" minimum:"0"`
	Requests    int64   `json:"requests" minimum:"0" doc:"In work at this moment."`
	SentBPS     int64   `json:"sent_bps" minimum:"0" doc:"Bits a second over the time since the report before."`
	CPU         float64 `json:"cpu" minimum:"0" doc:"Share of all its processors that it uses, 0 to 1."`
}

// Holding is an asset that an appliance has files of.
type Holding struct {
	Asset    AssetID `json:"asset"`
	Title    TitleID `json:"title,omitempty" doc:"Absent where the appliance does not know it."`
	Files    int64   `json:"files" minimum:"0"`
	Bytes    int64   `json:"bytes" minimum:"0"`
	Complete bool    `json:"complete" doc:"It has every file of the asset."`
}

// MaxHoldings bounds the assets that one report tells of; an appliance with more tells of those used last.
const MaxHoldings = 10_000

// ApplianceReport is what an appliance tells of itself every few seconds.
type ApplianceReport struct {
	Appliance Appliance      `json:"appliance"`
	State     ApplianceState `json:"state" enum:"serving,draining,paused,dropped"`
	Load      ApplianceLoad  `json:"load"`
	HeldBytes int64          `json:"held_bytes" minimum:"0"`
	CapBytes  int64          `json:"cap_bytes" minimum:"0" doc:"How much it may hold."`
	Corrupt   int64          `json:"corrupt" minimum:"0" doc:"Files that were found corrupt since it started."`
	Fault     string         `json:"fault,omitempty" maxLength:"300" doc:"Why it cannot serve well, in a sentence; absent where it can."`
	Version   int64          `json:"version" minimum:"0" doc:"Of the holdings: rises when they change."`
	Listed    bool           `json:"listed,omitempty" doc:"Holdings are those of this version; sent where the service does not know them."`
	Holdings  []Holding      `json:"holdings,omitempty" maxItems:"10000"`
}

// ApplianceOrders is what the service answers to a report.
type ApplianceOrders struct {
	State   ApplianceState `json:"state" enum:"serving,draining,paused,dropped" doc:"What the operator wants it to do."`
	Keys    [][]byte       `json:"keys" doc:"Ed25519 public keys that grants are checked with, 32 bytes each."`
	Revoked []Revocation   `json:"revoked,omitempty" doc:"All that are in force."`
	Gone    []AssetID      `json:"gone,omitempty" doc:"Of its holdings: those whose title is not published any more. They are to be removed and refused."`
	Peers   []Peer         `json:"peers,omitempty" doc:"Other appliances that files can be fetched from."`
	Known   int64          `json:"known" doc:"Version of the holdings that the service knows."`
	EveryMS int64          `json:"every_ms" doc:"Time until the next report, in milliseconds."`
}

// Peer is an appliance as another one sees it.
type Peer struct {
	ID      ApplianceID `json:"id"`
	Address string      `json:"address"`
	Zone    string      `json:"zone,omitempty"`
	// Grants let the other appliance fetch: of each asset that this one has whole, one that ends soon and is sent anew with later orders.
	Grants map[AssetID]string `json:"grants,omitempty" doc:"By asset that it has whole: a grant to fetch it with."`
}

// Control is what an appliance asks of the service. The steering room offers it.
type Control interface {
	// Report tells how the appliance is, and returns its orders. It fails with Invalid where Appliance.Check does.
	Report(ctx context.Context, r ApplianceReport) (ApplianceOrders, error)
}

// Zones knows where appliances stand. The steering room offers it.
type Zones interface {
	// ZoneOf returns the appliance's zone; nothing where it has none, and where nobody knows it.
	ZoneOf(id ApplianceID) string
}

// ApplianceStore keeps what operators want of appliances.
type ApplianceStore interface {
	// WantAppliance keeps the state that the operator wants the appliance to be in. Once it returns, that survives a kill.
	WantAppliance(ctx context.Context, id ApplianceID, state ApplianceState) error
	// WantedAppliances returns the state wanted of each appliance that an operator has spoken of.
	WantedAppliances(ctx context.Context) (map[ApplianceID]ApplianceState, error)
}

// Revocation takes a grant back before it ends.
type Revocation struct {
	Session SessionID `json:"session"`
	Until   time.Time `json:"until" doc:"When the grants that it takes back have all ended by themselves."`
}

// RevocationStore keeps revocations until they are of no use any more.
type RevocationStore interface {
	// Revoke keeps the revocation. Of two of one session the later Until holds. Once it returns, that survives a kill.
	Revoke(ctx context.Context, r Revocation) error
	// Revoked tells whether a revocation of the viewing, with Until after now, is kept.
	Revoked(ctx context.Context, id SessionID, now time.Time) (bool, error)
	// Revocations returns those whose Until is after now, in order of session.
	Revocations(ctx context.Context, now time.Time) ([]Revocation, error)
}
