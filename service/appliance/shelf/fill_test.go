package shelf

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"bijou"
)

func TestManyReadersOfOneMissMakeOneFetch(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 3_000_000)
	gate := make(chan struct{})
	x.origin.body(func(r io.Reader) io.Reader { return io.MultiReader(wait{gate}, iotest.HalfReader(r)) })
	var readers, opened sync.WaitGroup
	opened.Add(50)
	for range 50 {
		readers.Go(func() {
			f, err := x.Get(t.Context(), "ast_a/1")
			opened.Done()
			if err != nil {
				t.Errorf("a reader: %v", err)
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, b) {
				t.Errorf("a reader: got %d bytes, %v", len(got), err)
			}
		})
	}
	opened.Wait()
	close(gate)
	readers.Wait()
	if got := x.origin.asked("ast_a/1"); got != 1 {
		t.Errorf("fetches: got %d, want 1", got)
	}
	if st := x.Stats(); st.Misses != 50 || st.Collapsed != 49 {
		t.Errorf("got %+v, want 50 misses of which 49 collapsed", st)
	}
	x.sound(t)
}

func TestReadersGetBytesBeforeTheFileIsWholeButNeverItsEndUnchecked(t *testing.T) {
	for _, slice := range []int64{1 << 20, 100_000, 10_000} {
		x := newShelf(t, func(o *Options) { o.Slice = slice })
		b := x.origin.put("ast_a/1", 1_000_000)
		if err := x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {Size: int64(len(b)), SHA256: strings.Repeat("0", 64)}}); err != nil {
			t.Fatal(err)
		}
		rest := make(chan struct{})
		x.origin.body(func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 500_000), wait{rest}, r) })
		f := x.get(t, "ast_a/1")
		first := make([]byte, 500_000)
		if slice < 500_000 {
			close(rest)
		}
		if _, err := io.ReadFull(f, first); err != nil || !bytes.Equal(first, b[:500_000]) {
			t.Fatalf("the beginning: %v", err)
		}
		if slice >= 500_000 {
			close(rest)
		}
		got, err := io.ReadAll(f)
		if !errors.Is(err, bijou.Corrupt) || len(got) > 500_000-holdBack || !bytes.Equal(got, b[500_000:500_000+len(got)]) {
			t.Errorf("slices of %d, a file with another hash: got %d more bytes and %v, want fewer than all and Corrupt", slice, len(got), err)
		}
		f.Close()
		if st := x.Stats(); st.Files != 0 || st.Wrong != 1 || st.Corrupt != 0 || !st.LastCorrupt.IsZero() {
			t.Errorf("afterwards: got %+v, want nothing kept, one wrong, and the disk not blamed", st)
		}
		x.sound(t)
	}
}

func TestTheEndIsGivenOutAsSoonAsTheHashIsFoundRight(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Slice = 30_000 })
	b := x.origin.put("ast_a/1", 100_000)
	if err := x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {int64(len(b)), sumOf(b)}}); err != nil {
		t.Fatal(err)
	}
	f := x.get(t, "ast_a/1")
	defer f.Close()
	wantSpan(t, f, b, 99_990, 100_000) // has all of it fetched
	wantSpan(t, f, b, 0, 100_000)
	if f.SHA256 != sumOf(b) {
		t.Errorf("hash: got %q, want the one expected", f.SHA256)
	}
	x.settled()
	if disk, ok := f.OnDisk(); !ok {
		t.Error("the file is whole, and not offered for sendfile")
	} else if got, err := io.ReadAll(disk); err != nil || !bytes.Equal(got, b) {
		t.Errorf("the file itself: got %d bytes, %v", len(got), err)
	}
	if sent := x.origin.sentBytes(); sent != 100_000 {
		t.Errorf("the source sent %d bytes, want each once", sent)
	}
	x.sound(t)
}

func TestOnlyTheSlicesThatAreReadAreFetched(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Slice = 10_000 })
	b := x.origin.put("ast_a/1", 95_000)
	f := x.get(t, "ast_a/1")
	wantSpan(t, f, b, 19_999, 20_001) // across an edge
	wantSpan(t, f, b, 94_000, 95_000)
	f.Close()
	x.settled()
	if sent := x.origin.sentBytes(); sent != 10_000+2*10_000+5_000 {
		t.Errorf("the source sent %d bytes, want the first slice and the three that were read", sent)
	}
	if st := x.Stats(); st.Files != 0 || st.Filling != 95_000 {
		t.Errorf("half-filled: got %+v, want its room set aside and no file", st)
	}
	x.sound(t)
	x.want(t, "ast_a/1", b, false)
	x.settled()
	if sent := x.origin.sentBytes(); sent != 95_000 {
		t.Errorf("the source sent %d bytes in the end, want each once", sent)
	}
	if len(x.parked) != 0 {
		t.Errorf("a whole file waits among the half-filled ones")
	}
	x.want(t, "ast_a/1", b, true)
	x.sound(t)
}

