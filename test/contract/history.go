package contract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/test/engines"

	"github.com/anishathalye/porcupine"
)

// History says how a history is made: many clients use a store at once while it is broken and mended, and what they were told is
// checked afterwards. What is chosen is chosen by a seed (BIJOU_TEST_SEED); when, by how far the clients have come.
type History struct {
	// Faults are done to the store one after the other, each at least once.
	Faults []Fault
	// Calls is about how many calls are answered, 400 where 0.
	Calls int
	// Clients is how many make them at once, 6 where 0.
	Clients int
	// Term is how long a call may take, 10 s where 0.
	Term time.Duration
	// Patience bounds how long the store may take to answer again once nothing is broken any more, 60 s where 0.
	Patience time.Duration
	// Unharmed says that the store is promised to answer in spite of the faults: no call may fail with Unavailable, nor run out of time.
	Unharmed bool
}

// Fault is a way to break what keeps a store's data.
type Fault struct {
	Name string
	// Break does it, and Mend ends it: it returns once the store can be used again. Mend may be nil, for what passes by itself.
	Break, Mend func(t *testing.T)
	// Most bounds how long it lasts, 300 ms where 0: it ends before where the clients get on nevertheless.
	Most time.Duration
}

// ServerFaults are what can be done to a server, and to the connections that lead to it through the proxy, which may be nil.
func ServerFaults(s *engines.Server, p *engines.Proxy) []Fault {
	faults := []Fault{
		{Name: "kill", Break: func(t *testing.T) { s.Kill(t) }, Mend: func(t *testing.T) { s.Start(t) }},
		{Name: "pause", Break: func(t *testing.T) { s.Pause(t) }, Mend: func(t *testing.T) { s.Resume(t) }, Most: time.Second},
	}
	if p == nil {
		return faults
	}
	return append(faults,
		Fault{Name: "reset of the connections", Break: func(*testing.T) { p.Reset() }},
		Fault{Name: "silence of the connections", Break: func(*testing.T) { p.Swallow() }, Mend: func(*testing.T) { p.Heal() }, Most: time.Second})
}

func (h History) withDefaults() History {
	if h.Calls == 0 {
		h.Calls = 400
	}
	if h.Clients == 0 {
		h.Clients = 6
	}
	if h.Term == 0 {
		h.Term = 10 * time.Second
	}
	if h.Patience == 0 {
		h.Patience = 60 * time.Second
	}
	return h
}

// history is one that is being made.
type history struct {
	History
	t        *testing.T
	random   *rand.Rand // the test's own
	begin    time.Time
	answered atomic.Int64
	goesOn   chan struct{} // one token: a call was answered
	over     atomic.Bool   // the clients end, however far they have come

	mu         sync.Mutex
	barred     int64      // how far the clients may come until the next fault is done
	opened     *sync.Cond // that changed
	operations []porcupine.Operation
	faults     []string   // what the store did wrong
	broken     [][2]int64 // from when to when something was broken
	unknown    int        // calls of which nobody knows what they came to
	full       int        // calls that were refused for want of room
}

// client is one of those that use the store, each in a goroutine of its own.
type client struct {
	*history
	id     int
	random *rand.Rand
}

// play makes a history: each client does one thing after the other, by calling next, until enough calls were answered.
func play(t *testing.T, h History, random *rand.Rand, next func(c *client)) *history {
	t.Helper()
	p := &history{History: h.withDefaults(), t: t, random: random, begin: time.Now(), goesOn: make(chan struct{}, 1)}
	p.opened = sync.NewCond(&p.mu)
	var all sync.WaitGroup
	for id := range p.Clients {
		c := &client{p, id, rand.New(rand.NewPCG(random.Uint64(), 1))}
		all.Go(func() {
			for p.pass() {
				next(c)
			}
		})
	}
	p.breakAndMend()
	if !p.await(int64(p.Calls), p.Patience) {
		p.wrong("%d of %d calls were answered, and no more within %s after all was mended", p.answered.Load(), p.Calls, p.Patience)
	}
	p.over.Store(true)
	p.bar(never)
	all.Wait()
	return p
}

// pass waits until a client may make its next call, and tells whether there is one.
func (p *history) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.answered.Load() >= p.barred && !p.over.Load() {
		p.opened.Wait()
	}
	return p.answered.Load() < int64(p.Calls) && !p.over.Load()
}

// bar lets the clients come so far.
func (p *history) bar(calls int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.barred = calls
	p.opened.Broadcast()
}

// breakAndMend does the faults in the order of the seed, spread over the history.
func (p *history) breakAndMend() {
	p.t.Helper()
	defer p.bar(never)
	if len(p.Faults) == 0 {
		return
	}
	rounds := max(2, len(p.Faults))
	var order []int
	for len(order) < rounds {
		order = append(order, p.random.Perm(len(p.Faults))...)
	}
	share := p.Calls / (rounds + 1)
	for round, i := range order[:rounds] {
		f := p.Faults[i]
		at := int64(round*share + 1 + p.random.IntN(share))
		p.bar(at)
		if !p.await(at, p.Patience) {
			p.wrong("%d of %d calls were answered, and no more within %s, before %s", p.answered.Load(), p.Calls, p.Patience, f.Name)
			return
		}
		most := f.Most
		if most == 0 {
			most = 300 * time.Millisecond
		}
		most = most/4 + time.Duration(p.random.Int64N(int64(most)*3/4))
		p.t.Logf("after %d calls: %s, for %s at most", p.answered.Load(), f.Name, most)
		from := p.now()
		f.Break(p.t)
		p.bar(int64((round + 1) * share))
		p.await(p.answered.Load()+int64(share/2), most)
		if f.Mend != nil {
			f.Mend(p.t)
		}
		p.broken = append(p.broken, [2]int64{from, p.now()})
	}
}

