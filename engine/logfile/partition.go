package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"bijou"
)

// groupBytes is how much the Appends that share one flush carry together, in bytes; a larger Append is flushed alone.
const groupBytes = 1 << 20

// partition is one sequence of records: a folder of segments, of which the last is written to.
type partition struct {
	log    *Log
	budget *budget
	dir    string
	turn   chan struct{} // holds one token while somebody writes or removes files

	// The writer's own: whoever has the turn.
	seg     file
	idx     file
	slots   int64 // entries in the index beside the mark
	indexed int64 // position of the last entry
	born    int64 // time of the active segment's first record, 0 while it is empty
	buf     []byte

	mu        sync.Mutex
	gathering *group    // Appends that wait for the next flush
	segments  []segment // oldest first, the active one last; none before the first Append
	next      int64     // offset of the next record
	newest    int64     // time of the newest record in the active segment
	grown     chan struct{}
	broken    error // why nothing can be appended any more
	cursors   [16]cursor
	cursorAt  int
}

// group is the Appends that share one flush.
type group struct {
	batches [][]bijou.Record
	count   int64
	bytes   int64
	first   int64
	err     error
	done    chan struct{}
}

// append adds the records. The first to come to a group flushes it, while the next group gathers.
func (p *partition) append(records []bijou.Record, bytes int64) (int64, error) {
	p.mu.Lock()
	g := p.gathering
	leads := g == nil || g.bytes+bytes > groupBytes
	if leads {
		g = &group{done: make(chan struct{})}
		p.gathering = g
	}
	place := g.count
	g.batches = append(g.batches, records)
	g.count += int64(len(records))
	g.bytes += bytes
	p.mu.Unlock()
	if leads {
		p.turn <- struct{}{}
		p.mu.Lock()
		if p.gathering == g {
			p.gathering = nil
		}
		p.mu.Unlock()
		g.first, g.err = p.flush(g)
		<-p.turn
		close(g.done)
	}
	<-g.done
	if g.err != nil {
		return 0, g.err
	}
	return g.first + place, nil
}

// flush writes the group as one frame, has it on disk, and shows it to readers. The caller has the turn.
func (p *partition) flush(g *group) (first int64, err error) {
	if err := p.usable(); err != nil {
		return 0, err
	}
	millis := p.log.now()
	first = p.next
	p.buf = appendFrame(p.buf[:0], first, millis, g.batches)
	if err := p.makeRoom(int64(len(p.buf)), millis); err != nil {
		return 0, failure("append to", p.dir, err)
	}
	a, _ := p.active() // there is one now
	position := a.size
	if _, err := p.seg.WriteAt(p.buf, position); err != nil {
		// What was written in part goes, so that the log is what it was before.
		if cut := p.seg.Truncate(position); cut != nil {
			p.breakDown(failure("append to", p.dir, errors.Join(err, cut)))
		}
		return 0, failure("append to", p.dir, err)
	}
	if err := p.seg.Sync(); err != nil {
		return 0, p.poison(err)
	}
	p.publish(position, first+g.count, millis)
	if cap(p.buf) > 2*groupBytes {
		p.buf = nil
	}
	return first, nil
}

// usable tells why nothing can be appended, if so.
func (p *partition) usable() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

func (p *partition) breakDown(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = err
	}
}

// poison ends appending after a failed flush. The kernel may by then have marked the lost pages as clean, so that another fsync
// would succeed without having written them; only opening the log again, which writes its end anew, finds out what is on disk.
func (p *partition) poison(err error) error {
	kind := bijou.Unavailable
	if full(err) {
		kind = bijou.Exhausted
	}
	p.breakDown(fmt.Errorf("append to log %s: an earlier flush to disk failed (%v), so nothing more is taken: see to that disk and start again: %w", p.dir, err, bijou.Unavailable))
	return fmt.Errorf("append to log %s: flush to disk failed (%v): see to that disk and start again: %w", p.dir, err, kind)
}