func TestASmallFileIsFetchedToItsEndThoughItsReadersLeave(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 100_000)
	rest := make(chan struct{})
	x.origin.spoil(func(ctx context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		stop := readFunc(func([]byte) (int, error) { return 0, cmp.Or(ctx.Err(), io.EOF) })
		got.Body = io.NopCloser(io.MultiReader(io.LimitReader(got.Body, 50_000), wait{rest}, stop, got.Body))
		return got, nil
	})
	f := x.get(t, "ast_a/1")
	wantSpan(t, f, b, 0, 10)
	f.Close()
	close(rest)
	x.settled()
	x.want(t, "ast_a/1", b, true)
	if got := x.origin.asked("ast_a/1"); got != 1 {
		t.Errorf("fetches: got %d, want the first to go on", got)
	}
	x.sound(t)
}

func TestALargeFileThatNobodyReadsAnyMoreStopsAndGoesOnFromThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newShelf(t, func(o *Options) { o.Slice = 100_000 })
		b := x.origin.put("ast_a/1", 250_000)
		var stopped error
		x.origin.spoil(func(ctx context.Context, _ string, offset int64, got Fetched) (Fetched, error) {
			if offset == 0 {
				got.Body = io.NopCloser(io.MultiReader(io.LimitReader(got.Body, 50_000), readFunc(func([]byte) (int, error) {
					<-ctx.Done()
					stopped = ctx.Err()
					return 0, ctx.Err()
				})))
			}
			return got, nil
		})
		f, other := x.get(t, "ast_a/1"), x.get(t, "ast_a/1")
		wantSpan(t, f, b, 0, 50_000)
		f.Close()
		synctest.Wait()
		if stopped != nil {
			t.Fatal("stopped though somebody reads")
		}
		other.Close()
		synctest.Wait()
		if stopped == nil {
			t.Fatal("goes on though nobody reads")
		}
		x.want(t, "ast_a/1", b, false)
		x.settled()
		if sent := x.origin.sentBytes(); sent != 250_000 {
			t.Errorf("the source sent %d bytes, want each once", sent)
		}
		x.sound(t)
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

func TestASourceThatBreaksOffIsAskedOnceMoreFromThere(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 100_000)
	breaks := 1
	x.origin.body(func(r io.Reader) io.Reader {
		if breaks--; breaks >= 0 {
			return io.MultiReader(io.LimitReader(r, 30_000), iotest.ErrReader(errors.New("connection reset")))
		}
		return r
	})
	x.want(t, "ast_a/1", b, false)
	x.settled()
	if sent := x.origin.sentBytes(); sent != 100_000 || x.origin.asked("ast_a/1") != 2 {
		t.Errorf("the source was asked %d times and sent %d bytes for a file of 100,000", x.origin.asked("ast_a/1"), sent)
	}
	breaks = 2
	x.origin.put("ast_a/2", 100_000)
	x.wantError(t, "ast_a/2", bijou.Unavailable)
	if got := x.origin.asked("ast_a/2"); got != 2 {
		t.Errorf("asked %d times, want twice", got)
	}
	x.sound(t)
	if st := x.Stats(); st.Files != 1 || st.Bust != 1 {
		t.Errorf("got %+v, want the whole one alone", st)
	}
	breaks = 0
	x.want(t, "ast_a/2", x.origin.files["ast_a/2"], false)
}

func TestASliceThatCannotBeHadFailsThoseWhoReadItAlone(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Slice = 10_000 })
	b := x.origin.put("ast_a/1", 30_000)
	down := true
	x.origin.spoil(func(_ context.Context, _ string, offset int64, got Fetched) (Fetched, error) {
		if offset >= 10_000 && down {
			return got, fmt.Errorf("away: %w", bijou.Unavailable)
		}
		return got, nil
	})
	f := x.get(t, "ast_a/1")
	defer f.Close()
	wantSpan(t, f, b, 0, 10_000)
	if n, err := f.ReadAt(make([]byte, 10), 15_000); n != 0 || !errors.Is(err, bijou.Unavailable) {
		t.Errorf("a slice that cannot be had: got %d bytes and %v, want Unavailable", n, err)
	}
	wantSpan(t, f, b, 5000, 10_000)
	down = false
	wantSpan(t, f, b, 0, 30_000)
	x.sound(t)
}

