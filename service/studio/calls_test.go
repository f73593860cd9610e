package studio

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"bijou"
	"bijou/kit/rpc"
)

// there returns the room as another process sees it.
func there(t *testing.T, s *Service) *Client {
	t.Helper()
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, s.Routes()...))
	t.Cleanup(server.Close)
	c := rpc.NewClient(server.URL, rpc.Trusted())
	t.Cleanup(c.Close)
	return NewClient(c)
}

func TestTheRoomIsTheSameHereAndThere(t *testing.T) {
	for where, reach := range map[string]func(t *testing.T, s *Service) room{
		"here":  func(_ *testing.T, s *Service) room { return s },
		"there": func(t *testing.T, s *Service) room { return there(t, s) },
	} {
		t.Run(where, func(t *testing.T) {
			h := newHouse(t, newFilms(t))
			s := h.process(t)
			start(t, s)
			aTitlesLife(t, h, reach(t, s))
		})
	}
}

func aTitlesLife(t *testing.T, h *house, r room) {
	ctx := asOperator(t)
	src, err := r.AddSource(ctx, "Der Film.mp4", strings.NewReader("film"))
	must(t, "add source", err)
	must(t, "the source's identifier", bijou.CheckID(src.ID, bijou.SourcePrefix))
	wantSame(t, "source", src, Source{ID: src.ID, Name: "Der Film.mp4", Bytes: 4, SHA256: sum([]byte("film"))})
	in := AddTitle{
		Source: src.ID, Text: []TextSource{{Source: handIn(t, r, "de.srt", subtitles), Language: "de", Kind: bijou.Captions, Label: "Für alle"}},
		Name: "Ein Film", Synopsis: "Es geschieht.", Year: 1999, Maturity: bijou.Maturity{Age: 12, Label: "FSK 12"}, Language: "de",
		Genres: []string{"Drama"}, Credit: "Ada, CC BY",
	}
	title, err := r.AddTitle(ctx, in)
	must(t, "add title", err)
	wantSame(t, "state at once", title.State, bijou.Draft)
	all, err := follow(t, r, title.ID)
	must(t, "follow", err)
	last := all[len(all)-1]
	if last.State != bijou.Published || last.Progress != 1 || last.Title != title.ID {
		t.Errorf("last progress: got %+v, want published and 1", last)
	}
	got := h.published(t, r, title.ID)
	want := title
	want.State, want.Asset, want.RuntimeMS, want.Width, want.Height, want.Updated = bijou.Published, got.Asset, got.RuntimeMS, 320, 180, got.Updated
	want.Tracks = []bijou.Track{{Kind: bijou.Audio, Language: "de", Label: "Deutsch"}, {Kind: bijou.Captions, Language: "de", Label: "Für alle"}}
	wantSame(t, "title", got, want)
	page, err := r.Titles(ctx, AllTitles{State: bijou.Published, Limit: 10})
	must(t, "titles", err)
	wantSame(t, "published titles", page.Titles, []bijou.Title{got})
	page, err = r.Titles(ctx, AllTitles{State: bijou.Failed})
	must(t, "titles", err)
	wantSame(t, "failed titles", page.Titles, nil)

	bad := AddTitle{Source: handIn(t, r, "notes.mp4", "rubbish")}
	_, err = r.AddTitle(ctx, bad)
	wantKind(t, "add rubbish", err, bijou.Invalid, "notes.mp4 is no film")
	_, err = r.AddSource(ctx, "a/b.mp4", strings.NewReader("film"))
	wantKind(t, "add source with a folder", err, bijou.Invalid, "a/b.mp4")
	_, err = r.AddSource(ctx, "empty.mp4", strings.NewReader(""))
	wantKind(t, "add source without bytes", err, bijou.Invalid, "empty.mp4")
	must(t, "take back", r.RemoveSource(ctx, handIn(t, r, "idle.mp4", "film")))
	wantKind(t, "take back what is unknown", r.RemoveSource(ctx, "src_none"), bijou.NotFound, "src_none")
	for _, id := range []bijou.TitleID{"nope", "src_1", "TTL_1"} { // which is no identifier of a title
		_, err := r.Title(ctx, id)
		wantKind(t, "title of no identifier", err, bijou.NotFound, string(id))
		_, err = follow(t, r, id)
		wantKind(t, "follow what is no identifier", err, bijou.NotFound, string(id))
		wantKind(t, "remove what is no identifier", r.RemoveTitle(ctx, id), bijou.NotFound, string(id))
	}
	_, err = r.Title(ctx, "ttl_none")
	wantKind(t, "title that is unknown", err, bijou.NotFound, "ttl_none")
	_, err = follow(t, r, "ttl_none")
	wantKind(t, "follow what is unknown", err, bijou.NotFound, "ttl_none")
	wantKind(t, "remove what is unknown", r.RemoveTitle(ctx, "ttl_none"), bijou.NotFound, "ttl_none")

	must(t, "remove", r.RemoveTitle(ctx, title.ID))
	h.settle(t)
	h.kept(t, "the life of a title")
}

func TestEveryRouteIsForOperatorsAlone(t *testing.T) {
	s := newHouse(t, newFilms(t)).process(t)
	routes := s.Routes()
	if len(routes) != 7 {
		t.Errorf("routes: got %d, want 7", len(routes))
	}
	for _, r := range routes {
		want := rpc.Operator
		if r.Verb() == "GET" {
			want = rpc.Viewer
		}
		if r.Needs() != want {
			t.Errorf("%s: got permission %v, want %v", r.Pattern(), r.Needs(), want)
		}
	}
	c := there(t, s)
	for who, caller := range map[string]bijou.Caller{"a guest": {}, "a member": {Account: "acc_1", Profile: "prf_1"}} {
		ctx := bijou.WithCaller(t.Context(), caller)
		for what, err := range calls(ctx, c) {
			wantKind(t, what+" as "+who, err, bijou.Denied)
		}
	}
}

// calls makes each call once and returns how it failed.
func calls(ctx context.Context, c *Client) map[string]error {
	_, source := c.AddSource(ctx, "film.mp4", strings.NewReader("film"))
	_, add := c.AddTitle(ctx, AddTitle{Source: "src_1"})
	_, list := c.Titles(ctx, AllTitles{Limit: 1})
	_, show := c.Title(ctx, "ttl_1")
	return map[string]error{
		"add source": source, "add title": add, "list": list, "show": show, "remove": c.RemoveTitle(ctx, "ttl_1"),
		"remove source": c.RemoveSource(ctx, "src_1"),
		"follow":        c.Follow(ctx, "ttl_1", func(Progress) error { return nil }),
	}
}
