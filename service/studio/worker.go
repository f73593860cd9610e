package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"
)

const (
	// leaseTerm is how long a step stays with a worker that says nothing: what a kill costs at most before another takes the step.
	leaseTerm = 6 * time.Second
	// renewEvery leaves a busy store several tries within a term, and is fast enough for a progress bar.
	renewEvery = time.Second
	// maxAttempts bounds how often a step is begun, so that one that takes the process down with it does not come back for ever.
	// Stops in good order do not count.
	maxAttempts = 12
	// quietEvery is how often the removal of a title looks whether its steps have ended, also those of other processes.
	quietEvery = 100 * time.Millisecond
	// lastWords bounds how long a worker tries to say how its step ended after it was told to stop.
	lastWords = 10 * time.Second
)

var (
	errLost      = errors.New("the lease went to another worker")
	errDiscarded = errors.New("the title is given up")
)

// worker leases steps and does them until ctx ends.
func (s *Service) worker(ctx context.Context, name string) error {
	for ctx.Err() == nil {
		w, err := s.Work.Lease(ctx, name, leaseTerm, s.Now())
		s.noteStuck(err)
		if err == nil {
			s.nudge() // there may be more, for another worker
			s.do(ctx, name, w)
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.poke:
		case <-time.After(leaseTerm): // a lease of a worker that is gone may have ended
		}
	}
	return nil
}

// noteStuck notes why no work can be leased, for those who follow it, and logs it once.
func (s *Service) noteStuck(err error) {
	why := ""
	if err != nil && !errors.Is(err, bijou.NotFound) && !errors.Is(err, context.Canceled) {
		why = bijou.Sentence(err)
	}
	s.mu.Lock()
	before := s.stuck
	s.stuck = why
	s.mu.Unlock()
	if why != "" && before == "" {
		s.Log.Warn("no work can be leased, which is tried again", "error", err)
	}
}

// do does one step and says how it ended.
func (s *Service) do(ctx context.Context, worker string, w bijou.Work) {
	log := s.Log.With("title", w.Title, "step", w.Step, "attempt", w.Attempt)
	begin := s.Now()
	stepCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.mu.Lock()
	s.running[w.ID] = &step{title: w.Title, discard: w.Step == stepDiscard, stop: stop}
	s.mu.Unlock()
	var progress atomic.Uint64 // bits of a float64 from 0 to 1
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		s.renew(stepCtx, w, &progress, stop)
	}()
	output, err := s.attempt(stepCtx, w, func(p float64) { progress.Store(math.Float64bits(p)) })
	cause := context.Cause(stepCtx)
	stop(nil)
	<-renewed
	s.mu.Lock()
	delete(s.running, w.ID)
	s.mu.Unlock()
	if errors.Is(err, errLost) || errors.Is(cause, errLost) {
		s.leave(ctx, w)
		return
	}
	end := ending(w, output, err, cause)
	log = log.With("state", end.State, "duration_ms", s.Now().Sub(begin).Milliseconds())
	if err == nil && (w.Step == stepDiscard || w.Step == stepPackage) {
		log.Info("step ended")
		return // its own record is gone with the rest
	}
	if err != nil && cause == nil && !errors.Is(err, errDiscarded) {
		log.Warn("step failed", "error", err)
	} else {
		log.Info("step ended")
	}
	if end.State == bijou.WorkWaiting && ctx.Err() == nil {
		pause(ctx, time.Duration(min(tries(w), 10))*time.Second)
	}
	s.finish(ctx, worker, w, end)
}

// ending says how a step ended. What a later try may cure is handed back, in the hope that it is cured then.
func ending(w bijou.Work, output json.RawMessage, err, cause error) bijou.WorkEnd {
	switch {
	case err == nil:
		return bijou.WorkEnd{State: bijou.WorkDone, Output: output}
	case errors.Is(cause, errDiscarded), errors.Is(err, errDiscarded):
		return bijou.WorkEnd{State: bijou.WorkFailed, Reason: errDiscarded.Error()}
	case cause != nil: // the process stops
		return bijou.WorkEnd{State: bijou.WorkWaiting, Output: handedBack(w)}
	case w.Step == stepDiscard: // what stays would stay for ever
		return bijou.WorkEnd{State: bijou.WorkWaiting, Output: w.Output}
	}
	switch bijou.KindOf(err) {
	case bijou.Invalid, bijou.Exhausted, bijou.Unsupported, bijou.Corrupt:
		return bijou.WorkEnd{State: bijou.WorkFailed, Reason: bijou.Sentence(err)}
	}
	if tries(w) >= maxAttempts {
		return bijou.WorkEnd{State: bijou.WorkFailed, Reason: fmt.Sprintf("gave up after %d tries: %s", tries(w), bijou.Sentence(err))}
	}
	return bijou.WorkEnd{State: bijou.WorkWaiting, Output: w.Output}
}

// stops is the output of a step that waits: how often it was handed back because its process stopped in good order, which is no fault of its own.
type stops struct {
	Stops int `json:"stops"`
}

