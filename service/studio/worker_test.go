package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

// deafWork is a work store that a process cannot renew its leases at.
type deafWork struct {
	bijou.WorkStore
	mu       sync.Mutex
	finished []bijou.JobID
}

func (d *deafWork) Renew(context.Context, bijou.JobID, string, float64, time.Duration, time.Time) error {
	return fmt.Errorf("no answer: %w", bijou.Unavailable)
}

func (d *deafWork) Finish(ctx context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error {
	d.mu.Lock()
	d.finished = append(d.finished, id)
	d.mu.Unlock()
	return d.WorkStore.Finish(ctx, id, worker, end)
}

func TestAStepWhoseLeaseEndsGoesToAnotherWorker(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		begun := make(chan struct{})
		var once sync.Once
		h.films.on = func(ctx context.Context, _, step string) error {
			var err error
			if step == "video-180" {
				once.Do(func() {
					close(begun)
					<-ctx.Done()
					err = ctx.Err()
				})
			}
			return err
		}
		deaf := &deafWork{WorkStore: h.work}
		one := h.process(t, func(d *Deps) { d.Work = deaf })
		start(t, one)
		id := add(t, one, "film.mp4", "film")
		<-begun
		lost := h.leased(t, id)
		begin := time.Now()
		two := h.process(t)
		start(t, two)
		h.published(t, two, id)
		if took := time.Since(begin); took < leaseTerm-renewEvery || took > 2*leaseTerm {
			t.Errorf("the other worker took the step after %v, want about %v", took, leaseTerm)
		}
		wantSame(t, "times the step was begun", h.films.calls["film.mp4 video-180"], 2)
		deaf.mu.Lock()
		defer deaf.mu.Unlock()
		for _, done := range deaf.finished {
			if done == lost.ID {
				t.Errorf("the worker that lost the step has finished it too")
			}
		}
	})
}

// leased returns the title's work that somebody has leased.
func (h *house) leased(t *testing.T, id bijou.TitleID) bijou.Work {
	t.Helper()
	ws, err := h.work.WorkOf(t.Context(), id)
	must(t, "work of "+string(id), err)
	for _, w := range ws {
		if w.State == bijou.WorkLeased {
			return w
		}
	}
	t.Fatalf("work of %s: got %+v, want some of it leased", id, ws)
	return bijou.Work{}
}

// slowBlobs writes one key only when it is told to, whatever has become of its caller.
type slowBlobs struct {
	bijou.BlobStore
	suffix      string
	begun, goOn chan struct{}
}

func (b slowBlobs) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	if strings.HasSuffix(key, b.suffix) {
		close(b.begun)
		<-b.goOn
		ctx = context.WithoutCancel(ctx)
	}
	return b.BlobStore.Put(ctx, key, r)
}

func TestWhatAStalledWorkerWritesOfATitleThatIsGoneIsRemoved(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		blobs := slowBlobs{h.blobs, "v120/1.m4s", make(chan struct{}), make(chan struct{})}
		stalled := h.process(t, func(d *Deps) { d.Work, d.Blobs = &deafWork{WorkStore: h.work}, blobs })
		start(t, stalled)
		id := add(t, stalled, "film.mp4", "film")
		<-blobs.begun
		other := h.process(t)
		start(t, other)
		begin := time.Now()
		must(t, "remove", other.RemoveTitle(t.Context(), id))
		h.settle(t)
		if took := time.Since(begin); took > 2*leaseTerm {
			t.Errorf("the removal took %v, want the lease's %v at most", took, leaseTerm)
		}
		h.nothingOf(t, id)
		close(blobs.goOn)
		synctest.Wait()
		h.noTitle(t, id)
		h.nothingOf(t, id)
	})
}

func TestAWorkerThatWakesAfterItsTitleIsGoneDoesNotBringItBack(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		asleep := h.process(t)
		id := add(t, asleep, "film.mp4", "film")
		w, err := h.work.Lease(t.Context(), "asleep", leaseTerm, time.Now())
		must(t, "lease", err)
		other := h.process(t)
		stop := start(t, other)
		must(t, "remove", other.RemoveTitle(t.Context(), id))
		h.settle(t)
		stop()
		asleep.do(t.Context(), "asleep", w)
		h.noTitle(t, id)
		h.nothingOf(t, id)
		wantSame(t, "times the step was begun", h.films.calls["film.mp4 poster"], 0)
	})
}

