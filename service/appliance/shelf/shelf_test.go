package shelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
)

func TestAFileIsFetchedOnceAndThenReadFromDiskAlsoAfterARestart(t *testing.T) {
	x := newShelf(t)
	x.origin.etag = `"tag"`
	b := x.filled(t, "ast_a/v1/1.m4s", 100_000)
	x.want(t, "ast_a/v1/1.m4s", b, true)
	x.reopen(t)
	f := x.get(t, "ast_a/v1/1.m4s")
	defer f.Close()
	if !f.Hit || f.MediaType != "video/mp4" || f.SHA256 != sumOf(b) || f.ETag != `"tag"` || f.Size != 100_000 || f.From != "origin" {
		t.Errorf("after the restart: got %+v, want what the source said", f)
	}
	wantSpan(t, f, b, 0, 100_000)
	disk, ok := f.OnDisk()
	if !ok {
		t.Fatal("a checked file is not offered for sendfile")
	}
	if got, err := io.ReadAll(disk); err != nil || !bytes.Equal(got, b) {
		t.Errorf("the file itself: got %d bytes, %v", len(got), err)
	}
	if got := x.origin.asked("ast_a/v1/1.m4s"); got != 1 {
		t.Errorf("fetches: got %d, want 1", got)
	}
	x.sound(t)
}

func TestSeeksGoWhereTheySay(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 1000)
	f := x.get(t, "ast_a/1")
	defer f.Close()
	for _, c := range []struct {
		offset int64
		whence int
		want   int64
	}{{10, io.SeekStart, 10}, {5, io.SeekCurrent, 16}, {-1, io.SeekEnd, 999}, {0, io.SeekStart, 0}, {2000, io.SeekStart, 2000}} {
		got, err := f.Seek(c.offset, c.whence)
		if err != nil || got != c.want {
			t.Errorf("seek %d from %d: got %d, %v, want %d", c.offset, c.whence, got, err, c.want)
		}
		one := make([]byte, 1)
		if n, err := f.Read(one); c.want < 1000 && (n != 1 || err != nil || one[0] != b[c.want]) || c.want >= 1000 && err != io.EOF {
			t.Errorf("read at %d: got %d bytes %v, %v", c.want, n, one, err)
		}
	}
	for _, c := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {-1001, io.SeekEnd}, {0, 7}} {
		if _, err := f.Seek(c.offset, c.whence); !errors.Is(err, bijou.Invalid) {
			t.Errorf("seek %d from %d: got %v, want Invalid", c.offset, c.whence, err)
		}
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after Close: got %v, want that it is closed", err)
	}
}

func TestAFileThatChangedOnDiskIsRefusedAtOnceRemovedAndFetchedAgain(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 50_000)
	x.want(t, "ast_a/1", b, true)
	info, err := os.Stat(x.Path("ast_a/1"))
	if err != nil {
		t.Fatal(err)
	}
	spoilFile(t, x.Path("ast_a/1"), 777)
	if err := os.Chtimes(x.Path("ast_a/1"), info.ModTime(), info.ModTime()); err != nil { // as if nothing had happened
		t.Fatal(err)
	}
	x.wantError(t, "ast_a/1", bijou.Corrupt)
	x.settled()
	if got := x.origin.asked("ast_a/1"); got != 2 {
		t.Errorf("fetches: got %d, want a second one though nobody asked again", got)
	}
	x.want(t, "ast_a/1", b, true)
	if st := x.Stats(); st.Corrupt != 1 || st.LastCorrupt.IsZero() {
		t.Errorf("got %+v, want one corrupt", st)
	}
	x.sound(t)
}