func stopsOf(w bijou.Work) (s stops) {
	if json.Unmarshal(w.Output, &s) != nil {
		return stops{} // it was never handed back
	}
	return s
}

func handedBack(w bijou.Work) json.RawMessage {
	return fmt.Appendf(nil, `{"stops":%d}`, stopsOf(w).Stops+1)
}

// tries returns how often the step was begun and not ended by a stop in good order.
func tries(w bijou.Work) int { return w.Attempt - stopsOf(w).Stops }

// renew keeps the lease and notes the progress until ctx ends. It stops the step where the lease is lost, or the title is given up.
func (s *Service) renew(ctx context.Context, w bijou.Work, progress *atomic.Uint64, stop context.CancelCauseFunc) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	until := s.Now().Add(leaseTerm)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.Now()
		err := s.Work.Renew(ctx, w.ID, w.Worker, math.Float64frombits(progress.Load()), leaseTerm, now)
		if err == nil {
			until = now.Add(leaseTerm)
			_, err = s.inWork(ctx, w)
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, errDiscarded):
			stop(errDiscarded)
			return
		case errors.Is(err, bijou.Conflict), errors.Is(err, errLost), !now.Before(until):
			stop(errLost)
			return
		default:
			s.Log.Warn("lease is not renewed", "work", w.ID, "error", err) // tried again until the lease ends
		}
	}
}

// inWork returns all work of the step's title. It fails with errLost where the worker has the step no more, and with errDiscarded where
// the step is not worth doing any more since another has failed or the title is to go.
func (s *Service) inWork(ctx context.Context, w bijou.Work) ([]bijou.Work, error) {
	ws, err := s.Work.WorkOf(ctx, w.Title)
	if err != nil {
		return nil, err
	}
	mine := func(o bijou.Work) bool { return o.ID == w.ID && o.State == bijou.WorkLeased && o.Worker == w.Worker }
	if !slices.ContainsFunc(ws, mine) {
		return nil, errLost
	}
	over := func(o bijou.Work) bool { return o.Step == stepDiscard || o.State == bijou.WorkFailed }
	if w.Step != stepDiscard && slices.ContainsFunc(ws, over) {
		return nil, errDiscarded
	}
	return ws, nil
}

// leave removes what is left of a step that lost its lease, where that was because its title is gone; else another worker has the step, and
// the files are that one's. A worker may have been as good as dead for hours: a laptop that slept.
func (s *Service) leave(ctx context.Context, w bijou.Work) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	s.Log.Warn("lease of a step is lost", "title", w.Title, "step", w.Step, "attempt", w.Attempt)
	if err := s.clear(ctx, w); err != nil {
		s.Log.Error("files of a removed title stay", "title", w.Title, "asset", w.Asset, "error", err)
	}
}

// clear removes the files of an asset that no work and no title knows of any more.
func (s *Service) clear(ctx context.Context, w bijou.Work) error {
	ws, err := s.Work.WorkOf(ctx, w.Title)
	if err != nil || len(ws) > 0 {
		return err
	}
	t, err := s.Editor.AnyTitle(ctx, w.Title)
	if err != nil && !errors.Is(err, bijou.NotFound) {
		return err
	}
	if t.Asset == w.Asset {
		return nil
	}
	if t.State == bijou.Draft { // which the step made, not knowing that it had been removed
		if err := s.withdraw(ctx, w.Title); err != nil {
			return err
		}
	}
	return s.deleteAll(ctx, w.Asset)
}

// finish says how the step ended, and sees to what comes next. A failure here is no loss: the lease ends and the step is done again.
func (s *Service) finish(ctx context.Context, worker string, w bijou.Work, end bijou.WorkEnd) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := s.Work.Finish(ctx, w.ID, worker, end); err != nil {
		if !errors.Is(err, bijou.Conflict) {
			s.Log.Error("end of a step is not noted", "title", w.Title, "step", w.Step, "error", err)
		}
		return
	}
	if end.State == bijou.WorkWaiting {
		return
	}
	if err := s.advance(ctx, w.Title); err != nil {
		s.Log.Error("title does not go on until the next start", "title", w.Title, "error", err)
	}
}

// advance does what is next for the title once a step has ended.
func (s *Service) advance(ctx context.Context, id bijou.TitleID) error {
	ws, err := s.Work.WorkOf(ctx, id)
	if err != nil {
		return err
	}
	next, why := decide(ws)
	switch next {
	case packIt:
		t, err := taskOf(ws[0])
		if err != nil {
			return err
		}
		// It is as old as the title's other steps: a film that is ready does not wait for those that were added after it.
		w, err := newWork(id, ws[0].Asset, stepPackage, task{Title: t.Title, Source: t.Source, Cost: packageCost, Sources: sourcesOf(ws)}, ws[0].Created)
		if err != nil {
			return err
		}
		defer s.nudge()
		return s.Work.Enqueue(ctx, []bijou.Work{w})
	case giveUp:
		// The intent is durable before the title fails, so that no kill leaves files that nobody knows of.
		if err := s.discard(ctx, ws[0], task{Sources: sourcesOf(ws), Reason: why}); err != nil {
			return err
		}
		s.stopSteps(id)
		return s.fail(ctx, id, why)
	}
	return nil
}

