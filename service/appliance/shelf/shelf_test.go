package shelf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"bijou"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a source that holds files in memory.
type origin struct {
	mu      sync.Mutex
	files   map[string][]byte
	fetches map[string]int
	sent    int64
	etag    string
	on      func(name string, offset int64, body io.Reader) (io.Reader, error) // may spoil an answer
}

func newOrigin() *origin { return &origin{files: map[string][]byte{}, fetches: map[string]int{}} }

func (o *origin) Fetch(ctx context.Context, name string, offset, length int64) (Fetched, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetches[name]++
	b, ok := o.files[name]
	if !ok {
		return Fetched{}, fmt.Errorf("origin has no %s: %w", name, bijou.NotFound)
	}
	part := b[min(offset, int64(len(b))):]
	if length >= 0 {
		part = part[:min(length, int64(len(part)))]
	}
	var body io.Reader = &metered{o: o, r: bytes.NewReader(part)}
	if o.on != nil {
		var err error
		if body, err = o.on(name, offset, body); err != nil {
			return Fetched{}, err
		}
	}
	return Fetched{Body: io.NopCloser(body), Size: int64(len(b)), MediaType: "video/mp4", ETag: o.etag, From: "origin"}, nil
}

// metered counts what is read of an answer.
type metered struct {
	o *origin
	r io.Reader
}

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.o.mu.Lock()
	m.o.sent += int64(n)
	m.o.mu.Unlock()
	return n, err
}

func (o *origin) put(name string, size int) []byte {
	b := make([]byte, size)
	rng := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	rng.Read(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[name] = b
	return b
}

func (o *origin) asked(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fetches[name]
}

func sumOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

type fixture struct {
	*Shelf
	dir    string
	origin *origin
	o      Options
}

func newShelf(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	x := &fixture{dir: t.TempDir(), origin: newOrigin()}
	x.o = Options{Dir: x.dir, Cap: 1 << 30, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&x.o)
	}
	x.open(t)
	t.Cleanup(func() { x.Close() })
	return x
}

func (x *fixture) open(t testing.TB) {
	t.Helper()
	s, err := Open(x.o, x.origin)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	x.Shelf = s
}

func (x *fixture) reopen(t testing.TB) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	x.open(t)
}

func (x *fixture) read(name string) ([]byte, *File, error) {
	f, err := x.Get(context.Background(), name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return b, f, err
}

// want reads the file whole and compares it.
func (x *fixture) want(t testing.TB, name string, want []byte, hit bool) {
	t.Helper()
	got, f, err := x.read(name)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %s: got %d bytes that differ from the %d there are", name, len(got), len(want))
	}
	if f.Hit != hit {
		t.Fatalf("read %s: got hit %v, want %v", name, f.Hit, hit)
	}
}

// settled waits until nothing is being fetched any more.
func (x *fixture) settled() { x.fills_.Wait() }

func TestAFileIsFetchedOnceAndThenReadFromDiskAlsoAfterARestart(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/v1/1.m4s", 100_000)
	x.want(t, "ast_a/v1/1.m4s", b, false)
	x.settled()
	x.want(t, "ast_a/v1/1.m4s", b, true)
	x.reopen(t)
	x.want(t, "ast_a/v1/1.m4s", b, true)
	if got := x.origin.asked("ast_a/v1/1.m4s"); got != 1 {
		t.Errorf("fetches: got %d, want 1", got)
	}
	if f, err := x.Get(t.Context(), "ast_a/v1/1.m4s"); err != nil || f.MediaType != "video/mp4" || f.SHA256 != sumOf(b) {
		t.Errorf("after the restart: got %+v, %v", f, err)
	} else if _, ok := f.OnDisk(); !ok {
		t.Error("a checked file is not offered for sendfile")
	} else {
		f.Close()
	}
}