func TestAFileThatWasSpoiledWhileTheProcessWasDownIsNeverServed(t *testing.T) {
	for what, spoil := range map[string]func(path string) error{
		"cut short":   func(p string) error { return os.Truncate(p, 100) },
		"made longer": func(p string) error { return os.Truncate(p, 60_000) },
		"replaced":    func(p string) error { return os.WriteFile(p, []byte("something else"), 0o600) },
		"emptied":     func(p string) error { return os.Truncate(p, 0) },
		"a folder":    func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"a link": func(p string) error {
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			return errors.Join(os.Rename(p, elsewhere), os.Symlink(elsewhere, p))
		},
		"one bit":      func(p string) error { spoilFile(t, p, 49_999); return nil },
		"not readable": func(p string) error { return errors.Join(os.Remove(p), os.Symlink(p, p)) },
		"removed":      os.Remove,
	} {
		t.Run(what, func(t *testing.T) {
			x := newShelf(t)
			b := x.filled(t, "ast_a/1", 50_000)
			x.close(t)
			if err := spoil(x.Path("ast_a/1")); err != nil {
				t.Fatal(err)
			}
			x.open(t)
			if got, _, err := x.read("ast_a/1"); err == nil && !bytes.Equal(got, b) {
				t.Error("served as it is")
			}
			x.settled()
			x.want(t, "ast_a/1", b, true)
			if info, err := os.Lstat(x.Path("ast_a/1")); err != nil || !info.Mode().IsRegular() {
				t.Errorf("afterwards: got %v, %v, want a file", info, err)
			}
			x.sound(t)
		})
	}
}

func TestStartingReadsNoFile(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 50_000)
	x.close(t)
	if err := os.Truncate(x.Path("ast_a/1"), 3); err != nil {
		t.Fatal(err)
	}
	x.open(t)
	if st := x.Stats(); st.Files != 1 || st.Held != int64(len(b)) {
		t.Errorf("got %+v, want what the index says", st)
	}
}

func TestManyRequestsAtOnceAfterARestartCheckTheFileOnce(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 3_000_000)
	x.reopen(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, f, err := x.read("ast_a/1")
			if err != nil || !f.Hit || !bytes.Equal(got, b) {
				t.Errorf("a reader: got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	x.settled()
	it := x.lookup("ast_a/1")
	if err := x.verify(t.Context(), it, *it.seen.Load()); err != nil { // one that looked before the check ended, and comes after
		t.Error(err)
	}
	if st := x.Stats(); st.Checked != 1 || st.Hits != 50 {
		t.Errorf("got %+v, want one check and 50 hits", st)
	}
}

func TestWhoLeavesWhileTheHashIsComputedDoesNotSpoilItForOthers(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 100_000)
	x.reopen(t)
	for range maxChecks {
		x.checking <- struct{}{} // all places are taken
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := x.Get(ctx, "ast_a/1"); !errors.Is(err, context.Canceled) {
		t.Fatalf("a reader that leaves: got %v", err)
	}
	done := make(chan error)
	go func() {
		got, _, err := x.read("ast_a/1")
		if err == nil && !bytes.Equal(got, b) {
			err = errors.New("other bytes")
		}
		done <- err
	}()
	for range maxChecks {
		<-x.checking
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.sound(t)
}

func TestWhoReadsAFileThatIsFoundCorruptIsCutOff(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 100_000)
	f := x.get(t, "ast_a/1")
	defer f.Close()
	disk, _ := f.OnDisk()
	wantSpan(t, f, b, 0, 10)
	spoilFile(t, x.Path("ast_a/1"), 99_999)
	x.wantError(t, "ast_a/1", bijou.Corrupt)
	if n, err := f.ReadAt(make([]byte, 10), 50_000); n != 0 || !errors.Is(err, bijou.NotFound) {
		t.Errorf("a reader: got %d bytes and %v, want it to be cut off", n, err)
	}
	if _, ok := f.OnDisk(); ok {
		t.Error("the corrupt file is offered for sendfile")
	}
	if n, err := disk.ReadAt(make([]byte, 10), 50_000); n != 0 || err != io.EOF {
		t.Errorf("the file itself: got %d bytes and %v, want its end", n, err)
	}
	x.sound(t)
}

func TestAFileThatGoesWhileItsHashIsComputedIsNotCalledCorrupt(t *testing.T) {
	x := newShelf(t)
	x.filled(t, "ast_a/1", 1000)
	it := x.lookup("ast_a/1")
	x.mu.Lock()
	x.forget(it)
	x.mu.Unlock()
	if err := os.Truncate(x.Path("ast_a/1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := x.inspect(t.Context(), it, nil); !errors.Is(err, errAgain) {
		t.Errorf("got %v, want that it went", err)
	}
	if st := x.Stats(); st.Corrupt != 0 {
		t.Errorf("got %+v, want none corrupt", st)
	}
	x.unlink(it, false)
	x.sound(t)
}

func TestEveryFileIsCheckedWithinTheScrubTime(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Scrub = time.Hour })
	names := []string{"ast_a/1", "ast_a/2", "ast_b/1", "ast_b/2", "ast_b/large"}
	for i, n := range names {
		x.filled(t, n, 10_000+300_000*(i/4))
	}
	x.close(t)
	synctest.Test(t, func(t *testing.T) {
		x.open(t)
		done := x.run(t)
		for round, name := range append(names, names...) {
			info, err := os.Stat(x.Path(name))
			if err != nil {
				t.Fatal(err)
			}
			spoilFile(t, x.Path(name), info.Size()/2)
			time.Sleep(time.Hour)
			synctest.Wait()
			st := x.Stats()
			if st.Corrupt != int64(round+1) || st.LastCorrupt.IsZero() || st.Files != 5 {
				t.Fatalf("spoiled %s, an hour later: got %+v, want it found and fetched again", name, st)
			}
			if time.Since(st.LastCorrupt) > time.Hour {
				t.Fatalf("found %v ago", time.Since(st.LastCorrupt))
			}
		}
		if st := x.Stats(); st.Scrubbed < 2*10*5-10 || st.Scrubbed > 2*10*5+10 {
			t.Errorf("files checked in ten hours: got %d, want each about twice an hour", st.Scrubbed)
		}
		done()
	})
	x.open(t)
}

// run runs the scrubber until the function that is returned is called.
func (x *fixture) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- x.Run(ctx, func() {}) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		x.close(t)
	}
}

