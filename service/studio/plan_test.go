package studio

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

var added = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)

var planned = bijou.Title{ID: "ttl_1", Kind: bijou.Film, Name: "Film", Language: "sv", State: bijou.Draft, Added: added}

func steps(ws []bijou.Work) (names []string) {
	for _, w := range ws {
		names = append(names, w.Step)
	}
	return names
}

func TestAPlanHasAStepForEachTrack(t *testing.T) {
	p := bijou.Probe{
		RuntimeMS: 60_000, Video: []bijou.VideoStream{{Width: 1280, Height: 720, RateNum: 25, RateDen: 1}},
		Audio: []bijou.AudioStream{{Index: 1, Language: "en", Channels: 6}, {Index: 2, Language: "und", Channels: 1, Default: true}, {Index: 3, Language: "en", Title: "Comments\n"}},
		Text:  []bijou.TextStream{{Index: 4, Language: "en", Kind: bijou.Subtitles}, {Index: 5, Language: "fr", Kind: bijou.Captions, Title: "Malentendants"}},
	}
	sides := []side{{TextSource{Language: "en", Kind: bijou.Descriptions, Label: "Described"}, Source{ID: "src_side"}}}
	ws, err := newPlan(planned, Source{ID: "src_film", SHA256: "abc"}, p, sides, added)
	must(t, "plan", err)
	wantSame(t, "steps", steps(ws), []string{
		"poster", "audio-en", "audio-sv", "audio-en-2", "text-en", "text-en-2", "text-fr", "video-240", "video-360", "video-480", "video-720",
	})
	wantSame(t, "sources", sourcesOf(ws), []bijou.SourceID{"src_film", "src_side"})
	tasks := map[string]task{}
	for _, w := range ws {
		in, err := taskOf(w)
		must(t, w.Step, err)
		if w.Asset != ws[0].Asset || w.Title != "ttl_1" || w.Version != pipeline || w.State != bijou.WorkWaiting || !w.Created.Equal(added) || in.Cost <= 0 || in.RuntimeMS != 60_000 {
			t.Errorf("step %s: got %+v with cost %v, want it part of its title's plan", w.Step, w, in.Cost)
		}
		tasks[w.Step] = in
	}
	sv, en, en2 := tasks["audio-sv"], tasks["audio-en"], tasks["audio-en-2"]
	wantSame(t, "the film's own sound", []any{sv.Track, sv.Language, sv.Label, sv.Default, sv.Audio.Channels, sv.Audio.BPS}, []any{"a-sv", "sv", "Svenska", true, 1, int64(monoBPS)})
	wantSame(t, "other sound", []any{en.Track, en.Label, en.Default, en.Audio.Channels, en.Audio.BPS}, []any{"a-en", "English", false, 2, int64(stereoBPS)})
	wantSame(t, "a title with a line end", []any{en2.Track, en2.Label}, []any{"a-en-2", "English (2)"})
	text := tasks["text-en"]
	wantSame(t, "text of its own", []any{text.Track, text.Kind, text.Label, text.Side.ID}, []any{"t-en", bijou.Descriptions, "Described", bijou.SourceID("src_side")})
	text = tasks["text-fr"]
	wantSame(t, "text of the film", []any{text.Track, text.Kind, text.Label, text.Embedded.Index}, []any{"t-fr", bijou.Captions, "Malentendants", 5})
	v := tasks["video-720"]
	wantSame(t, "picture", []any{v.Track, v.Video.Width, v.Video.Height, v.Video.SegmentMS, v.Video.Threads}, []any{"v720", 1280, 720, int64(segmentMS), encodeThreads})
}

func TestViewersCanTellTheTracksOfATitleApart(t *testing.T) {
	p := bijou.Probe{
		RuntimeMS: 60_000, Video: []bijou.VideoStream{{Width: 64, Height: 36, RateNum: 25, RateDen: 1}},
		Audio: []bijou.AudioStream{{Index: 1, Language: "en"}, {Index: 2, Language: "en"}},
		Text: []bijou.TextStream{
			{Index: 3, Language: "en", Kind: bijou.Subtitles}, {Index: 4, Language: "en", Kind: bijou.Captions}, {Index: 5, Language: "en", Kind: bijou.Descriptions},
			{Index: 6, Language: "en", Kind: bijou.Subtitles, Title: "English"}, {Index: 7, Language: "en", Kind: bijou.Captions, Title: "SDH"},
		},
	}
	ws, err := newPlan(planned, Source{ID: "src_film"}, p, []side{{TextSource{Language: "en", Kind: bijou.Captions}, Source{ID: "src_side"}}}, added)
	must(t, "plan", err)
	var got []string
	for _, w := range ws {
		in, err := taskOf(w)
		must(t, w.Step, err)
		if in.Label != "" {
			got = append(got, in.Label)
		}
	}
	wantSame(t, "labels", got, []string{
		"English", "English (2)", // sound; the planned title is Swedish, its own sound is not
		"English (captions)", "English", "English (captions) (2)", "English (descriptions)", "English (2)", "SDH",
	})
}

