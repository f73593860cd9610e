package studio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/ffmpeg"
	"bijou/engine/sqlite"
	"bijou/service/catalog"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realFilm lasts 10.0 s and has sound.
const realFilm = "../../test/media/sintel_trailer_408p_10s.mp4"

// encodes are two real encodes of realFilm, made once: a picture of 64x26 and its sound, in fragments of 4 s.
var encodes = sync.OnceValues(func() (e struct{ video, audio []byte }, err error) {
	dir, err := os.MkdirTemp("", "studio-test-*")
	if err != nil {
		return e, err
	}
	defer os.RemoveAll(dir)
	ctx, tool := context.Background(), ffmpeg.New(ffmpeg.Config{})
	p, err := tool.Probe(ctx, realFilm)
	if err != nil {
		return e, err
	}
	v := bijou.VideoEncode{
		Source: realFilm, Stream: p.Video[0], Width: 64, Height: 26, RateNum: 24, RateDen: 1, CRF: 40, MaxBPS: 100_000, SegmentMS: segmentMS,
		RuntimeMS: p.RuntimeMS, Threads: 1, Target: filepath.Join(dir, "v.mp4"),
	}
	a := bijou.AudioEncode{
		Source: realFilm, Stream: p.Audio[0], Channels: 1, SampleRate: audioRate, BPS: 32_000, SegmentMS: segmentMS, RuntimeMS: p.RuntimeMS,
		Target: filepath.Join(dir, "a.mp4"),
	}
	if err := errors.Join(tool.EncodeVideo(ctx, v, func(int64) {}), tool.EncodeAudio(ctx, a, func(int64) {})); err != nil {
		return e, err
	}
	var errV, errA error
	e.video, errV = os.ReadFile(v.Target)
	e.audio, errA = os.ReadFile(a.Target)
	return e, errors.Join(errV, errA)
})

// films is a bijou.FilmTool that answers at once. A film's content says how it behaves.
type films struct {
	mu    sync.Mutex
	calls map[string]int                                     // by film and step
	on    func(ctx context.Context, film, step string) error // asked before each step; may be nil
	dark  bool                                               // no still can be had
	first bool                                               // but for the first
}

func newFilms(t *testing.T) *films {
	t.Helper()
	if _, err := encodes(); err != nil { // before a test's time is virtual
		t.Fatalf("prepare the encodes: %v", err)
	}
	return &films{calls: map[string]int{}}
}

func (f *films) begin(ctx context.Context, path, step string) (content string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	film := filepath.Base(path)
	f.mu.Lock()
	f.calls[film+" "+step]++
	on := f.on
	f.mu.Unlock()
	if on != nil {
		err = on(ctx, film, step)
	}
	return string(raw), err
}

// Probe implements bijou.FilmTool.
func (f *films) Probe(ctx context.Context, path string) (bijou.Probe, error) {
	content, err := f.begin(ctx, path, "probe")
	if err != nil {
		return bijou.Probe{}, err
	}
	p := bijou.Probe{
		RuntimeMS: 10_000,
		Video:     []bijou.VideoStream{{Width: 320, Height: 180, RateNum: 24, RateDen: 1}},
		Audio:     []bijou.AudioStream{{Index: 1, Channels: 2, SampleRate: 48_000, Language: "und"}},
	}
	for word := range strings.FieldsSeq(content) {
		if own, ok := strings.CutPrefix(word, "title="); ok {
			p.Title = own
		}
		switch word {
		case "rubbish":
			return bijou.Probe{}, fmt.Errorf("%s is no film: give a film: %w", filepath.Base(path), bijou.Invalid)
		case "sound-only":
			p.Video = nil
		case "silent":
			p.Audio = nil
		case "text", "empty-text":
			p.Text = append(p.Text, bijou.TextStream{Index: 2, Language: "de", Kind: bijou.Captions, Title: word})
		}
	}
	return p, nil
}

// EncodeVideo implements bijou.FilmTool.
func (f *films) EncodeVideo(ctx context.Context, e bijou.VideoEncode, progress func(int64)) error {
	progress(2500)
	if _, err := f.begin(ctx, e.Source, fmt.Sprint("video-", e.Height)); err != nil {
		return err
	}
	progress(10_000)
	made, err := encodes()
	return errors.Join(err, os.WriteFile(e.Target, made.video, 0o600))
}

// EncodeAudio implements bijou.FilmTool.
func (f *films) EncodeAudio(ctx context.Context, e bijou.AudioEncode, progress func(int64)) error {
	if _, err := f.begin(ctx, e.Source, "audio"); err != nil {
		return err
	}
	progress(10_000)
	made, err := encodes()
	return errors.Join(err, os.WriteFile(e.Target, made.audio, 0o600))
}