func TestTheScrubberGoesEvenlyThroughTheBytes(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Scrub = 2 * time.Hour })
	const files, size = 30, 100_000
	for i := range files {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), size)
	}
	x.filled(t, "ast_a/large", 10*size)
	x.close(t)
	synctest.Test(t, func(t *testing.T) {
		x.open(t)
		done := x.run(t)
		total := int64(40*size + 31*fileWeight)
		for minute := 5; minute < 60; minute += 5 {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			st := x.Stats()
			got, want := st.ScrubbedBytes+st.Scrubbed*fileWeight, total*int64(minute)/60
			if slack := int64(10*size + 2*fileWeight); got < want-slack || got > want+slack { // a file counts when it is done
				t.Errorf("after %d minutes of a round of 60: got %d of %d bytes, want about %d", minute, got, total, want)
			}
		}
		time.Sleep(5*time.Minute - time.Second)
		if st := x.Stats(); st.Scrubbed != 31 || st.Corrupt != 0 {
			t.Errorf("after a round: got %+v, want each file checked once", st)
		}
		done()
	})
	x.open(t)
}

func TestALargeFileIsReadEvenlyToo(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Scrub = 2 * time.Hour })
	x.filled(t, "ast_a/1", 8*bufferBytes)
	x.close(t)
	synctest.Test(t, func(t *testing.T) {
		x.open(t)
		done := x.run(t)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		spoilFile(t, x.Path("ast_a/1"), 8*bufferBytes-1) // its end is not read yet in this round
		time.Sleep(29 * time.Minute)
		synctest.Wait()
		if st := x.Stats(); st.Corrupt != 1 {
			t.Errorf("got %+v, want what was spoiled behind the scrubber's place found in the same round", st)
		}
		done()
	})
	x.open(t)
}

func TestWhereThereIsNothingToCheckNothingTicks(t *testing.T) {
	var calls int
	x := newShelf(t)
	x.close(t)
	synctest.Test(t, func(t *testing.T) {
		x.o.Now = func() time.Time { calls++; return time.Now() }
		x.open(t)
		done := x.run(t)
		synctest.Wait()
		before := calls
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if calls != before {
			t.Errorf("the clock was read %d times in 1000 idle hours", calls-before)
		}
		done()
	})
	x.o.Now = time.Now
	x.open(t)
}

