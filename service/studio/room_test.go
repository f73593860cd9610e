package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
)

// virtual runs the test with virtual time, on a house of its own.
func virtual(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	f := newFilms(t)
	synctest.Test(t, func(t *testing.T) { test(t, newHouse(t, f)) })
}

func TestAFilmThatIsAddedIsPublishedWithEveryFileThatItsAssetNames(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		id := add(t, s, "The_Film.mp4", "text empty-text")
		title := h.published(t, s, id)
		wantSame(t, "name", title.Name, "The Film")
		wantSame(t, "tracks", title.Tracks, []bijou.Track{
			{Kind: bijou.Audio, Language: "und", Label: "Unknown language"}, {Kind: bijou.Subtitles, Language: "en", Label: "English"},
			{Kind: bijou.Captions, Language: "de", Label: "text"},
		})
		h.settle(t)
		h.forgotten(t, id)
		if keys := h.keys(t, bijou.SourcePath); len(keys) > 0 {
			t.Errorf("sources after the title is published: got %q, want none", keys)
		}
		a, files := h.asset(t, title), h.files(t, title)
		for _, name := range named(a) {
			if files[name] == "" {
				t.Errorf("asset names %s: got no such file in %v", name, slices.Sorted(maps.Keys(files)))
			}
			delete(files, name)
		}
		if len(files) > 0 {
			t.Errorf("files that the asset does not name: got %v, want none", slices.Sorted(maps.Keys(files)))
		}
		wantSame(t, "size", []int{title.Width, title.Height, len(a.Video)}, []int{320, 180, 2})
		if got := a.RuntimeMS; got < 9_900 || got > 10_100 {
			t.Errorf("runtime: got %d ms, want 10,000 within one frame or two", got)
		}
		h.films.once(t)
	})
}

// asset reads the asset's own note.
func (h *house) asset(t *testing.T, title bijou.Title) (a bijou.Asset) {
	t.Helper()
	r, _, err := h.blobs.Get(t.Context(), title.Asset.Key(bijou.AssetFile), 0, -1)
	must(t, "get the asset's note", err)
	must(t, "read the asset's note", errors.Join(json.NewDecoder(r).Decode(&a), r.Close()))
	return a
}

// named returns the names of all files that an asset is made of.
func named(a bijou.Asset) []string {
	names := []string{bijou.AssetFile}
	if a.Poster != "" {
		names = append(names, a.Poster)
	}
	var media []bijou.Media
	for _, v := range a.Video {
		media = append(media, v.Media)
	}
	for _, x := range a.Audio {
		media = append(media, x.Media)
	}
	for _, m := range media {
		names = append(names, m.Name+"/"+bijou.InitFile, m.Name+"/"+bijou.PlaylistFile)
		for i := range m.Segments {
			names = append(names, m.Name+"/"+bijou.SegmentFile(i+1))
		}
	}
	for _, x := range a.Text {
		names = append(names, x.Name+"/"+bijou.TextFile, x.Name+"/"+bijou.PlaylistFile)
	}
	return names
}

func TestAPosterThatCannotBeHadIsLeftOut(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.films.dark = true
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.mp4", "dark"))
		if a := h.asset(t, title); a.Poster != "" {
			t.Errorf("poster: got %q, want none", a.Poster)
		}
	})
}

func TestWhereNoOtherPictureCanBeHadTheFirstIsThePoster(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.films.dark, h.films.first = true, true
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.ts", "one key frame"))
		if a := h.asset(t, title); a.Poster == "" {
			t.Error("the title has no poster, want the first picture")
		}
	})
}

func TestATextTrackOfTheFilmThatCannotBeReadIsLeftOut(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.films.on = func(_ context.Context, _, step string) error {
			if step == "text" {
				return fmt.Errorf("film.mkv has text in bytes that are none: %w", bijou.Invalid)
			}
			return nil
		}
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.mkv", "text"))
		if a := h.asset(t, title); len(a.Text) != 1 || a.Text[0].Language != "en" {
			t.Errorf("text: got %+v, want that of the file beside the film alone", a.Text)
		}
	})
}

