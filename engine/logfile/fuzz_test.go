package logfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
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

// Whatever lies in the last segment and its index, the log opens, takes what is appended, hands out nothing that is not in an intact frame, and
// reads the same after it was opened again.
func FuzzSegment(f *testing.F) {
	whole := encodeSegmentHeader(0)
	for n := range int64(3) {
		whole = appendFrame(whole, n, 1234+n, [][]bijou.Record{{{Key: []byte("k"), Value: []byte("value")}}})
	}
	index := encodeSlot(slot{3, int64(len(whole)), 1236})
	torn := whole[:len(whole)-3]
	flipped := bytes.Clone(whole)
	flipped[segmentHeader+frameHeader+2] ^= 1
	for _, seg := range [][]byte{whole, torn, flipped, whole[:10], nil, append(bytes.Clone(whole), "rest"...), append(encodeSegmentHeader(7), whole[segmentHeader:]...)} {
		f.Add(seg, index)
		f.Add(seg, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, seg, idx []byte) {
		dir := t.TempDir()
		folder := filepath.Join(dir, "facts", "0")
		if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(segmentPath(folder, 0), seg, 0o600), os.WriteFile(indexPath(folder, 0), idx, 0o600)); err != nil {
			t.Fatal(err)
		}
		intact := intactRecords(seg)
		var offset int64
		for round := range 2 {
			l := openLog(t, dir, Options{Partitions: 1})
			if round == 0 {
				var err error
				if offset, err = l.Append(t.Context(), "facts", 0, []bijou.Record{{Value: []byte("appended")}}); err != nil {
					t.Fatalf("append after a segment of %x: %v", seg, err)
				}
			}
			rs, err := l.Read(t.Context(), "facts", 0, 0, 1000)
			if err != nil && !errors.Is(err, bijou.Corrupt) {
				t.Fatalf("read a segment of %x: %v, want no failure but damage", seg, err)
			}
			for _, r := range rs {
				if want := intact[r.Offset]; r.Offset != offset && string(r.Value) != want {
					t.Fatalf("record %d of a segment of %x: got %q, want %q", r.Offset, seg, r.Value, want)
				}
			}
			// Damage between the index's last entry and what was appended is met on the way.
			rs, err = l.Read(t.Context(), "facts", 0, offset, 1)
			if !errors.Is(err, bijou.Corrupt) && (err != nil || len(rs) != 1 || string(rs[0].Value) != "appended") {
				t.Fatalf("read what was appended at %d after a segment of %x: %v, %v", offset, seg, rs, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// intactRecords returns the values of the records that lie in intact frames anywhere in the segment, by offset.
func intactRecords(seg []byte) map[int64]string {
	all := map[int64]string{}
	for at := range seg {
		h, ok := parseHeader(seg[at:])
		if !ok || h.whole() > int64(len(seg)-at) || !h.intact(seg[at:at+int(h.whole())]) {
			continue
		}
		rs, _ := h.records(seg[at+frameHeader:at+int(h.whole())], 0, 1<<20, nil)
		for _, r := range rs {
			all[r.Offset] = string(r.Value)
		}
	}
	return all
}
