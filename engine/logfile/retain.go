package logfile

import (
	"os"
	"slices"
	"time"
)

// agesPerRetention is how many segments a retention time is cut into at least, so that the oldest records go about on time.
const agesPerRetention = 10

// minPause is the least time between two rounds of the keeper.
const minPause = time.Minute

// keep removes what is too old until the log is closed. It sleeps until something will be, and wakes for nothing else.
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
		if l.options.RetainAge <= 0 {
			continue
		}
		l.alarm.Store(false) // an Append from here on wakes us again
		oldest := l.expire()
		if oldest == 0 {
			timer.Stop()
			continue
		}
		l.alarm.Store(true)
		due := time.UnixMilli(oldest).Add(l.options.RetainAge).Sub(l.options.Now())
		timer.Reset(max(due, minPause))
	}
}

// expect tells the keeper that there is something which will be too old one day.
func (l *Log) expect() {
	if l.options.RetainAge <= 0 || l.alarm.Swap(true) {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default: // it was told already
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

// expire removes the segments whose newest record is too old, and returns the time of the oldest segment that stays; 0 where there is none.
func (l *Log) expire() (oldest int64) {
	limit := l.now() - l.options.RetainAge.Milliseconds()
	for _, p := range l.all() {
		p.retire(limit)
		for {
			s, at, ok := p.oldest()
			if ok && at <= limit && l.remove(p, s) {
				continue
			}
			if !ok {
				at = p.activeTime()
			}
			if at > 0 && (oldest == 0 || at < oldest) {
				oldest = at
			}
			break
		}
	}
	return oldest
}

// shrink removes the oldest segments of all partitions until the log is as small as it must be. Active segments stay.
func (l *Log) shrink() {
	for l.options.RetainBytes > 0 && l.bytes.Load() > l.options.RetainBytes {
		var from *partition
		var victim segment
		var age int64
		for _, p := range l.all() {
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
	l.bytes.Add(-s.size)
	return true
}
