package pulse

import (
	"container/heap"
	"strings"
	"time"
	"unique"

	"bijou"
)

const (
	// silenceMS is how long after its start a viewing of which nothing decisive was heard counts as failed: the limit of a start, and time to tell.
	silenceMS = int64((bijou.StartLimit + 5*time.Second) / time.Millisecond)
	limitMS   = int64(bijou.StartLimit / time.Millisecond)
	// memoryMS is how long a viewing is remembered after its last fact. One that is heard of later counts as another.
	memoryMS = int64(12 * time.Hour / time.Millisecond)
	// slackMS is by how much facts of a partition may be out of the order of their times.
	slackMS = int64(10 * time.Minute / time.Millisecond)
)

// outcome is what became of a start.
type outcome uint8

const (
	undecided outcome = iota
	silent            // counted as failed, until something is heard
	asked             // the browser waits for the viewer to press play
	shown             // a first picture, in time or not
	over              // failed, abandoned, or given up after the first picture
)

// viewing is what is remembered of one.
type viewing struct {
	id      bijou.SessionID
	started int64 // when its start was taken in, in ms since 1970; 0: not heard of
	last    int64 // time of its latest fact
	seen    seen
	outcome outcome
	who     [dimensions]unique.Handle[string] // of its start

	older, newer *viewing // by when they were last heard of
}

// fold turns the facts of one partition into changes of minutes. It does no input or output and knows no clock: the same facts, in the same
// order, come to the same sums, however they are cut into batches and whenever advance is called.
type fold struct {
	viewings      map[bijou.SessionID]*viewing
	waiting       starting // by start; those decided meanwhile are passed over
	oldest        *viewing
	newest        *viewing
	maxViewings   int
	forgottenSoon int64 // viewings forgotten because there were too many
}

func newFold(maxViewings int) *fold {
	return &fold{viewings: map[bijou.SessionID]*viewing{}, maxViewings: maxViewings}
}

// apply adds a fact: its changes are given to add.
func (f *fold) apply(x *bijou.Fact, add func(*change)) {
	at := x.At.UnixMilli()
	v := f.viewings[x.Session]
	if v != nil && at-v.last > memoryMS {
		f.forget(v, add)
		v = nil
	}
	if v == nil {
		v = f.remember(x.Session)
	}
	if v.last = max(v.last, at); v.last-at > slackMS {
		v.last = at // the clock was ahead
	}
	f.toEnd(v)
	if !v.seen.first(x.Seq) {
		return
	}
	c := change{at: at, who: who{string(x.Title), string(x.Appliance), clip(x.Zone), x.Player}}
	f.count(v, x, &c, add)
	if c.n != [counters]int64{} || c.frameMS > 0 {
		add(&c)
	}
	f.forgetOld(add)
}

// count says what the fact adds.
func (f *fold) count(v *viewing, x *bijou.Fact, c *change, add func(*change)) {
	switch x.Kind {
	case bijou.FactStart:
		if v.started == 0 {
			c.n[starts] = 1
			f.begin(v, c)
		}
	case bijou.FactFirstFrame:
		if v.outcome < shown {
			c.frameMS = x.DurationMS
			v.decide(shown, c, frameOutcome(x.DurationMS), add)
		}
	case bijou.FactError:
		if v.outcome == shown {
			c.n[broken], v.outcome = 1, over
		} else if v.outcome < shown {
			v.decide(over, c, failureOf(x.Cause), add)
		}
	case bijou.FactEnd:
		if v.outcome < shown {
			v.decide(over, c, v.endOutcome(c.at), add)
		}
	case bijou.FactPause:
		if v.outcome < asked {
			v.heard(asked, add)
		}
	case bijou.FactStall:
		c.n[stalls], c.n[stalledMS] = 1, min(x.DurationMS, maxStallMS)
	}
	c.n[playedMS] = x.PlayedMS
	if x.PlayedMS > 0 && x.BPS > 0 {
		c.bps, c.n[ratedMS] = min(x.BPS, maxBPS), x.PlayedMS
		c.n[kilobits] = c.bps * x.PlayedMS / 1e6
	}
}

// frameOutcome says whether a first picture came in time.
func frameOutcome(ms int64) counter {
	if ms > limitMS {
		return failedTimeout
	}
	return succeeded
}

// endOutcome says what a viewing was whose viewer left before the first picture: who waited for too long met a failure, who was waited for did not.
func (v *viewing) endOutcome(ended int64) counter {
	if v.outcome != asked && v.started > 0 && ended-v.started > limitMS {
		return failedTimeout
	}
	return abandoned
}

func (f *fold) begin(v *viewing, c *change) {
	v.started = c.at
	for d, value := range c.who {
		v.who[d] = unique.Make(value)
	}
	if v.outcome == undecided {
		heap.Push(&f.waiting, v)
	}
}

// decide notes what became of the start, and counts it.
func (v *viewing) decide(to outcome, c *change, as counter, add func(*change)) {
	v.heard(to, add)
	c.n[as] = 1
}

// heard notes that something was heard. What silence was taken for is taken back.
func (v *viewing) heard(to outcome, add func(*change)) {
	if v.outcome == silent {
		add(v.silence(-1))
	}
	v.outcome = to
}

