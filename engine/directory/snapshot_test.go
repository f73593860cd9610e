package directory

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"bijou"
)

// read returns what the snapshot holds.
func read(t *testing.T, s *Snapshot) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := s.Each(t.Context(), func(b bijou.Blob, path string) error {
		content, err := os.ReadFile(path)
		if int64(len(content)) != b.Size {
			t.Errorf("blob %s has %d bytes, and it is said %d", b.Key, len(content), b.Size)
		}
		got[b.Key] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func put(t *testing.T, s *Store, key, content string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, bytes.NewReader([]byte(content))); err != nil {
		t.Fatal(err)
	}
}

func TestASnapshotHoldsWhatWasThereWhateverHappensAfter(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer s.Close()
	put(t, s, "a/deleted", "1")
	put(t, s, "a/stays", "2")
	put(t, s, "b/replaced", "3")
	during := false
	snap, err := s.Snapshot(t.Context(), func() error { during = true; return nil })
	if err != nil || !during {
		t.Fatalf("snapshot: %v, during was called: %v", err, during)
	}
	if err := s.Delete(t.Context(), "a/deleted"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "b/replaced", "4")
	put(t, s, "c/new", "5")
	got := read(t, snap)
	if len(got) != 3 || got["a/deleted"] != "1" || got["a/stays"] != "2" || got["b/replaced"] != "3" {
		t.Errorf("the snapshot holds %v", got)
	}
	bs, err := s.List(t.Context(), "", "", 100)
	if err != nil || len(bs) != 3 {
		t.Errorf("the store lists %v (%v), want its own three blobs", bs, err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, snapshots)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after it is closed: %v, want nothing left", err)
	}
}

// A writer moves one blob along: it puts the next before it deletes the last, so that at each moment there are one or two.
func TestASnapshotIsOfOneMoment(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer s.Close()
	key := func(n int) string { return fmt.Sprintf("%d/%d", n*7%10, n) }
	put(t, s, key(0), "")
	var end sync.WaitGroup
	stop := make(chan struct{})
	end.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Put(t.Context(), key(n), bytes.NewReader(nil)); err != nil {
				t.Error(err)
			}
			if err := s.Delete(t.Context(), key(n-1)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		listed := 0
		snap, err := s.Snapshot(t.Context(), func() error {
			bs, err := s.List(t.Context(), "", "", 10)
			listed = len(bs)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, snap); len(got) != listed || listed < 1 || listed > 2 {
			t.Errorf("the snapshot holds %v, and %d blobs were there at its moment, want the same one or two", got, listed)
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	end.Wait()
}

func TestASnapshotThatFailsOrWasNeverClosedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, "a/b", "1")
	ours := errors.New("ours")
	if _, err := s.Snapshot(t.Context(), func() error { return ours }); !errors.Is(err, ours) {
		t.Errorf("got %v, want the failure of what was called", err)
	}
	if _, err := os.Stat(filepath.Join(dir, snapshots)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a failure: %v, want nothing left", err)
	}
	if _, err := s.Snapshot(t.Context(), func() error { return nil }); err != nil { // a kill comes before it is closed
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	defer s.Close()
	if _, err := os.Stat(filepath.Join(dir, snapshots)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after opening again: %v, want nothing left", err)
	}
	if bs, err := s.List(t.Context(), "", "", 10); err != nil || len(bs) != 1 {
		t.Errorf("the store lists %v (%v), want its blob", bs, err)
	}
}
