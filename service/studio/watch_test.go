package studio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/engine/directory"
)

// inbox is a directory in which a test puts films.
type inbox struct {
	t   *testing.T
	dir string
	at  time.Time
}

// newInbox has the house's processes watch an inbox.
func (h *house) newInbox(t *testing.T) *inbox {
	i := &inbox{t, filepath.Join(t.TempDir(), "inbox"), time.Unix(1_900_000_000, 0)}
	h.inbox = directory.OpenInbox(i.dir)
	return i
}

// put writes a file, later than all before.
func (i *inbox) put(name, content string) {
	i.t.Helper()
	path := filepath.Join(i.dir, name)
	i.at = i.at.Add(time.Second)
	must(i.t, "put "+name, errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, i.at, i.at)))
}

// looks waits for so many looks at the inbox.
func (h *house) looks(n int) {
	pause(context.Background(), time.Duration(n)*h.config.WatchEvery+time.Second)
}

// all returns all titles, without those of series, and waits until none is in work.
func (h *house) all(t *testing.T, s *Service) (titles []bijou.Title) {
	t.Helper()
	h.settle(t)
	page, err := s.Titles(t.Context(), AllTitles{})
	must(t, "titles", err)
	return page.Titles
}

func (h *house) wantTitles(t *testing.T, s *Service, want ...string) {
	t.Helper()
	var got []string
	for _, x := range h.all(t, s) {
		got = append(got, fmt.Sprint(x.Name, ", ", x.State))
	}
	slices.Sort(got)
	wantSame(t, "titles", got, want)
}

func TestAFilmInTheInboxBecomesATitleOnce(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		i := h.newInbox(t)
		s := h.process(t)
		i.put("The_Film.mp4", "film")
		i.put("The_Film.de.srt", subtitles)
		i.put("readme.txt", "no film")
		i.put(".The_Film.mp4.part", "film")
		stop := start(t, s)
		pause(t.Context(), h.config.WatchEvery-time.Second)
		h.wantTitles(t, s) // one look is not enough
		h.looks(1)
		h.wantTitles(t, s, "The Film, published")
		title := h.all(t, s)[0]
		wantSame(t, "tracks", title.Tracks, []bijou.Track{
			{Kind: bijou.Audio, Language: "und", Label: "Unknown language"}, {Kind: bijou.Subtitles, Language: "de", Label: "Deutsch"},
		})
		h.looks(5)
		stop()
		s = h.process(t)
		stop = start(t, s)
		h.looks(3)
		h.wantTitles(t, s, "The Film, published")
		i.put("The_Film.mp4", "another film")
		h.looks(2)
		h.wantTitles(t, s, "The Film, published", "The Film, published")
		// What an operator removes does not come back.
		must(t, "remove", s.RemoveTitle(t.Context(), title.ID))
		stop()
		s = h.process(t)
		start(t, s)
		h.looks(3)
		h.wantTitles(t, s, "The Film, published")
		if keys := h.keys(t, watchedBegun); len(keys) > 0 {
			t.Errorf("films that are begun: got %q, want none", keys)
		}
		if _, err := os.Stat(filepath.Join(i.dir, "The_Film.mp4")); err != nil {
			t.Errorf("the inbox's own file: %v, want it left alone", err)
		}
	})
}

func TestAFilmThatStillGrowsIsLeftAlone(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		i := h.newInbox(t)
		s := h.process(t)
		start(t, s)
		pause(t.Context(), h.config.WatchEvery/2)
		for n := range 10 {
			i.put("film.mp4", strings.Repeat("film ", n+1))
			pause(t.Context(), h.config.WatchEvery)
		}
		h.wantTitles(t, s)
		i.put("film.en.srt", subtitles) // and so does its text track
		h.looks(1)
		h.wantTitles(t, s)
		h.looks(1)
		h.wantTitles(t, s, "film, published")
	})
}

func TestAFileThatIsNoFilmIsRefusedOnceAndListedWithTheReason(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		i := h.newInbox(t)
		i.put("bad.mp4", "rubbish")
		i.put("empty.mp4", "")
		i.put("a\nb.mp4", "film")
		s := h.process(t)
		stop := start(t, s)
		h.looks(3)
		h.wantTitles(t, s, "a b, failed", "bad, failed", "empty, failed")
		for _, x := range h.all(t, s) {
			if x.Reason == "" {
				t.Errorf("title %+v: got no reason, want one", x)
			}
		}
		probes := h.films.calls["bad.mp4 probe"]
		stop()
		s = h.process(t)
		start(t, s)
		h.looks(100)
		h.wantTitles(t, s, "a b, failed", "bad, failed", "empty, failed")
		wantSame(t, "looks into the film", h.films.calls["bad.mp4 probe"], probes)
		for _, x := range h.all(t, s) {
			must(t, "remove", s.RemoveTitle(t.Context(), x.ID))
		}
		h.looks(3)
		h.wantTitles(t, s)
		if keys := h.keys(t, bijou.SourcePath); len(keys) > 0 {
			t.Errorf("sources: got %q, want none", keys)
		}
	})
}

