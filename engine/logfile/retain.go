package logfile

import (
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// agesPerRetention is how many segments a retention time is cut into at least, so that the oldest records go about on time.
const agesPerRetention = 10

// minPause is the least time between two rounds of the keeper, and maxPause the most: a machine's clock may be set to years later meanwhile.
const (
	minPause = time.Minute
	maxPause = time.Hour
)

// budget is what topics that share a retention may keep, and how much that is.
type budget struct {
	Retention
	segmentBytes int64
	bytes        atomic.Int64 // of all segments
}

func (o Options) budget(r Retention) *budget {
	b := &budget{Retention: r, segmentBytes: o.SegmentBytes}
	if b.segmentBytes < 1 {
		b.segmentBytes = 64 << 20
		if r.Bytes > 0 {
			b.segmentBytes = max(min(b.segmentBytes, r.Bytes/16), 64<<10)
		}
	}
	return b
}

func (l *Log) budgetOf(topic string) *budget {
	if b := l.own[topic]; b != nil {
		return b
	}
	return l.shared
}

// budgets returns all of them.
func (l *Log) budgets() []*budget {
	return append(slices.Collect(maps.Values(l.own)), l.shared)
}

// keep removes what is too old until the log is closed. It sleeps until something will be, an hour at most, and where nothing ever will be until
// something is appended.
func (l *Log) keep() {
	defer close(l.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.closed:
			return
		case <-l.wake:
		case <-timer.C:
		}
		l.alarm.Store(0) // an Append from here on wakes us again
		due := l.expire()
		if due == 0 {
			timer.Stop()
			continue
		}
		l.alarm.Store(due)
		timer.Reset(min(max(time.UnixMilli(due).Sub(l.options.Now()), minPause), maxPause))
	}
}

// expect tells the keeper that there is something, appended at the time in milliseconds, which will be too old one day.
func (l *Log) expect(b *budget, millis int64) {
	if b.Age <= 0 {
		return
	}
	due := millis + b.Age.Milliseconds()
	for known := l.alarm.Load(); known == 0 || due < known; known = l.alarm.Load() {
		if l.alarm.CompareAndSwap(known, due) {
			select {
			case l.wake <- struct{}{}:
			default: // it was told already
			}
			return
		}
	}
}

// all returns the partitions of all topics.
func (l *Log) all() (ps []*partition) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, t := range l.topics {
		ps = append(ps, t.partitions...)
	}
	return ps
}

// expire removes the segments whose newest record is too old, and returns when the next will be; 0 where none will.
func (l *Log) expire() (due int64) {
	for _, p := range l.all() {
		age := p.budget.Age.Milliseconds()
		if age <= 0 {
			continue
		}
		limit := l.now() - age
		p.retire(limit)
		for {
			s, at, ok := p.oldest()
			if ok && at <= limit && l.remove(p, s) {
				continue
			}
			if !ok {
				at = p.activeTime()
			}
			if at > 0 && (due == 0 || at+age < due) {
				due = at + age
			}
			break
		}
	}
	return due
}

// shrink removes the oldest segments of the partitions that share the budget until they are as small as they must be. Active segments stay.
func (l *Log) shrink(b *budget) {
	for b.Bytes > 0 && b.bytes.Load() > b.Bytes {
		var from *partition
		var victim segment
		var age int64
		for _, p := range l.all() {
			if p.budget != b {
				continue
			}
			if s, at, ok := p.oldest(); ok && (from == nil || at < age) {
				from, victim, age = p, s, at
			}
		}
		if from == nil || !l.remove(from, victim) {
			return
		}
	}
}

// retire begins a new active segment where all records of the one there are too old, so that it can go.
func (p *partition) retire(limit int64) {
	if at := p.activeTime(); at == 0 || at > limit {
		return
	}
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if at := p.activeTime(); p.usable() == nil && at != 0 && at <= limit {
		_ = p.begin(p.next) // the next round tries again
	}
}

// activeTime returns the time of the newest record in the active segment, 0 while that is empty.
func (p *partition) activeTime() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.segments); n == 0 || p.segments[n-1].size <= segmentHeader {
		return 0
	}
	return max(p.newest, 1)
}

// oldest returns the oldest segment that is not the active one, and the time of its newest record.
func (p *partition) oldest() (s segment, at int64, ok bool) {
	p.mu.Lock()
	if len(p.segments) > 1 {
		s, ok = p.segments[0], true
	}
	p.mu.Unlock()
	if !ok {
		return s, 0, false
	}
	if x, err := readIndex(p.dir, s.base); err == nil && x.mark.time > 0 {
		return s, x.mark.time, true
	}
	if info, err := os.Stat(segmentPath(p.dir, s.base)); err == nil {
		return s, max(info.ModTime().UnixMilli(), 1), true
	}
	return s, 1, true // gone already: the first to be forgotten
}

// remove deletes the segment of the partition. It reports false where the file cannot be removed: it is kept then, and the next round
// tries again; a disk that fills up meanwhile is told of by Append.
func (l *Log) remove(p *partition, s segment) bool {
	l.retain.Lock()
	defer l.retain.Unlock()
	p.mu.Lock()
	if len(p.segments) < 2 || p.segments[0].base != s.base {
		p.mu.Unlock()
		return true // another round was quicker
	}
	p.segments = slices.Clone(p.segments[1:])
	p.mu.Unlock()
	if err := os.Remove(segmentPath(p.dir, s.base)); err != nil && !os.IsNotExist(err) {
		p.mu.Lock()
		p.segments = slices.Insert(p.segments, 0, s)
		p.mu.Unlock()
		return false
	}
	_ = os.Remove(indexPath(p.dir, s.base)) // without its segment it is removed at the next opening
	p.budget.bytes.Add(-s.size)
	return true
}
