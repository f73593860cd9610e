// Package run starts the parts of a process in order and stops them in the reverse order.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Part is something that runs until its context ends.
type Part struct {
	Name string
	// Run works until ctx ends, and says when it is ready. Returning before ctx ends stops the whole group, with or without an error.
	Run func(ctx context.Context, ready func()) error
	// Grace is how long the part may take to stop; 10 s where 0. After that the group goes on without it and says so.
	Grace time.Duration
}

const defaultGrace = 10 * time.Second

// Group is parts that run together.
type Group struct {
	parts []Part
	ready atomic.Bool
	mu    sync.Mutex
	state []string // of each part
}

// New returns a group of the parts, in the order in which they start.
func New(parts ...Part) *Group {
	g := &Group{parts: parts, state: make([]string, len(parts))}
	for i := range parts {
		g.state[i] = "pending"
	}
	return g
}

// Ready tells whether all parts are ready and none is stopping.
func (g *Group) Ready() bool { return g.ready.Load() }

// PartState is where one part stands: pending, starting, ready, stopping, stopped or failed.
type PartState struct{ Name, State string }

// States returns where each part stands, in the order in which they start.
func (g *Group) States() []PartState {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]PartState, len(g.parts))
	for i, p := range g.parts {
		out[i] = PartState{p.Name, g.state[i]}
	}
	return out
}

func (g *Group) set(r *running, state string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state[r.place] = state
}

// running is a part that was started.
type running struct {
	Part
	place  int // among the parts
	cancel context.CancelFunc
	ready  chan struct{} // closed when it says so
	done   chan struct{} // closed when it has returned
	err    error         // what it returned
}

// Run starts each part when the one before it is ready, calls allReady, and waits until ctx ends or a part returns. Then it stops the parts,
// last started first, each when the one after it has stopped. It returns every failure, the first one first, each named by its part.
// A group runs once.
func (g *Group) Run(ctx context.Context, allReady func()) error {
	ended := make(chan *running, len(g.parts))
	started, failed := g.start(ctx, ended)
	if failed == nil && ctx.Err() == nil {
		g.ready.Store(true)
		allReady()
		select {
		case <-ctx.Done():
		case failed = <-ended:
		}
	}
	g.ready.Store(false)
	var first error
	if failed != nil {
		g.set(failed, "failed")
		first = failure(failed)
	}
	return errors.Join(first, g.stop(started, failed))
}

// start returns the parts that were started, and the one that ended already, if one did.
func (g *Group) start(ctx context.Context, ended chan *running) (started []*running, failed *running) {
	for i, p := range g.parts {
		if ctx.Err() != nil {
			return started, nil
		}
		// Parts outlive ctx, so that they can be stopped in order.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{Part: p, place: i, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
		started = append(started, r)
		g.set(r, "starting")
		go func() {
			r.err = runPart(own, r)
			close(r.done)
			ended <- r
		}()
		select {
		case <-r.ready:
			g.set(r, "ready")
		case failed = <-ended:
			return started, failed
		case <-ctx.Done():
			return started, nil
		}
	}
	return started, nil
}

func runPart(ctx context.Context, r *running) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var once sync.Once
	return r.Run(ctx, func() { once.Do(func() { close(r.ready) }) })
}

func failure(r *running) error {
	if r.err == nil {
		return fmt.Errorf("%s stopped by itself", r.Name)
	}
	return fmt.Errorf("%s: %w", r.Name, r.err)
}

// stop ends the parts in reverse and returns the failures of all but known, which is told of already.
func (g *Group) stop(started []*running, known *running) error {
	var errs []error
	for _, r := range slices.Backward(started) {
		select {
		case <-r.done: // it ended before it was asked to
		default:
			g.set(r, "stopping")
		}
		r.cancel()
		if r == known {
			continue
		}
		grace := cmp.Or(r.Grace, defaultGrace)
		timer := time.NewTimer(grace)
		select {
		case <-r.done:
			if r.err != nil && !errors.Is(r.err, context.Canceled) {
				g.set(r, "failed")
				errs = append(errs, failure(r))
			} else {
				g.set(r, "stopped")
			}
		case <-timer.C:
			errs = append(errs, fmt.Errorf("%s did not stop within %s", r.Name, grace))
		}
		timer.Stop()
	}
	return errors.Join(errs...)
}
