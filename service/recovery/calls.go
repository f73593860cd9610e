package recovery

import (
	"context"
	"io"

	"bijou/kit/rpc"
)

var backup = rpc.Download[struct{}]{Verb: "POST", Path: "/api/v1/backups", Summary: "Write the whole site into one file", Needs: rpc.Administrator, ContentType: "application/x-tar"}

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{backup.Serve(func(ctx context.Context, _ struct{}, to io.Writer) error { return s.Backup(ctx, to) })}
}

// Client is the room in another process.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// Backup is as Service.Backup.
func (c *Client) Backup(ctx context.Context, to io.Writer) error {
	r, err := backup.Do(ctx, c.c, struct{}{})
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(to, r)
	return err
}
