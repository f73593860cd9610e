package logfile

import (
	"bytes"
	"testing"

	"bijou"
)

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, 7, 1234, [][]bijou.Record{{{Key: []byte("k"), Value: []byte("v")}}, {{}, {Value: []byte("long")}}}), int64(8), 2)
	f.Add(appendFrame(nil, 0, 0, [][]bijou.Record{{{}}}), int64(0), 1)
	f.Add([]byte("no frame"), int64(0), 1)
	f.Add(bytes.Repeat([]byte{0xFF}, 100), int64(0), 1)
	f.Fuzz(func(t *testing.T, b []byte, from int64, limit int) {
		h, ok := parseHeader(b)
		if !ok || h.whole() > int64(len(b)) || h.count > 1000 {
			return
		}
		body := b[frameHeader:h.whole()]
		all, ok := h.records(body, 0, 1<<20, nil)
		some, again := h.records(body, from, limit, nil)
		if ok != again {
			t.Fatalf("from %d, at most %d: readable is %v, of the whole it is %v", from, limit, again, ok)
		}
		for _, r := range some {
			if r.Offset < from || r.Offset >= h.next() {
				t.Fatalf("from %d: got a record at %d of frame %d to %d", from, r.Offset, h.base, h.next())
			}
		}
		if !ok || int64(len(all)) != h.count {
			return
		}
		// What can be read is written again to something that reads the same.
		twice := appendFrame(nil, h.base, h.time, [][]bijou.Record{all})
		h2, ok := parseHeader(twice)
		if !ok || !h2.intact(twice) || h2.count != h.count || h2.base != h.base {
			t.Fatalf("frame written again: got %+v, want %+v", h2, h)
		}
	})
}

func FuzzSlot(f *testing.F) {
	f.Add(encodeSlot(slot{1, 100, 5}))
	f.Add(make([]byte, slotSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := parseSlot(b); ok && !bytes.Equal(encodeSlot(s)[:24], b[:24]) {
			t.Fatalf("slot %x reads as %+v, which is written as %x", b, s, encodeSlot(s))
		}
	})
}

func FuzzGroupEntry(f *testing.F) {
	f.Add(encodeEntry(nil, groupKey{"positions", 3}, 99))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, next, n := parseEntry(b)
		if n > 0 && !bytes.Equal(encodeEntry(nil, k, next), b[:n]) {
			t.Fatalf("entry %x reads as %+v and %d, which is written otherwise", b[:n], k, next)
		}
	})
}
