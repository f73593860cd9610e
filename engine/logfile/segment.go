package logfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A segment file begins with its magic, its base offset and a checksum of both; frames follow.
const segmentHeader = 24

var segmentMagic = []byte("bijouLG1")

// An index file lies beside each segment. Its first slot is the mark: up to where the segment is known to be on disk, written
// after each flush. The others say where the frame with an offset begins, one about every indexEvery bytes. The index may be
// lost or behind, since nobody flushes it: then more is scanned. It is never ahead.
const (
	slotSize   = 32
	indexEvery = 64 << 10
)

// slot is one entry of an index: the frame that holds offset begins at position.
type slot struct {
	offset   int64
	position int64
	time     int64 // of the frame before, milliseconds since 1970
}

// segment is what is known of one file of a partition.
type segment struct {
	base int64 // offset of its first record
	size int64 // bytes that readers may see
}

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.seg", base))
}

func indexPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.idx", base))
}

// parseName returns the base offset that the name of a segment or index carries.
func parseName(name, extension string) (base int64, ok bool) {
	digits, ok := strings.CutSuffix(name, extension)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, err == nil && base >= 0
}

func encodeSegmentHeader(base int64) []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(base))
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	return b
}

func encodeSlot(s slot) []byte {
	b := make([]byte, slotSize)
	binary.LittleEndian.PutUint64(b, uint64(s.offset))
	binary.LittleEndian.PutUint64(b[8:], uint64(s.position))
	binary.LittleEndian.PutUint64(b[16:], uint64(s.time))
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	return b
}

// parseSlot reads one entry. It reports false for one that was not wholly written.
func parseSlot(b []byte) (s slot, ok bool) {
	if len(b) < slotSize || crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]) {
		return s, false
	}
	s.offset = int64(binary.LittleEndian.Uint64(b))
	s.position = int64(binary.LittleEndian.Uint64(b[8:]))
	s.time = int64(binary.LittleEndian.Uint64(b[16:]))
	return s, s.offset >= 0 && s.position >= segmentHeader
}

// index is an index file as it was read: what is usable of it.
type index struct {
	mark  slot // zero where it is lost
	slots []slot
}

// readIndex reads the index of a segment. One that is missing or damaged is an index with less in it.
func readIndex(dir string, base int64) (x index, err error) {
	b, err := os.ReadFile(indexPath(dir, base))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return x, err
	}
	if m, ok := parseSlot(b); ok && m.offset >= base {
		x.mark = m
	}
	last := slot{offset: base, position: segmentHeader}
	for i := slotSize; i+slotSize <= len(b); i += slotSize {
		s, ok := parseSlot(b[i:])
		if !ok || s.offset <= last.offset || s.position <= last.position {
			break
		}
		x.slots, last = append(x.slots, s), s
	}
	return x, nil
}

// known returns the farthest place up to which the segment is certainly on disk.
func (x index) known(base int64) slot {
	s := slot{offset: base, position: segmentHeader}
	if n := len(x.slots); n > 0 {
		s = x.slots[n-1]
	}
	if x.mark.position >= s.position {
		s = x.mark
	}
	return s
}

// before returns the last entry at or before the offset.
func (x index) before(base, offset int64) slot {
	best := slot{offset: base, position: segmentHeader}
	for _, s := range x.slots {
		if s.offset > offset {
			break
		}
		best = s
	}
	return best
}

// tail is what was found at the end of a segment when it was opened.
type tail struct {
	next int64 // offset after the last record
	size int64 // where the next frame goes; what lies beyond is torn
	time int64 // of the last frame
	// damage says that bytes in the middle are not what was written: the segment is kept as it is, and appends go to a new one.
	damage bool
}

// inspect reads the end of the last segment from the place on up to which it is known to be on disk. A write that was cut off by
// a kill can only be the last one, since each is flushed before the next: so a bad frame with a good one after it is damage.
func inspect(f io.ReaderAt, size int64, from slot, base int64) (tail, error) {
	t := tail{next: from.offset, size: from.position, time: from.time}
	head := make([]byte, segmentHeader)
	if size < from.position {
		// A new segment whose header was not flushed is torn; one that lost what was flushed is damaged.
		t.damage = from.position > segmentHeader
		return t, nil
	}
	if _, err := f.ReadAt(head, 0); err != nil {
		return t, err
	}
	t.damage = !bytes.Equal(head, encodeSegmentHeader(base))
	var frame []byte
	for t.size < size {
		h, whole, err := readFrame(f, t.size, size, frame)
		if err != nil {
			return t, err
		}
		frame = whole
		if whole == nil || h.base != t.next {
			next, err := laterFrame(f, t.size+1, size, t.next)
			if next > 0 {
				t.next, t.damage = next, true
			}
			return t, err
		}
		t.next, t.size, t.time = h.next(), t.size+h.whole(), h.time
	}
	return t, nil
}

// readFrame reads the frame at position into buf, which it may replace. It returns no bytes where none is whole and intact there.
func readFrame(f io.ReaderAt, position, size int64, buf []byte) (header, []byte, error) {
	var head [frameHeader]byte
	if size-position < frameHeader {
		return header{}, nil, nil
	}
	if _, err := f.ReadAt(head[:], position); err == io.EOF {
		return header{}, nil, nil
	} else if err != nil {
		return header{}, nil, err
	}
	h, ok := parseHeader(head[:])
	if !ok || h.whole() > size-position {
		return h, nil, nil
	}
	if int64(cap(buf)) < h.whole() {
		buf = make([]byte, h.whole())
	}
	buf = buf[:h.whole()]
	if _, err := f.ReadAt(buf, position); err == io.EOF {
		return h, nil, nil // somebody cut the file meanwhile
	} else if err != nil {
		return h, nil, err
	}
	if !h.intact(buf) {
		return h, nil, nil
	}
	return h, buf, nil
}

// laterFrame looks for intact frames from position on that follow the offset, and returns the offset after the last of them; 0 for none.
func laterFrame(f io.ReaderAt, position, size, after int64) (next int64, err error) {
	rest := make([]byte, max(size-position, 0))
	if _, err := f.ReadAt(rest, position); err != nil && err != io.EOF {
		return 0, err
	}
	for {
		i := bytes.Index(rest, frameMagic)
		if i < 0 {
			return next, nil
		}
		rest = rest[i:]
		h, ok := parseHeader(rest)
		if ok && h.base > after && h.whole() <= int64(len(rest)) && h.intact(rest[:h.whole()]) {
			next, after, rest = h.next(), h.next()-1, rest[h.whole():]
			continue
		}
		rest = rest[1:]
	}
}