func TestManyReadersOfOneMissMakeOneFetch(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 3_000_000)
	gate := make(chan struct{})
	x.origin.on = func(_ string, _ int64, body io.Reader) (io.Reader, error) {
		<-gate
		return iotest.HalfReader(body), nil
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, _, err := x.read("ast_a/1")
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("a reader: got %d bytes, %v", len(got), err)
			}
		})
	}
	close(gate)
	wg.Wait()
	x.settled()
	if got := x.origin.asked("ast_a/1"); got != 1 {
		t.Errorf("fetches: got %d, want 1", got)
	}
	if st := x.Stats(); st.Hits+st.Collapsed != 49 {
		t.Errorf("hits %d and collapsed %d: want 49 of both", st.Hits, st.Collapsed)
	}
}

func TestReadersGetBytesBeforeTheFileIsWholeButNeverItsEndUnchecked(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 1_000_000)
	x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {Size: int64(len(b)), SHA256: strings.Repeat("0", 64)}})
	rest := make(chan struct{})
	x.origin.on = func(_ string, _ int64, body io.Reader) (io.Reader, error) {
		return io.MultiReader(io.LimitReader(body, 500_000), wait{rest}, body), nil
	}
	f, err := x.Get(t.Context(), "ast_a/1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first := make([]byte, 400_000)
	if _, err := io.ReadFull(f, first); err != nil || !bytes.Equal(first, b[:400_000]) {
		t.Fatalf("the beginning, while the rest is on its way: %v", err)
	}
	close(rest)
	got, err := io.ReadAll(f)
	if !errors.Is(err, bijou.Corrupt) || len(got) > 600_000-holdBack {
		t.Errorf("a file with another hash: got %d more bytes and %v, want fewer than all and Corrupt", len(got), err)
	}
	x.settled()
	if st := x.Stats(); st.Files != 0 || st.Corrupt != 1 {
		t.Errorf("afterwards: got %+v, want nothing kept and one corrupt", st)
	}
}

type wait struct{ for_ chan struct{} }

func (w wait) Read([]byte) (int, error) { <-w.for_; return 0, io.EOF }

func TestAFileThatChangedOnDiskIsRefusedAtOnceRemovedAndFetchedAgain(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 50_000)
	x.want(t, "ast_a/1", b, false)
	x.settled()
	x.want(t, "ast_a/1", b, true)
	f, err := os.OpenFile(x.file("ast_a/1"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{b[777] ^ 1}, 777); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, _, err := x.read("ast_a/1"); !errors.Is(err, bijou.Corrupt) {
		t.Fatalf("a flipped bit: got %v, want Corrupt", err)
	}
	x.want(t, "ast_a/1", b, false)
	if st := x.Stats(); st.Corrupt != 1 || st.LastCorrupt.IsZero() {
		t.Errorf("got %+v, want one corrupt", st)
	}
}

func TestAFileThatWasSpoiledWhileTheProcessWasDownIsNeverServed(t *testing.T) {
	for what, spoil := range map[string]func(path string) error{
		"cut short": func(p string) error { return os.Truncate(p, 100) },
		"replaced":  func(p string) error { return os.WriteFile(p, []byte("something else"), 0o600) },
		"removed":   os.Remove,
	} {
		x := newShelf(t)
		b := x.origin.put("ast_a/1", 50_000)
		x.want(t, "ast_a/1", b, false)
		x.settled()
		if err := spoil(x.file("ast_a/1")); err != nil {
			t.Fatal(err)
		}
		x.reopen(t)
		if got, _, err := x.read("ast_a/1"); err == nil && !bytes.Equal(got, b) {
			t.Errorf("%s: served as it is", what)
		}
		x.settled()
		x.want(t, "ast_a/1", b, what == "removed")
	}
}

