package studio

import (
	"context"
	"io"
	"net/http"
	"time"

	"bijou"
	"bijou/kit/rpc"
)

// NewSource names a file that comes in.
type NewSource struct {
	Name string `query:"name" required:"true" maxLength:"255" doc:"The file's name, without folders: errors speak of it."`
}

// Source is a file that came in.
type Source struct {
	ID     bijou.SourceID `json:"id"`
	Name   string         `json:"name"`
	Bytes  int64          `json:"bytes"`
	SHA256 string         `json:"sha256" doc:"In hexadecimal."`
}

// AddTitle asks for a title to be made of a source.
type AddTitle struct {
	Source   bijou.SourceID `json:"source" audit:"true" doc:"The film, as it was handed in."`
	Text     []TextSource   `json:"text,omitempty" maxItems:"100"`
	Name     string         `json:"name,omitempty" audit:"true" maxLength:"300" doc:"What viewers read; the film's own title where absent, or else one made from its file's name."`
	Series   string         `json:"series,omitempty" maxLength:"300" doc:"Name of the series; makes this an episode. The series and its season are made where they are not there."`
	Season   int            `json:"season,omitempty" minimum:"0" doc:"Number of the episode's season; 1 where absent."`
	Episode  int            `json:"episode,omitempty" minimum:"0" doc:"Number of the episode within its season, from 1."`
	Synopsis string         `json:"synopsis,omitempty" maxLength:"4000"`
	Year     int            `json:"year,omitempty" minimum:"0" maximum:"9999"`
	Maturity bijou.Maturity `json:"maturity,omitzero"`
	Language string         `json:"language,omitempty" maxLength:"35" doc:"BCP 47 tag of the original."`
	Genres   []string       `json:"genres,omitempty" maxItems:"20"`
	Credit   string         `json:"credit,omitempty" maxLength:"1000" doc:"Who made it and under which licence it is shown."`
}

// TextSource is a text track that comes in a file of its own: SubRip or WebVTT, in UTF-8, UTF-16 or Windows-1252.
type TextSource struct {
	Source   bijou.SourceID  `json:"source"`
	Language string          `json:"language" maxLength:"35" doc:"BCP 47 tag."`
	Kind     bijou.TrackKind `json:"kind,omitempty" enum:"subtitles,captions,descriptions" doc:"subtitles where absent."`
	Label    string          `json:"label,omitempty" maxLength:"100" doc:"What viewers choose by; the language's own name and the kind where absent."`
}

// AllTitles asks for a page of titles, whatever their state.
type AllTitles struct {
	State  bijou.TitleState `query:"state" enum:"draft,published,failed,"`
	Before string           `query:"before" doc:"Next of the page before."`
	Limit  int              `query:"limit" minimum:"1" maximum:"500" doc:"At most this many; 100 where absent."`
}

// OneSource names a file that came in.
type OneSource struct {
	ID bijou.SourceID `path:"id"`
}

// OneTitle names a title.
type OneTitle struct {
	ID bijou.TitleID `path:"id"`
}

// Progress is how far the work on a title has come.
type Progress struct {
	Title    bijou.TitleID    `json:"title"`
	State    bijou.TitleState `json:"state"`
	Reason   string           `json:"reason,omitempty" doc:"Why it failed."`
	Progress float64          `json:"progress" doc:"0 to 1."`
	Step     string           `json:"step,omitempty" doc:"What is in work, such as video-720."`
	Done     int              `json:"done" doc:"Steps that are done."`
	Steps    int              `json:"steps"`
	Behind   int              `json:"behind,omitempty" doc:"Films that are made before this one, while none of its own steps is begun."`
	Waits    string           `json:"waits,omitempty" doc:"Why nothing can be done at this moment, though it is tried: the disk is full, say."`
	Elapsed  int64            `json:"elapsed_ms" doc:"Since the title was added."`
}

