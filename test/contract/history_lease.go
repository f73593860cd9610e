package contract

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/test/harness"

	"github.com/anishathalye/porcupine"
)

// WorkKeeper is what a history of leases asks of a store.
type WorkKeeper interface {
	Enqueue(ctx context.Context, ws []bijou.Work) error
	Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (bijou.Work, error)
	Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error
	Finish(ctx context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error
	WorkOf(ctx context.Context, id bijou.TitleID) ([]bijou.Work, error)
}

// LeaseHistory checks that work is leased to one worker at a time, and that all calls are linearizable, while the store is broken. The workers' clocks
// differ, jump forward and go back: a lease ends by the clock of who asks next. open is as in AccountHistory.
func LeaseHistory(t *testing.T, h History, open func(t *testing.T) WorkKeeper) {
	t.Helper()
	leaseHistory(t, h, open).report()
}

func leaseHistory(t *testing.T, h History, open func(t *testing.T) WorkKeeper) *history {
	t.Helper()
	if h.Calls == 0 {
		h.Calls = 250 // all concern each other, so that there are many orders to try
	}
	g := &leaseGame{held: make([][]bijou.Work, h.withDefaults().Clients)}
	for range h.withDefaults().Clients {
		g.stores = append(g.stores, open(t))
	}
	p := play(t, h, harness.Seed(t), g.next)
	p.over.Store(false) // for what is asked until it is answered
	stop := time.AfterFunc(p.Patience, func() { p.over.Store(true) })
	defer stop.Stop()
	for last := (&client{p, 0, p.random}); g.do(last, leaseCall{Name: "all"}, nil).Unknown && !p.over.Load(); {
	}
	p.operations = p.lost()
	p.linearizable("work of", leaseModel, func(any) string { return string(leaseTitle) }, func(op porcupine.Operation) string {
		return fmt.Sprintf("%+v: %+v", op.Input, op.Output)
	})
	p.leasedOnce()
	return p
}

const leaseTitle bijou.TitleID = "ttl_1"

// leaseCall is what a worker asked.
type leaseCall struct {
	Name   string
	Worker string
	ID     bijou.JobID     // of the piece, or of the first that is enqueued
	Made   int             // when those that are enqueued were made, in seconds after noon
	Count  int             // and how many
	End    bijou.WorkState // of the piece
	Now    time.Duration   // after noon
	Term   time.Duration
}

// leaseAnswer is what it was told.
type leaseAnswer struct {
	outcome
	ID      bijou.JobID
	Attempt int
	All     []leasePiece // where it asked for all
	May     []given      // what a lease with an unknown outcome may have come to
}

// given is a lease of a piece: each has an attempt of its own.
type given struct {
	ID      bijou.JobID
	Attempt int
}

// leasePiece is what is known of a piece of work.
type leasePiece struct {
	Made    int // seconds after noon
	ID      bijou.JobID
	State   bijou.WorkState
	Worker  string
	Attempt int
	Until   time.Duration // after noon
}

// older orders pieces as they are leased. Those that were made together are enqueued together, in the order of their identifiers.
func older(a, b leasePiece) int {
	return cmp.Or(cmp.Compare(a.Made, b.Made), strings.Compare(string(a.ID), string(b.ID)))
}

// leasable tells whether the piece may be had at that time.
func (w leasePiece) leasable(now time.Duration) bool {
	return w.State == bijou.WorkWaiting || w.State == bijou.WorkLeased && w.Until <= now
}

// leaseModel says what the calls do. Which of several pieces a worker is given is left open: while others take theirs, the oldest may be in their hands.
var leaseModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{[]leasePiece(nil)} },
	Step: func(state, input, output any) (next []any) {
		for _, s := range leaseSteps(state.([]leasePiece), input.(leaseCall), output.(leaseAnswer)) {
			next = append(next, s)
		}
		return next
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]leasePiece), b.([]leasePiece)) },
	Hash: func(a any) uint64 {
		h := fnv.New64a()
		for _, w := range a.([]leasePiece) {
			_, _ = fmt.Fprint(h, w) // a hash takes all
		}
		return h.Sum64()
	},
}).ToModel()

// leaseSteps returns the states that may follow where the call was answered so; none where it cannot have been.
func leaseSteps(s []leasePiece, in leaseCall, got leaseAnswer) [][]leasePiece {
	same := [][]leasePiece{s}
	switch {
	case in.Name == "all" && slices.Equal(s, got.All):
		return same
	case in.Name == "all":
		return nil
	case in.Name == "enqueue" && (got.Unknown || got.Kind == ""):
		return [][]leasePiece{enqueuedWork(s, in)}
	case in.Name == "lease":
		return leasedWork(s, in, got)
	}
	at := slices.IndexFunc(s, func(w leasePiece) bool { return w.ID == in.ID && w.State == bijou.WorkLeased && w.Worker == in.Worker })
	switch {
	case at < 0 && (got.Unknown || got.Kind == bijou.Conflict):
		return same
	case at < 0 || !got.Unknown && got.Kind != "":
		return nil
	}
	next := slices.Clone(s)
	if in.Name == "renew" {
		next[at].Until = in.Now + in.Term
	} else {
		next[at].State, next[at].Until = in.End, 0
	}
	return [][]leasePiece{next}
}