func TestEveryFileIsCheckedWithinTheScrubTime(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Scrub = time.Hour })
	names := []string{"ast_a/1", "ast_a/2", "ast_b/1", "ast_b/2"}
	for _, n := range names {
		x.want(t, n, x.origin.put(n, 10_000), false)
	}
	x.settled()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		x.open(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- x.Run(ctx, func() {}) }()
		path := x.file("ast_b/1")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw[5000] ^= 4
		if err := errors.Join(os.WriteFile(path, raw, 0o600), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour + time.Minute)
		if st := x.Stats(); st.Corrupt != 1 || st.Files != 3 || st.Scrubbed < 4 {
			t.Errorf("after an hour: got %+v, want the spoiled file found and gone, and four checks", st)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	x.open(t)
}

func TestSpaceIsMadeByThrowingOutWhatIsNotAskedFor(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 100_000 })
	note := x.origin.put("ast_a/asset.json", 1000)
	x.want(t, "ast_a/asset.json", note, false)
	hot := x.origin.put("ast_a/hot", 10_000)
	x.want(t, "ast_a/hot", hot, false)
	x.settled()
	for i := range 40 {
		name := fmt.Sprintf("ast_a/cold-%d", i)
		x.want(t, name, x.origin.put(name, 10_000), false)
		x.settled()
		x.want(t, "ast_a/hot", hot, true)
		if st := x.Stats(); st.Held > 100_000 {
			t.Fatalf("holds %d bytes, more than its cap", st.Held)
		}
	}
	x.want(t, "ast_a/asset.json", note, true)
	if st := x.Stats(); st.Evicted < 25 {
		t.Errorf("evicted %d files, want most of the forty", st.Evicted)
	}
	x.reopen(t)
	if st := x.Stats(); st.Held > 100_000 || st.Files > 11 {
		t.Errorf("after a restart: got %+v, want what was thrown out to stay away", st)
	}
}

func TestAReaderOfAFileThatIsThrownOutReadsOn(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 50_000 })
	b := x.origin.put("ast_a/1", 20_000)
	x.want(t, "ast_a/1", b, false)
	x.settled()
	f, err := x.Get(t.Context(), "ast_a/1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 5 {
		name := fmt.Sprintf("ast_b/%d", i)
		x.want(t, name, x.origin.put(name, 20_000), false)
		x.settled()
	}
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, b) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestALargeFileIsServedWithoutBeingKept(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap, o.Slice = 100_000, 10_000 })
	b := x.origin.put("ast_a/large", 60_000)
	for range 2 {
		x.want(t, "ast_a/large", b, false)
	}
	x.settled()
	if st := x.Stats(); st.Files != 0 || st.Passed != 2 {
		t.Errorf("got %+v, want it passed on twice", st)
	}
}

func TestADiskThatTakesNothingFailsNoViewer(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 60_000)
	if err := os.RemoveAll(x.path("incoming")); err != nil {
		t.Fatal(err)
	}
	x.want(t, "ast_a/1", b, false)
	x.settled()
	if st := x.Stats(); st.Fault == "" || st.Passed != 1 {
		t.Errorf("got %+v, want the fault told and the file passed on", st)
	}
	if err := os.Mkdir(x.path("incoming"), 0o700); err != nil {
		t.Fatal(err)
	}
	x.want(t, "ast_a/1", b, false)
	x.settled()
	if st := x.Stats(); st.Fault != "" || st.Files != 1 {
		t.Errorf("once the disk is well: got %+v, want the file kept and no fault", st)
	}
}