func TestTracksOfOneTitleHaveFoldersOfTheirOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lang := rapid.SampledFrom([]string{"en", "de", "und", "pt-BR"})
		p := bijou.Probe{RuntimeMS: 1000, Video: []bijou.VideoStream{{
			Width: rapid.IntRange(1, 4000).Draw(t, "width"), Height: rapid.IntRange(1, 4000).Draw(t, "height"), RateNum: 25, RateDen: 1,
		}}}
		for range rapid.IntRange(0, 5).Draw(t, "audio") {
			p.Audio = append(p.Audio, bijou.AudioStream{Language: lang.Draw(t, "language"), Default: rapid.Bool().Draw(t, "default")})
		}
		for range rapid.IntRange(0, 5).Draw(t, "text") {
			p.Text = append(p.Text, bijou.TextStream{Language: lang.Draw(t, "language")})
		}
		var sides []side
		for range rapid.IntRange(0, 5).Draw(t, "sides") {
			sides = append(sides, side{TextSource: TextSource{Language: lang.Draw(t, "language")}})
		}
		ws, err := newPlan(planned, Source{}, p, sides, added)
		if err != nil {
			t.Fatal(err)
		}
		names, tracks, defaults := map[string]bool{}, map[string]bool{}, 0
		for _, w := range ws {
			in, err := taskOf(w)
			if err != nil || names[w.Step] || in.Track != "" && tracks[in.Track] {
				t.Fatalf("step %s with track %s: %v, want a name of its own among %q", w.Step, in.Track, err, steps(ws))
			}
			if err := bijou.CheckKey(w.Asset.Key(in.Track + "/x")); err != nil {
				t.Fatal(err)
			}
			names[w.Step], tracks[in.Track] = true, true
			if in.Default {
				defaults++
			}
		}
		if defaults != min(1, len(p.Audio)) {
			t.Fatalf("%d sound tracks: %d are the default, want one", len(p.Audio), defaults)
		}
	})
}

// workOf makes work of words such as "audio:done" or "audio:failed:why".
func workOf(words string) (ws []bijou.Work) {
	for word := range strings.FieldsSeq(words) {
		part := strings.SplitN(word, ":", 3)
		w := bijou.Work{Step: part[0], State: bijou.WorkState(part[1])}
		if len(part) == 3 {
			w.Reason = part[2]
		}
		if w.Reason == "discarded" {
			w.Reason = errDiscarded.Error()
		}
		ws = append(ws, w)
	}
	return ws
}

func TestWhatIsNextForATitleFollowsFromItsWork(t *testing.T) {
	for work, want := range map[string]struct {
		next decision
		why  string
	}{
		"":                                     {goOn, ""},
		"poster:waiting":                       {goOn, ""},
		"poster:done video-240:leased":         {goOn, ""},
		"poster:done video-240:done":           {packIt, ""},
		"poster:done package:waiting":          {goOn, ""},
		"poster:done package:leased":           {goOn, ""},
		"poster:done package:done":             {goOn, ""},
		"package:waiting":                      {goOn, ""},
		"poster:done package:failed:why":       {giveUp, "why"},
		"poster:failed:why video-240:leased":   {giveUp, "why"},
		"poster:waiting video-240:failed:why":  {giveUp, "why"},
		"a:failed:discarded b:failed:why":      {giveUp, "why"},
		"a:failed:why b:failed:discarded":      {giveUp, "why"},
		"a:failed:one b:failed:two":            {giveUp, "one"},
		"a:failed:discarded":                   {giveUp, errDiscarded.Error()},
		"a:failed:why discard:waiting":         {goOn, ""},
		"discard:leased a:done":                {goOn, ""},
		"a:done b:done discard:waiting":        {goOn, ""},
		"a:done package:failed:x discard:done": {goOn, ""},
	} {
		next, why := decide(workOf(work))
		if next != want.next || why != want.why {
			t.Errorf("%q: got %d for %q, want %d for %q", work, next, why, want.next, want.why)
		}
	}
}

func TestOnlyATitleWhoseTracksAreAllDoneIsPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := rapid.SliceOfN(rapid.SampledFrom([]bijou.WorkState{bijou.WorkWaiting, bijou.WorkLeased, bijou.WorkDone, bijou.WorkFailed}), 0, 6).Draw(t, "states")
		var ws []bijou.Work
		for i, state := range states {
			ws = append(ws, bijou.Work{Step: fmt.Sprint("step-", i), State: state, Reason: "why"})
		}
		next, _ := decide(ws)
		failed := slices.Contains(states, bijou.WorkFailed)
		done := len(states) > 0 && !slices.ContainsFunc(states, func(s bijou.WorkState) bool { return s != bijou.WorkDone })
		if (next == giveUp) != failed || (next == packIt) != done {
			t.Fatalf("%v: got %d", states, next)
		}
	})
}