func enqueuedWork(s []leasePiece, in leaseCall) []leasePiece {
	s = slices.Clone(s)
	for n := range in.Count {
		id := jobOf(in.ID, n)
		if !slices.ContainsFunc(s, func(w leasePiece) bool { return w.ID == id }) {
			s = append(s, leasePiece{Made: in.Made, ID: id, State: bijou.WorkWaiting})
		}
	}
	slices.SortFunc(s, older)
	return s
}

// leasedWork returns the states after a lease: one for each piece that the worker may have been given.
func leasedWork(s []leasePiece, in leaseCall, got leaseAnswer) (next [][]leasePiece) {
	free := false
	for at, w := range s {
		if !w.leasable(in.Now) {
			continue
		}
		free = true
		made := given{w.ID, w.Attempt + 1}
		if got.Unknown && slices.Contains(got.May, made) || !got.Unknown && got.Kind == "" && made == (given{got.ID, got.Attempt}) {
			after := slices.Clone(s)
			after[at] = leasePiece{w.Made, w.ID, bijou.WorkLeased, in.Worker, w.Attempt + 1, in.Now + in.Term}
			next = append(next, after)
		}
	}
	if got.Unknown || !free && got.Kind == bijou.NotFound {
		next = append(next, s)
	}
	return next
}

// jobOf returns the nth piece of those that are enqueued together.
func jobOf(first bijou.JobID, n int) bijou.JobID { return bijou.JobID(fmt.Sprintf("%s_%d", first, n)) }

// firstJob names the pieces that were made at a time, for jobOf.
func firstJob(made int) bijou.JobID { return bijou.JobID(fmt.Sprint("job_", made)) }

// leaseGame is what the workers know.
type leaseGame struct {
	stores []WorkKeeper
	clock  atomic.Int64 // of the world, after noon
	count  atomic.Int64
	held   [][]bijou.Work // by worker, who alone looks there
}

// next does what a worker does. One who was not told what came of a call looks at all of the work until it is told.
func (g *leaseGame) next(c *client) {
	held := &g.held[c.id]
	if g.do(c, g.choose(c), held).Unknown {
		for !c.over.Load() && g.do(c, leaseCall{Name: "all"}, nil).Unknown {
		}
	}
}

// choose makes up the worker's next call.
func (g *leaseGame) choose(c *client) leaseCall {
	in := leaseCall{Worker: fmt.Sprint("worker-", c.id), Term: time.Duration(1+c.random.IntN(4)) * 10 * time.Second}
	in.Now = time.Duration(g.clock.Add(c.random.Int64N(int64(10 * time.Second))))
	switch choose(c.random, "right", 6, "ahead", 1, "behind", 1) {
	case "ahead":
		in.Now += time.Duration(c.random.Int64N(int64(time.Minute)))
	case "behind":
		in.Now -= time.Duration(c.random.Int64N(int64(time.Minute)))
	}
	in.Now = in.Now.Truncate(time.Millisecond) // which every store keeps
	in.Name = choose(c.random, "enqueue", 1, "lease", 4, "renew", 2, "finish", 3, "all", 1)
	held, any := g.held[c.id], int(g.count.Load())-c.random.IntN(4)
	if any > 0 && c.random.IntN(4) == 0 { // which may be another's
		held = []bijou.Work{{ID: jobOf(firstJob(any), 0)}}
	}
	if len(held) == 0 && (in.Name == "renew" || in.Name == "finish") {
		in.Name = "lease"
	}
	switch in.Name {
	case "enqueue":
		in.Made, in.Count = int(g.count.Add(1)), 1+c.random.IntN(3)
		in.ID = firstJob(in.Made)
	case "renew", "finish":
		in.ID = held[c.random.IntN(len(held))].ID
		in.End = bijou.WorkState(choose(c.random, string(bijou.WorkDone), 3, string(bijou.WorkFailed), 1, string(bijou.WorkWaiting), 1))
	}
	return in
}