func TestARemovedAssetIsGoneAtOnceForWhoeverReadsIt(t *testing.T) {
	x := newShelf(t)
	kept, slow := x.origin.put("ast_a/1", 20_000), x.origin.put("ast_a/2", 200_000)
	x.want(t, "ast_a/1", kept, false)
	x.settled()
	hit, err := x.Get(t.Context(), "ast_a/1")
	if err != nil {
		t.Fatal(err)
	}
	defer hit.Close()
	rest := make(chan struct{})
	x.origin.on = func(_ string, _ int64, body io.Reader) (io.Reader, error) {
		return io.MultiReader(io.LimitReader(body, 1000), wait{rest}, body), nil
	}
	filling, err := x.Get(t.Context(), "ast_a/2")
	if err != nil {
		t.Fatal(err)
	}
	defer filling.Close()
	if err := x.Remove("ast_a"); err != nil {
		t.Fatal(err)
	}
	close(rest)
	if _, err := io.ReadAll(hit); !errors.Is(err, bijou.NotFound) {
		t.Errorf("reader of a file: got %v, want NotFound", err)
	}
	if got, err := io.ReadAll(filling); !errors.Is(err, bijou.NotFound) || len(got) == len(slow) {
		t.Errorf("reader of a fill: got %d bytes and %v, want NotFound", len(got), err)
	}
	if _, _, err := x.read("ast_a/1"); !errors.Is(err, bijou.NotFound) {
		t.Errorf("asked for again: got %v, want NotFound", err)
	}
	x.settled()
	if _, list := x.Holdings(); len(list) != 0 {
		t.Errorf("holdings: got %v, want none", list)
	}
	if left, _ := filepath.Glob(x.path("*", "ast_a*")); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestHoldingsTellWhatIsCompleteAndTheirVersionRises(t *testing.T) {
	x := newShelf(t)
	one, two := x.origin.put("ast_a/1", 1000), x.origin.put("ast_a/2", 2000)
	v0, _ := x.Holdings()
	x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {1000, sumOf(one)}, "ast_a/2": {2000, sumOf(two)}})
	x.want(t, "ast_a/1", one, false)
	x.settled()
	v1, part := x.Holdings()
	x.want(t, "ast_a/2", two, false)
	x.settled()
	v2, whole := x.Holdings()
	if v0 >= v1 || v1 >= v2 {
		t.Errorf("versions: got %d, %d, %d, want them to rise", v0, v1, v2)
	}
	want := bijou.Holding{Asset: "ast_a", Title: "ttl_a", Files: 1, Bytes: 1000}
	if len(part) != 1 || part[0] != want {
		t.Errorf("in part: got %v, want %v", part, want)
	}
	want.Files, want.Bytes, want.Complete = 2, 3000, true
	if len(whole) != 1 || whole[0] != want {
		t.Errorf("whole: got %v, want %v", whole, want)
	}
}

func TestASourceThatBreaksOffIsAskedOnceMoreFromThere(t *testing.T) {
	x := newShelf(t)
	b := x.origin.put("ast_a/1", 100_000)
	broken := 0
	x.origin.on = func(_ string, _ int64, body io.Reader) (io.Reader, error) {
		if broken++; broken == 1 {
			return io.MultiReader(io.LimitReader(body, 30_000), iotest.ErrReader(errors.New("connection reset"))), nil
		}
		return body, nil
	}
	x.want(t, "ast_a/1", b, false)
	if x.settled(); x.origin.sent > 100_000+1 {
		t.Errorf("the source sent %d bytes for a file of 100,000", x.origin.sent)
	}
	broken = -100
	x.origin.on = func(_ string, _ int64, body io.Reader) (io.Reader, error) { return io.LimitReader(body, 10), nil }
	x.origin.put("ast_a/2", 1000)
	if _, _, err := x.read("ast_a/2"); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("a source that always breaks off: got %v, want Unavailable", err)
	}
	x.settled()
	if st := x.Stats(); st.Files != 1 {
		t.Errorf("files: got %d, want the whole one alone", st.Files)
	}
}

func TestAFileThatIsReplacedAtItsSourceIsNotMixedWithTheNewOne(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Slice = 10_000 })
	x.origin.put("ast_a/1", 50_000)
	x.origin.etag = `"one"`
	f, err := x.Get(t.Context(), "ast_a/1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x.origin.etag = `"two"`
	if _, err := io.ReadAll(f); !errors.Is(err, bijou.Corrupt) {
		t.Errorf("got %v, want Corrupt", err)
	}
}

