package contract

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bijou"
)

// TitleStore checks what bijou.TitleStore promises. open returns a store that holds nothing.
func TitleStore(t *testing.T, open func(t *testing.T) bijou.TitleStore) {
	run(t, open, "ATitleComesBackWholeAndIsReplacedWhole", titleRoundTrip)
	run(t, open, "ATitleThatNoCatalogueCanHoldIsInvalid", titleInvalid)
	run(t, open, "AParentMustExist", titleParent)
	run(t, open, "AnUnknownTitleIsNotFound", titleUnknown)
	run(t, open, "PagesComeNewestFirstAndMissNothing", titlePages)
	run(t, open, "PagesOfAStateAndOfAParent", titleFilters)
	run(t, open, "TitlesAreFoundByWordsOfWhatIsToldOfThem", titleWords)
	run(t, open, "PagesOfTitlesWithoutAParent", titleTop)
	run(t, open, "APageThatCannotBeIsInvalid", titleBadPages)
	run(t, open, "ATitleWithChildrenStays", titleRemove)
	run(t, open, "ManyPutAtOnce", titleTogether)
}

func film(n int) bijou.Title {
	return bijou.Title{
		ID: bijou.TitleID(fmt.Sprintf("ttl_%03d", n)), Kind: bijou.Film, Name: fmt.Sprintf("Film №%d", n), State: bijou.Draft,
		Added: noon.Add(time.Duration(n) * time.Second), Updated: noon,
	}
}

func putTitle(t *testing.T, s bijou.TitleStore, v bijou.Title) {
	t.Helper()
	must(t, "put title "+v.Name, s.PutTitle(t.Context(), v))
}

func wantTitle(t *testing.T, s bijou.TitleStore, want bijou.Title) {
	t.Helper()
	got, err := s.Title(t.Context(), want.ID)
	must(t, "title", err)
	wantSame(t, "title "+want.Name, got, want)
}

func titleRoundTrip(t *testing.T, s bijou.TitleStore) {
	full := film(1)
	full.Synopsis, full.Year, full.Maturity, full.Language = "A “robot” & <love>\nin two lines", 2012, bijou.Maturity{Age: 12, Label: "PG-13"}, "en"
	full.Genres, full.Credit, full.State, full.Reason = []string{"Science fiction", "Short"}, "CC BY 3.0", bijou.Published, "because"
	full.Asset, full.RuntimeMS, full.Width, full.Height = "ast_1", 734167, 1920, 800
	full.Tracks = []bijou.Track{{Kind: bijou.Audio, Language: "en", Label: "Original"}, {Kind: bijou.Captions, Language: "de"}}
	putTitle(t, s, full)
	wantTitle(t, s, full)
	bare := film(1)
	bare.Name = "other"
	putTitle(t, s, bare)
	wantTitle(t, s, bare)
	page, err := s.Titles(t.Context(), bijou.TitleQuery{Limit: 10})
	must(t, "titles", err)
	wantSame(t, "titles", page, bijou.TitlePage{Titles: []bijou.Title{bare}})
}

func titleInvalid(t *testing.T, s bijou.TitleStore) {
	kept := film(1)
	putTitle(t, s, kept)
	for what, change := range map[string]func(*bijou.Title){
		"no name":          func(v *bijou.Title) { v.Name = " " },
		"a name too long":  func(v *bijou.Title) { v.Name = strings.Repeat("n", bijou.MaxName+1) },
		"a newline":        func(v *bijou.Title) { v.Name = "two\nlines" },
		"another's prefix": func(v *bijou.Title) { v.ID = "ast_1" },
		"no kind":          func(v *bijou.Title) { v.Kind = "" },
		"no state":         func(v *bijou.Title) { v.State = "" },
		"an age of 99":     func(v *bijou.Title) { v.Maturity.Age = 99 },
		"a film's parent":  func(v *bijou.Title) { v.Parent = "ttl_002" },
	} {
		v := film(1)
		change(&v)
		wantKind(t, "put a title with "+what, s.PutTitle(t.Context(), v), bijou.Invalid)
	}
	wantTitle(t, s, kept)
}

func child(n int, kind bijou.TitleKind, parent bijou.TitleID) bijou.Title {
	v := film(n)
	v.Kind, v.Parent, v.Number = kind, parent, n
	return v
}

func titleParent(t *testing.T, s bijou.TitleStore) {
	season := child(2, bijou.Season, "ttl_001")
	wantKind(t, "put a season whose series is unknown", s.PutTitle(t.Context(), season), bijou.NotFound)
	_, err := s.Title(t.Context(), season.ID)
	wantKind(t, "the refused season", err, bijou.NotFound)
	series := film(1)
	series.Kind = bijou.Series
	putTitle(t, s, series)
	putTitle(t, s, season)
	wantTitle(t, s, season)
}