// active returns the segment that is written to; false where nothing was ever appended.
func (p *partition) active() (segment, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.segments) == 0 {
		return segment{}, false
	}
	return p.segments[len(p.segments)-1], true
}

// publish shows what was flushed to readers, and notes in the index that it is on disk. The index is a hint: where it
// cannot be written, the next opening scans more.
func (p *partition) publish(position, next, millis int64) {
	size := position + int64(len(p.buf))
	if position-p.indexed >= indexEvery {
		if _, err := p.idx.WriteAt(encodeSlot(slot{p.next, position, p.newest}), slotSize*(1+p.slots)); err == nil {
			p.slots, p.indexed = p.slots+1, position
		}
	}
	_, _ = p.idx.WriteAt(encodeSlot(slot{next, size, millis}), 0) // a hint, as said above
	if p.born == 0 {
		p.born = millis
	}
	p.budget.bytes.Add(size - position)
	p.mu.Lock()
	p.segments[len(p.segments)-1].size = size
	p.next, p.newest = next, millis
	grown := p.grown
	p.grown = nil
	p.mu.Unlock()
	if grown != nil {
		close(grown)
	}
	p.log.expect(p.budget, millis)
}

// makeRoom sees to it that there is an active segment which can take n bytes more.
func (p *partition) makeRoom(n, millis int64) error {
	a, ok := p.active()
	if !ok {
		if err := p.makeDir(); err != nil {
			return err
		}
		return p.begin(0)
	}
	if a.size == segmentHeader {
		return nil
	}
	tooBig := a.size+n > p.budget.segmentBytes
	tooOld := p.budget.Age > 0 && millis-p.born > p.budget.Age.Milliseconds()/agesPerRetention
	if !tooBig && !tooOld {
		return nil
	}
	if err := p.begin(p.next); err != nil {
		return err
	}
	p.log.shrink(p.budget)
	return nil
}

// makeDir makes the partition's folder and its topic's, so that they outlive a power cut.
func (p *partition) makeDir() error {
	topic := filepath.Dir(p.dir)
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	return errors.Join(p.log.disk.syncDir(topic), p.log.disk.syncDir(filepath.Dir(topic)))
}