func TestWhatIsNoNameIsRefused(t *testing.T) {
	x := newShelf(t)
	for _, name := range []string{"", "a", "/a", "a/", "a/../b", "../a/b", "a//b", "a/./b", "a/\x00", strings.Repeat("a/", 600) + "b"} {
		if _, _, err := x.read(name); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%q: got %v, want Invalid", name, err)
		}
	}
	if _, _, err := x.read("ast_a/nothing"); !errors.Is(err, bijou.NotFound) {
		t.Errorf("an unknown file: got %v, want NotFound", err)
	}
	b := x.origin.put("films/Ein Film %20 (1).mp4", 10)
	x.want(t, "films/Ein Film %20 (1).mp4", b, false)
	x.settled()
	x.reopen(t)
	x.want(t, "films/Ein Film %20 (1).mp4", b, true)
}

func TestTwoProcessesDoNotShareADirectory(t *testing.T) {
	x := newShelf(t)
	if _, err := Open(x.o, x.origin); !errors.Is(err, bijou.Conflict) {
		t.Errorf("got %v, want Conflict", err)
	}
}

// Whatever the sizes, places, order and troubles: what a reader gets is the file's own bytes or an error.
func TestReadersGetTheTrueBytesOrAnError(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		slice := rapid.Int64Range(1, 5000).Draw(r, "slice")
		x := newShelf(t, func(o *Options) { o.Slice, o.Cap = slice, rapid.Int64Range(20_000, 200_000).Draw(r, "cap") })
		defer x.Close()
		size := rapid.IntRange(0, 20_000).Draw(r, "size")
		b := x.origin.put("ast_a/1", size)
		if rapid.Bool().Draw(r, "known") {
			x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {int64(size), sumOf(b)}})
		}
		var mu sync.Mutex
		failures := rapid.SliceOfN(rapid.IntRange(-1, 6000), 0, 6).Draw(r, "failures")
		x.origin.on = func(_ string, _ int64, body io.Reader) (io.Reader, error) {
			mu.Lock()
			defer mu.Unlock()
			if len(failures) == 0 {
				return body, nil
			}
			at := failures[0]
			failures = failures[1:]
			if at < 0 {
				return nil, fmt.Errorf("away: %w", bijou.Unavailable)
			}
			return io.MultiReader(io.LimitReader(body, int64(at)), iotest.ErrReader(errors.New("reset"))), nil
		}
		type span struct{ from, to int64 }
		spans := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) span {
			a, z := rapid.Int64Range(0, int64(size)).Draw(r, "from"), rapid.Int64Range(0, int64(size)).Draw(r, "to")
			return span{min(a, z), max(a, z)}
		}), 1, 8).Draw(r, "spans")
		var wg sync.WaitGroup
		for _, sp := range spans {
			wg.Go(func() {
				f, err := x.Get(context.Background(), "ast_a/1")
				if err != nil {
					return
				}
				defer f.Close()
				if f.Size != int64(size) {
					r.Errorf("size %d, want %d", f.Size, size)
				}
				if _, err := f.Seek(sp.from, io.SeekStart); err != nil {
					r.Errorf("seek: %v", err)
				}
				got := make([]byte, sp.to-sp.from)
				n, err := io.ReadFull(f, got)
				if !bytes.Equal(got[:n], b[sp.from:sp.from+int64(n)]) || err == nil && int64(n) != sp.to-sp.from {
					r.Errorf("span %v of %d in slices of %d: wrong bytes, %v", sp, size, slice, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestTheHandSparesWhatWasAskedForSinceItPassed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var q sieve
		alive := map[*item]bool{}
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			switch rapid.IntRange(0, 2).Draw(r, "what") {
			case 0:
				it := &item{line: line{Name: fmt.Sprintf("a/%d", len(alive))}}
				it.entry = q.add(it)
				alive[it] = true
			case 1:
				for it := range alive {
					it.asked.Store(true)
					break
				}
			case 2:
				unasked := 0
				for it := range alive {
					if !it.asked.Load() {
						unasked++
					}
				}
				it := q.victim()
				if (it == nil) != (len(alive) == 0) {
					r.Fatalf("victim %v of %d files", it, len(alive))
				}
				if it != nil {
					if !alive[it] {
						r.Fatal("a file was thrown out twice")
					}
					delete(alive, it)
					q.remove(it.entry)
				}
			}
		}
		if q.order.Len() != len(alive) {
			r.Fatalf("%d files in the queue, %d alive", q.order.Len(), len(alive))
		}
	})
}

func TestSieveKeepsWhatIsPopularBetterThanTheOrderOfArrivalDoes(t *testing.T) {
	const files, room, requests = 1000, 100, 60_000
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, files-1)
	trace := make([]uint64, requests)
	for i := range trace {
		trace[i] = zipf.Uint64()
		if i%10 == 0 {
			trace[i] = uint64(files + i) // a scan of what nobody asks for twice
		}
	}
	var q sieve
	kept := map[uint64]*item{}
	hits := 0
	for _, id := range trace {
		if it := kept[id]; it != nil {
			it.asked.Store(true)
			hits++
			continue
		}
		if len(kept) == room {
			it := q.victim()
			q.remove(it.entry)
			delete(kept, uint64(it.Size))
		}
		it := &item{line: line{Name: "a/b", Size: int64(id)}}
		it.entry = q.add(it)
		kept[id] = it
	}
	lru, lruHits := []uint64{}, 0
	for _, id := range trace {
		at := -1
		for i, k := range lru {
			if k == id {
				at = i
			}
		}
		if at >= 0 {
			lruHits++
			lru = append(lru[:at], lru[at+1:]...)
		} else if len(lru) == room {
			lru = lru[1:]
		}
		lru = append(lru, id)
	}
	if hits <= lruHits {
		t.Errorf("hits of %d requests: got %d, want more than the %d of least-recently-used", requests, hits, lruHits)
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"name":"ast_a/1","size":3,"sha256":"` + strings.Repeat("a", 64) + `"}` + "\n" + `{"name":"ast_a/1","gone":true}` + "\n"))
	f.Add([]byte(`{"name":"../x","sha256":""}`))
	f.Add([]byte("\x00\n{"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, dead := parseIndex(bytes.NewReader(raw))
		if dead < 0 {
			t.Errorf("%d lines count no more", dead)
		}
		for name, l := range files {
			if checkName(name) != nil || l.Gone || l.Size < 0 || len(l.SHA256) != 64 {
				t.Errorf("took %+v", l)
			}
		}
	})
}

func FuzzSafe(f *testing.F) {
	f.Add("ast_a/1.m4s", "ast_a/.hidden")
	f.Add("a/%2e", "a/.")
	f.Fuzz(func(t *testing.T, a, b string) {
		if checkName(a) != nil || checkName(b) != nil {
			return
		}
		x, y := safe(a), safe(b)
		if (x == y) != (a == b) {
			t.Errorf("%q and %q become %q and %q", a, b, x, y)
		}
		if filepath.Clean(x) != x || strings.HasPrefix(x, ".") || strings.Contains(x, "/.") || filepath.IsAbs(x) {
			t.Errorf("%q becomes %q, which is no safe path", a, x)
		}
	})
}

func BenchmarkHit(b *testing.B) {
	x := newShelf(b)
	x.want(b, "ast_a/1", x.origin.put("ast_a/1", 200_000), false)
	x.settled()
	x.want(b, "ast_a/1", x.origin.files["ast_a/1"], true)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			f, err := x.Get(context.Background(), "ast_a/1")
			if err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
}
