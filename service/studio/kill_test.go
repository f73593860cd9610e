package studio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
)

// mortal is a process that is killed before one of its writes: that one and all later ones do not happen.
type mortal struct {
	mu   sync.Mutex
	left int // writes that still happen
	dead bool
	kill func()
}

var errKilled = fmt.Errorf("the process was killed: %w", bijou.Unavailable)

func (m *mortal) write() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || m.left == 0 {
		m.dead = true
		m.kill()
		return errKilled
	}
	m.left--
	return nil
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// guard puts the process's fate between the room and its stores.
func (m *mortal) guard(d *Deps) {
	d.Work, d.Blobs, d.Editor = mortalWork{d.Work, m}, mortalBlobs{d.Blobs, m}, mortalEditor{d.Editor, m}
}

type mortalWork struct {
	bijou.WorkStore
	m *mortal
}

func (w mortalWork) Enqueue(ctx context.Context, ws []bijou.Work) error {
	if err := w.m.write(); err != nil {
		return err
	}
	return w.WorkStore.Enqueue(ctx, ws)
}

func (w mortalWork) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (bijou.Work, error) {
	if err := w.m.write(); err != nil {
		return bijou.Work{}, err
	}
	return w.WorkStore.Lease(ctx, worker, term, now)
}

func (w mortalWork) Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error {
	if err := w.m.write(); err != nil {
		return err
	}
	return w.WorkStore.Renew(ctx, id, worker, progress, term, now)
}

func (w mortalWork) Finish(ctx context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error {
	if err := w.m.write(); err != nil {
		return err
	}
	return w.WorkStore.Finish(ctx, id, worker, end)
}

func (w mortalWork) Forget(ctx context.Context, id bijou.TitleID) error {
	if err := w.m.write(); err != nil {
		return err
	}
	return w.WorkStore.Forget(ctx, id)
}

type mortalBlobs struct {
	bijou.BlobStore
	m *mortal
}

func (b mortalBlobs) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	// One segment stands for all, so that there are not too many ways to die.
	if !strings.HasSuffix(key, ".m4s") || strings.HasSuffix(key, "/2.m4s") {
		if err := b.m.write(); err != nil {
			return bijou.Blob{}, err
		}
	}
	return b.BlobStore.Put(ctx, key, r)
}

func (b mortalBlobs) Delete(ctx context.Context, key string) error {
	if !strings.HasSuffix(key, ".m4s") || strings.HasSuffix(key, "/2.m4s") {
		if err := b.m.write(); err != nil {
			return err
		}
	}
	return b.BlobStore.Delete(ctx, key)
}

type mortalEditor struct {
	bijou.Editor
	m *mortal
}

func (e mortalEditor) CreateTitle(ctx context.Context, t bijou.Title) (bijou.Title, error) {
	if err := e.m.write(); err != nil {
		return t, err
	}
	return e.Editor.CreateTitle(ctx, t)
}

func (e mortalEditor) PublishAsset(ctx context.Context, a bijou.Asset) (bijou.Title, error) {
	if err := e.m.write(); err != nil {
		return bijou.Title{}, err
	}
	return e.Editor.PublishAsset(ctx, a)
}

func (e mortalEditor) FailTitle(ctx context.Context, id bijou.TitleID, reason string) error {
	if err := e.m.write(); err != nil {
		return err
	}
	return e.Editor.FailTitle(ctx, id, reason)
}

func (e mortalEditor) WithdrawTitle(ctx context.Context, id bijou.TitleID) error {
	if err := e.m.write(); err != nil {
		return err
	}
	return e.Editor.WithdrawTitle(ctx, id)
}

// killed runs the test for a process that is killed before its first write, before its second, and so on until it survives. The test's
// live runs what the mortal process does, and returns once it has ended or is dead.
func killed(t *testing.T, test func(t *testing.T, h *house, live func(do func(s *Service)))) {
	t.Helper()
	f := newFilms(t)
	for n := 0; ; n++ {
		m := &mortal{left: n}
		ok := t.Run(fmt.Sprint("before write ", n+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f.on = nil
				h := newHouse(t, f)
				test(t, h, func(do func(s *Service)) {
					ctx, cancel := context.WithCancel(t.Context())
					m.kill = cancel
					s := h.process(t, m.guard)
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						if err := s.Run(ctx, func() {}); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, bijou.Unavailable) {
							t.Errorf("run: got %v, want no error but the kill's", err)
						}
					}()
					do(s)
					cancel()
					<-ended
				})
			})
		})
		if !ok || !m.dead {
			if n < 10 {
				t.Errorf("the process survived write %d: want more ways to die", n)
			}
			return
		}
	}
}