func TestARemovedAssetIsGoneAtOnceForWhoeverReadsIt(t *testing.T) {
	x := newShelf(t)
	kept, other := x.filled(t, "ast_a/1", 20_000), x.filled(t, "ast_b/1", 20_000)
	hit, sent := x.get(t, "ast_a/1"), x.get(t, "ast_a/1")
	defer hit.Close()
	defer sent.Close()
	wantSpan(t, hit, kept, 0, 5000)
	disk, ok := sent.OnDisk()
	if !ok {
		t.Fatal("not on disk")
	}
	slow := x.origin.put("ast_a/2", 200_000)
	rest := make(chan struct{})
	x.origin.body(func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 1000), wait{rest}, r) })
	filling := x.get(t, "ast_a/2")
	defer filling.Close()
	wantSpan(t, filling, slow, 0, 1000)
	if err := x.Remove("ast_a"); err != nil {
		t.Fatal(err)
	}
	close(rest)
	if _, err := hit.ReadAt(make([]byte, 10), 5000); !errors.Is(err, bijou.NotFound) {
		t.Errorf("reader of a file: got %v, want NotFound", err)
	}
	if n, err := disk.ReadAt(make([]byte, 10), 5000); n != 0 || err != io.EOF {
		t.Errorf("the file itself: got %d bytes and %v, want its end, so that the system stops sending too", n, err)
	}
	if _, ok := hit.OnDisk(); ok {
		t.Error("a removed file is offered for sendfile")
	}
	if got, err := io.ReadAll(filling); !errors.Is(err, bijou.NotFound) || len(got) == len(slow) {
		t.Errorf("reader of a fill: got %d bytes and %v, want NotFound", len(got), err)
	}
	x.wantError(t, "ast_a/1", bijou.NotFound)
	x.wantError(t, "ast_a/never", bijou.NotFound)
	x.sound(t)
	if _, list := x.Holdings(); len(list) != 1 || list[0].Asset != "ast_b" {
		t.Errorf("holdings: got %v, want the other asset alone", list)
	}
	if left, err := filepath.Glob(x.path("*", "ast_a*")); err != nil || len(left) != 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
	x.want(t, "ast_b/1", other, true)
	before, _ := x.Holdings()
	if err := x.Remove("ast_a"); err != nil {
		t.Error(err)
	}
	if after, _ := x.Holdings(); after != before {
		t.Error("removed again, the holdings are said to have changed")
	}
	x.Restore("ast_a")
	x.want(t, "ast_a/1", kept, false)
	x.sound(t)
	x.reopen(t)
	x.want(t, "ast_a/1", kept, true)
}

func TestWhatCannotBeRemovedFromDiskIsRemovedTheNextTime(t *testing.T) {
	x := newShelf(t)
	x.filled(t, "ast_a/1", 20_000)
	inTheWay := filepath.Join(x.indexPath("ast_a"), "folder")
	if err := errors.Join(os.Remove(x.indexPath("ast_a")), os.MkdirAll(inTheWay, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := x.Remove("ast_a"); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("got %v, want Unavailable", err)
	}
	x.wantError(t, "ast_a/1", bijou.NotFound)
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	if err := x.Remove("ast_a"); err != nil {
		t.Errorf("again: %v", err)
	}
	x.sound(t)
}

func TestAnAssetThatIsRemovedBeforeItsSourceAnswersIsNotKept(t *testing.T) {
	x := newShelf(t)
	x.origin.put("ast_a/1", 20_000)
	asked, answer := make(chan struct{}), make(chan struct{})
	x.origin.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		close(asked)
		<-answer
		return got, nil
	})
	done := make(chan error)
	go func() {
		_, _, err := x.read("ast_a/1")
		done <- err
	}()
	<-asked
	if err := x.Remove("ast_a"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, bijou.NotFound) {
		t.Errorf("got %v, want NotFound at once", err)
	}
	close(answer)
	x.sound(t)
}

func TestAnAssetThatIsRemovedWhileItsFileIsBeingStoredIsNotKept(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 20_000)
	stripe := x.stripe("ast_a")
	stripe.Lock()
	f := x.get(t, "ast_a/1")
	wantSpan(t, f, b, 0, 20_000)
	f.Close()
	fills := x.shard("ast_a/1").all()
	if len(fills) != 1 {
		t.Fatalf("got %d fills, want the one that waits for its place", len(fills))
	}
	fills[0].fail(removed("ast_a/1"))
	stripe.Unlock()
	x.sound(t)
	if st := x.Stats(); st.Files != 0 || st.Fault != "" {
		t.Errorf("got %+v, want it not kept, and no fault", st)
	}
}

