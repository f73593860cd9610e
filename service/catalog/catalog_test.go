package catalog

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/sqlite"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type room struct {
	*Service
	titles *sqlite.Catalog
	now    time.Time
}

func newRoom(t *testing.T) *room {
	t.Helper()
	titles, err := sqlite.OpenCatalog(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { titles.Close() })
	blobs, err := directory.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	r := &room{titles: titles, now: noon}
	r.Service = New(Deps{Titles: titles, Blobs: blobs, Now: func() time.Time { return r.now }})
	return r
}

func film(id, name string) bijou.Title {
	return bijou.Title{ID: bijou.TitleID(bijou.TitlePrefix + id), Kind: bijou.Film, Name: name, State: bijou.Draft}
}

func assetOf(t bijou.Title, id string) bijou.Asset {
	return bijou.Asset{
		ID: bijou.AssetID(bijou.AssetPrefix + id), Title: t.ID, RuntimeMS: 61_000,
		Video: []bijou.VideoTrack{{Width: 640, Height: 360}, {Width: 320, Height: 180}},
		Audio: []bijou.AudioTrack{{Language: "en", Label: "English"}},
		Text:  []bijou.TextTrack{{Kind: bijou.Captions, Language: "de", Label: "Deutsch"}},
	}
}

// publish takes a title from nothing to what members see.
func (r *room) publish(t *testing.T, title bijou.Title, asset string) bijou.Title {
	t.Helper()
	if _, err := r.CreateTitle(t.Context(), title); err != nil {
		t.Fatal(err)
	}
	out, err := r.PublishAsset(t.Context(), assetOf(title, asset))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantKind(t *testing.T, what string, err error, kind bijou.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got error %v, want %s", what, err, kind)
	}
}

func TestADraftIsSeenByEditorsAndNotByMembers(t *testing.T) {
	r := newRoom(t)
	draft, err := r.CreateTitle(t.Context(), film("a", "Alpha"))
	if err != nil {
		t.Fatal(err)
	}
	if draft.State != bijou.Draft || !draft.Added.Equal(noon) {
		t.Errorf("created %+v, want a draft added at noon", draft)
	}
	_, err = r.PublishedTitle(t.Context(), draft.ID)
	wantKind(t, "a member asks for a draft", err, bijou.NotFound)
	if got, err := r.AnyTitle(t.Context(), draft.ID); err != nil || got.Name != "Alpha" {
		t.Errorf("an editor asks for a draft: got %+v, %v", got, err)
	}
	page, err := r.List(t.Context(), ListQuery{})
	if err != nil || len(page.Titles) != 0 || page.Titles == nil {
		t.Errorf("members list: got %#v, %v, want an empty list that is not null", page.Titles, err)
	}
}