// fail marks the title as failed. One that is gone is no failure.
func (s *Service) fail(ctx context.Context, id bijou.TitleID, why string) error {
	if err := s.Editor.FailTitle(ctx, id, why); err != nil && !errors.Is(err, bijou.NotFound) {
		return err
	}
	return nil
}

// stopSteps ends the steps of a title that this process has in work, but not its removal.
func (s *Service) stopSteps(id bijou.TitleID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.running {
		if st.title == id && !st.discard {
			st.stop(errDiscarded)
		}
	}
}

// attempt does the step: progress is told from 0 to 1.
func (s *Service) attempt(ctx context.Context, w bijou.Work, progress func(float64)) (json.RawMessage, error) {
	t, err := taskOf(w)
	if err != nil {
		return nil, err
	}
	if w.Step == stepDiscard {
		return nil, s.doDiscard(ctx, w, t)
	}
	if n := tries(w); n > maxAttempts {
		return nil, fmt.Errorf("begun %d times and never ended: the process was killed each time; look for a lack of memory in the system's log: %w", n-1, bijou.Exhausted)
	}
	ws, err := s.enter(ctx, w, t.Title)
	if err != nil {
		return nil, err
	}
	if w.Step == stepPackage {
		return nil, s.doPackage(ctx, w, t, ws)
	}
	folder, err := os.MkdirTemp(s.Scratch, "step-*")
	if err != nil {
		return nil, scratchFailure(err)
	}
	defer os.RemoveAll(folder) // what stays is removed at the next start
	m := &maker{s: s, work: w, task: t, folder: folder, progress: progress}
	out, err := m.make(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// enter returns all work of the step's title, once it is sure that the step is to be done and its title there: where a kill came between
// the work and the title, it is made here. The title is looked for first. Who removes one asks for its files to go before that, so a title that
// is missing while its work goes on was not made yet.
func (s *Service) enter(ctx context.Context, w bijou.Work, t bijou.Title) ([]bijou.Work, error) {
	_, err := s.Editor.AnyTitle(ctx, w.Title)
	missing := errors.Is(err, bijou.NotFound)
	if err != nil && !missing {
		return nil, err
	}
	ws, err := s.inWork(ctx, w)
	if err != nil || !missing || w.Step == stepPackage { // whose title was there when its tracks were made
		return ws, err
	}
	_, err = s.Editor.CreateTitle(ctx, t)
	return ws, err
}

// doDiscard removes what was made of a title, and last the record of its work.
func (s *Service) doDiscard(ctx context.Context, w bijou.Work, t task) error {
	if err := bijou.CheckID(w.Asset, bijou.AssetPrefix); err != nil {
		return err // the files of an asset without a name would be those of all
	}
	if err := s.quiet(ctx, w); err != nil {
		return err
	}
	keep, err := s.close(ctx, w, t)
	if err != nil {
		return err
	}
	if !keep {
		if err := s.deleteAll(ctx, w.Asset); err != nil {
			return err
		}
	}
	for _, id := range t.Sources {
		s.drop(ctx, id)
	}
	return s.Work.Forget(ctx, w.Title)
}

// quiet stops the title's other steps, and waits until no worker has one in work: here, or in another process, which sees the discard when it
// renews its lease. Steps that are leased from now on see it before they begin.
func (s *Service) quiet(ctx context.Context, w bijou.Work) error {
	for {
		s.stopSteps(w.Title)
		ws, err := s.Work.WorkOf(ctx, w.Title)
		if err != nil {
			return err
		}
		now := s.Now()
		if !slices.ContainsFunc(ws, func(o bijou.Work) bool {
			return o.Step != stepDiscard && o.State == bijou.WorkLeased && now.Before(o.Until)
		}) {
			return nil
		}
		if pause(ctx, quietEvery); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// close withdraws the title, or marks it as failed, and tells whether it is published with the asset all the same, which then stays.
func (s *Service) close(ctx context.Context, w bijou.Work, t task) (keep bool, err error) {
	if t.Withdraw {
		return false, s.withdraw(ctx, w.Title)
	}
	if err := s.fail(ctx, w.Title, t.Reason); err != nil {
		return false, err
	}
	title, err := s.Editor.AnyTitle(ctx, w.Title)
	if errors.Is(err, bijou.NotFound) {
		return false, nil
	}
	return title.Asset == w.Asset, err
}

// deleteAll removes every file of the asset.
func (s *Service) deleteAll(ctx context.Context, id bijou.AssetID) error {
	for b, err := range s.blobsBelow(ctx, id.Key("")+"/") {
		if err != nil {
			return err
		}
		if err := s.Blobs.Delete(ctx, b.Key); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// kindOfFile returns the kind of a failure of the file system.
func kindOfFile(err error) bijou.Kind {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return bijou.Exhausted
	}
	if errors.Is(err, fs.ErrNotExist) {
		return bijou.NotFound
	}
	return bijou.Unavailable
}
