package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"bijou"
)

// readBytes bounds the frames that one Read returns records of, in bytes; the one that crosses it is returned whole.
const readBytes = 4 << 20

// cursor remembers where a reader's next record lies, so that reading on needs no index.
type cursor struct {
	offset   int64 // what the reader will ask for
	segment  int64 // base of the segment
	position int64 // of the frame that holds it
	base     int64 // offset of that frame's first record
}

// place is where a read begins.
type place struct {
	segment segment
	end     int64 // offset after the segment's last record
	known   bool  // the cursor says where
	cursor  cursor
}

// read returns records from the offset on, and waits for the first.
func (p *partition) read(ctx context.Context, from int64, limit int) ([]bijou.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-p.log.closed:
			return nil, p.log.errClosed()
		default:
		}
		at, grown := p.find(from)
		if grown != nil {
			select {
			case <-grown:
			case <-ctx.Done():
			case <-p.log.closed:
			}
			continue
		}
		from = max(from, at.segment.base)
		records, err := p.readSegment(ctx, at, from, limit)
		if errors.Is(err, fs.ErrNotExist) && !p.holds(at.segment.base) {
			continue // retention was quicker
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = damaged(segmentPath(p.dir, at.segment.base), 0, "the file is gone")
		}
		if err != nil {
			return nil, failure("read", p.dir, err)
		}
		if len(records) > 0 {
			return records, nil
		}
		from = at.end // the segments between were taken away
	}
}

// find returns where the offset lies, or else a channel that is closed when the partition has grown.
func (p *partition) find(from int64) (place, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from >= p.next {
		if p.grown == nil {
			p.grown = make(chan struct{})
		}
		return place{}, p.grown
	}
	i := len(p.segments) - 1
	for i > 0 && p.segments[i].base > from {
		i--
	}
	at := place{segment: p.segments[i], end: p.next}
	if i+1 < len(p.segments) {
		at.end = p.segments[i+1].base
	}
	for _, c := range p.cursors {
		if c.offset == from && c.segment == at.segment.base && c.position > 0 {
			at.cursor, at.known = c, true
		}
	}
	return at, nil
}

func (p *partition) holds(base int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.has(base)
}

func (p *partition) remember(c cursor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursors[p.cursorAt] = c
	p.cursorAt = (p.cursorAt + 1) % len(p.cursors)
}

// lookUp returns where to begin in the segment in order to find the offset.
func (p *partition) lookUp(base, offset int64) (slot, error) {
	if base == offset {
		return slot{offset: base, position: segmentHeader}, nil
	}
	x, err := readIndex(p.dir, base)
	return x.before(base, offset), err
}

// endsAt tells whether the segment was written up to there and no further, so that what follows was in a file that is gone.
func (p *partition) endsAt(segment, position, offset int64) bool {
	x, err := readIndex(p.dir, segment)
	return err == nil && x.mark.position == position && x.mark.offset == offset
}

// readSegment reads records of one segment from the offset on. Every byte that it looks at is checked.
func (p *partition) readSegment(ctx context.Context, at place, from int64, limit int) (out []bijou.Record, err error) {
	name := segmentPath(p.dir, at.segment.base)
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, segmentHeader)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.Equal(head, encodeSegmentHeader(at.segment.base)) {
		return nil, damaged(name, 0, "its header does not fit its name")
	}
	position, base := at.cursor.position, at.cursor.base
	if !at.known {
		s, err := p.lookUp(at.segment.base, from)
		if err != nil {
			return nil, err
		}
		position, base = s.position, s.offset
	}
	var spare []byte // reused while nothing is returned of it
	for taken := int64(0); base < at.end && len(out) < limit && taken < readBytes; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, frame, err := readFrame(f, position, at.segment.size, spare)
		if err != nil {
			return nil, err
		}
		if frame == nil || h.base != base {
			if len(out) > 0 || p.endsAt(at.segment.base, position, base) {
				return out, nil // damage is met by the next Read
			}
			return nil, damaged(name, position, "no intact record is there")
		}
		if spare = frame; h.next() > from {
			spare, taken = nil, taken+h.whole()
			var ok bool
			if out, ok = h.records(frame[frameHeader:], from, limit, out); !ok {
				return nil, damaged(name, position, "its records cannot be read")
			}
		}
		if n := len(out); n > 0 && out[n-1].Offset+1 < h.next() {
			break // the limit lies within the frame: the next read begins with it
		}
		position, base = position+h.whole(), h.next()
	}
	if n := len(out); n > 0 && base < at.end {
		p.remember(cursor{out[n-1].Offset + 1, at.segment.base, position, base})
	}
	return out, nil
}