func TestCreatingTheSameTitleTwiceChangesNothing(t *testing.T) {
	r := newRoom(t)
	first := r.publish(t, film("a", "Alpha"), "one")
	again, err := r.CreateTitle(t.Context(), film("a", "Another name"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("created twice (-first +second):\n%s", diff)
	}
}

func TestAPublishedAssetSaysHowLongLargeAndInWhichLanguagesTheTitleIs(t *testing.T) {
	r := newRoom(t)
	got := r.publish(t, film("a", "Alpha"), "one")
	want := got
	want.State, want.Asset, want.RuntimeMS, want.Width, want.Height = bijou.Published, "ast_one", 61_000, 640, 360
	want.Tracks = []bijou.Track{{Kind: bijou.Audio, Language: "en", Label: "English"}, {Kind: bijou.Captions, Language: "de", Label: "Deutsch"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	r.now = noon.Add(time.Hour)
	again, err := r.PublishAsset(t.Context(), assetOf(got, "one"))
	if err != nil || !again.Updated.Equal(noon) {
		t.Errorf("published again: updated %v, error %v, want nothing changed", again.Updated, err)
	}
	newer, err := r.PublishAsset(t.Context(), assetOf(got, "two"))
	if err != nil || newer.Asset != "ast_two" || !newer.Updated.Equal(r.now) {
		t.Errorf("a new encode: got %+v, %v, want asset two from then on", newer, err)
	}
}

func TestAnAssetWithoutPictureOrTitleIsNotPublished(t *testing.T) {
	r := newRoom(t)
	title := film("a", "Alpha")
	_, err := r.PublishAsset(t.Context(), assetOf(title, "one"))
	wantKind(t, "no such title", err, bijou.NotFound)
	if _, err := r.CreateTitle(t.Context(), title); err != nil {
		t.Fatal(err)
	}
	_, err = r.PublishAsset(t.Context(), bijou.Asset{ID: "ast_x", Title: title.ID})
	wantKind(t, "no picture", err, bijou.Invalid)
}

func TestAFailureMarksADraftAndLeavesWhatIsPublished(t *testing.T) {
	r := newRoom(t)
	if _, err := r.CreateTitle(t.Context(), film("a", "Alpha")); err != nil {
		t.Fatal(err)
	}
	published := r.publish(t, film("b", "Beta"), "two")
	for _, id := range []bijou.TitleID{"ttl_a", published.ID} {
		if err := r.FailTitle(t.Context(), id, "the disk is full"); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := r.AnyTitle(t.Context(), "ttl_a"); got.State != bijou.Failed || got.Reason != "the disk is full" {
		t.Errorf("the draft: got %s %q, want failed with the reason", got.State, got.Reason)
	}
	if got, _ := r.AnyTitle(t.Context(), published.ID); got.State != bijou.Published || got.Reason != "" {
		t.Errorf("the published one: got %s %q, want it untouched", got.State, got.Reason)
	}
}

func TestAWithdrawnTitleIsGone(t *testing.T) {
	r := newRoom(t)
	title := r.publish(t, film("a", "Alpha"), "one")
	if err := r.WithdrawTitle(t.Context(), title.ID); err != nil {
		t.Fatal(err)
	}
	_, err := r.AnyTitle(t.Context(), title.ID)
	wantKind(t, "asked for afterwards", err, bijou.NotFound)
	wantKind(t, "withdrawn twice", r.WithdrawTitle(t.Context(), title.ID), bijou.NotFound)
}

func TestWhatIsNoIdentifierIsInvalidRatherThanNotFound(t *testing.T) {
	r := newRoom(t)
	_, err := r.AnyTitle(t.Context(), "../etc/passwd")
	wantKind(t, "a path for an identifier", err, bijou.Invalid)
}

func TestMembersPageThroughPublishedTitlesLatestFirst(t *testing.T) {
	r := newRoom(t)
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		r.now = noon.Add(time.Duration(i) * time.Minute)
		r.publish(t, film(id, strings.ToUpper(id)), id)
	}
	var names []string
	q := ListQuery{Limit: 2}
	for {
		page, err := r.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page.Titles {
			names = append(names, x.Name)
		}
		if q.Before = page.Next; page.Next == "" {
			break
		}
	}
	if got := strings.Join(names, ""); got != "EDCBA" {
		t.Errorf("pages of two: got %s, want EDCBA", got)
	}
}

func TestAChildrensProfileSeesWhatIsRatedForChildrenAlone(t *testing.T) {
	r := newRoom(t)
	for i, m := range []struct {
		id string
		bijou.Maturity
		children bool
	}{
		{"unrated", bijou.Maturity{}, false}, {"all", bijou.Maturity{Label: "G"}, true}, {"six", bijou.Maturity{Age: 6}, true},
		{"seven", bijou.Maturity{Age: 7, Label: "PEGI 7"}, true}, {"eight", bijou.Maturity{Age: 8}, false}, {"adult", bijou.Maturity{Age: 18, Label: "R"}, false},
	} {
		r.now = noon.Add(time.Duration(i) * time.Minute)
		title := film(m.id, m.id)
		title.Maturity = m.Maturity
		title = r.publish(t, title, m.id)
		if _, err := r.Blobs.Put(t.Context(), title.Asset.Key(bijou.PosterFile), strings.NewReader("a picture")); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			bijou.Caller
			sees bool
		}{"a child": {bijou.Caller{Children: true}, m.children}, "a grown-up": {bijou.Caller{Account: "acc_1"}, true}, "a guest": {bijou.Caller{}, true}} {
			ctx := bijou.WithCaller(t.Context(), c.Caller)
			_, titleErr := r.PublishedTitle(ctx, title.ID)
			_, posterErr := r.Poster(ctx, OneTitle{title.ID})
			for what, err := range map[string]error{"title": titleErr, "poster": posterErr} {
				if c.sees && err != nil || !c.sees && !errors.Is(err, bijou.NotFound) {
					t.Errorf("%s asks for the %s of %s: got error %v, want it seen: %v", name, what, m.id, err, c.sees)
				}
			}
		}
	}
	ctx := bijou.WithCaller(t.Context(), bijou.Caller{Children: true})
	var names []string
	q := ListQuery{Limit: 1}
	for {
		page, err := r.List(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Titles) == 0 && (page.Next != "" || page.Titles == nil) {
			t.Errorf("page %+v is empty and not the last", page)
		}
		for _, x := range page.Titles {
			names = append(names, x.Name)
		}
		if q.Before = page.Next; page.Next == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "seven six all" {
		t.Errorf("a child's list: got %q, want seven six all", got)
	}
}

func TestThePosterIsThatOfTheAssetThatPlays(t *testing.T) {
	r := newRoom(t)
	title := r.publish(t, film("a", "Alpha"), "one")
	_, err := r.Poster(t.Context(), OneTitle{title.ID})
	wantKind(t, "no poster yet", err, bijou.NotFound)
	if _, err := r.Blobs.Put(t.Context(), title.Asset.Key(bijou.PosterFile), strings.NewReader("a picture")); err != nil {
		t.Fatal(err)
	}
	body, err := r.Poster(t.Context(), OneTitle{title.ID})
	if err != nil || string(body.Bytes) != "a picture" || !strings.Contains(body.ETag, string(title.Asset)) {
		t.Errorf("poster: got %q, ETag %q, %v", body.Bytes, body.ETag, err)
	}
}

func TestTitlesAreTheSameHereAndThere(t *testing.T) {
	r := newRoom(t)
	title := r.publish(t, film("a", "Alpha"), "one")
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, r.Routes()...))
	t.Cleanup(server.Close)
	client := rpc.NewClient(server.URL)
	t.Cleanup(client.Close)
	for where, titles := range map[string]bijou.Titles{"here": r, "there": NewClient(client)} {
		got, err := titles.PublishedTitle(context.Background(), title.ID)
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
		if diff := cmp.Diff(title, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", where, diff)
		}
		_, err = titles.PublishedTitle(context.Background(), "ttl_nobody")
		wantKind(t, where+", an unknown title", err, bijou.NotFound)
	}
	if res, err := http.Get(server.URL + "/api/v1/titles/ttl_a/poster"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("poster there: got %v, %v, want 404", res, err)
	}
}