func titleUnknown(t *testing.T, s bijou.TitleStore) {
	putTitle(t, s, film(1))
	_, err := s.Title(t.Context(), "ttl_none")
	wantKind(t, "title", err, bijou.NotFound)
	wantKind(t, "remove title", s.RemoveTitle(t.Context(), "ttl_none"), bijou.NotFound)
}

// pages asks for all pages of the query.
func pages(t *testing.T, s bijou.TitleStore, q bijou.TitleQuery) (all []bijou.Title) {
	t.Helper()
	for {
		page, err := s.Titles(t.Context(), q)
		must(t, "titles", err)
		if len(page.Titles) > q.Limit {
			t.Fatalf("page of at most %d: got %d titles", q.Limit, len(page.Titles))
		}
		all = append(all, page.Titles...)
		if page.Next == "" {
			return all
		}
		if len(page.Titles) == 0 {
			t.Fatalf("got an empty page with a next")
		}
		q.Before = page.Next
	}
}

func titlePages(t *testing.T, s bijou.TitleStore) {
	var want []bijou.Title // newest first
	for n := 11; n >= 0; n-- {
		want = append(want, film(n))
	}
	for i := range want {
		putTitle(t, s, want[(i*5)%len(want)])
	}
	for _, limit := range []int{1, 2, 5, 11, 12, 13, 500} {
		wantSame(t, fmt.Sprintf("pages of %d", limit), pages(t, s, bijou.TitleQuery{Limit: limit}), want)
	}
	// Titles added at one moment have no order, but each is there once.
	for n := 20; n < 30; n++ {
		v := film(n)
		v.Added = noon.Add(time.Hour)
		putTitle(t, s, v)
	}
	seen := map[bijou.TitleID]int{}
	for _, v := range pages(t, s, bijou.TitleQuery{Limit: 3}) {
		seen[v.ID]++
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("title %s stands on %d pages, want 1", id, times)
		}
	}
	wantSame(t, "titles on all pages", len(seen), 22)
}

func titleFilters(t *testing.T, s bijou.TitleStore) {
	series := film(1)
	series.Kind, series.State = bijou.Series, bijou.Published
	putTitle(t, s, series)
	want := map[bijou.TitleQuery][]bijou.Title{}
	for n := 20; n > 1; n-- {
		v := film(n)
		if n%2 == 0 {
			v = child(n, bijou.Season, series.ID)
		}
		v.State = []bijou.TitleState{bijou.Draft, bijou.Published, bijou.Failed}[n%3]
		for _, q := range []bijou.TitleQuery{{}, {State: v.State}, {Parent: v.Parent}, {State: v.State, Parent: v.Parent}} {
			if q != (bijou.TitleQuery{}) && (v.Parent != "" || q.Parent == "" && q.State != "") {
				want[q] = append(want[q], v)
			}
		}
	}
	for _, vs := range want {
		for _, v := range vs {
			putTitle(t, s, v)
		}
	}
	for q, vs := range want {
		if q.Parent == "" && q.State == series.State {
			vs = append(vs, series)
		}
		q.Limit = 4
		got := pages(t, s, q)
		seen := map[bijou.TitleID]bool{}
		var unique []bijou.Title
		for _, v := range vs { // a title whose parent is empty was noted once for its state and once for both
			if !seen[v.ID] {
				unique = append(unique, v)
			}
			seen[v.ID] = true
		}
		wantSame(t, fmt.Sprintf("titles of %+v", q), got, unique)
	}
}

