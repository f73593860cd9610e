package studio

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"bijou"
)

const (
	// pipeline is the version of what this room makes of a source. It rises when the same source would give other files.
	pipeline = 2
	// segmentMS is the length of segments: 4 s is short enough to change the rendition in time and long enough for good prediction.
	segmentMS = 4000
	// encodeThreads is fixed, since x264's output depends on it and the same film shall give the same bytes on every machine.
	encodeThreads = 4
	stereoBPS     = 128_000
	monoBPS       = 72_000
	audioRate     = 48_000 // samples a second
	posterWidth   = 1280   // pixels
)

// The steps that every title has. Others are named for their tracks, such as video-720.
const (
	stepPoster  = "poster"
	stepPackage = "package"
	stepDiscard = "discard" // removes what was made of a title that failed or goes
)

// task is the input of a step: all that a worker has to know.
type task struct {
	Title     bijou.Title `json:"title"` // as a draft
	Source    Source      `json:"source"`
	RuntimeMS int64       `json:"runtime_ms"`
	Cost      float64     `json:"cost"` // share of the work, in no particular unit

	Track    string             `json:"track,omitempty"` // folder below the asset's
	Video    *bijou.VideoEncode `json:"video,omitempty"`
	Audio    *bijou.AudioEncode `json:"audio,omitempty"`
	Embedded *bijou.TextStream  `json:"embedded,omitempty"` // text track within the film
	Side     *Source            `json:"side,omitempty"`     // text track in a file of its own
	Still    *bijou.VideoStream `json:"still,omitempty"`
	Kind     bijou.TrackKind    `json:"kind,omitempty"`
	Language string             `json:"language,omitempty"`
	Label    string             `json:"label,omitempty"`
	Default  bool               `json:"default,omitempty"`

	Withdraw bool             `json:"withdraw,omitempty"` // of a discard: the title goes too
	Reason   string           `json:"reason,omitempty"`   // of a discard: why the title failed
	Sources  []bijou.SourceID `json:"sources,omitempty"`  // of a package and a discard: what is not needed after it
}

// plan makes the steps for a title out of what its film holds.
type plan struct {
	title  bijou.Title
	source Source
	asset  bijou.AssetID
	probe  bijou.Probe
	now    time.Time
	work   []bijou.Work
	names  map[string]int  // tracks that have a name already
	labels map[string]bool // labels that a sound or a text has already
}

// side is a text track in a file of its own, checked.
type side struct {
	TextSource
	source Source
}