func TestADraftThatAWakingWorkerMadeGoesAgain(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		title, err := h.catalog.CreateTitle(t.Context(), bijou.Title{ID: "ttl_x", Kind: bijou.Film, Name: "Film"})
		must(t, "create", err)
		w := bijou.Work{Title: title.ID, Asset: "ast_x"}
		_, err = h.blobs.Put(t.Context(), w.Asset.Key("v120/1.m4s"), strings.NewReader("x"))
		must(t, "put", err)
		s.leave(t.Context(), w)
		h.noTitle(t, title.ID)
		h.nothingOf(t, title.ID)
	})
}

// enqueue adds a step by hand, as a worker that was away for long may.
func (h *house) enqueue(t *testing.T, title bijou.Title, step string, in task) {
	t.Helper()
	w, err := newWork(title.ID, title.Asset, step, in, title.Added)
	must(t, step, errors.Join(err, h.work.Enqueue(t.Context(), []bijou.Work{w})))
}

func TestALateStepDoesAPublishedTitleNoHarm(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.mp4", "film"))
		h.settle(t)
		want := h.files(t, title)
		for _, step := range []string{stepPackage, stepDiscard} {
			h.enqueue(t, title, step, task{Title: title, Cost: 1, Reason: "it failed"})
			s.nudge()
			h.settle(t)
			after := h.published(t, s, title.ID)
			wantSame(t, "files after a late "+step, h.files(t, after), want)
			h.forgotten(t, title.ID)
		}
		must(t, "remove", s.RemoveTitle(t.Context(), title.ID))
		h.settle(t)
		h.enqueue(t, title, stepPackage, task{Title: title, Cost: 1})
		s.nudge()
		h.settle(t)
		h.noTitle(t, title.ID)
		h.nothingOf(t, title.ID)
	})
}

func TestADiscardWithoutAnAssetRemovesNothing(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		title := h.published(t, s, add(t, s, "film.mp4", "film"))
		want := h.files(t, title)
		err := s.doDiscard(t.Context(), bijou.Work{Title: "ttl_other"}, task{Withdraw: true})
		wantKind(t, "discard without an asset", err, bijou.Invalid)
		wantSame(t, "files of another title", h.files(t, title), want)
	})
}

// busyEditor does something just before an asset is published.
type busyEditor struct {
	bijou.Editor
	before func()
}

func (e busyEditor) PublishAsset(ctx context.Context, a bijou.Asset) (bijou.Title, error) {
	e.before()
	return e.Editor.PublishAsset(ctx, a)
}

// meanwhileWork does something just before work is forgotten.
type meanwhileWork struct {
	bijou.WorkStore
	before func(bijou.TitleID)
}

func (w meanwhileWork) Forget(ctx context.Context, id bijou.TitleID) error {
	w.before(id)
	return w.WorkStore.Forget(ctx, id)
}

func TestATitleThatIsRemovedWhileItIsPublishedStaysRemoved(t *testing.T) {
	for _, when := range []string{"before it is published", "before its work is forgotten"} {
		t.Run(when, func(t *testing.T) {
			virtual(t, func(t *testing.T, h *house) {
				other := h.process(t)
				var id bijou.TitleID
				remove := sync.OnceFunc(func() { must(t, "remove", other.RemoveTitle(t.Context(), id)) })
				s := h.process(t, func(d *Deps) {
					if when == "before it is published" {
						d.Editor = busyEditor{d.Editor, remove}
					} else {
						d.Work = meanwhileWork{d.Work, func(bijou.TitleID) { remove() }}
					}
				})
				id = add(t, s, "film.mp4", "film")
				start(t, s)
				_, err := follow(t, s, id)
				if err != nil && !errors.Is(err, bijou.NotFound) {
					t.Errorf("follow: got %v, want no error or that it is gone", err)
				}
				h.settle(t)
				h.noTitle(t, id)
				h.nothingOf(t, id)
			})
		})
	}
}