// A probe reads the whole film where its container does not tell how long it is: 60 GB from a disk that gives 100 MB/s.
const addTimeout = 10 * time.Minute

var (
	addSource  = rpc.Upload[NewSource, Source]{Verb: "POST", Path: "/api/v1/studio/sources", Summary: "Hand in a film or a text track", Needs: rpc.Operator, Status: http.StatusCreated}
	dropSource = rpc.Call[OneSource, struct{}]{Verb: "DELETE", Path: "/api/v1/studio/sources/{id}", Summary: "Remove what was handed in and is not used", Needs: rpc.Operator}
	addTitle   = rpc.Call[AddTitle, bijou.Title]{Verb: "POST", Path: "/api/v1/studio/titles", Summary: "Make a title of what was handed in", Needs: rpc.Operator, Status: http.StatusCreated, Timeout: addTimeout}
	listAll    = rpc.Call[AllTitles, bijou.TitlePage]{Verb: "GET", Path: "/api/v1/studio/titles", Summary: "All titles, also those in work", Needs: rpc.Viewer}
	showTitle  = rpc.Call[OneTitle, bijou.Title]{Verb: "GET", Path: "/api/v1/studio/titles/{id}", Summary: "One title, whatever its state", Needs: rpc.Viewer}
	remove     = rpc.Call[OneTitle, struct{}]{Verb: "DELETE", Path: "/api/v1/studio/titles/{id}", Summary: "Remove a title and its files", Needs: rpc.Operator}
	progress   = rpc.Stream[OneTitle, Progress]{Verb: "GET", Path: "/api/v1/studio/titles/{id}/progress", Summary: "Follow the work on a title", Needs: rpc.Viewer}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		addSource.Serve(func(ctx context.Context, in NewSource, r io.Reader) (Source, error) {
			return s.AddSource(ctx, in.Name, r)
		}),
		dropSource.Serve(func(ctx context.Context, in OneSource) (struct{}, error) {
			return struct{}{}, s.RemoveSource(ctx, in.ID)
		}),
		addTitle.Serve(s.AddTitle), listAll.Serve(s.Titles),
		showTitle.Serve(func(ctx context.Context, in OneTitle) (bijou.Title, error) { return s.Title(ctx, in.ID) }),
		remove.Serve(func(ctx context.Context, in OneTitle) (struct{}, error) { return struct{}{}, s.RemoveTitle(ctx, in.ID) }),
		progress.Serve(func(ctx context.Context, in OneTitle, send func(Progress) error) error {
			return s.Follow(ctx, in.ID, send)
		}),
	}
}

// Client is the room in another process.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// AddSource is as Service.AddSource.
func (c *Client) AddSource(ctx context.Context, name string, r io.Reader) (Source, error) {
	return addSource.Do(ctx, c.c, NewSource{name}, r)
}

// RemoveSource is as Service.RemoveSource.
func (c *Client) RemoveSource(ctx context.Context, id bijou.SourceID) error {
	_, err := dropSource.Do(ctx, c.c, OneSource{id})
	return err
}

// AddTitle is as Service.AddTitle.
func (c *Client) AddTitle(ctx context.Context, in AddTitle) (bijou.Title, error) {
	return addTitle.Do(ctx, c.c, in)
}

// Titles is as Service.Titles.
func (c *Client) Titles(ctx context.Context, in AllTitles) (bijou.TitlePage, error) {
	return listAll.Do(ctx, c.c, in)
}

// Title is as Service.Title.
func (c *Client) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	return showTitle.Do(ctx, c.c, OneTitle{id})
}

// RemoveTitle is as Service.RemoveTitle.
func (c *Client) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	_, err := remove.Do(ctx, c.c, OneTitle{id})
	return err
}

// Follow is as Service.Follow.
func (c *Client) Follow(ctx context.Context, id bijou.TitleID, send func(Progress) error) error {
	return progress.Do(ctx, c.c, OneTitle{id}, send)
}