type wait struct{ until chan struct{} }

func (w wait) Read([]byte) (int, error) { <-w.until; return 0, io.EOF }

func TestHoldingsTellWhatIsCompleteAndTheirVersionRises(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 10_000 })
	one, two := x.origin.put("ast_a/1", 1000), x.origin.put("ast_a/2", 2000)
	v0, none := x.Holdings()
	if x.Known("ast_a") {
		t.Error("the asset is known before anybody told of it")
	}
	err := x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {1000, sumOf(one)}, "ast_a/2": {2000, sumOf(two)}})
	if err != nil || !x.Known("ast_a") {
		t.Fatalf("expect: %v", err)
	}
	x.filled(t, "ast_a/1", 1000)
	v1, part := x.Holdings()
	x.filled(t, "ast_a/2", 2000)
	x.filled(t, "ast_a/asset.json", 30) // one that is not among those expected
	v2, whole := x.Holdings()
	for i := range 4 {
		x.filled(t, fmt.Sprintf("ast_b/%d", i), 2500) // throws some of ast_a out
	}
	v3, less := x.Holdings()
	if v0 >= v1 || v1 >= v2 || v2 >= v3 {
		t.Errorf("versions: got %d, %d, %d, %d, want them to rise", v0, v1, v2, v3)
	}
	want := func(list []bijou.Holding, want ...bijou.Holding) {
		t.Helper()
		if fmt.Sprint(list) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", list, want)
		}
	}
	want(none)
	want(part, bijou.Holding{Asset: "ast_a", Title: "ttl_a", Files: 1, Bytes: 1000})
	want(whole, bijou.Holding{Asset: "ast_a", Title: "ttl_a", Files: 3, Bytes: 3030, Complete: true})
	for _, h := range less {
		if h.Asset == "ast_a" && (h.Complete || h.Files > 2) {
			t.Errorf("after files of it were thrown out: got %v", h)
		}
	}
	x.reopen(t)
	if v4, _ := x.Holdings(); v4 <= v3 {
		t.Errorf("version after a restart: got %d, want more than %d", v4, v3)
	}
}

func TestWhatIsExpectedAfterwardsRemovesFilesThatDiffer(t *testing.T) {
	x := newShelf(t)
	good, bad := x.filled(t, "ast_a/1", 1000), x.filled(t, "ast_a/2", 1000)
	right := bytes.Repeat([]byte("right"), 200)
	x.origin.files["ast_a/2"] = right
	err := x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {1000, sumOf(good)}, "ast_a/2": {1000, sumOf(right)}})
	if err != nil || bytes.Equal(bad, right) {
		t.Fatal(err)
	}
	x.settled()
	x.want(t, "ast_a/1", good, true)
	x.want(t, "ast_a/2", right, true) // fetched again
	x.sound(t)
}

func TestWhatCannotBeExpectedIsRefused(t *testing.T) {
	x := newShelf(t)
	for _, files := range []map[string]Expected{
		{"ast_b/1": {}}, {"1": {}}, {"ast_a/../1": {}}, {"ast_a/1": {SHA256: "abc"}}, {"ast_a/1": {SHA256: strings.Repeat("x", 64)}},
	} {
		if err := x.Expect("ast_a", "ttl_a", files); !errors.Is(err, bijou.Invalid) || x.Known("ast_a") {
			t.Errorf("%v: got %v, want Invalid", files, err)
		}
	}
}

func TestAssetsThatNothingIsThereOfAreForgottenInTime(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_kept/1", 10)
	if err := x.Expect("ast_kept", "", map[string]Expected{"ast_kept/1": {10, sumOf(b)}}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 * maxIdle {
		id := bijou.AssetID(fmt.Sprintf("ast_%d", i))
		if err := x.Expect(id, "", map[string]Expected{string(id) + "/1": {}}); err != nil {
			t.Fatal(err)
		}
		if !x.Known(id) {
			t.Fatalf("asset %d is forgotten at once", i)
		}
	}
	if len(x.assets) > maxIdle+2 {
		t.Errorf("assets remembered: got %d", len(x.assets))
	}
	if !x.Known("ast_kept") {
		t.Error("an asset that is there is forgotten")
	}
}
