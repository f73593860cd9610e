// Package viewer simulates viewers: clients that use the public API as people's players do. They list titles, start plays, fetch playlists and
// segments, and report what happens until the service has said that it has it.
//
// What they do follows from a seed, so that a run can be repeated. Only what the service makes up (identifiers, who comes first) differs.
package viewer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Config says who watches what.
type Config struct {
	Address  string // of the service, such as http://127.0.0.1:8080
	Players  int    // who watch at the same time
	Viewings int    // of each player, one after the other; 0: until the context ends
	Facts    int    // of each viewing, at least 3, and one more where the film does not start
	Batch    int    // most facts in one report, 1 to 100
	Seed     uint64
	// Fetch says whether players fetch playlists and segments. Without, they report a film that they do not watch, which takes the service little.
	Fetch bool
	// Pace is the time that a player's clock takes from one heartbeat to the next; 0 means none, so that a film lasts as long as its reports take.
	Pace time.Duration
	// Acknowledged is told of each report that the service has acknowledged, by several goroutines at once; nil: nobody is told.
	Acknowledged func(facts []Fact)
}

// Result counts what was done.
type Result struct {
	Plays    int64 // viewings that were started
	Facts    int64 // facts that were acknowledged
	Segments int64 // segments that were fetched
	Bytes    int64 // of all segments
	Retries  int64 // requests that were sent again
}

// add counts another player's.
func (r *Result) add(o Result) {
	r.Plays, r.Facts, r.Segments, r.Bytes, r.Retries = r.Plays+o.Plays, r.Facts+o.Facts, r.Segments+o.Segments, r.Bytes+o.Bytes, r.Retries+o.Retries
}

// Check refuses a configuration that nobody can watch by.
func (c Config) Check() error {
	if c.Address == "" || c.Players < 1 || c.Viewings < 0 || c.Facts < 3 || c.Batch < 1 || c.Batch > 100 || c.Pace < 0 {
		return fmt.Errorf("viewers cannot watch by %+v: there must be an address, a player, three facts, and reports of 1 to 100", c)
	}
	return nil
}

// Run lets all players watch, and returns what they did when they are done, when the context ends, or when one of them is refused: then with the
// service's own words. The end of the context is no failure where the viewings have none.
func Run(ctx context.Context, c Config) (Result, error) {
	if err := c.Check(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	transport := &http.Transport{MaxIdleConnsPerHost: c.Players, IdleConnTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	var all Result
	var wg sync.WaitGroup
	for i := range c.Players {
		wg.Go(func() {
			p := player{
				Config: c, random: rand.New(rand.NewPCG(c.Seed, uint64(i))), client: &http.Client{Transport: transport, Timeout: requestTime}, headers: i%2 == 1,
			}
			if err := p.watchAll(ctx); err != nil && !(c.Viewings == 0 && errors.Is(err, context.Canceled)) {
				cancel(fmt.Errorf("player %d: %w", i, err))
			}
			mu.Lock()
			defer mu.Unlock()
			all.add(p.did)
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && (c.Viewings > 0 || !errors.Is(err, context.Canceled)) {
		return all, err
	}
	return all, nil
}