// ExtractText implements bijou.FilmTool.
func (f *films) ExtractText(ctx context.Context, path string, s bijou.TextStream, target string) error {
	if _, err := f.begin(ctx, path, s.Title); err != nil {
		return err
	}
	text := subtitles
	if s.Title == "empty-text" {
		text = "WEBVTT\n"
	}
	return os.WriteFile(target, []byte(text), 0o600)
}

// Still implements bijou.FilmTool.
func (f *films) Still(ctx context.Context, path string, _ bijou.VideoStream, atMS int64, _ int, target string) error {
	if atMS == 10_000*posterMoments[0]/100 { // one step, however many stills it takes
		if _, err := f.begin(ctx, path, stepPoster); err != nil {
			return err
		}
	}
	if f.first && atMS == 0 {
		return os.WriteFile(target, []byte("the first picture"), 0o600)
	}
	if f.dark || atMS < 3000 { // films begin with a black picture
		return fmt.Errorf("%s is dark: %w", filepath.Base(path), bijou.Invalid)
	}
	detail := "."
	if atMS == 5000 {
		detail = finestDetail
	}
	return os.WriteFile(target, []byte("a picture of "+detail), 0o600)
}

// finestDetail is in the picture halfway through each film.
const finestDetail = "every leaf on every tree"

// once fails the test where a step was done more or less than once.
func (f *films) once(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for step, n := range f.calls {
		if n != 1 {
			t.Errorf("%s: done %d times, want once", step, n)
		}
	}
}

const subtitles = "1\n00:00:01,000 --> 00:00:02,000\nHallo!\n"

// house is a room on embedded stores that outlive it, as a data directory outlives a process.
type house struct {
	films   *films
	work    *sqlite.Studio
	titles  *sqlite.Catalog
	blobs   *directory.Store
	catalog *catalog.Service
	inbox   bijou.Inbox
	config  Config
}

func newHouse(t *testing.T, f *films) *house {
	t.Helper()
	dir := t.TempDir()
	work, errW := sqlite.OpenStudio(t.Context(), filepath.Join(dir, "studio.db"))
	titles, errT := sqlite.OpenCatalog(t.Context(), filepath.Join(dir, "catalog.db"))
	blobs, errB := directory.Open(filepath.Join(dir, "blobs"))
	must(t, "open the stores", errors.Join(errW, errT, errB))
	h := &house{films: f, work: work, titles: titles, blobs: blobs, config: DefaultConfig()}
	h.catalog = catalog.New(catalog.Deps{Titles: titles, Blobs: blobs, Now: time.Now})
	t.Cleanup(func() { must(t, "close the stores", errors.Join(work.Close(), titles.Close())) })
	return h
}

// process is one process of the house: a room of its own, on the stores of all, or on what stands in for them.
func (h *house) process(t *testing.T, change ...func(*Deps)) *Service {
	d := Deps{
		Films: h.films, Work: h.work, Blobs: h.blobs, Editor: h.catalog, Inbox: h.inbox, Scratch: t.TempDir(), Config: h.config,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	}
	for _, c := range change {
		c(&d)
	}
	return New(d)
}