func TestProgressIsTheShareOfTheWork(t *testing.T) {
	cost := func(w bijou.Work, c float64) bijou.Work {
		w.Input = json.RawMessage(fmt.Sprintf(`{"cost": %v}`, c))
		return w
	}
	ws := workOf("a:done b:leased c:leased d:waiting")
	ws[0], ws[1], ws[2], ws[3] = cost(ws[0], 4), cost(ws[1], 2), cost(ws[2], 2), cost(ws[3], 1)
	ws[1].Progress, ws[2].Progress = 0.5, 7
	now := added.Add(3 * time.Second)
	wantSame(t, "in work", progressOf(planned, ws, now), Progress{
		Title: "ttl_1", State: bijou.Draft, Progress: 0.7, Step: "b", Done: 1, Steps: 5, Elapsed: 3000,
	})
	ws = append(workOf("a:done b:done"), cost(bijou.Work{Step: stepPackage, State: bijou.WorkLeased}, packageCost))
	ws[0], ws[1] = cost(ws[0], 1), cost(ws[1], 2)
	wantSame(t, "while it is packed", progressOf(planned, ws, now), Progress{
		Title: "ttl_1", State: bijou.Draft, Progress: 0.75, Step: stepPackage, Done: 2, Steps: 3, Elapsed: 3000,
	})
	wantSame(t, "before it is packed", progressOf(planned, ws[:2], now).Progress, 0.75)
	wantSame(t, "without work", progressOf(planned, nil, added), Progress{Title: "ttl_1", State: bijou.Draft})
	ready := planned
	ready.State = bijou.Published
	wantSame(t, "published", progressOf(ready, nil, added), Progress{Title: "ttl_1", State: bijou.Published, Progress: 1})
	unread := []bijou.Work{{Step: "a", State: bijou.WorkDone, Input: json.RawMessage("rubbish")}}
	if p := progressOf(planned, unread, added); p.Progress != 0 {
		t.Errorf("a step that cannot be read: got progress %v, want 0", p.Progress)
	}
}

func TestProgressIsBetweenNothingAndAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ws []bijou.Work
		for i := range rapid.IntRange(0, 5).Draw(t, "steps") {
			ws = append(ws, bijou.Work{
				Step: fmt.Sprint(i), State: rapid.SampledFrom([]bijou.WorkState{bijou.WorkWaiting, bijou.WorkLeased, bijou.WorkDone}).Draw(t, "state"),
				Progress: rapid.Float64Range(-1, 2).Draw(t, "progress"), Input: json.RawMessage(fmt.Sprintf(`{"cost":%d}`, rapid.IntRange(0, 1e9).Draw(t, "cost"))),
			})
		}
		p := progressOf(planned, ws, added)
		if p.Progress < 0 || p.Progress > 0.99 || p.Done > p.Steps {
			t.Fatalf("got %+v, want a draft's progress from 0 to 0.99", p)
		}
	})
}

func TestAnInputThatCannotBeReadIsCorrupt(t *testing.T) {
	_, err := taskOf(bijou.Work{Step: "audio-en", Title: "ttl_1", Input: json.RawMessage("{")})
	wantKind(t, "task", err, bijou.Corrupt, "audio-en", "ttl_1")
}

func TestAnAssetIsPutTogetherOfDoneStepsAlone(t *testing.T) {
	ws, err := newPlan(planned, Source{}, bijou.Probe{RuntimeMS: 1000, Video: []bijou.VideoStream{{Width: 64, Height: 64, RateNum: 25, RateDen: 1}}}, nil, added)
	must(t, "plan", err)
	w := bijou.Work{Title: "ttl_1", Asset: "ast_1", Step: stepPackage}
	_, err = assemble(w, task{}, ws)
	wantKind(t, "steps that wait", err, bijou.Unavailable, "poster")
	for i := range ws {
		ws[i].State, ws[i].Output = bijou.WorkDone, json.RawMessage("null")
	}
	_, err = assemble(w, task{}, ws)
	wantKind(t, "steps that made nothing", err, bijou.Corrupt, "no step made a picture")
	ws[1].Output = json.RawMessage("[")
	_, err = assemble(w, task{}, ws)
	wantKind(t, "an output that cannot be read", err, bijou.Corrupt, "video-64")
	_, err = assemble(w, task{}, nil)
	wantKind(t, "no steps", err, bijou.Corrupt)
}

func TestAnAssetThatLacksAFileIsNotPublished(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.mp4", "film"))
		a := h.asset(t, title)
		must(t, "verify", s.verify(t.Context(), a))
		for _, name := range named(a) {
			if name == bijou.AssetFile || strings.HasPrefix(name, "t-") && strings.HasSuffix(name, bijou.PlaylistFile) {
				continue // which are written by who asks
			}
			key := a.ID.Key(name)
			r, _, err := h.blobs.Get(t.Context(), key, 0, -1)
			must(t, "get", err)
			must(t, "delete", h.blobs.Delete(t.Context(), key))
			wantKind(t, "verify without "+name, s.verify(t.Context(), a), bijou.NotFound, name)
			_, err = h.blobs.Put(t.Context(), key, r)
			must(t, "put back", errors.Join(err, r.Close()))
		}
		_, err := h.blobs.Put(t.Context(), a.ID.Key("v120/1.m4s"), strings.NewReader("short"))
		must(t, "put", err)
		wantKind(t, "verify with a short segment", s.verify(t.Context(), a), bijou.Corrupt, "v120/1.m4s", "5 bytes")
	})
}
