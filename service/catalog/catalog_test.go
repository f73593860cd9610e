package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/sqlite"
	"bijou/kit/rpc"
	"bijou/test/contract"

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

func TestWhatIsNoIdentifierIsNoTitle(t *testing.T) {
	r := newRoom(t)
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, r.Routes()...))
	t.Cleanup(server.Close)
	for _, id := range []string{"nope", "TTL_A", "ttl_", "ast_x", "..%2Fetc%2Fpasswd", "ttl_nobody", strings.Repeat("x", 1000)} {
		for _, path := range []string{"", "/poster"} {
			res, err := http.Get(server.URL + "/api/v1/titles/" + id + path)
			if err != nil || res.StatusCode != http.StatusNotFound {
				t.Errorf("GET %.40q%s: got %v, %v, want 404", id, path, res, err)
			}
		}
		_, err := r.EditTitle(t.Context(), bijou.TitleID(id), bijou.TitleEdit{})
		wantKind(t, "edit "+id, err, bijou.NotFound)
	}
}

func TestAnEditChangesWhatItNamesAndNothingElse(t *testing.T) {
	r := newRoom(t)
	full := film("a", "Alpha")
	full.Synopsis, full.Year, full.Maturity, full.Language = "Of letters.", 2001, bijou.Maturity{Age: 12, Label: "PG"}, "en"
	full.Genres, full.Credit = []string{"Drama"}, "CC0"
	before := r.publish(t, full, "one")
	r.now = noon.Add(time.Hour)
	for what, c := range map[string]struct {
		edit bijou.TitleEdit
		want func(*bijou.Title)
	}{
		"nothing":       {bijou.TitleEdit{}, func(*bijou.Title) {}},
		"the name":      {bijou.TitleEdit{Name: new(" Beta ")}, func(v *bijou.Title) { v.Name = "Beta" }},
		"the synopsis":  {bijou.TitleEdit{Synopsis: new("")}, func(v *bijou.Title) { v.Synopsis = "" }},
		"the year":      {bijou.TitleEdit{Year: new(0)}, func(v *bijou.Title) { v.Year = 0 }},
		"the age":       {bijou.TitleEdit{Maturity: &bijou.MaturityEdit{Age: new(0)}}, func(v *bijou.Title) { v.Maturity.Age = 0 }},
		"the rating":    {bijou.TitleEdit{Maturity: &bijou.MaturityEdit{Label: new("")}}, func(v *bijou.Title) { v.Maturity.Label = "" }},
		"the language":  {bijou.TitleEdit{Language: new("PT-br")}, func(v *bijou.Title) { v.Language = "pt-BR" }},
		"no language":   {bijou.TitleEdit{Language: new("")}, func(v *bijou.Title) { v.Language = "" }},
		"the genres":    {bijou.TitleEdit{Genres: &[]string{"A", "B"}}, func(v *bijou.Title) { v.Genres = []string{"A", "B"} }},
		"the credit":    {bijou.TitleEdit{Credit: new("")}, func(v *bijou.Title) { v.Credit = "" }},
		"name and year": {bijou.TitleEdit{Name: new("Beta"), Year: new(1999)}, func(v *bijou.Title) { v.Name, v.Year = "Beta", 1999 }},
	} {
		if err := r.titles.PutTitle(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		want := before
		want.Updated = r.now
		c.want(&want)
		got, err := r.EditTitle(t.Context(), before.ID, c.edit)
		if err != nil {
			t.Errorf("edit %s: %v", what, err)
		}
		kept, err := r.AnyTitle(t.Context(), before.ID)
		if diff := cmp.Diff(want, kept); err != nil || diff != "" || !cmp.Equal(got, kept) {
			t.Errorf("edit %s: answered %+v, %v, kept (-want +got):\n%s", what, got, err, diff)
		}
	}
}

func TestAnEditThatNoCatalogueCanHoldChangesNothing(t *testing.T) {
	r := newRoom(t)
	before := r.publish(t, film("a", "Alpha"), "one")
	for words, edit := range map[string]bijou.TitleEdit{
		"the name is empty":          {Name: new(" ")},
		"control character":          {Name: new("two\nlines")},
		"turns the direction":        {Name: new("film\u202egpj.mp4")},
		"301 bytes":                  {Name: new(strings.Repeat("x", 301))},
		"4001 characters":            {Synopsis: new(strings.Repeat("é", 4001))},
		"year 99999":                 {Year: new(99999)},
		"year -1":                    {Year: new(-1)},
		"age 22":                     {Maturity: &bijou.MaturityEdit{Age: new(22)}},
		"rating has 17":              {Maturity: &bijou.MaturityEdit{Label: new(strings.Repeat("x", 17))}},
		"not a language tag":         {Language: new("English, of course")},
		"21 genres":                  {Genres: new(make([]string, 21))},
		"a genre: the name is empty": {Genres: &[]string{""}},
		"credit has 1001":            {Credit: new(strings.Repeat("x", 1001))},
		"credit is not UTF-8":        {Credit: new("\xff")},
	} {
		_, err := r.EditTitle(t.Context(), before.ID, edit)
		wantKind(t, words, err, bijou.Invalid)
		if err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want it to say %q", err, words)
		}
	}
	if after, err := r.AnyTitle(t.Context(), before.ID); err != nil || !cmp.Equal(before, after) {
		t.Errorf("after refused edits: %v\n%s", err, cmp.Diff(before, after))
	}
}