func TestAStepThatFailsForGoodFailsTheTitleAndLeavesNothing(t *testing.T) {
	for _, kind := range []bijou.Kind{bijou.Invalid, bijou.Exhausted, bijou.Unsupported, bijou.Corrupt} {
		for _, step := range []string{"poster", "audio", "text", "video-120", "video-180"} {
			t.Run(fmt.Sprint(step, " ", kind), func(t *testing.T) {
				virtual(t, func(t *testing.T, h *house) {
					h.films.on = func(_ context.Context, _, at string) error {
						if at == step {
							return fmt.Errorf("film.mp4 breaks: give another: %w", kind)
						}
						return nil
					}
					s := h.process(t)
					start(t, s)
					if (step == "poster" || step == "text") && kind == bijou.Invalid {
						return // is left out, as other tests say
					}
					id := add(t, s, "film.mp4", "text")
					all, err := follow(t, s, id)
					must(t, "follow", err)
					wantSame(t, "last state told", all[len(all)-1].State, bijou.Failed)
					wantSame(t, "reason told", all[len(all)-1].Reason, "film.mp4 breaks: give another")
					h.settle(t)
					h.failed(t, id, "film.mp4 breaks: give another")
					h.nothingOf(t, id)
					if n := h.films.calls["film.mp4 "+step]; n != 1 {
						t.Errorf("%s: done %d times, want once, as trying again is of no use", step, n)
					}
					must(t, "remove", s.RemoveTitle(t.Context(), id))
					h.noTitle(t, id)
				})
			})
		}
	}
}

func TestWhatIsUnavailableIsTriedAgain(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		times := 0
		h.films.on = func(_ context.Context, _, step string) error {
			if step == "video-120" && times < 3 {
				times++
				return fmt.Errorf("no answer: %w", bijou.Unavailable)
			}
			return nil
		}
		s := h.process(t)
		start(t, s)
		h.published(t, s, add(t, s, "film.mp4", "film"))
		wantSame(t, "tries", h.films.calls["film.mp4 video-120"], 4)
	})
}

func TestTheBarNeverGoesBack(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		var once sync.Once
		h.films.on = func(ctx context.Context, _, step string) (err error) {
			if step == "video-180" { // a quarter is done
				pause(ctx, 3*time.Second)
				once.Do(func() { err = fmt.Errorf("no answer: %w", bijou.Unavailable) })
			}
			return err
		}
		s := h.process(t)
		start(t, s)
		all, err := follow(t, s, add(t, s, "film.mp4", "film"))
		must(t, "follow", err)
		if len(all) < 3 || all[len(all)-1].Progress != 1 {
			t.Errorf("progress: got %+v, want it to rise in steps, up to 1", all)
		}
	})
}

func TestAStepThatNeverSucceedsIsGivenUp(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.films.on = func(_ context.Context, _, step string) error {
			if step == "audio" {
				return fmt.Errorf("ffmpeg is not installed: install it: %w", bijou.Unavailable)
			}
			return nil
		}
		s := h.process(t)
		start(t, s)
		id := add(t, s, "film.mp4", "film")
		_, err := follow(t, s, id)
		must(t, "follow", err)
		h.settle(t)
		h.failed(t, id, fmt.Sprintf("gave up after %d tries: ffmpeg is not installed: install it", maxAttempts))
		h.nothingOf(t, id)
		wantSame(t, "tries", h.films.calls["film.mp4 audio"], maxAttempts)
	})
}

func TestStopsInGoodOrderAreNoTries(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		begun := make(chan struct{})
		h.films.on = func(ctx context.Context, _, step string) error {
			if step != "audio" {
				return nil
			}
			begun <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		s := h.process(t)
		stop := start(t, s)
		id := add(t, s, "film.mp4", "film")
		for range maxAttempts + 2 {
			<-begun
			stop()
			stop = start(t, h.process(t))
		}
		<-begun
		stop()
		h.films.on = nil
		start(t, s)
		h.published(t, s, id)
	})
}

func TestAStepThatEachTimeTakesTheProcessDownIsGivenUp(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		id := add(t, s, "film.mp4", "film")
		for range maxAttempts { // leased, and never heard of again
			if _, err := h.work.Lease(t.Context(), "killed", time.Second, time.Now()); err != nil {
				t.Fatal(err)
			}
			pause(t.Context(), time.Second)
		}
		start(t, s)
		_, err := follow(t, s, id)
		must(t, "follow", err)
		h.settle(t)
		title, err := s.Title(t.Context(), id)
		if err != nil || title.State != bijou.Failed || !strings.Contains(title.Reason, "lack of memory") {
			t.Errorf("title: got %s for %q, %v, want failed for what may be a lack of memory", title.State, title.Reason, err)
		}
		h.nothingOf(t, id)
	})
}