// silence is the change that counts the viewing as failed because nothing was heard of it.
func (v *viewing) silence(n int64) *change {
	c := &change{at: v.started + silenceMS}
	for d, h := range v.who {
		c.who[d] = h.Value()
	}
	c.n[failedSilence] = n
	return c
}

// advance says that it is now, in ms since 1970: starts of which nothing was heard for long enough have failed.
func (f *fold) advance(now int64, add func(*change)) {
	for len(f.waiting) > 0 && f.waiting[0].started+silenceMS <= now {
		v, _ := heap.Pop(&f.waiting).(*viewing)
		v.giveUp(add)
	}
}

// giveUp counts the start as failed because nothing decisive was heard of it, if that is so.
func (v *viewing) giveUp(add func(*change)) {
	if v.outcome == undecided && v.started > 0 {
		v.outcome = silent
		add(v.silence(1))
	}
}

// due returns when the next start fails for silence, in ms since 1970; false where none waits. Those that were decided are let go of.
func (f *fold) due() (at int64, ok bool) {
	for len(f.waiting) > 0 && f.waiting[0].outcome != undecided {
		heap.Pop(&f.waiting)
	}
	if len(f.waiting) == 0 {
		return 0, false
	}
	return f.waiting[0].started + silenceMS, true
}

// latest returns the time of the fact that came last, in ms since 1970; 0 where none did.
func (f *fold) latest() int64 {
	if f.newest == nil {
		return 0
	}
	return f.newest.last
}

// remember makes a viewing.
func (f *fold) remember(id bijou.SessionID) *viewing {
	v := &viewing{id: id}
	f.viewings[id] = v
	f.link(v)
	return v
}

// restore takes a viewing back that was remembered before, the latest heard of last.
func (f *fold) restore(v *viewing) {
	f.viewings[v.id] = v
	f.link(v)
	if v.started != 0 && v.outcome == undecided {
		heap.Push(&f.waiting, v)
	}
}

// forgetOld forgets viewings of which nothing was heard for so long that nothing is expected, and those beyond the bound.
// It goes by the time of the fact at hand, so that a clock that was wrong for a while does no lasting harm.
func (f *fold) forgetOld(add func(*change)) {
	for far := memoryMS + slackMS; f.oldest.last+far < f.latest() || f.latest()+far < f.oldest.last; {
		f.forget(f.oldest, add)
	}
	for len(f.viewings) > f.maxViewings {
		f.forgottenSoon++
		f.forget(f.oldest, add)
	}
}

// forget lets go of a viewing. What was undecided stays a failure for silence.
func (f *fold) forget(v *viewing, add func(*change)) {
	v.giveUp(add)
	f.unlink(v)
	delete(f.viewings, v.id)
}

// link puts the viewing at the newer end.
func (f *fold) link(v *viewing) {
	v.older, v.newer = f.newest, nil
	if f.newest != nil {
		f.newest.newer = v
	} else {
		f.oldest = v
	}
	f.newest = v
}

func (f *fold) unlink(v *viewing) {
	if v.older != nil {
		v.older.newer = v.newer
	} else {
		f.oldest = v.newer
	}
	if v.newer != nil {
		v.newer.older = v.older
	} else {
		f.newest = v.older
	}
	v.older, v.newer = nil, nil
}

func (f *fold) toEnd(v *viewing) {
	if f.newest != v {
		f.unlink(v)
		f.link(v)
	}
}

// clip bounds what is kept of a name that another part of the service chose.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// starting is a heap of viewings, the one that began first on top.
type starting []*viewing

func (h starting) Len() int           { return len(h) }
func (h starting) Less(i, j int) bool { return h[i].started < h[j].started }
func (h starting) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *starting) Push(x any) {
	v, _ := x.(*viewing)
	*h = append(*h, v)
}

// Pop implements heap.Interface.
func (h *starting) Pop() any {
	old := *h
	v := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return v
}

// window is how far a fact may lie behind the latest of its viewing and still be told from one that came before. A player holds back at most 200.
const window = 256

// seen is which facts of a viewing were taken: the highest place, and the window below it, as in RFC 4303 section 3.4.3.
type seen struct {
	top  int64
	bits [window / 64]uint64 // bit i: place top-i
}

// first tells whether the place was not seen before, and notes it. A place below the window counts as seen.
func (s *seen) first(seq int64) bool {
	if seq > s.top {
		s.shift(seq - s.top)
		s.top = seq
		s.bits[0] |= 1
		return true
	}
	back := s.top - seq
	if back >= window {
		return false
	}
	word, bit := back/64, uint64(1)<<(back%64)
	if s.bits[word]&bit != 0 {
		return false
	}
	s.bits[word] |= bit
	return true
}

// shift moves all places n further back.
func (s *seen) shift(n int64) {
	if n >= window {
		s.bits = [window / 64]uint64{}
		return
	}
	words, rest := int(n/64), uint(n%64)
	for i := len(s.bits) - 1; i >= 0; i-- {
		var w uint64
		if from := i - words; from >= 0 {
			w = s.bits[from] << rest
			if from > 0 && rest > 0 {
				w |= s.bits[from-1] >> (64 - rest)
			}
		}
		s.bits[i] = w
	}
}
