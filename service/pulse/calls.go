package pulse

import (
	"context"

	"bijou"
	"bijou/kit/rpc"
)

var (
	query   = rpc.Call[Query, Answer]{Verb: "GET", Path: "/api/v1/pulse", Summary: "How viewers fared: starts, failures, first pictures, stalls, rates", Needs: rpc.Viewer}
	follow  = rpc.Stream[struct{}, bijou.PulseLive]{Verb: "GET", Path: "/api/v1/pulse/live", Summary: "How viewers fare now, once a second while it changes", Needs: rpc.Viewer}
	figures = rpc.Call[bijou.PulseRange, bijou.PulseFigures]{Verb: "POST", Path: "/role/pulse/figures", Summary: "Figures of a range", Needs: rpc.Internal, Idempotent: true}
	live    = rpc.Call[struct{}, bijou.PulseLive]{Verb: "GET", Path: "/role/pulse/live", Summary: "How viewers fare now", Needs: rpc.Internal}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		query.Serve(s.Query), follow.Serve(s.Follow), figures.Serve(s.Figures),
		live.Serve(func(ctx context.Context, _ struct{}) (bijou.PulseLive, error) { return s.Live(ctx) }),
	}
}

// Client is the room in another process.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// Query asks for figures of a range, in all, over time and by value.
func (c *Client) Query(ctx context.Context, q Query) (Answer, error) { return query.Do(ctx, c.c, q) }

// Follow hands each how things are, until ctx ends, the service goes, or each fails.
func (c *Client) Follow(ctx context.Context, each func(bijou.PulseLive) error) error {
	return follow.Do(ctx, c.c, struct{}{}, each)
}

// Figures implements bijou.Pulse.
func (c *Client) Figures(ctx context.Context, r bijou.PulseRange) (bijou.PulseFigures, error) {
	return figures.Do(ctx, c.c, r)
}

// Live implements bijou.Pulse.
func (c *Client) Live(ctx context.Context) (bijou.PulseLive, error) {
	return live.Do(ctx, c.c, struct{}{})
}