func titleWords(t *testing.T, s bijou.TitleStore) {
	one, two, three := film(1), film(2), film(3)
	one.Name, one.Synopsis, one.Genres, one.Year = "Amélie from Montmartre", "She sets out to mend lives.", []string{"Comedy", "Ünusual"}, 2001
	two.Name, two.Credit, two.State = "100% STRASSE_'\"\\", "Made by ﬁlm & Co", bijou.Published
	three.Name, three.Synopsis, three.Kind, three.State = "千と千尋の神隠し", "A bathhouse. She works.", bijou.Series, bijou.Published
	for _, v := range []bijou.Title{one, two, three} {
		putTitle(t, s, v)
	}
	season := child(4, bijou.Season, three.ID)
	season.Name = "Season she"
	putTitle(t, s, season)
	for words, want := range map[string][]bijou.Title{
		"amelie": {one}, "AMÉLIE": {one}, "montmartre amélie": {one}, "mont lie": {one}, "comedy 2001": {one}, "unusual": {one}, "2001 2002": nil,
		"%": {two}, "100%": {two}, "_": {two}, "'": {two}, "\"": {two}, "\\": {two}, "straße": {two}, "film &": {two}, "千尋": {three}, "千 神": {three},
		"she": {three, one}, " She\twORKs ": {three}, "season": nil, "amelie 100%": nil, "*": nil, "": {season, three, two, one}, " ": {season, three, two, one},
	} {
		wantSame(t, fmt.Sprintf("titles with %q", words), pages(t, s, bijou.TitleQuery{Words: words, Limit: 1}), want)
	}
	wantSame(t, "published titles with e", pages(t, s, bijou.TitleQuery{Words: "e", State: bijou.Published, Limit: 9}), []bijou.Title{three, two})
	one.Name = "Another"
	putTitle(t, s, one)
	wantSame(t, "titles with the former name", pages(t, s, bijou.TitleQuery{Words: "amelie", Limit: 9}), nil)
	wantSame(t, "titles with the new name", pages(t, s, bijou.TitleQuery{Words: "anoth", Limit: 9}), []bijou.Title{one})
}

func titleTop(t *testing.T, s bijou.TitleStore) {
	series := film(1)
	series.Kind = bijou.Series
	season := child(2, bijou.Season, series.ID)
	other := film(3)
	for _, v := range []bijou.Title{series, season, other} {
		putTitle(t, s, v)
	}
	wantSame(t, "titles without a parent", pages(t, s, bijou.TitleQuery{Top: true, Limit: 1}), []bijou.Title{other, series})
}

func titleBadPages(t *testing.T, s bijou.TitleStore) {
	putTitle(t, s, film(1))
	for _, limit := range []int{-1, 0, 501} {
		_, err := s.Titles(t.Context(), bijou.TitleQuery{Limit: limit})
		wantKind(t, fmt.Sprintf("page of %d", limit), err, bijou.Invalid)
	}
	for _, before := range []string{"x", "%%%", "ttl_001", "AAAA", "MTIz", strings.Repeat("A", 1000)} {
		_, err := s.Titles(t.Context(), bijou.TitleQuery{Limit: 10, Before: before})
		wantKind(t, fmt.Sprintf("page before %.20q", before), err, bijou.Invalid)
	}
}

func titleRemove(t *testing.T, s bijou.TitleStore) {
	series := film(1)
	series.Kind = bijou.Series
	one, two := child(2, bijou.Season, series.ID), child(3, bijou.Season, series.ID)
	first, second, other := child(4, bijou.Episode, one.ID), child(5, bijou.Episode, one.ID), child(6, bijou.Episode, two.ID)
	for _, v := range []bijou.Title{series, one, two, first, second, other} {
		putTitle(t, s, v)
	}
	wantKind(t, "remove a series with seasons", s.RemoveTitle(t.Context(), series.ID), bijou.Conflict)
	wantKind(t, "remove a season with episodes", s.RemoveTitle(t.Context(), one.ID), bijou.Conflict)
	for _, c := range []struct {
		gone bijou.Title
		left []bijou.Title
	}{
		{first, []bijou.Title{other, second, two, one, series}},
		{second, []bijou.Title{other, two, series}}, // the season that is empty goes too
		{other, nil},
	} {
		must(t, "remove "+c.gone.Name, s.RemoveTitle(t.Context(), c.gone.ID))
		_, err := s.Title(t.Context(), c.gone.ID)
		wantKind(t, "the removed title", err, bijou.NotFound)
		wantKind(t, "remove it again", s.RemoveTitle(t.Context(), c.gone.ID), bijou.NotFound)
		wantSame(t, "titles that are left without "+c.gone.Name, pages(t, s, bijou.TitleQuery{Limit: 10}), c.left)
	}
	empty := film(7)
	empty.Kind = bijou.Series
	putTitle(t, s, empty)
	must(t, "remove a series that holds nothing", s.RemoveTitle(t.Context(), empty.ID))
}

func titleTogether(t *testing.T, s bijou.TitleStore) {
	together(8, func(i int) {
		for n := range 5 {
			v := film(i*5 + n)
			if err := s.PutTitle(t.Context(), v); err != nil {
				t.Errorf("put title: %v", err)
			}
			if _, err := s.Title(t.Context(), v.ID); err != nil {
				t.Errorf("title right after it was put: %v", err)
			}
		}
	})
	wantSame(t, "titles", len(pages(t, s, bijou.TitleQuery{Limit: 7})), 40)
}