// newPlan returns the steps, the lowest rendition first: it shows soonest whether the film can be encoded at all.
func newPlan(t bijou.Title, src Source, p bijou.Probe, sides []side, now time.Time) ([]bijou.Work, error) {
	pl := &plan{title: t, source: src, probe: p, now: now, asset: bijou.NewID[bijou.AssetID](bijou.AssetPrefix), names: map[string]int{}, labels: map[string]bool{}}
	v := p.Video[0]
	if err := pl.add(stepPoster, task{Cost: 1, Still: &v}); err != nil {
		return nil, err
	}
	for _, step := range []func() error{pl.audio, func() error { return pl.text(sides) }, func() error { return pl.video(v) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return pl.work, nil
}

func (pl *plan) add(step string, t task) error {
	t.Title, t.Source, t.RuntimeMS = pl.title, pl.source, pl.probe.RuntimeMS
	w, err := newWork(pl.title.ID, pl.asset, step, t, pl.now)
	if err != nil {
		return err
	}
	pl.work = append(pl.work, w)
	return nil
}

func newWork(title bijou.TitleID, asset bijou.AssetID, step string, t task, now time.Time) (bijou.Work, error) {
	input, err := json.Marshal(t)
	if err != nil {
		return bijou.Work{}, fmt.Errorf("plan %s of %s: %w", step, title, err)
	}
	return bijou.Work{
		ID: bijou.NewID[bijou.JobID](bijou.JobPrefix), Asset: asset, Title: title, Step: step, Version: pipeline,
		State: bijou.WorkWaiting, Input: input, Created: now,
	}, nil
}

func (pl *plan) video(v bijou.VideoStream) error {
	num, den := frameRate(v)
	rungs := ladder(v)
	slices.Reverse(rungs)
	for _, r := range rungs {
		height := strconv.Itoa(r.Height)
		// Pixels that are coded, and for each frame the source's own, which are decoded every time.
		cost := float64(r.Width*r.Height) + 0.3*float64(v.Width*v.Height)
		err := pl.add("video-"+height, task{Track: "v" + height, Cost: cost * float64(pl.probe.RuntimeMS) / 1e8, Video: &bijou.VideoEncode{
			Stream: v, Width: r.Width, Height: r.Height, RateNum: num, RateDen: den, CRF: r.CRF, MaxBPS: r.MaxBPS,
			SegmentMS: segmentMS, Threads: encodeThreads,
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (pl *plan) audio() error {
	first := slices.IndexFunc(pl.probe.Audio, func(a bijou.AudioStream) bool { return a.Default })
	for i, a := range pl.probe.Audio {
		if a.Language == "und" && pl.title.Language != "" && i == max(0, first) {
			a.Language = pl.title.Language // most files do not say what the film's own sound speaks
		}
		channels, bps := 2, int64(stereoBPS)
		if a.Channels == 1 {
			channels, bps = 1, monoBPS
		}
		name := pl.name("a-" + a.Language)
		err := pl.add("audio-"+name[2:], task{
			Track: name, Cost: float64(pl.probe.RuntimeMS) / 2000, Language: a.Language, Label: pl.label(bijou.Audio, a.Title, a.Language), Default: i == max(0, first),
			Audio: &bijou.AudioEncode{Stream: a, Channels: channels, SampleRate: audioRate, BPS: bps, SegmentMS: segmentMS, RuntimeMS: pl.probe.RuntimeMS},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (pl *plan) text(sides []side) error {
	for _, s := range sides {
		name := pl.name("t-" + s.Language)
		err := pl.add("text-"+name[2:], task{Track: name, Cost: 0.1, Kind: s.Kind, Language: s.Language, Label: pl.label(s.Kind, s.Label, s.Language), Side: &s.source})
		if err != nil {
			return err
		}
	}
	for _, t := range pl.probe.Text {
		name := pl.name("t-" + t.Language)
		err := pl.add("text-"+name[2:], task{Track: name, Cost: 1, Kind: t.Kind, Language: t.Language, Label: pl.label(t.Kind, t.Title, t.Language), Embedded: &t})
		if err != nil {
			return err
		}
	}
	return nil
}

// name returns a folder's name that no other track of the asset has.
func (pl *plan) name(want string) string {
	pl.names[want]++
	if n := pl.names[want]; n > 1 {
		return want + "-" + strconv.Itoa(n)
	}
	return want
}

// label returns what viewers choose a track by, which no other sound or text of the asset has.
func (pl *plan) label(kind bijou.TrackKind, title, language string) string {
	want, among := label(kind, title, language), "text "
	if kind == bijou.Audio {
		among = "sound "
	}
	got := want
	for n := 2; pl.labels[among+got]; n++ {
		got = fmt.Sprintf("%s (%d)", want, n)
	}
	pl.labels[among+got] = true
	return got
}

// label returns the title that a track came with, or the language's own name and what the track is for.
func label(kind bijou.TrackKind, title, language string) string {
	switch {
	case title != "" && utf8.RuneCountInString(title) <= maxLabel && bijou.CheckName(title) == nil:
		return title
	case kind == bijou.Captions || kind == bijou.Descriptions:
		return fmt.Sprintf("%s (%s)", ownName(language), kind)
	}
	return ownName(language)
}

// decision says what is to be done about a title.
type decision int

const (
	goOn   decision = iota // steps are waiting or in work, or nothing is to be done
	packIt                 // all tracks are there
	giveUp                 // a step failed for good
)

// decide returns what to do next about a title, given all of its work, and why where it is to be given up.
func decide(ws []bijou.Work) (decision, string) {
	waiting, failed, why := len(ws) == 0, false, ""
	for _, w := range ws {
		switch {
		case w.Step == stepDiscard:
			return goOn, "" // whoever leases it sees to the rest
		case w.State == bijou.WorkFailed:
			failed = true
			if why == "" || why == errDiscarded.Error() { // which only says that another step failed
				why = w.Reason
			}
		case w.State != bijou.WorkDone, w.Step == stepPackage: // whoever has the package sees to the rest
			waiting = true
		}
	}
	switch {
	case failed:
		return giveUp, why
	case waiting:
		return goOn, ""
	}
	return packIt, ""
}

// taskOf reads a step's input.
func taskOf(w bijou.Work) (t task, err error) {
	if err := json.Unmarshal(w.Input, &t); err != nil {
		return t, fmt.Errorf("step %s of %s: its input cannot be read (%v): add the film again: %w", w.Step, w.Title, err, bijou.Corrupt)
	}
	return t, nil
}

// sourcesOf returns the sources that the steps need.
func sourcesOf(ws []bijou.Work) []bijou.SourceID {
	var ids []bijou.SourceID
	for _, w := range ws {
		t, err := taskOf(w)
		if err != nil {
			continue // whoever leases it says so
		}
		ids = append(ids, t.Sources...)
		if t.Source.ID != "" {
			ids = append(ids, t.Source.ID)
		}
		if t.Side != nil {
			ids = append(ids, t.Side.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// packageCost is the packing's share of the work.
const packageCost = 1

// progressOf sums the steps up. The packing counts from the beginning, although it is enqueued last.
func progressOf(t bijou.Title, ws []bijou.Work, now time.Time) Progress {
	p := Progress{Title: t.ID, State: t.State, Reason: t.Reason, Steps: len(ws), Elapsed: now.Sub(t.Added).Milliseconds()}
	if t.State == bijou.Published {
		p.Progress, p.Done = 1, p.Steps
		return p
	}
	all, done := float64(packageCost), 0.0
	for _, w := range ws {
		if w.Step == stepPackage {
			all, p.Steps = all-packageCost, p.Steps-1
		}
		task, err := taskOf(w)
		if err != nil || w.Step == stepDiscard {
			continue // a step that cannot be read has no weight
		}
		all += task.Cost
		switch w.State {
		case bijou.WorkDone:
			done += task.Cost
			p.Done++
		case bijou.WorkLeased:
			done += task.Cost * min(1, max(0, w.Progress))
			if p.Step == "" {
				p.Step = w.Step
			}
		}
	}
	if len(ws) > 0 {
		p.Steps++
		p.Progress = min(0.99, done/all) // all of it means that the title is published
	}
	return p
}