// start runs the room until stop is called, or the test ends. stop waits for it, and fails the test where it left files in work.
func start(t *testing.T, s *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("run: ended with %v before it was ready", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: got error %v, want none", err)
		}
		if left, err := os.ReadDir(s.Scratch); err != nil || len(left) > 0 {
			t.Errorf("scratch directory after the stop: got %v, %v, want it empty", left, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// room is what the studio offers to others, here and there.
type room interface {
	RemoveSource(ctx context.Context, id bijou.SourceID) error
	AddSource(ctx context.Context, name string, r io.Reader) (Source, error)
	AddTitle(ctx context.Context, in AddTitle) (bijou.Title, error)
	Titles(ctx context.Context, in AllTitles) (bijou.TitlePage, error)
	Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error)
	RemoveTitle(ctx context.Context, id bijou.TitleID) error
	Follow(ctx context.Context, id bijou.TitleID, send func(Progress) error) error
}

var (
	_ room = (*Service)(nil)
	_ room = (*Client)(nil)
)

// handIn hands a file in.
func handIn(t *testing.T, r room, name, content string) bijou.SourceID {
	t.Helper()
	src, err := r.AddSource(asOperator(t), name, strings.NewReader(content))
	must(t, "hand in "+name, err)
	return src.ID
}

// add adds a film with subtitles in a file of their own.
func add(t *testing.T, r room, name, content string) bijou.TitleID {
	t.Helper()
	in := AddTitle{Source: handIn(t, r, name, content), Text: []TextSource{{Source: handIn(t, r, "film.en.srt", subtitles), Language: "en"}}}
	title, err := r.AddTitle(asOperator(t), in)
	must(t, "add "+name, err)
	return title.ID
}

func asOperator(t *testing.T) context.Context {
	return bijou.WithCaller(t.Context(), bijou.LocalCaller)
}

// follow follows the work until its end and returns all that was told, and how it ended.
func follow(t *testing.T, r room, id bijou.TitleID) (all []Progress, err error) {
	t.Helper()
	err = r.Follow(asOperator(t), id, func(p Progress) error {
		all = append(all, p)
		return nil
	})
	for i := 1; i < len(all); i++ {
		if all[i].Progress < all[i-1].Progress {
			t.Errorf("progress %d of %s: got %v after %v, want it never to go back", i, id, all[i].Progress, all[i-1].Progress)
		}
	}
	return all, err
}

// published waits for the title and fails the test where it is not published, or lacks a file.
func (h *house) published(t *testing.T, r room, id bijou.TitleID) bijou.Title {
	t.Helper()
	if _, err := follow(t, r, id); err != nil {
		t.Fatalf("follow %s: %v", id, err)
	}
	title, err := r.Title(asOperator(t), id)
	must(t, "title", err)
	if title.State != bijou.Published {
		t.Fatalf("title %s: got state %s (%s), want published", id, title.State, title.Reason)
	}
	return title
}

// settle waits until no work is left, published or not.
func (h *house) settle(t *testing.T) {
	t.Helper()
	for {
		left, err := h.work.Unfinished(t.Context())
		must(t, "unfinished", err)
		if len(left) == 0 {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended while work was left")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// files returns the hash of each file of the asset, by name. Identifiers differ each time and are left out.
func (h *house) files(t *testing.T, title bijou.Title) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, key := range h.keys(t, title.Asset.Key("")+"/") {
		r, _, err := h.blobs.Get(t.Context(), key, 0, -1)
		must(t, "get "+key, err)
		raw, err := io.ReadAll(r)
		must(t, "read "+key, errors.Join(err, r.Close()))
		raw = bytes.ReplaceAll(raw, []byte(title.Asset), []byte("ASSET"))
		raw = bytes.ReplaceAll(raw, []byte(title.ID), []byte("TITLE"))
		out[strings.TrimPrefix(key, title.Asset.Key("")+"/")] = fmt.Sprintf("%x", sha256.Sum256(raw))
	}
	return out
}

func (h *house) keys(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	all, err := h.blobs.List(t.Context(), prefix, "", 10_000)
	must(t, "list", err)
	for _, b := range all {
		keys = append(keys, b.Key)
	}
	return keys
}

// nothingOf fails the test where a blob, a source or a piece of work is left. The title itself is the caller's to check.
func (h *house) nothingOf(t *testing.T, id bijou.TitleID) {
	t.Helper()
	if keys := h.keys(t, ""); len(keys) > 0 {
		t.Errorf("blobs: got %q, want none", keys)
	}
	h.forgotten(t, id)
}

func (h *house) forgotten(t *testing.T, id bijou.TitleID) {
	t.Helper()
	ws, err := h.work.WorkOf(t.Context(), id)
	must(t, "work of "+string(id), err)
	for _, w := range ws {
		t.Errorf("work of %s: got step %s, %s, want none", id, w.Step, w.State)
	}
}

// noTitle fails the test where the title is still there.
func (h *house) noTitle(t *testing.T, id bijou.TitleID) {
	t.Helper()
	if title, err := h.catalog.AnyTitle(t.Context(), id); !errors.Is(err, bijou.NotFound) {
		t.Errorf("title %s: got %+v, %v, want it gone", id, title, err)
	}
}

// failed fails the test where the title has not failed in these words.
func (h *house) failed(t *testing.T, id bijou.TitleID, why string) {
	t.Helper()
	title, err := h.catalog.AnyTitle(t.Context(), id)
	must(t, "title", err)
	if title.State != bijou.Failed || title.Reason != why {
		t.Errorf("title: got %s for %q, want failed for %q", title.State, title.Reason, why)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: got error %q, want none", what, err)
	}
}

// wantKind fails the test where err is not of the kind, or lacks one of the words.
func wantKind(t *testing.T, what string, err error, kind bijou.Kind, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got error %v, want one of kind %q", what, err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got error %q, want %q in it", what, err, w)
		}
	}
}

func wantSame[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: got (+), want (-):\n%s", what, d)
	}
}