func TestRemovingATitleInWorkStopsTheEncodeAndLeavesNothing(t *testing.T) {
	for _, where := range []string{"in the process that encodes", "in another process"} {
		t.Run(where, func(t *testing.T) {
			virtual(t, func(t *testing.T, h *house) {
				begun, stopped := make(chan struct{}), make(chan struct{})
				h.films.on = func(ctx context.Context, film, step string) error {
					if step == "video-180" && film == "film.mp4" {
						close(begun)
						<-ctx.Done()
						close(stopped)
						return ctx.Err()
					}
					return nil
				}
				s := h.process(t)
				start(t, s)
				id := add(t, s, "film.mp4", "film")
				<-begun
				remover := s
				if where == "in another process" {
					remover = h.process(t)
				}
				must(t, "remove", remover.RemoveTitle(t.Context(), id))
				h.noTitle(t, id)
				<-stopped
				h.settle(t)
				h.noTitle(t, id)
				h.nothingOf(t, id)
				_, err := follow(t, s, id)
				wantKind(t, "follow a title that is removed", err, bijou.NotFound)
				wantKind(t, "remove it again", s.RemoveTitle(t.Context(), id), bijou.NotFound)
				h.published(t, s, add(t, s, "other.mp4", "film")) // and the room goes on
			})
		})
	}
}

func TestWhoFollowsATitleLearnsThatItWasRemoved(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.films.on = func(ctx context.Context, _, step string) error {
			if step == "audio" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		s := h.process(t)
		start(t, s)
		id := add(t, s, "film.mp4", "film")
		err := s.Follow(t.Context(), id, func(p Progress) error {
			if p.Step != "audio-und" {
				return nil
			}
			return s.RemoveTitle(t.Context(), id)
		})
		wantKind(t, "follow", err, bijou.NotFound)
		stop := errors.New("enough seen")
		other := add(t, s, "other.mp4", "silent")
		if err := s.Follow(t.Context(), other, func(Progress) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("follow with a send that fails: got %v, want %v", err, stop)
		}
		h.settle(t)
	})
}

func TestRemovingAPublishedTitleLeavesNothing(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		id := add(t, s, "film.mp4", "film")
		h.published(t, s, id)
		h.settle(t)
		must(t, "remove", s.RemoveTitle(t.Context(), id))
		h.settle(t)
		h.noTitle(t, id)
		h.nothingOf(t, id)
	})
}

// episode adds an episode of a series.
func episode(t *testing.T, r room, series string, season, number int) (bijou.Title, error) {
	t.Helper()
	file := fmt.Sprintf("s%d e%d.mp4", season, number)
	return r.AddTitle(asOperator(t), AddTitle{Source: handIn(t, r, file, "film"), Series: series, Season: season, Episode: number})
}

func TestEpisodesMakeTheirSeriesAndTheLastOneTakesItAlong(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		first, err := episode(t, s, "The Show", 0, 1) // of season 1
		must(t, "add an episode", err)
		season, err := s.Title(t.Context(), first.Parent)
		must(t, "its season", err)
		series, err := s.Title(t.Context(), season.Parent)
		must(t, "its series", err)
		wantSame(t, "what it is in", []any{first.Kind, first.Number, season.Kind, season.Number, season.Name, series.Kind, series.Name, series.State},
			[]any{bijou.Episode, 1, bijou.Season, 1, "Season 1", bijou.Series, "The Show", bijou.Draft})
		first = h.published(t, s, first.ID)
		for _, id := range []bijou.TitleID{season.ID, series.ID} {
			above, err := s.Title(t.Context(), id)
			must(t, "what holds it", err)
			wantSame(t, "its state once an episode can be played", above.State, bijou.Published)
		}
		second, err := episode(t, s, "the show", 1, 2)
		must(t, "add the next", err)
		third, err := episode(t, s, "The Show", 2, 1)
		must(t, "add one of another season", err)
		wantSame(t, "season of the next", second.Parent, season.ID)
		_, err = episode(t, s, "The Show", 1, 2)
		wantKind(t, "add it again", err, bijou.Conflict, "has an episode 2 already", "s1 e2")
		wantKind(t, "remove the series", s.RemoveTitle(t.Context(), series.ID), bijou.Conflict)
		wantKind(t, "remove the season", s.RemoveTitle(t.Context(), season.ID), bijou.Conflict)
		h.published(t, s, third.ID)
		h.published(t, s, second.ID)
		h.settle(t)
		if files := h.files(t, first); len(files) != len(named(h.asset(t, first))) {
			t.Errorf("files of an episode after all that: got %v, want all kept", files)
		}
		for i, id := range []bijou.TitleID{first.ID, second.ID, third.ID} {
			_, err := s.Title(t.Context(), series.ID)
			must(t, fmt.Sprint("the series after ", i, " of its episodes are gone"), err)
			must(t, "remove an episode", s.RemoveTitle(t.Context(), id))
			h.settle(t)
		}
		h.kept(t, "a series without episodes")
	})
}

