package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/test/harness"
)

// PositionHolder is what a history of positions asks of a store.
type PositionHolder interface {
	CreateProfile(ctx context.Context, p bijou.Profile) error
	SavePosition(ctx context.Context, p bijou.Position) error
	Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error)
}

// PositionHistory checks that no position goes back while the store is broken: what is read is never older, as bijou.Position.Newer has it, than
// what was acknowledged or read before the read began, by whomever. Reports of several viewings of a title come at once and out of order.
// open is as in AccountHistory.
func PositionHistory(t *testing.T, h History, open func(t *testing.T) PositionHolder) {
	t.Helper()
	positionHistory(t, h, open).report()
}

func positionHistory(t *testing.T, h History, open func(t *testing.T) PositionHolder) *history {
	t.Helper()
	if h.Calls == 0 {
		h.Calls = 600
	}
	g := &positionGame{late: make([][]bijou.Position, h.withDefaults().Clients)}
	for range h.withDefaults().Clients {
		g.stores = append(g.stores, open(t))
	}
	for n := range profilesOfHistory {
		must(t, "create profile", g.stores[0].CreateProfile(t.Context(), bijou.Profile{ID: profileOf(n), Account: "acc_1", Name: "viewer", Created: noon}))
	}
	p := play(t, h, harness.Seed(t), g.next)
	last := &client{p, 0, p.random}
	for n := range len(g.known) {
		g.read(last, n, true)
	}
	return p
}

const (
	profilesOfHistory = 2
	titlesOfHistory   = 2
	viewingsOfHistory = 3 // of each title by each profile
)

func profileOf(n int) bijou.ProfileID { return bijou.ProfileID(fmt.Sprint("prf_", n)) }

// what returns the profile and the title of one of the known.
func what(n int) (bijou.ProfileID, bijou.TitleID) {
	return profileOf(n % profilesOfHistory), bijou.TitleID(fmt.Sprint("ttl_", n/profilesOfHistory))
}

// place returns which of the known a report is of.
func (g *positionGame) place(p bijou.Position) int {
	for n := range len(g.known) {
		if profile, title := what(n); profile == p.Profile && title == p.Title {
			return n
		}
	}
	panic("a report of nothing")
}

// positionGame is what is known of each profile's positions.
type positionGame struct {
	stores []PositionHolder
	late   [][]bijou.Position // reports that each client has put aside
	mu     sync.Mutex
	clock  time.Duration
	known  [profilesOfHistory * titlesOfHistory]struct {
		seq    [viewingsOfHistory]int64
		tried  map[bijou.Position]bool
		newest bijou.Position // of those that were acknowledged or read
		any    bool
	}
}

// report makes up the next report of one of the viewings. Within one viewing reports are made in the order of their times.
func (g *positionGame) report(c *client, n int) bijou.Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, viewing := &g.known[n], c.random.IntN(viewingsOfHistory)
	g.clock += time.Duration(c.random.IntN(3)) * time.Millisecond // some are taken in together
	k.seq[viewing]++
	profile, title := what(n)
	p := bijou.Position{
		Profile: profile, Title: title, RuntimeMS: 5_400_000, PositionMS: c.random.Int64N(5_400_000),
		Session: bijou.SessionID(fmt.Sprintf("ply_%d_%d", n, viewing)), Seq: k.seq[viewing], At: noon.Add(g.clock),
	}
	if k.tried == nil {
		k.tried = map[bijou.Position]bool{}
	}
	k.tried[p] = true
	return p
}

func (g *positionGame) next(c *client) {
	n := c.random.IntN(len(g.known))
	if c.random.IntN(3) == 0 {
		g.read(c, n, false)
		return
	}
	p, late := g.report(c, n), &g.late[c.id]
	switch choose(c.random, "at once", 4, "later", 2, "now", 2) {
	case "later":
		*late = append(*late, p)
		return
	case "now":
		if len(*late) > 0 {
			i := c.random.IntN(len(*late))
			p, n = (*late)[i], g.place((*late)[i])
			*late = slices.Delete(*late, i, i+1)
		}
	}
	o, _, _ := c.call("save position", func(ctx context.Context) error { return g.stores[c.id].SavePosition(ctx, p) })
	switch {
	case o.Kind == "" && !o.Unknown:
		g.learn(n, p)
	case !o.Unknown && o.Kind != bijou.Exhausted:
		c.wrong("save position: got an error of kind %q, want none", o.Kind)
	}
}

// learn notes that a position is kept.
func (g *positionGame) learn(n int, p bijou.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := &g.known[n]
	if !k.any || p.Newer(k.newest) {
		k.newest, k.any = p, true
	}
}

// read checks what is kept against what was known before it was asked for. A read that must be answered is repeated until it is.
func (g *positionGame) read(c *client, n int, must bool) {
	g.mu.Lock()
	before, any := g.known[n].newest, g.known[n].any
	g.mu.Unlock()
	var got bijou.Position
	profile, title := what(n)
	f := func(ctx context.Context) (err error) {
		got, err = g.stores[c.id].Position(ctx, profile, title)
		return err
	}
	o, _, _ := c.call("position", f)
	for end := time.After(c.Patience); must && o.Unknown; o, _, _ = c.call("position", f) {
		select {
		case <-end:
			c.wrong("position of %s in %s: not told within %s after all was mended", profile, title, c.Patience)
			return
		default:
		}
	}
	switch {
	case o.Unknown:
	case errors.Is(o.Kind, bijou.NotFound):
		if any {
			c.wrong("position of %s in %s: got none, want %+v, which was there", profile, title, before)
		}
	case o.Kind != "":
		c.wrong("position: got an error of kind %q, want none or %q", o.Kind, bijou.NotFound)
	default:
		g.check(c, n, got, before, any)
	}
}

func (g *positionGame) check(c *client, n int, got, before bijou.Position, any bool) {
	g.mu.Lock()
	known := g.known[n].tried[got]
	g.mu.Unlock()
	switch {
	case !known:
		c.wrong("position: got %+v, which nobody saved", got)
	case any && before.Newer(got):
		c.wrong("position went back: got %+v after %+v was there", got, before)
	default:
		g.learn(n, got)
	}
}
