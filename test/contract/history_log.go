package contract

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/test/harness"
)

// LogHistory checks the log while it is broken. What was acknowledged is at its offset, together and in order, and there once; each writer's records
// are in the order in which it wrote them; what was not acknowledged may be missing or there, even more than once, but no record is in
// part, or changed, or moved once somebody has read it; readers miss nothing; and no committed offset goes back. open is as in AccountHistory.
func LogHistory(t *testing.T, h History, open func(t *testing.T) bijou.LogStore) {
	t.Helper()
	logHistory(t, h, open).report()
}

const (
	topicOfHistory      = "facts"
	partitionsOfHistory = 2
)

func logHistory(t *testing.T, h History, open func(t *testing.T) bijou.LogStore) *history {
	t.Helper()
	g := &logGame{groups: make([]int64, h.withDefaults().Clients), places: make([][]int64, h.withDefaults().Clients)}
	for c := range h.withDefaults().Clients {
		g.stores = append(g.stores, open(t))
		g.places[c] = make([]int64, partitionsOfHistory)
	}
	partitions, err := g.stores[0].Partitions(t.Context(), topicOfHistory)
	must(t, "partitions", err)
	g.partitions = min(partitions, partitionsOfHistory)
	for n := range g.seen {
		g.seen[n] = map[int64]string{}
	}
	p := play(t, h, harness.Seed(t), g.next)
	g.end(p)
	return p
}

// logAppend is one append: so many records that tell who wrote them and as which.
type logAppend struct {
	writer, nth, count int
	acked              bool
	first              int64
}

func (a logAppend) value(n int) string {
	return fmt.Sprintf("%d %d %d of %d %s", a.writer, a.nth, n, a.count, strings.Repeat("x", (a.nth*37+n*11)%900))
}

// logGame is what the clients did and saw.
type logGame struct {
	stores     []bijou.LogStore
	partitions int
	groups     []int64   // what each client has committed and was acknowledged
	places     [][]int64 // how far each client has read, by partition

	mu      sync.Mutex
	appends [partitionsOfHistory][]*logAppend
	seen    [partitionsOfHistory]map[int64]string // what was read, by offset
}

func (g *logGame) next(c *client) {
	partition := c.random.IntN(g.partitions)
	switch choose(c.random, "append", 6, "read", 4, "commit", 1, "committed", 1) {
	case "append":
		g.append(c, partition)
	case "read":
		g.read(c, partition)
	case "commit":
		next := g.groups[c.id] + 1 + c.random.Int64N(3)
		o, _, _ := c.call("commit", func(ctx context.Context) error {
			return g.stores[c.id].Commit(ctx, groupOf(c.id), topicOfHistory, 0, next)
		})
		if o.Unknown || o.Kind == "" {
			g.committed(c, next, o.Unknown)
		}
	default:
		g.committed(c, g.groups[c.id], true)
	}
}

func groupOf(client int) string { return fmt.Sprint("group-", client) }

// committed looks what is committed: at least what was acknowledged, and at most what was tried. Who did not hear what came of a commit looks until
// it does, so that no more than one is open.
func (g *logGame) committed(c *client, tried int64, look bool) {
	if !look {
		g.groups[c.id] = tried
		return
	}
	var got int64
	o := c.surely("committed", func(ctx context.Context) (err error) {
		got, err = g.stores[c.id].Committed(ctx, groupOf(c.id), topicOfHistory, 0)
		return err
	})
	switch {
	case o.Unknown:
	case o.Kind != "":
		c.wrong("committed: got an error of kind %q, want none", o.Kind)
	case got < g.groups[c.id] || got > max(tried, g.groups[c.id]+3):
		c.wrong("committed of %s: got %d, want %d, which was acknowledged, to %d, which was tried", groupOf(c.id), got, g.groups[c.id], tried)
	default:
		g.groups[c.id] = got
	}
}

func (g *logGame) append(c *client, partition int) {
	g.mu.Lock()
	a := &logAppend{writer: c.id, nth: len(g.appends[partition]), count: 1 + c.random.IntN(4)}
	g.appends[partition] = append(g.appends[partition], a)
	g.mu.Unlock()
	var records []bijou.Record
	for n := range a.count {
		records = append(records, bijou.Record{Key: fmt.Append(nil, a.writer), Value: []byte(a.value(n))})
	}
	var first int64
	o, _, _ := c.call("append", func(ctx context.Context) (err error) {
		first, err = g.stores[c.id].Append(ctx, topicOfHistory, partition, records)
		return err
	})
	switch {
	case o.Kind == "" && !o.Unknown:
		g.mu.Lock()
		a.acked, a.first = true, first
		g.mu.Unlock()
	case !o.Unknown && o.Kind != bijou.Exhausted:
		c.wrong("append: got an error of kind %q, want none", o.Kind)
	}
}

