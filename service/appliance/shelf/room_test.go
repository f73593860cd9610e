package shelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"bijou"
)

func TestSpaceIsMadeByThrowingOutWhatIsNotAskedFor(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 100_000 })
	note := x.filled(t, "ast_a/asset.json", 1000)
	hot := x.filled(t, "ast_a/hot", 10_000)
	for i := range 40 {
		x.filled(t, fmt.Sprintf("ast_a/cold-%d", i), 10_000)
		x.want(t, "ast_a/hot", hot, true)
		if st := x.Stats(); st.Held+st.Filling > 100_000 {
			t.Fatalf("holds %d bytes, more than its cap", st.Held)
		}
	}
	x.want(t, "ast_a/asset.json", note, true)
	if st := x.Stats(); st.Evicted < 31 || st.Evicted > 33 {
		t.Errorf("evicted %d files, want as many as did not fit", st.Evicted)
	}
	x.sound(t)
	before := x.Stats().Files
	x.reopen(t)
	if st := x.Stats(); st.Files != before {
		t.Errorf("after a restart: got %d files, want the %d that there were", st.Files, before)
	}
	x.sound(t)
}

func TestNotesGoWhenNothingElseIsLeft(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 10_000 })
	for i := range 30 {
		x.filled(t, fmt.Sprintf("ast_%d/asset.json", i), 1000)
	}
	x.sound(t)
	if st := x.Stats(); st.Files != 10 || !x.Has("ast_29/asset.json") {
		t.Errorf("got %+v, want the ten newest", st)
	}
}

func TestASmallerCapHoldsFromTheStart(t *testing.T) {
	x := newShelf(t)
	for i := range 10 {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), 10_000)
	}
	x.close(t)
	x.o.Cap = 45_000
	x.open(t)
	if st := x.Stats(); st.Files != 4 {
		t.Errorf("got %+v, want four files", st)
	}
	x.sound(t)
}

func TestAReaderOfAFileThatIsThrownOutReadsOn(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 50_000 })
	b := x.filled(t, "ast_a/1", 20_000)
	hit := x.get(t, "ast_a/1")
	defer hit.Close()
	c := x.origin.put("ast_a/2", 20_000)
	filled := x.get(t, "ast_a/2")
	defer filled.Close()
	x.settled()
	for i := range 5 {
		x.filled(t, fmt.Sprintf("ast_b/%d", i), 20_000)
	}
	if x.Has("ast_a/1") || x.Has("ast_a/2") {
		t.Fatal("the files are still there")
	}
	wantSpan(t, hit, b, 0, 20_000)
	wantSpan(t, filled, c, 0, 20_000)
	if disk, ok := hit.Shared(); !ok {
		t.Error("the file itself is not offered any more")
	} else if got, err := io.ReadAll(io.NewSectionReader(disk, 0, 20_000)); err != nil || !bytes.Equal(got, b) {
		t.Errorf("the file itself: got %d bytes, %v", len(got), err)
	}
	x.sound(t)
}

func TestHalfFilledFilesThatNobodyReadsGoFirst(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap, o.Slice = 100_000, 10_000 })
	x.origin.put("ast_a/large", 40_000)
	f := x.get(t, "ast_a/large")
	wantSpan(t, f, truth("ast_a/large", 40_000), 0, 10_000)
	f.Close()
	x.settled()
	for i := range 6 {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), 10_000)
	}
	if st := x.Stats(); st.Filling != 40_000 || st.Evicted != 0 {
		t.Fatalf("got %+v, want room for all", st)
	}
	x.filled(t, "ast_a/6", 10_000)
	if st := x.Stats(); st.Filling != 0 || st.Evicted != 0 || st.Files != 7 {
		t.Errorf("got %+v, want the half-filled one gone and no other", st)
	}
	x.sound(t)
	x.want(t, "ast_a/large", truth("ast_a/large", 40_000), false)
	x.sound(t)
}

func TestFillsThatTogetherNeedMoreThanTheCapDoNotExceedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newShelf(t, func(o *Options) { o.Cap = 100_000 })
		held := x.filled(t, "ast_held/1", 10_000)
		gate := make(chan struct{})
		x.origin.body(func(r io.Reader) io.Reader { return io.MultiReader(wait{gate}, r) })
		var readers sync.WaitGroup
		for i := range 5 {
			name := fmt.Sprintf("ast_a/%d", i)
			b := x.origin.put(name, 40_000)
			readers.Go(func() {
				if got, _, err := x.read(name); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%s: got %d bytes, %v", name, len(got), err)
				}
			})
		}
		synctest.Wait()
		if st := x.Stats(); st.Filling != 80_000 {
			t.Errorf("got %+v, want two being filled", st)
		}
		close(gate)
		readers.Wait()
		x.sound(t)
		x.want(t, "ast_held/1", held, true)
		if st := x.Stats(); st.Files != 3 || st.Passed != 3 || st.Fault != "" {
			t.Errorf("got %+v, want two more kept, three passed on without throwing anything out, and no fault", st)
		}
	})
}