// do makes the call and keeps what it was told.
func (g *leaseGame) do(c *client, in leaseCall, held *[]bijou.Work) outcome {
	var out leaseAnswer
	var w bijou.Work
	o, begun, ended := c.call(in.Name+" "+string(in.ID), func(ctx context.Context) (err error) {
		out, w, err = in.ask(ctx, g.stores[c.id])
		return err
	})
	out.outcome = o
	if o.Unknown {
		if ended = never; in.Name == "all" {
			return o
		}
	} else if o.Kind == bijou.Exhausted {
		return o // changes nothing, and may be told at any time
	}
	c.record(begun, ended, in, out)
	switch gone := o.Kind != "" || in.Name == "finish"; {
	case in.Name == "lease" && o.Kind == "" && !o.Unknown:
		*held = append(*held, w)
	case (in.Name == "renew" || in.Name == "finish") && gone:
		*held = slices.DeleteFunc(*held, func(w bijou.Work) bool { return w.ID == in.ID })
	}
	return o
}

// ask makes the call of the store.
func (in leaseCall) ask(ctx context.Context, s WorkKeeper) (out leaseAnswer, w bijou.Work, err error) {
	switch in.Name {
	case "enqueue":
		var ws []bijou.Work
		for n := range in.Count {
			id := jobOf(in.ID, n)
			ws = append(ws, bijou.Work{ID: id, Asset: "ast_1", Title: leaseTitle, Step: string(id), Version: 1, State: bijou.WorkWaiting, Input: json.RawMessage(`{}`), Created: noon.Add(time.Duration(in.Made) * time.Second)})
		}
		return out, w, s.Enqueue(ctx, ws)
	case "lease":
		w, err = s.Lease(ctx, in.Worker, in.Term, noon.Add(in.Now))
		out.ID, out.Attempt = w.ID, w.Attempt
		return out, w, err
	case "renew":
		return out, w, s.Renew(ctx, in.ID, in.Worker, 0.5, in.Term, noon.Add(in.Now))
	case "finish":
		return out, w, s.Finish(ctx, in.ID, in.Worker, bijou.WorkEnd{State: in.End})
	}
	ws, err := s.WorkOf(ctx, leaseTitle)
	for _, w := range ws {
		p := leasePiece{int(w.Created.Sub(noon) / time.Second), w.ID, w.State, w.Worker, w.Attempt, 0}
		if !w.Until.IsZero() && w.State == bijou.WorkLeased {
			p.Until = w.Until.Sub(noon)
		}
		out.All = append(out.All, p)
	}
	slices.SortFunc(out.All, older)
	return out, w, err
}

// lost adds what nobody was told of: leases that the work was seen to have had. One may be what a call with an unknown outcome came to; and one that was made
// while something was broken may be a first try of a call whose answer was lost, and which was given another piece in the end, since the first had
// lapsed meanwhile. A call with an unknown outcome that can have come to nothing of this is left out.
func (p *history) lost() (out []porcupine.Operation) {
	told, latest, of := map[given]bool{}, map[bijou.JobID]int{}, map[given]leasePiece{}
	for _, op := range p.operations {
		a := op.Output.(leaseAnswer)
		if a.ID != "" {
			told[given{a.ID, a.Attempt}] = true
		}
		for _, w := range a.All {
			latest[w.ID] = max(latest[w.ID], w.Attempt)
			of[given{w.ID, w.Attempt}] = w
		}
	}
	var untold []given
	for id, n := range latest {
		for attempt := 1; attempt <= n; attempt++ {
			if x := (given{id, attempt}); !told[x] {
				untold = append(untold, x)
			}
		}
	}
	for _, op := range p.operations {
		in, a := op.Input.(leaseCall), op.Output.(leaseAnswer)
		if in.Name != "lease" {
			out = append(out, op)
			continue
		}
		var may []given
		for _, x := range untold {
			if w, seen := of[x]; !seen || w.Worker == in.Worker && (w.State != bijou.WorkLeased || w.Until == in.Now+in.Term) {
				may = append(may, x)
			}
		}
		if !a.Unknown {
			out = append(out, op)
		}
		if len(may) > 0 && (a.Unknown || p.disturbed(op)) {
			op.Output = leaseAnswer{outcome: outcome{Unknown: true}, May: may}
			out = append(out, op)
		}
	}
	return out
}

// leasedOnce notes each lease that two workers were given: leases of a piece are counted by its attempts.
func (p *history) leasedOnce() {
	given := map[string]string{}
	for _, op := range p.operations {
		in, out := op.Input.(leaseCall), op.Output.(leaseAnswer)
		if in.Name != "lease" || out.Unknown || out.Kind != "" {
			continue
		}
		what := fmt.Sprintf("attempt %d of %s", out.Attempt, out.ID)
		if other, ok := given[what]; ok {
			p.wrong("%s was leased to %s and to %s", what, other, in.Worker)
		}
		given[what] = in.Worker
	}
}