// read reads on from where the client is, for a moment: there may be no more.
func (g *logGame) read(c *client, partition int) {
	from, limit := g.places[c.id][partition], 1+c.random.IntN(20)
	var rs []bijou.Record
	o, _, _ := c.call("read", func(ctx context.Context) (err error) {
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if rs, err = g.stores[c.id].Read(soon, topicOfHistory, partition, from, limit); err != nil && soon.Err() != nil && ctx.Err() == nil {
			rs, err = nil, nil // nothing came
		}
		return err
	})
	if o.Kind != "" || len(rs) == 0 {
		return
	}
	g.places[c.id][partition] = g.look(c.history, partition, from, rs)
}

// look checks records that were read from an offset on, and returns where reading goes on.
func (g *logGame) look(p *history, partition int, from int64, rs []bijou.Record) (next int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next = from
	for _, r := range rs {
		if r.Offset < next {
			p.wrong("read partition %d from %d: got offset %d after %d", partition, from, r.Offset, next-1)
		}
		if was, ok := g.seen[partition][r.Offset]; ok && was != string(r.Value) {
			p.wrong("partition %d, offset %d: got %.40q, which was %.40q before", partition, r.Offset, r.Value, was)
		}
		g.seen[partition][r.Offset] = string(r.Value)
		next = r.Offset + 1
	}
	return next
}

// end reads every partition whole, up to a record that is appended now, and checks it.
func (g *logGame) end(p *history) {
	p.over.Store(false) // for what is asked until it is answered
	last := &client{p, 0, p.random}
	stop := time.AfterFunc(p.Patience, func() { p.over.Store(true) })
	defer stop.Stop()
	for partition := range g.partitions {
		var mark int64
		o := last.surely("append", func(ctx context.Context) (err error) {
			mark, err = g.stores[0].Append(ctx, topicOfHistory, partition, text("the end"))
			return err
		})
		var all []bijou.Record
		for next := int64(0); o.Kind == "" && !o.Unknown && next <= mark; {
			var rs []bijou.Record
			o = last.surely("read", func(ctx context.Context) (err error) {
				rs, err = g.stores[0].Read(ctx, topicOfHistory, partition, next, 1000)
				return err
			})
			next = g.look(p, partition, next, rs)
			all = append(all, rs...)
		}
		if o.Unknown || o.Kind != "" {
			p.wrong("partition %d was not read to its end: got an error of kind %q", partition, o.Kind)
			continue
		}
		g.check(p, partition, all)
	}
	for id := range g.groups {
		g.committed(&client{p, id, p.random}, g.groups[id], true)
	}
}

// check checks a partition's records as they are at the end.
func (g *logGame) check(p *history, partition int, all []bijou.Record) {
	at, value := map[string][]int64{}, map[int64]string{}
	for _, r := range all {
		at[string(r.Value)] = append(at[string(r.Value)], r.Offset)
		value[r.Offset] = string(r.Value)
	}
	for offset, was := range g.seen[partition] {
		if value[offset] != was {
			p.wrong("partition %d, offset %d: got %.40q at the end, and somebody had read %.40q", partition, offset, value[offset], was)
		}
	}
	known, last := 0, map[int]int64{} // last: the offset that a writer was acknowledged last
	for _, a := range g.appends[partition] {
		what := fmt.Sprintf("partition %d, append %d, of writer %d", partition, a.nth, a.writer)
		for n := range a.count {
			where := at[a.value(n)]
			known += len(where)
			switch {
			case a.acked && (len(where) != 1 || where[0] != a.first+int64(n)):
				p.wrong("%s: record %d is at %v, want it at %d alone, as was acknowledged", what, n, where, a.first+int64(n))
			case len(where) != len(at[a.value(0)]):
				p.wrong("%s is there in part: record 0 at %v, record %d at %v", what, at[a.value(0)], n, where)
			}
			before, some := last[a.writer]
			if some && len(where) > 0 && where[0] <= before {
				p.wrong("%s is at %d, before what its writer had written before, up to %d", what, where[0], before)
			}
		}
		if a.acked {
			last[a.writer] = a.first + int64(a.count) - 1
		}
	}
	if extra := len(all) - known - len(at["the end"]); extra != 0 {
		p.wrong("partition %d holds %d records that nobody wrote", partition, extra)
	}
}