func TestAnEpisodeThatIsNoneMakesNoSeries(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		for words, in := range map[string]AddTitle{
			"from 1: say which":    {Series: "The Show"},
			"belong to a series":   {Season: 1, Episode: 2},
			"belong to a series: ": {Episode: 2},
			"the name is empty":    {Series: " ", Episode: 1},
			"301 bytes":            {Series: strings.Repeat("x", 301), Episode: 1},
		} {
			wantKind(t, words, in.Check("e1.mp4"), bijou.Invalid, words)
			in.Source = handIn(t, s, "e1.mp4", "film")
			_, err := s.AddTitle(t.Context(), in)
			wantKind(t, words, err, bijou.Invalid, words)
		}
		_, err := s.AddTitle(t.Context(), AddTitle{Source: handIn(t, s, "e1.mp4", "rubbish"), Series: "The Show", Episode: 1})
		wantKind(t, "no film", err, bijou.Invalid)
		h.kept(t, "episodes that are none")
	})
}

func TestWhoWaitsIsToldHowManyFilmsAreMadeBefore(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		var ids []bijou.TitleID
		for n := range 3 {
			ids = append(ids, add(t, s, fmt.Sprintf("film-%d.mp4", n), "film"))
		}
		ended := make(chan []Progress)
		for _, id := range ids {
			go func() {
				all, err := follow(t, s, id)
				if err != nil {
					t.Error(err)
				}
				ended <- all
			}()
		}
		synctest.Wait()
		start(t, s)
		told := map[bijou.TitleID][]int{}
		for range ids {
			all := <-ended
			for _, p := range all {
				if b := told[p.Title]; len(b) == 0 || b[len(b)-1] != p.Behind {
					told[p.Title] = append(b, p.Behind)
				}
			}
		}
		for i, id := range ids {
			b := told[id]
			if b[0] != i || b[len(b)-1] != 0 || !slices.IsSortedFunc(b, func(x, y int) int { return y - x }) {
				t.Errorf("film %d is told that it waits behind %v, want %d at first, ever fewer, and none in the end", i, b, i)
			}
		}
	})
}

func TestManyWorkersAndTwoProcessesMakeEachTitleOnce(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.config.Workers = 2
		one, two := h.process(t), h.process(t)
		start(t, one)
		start(t, two)
		var ids []bijou.TitleID
		for n := range 4 {
			ids = append(ids, add(t, one, fmt.Sprintf("film-%d.mp4", n), "text"))
		}
		var want map[string]string
		for _, id := range ids {
			files := h.files(t, h.published(t, two, id))
			if want == nil {
				want = files
			}
			wantSame(t, "files of "+string(id), files, want)
		}
		h.settle(t)
		h.films.once(t)
		if keys := h.keys(t, bijou.SourcePath); len(keys) > 0 {
			t.Errorf("sources: got %q, want none", keys)
		}
	})
}

func TestAFilmThatIsReadyDoesNotWaitForThoseAddedAfterIt(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		first := add(t, s, "first.mp4", "film")
		pause(t.Context(), time.Millisecond)
		second := add(t, s, "second.mp4", "film")
		begun, goOn := make(chan struct{}), make(chan struct{})
		h.films.on = func(_ context.Context, film, step string) error {
			if film == "second.mp4" && step == "poster" {
				close(begun)
				<-goOn
			}
			return nil
		}
		start(t, s)
		<-begun
		title, err := s.Title(t.Context(), first)
		if err != nil || title.State != bijou.Published {
			t.Errorf("first film when the second is begun: got %s, %v, want published", title.State, err)
		}
		close(goOn)
		h.published(t, s, second)
	})
}

func TestThePosterIsTheMomentWithTheFinestDetail(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.mp4", "silent"))
		r, _, err := h.blobs.Get(t.Context(), title.Asset.Key(bijou.PosterFile), 0, -1)
		must(t, "get the poster", err)
		defer r.Close()
		got, err := io.ReadAll(r)
		must(t, "read the poster", err)
		wantSame(t, "poster", string(got), "a picture of "+finestDetail)
	})
}
