package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bijou"
)

// written writes the snapshot's files into a directory of their own and opens it.
func written(t *testing.T, s *Snapshot, o Options) *Log {
	t.Helper()
	dir := t.TempDir()
	for _, f := range s.Files() {
		to := filepath.Join(dir, filepath.FromSlash(f.Name))
		b := make([]byte, f.Size)
		if n, err := f.Content.ReadAt(b, 0); int64(n) != f.Size || err != nil && err != io.EOF {
			t.Fatalf("%s has %d bytes and not %d: %v", f.Name, n, f.Size, err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, b, 0o600), os.Chtimes(to, f.Modified, f.Modified)); err != nil {
			t.Fatal(err)
		}
	}
	return openLog(t, dir, o)
}

func TestASnapshotIsALogOfOneMoment(t *testing.T) {
	o := Options{Partitions: 2, SegmentBytes: 20_000, RetainBytes: 200_000}
	l := openLog(t, t.TempDir(), o)
	defer l.Close()
	var end sync.WaitGroup
	stop := make(chan struct{})
	for w := range 2 {
		end.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				first, err := l.Append(t.Context(), "facts", w, batchOf(w, n))
				if err == nil {
					err = l.Commit(t.Context(), "group", "facts", w, first+batch)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		acknowledged := make([]int64, 2)
		for w := range acknowledged {
			next, err := l.Committed(t.Context(), "group", "facts", w)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged[w] = next
		}
		s, err := l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		copied := written(t, s, o)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := copied.Check(t.Context()); err != nil {
			t.Error(err)
		}
		for w, least := range acknowledged {
			_, p, err := copied.partition("facts", w)
			if err != nil {
				t.Fatal(err)
			}
			committed, err := copied.Committed(t.Context(), "group", "facts", w)
			if err != nil || committed < least || committed > p.next {
				t.Errorf("partition %d: the group has committed %d (%v) of %d records, want %d or more and no more than there are", w, committed, err, p.next, least)
			}
		}
		if err := copied.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	end.Wait()
}

func TestASnapshotHoldsWhatRetentionRemovesMeanwhile(t *testing.T) {
	now := time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
	o := Options{Partitions: 1, SegmentBytes: 1000}
	l := openLog(t, t.TempDir(), o)
	defer l.Close()
	l.options.Now = func() time.Time { return now }
	for n := range 50 {
		if _, err := l.Append(t.Context(), "facts", 0, []bijou.Record{{Value: fmt.Appendf(nil, "%100d", n)}}); err != nil {
			t.Fatal(err)
		}
	}
	want := readEnd(t, l, "facts", 0)
	s, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		p := l.all()[0]
		old, _, ok := p.oldest()
		if !ok || !l.remove(p, old) {
			break
		}
	}
	if got := readEnd(t, l, "facts", 0); len(got) >= len(want) {
		t.Fatalf("retention has removed nothing of %d records", len(got))
	}
	copied := written(t, s, o)
	defer copied.Close()
	got := readEnd(t, copied, "facts", 0)
	if len(got) != len(want) {
		t.Fatalf("the snapshot has %d records, want %d", len(got), len(want))
	}
	for i, r := range got {
		if r.Offset != want[i].Offset || !r.At.Equal(want[i].At) || string(r.Value) != string(want[i].Value) {
			t.Errorf("record %d is %+v, want %+v", i, r, want[i])
		}
	}
	if n, err := copied.Check(t.Context()); n != int64(len(want)) || err != nil {
		t.Errorf("the check finds %d records (%v), want %d", n, err, len(want))
	}
}

func TestTheCheckFindsAnyBitThatIsNotWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	o := Options{Partitions: 1, SegmentBytes: 600}
	l := openLog(t, dir, o)
	for n := range 20 {
		if _, err := l.Append(t.Context(), "facts", 0, []bijou.Record{{Value: fmt.Appendf(nil, "%100d", n)}}); err != nil {
			t.Fatal(err)
		}
	}
	defer l.Close()
	name := segmentPath(filepath.Join(dir, "facts", "0"), 0)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if i >= 20 && i < segmentHeader {
			continue // fills the header up
		}
		b := append([]byte{}, whole...)
		b[i] ^= 1 << (i % 8)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Check(t.Context()); !errors.Is(err, bijou.Corrupt) {
			t.Errorf("bit %d of byte %d changed: got %v, want Corrupt", i%8, i, err)
		}
	}
}