func TestAFilmComesOutTheSameWhereverTheServiceIsKilled(t *testing.T) {
	var want map[string]string
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		want = h.files(t, h.published(t, s, add(t, s, "film.mp4", "film")))
	})
	killed(t, func(t *testing.T, h *house, live func(func(*Service))) {
		var id bijou.TitleID
		live(func(s *Service) {
			film, err := s.AddSource(t.Context(), "film.mp4", strings.NewReader("film"))
			if err != nil {
				return
			}
			text, err := s.AddSource(t.Context(), "film.en.srt", strings.NewReader(subtitles))
			if err != nil {
				return
			}
			title, err := s.AddTitle(t.Context(), AddTitle{Source: film.ID, Text: []TextSource{{Source: text.ID, Language: "en"}}})
			if err != nil {
				return
			}
			id = title.ID
			h.dead(t, s, id)
		})
		s := h.process(t)
		start(t, s)
		if id != "" { // it was acknowledged
			wantSame(t, "files", h.files(t, h.published(t, s, id)), want)
		}
		h.settle(t)
		page, err := s.Titles(t.Context(), AllTitles{})
		must(t, "titles", err)
		for _, title := range page.Titles {
			wantSame(t, "files of a title that was or was not acknowledged", h.files(t, h.published(t, s, title.ID)), want)
			h.forgotten(t, title.ID)
		}
		if keys := h.keys(t, bijou.AssetsPrefix); len(page.Titles) == 0 && len(keys) > 0 {
			t.Errorf("files without a title: got %q, want none", keys)
		}
		h.swept(t)
	})
}

// dead follows the work until it has ended or the process is dead, which follow cannot see: it only reads.
func (h *house) dead(t *testing.T, s *Service, id bijou.TitleID) {
	t.Helper()
	work, ok := s.Work.(mortalWork)
	if !ok {
		t.Fatal("the process is not mortal")
	}
	for {
		left, err := h.work.Unfinished(t.Context())
		must(t, "unfinished", err)
		title, err := h.catalog.AnyTitle(t.Context(), id)
		ended := errors.Is(err, bijou.NotFound) || err == nil && title.State != bijou.Draft
		if work.m.isDead() || len(left) == 0 && ended {
			return
		}
		pause(t.Context(), 50*time.Millisecond)
	}
}

// swept fails the test where sources are left that even old age does not remove.
func (h *house) swept(t *testing.T) {
	t.Helper()
	late := h.process(t, func(d *Deps) { d.Now = func() time.Time { return time.Now().AddDate(1000, 0, 0) } })
	must(t, "sweep", late.dropSources(t.Context()))
	if keys := h.keys(t, bijou.SourcePath); len(keys) > 0 {
		t.Errorf("sources long after: got %q, want none", keys)
	}
}

func TestAFilmThatFailsLeavesNothingWhereverTheServiceIsKilled(t *testing.T) {
	killed(t, func(t *testing.T, h *house, live func(func(*Service))) {
		h.films.on = func(_ context.Context, _, step string) error {
			if step == "video-180" { // the last: nobody else finds out that the title is to be given up
				return fmt.Errorf("film.mp4 is cut off: %w", bijou.Invalid)
			}
			return nil
		}
		id := add(t, h.process(t), "film.mp4", "film")
		live(func(s *Service) { h.dead(t, s, id) })
		s := h.process(t)
		start(t, s)
		if _, err := follow(t, s, id); err != nil {
			t.Errorf("follow: %v", err)
		}
		h.settle(t)
		h.failed(t, id, "film.mp4 is cut off")
		h.forgotten(t, id)
		if keys := h.keys(t, bijou.AssetsPrefix); len(keys) > 0 {
			t.Errorf("files: got %q, want none", keys)
		}
		h.swept(t)
	})
}

// removeAgain removes the title as who was not told that it is removed does, and fails the test where something is left of it.
func (h *house) removeAgain(t *testing.T, id bijou.TitleID, told error) {
	t.Helper()
	s := h.process(t)
	start(t, s)
	if told != nil {
		if err := s.RemoveTitle(t.Context(), id); err != nil && !errors.Is(err, bijou.NotFound) {
			t.Errorf("remove again: %v", err)
		}
	}
	h.settle(t)
	h.noTitle(t, id)
	h.forgotten(t, id)
	if keys := h.keys(t, bijou.AssetsPrefix); len(keys) > 0 {
		t.Errorf("files: got %q, want none", keys)
	}
	h.swept(t)
}

func TestAPublishedTitleIsRemovedWhereverTheServiceIsKilled(t *testing.T) {
	killed(t, func(t *testing.T, h *house, live func(func(*Service))) {
		first := h.process(t)
		stop := start(t, first)
		id := add(t, first, "film.mp4", "film")
		h.published(t, first, id)
		h.settle(t)
		stop()
		told := errKilled
		live(func(s *Service) {
			told = s.RemoveTitle(t.Context(), id)
			if told == nil {
				h.dead(t, s, id)
			}
		})
		h.removeAgain(t, id, told)
	})
}

func TestATitleInWorkIsRemovedWhereverTheServiceIsKilled(t *testing.T) {
	killed(t, func(t *testing.T, h *house, live func(func(*Service))) {
		id := add(t, h.process(t), "film.mp4", "film")
		told := errKilled
		live(func(s *Service) {
			var once sync.Once
			h.films.on = func(ctx context.Context, _, step string) error {
				if step == "video-120" {
					once.Do(func() { told = s.RemoveTitle(context.WithoutCancel(ctx), id) })
				}
				return ctx.Err()
			}
			h.dead(t, s, id)
		})
		h.films.on = nil
		h.removeAgain(t, id, told)
	})
}
