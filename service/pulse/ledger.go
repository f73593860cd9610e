package pulse

import (
	"slices"
	"sync"
	"time"
)

const (
	// kept is how long minutes are kept.
	kept = 30 * 24 * time.Hour
	// keptMinutes is the same in minutes.
	keptMinutes = int64(kept / time.Minute)
	// recentMinutes is how many minutes of sums stay in memory for what is live.
	recentMinutes = 5
	// ringSeconds is how many seconds starts are counted for apart: the longest live range and some for facts that come in late.
	ringSeconds = 128
)

// ledger is what the room answers from: the changes that are not yet kept, where the kept minutes lie, and what is live.
type ledger struct {
	mu      sync.Mutex
	pending map[int64]*minute  // not yet kept
	index   map[int64][]int64  // by minute: offsets of its records in the log
	history map[int64]tally    // by minute, of all that is kept or pending
	recent  map[int64]*series  // sums of the latest minutes
	seconds [ringSeconds]tally // by second
	since   int64              // the first minute that anything is known of; 0: none
	facts   int64              // counted since the last checkpoint
	folded  int64              // values added to the rest because there were too many
}

// tally is what is expected and seen: of one minute, or of the second at.
type tally struct {
	at                        int64
	starts, succeeded, failed int32
}

func (t *tally) add(n *[counters]int64) {
	t.starts += int32(n[starts])
	t.succeeded += int32(n[succeeded])
	for c := range failures {
		t.failed += int32(n[c])
	}
}

func newLedger() *ledger {
	return &ledger{pending: map[int64]*minute{}, index: map[int64][]int64{}, history: map[int64]tally{}, recent: map[int64]*series{}}
}

// add takes a change in. The caller holds the lock.
func (l *ledger) add(c *change) {
	at := minuteOf(c.at)
	m := l.pending[at]
	if m == nil {
		m = newMinute()
		l.pending[at] = m
	}
	l.folded += int64(m.apply(c))
	if r := l.recall(at); r != nil {
		r.apply(c)
	}
	if !decisive(c) {
		return
	}
	l.tell(at, &c.n)
	second := c.at / 1000
	t := &l.seconds[second%ringSeconds]
	if t.at < second {
		*t = tally{at: second}
	}
	if t.at == second {
		t.add(&c.n)
	}
}

// decisive tells whether the change speaks of starts and what became of them.
func decisive(c *change) bool {
	return c.n[starts] != 0 || c.n[succeeded] != 0 || c.n[abandoned] != 0 || slices.ContainsFunc(c.n[failedNetwork:failedSilence+1], func(n int64) bool { return n != 0 })
}

// tell adds to what is known of a minute's starts.
func (l *ledger) tell(at int64, n *[counters]int64) {
	t := l.history[at]
	t.add(n)
	l.history[at] = t
	l.know(at)
}

// know notes that something is known of the minute.
func (l *ledger) know(at int64) {
	if l.since == 0 || at < l.since {
		l.since = at
	}
}

// recall returns the sums of a recent minute, nil where it is not recent.
func (l *ledger) recall(at int64) *series {
	s := l.recent[at]
	if s != nil {
		return s
	}
	for m := range l.recent {
		if m < at-recentMinutes {
			delete(l.recent, m)
		} else if m > at+recentMinutes {
			return nil
		}
	}
	s = &series{}
	l.recent[at] = s
	return s
}

// keep notes that a record at the offset holds changes of the minute. The caller holds the lock.
func (l *ledger) keep(at, offset int64) {
	l.index[at] = append(l.index[at], offset)
	l.know(at)
}

// prune forgets what is older than is kept, at now in minutes.
func (l *ledger) prune(now int64) {
	first := now - keptMinutes
	if l.since == 0 || l.since >= first {
		return
	}
	for m := range l.index {
		if m < first {
			delete(l.index, m)
		}
	}
	for m := range l.history {
		if m < first {
			delete(l.history, m)
		}
	}
	l.since = first
}

// perSecond returns starts and failed starts a second over the last whole seconds, at now in ms since 1970.
func (l *ledger) perSecond(now int64, seconds int64) (begun, failed float64) {
	var sum tally
	this := now / 1000
	for s := this - seconds; s < this; s++ {
		if t := l.seconds[s%ringSeconds]; t.at == s {
			sum.starts += t.starts
			sum.failed += t.failed
		}
	}
	return float64(sum.starts) / float64(seconds), max(float64(sum.failed), 0) / float64(seconds)
}
