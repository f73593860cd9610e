package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/watch"
)

// server is a program elsewhere that keeps stores of this service.
type server struct {
	engine
	address string   // without its password
	stores  []string // what it keeps, such as accounts

	mu    sync.Mutex
	known bool      // it was asked at least once
	since time.Time // when it came to be as it is
	err   error     // why it cannot be used; nil where it can
}

// engine is what every networked engine can be asked.
type engine interface {
	// Check returns nil when the server answers and keeps what this program can read.
	Check(ctx context.Context) error
	// Version returns what the server says it is.
	Version(ctx context.Context) (string, error)
	Close() error
}

const (
	// checkEvery is how often a server is asked how it is, and so what /readyz?verbose is late by.
	checkEvery = 5 * time.Second
	// checkTime is how long it may take to say so.
	checkTime = 4 * time.Second
)

// watchServers asks each server how it is until ctx ends, and logs when that changes.
func (s *stores) watchServers(log *slog.Logger) func(ctx context.Context, ready func()) error {
	return func(ctx context.Context, ready func()) error {
		ready()
		tick := time.NewTicker(checkEvery)
		defer tick.Stop()
		for {
			var all sync.WaitGroup
			for _, v := range s.servers {
				all.Go(func() { v.ask(ctx, log, time.Now()) })
			}
			all.Wait()
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// ask asks the server how it is.
func (v *server) ask(ctx context.Context, log *slog.Logger, now time.Time) {
	within, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := v.Check(within)
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s does not answer within %s: %w", v.address, checkTime, bijou.Unavailable)
	}
	v.mu.Lock()
	was, known := v.err, v.known
	if !known || (was == nil) != (err == nil) {
		v.since = now
	}
	v.err, v.known = err, true
	v.mu.Unlock()
	switch {
	case err != nil && was == nil:
		log.Warn("store cannot be used, which is tried again", "stores", strings.Join(v.stores, " "), "at", v.address, "error", err)
	case err == nil && was != nil:
		log.Info("store can be used again", "stores", strings.Join(v.stores, " "), "at", v.address)
	}
}

// StoreState is how one of the service's stores is.
type StoreState struct {
	Store   string     `json:"store" doc:"What is kept there, such as accounts."`
	Address string     `json:"address,omitempty" doc:"Where it is; absent for a store in the service's own data directory."`
	State   string     `json:"state" enum:"ok,away,unknown" doc:"unknown until it was asked."`
	Since   *time.Time `json:"since,omitempty" doc:"When it came to be so."`
	Says    string     `json:"says,omitempty" doc:"Why it cannot be used, and what helps."`
}

// The states of a store.
const (
	storeOK      = "ok"
	storeAway    = "away"
	storeUnknown = "unknown"
)

// StoreStates is how all stores are.
type StoreStates struct {
	Stores []StoreState `json:"stores"`
}

var storesCall = rpc.Call[struct{}, StoreStates]{Verb: "GET", Path: "/api/v1/stores", Summary: "List where the service keeps what, and how each store is", Needs: rpc.Viewer, Idempotent: true}

// states returns how each store is, those of the data directory too.
func (s *stores) states(context.Context, struct{}) (StoreStates, error) {
	at := map[string]*server{}
	for _, v := range s.servers {
		for _, name := range v.stores {
			at[name] = v
		}
	}
	out := StoreStates{Stores: []StoreState{}}
	for _, k := range (Stores{}).all() {
		state := StoreState{Store: k.store, State: storeOK}
		if v := at[k.store]; v != nil {
			state = v.state(k.store)
		}
		out.Stores = append(out.Stores, state)
	}
	return out, nil
}

// elsewhere returns which stores servers keep that have to be backed up there, and at which addresses. A cache holds only copies.
func (s *stores) elsewhere() (out []string) {
	for _, v := range s.servers {
		for _, name := range v.stores {
			if name != "cache" {
				out = append(out, name+" at "+v.address)
			}
		}
	}
	return out
}

func (v *server) state(name string) StoreState {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := StoreState{Store: name, Address: v.address, State: storeUnknown}
	if v.known {
		since := v.since.UTC()
		s.State, s.Since = storeOK, &since
	}
	if v.err != nil {
		s.State, s.Says = storeAway, bijou.Sentence(v.err)
	}
	return s
}

// needs returns what the process works with, for /readyz?verbose.
func (s *stores) needs() []watch.Need {
	all, _ := s.states(context.Background(), struct{}{}) // which asks nobody, and cannot fail
	var out []watch.Need
	for _, x := range all.Stores {
		if x.Address == "" {
			continue
		}
		n := watch.Need{Name: "store " + x.Store, State: x.State + ", at " + x.Address, Degraded: x.State == storeAway}
		if n.Degraded {
			n.State = fmt.Sprintf("%s since %s, at %s: %s", x.State, x.Since.Format(time.RFC3339), x.Address, x.Says)
		}
		out = append(out, n)
	}
	return out
}
