package catalog

import (
	"context"

	"bijou"
	"bijou/kit/rpc"
)

// ListQuery asks for a page of published titles.
type ListQuery struct {
	Limit  int           `query:"limit" minimum:"1" maximum:"500" doc:"At most this many; 100 where absent."`
	Before string        `query:"before" doc:"Next of the page before."`
	Parent bijou.TitleID `query:"parent" doc:"Seasons of this series, or episodes of this season, alone."`
	Top    bool          `query:"top" doc:"Films and series alone: no seasons, no episodes."`
	Words  string        `query:"q" maxLength:"200" doc:"What is searched for: each of its words, or a part of one, stands in the name, synopsis, genres, credit or year."`
}

// OneTitle names a title.
type OneTitle struct {
	ID bijou.TitleID `path:"id"`
}

// EditTitle changes what people are told of a title.
type EditTitle struct {
	ID bijou.TitleID `path:"id"`
	bijou.TitleEdit
}

var (
	list   = rpc.Call[ListQuery, bijou.TitlePage]{Verb: "GET", Path: "/api/v1/titles", Summary: "What can be watched"}
	title  = rpc.Call[OneTitle, bijou.Title]{Verb: "GET", Path: "/api/v1/titles/{id}", Summary: "One title"}
	poster = rpc.Document[OneTitle]{Verb: "GET", Path: "/api/v1/titles/{id}/poster", Summary: "A title's poster", ContentType: "image/jpeg"}
	edit   = rpc.Call[EditTitle, bijou.Title]{Verb: "PATCH", Path: "/api/v1/titles/{id}", Summary: "Change what people are told of a title", Needs: rpc.Operator, Idempotent: true}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		list.Serve(s.List),
		title.Serve(func(ctx context.Context, in OneTitle) (bijou.Title, error) { return s.PublishedTitle(ctx, in.ID) }),
		poster.Serve(s.Poster),
		edit.Serve(func(ctx context.Context, in EditTitle) (bijou.Title, error) {
			return s.EditTitle(ctx, in.ID, in.TitleEdit)
		}),
	}
}

// Client is the room in another process.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// PublishedTitle implements bijou.Titles.
func (c *Client) PublishedTitle(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	return title.Do(ctx, c.c, OneTitle{id})
}

// EditTitle is as Service.EditTitle.
func (c *Client) EditTitle(ctx context.Context, id bijou.TitleID, e bijou.TitleEdit) (bijou.Title, error) {
	return edit.Do(ctx, c.c, EditTitle{id, e})
}