func TestSourcesThatSendOtherThanTheySaidAreRefused(t *testing.T) {
	endless := readFunc(func(b []byte) (int, error) { return len(b), nil })
	for what, c := range map[string]struct {
		spoil func(offset int64, got *Fetched)
		kind  bijou.Kind
	}{
		"fewer bytes": {func(_ int64, got *Fetched) { got.Body = io.NopCloser(io.LimitReader(got.Body, 1000)) }, bijou.Unavailable},
		"more bytes": {func(_ int64, got *Fetched) {
			got.Body = io.NopCloser(io.MultiReader(got.Body, strings.NewReader("more")))
		}, bijou.Unavailable},
		"without end":          {func(_ int64, got *Fetched) { got.Body = io.NopCloser(endless) }, bijou.Unavailable},
		"no size, without end": {func(_ int64, got *Fetched) { got.Size = -1; got.Body = io.NopCloser(endless) }, bijou.Unavailable},
		"no size, too much":    {func(_ int64, got *Fetched) { got.Size = -1 }, bijou.Unavailable},
		"nothing, for ever": {func(_ int64, got *Fetched) {
			got.Body = io.NopCloser(readFunc(func([]byte) (int, error) { return 0, nil }))
		}, bijou.Unavailable},
		"another size later":  {func(offset int64, got *Fetched) { got.Size += min(offset, 1) }, bijou.Unavailable},
		"another tag later":   {func(offset int64, got *Fetched) { got.ETag = fmt.Sprint(min(offset, 1)) }, bijou.Unavailable},
		"a tag only at first": {func(offset int64, got *Fetched) { got.ETag = `"one"`[min(offset, 5):] }, bijou.Unavailable},
		"another time later":  {func(offset int64, got *Fetched) { got.Modified = time.Unix(min(offset, 1), 0) }, bijou.Unavailable},
		"its own hash, wrong": {func(_ int64, got *Fetched) { got.SHA256 = strings.Repeat("a", 64) }, bijou.Corrupt},
		"a hash that is none": {func(_ int64, got *Fetched) { got.SHA256 = "abc" }, bijou.Unavailable},
		"a vast size":         {func(_ int64, got *Fetched) { got.Size = 1 << 62 }, bijou.Unavailable},
	} {
		t.Run(what, func(t *testing.T) {
			x := newShelf(t, func(o *Options) { o.Slice = 10_000 })
			x.origin.put("ast_a/1", 25_000)
			x.origin.spoil(func(_ context.Context, _ string, offset int64, got Fetched) (Fetched, error) {
				c.spoil(offset, &got)
				return got, nil
			})
			x.wantError(t, "ast_a/1", c.kind)
			x.sound(t)
			if st := x.Stats(); st.Files != 0 {
				t.Errorf("got %+v, want nothing kept", st)
			}
		})
	}
}

func TestAFileThatIsNotOfTheSizeExpectedIsRefusedBeforeAnyByte(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 1000)
	if err := x.Expect("ast_a", "", map[string]Expected{"ast_a/1": {999, sumOf(b)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Get(t.Context(), "ast_a/1"); !errors.Is(err, bijou.Corrupt) {
		t.Errorf("got %v, want Corrupt", err)
	}
	if sent := x.origin.sentBytes(); sent != 0 {
		t.Errorf("%d bytes were fetched", sent)
	}
	x.sound(t)
}

func TestASizeThatIsNotSaidIsFoundOut(t *testing.T) {
	for _, size := range []int{0, 1, 9_999} {
		x := newShelf(t, func(o *Options) { o.Slice = 10_000 })
		b := x.origin.put("ast_a/1", size)
		x.origin.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
			got.Size = -1
			got.Body = io.NopCloser(iotest.DataErrReader(got.Body))
			return got, nil
		})
		x.origin.put("ast_a/slice", 10_000) // whether that is all of it cannot be told
		x.wantError(t, "ast_a/slice", bijou.Unavailable)
		f := x.get(t, "ast_a/1")
		if f.Size != int64(size) {
			t.Errorf("size: got %d, want %d", f.Size, size)
		}
		f.Close()
		x.settled()
		x.want(t, "ast_a/1", b, true)
		x.sound(t)
	}
}

func TestASourceThatStallsIsGivenUpAndAskedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newShelf(t, func(o *Options) { o.Stall = 10 * time.Second })
		b := x.origin.put("ast_a/1", 100_000)
		stalls := 1
		x.origin.spoil(func(ctx context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
			if stalls--; stalls >= 0 {
				got.Body = io.NopCloser(io.MultiReader(io.LimitReader(got.Body, 30_000), readFunc(func([]byte) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				})))
			}
			return got, nil
		})
		began := time.Now()
		x.want(t, "ast_a/1", b, false)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want the time of one stall", took)
		}
		stalls = 2
		x.origin.put("ast_a/2", 100_000)
		x.wantError(t, "ast_a/2", bijou.Unavailable)
		x.origin.spoil(func(ctx context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
			<-ctx.Done()
			return got, ctx.Err()
		})
		began = time.Now()
		x.wantError(t, "ast_a/2", bijou.Unavailable)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("where no answer comes: took %v, want the time of two stalls", took)
		}
		x.sound(t)
	})
}

func TestASlowSourceThatGoesOnIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newShelf(t, func(o *Options) { o.Stall = 10 * time.Second })
		b := x.origin.put("ast_a/1", 1000)
		x.origin.spoil(func(ctx context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
			body := got.Body
			got.Body = io.NopCloser(readFunc(func(b []byte) (int, error) {
				select {
				case <-ctx.Done():
					return 0, ctx.Err()
				case <-time.After(9 * time.Second):
					return body.Read(b[:min(len(b), 50)])
				}
			}))
			return got, nil
		})
		x.want(t, "ast_a/1", b, false)
		x.sound(t)
	})
}

func TestFillsAtOnceAreBoundedAndSoAreThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newShelf(t, func(o *Options) { o.Fills, o.Queue = 3, 5 })
		gate := make(chan struct{})
		var mu sync.Mutex
		now, most := 0, 0
		x.origin.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-gate
			mu.Lock()
			now--
			mu.Unlock()
			return got, nil
		})
		var readers sync.WaitGroup
		for i := range 8 {
			name := fmt.Sprintf("ast_a/%d", i)
			b := x.origin.put(name, 1000)
			readers.Go(func() {
				if got, _, err := x.read(name); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%s: got %d bytes, %v", name, len(got), err)
				}
			})
		}
		synctest.Wait()
		x.origin.put("ast_a/8", 1000)
		x.wantError(t, "ast_a/8", bijou.Exhausted)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := x.Get(ctx, "ast_a/0"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more reader of a fill that waits: got %v, want it to wait too", err)
		}
		close(gate)
		readers.Wait()
		if most != 3 {
			t.Errorf("fetches at once: got %d, want 3", most)
		}
		x.sound(t)
	})
}

func TestAFillTakesAFixedAmountOfMemory(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Slice = 64 << 20 })
	const size = 32 << 20
	block := truth("block", 1<<20)
	x.origin.put("ast_a/1", 0)
	x.origin.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		got.Size = size
		left := size
		got.Body = io.NopCloser(readFunc(func(b []byte) (int, error) {
			n := copy(b[:min(len(b), left)], block)
			left -= n
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}))
		return got, nil
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f := x.get(t, "ast_a/1") // does not read
	x.settled()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size/8 {
		t.Errorf("filling %d bytes took %d bytes of memory", size, got)
	}
	if st := x.Stats(); st.Files != 1 {
		t.Errorf("got %+v, want it kept though the reader is slow", st)
	}
	f.Close()
}

func TestReadsEndWithTheirContext(t *testing.T) {
	x := newShelf(t)
	x.origin.put("ast_a/1", 1000)
	gate := make(chan struct{})
	x.origin.body(func(r io.Reader) io.Reader { return io.MultiReader(wait{gate}, r) })
	ctx, leave := context.WithCancel(t.Context())
	f, err := x.Get(ctx, "ast_a/1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	leave()
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the reader left", err)
	}
	close(gate)
	x.settled()
	if !x.Has("ast_a/1") {
		t.Error("a small file is not kept because its reader left")
	}
}

func TestClosingEndsFillsAndTheirReaders(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Fills = 1 })
	x.origin.put("ast_a/1", 1000)
	x.origin.put("ast_a/2", 1000)
	asked := make(chan struct{}, 1)
	x.origin.spoil(func(ctx context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return got, ctx.Err()
	})
	done := make(chan error)
	for _, name := range []string{"ast_a/1", "ast_a/2"} {
		go func() {
			_, _, err := x.read(name)
			done <- err
		}()
	}
	<-asked
	x.close(t)
	for range 2 {
		if err := <-done; !errors.Is(err, bijou.Unavailable) {
			t.Errorf("a reader: got %v, want Unavailable", err)
		}
	}
	x.wantError(t, "ast_a/1", bijou.Unavailable)
	x.open(t)
	x.sound(t)
}

func TestAFileThatIsNotThereIsNotFoundForAllWhoAsk(t *testing.T) {
	x := newShelf(t)
	x.wantError(t, "ast_a/nothing", bijou.NotFound)
	x.origin.put("ast_a/1", 10)
	x.origin.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		return got, errors.New("dial tcp: connection refused")
	})
	x.wantError(t, "ast_a/1", bijou.Unavailable)
	x.sound(t)
}