func TestEditsOfDifferentThingsAtOnceAllHold(t *testing.T) {
	r := newRoom(t)
	before := r.publish(t, film("a", "Alpha"), "one")
	for round := range 20 {
		words, year := fmt.Sprint("round ", round), 2000+round
		asset := assetOf(before, fmt.Sprint("n", round))
		var all sync.WaitGroup
		for _, change := range []func() error{
			func() error {
				_, err := r.EditTitle(t.Context(), before.ID, bijou.TitleEdit{Synopsis: &words})
				return err
			},
			func() error {
				_, err := r.EditTitle(t.Context(), before.ID, bijou.TitleEdit{Credit: &words})
				return err
			},
			func() error { _, err := r.EditTitle(t.Context(), before.ID, bijou.TitleEdit{Year: &year}); return err },
			func() error { _, err := r.PublishAsset(t.Context(), asset); return err },
		} {
			all.Go(func() {
				if err := change(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		got, err := r.AnyTitle(t.Context(), before.ID)
		if err != nil || got.Synopsis != words || got.Credit != words || got.Year != year || got.Asset != asset.ID {
			t.Fatalf("round %d: kept %+v, %v, want all four changes", round, got, err)
		}
	}
}

func TestOperatorsAloneEditTitles(t *testing.T) {
	r := newRoom(t)
	title := r.publish(t, film("a", "Alpha"), "one")
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, r.Routes()...))
	t.Cleanup(server.Close)
	for caller, c := range map[string]struct {
		caller bijou.Caller
		kind   bijou.Kind
	}{
		"a guest": {bijou.Caller{}, bijou.Denied}, "a member": {bijou.Caller{Account: "acc_1", Profile: "prf_1"}, bijou.Denied}, "an operator": {bijou.Caller{Operator: "opr_1", Role: bijou.RoleOperator}, ""},
	} {
		client := rpc.NewClient(server.URL, rpc.Trusted())
		t.Cleanup(client.Close)
		got, err := NewClient(client).EditTitle(bijou.WithCaller(t.Context(), c.caller), title.ID, bijou.TitleEdit{Name: &caller, Genres: &[]string{}})
		switch {
		case c.kind != "":
			wantKind(t, caller+" edits", err, c.kind)
		case err != nil || got.Name != caller:
			t.Errorf("%s edits: got %+v, %v, want the new name", caller, got, err)
		}
	}
	if got, err := r.AnyTitle(t.Context(), title.ID); err != nil || got.Name != "an operator" {
		t.Errorf("kept %q, %v, want the operator's name", got.Name, err)
	}
}

func TestAnEditOutlivesAKill(t *testing.T) {
	open := func(t *testing.T, dir string) *Service {
		titles, err := sqlite.OpenCatalog(t.Context(), filepath.Join(dir, "catalog.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { titles.Close() })
		return New(Deps{Titles: titles, Now: time.Now})
	}
	contract.Kill(t, 4, func(t *testing.T, dir string, ack func(string)) {
		s := open(t, dir)
		title, err := s.CreateTitle(t.Context(), film("a", "0"))
		for n := title.Year + 1; err == nil && n <= 9999; n++ {
			if _, err = s.EditTitle(t.Context(), title.ID, bijou.TitleEdit{Year: &n, Credit: new(fmt.Sprint(n))}); err == nil {
				ack(fmt.Sprint(n))
			}
		}
		t.Fatal(err)
	}, func(t *testing.T, dir string, acked []string) {
		ns := contract.Numbered(t, acked)
		last := ns[len(ns)-1]
		got, err := open(t, dir).AnyTitle(t.Context(), "ttl_a")
		// One more may have been on its way when the kill came.
		if err != nil || got.Year < last || got.Year > last+1 || got.Credit != fmt.Sprint(got.Year) {
			t.Errorf("got %+v, %v, want edit %d or the one after it, whole", got, err, last)
		}
	})
}

// episode is published as the number of the season of the series.
func (r *room) episode(t *testing.T, series string, season, number int, id string) bijou.Title {
	t.Helper()
	within, err := r.SeasonOf(t.Context(), series, season)
	if err != nil {
		t.Fatal(err)
	}
	title := film(id, "Part "+id)
	title.Kind, title.Parent, title.Number = bijou.Episode, within.ID, number
	return r.publish(t, title, id)
}

func TestASeasonIsFoundOrMadeByTheNameOfItsSeries(t *testing.T) {
	r := newRoom(t)
	one, err := r.SeasonOf(t.Context(), " Élan! ", 1)
	if err != nil || one.Kind != bijou.Season || one.Number != 1 || one.Name != "Season 1" {
		t.Fatalf("made %+v, %v, want season 1", one, err)
	}
	again, err := r.SeasonOf(t.Context(), "ÉLAN!", 1)
	if err != nil || again.ID != one.ID {
		t.Errorf("asked for again: %+v, %v, want the same", again, err)
	}
	two, err := r.SeasonOf(t.Context(), "Élan!", 2)
	if err != nil || two.ID == one.ID || two.Parent != one.Parent {
		t.Errorf("season 2: %+v, %v, want another of the same series", two, err)
	}
	other, err := r.SeasonOf(t.Context(), "Elan!", 1)
	if err != nil || other.Parent == one.Parent {
		t.Errorf("another series: %+v, %v, want one of its own", other, err)
	}
	if _, err := r.EditTitle(t.Context(), other.Parent, bijou.TitleEdit{Name: new("Élan!")}); err != nil {
		t.Fatal(err)
	}
	_, err = r.SeasonOf(t.Context(), "Élan!", 1)
	wantKind(t, "two series of the name", err, bijou.Conflict)
	for _, name := range []string{"", "two\nlines", strings.Repeat("x", 301)} {
		_, err := r.SeasonOf(t.Context(), name, 1)
		wantKind(t, "a name that is none", err, bijou.Invalid)
	}
	_, err = r.SeasonOf(t.Context(), "Third", 0)
	wantKind(t, "season 0", err, bijou.Invalid)
}

func TestOneSeriesIsMadeHoweverManyAskAtOnce(t *testing.T) {
	r := newRoom(t)
	ids := make(chan bijou.TitleID, 8)
	var all sync.WaitGroup
	for range cap(ids) {
		all.Go(func() {
			season, err := r.SeasonOf(t.Context(), "Show", 1)
			if err != nil {
				t.Error(err)
			}
			ids <- season.ID
		})
	}
	all.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("seasons %s and %s were made, want one", first, id)
		}
	}
}

func TestASeriesIsSeenWithItsFirstEpisodeAndHasItsPoster(t *testing.T) {
	r := newRoom(t)
	second := r.episode(t, "Show", 2, 1, "c")
	first := r.episode(t, "Show", 1, 7, "b")
	r.episode(t, "Show", 1, 8, "a")
	alone := r.publish(t, film("x", "Film"), "x")
	hidden, err := r.SeasonOf(t.Context(), "Hidden", 1)
	if err != nil {
		t.Fatal(err)
	}
	page, err := r.List(t.Context(), ListQuery{Top: true})
	if err != nil || len(page.Titles) != 2 {
		t.Fatalf("films and series: got %+v, %v, want the film and the show", page, err)
	}
	season, err := r.PublishedTitle(t.Context(), first.Parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []bijou.Title{first, second} {
		if _, err := r.Blobs.Put(t.Context(), x.Asset.Key(bijou.PosterFile), strings.NewReader(x.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[bijou.TitleID]string{season.Parent: first.Name, season.ID: first.Name, second.Parent: second.Name, second.ID: second.Name} {
		if body, err := r.Poster(t.Context(), OneTitle{id}); err != nil || string(body.Bytes) != want {
			t.Errorf("poster of %s: got %q, %v, want that of %q", id, body.Bytes, err, want)
		}
	}
	_, err = r.Poster(t.Context(), OneTitle{hidden.Parent})
	wantKind(t, "poster of a series that nobody sees", err, bijou.NotFound)
	_, err = r.Poster(t.Context(), OneTitle{alone.ID})
	wantKind(t, "poster of a film that has none", err, bijou.NotFound)
	twice := film("twice", "Twice")
	twice.Kind, twice.Parent, twice.Number = bijou.Episode, season.ID, 7
	_, err = r.CreateTitle(t.Context(), twice)
	wantKind(t, "an episode whose number is taken", err, bijou.Conflict)
}

func TestMembersSearchWhatIsPublished(t *testing.T) {
	r := newRoom(t)
	alpha := film("a", "Amélie")
	alpha.Genres = []string{"Comedy"}
	alpha = r.publish(t, alpha, "a")
	if _, err := r.CreateTitle(t.Context(), film("b", "Amelie, a draft")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, r.Routes()...))
	t.Cleanup(server.Close)
	for q, want := range map[string]int{"amelie": 1, "COMEDY+am": 1, "draft": 0, "": 1} {
		res, err := http.Get(server.URL + "/api/v1/titles?q=" + q)
		if err != nil {
			t.Fatal(err)
		}
		var page bijou.TitlePage
		if err := errors.Join(json.NewDecoder(res.Body).Decode(&page), res.Body.Close()); err != nil || len(page.Titles) != want {
			t.Errorf("search for %q: got %+v, %v, want %d titles such as %s", q, page, err, want, alpha.Name)
		}
	}
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