func TestARemovalThatIsForgottenWithTheWorkIsAskedForAgain(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t)
		start(t, s)
		id := add(t, s, "film.mp4", "film")
		h.published(t, s, id)
		h.settle(t)
		// The package's worker forgets between the removal's two requests.
		editor := withdrawEditor{s.Editor, func() { must(t, "forget", h.work.Forget(t.Context(), id)) }}
		other := h.process(t, func(d *Deps) { d.Editor = editor })
		must(t, "remove", other.RemoveTitle(t.Context(), id))
		s.nudge()
		h.settle(t)
		h.noTitle(t, id)
		h.nothingOf(t, id)
	})
}

type withdrawEditor struct {
	bijou.Editor
	after func()
}

func (e withdrawEditor) WithdrawTitle(ctx context.Context, id bijou.TitleID) error {
	defer e.after()
	return e.Editor.WithdrawTitle(ctx, id)
}

// brokenEditor takes no title.
type brokenEditor struct{ bijou.Editor }

func (brokenEditor) CreateTitle(context.Context, bijou.Title) (bijou.Title, error) {
	return bijou.Title{}, fmt.Errorf("the catalogue is full: %w", bijou.Exhausted)
}

func TestATitleThatTheCatalogueDoesNotTakeLeavesNothing(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		s := h.process(t, func(d *Deps) { d.Editor = brokenEditor{d.Editor} })
		_, err := s.AddTitle(t.Context(), AddTitle{Source: handIn(t, s, "film.mp4", "film")})
		wantKind(t, "add", err, bijou.Exhausted, "the catalogue is full")
		start(t, h.process(t))
		h.settle(t)
		page, err := h.catalog.AllTitles(t.Context(), bijou.TitleQuery{})
		must(t, "titles", err)
		wantSame(t, "titles", page.Titles, nil)
		h.nothingOf(t, "")
	})
}

func TestAFailedTitleNamesTheStepThatFailedAndNotOneThatWasStoppedForIt(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		h.config.Workers = 2
		begun := make(chan struct{})
		h.films.on = func(ctx context.Context, _, step string) error {
			switch step {
			case "poster": // the oldest step
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			case "audio":
				<-begun
				return fmt.Errorf("the sound is broken: %w", bijou.Invalid)
			}
			return nil
		}
		s := h.process(t)
		start(t, s)
		id := add(t, s, "film.mp4", "film")
		_, err := follow(t, s, id)
		must(t, "follow", err)
		h.settle(t)
		h.failed(t, id, "the sound is broken")
		h.nothingOf(t, id)
	})
}

func TestOneTitleThatCannotGoOnDoesNotKeepTheRoomFromStarting(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		broken := bijou.Title{ID: "ttl_broken", Kind: bijou.Film, Name: "Broken"}
		_, err := h.catalog.CreateTitle(t.Context(), broken)
		must(t, "create", err)
		w := bijou.Work{ID: "job_broken", Title: broken.ID, Asset: "ast_broken", Step: "poster", Version: 1, Input: json.RawMessage("rubbish"), Created: time.Now()}
		must(t, "enqueue", h.work.Enqueue(t.Context(), []bijou.Work{w}))
		leased, err := h.work.Lease(t.Context(), "w", time.Minute, time.Now())
		must(t, "lease", err)
		must(t, "finish", h.work.Finish(t.Context(), leased.ID, "w", bijou.WorkEnd{State: bijou.WorkDone}))
		s := h.process(t)
		start(t, s)
		h.published(t, s, add(t, s, "film.mp4", "film"))
	})
}