// begin starts a new active segment at the offset and closes the one before. Where it fails, that one stays the active one.
func (p *partition) begin(base int64) error {
	d := p.log.disk
	name := segmentPath(p.dir, base)
	seg, err := d.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = seg.WriteAt(encodeSegmentHeader(base), 0)
	if err == nil {
		err = errors.Join(seg.Sync(), d.syncDir(p.dir))
	}
	var idx file
	if err == nil {
		idx, err = d.open(indexPath(p.dir, base), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	}
	if err != nil {
		// A file that cannot be removed is empty, and is used by the next try.
		return errors.Join(err, seg.Close(), os.Remove(name))
	}
	if p.seg != nil {
		// The mark of a full segment is flushed once, so that retention knows its age. All records are on disk: nothing can be lost by closing.
		_ = errors.Join(p.idx.Sync(), p.idx.Close(), p.seg.Close())
	}
	p.seg, p.idx, p.slots, p.indexed, p.born = seg, idx, 0, segmentHeader, 0
	p.budget.bytes.Add(segmentHeader)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments = append(p.segments, segment{base, segmentHeader})
	p.next, p.newest = base, 0
	return nil
}

// openPartition opens what lies in the folder. Only the end of the last segment is read.
func openPartition(l *Log, b *budget, dir string) (*partition, error) {
	p := &partition{log: l, budget: b, dir: dir, turn: make(chan struct{}, 1)}
	floor, orphans, err := p.list()
	if err != nil {
		return nil, failure("open", dir, err)
	}
	if len(p.segments) > 0 {
		err = p.recover(floor)
	} else if floor > 0 {
		err = p.begin(floor)
	}
	if err != nil {
		return nil, errors.Join(failure("open", dir, err), p.close(nil))
	}
	for _, name := range orphans {
		_ = os.Remove(name) // it has done its work; if it stays it does so again
	}
	return p, nil
}

// list finds the segments, and the indexes without one. It returns the highest offset that the latter speak of: where somebody took
// a damaged segment away, its offsets are not given out again, since groups have committed them.
func (p *partition) list() (floor int64, orphans []string, err error) {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	for _, e := range entries { // in order of name, and so of base
		if base, ok := parseName(e.Name(), ".seg"); ok {
			info, err := e.Info()
			if err != nil {
				return 0, nil, err
			}
			p.segments = append(p.segments, segment{base, info.Size()})
			p.budget.bytes.Add(info.Size())
		}
	}
	for _, e := range entries {
		base, ok := parseName(e.Name(), ".idx")
		if !ok || p.has(base) {
			continue
		}
		x, err := readIndex(p.dir, base)
		if err != nil {
			return 0, nil, err
		}
		floor, orphans = max(floor, x.known(base).offset), append(orphans, indexPath(p.dir, base))
	}
	return floor, orphans, nil
}

func (p *partition) has(base int64) bool {
	for _, s := range p.segments {
		if s.base == base {
			return true
		}
	}
	return false
}

// recover makes the last segment ready to be written to: what a kill left of a write is cut off, and what was written but perhaps
// not flushed is written anew, for a flush that failed leaves pages that are in memory alone and not known to be so.
func (p *partition) recover(floor int64) error {
	last := &p.segments[len(p.segments)-1]
	x, err := readIndex(p.dir, last.base)
	if err != nil {
		return err
	}
	f, err := os.Open(segmentPath(p.dir, last.base))
	if err != nil {
		return err
	}
	defer f.Close()
	from := x.known(last.base)
	t, err := inspect(f, last.size, from, last.base)
	if err != nil {
		return err
	}
	p.next, p.newest = t.next, t.time
	if t.damage || floor > t.next {
		if t.next == last.base {
			// It holds nothing, and is made anew under its name.
			p.budget.bytes.Add(-last.size)
			p.segments = p.segments[:len(p.segments)-1]
		}
		return p.begin(max(t.next, floor))
	}
	if p.seg, err = p.log.disk.open(segmentPath(p.dir, last.base), os.O_RDWR); err != nil {
		return err
	}
	if p.idx, err = p.log.disk.open(indexPath(p.dir, last.base), os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	if err := p.settle(f, last, from, t); err != nil {
		return err
	}
	p.slots, p.indexed = int64(len(x.slots)), x.before(last.base, t.next).position
	if t.size > segmentHeader {
		p.born = max(t.time, 1) // later than the truth: the first record's age is not known without reading it
		if len(x.slots) > 0 {
			p.born = max(x.slots[0].time, 1)
		}
	}
	return nil
}

// settle writes the header where it is torn, cuts off the torn end, and flushes what lies between the known place and the end.
func (p *partition) settle(f *os.File, last *segment, from slot, t tail) error {
	untouched := last.size == t.size && t.size == from.position
	if untouched {
		return nil
	}
	if last.size < segmentHeader {
		if _, err := p.seg.WriteAt(encodeSegmentHeader(last.base), 0); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	for at := from.position; at < t.size; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), t.size-at)], at)
		if n == 0 {
			return err
		}
		if _, err := p.seg.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	if err := errors.Join(p.seg.Truncate(t.size), p.seg.Sync()); err != nil {
		return err
	}
	_, _ = p.idx.WriteAt(encodeSlot(slot{t.next, t.size, t.time}), 0) // a hint, as in publish
	p.budget.bytes.Add(t.size - last.size)
	last.size = t.size
	return nil
}

// close ends appending for the reason and lets go of the files. The caller has the turn, or nobody else knows the partition.
func (p *partition) close(reason error) error {
	p.breakDown(reason)
	if p.seg == nil {
		return nil
	}
	err := errors.Join(p.idx.Close(), p.seg.Close())
	p.seg, p.idx = nil, nil
	return err
}
