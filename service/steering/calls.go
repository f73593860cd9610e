package steering

import (
	"context"

	"bijou"
	"bijou/kit/rpc"
)

// Appliances is the list of all that are known.
type Appliances struct {
	Appliances []Status `json:"appliances"`
}

// NewState says what an appliance is to do.
type NewState struct {
	ID    bijou.ApplianceID    `path:"id"`
	State bijou.ApplianceState `json:"state" audit:"true" enum:"serving,draining,paused,dropped"`
}

// OneSession names a viewing.
type OneSession struct {
	Session bijou.SessionID `path:"session"`
}

// maxReport bounds a report, in bytes: one with bijou.MaxHoldings assets and as many networks is twice what rpc takes by itself.
const maxReport = 8 << 20

var (
	listAll  = rpc.Call[struct{}, Appliances]{Verb: "GET", Path: "/api/v1/appliances", Summary: "The appliances, and how they are", Needs: rpc.Viewer}
	setState = rpc.Call[NewState, struct{}]{Verb: "PUT", Path: "/api/v1/appliances/{id}/state", Summary: "Serve, drain, pause or drop an appliance", Needs: rpc.Operator}
	why      = rpc.Call[OneSession, bijou.Decision]{Verb: "GET", Path: "/api/v1/decisions/{session}", Summary: "Why a viewing was sent where it was", Needs: rpc.Viewer}
	steer    = rpc.Call[bijou.Viewing, bijou.Decision]{Verb: "POST", Path: "/role/steering/decisions", Summary: "Choose appliances for a viewing", Needs: rpc.Internal, Idempotent: true}
	report   = rpc.Call[bijou.ApplianceReport, bijou.ApplianceOrders]{Verb: "POST", Path: "/role/steering/reports", Summary: "How an appliance is", Needs: rpc.Internal, Idempotent: true, MaxBody: maxReport}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{listAll.Serve(s.List), setState.Serve(s.SetState), why.Serve(s.Why), steer.Serve(s.Steer), report.Serve(s.Report)}
}

// Client is the room in another process.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// Steer implements bijou.Steering.
func (c *Client) Steer(ctx context.Context, v bijou.Viewing) (bijou.Decision, error) {
	return steer.Do(ctx, c.c, v)
}

// Report implements bijou.Control.
func (c *Client) Report(ctx context.Context, r bijou.ApplianceReport) (bijou.ApplianceOrders, error) {
	return report.Do(ctx, c.c, r)
}

// List is as Service.List.
func (c *Client) List(ctx context.Context) (Appliances, error) {
	return listAll.Do(ctx, c.c, struct{}{})
}

// SetState is as Service.SetState.
func (c *Client) SetState(ctx context.Context, in NewState) error {
	_, err := setState.Do(ctx, c.c, in)
	return err
}

// Why is as Service.Why.
func (c *Client) Why(ctx context.Context, id bijou.SessionID) (bijou.Decision, error) {
	return why.Do(ctx, c.c, OneSession{id})
}