// large returns a shelf for which every file of 60,000 bytes is too large to be kept.
func large(t *testing.T) (*fixture, []byte) {
	x := newShelf(t, func(o *Options) { o.Cap, o.Slice = 100_000, 7_000 })
	return x, x.origin.put("ast_a/large", 60_000)
}

func TestALargeFileIsServedWithoutBeingKept(t *testing.T) {
	x, b := large(t)
	other := x.filled(t, "ast_a/1", 40_000)
	for range 2 {
		x.want(t, "ast_a/large", b, false)
	}
	f := x.get(t, "ast_a/large")
	defer f.Close()
	wantSpan(t, f, b, 50_000, 60_000)
	wantSpan(t, f, b, 6_999, 7_001)
	wantSpan(t, f, b, 0, 60_000)
	x.sound(t)
	if st := x.Stats(); st.Files != 1 || st.Passed != 3 || st.Fault != "" {
		t.Errorf("got %+v, want it passed on each time", st)
	}
	x.want(t, "ast_a/1", other, true)
}

func TestTheEndOfAFileThatIsNotKeptIsHeldBackUntilItsHashIsFoundRight(t *testing.T) {
	for _, right := range []bool{true, false} {
		x, b := large(t)
		want := Expected{60_000, sumOf(b)}
		if !right {
			want.SHA256 = strings.Repeat("0", 64)
		}
		if err := x.Expect("ast_a", "", map[string]Expected{"ast_a/large": want}); err != nil {
			t.Fatal(err)
		}
		for what, from := range map[string]int64{"from the beginning": 0, "from the middle": 30_000, "the end alone": 60_000 - holdBack, "the last byte": 59_999} {
			f := x.get(t, "ast_a/large")
			if _, err := f.Seek(from, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			switch {
			case right && (err != nil || !bytes.Equal(got, b[from:])):
				t.Errorf("%s: got %d bytes, %v, want all", what, len(got), err)
			case !right && (!errors.Is(err, bijou.Corrupt) || int64(len(got)) > max(60_000-holdBack-from, 0)):
				t.Errorf("%s of a file with another hash: got %d bytes and %v, want Corrupt and not the end", what, len(got), err)
			}
			f.Close()
		}
		x.sound(t)
	}
}

func TestAFileThatIsPassedOnSurvivesOneBreakAtAPlaceAndNoReplacement(t *testing.T) {
	x, b := large(t)
	calls := 0
	x.origin.body(func(r io.Reader) io.Reader {
		if calls++; calls%2 == 1 {
			return io.MultiReader(io.LimitReader(r, 1000), iotest.ErrReader(errors.New("reset")))
		}
		return r
	})
	x.want(t, "ast_a/large", b, false)
	x.origin.body(func(r io.Reader) io.Reader { return io.LimitReader(r, 0) })
	x.wantError(t, "ast_a/large", bijou.Unavailable)
	x.origin.spoil(func(_ context.Context, _ string, offset int64, got Fetched) (Fetched, error) {
		got.ETag = fmt.Sprint(offset / 20_000)
		return got, nil
	})
	x.wantError(t, "ast_a/large", bijou.Unavailable)
	x.origin.spoil(func(_ context.Context, _ string, offset int64, got Fetched) (Fetched, error) {
		if offset > 20_000 {
			return got, fmt.Errorf("gone: %w", bijou.NotFound)
		}
		return got, nil
	})
	x.wantError(t, "ast_a/large", bijou.NotFound)
	x.sound(t)
}

func TestASlowReaderOfAFileThatIsPassedOnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, b := large(t)
		x.origin.spoil(func(ctx context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
			body := got.Body
			got.Body = io.NopCloser(readFunc(func(b []byte) (int, error) {
				if ctx.Err() != nil {
					return 0, ctx.Err()
				}
				return body.Read(b)
			}))
			return got, nil
		})
		f := x.get(t, "ast_a/large")
		defer f.Close()
		for at := int64(0); at < 60_000; at += 2000 {
			time.Sleep(time.Hour)
			wantSpan(t, f, b, at, at+2000)
		}
		if got, want := x.origin.asked("ast_a/large"), 1+9; got != want {
			t.Errorf("fetches: got %d, want %d, one to find out and one a slice", got, want)
		}
		x.sound(t)
	})
}

// failing returns a disk that fails with err once it has taken so many bytes more, and how many it has taken.
func (x *fixture) failing(err error, after int64) (taken *int64) {
	var mu sync.Mutex
	real := realDisk()
	taken = new(int64)
	x.disk.write = func(f *os.File, b []byte, at int64) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if *taken+int64(len(b)) > after {
			half := max(min(after-*taken, int64(len(b))), 0)
			*taken += half
			n, werr := real.write(f, b[:half], at)
			return n, errors.Join(werr, err)
		}
		*taken += int64(len(b))
		return real.write(f, b, at)
	}
	return taken
}