func TestEndingSaysWhatBecomesOfAStep(t *testing.T) {
	fail := func(k bijou.Kind) error { return fmt.Errorf("it broke: %w", k) }
	output := json.RawMessage(`"out"`)
	for _, c := range []struct {
		what    string
		step    string
		attempt int
		before  string // output that the step has already
		err     error
		cause   error
		want    bijou.WorkEnd
	}{
		{"done", "audio", 1, "", nil, nil, bijou.WorkEnd{State: bijou.WorkDone, Output: output}},
		{"done as the process stops", "audio", 1, "", nil, context.Canceled, bijou.WorkEnd{State: bijou.WorkDone, Output: output}},
		{"invalid", "audio", 1, "", fail(bijou.Invalid), nil, bijou.WorkEnd{State: bijou.WorkFailed, Reason: "it broke"}},
		{"no space", "audio", 1, "", fail(bijou.Exhausted), nil, bijou.WorkEnd{State: bijou.WorkFailed, Reason: "it broke"}},
		{"unavailable", "audio", maxAttempts - 1, "", fail(bijou.Unavailable), nil, bijou.WorkEnd{State: bijou.WorkWaiting}},
		{"unavailable for long", "audio", maxAttempts, "", fail(bijou.Unavailable), nil, bijou.WorkEnd{State: bijou.WorkFailed, Reason: "gave up after 12 tries: it broke"}},
		{"without a kind", "audio", 1, "", errors.New("odd"), nil, bijou.WorkEnd{State: bijou.WorkWaiting}},
		{"unavailable after stops", "audio", maxAttempts + 1, `{"stops":2}`, fail(bijou.Unavailable), nil, bijou.WorkEnd{State: bijou.WorkWaiting, Output: json.RawMessage(`{"stops":2}`)}},
		{"stopped", "audio", 50, "", context.Canceled, context.Canceled, bijou.WorkEnd{State: bijou.WorkWaiting, Output: json.RawMessage(`{"stops":1}`)}},
		{"stopped again", "audio", 50, `{"stops":1}`, fail(bijou.Invalid), context.Canceled, bijou.WorkEnd{State: bijou.WorkWaiting, Output: json.RawMessage(`{"stops":2}`)}},
		{"given up", "audio", 1, "", context.Canceled, errDiscarded, bijou.WorkEnd{State: bijou.WorkFailed, Reason: errDiscarded.Error()}},
		{"found given up", "audio", 1, "", errDiscarded, nil, bijou.WorkEnd{State: bijou.WorkFailed, Reason: errDiscarded.Error()}},
		{"removal that fails for long", stepDiscard, 99, "", fail(bijou.Exhausted), nil, bijou.WorkEnd{State: bijou.WorkWaiting}},
	} {
		w := bijou.Work{Step: c.step, Attempt: c.attempt}
		if c.before != "" {
			w.Output = json.RawMessage(c.before)
		}
		if d := cmp.Diff(c.want, ending(w, output, c.err, c.cause)); d != "" {
			t.Errorf("%s: got (+), want (-):\n%s", c.what, d)
		}
	}
}

// lateEditor creates titles only once something else has happened.
type lateEditor struct {
	bijou.Editor
	before func()
}

func (e lateEditor) CreateTitle(ctx context.Context, t bijou.Title) (bijou.Title, error) {
	e.before()
	return e.Editor.CreateTitle(ctx, t)
}

func TestWorkersThatAreQuickerThanWhoAddsTheTitleMakeIt(t *testing.T) {
	for content, want := range map[string]bijou.TitleState{"film": bijou.Published, "fails": bijou.Failed} {
		virtual(t, func(t *testing.T, h *house) {
			h.films.on = func(_ context.Context, _, step string) error {
				if want == bijou.Failed && step == "poster" {
					return fmt.Errorf("it is broken: %w", bijou.Corrupt)
				}
				return nil
			}
			start(t, h.process(t))
			s := h.process(t, func(d *Deps) { d.Editor = lateEditor{d.Editor, func() { h.settle(t) }} })
			title, err := s.AddTitle(t.Context(), AddTitle{Source: handIn(t, s, "film.mp4", content)})
			must(t, "add", err)
			wantSame(t, "state as told", title.State, want)
			title, err = s.Title(t.Context(), title.ID)
			must(t, "title", err)
			wantSame(t, "state as kept", title.State, want)
		})
	}
}

func TestNoTwoProcessesHaveWorkersOfOneName(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		if one, two := h.process(t), h.process(t); one.host == two.host {
			t.Errorf("got workers named %s in both, want names of their own", one.host)
		}
	})
}