// disturbed tells whether something was broken while the call was made.
func (p *history) disturbed(op porcupine.Operation) bool {
	return slices.ContainsFunc(p.broken, func(b [2]int64) bool { return op.Call <= b[1] && op.Return >= b[0] })
}

// await waits until so many calls are answered, and tells whether that was so within the term.
func (p *history) await(calls int64, term time.Duration) bool {
	end := time.NewTimer(term)
	defer end.Stop()
	for p.answered.Load() < calls {
		select {
		case <-p.goesOn:
		case <-end.C:
			return false
		}
	}
	return true
}

// wrong notes what the store did against its contract.
func (p *history) wrong(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// report fails the test for all that the store did wrong.
func (p *history) report() {
	p.t.Helper()
	p.t.Logf("%d calls of %d clients were answered, of which %d were refused for want of room; what %d more came to nobody knows", p.answered.Load(), p.Clients, p.full, p.unknown)
	for i, f := range p.faults {
		if i == 10 {
			p.t.Errorf("and %d more", len(p.faults)-i)
			break
		}
		p.t.Error(f)
	}
}

// outcome is how a call ended.
type outcome struct {
	Kind    bijou.Kind // empty where it succeeded
	Unknown bool       // it may have been done, may be done yet, or never
}

// call makes one call, and returns how it ended, and what it was recorded with.
func (c *client) call(what string, f func(ctx context.Context) error) (o outcome, begun, ended int64) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Term)
	defer cancel()
	begun = c.now()
	err := f(ctx)
	ended = c.now()
	o.Kind = bijou.KindOf(err)
	switch {
	case err == nil:
	case o.Kind == bijou.Unavailable, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		o.Unknown = true
		if c.Unharmed {
			c.wrong("%s: got error %q, though the store is promised to answer", what, err)
		}
	case o.Kind == "", o.Kind == bijou.Corrupt, bijou.Sentence(err) == err.Error():
		c.wrong("%s: got error %q, want a sentence that ends in a kind which says what to do", what, err)
	}
	c.mu.Lock()
	if o.Unknown {
		c.unknown++
	} else if o.Kind == bijou.Exhausted {
		c.full++
	}
	c.mu.Unlock()
	if o.Unknown {
		<-time.After(10 * time.Millisecond) // a store that is away is not asked without pause
		return o, begun, ended
	}
	c.answered.Add(1)
	select {
	case c.goesOn <- struct{}{}:
	default:
	}
	return o, begun, ended
}

// now is the time within the history, in nanoseconds.
func (p *history) now() int64 { return time.Since(p.begin).Nanoseconds() }

// never is when a call ends of which nobody knows what it came to.
const never = 1 << 62

// record keeps what a call was asked and answered, for a check of the whole history.
func (c *client) record(begun, ended int64, input, output any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.operations = append(c.operations, porcupine.Operation{ClientId: c.id, Input: input, Output: output, Call: begun, Return: ended})
}

// surely repeats a reading call until it is answered, and returns what kind of failure it had. It ends with the history.
func (c *client) surely(what string, f func(ctx context.Context) error) outcome {
	for {
		o, _, _ := c.call(what, f)
		if !o.Unknown || c.over.Load() {
			return o
		}
	}
}

// linearizable notes it where no order of the recorded calls explains what was answered. calls of different keys concern each other not at all.
func (p *history) linearizable(what string, m porcupine.Model, key func(input any) string, describe func(op porcupine.Operation) string) {
	parts := map[string][]porcupine.Operation{}
	for _, op := range p.operations {
		parts[key(op.Input)] = append(parts[key(op.Input)], op)
	}
	for k, ops := range parts {
		slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		switch porcupine.CheckOperationsTimeout(m, ops, time.Minute) {
		case porcupine.Ok:
		case porcupine.Unknown:
			p.wrong("%s %s: no order of its %d calls was found within a minute, and none was ruled out: make the history shorter", what, k, len(ops))
		case porcupine.Illegal:
			p.wrong("%s %s: no order of its calls explains what was answered:\n%s", what, k, told(m, ops, describe))
		}
	}
}

// told returns the history in words: the end of the longest order that explains a part of it, and what came next and fits nowhere.
func told(m porcupine.Model, ops []porcupine.Operation, describe func(op porcupine.Operation) string) string {
	_, info := porcupine.CheckOperationsVerbose(m, ops, 10*time.Second)
	var longest []porcupine.Operation
	for _, some := range info.PartialLinearizationsOperations()[0] {
		if len(some) > len(longest) {
			longest = some
		}
	}
	line := func(op porcupine.Operation) string {
		end := "…"
		if op.Return != never {
			end = fmt.Sprint(op.Return / 1000)
		}
		return fmt.Sprintf("  %8d to %8s µs, client %d: %s\n", op.Call/1000, end, op.ClientId, describe(op))
	}
	used, s := map[int64]bool{}, ""
	for i, op := range longest {
		if used[op.Call] = true; i >= len(longest)-12 {
			s += line(op)
		}
	}
	s += "and then, in any order:\n"
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	for _, op := range ops {
		if !used[op.Call] {
			if s += line(op); strings.Count(s, "\n") > 24 {
				break
			}
		}
	}
	return s
}

// choose returns one of the names, each as often as its weight says.
func choose(random *rand.Rand, weights ...any) string {
	total := 0
	for i := 1; i < len(weights); i += 2 {
		total += weights[i].(int)
	}
	n := random.IntN(total)
	for i := 0; ; i += 2 {
		if n -= weights[i+1].(int); n < 0 {
			return weights[i].(string)
		}
	}
}