func TestAFilmThatCannotBeTakenNowIsTriedLaterAndLessAndLess(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		i := h.newInbox(t)
		i.put("film.mp4", "film")
		var asked, free atomic.Int64
		s := h.process(t, func(d *Deps) {
			d.Free = func(string) (uint64, error) {
				asked.Add(1)
				return uint64(free.Load()), nil
			}
		})
		start(t, s)
		pause(t.Context(), 10*time.Hour)
		if n := asked.Load(); n < 10 || n > 20 {
			t.Errorf("got %d tries in ten hours, want one a minute first, and one an hour then", n)
		}
		h.wantTitles(t, s)
		free.Store(1 << 40)
		pause(t.Context(), lastWait+h.config.WatchEvery)
		h.wantTitles(t, s, "film, published")
	})
}

func TestNoMoreFilmsAreTakenThanAreMade(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		i := h.newInbox(t)
		for n := range 3 * maxAhead {
			i.put(fmt.Sprint("film ", n, ".mp4"), "film")
		}
		var mu sync.Mutex
		most := 0
		h.films.on = func(ctx context.Context, _, _ string) error {
			page, err := h.catalog.AllTitles(ctx, bijou.TitleQuery{State: bijou.Draft, Limit: 500})
			mu.Lock()
			defer mu.Unlock()
			most = max(most, len(page.Titles))
			return err
		}
		s := h.process(t)
		start(t, s)
		pause(t.Context(), time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if got := len(h.all(t, s)); got != 3*maxAhead || most > maxAhead {
			t.Errorf("got %d titles, at most %d of them in work at once; want all %d, and at most %d", got, most, 3*maxAhead, maxAhead)
		}
	})
}

func TestAnInboxThatIsAwayIsWaitedFor(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		i := h.newInbox(t) // whose directory is made with its first file
		s := h.process(t)
		start(t, s)
		h.looks(5)
		i.put("film.mp4", "film")
		h.looks(2)
		h.wantTitles(t, s, "film, published")
	})
}

func TestAFilmOfTheInboxIsTakenOnceWhereverTheServiceIsKilled(t *testing.T) {
	killed(t, func(t *testing.T, h *house, live func(func(*Service))) {
		i := h.newInbox(t)
		i.put("film.mp4", "film")
		i.put("bad.mp4", "rubbish")
		live(func(s *Service) {
			for !s.Work.(mortalWork).m.isDead() && len(h.keys(t, watchedDone)) < 2 {
				h.looks(1)
			}
		})
		s := h.process(t)
		start(t, s)
		h.looks(10)
		h.wantTitles(t, s, "bad, failed", "film, published")
		if keys := h.keys(t, watchedBegun); len(keys) > 0 {
			t.Errorf("films that are begun: got %q, want none", keys)
		}
		h.swept(t)
	})
}

func TestTextTracksBelongToTheFilmBesideThem(t *testing.T) {
	for file, want := range map[string][2]string{
		"film.en.srt": {"film", "en"}, "a/b/The.Film.pt-BR.vtt": {"a/b/The.Film", "pt-BR"}, "film.srt": {}, "film.en.txt": {}, ".en.srt": {},
		"film.nolanguage.srt": {}, "film.en.SRT": {}, "srt": {}, "": {},
	} {
		film, lang := textOf(file)
		wantSame(t, file, [2]string{film, lang}, want)
	}
	var got []string
	for _, a := range arrivals([]bijou.InboxFile{{Name: "a/film.de.srt"}, {Name: "a/film.MKV"}, {Name: "b.mp4"}, {Name: "c.en.srt"}, {Name: "film.en.srt"}, {Name: "x.jpg"}}) {
		got = append(got, fmt.Sprint(a.film.Name, len(a.texts)))
	}
	wantSame(t, "films and how many texts they have", got, []string{"a/film.MKV1", "b.mp40"})
}

func FuzzTextOf(f *testing.F) {
	f.Add("film.en.srt")
	f.Add("..srt")
	f.Fuzz(func(t *testing.T, file string) {
		film, lang := textOf(file)
		if (film == "") != (lang == "") || film != "" && !strings.HasPrefix(file, film+"."+lang+".") {
			t.Errorf("%q: got film %q and language %q", file, film, lang)
		}
	})
}
