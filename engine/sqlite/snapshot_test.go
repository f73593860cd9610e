package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"bijou"
)

// A writer puts each title into one file and then into the other, so that at each moment the first has as many as the second, or one more.
func TestASnapshotShowsAllFilesAsTheyWereAtOneMoment(t *testing.T) {
	dir := t.TempDir()
	first, second := opened(t, OpenCatalog, filepath.Join(dir, "first.db")), opened(t, OpenCatalog, filepath.Join(dir, "second.db"))
	defer first.Close()
	defer second.Close()
	var end sync.WaitGroup
	stop := make(chan struct{})
	end.Go(func() {
		for n := range 10_000 {
			select {
			case <-stop:
				return
			default:
			}
			for _, c := range []*Catalog{first, second} {
				if err := c.PutTitle(t.Context(), title(n)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for round := range 30 {
		copied := t.TempDir()
		snap, err := Pin(t.Context(), second, first)
		check(t, "snapshot", err)
		check(t, "put while a snapshot is held", errors.Join(first.PutTitle(t.Context(), late(round)), second.PutTitle(t.Context(), late(round))))
		check(t, "copy", errors.Join(snap.Copy(t.Context(), copied), snap.Close()))
		a, b := opened(t, OpenCatalog, filepath.Join(copied, "first.db")), opened(t, OpenCatalog, filepath.Join(copied, "second.db"))
		check(t, "check", Check(t.Context(), a, b))
		if _, err := a.Title(t.Context(), late(round).ID); !errors.Is(err, bijou.NotFound) {
			t.Errorf("a title that was put after the snapshot is in the copy (%v)", err)
		}
		if x, y := countTitles(t, a), countTitles(t, b); x != y && x != y+1 {
			t.Errorf("the copies have %d and %d titles, want as many in both or one more in the first", x, y)
		}
		for _, name := range []string{"first.db", "second.db"} {
			if info, err := os.Stat(filepath.Join(copied, name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v (%v), want 600", name, info.Mode(), err)
			}
		}
		check(t, "close", errors.Join(a.Close(), b.Close()))
	}
	close(stop)
	end.Wait()
	// Nothing was held on to: both can still be written.
	check(t, "put", first.PutTitle(t.Context(), title(20_000)))
}

// late is a title that comes after a snapshot.
func late(round int) bijou.Title { return title(30_000 + round) }

func countTitles(t *testing.T, c *Catalog) int {
	t.Helper()
	var n int
	check(t, "count", c.d.row(t.Context(), func(scan func(...any) error) error { return scan(&n) }, `SELECT count(*) FROM titles`))
	return n
}

func TestAFileThatIsDamagedDoesNotPassTheCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := opened(t, OpenCatalog, path)
	for n := range 200 {
		check(t, "put", c.PutTitle(t.Context(), title(n)))
	}
	check(t, "check", Check(t.Context(), c))
	check(t, "close", c.Close())
	b, err := os.ReadFile(path)
	check(t, "read", err)
	for i := len(b) / 2; i < len(b)/2+6000; i++ {
		b[i] ^= 0xff
	}
	check(t, "write", os.WriteFile(path, b, 0o600))
	c = opened(t, OpenCatalog, path)
	defer c.Close()
	if err := Check(t.Context(), c); !errors.Is(err, bijou.Corrupt) {
		t.Errorf("got %v, want Corrupt", err)
	}
}