func TestADiskThatTakesNothingFailsNoViewer(t *testing.T) {
	for _, c := range []struct {
		cause error
		after int64
		slice int64
	}{{syscall.EROFS, 0, 0}, {syscall.ENOSPC, 0, 0}, {syscall.EIO, 25_000, 0}, {syscall.ENOSPC, 25_000, 10_000}, {syscall.EDQUOT, 60_000, 0}} {
		t.Run(fmt.Sprintf("%v after %d in slices of %d", c.cause, c.after, c.slice), func(t *testing.T) {
			x := newShelf(t, func(o *Options) { o.Slice = c.slice })
			b := x.origin.put("ast_a/1", 60_000)
			x.failing(c.cause, c.after)
			f := x.get(t, "ast_a/1")
			wantSpan(t, f, b, 0, 60_000)
			f.Close()
			x.sound(t)
			if st := x.Stats(); st.Fault == "" || !strings.Contains(st.Fault, x.dir) || st.Passed != 1 || st.Files != 0 {
				t.Errorf("got %+v, want the fault told and the file passed on", st)
			}
			x.disk = realDisk()
			x.want(t, "ast_a/1", b, false)
			x.settled()
			x.want(t, "ast_a/1", b, true)
			if st := x.Stats(); st.Fault != "" {
				t.Errorf("once the disk is well: got %+v, want no fault", st)
			}
			x.sound(t)
		})
	}
}

func TestADirectoryThatCannotBeWrittenFailsNoViewerAndKeepsWhatItHas(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 150_000 })
	kept := []string{"ast_k/1", "ast_k/2"}
	for _, name := range kept {
		x.filled(t, name, 60_000)
	}
	b := x.origin.put("ast_a/1", 60_000)
	if err := os.RemoveAll(x.path("incoming")); err != nil {
		t.Fatal(err)
	}
	x.want(t, "ast_a/1", b, false)
	if st := x.Stats(); st.Fault == "" || st.Passed != 1 {
		t.Errorf("got %+v, want the fault told and the file passed on", st)
	}
	for _, name := range kept {
		x.want(t, name, truth(name, 60_000), true)
	}
	if err := os.Mkdir(x.path("incoming"), 0o700); err != nil {
		t.Fatal(err)
	}
	x.filled(t, "ast_a/1", 60_000)
	if st := x.Stats(); st.Fault != "" {
		t.Errorf("once the disk is well: got %+v, want no fault", st)
	}
	x.sound(t)
}

func TestADiskThatIsFullBelowTheCapMakesRoomByThrowingOut(t *testing.T) {
	x := newShelf(t)
	for i := range 5 {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), 1<<20)
	}
	real, full := realDisk(), true
	x.disk.write = func(f *os.File, b []byte, at int64) (int, error) {
		if full && x.Stats().Files > 3 {
			return 0, syscall.ENOSPC
		}
		return real.write(f, b, at)
	}
	x.filled(t, "ast_b/1", 1<<20)
	if st := x.Stats(); st.Evicted != 2 || st.Files != 4 || st.Fault != "" || st.Passed != 0 {
		t.Errorf("got %+v, want two thrown out for the new one", st)
	}
	x.sound(t)
}

func TestADiskThatOthersFillDoesNotEmptyTheShelf(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Slice = 1 << 20 })
	for i := range 12 {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), 1<<20)
	}
	x.failing(syscall.ENOSPC, 0)
	for i := range 5 {
		name := fmt.Sprintf("ast_b/%d", i)
		x.want(t, name, x.origin.put(name, 1<<20), false)
	}
	if st := x.Stats(); st.Evicted > 4 || st.Passed != 5 {
		t.Errorf("got %+v, want at most four thrown out for the first that did not fit all the same, and none for the others", st)
	}
	x.sound(t)
}

func TestALineThatIsNotWrittenLeavesTheFileUnkeptAndTheIndexWhole(t *testing.T) {
	x := newShelf(t)
	x.filled(t, "ast_a/1", 1000)
	x.failing(syscall.ENOSPC, 1000+20) // the second file, and a part of its line
	b := x.origin.put("ast_a/2", 1000)
	x.want(t, "ast_a/2", b, false)
	x.sound(t)
	if st := x.Stats(); st.Files != 1 || st.Fault == "" {
		t.Errorf("got %+v, want the first file alone, and the fault", st)
	}
	x.disk = realDisk()
	x.filled(t, "ast_a/2", 1000)
	x.sound(t)
	x.reopen(t)
	x.want(t, "ast_a/2", b, true)
}

func TestAFileWhoseNameIsAnothersFolderIsServedAllTheSame(t *testing.T) {
	x := newShelf(t)
	x.filled(t, "films/a", 1000)
	b := x.origin.put("films/a/b", 1000)
	x.want(t, "films/a/b", b, false)
	x.filled(t, "films/c/d", 1000)
	x.want(t, "films/c", x.origin.put("films/c", 1000), false)
	x.sound(t)
	if st := x.Stats(); st.Files != 2 || st.Fault != "" {
		t.Errorf("got %+v, want the first of each pair kept and no fault", st)
	}
}
