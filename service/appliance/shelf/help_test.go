package shelf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a source that holds files in memory.
type origin struct {
	mu      sync.Mutex
	files   map[string][]byte
	fetches map[string]int
	sent    int64
	etag    string
	on      func(ctx context.Context, name string, offset int64, got Fetched) (Fetched, error) // may spoil an answer
}

func newOrigin() *origin { return &origin{files: map[string][]byte{}, fetches: map[string]int{}} }

func (o *origin) Fetch(ctx context.Context, name string, offset, length int64) (Fetched, error) {
	o.mu.Lock()
	o.fetches[name]++
	b, ok := o.files[name]
	etag, on := o.etag, o.on
	o.mu.Unlock()
	if !ok {
		return Fetched{}, fmt.Errorf("origin has no %s: %w", name, bijou.NotFound)
	}
	part := b[min(offset, int64(len(b))):]
	if length >= 0 {
		part = part[:min(length, int64(len(part)))]
	}
	got := Fetched{Body: io.NopCloser(&metered{o: o, r: bytes.NewReader(part)}), Size: int64(len(b)), MediaType: "video/mp4", ETag: etag, From: "origin"}
	if on != nil {
		return on(ctx, name, offset, got)
	}
	return got, nil
}

// spoil says what becomes of answers from now on.
func (o *origin) spoil(on func(ctx context.Context, name string, offset int64, got Fetched) (Fetched, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on = on
}

// body says what becomes of bodies from now on.
func (o *origin) body(on func(r io.Reader) io.Reader) {
	o.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		got.Body = io.NopCloser(on(got.Body))
		return got, nil
	})
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

// truth is what a file of this name and size holds.
func truth(name string, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b) // never fails
	return b
}

func (o *origin) put(name string, size int) []byte {
	b := truth(name, size)
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

func (o *origin) sentBytes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
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
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
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

func (x *fixture) close(t testing.TB) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func (x *fixture) reopen(t testing.TB) {
	t.Helper()
	x.close(t)
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

// get opens the file.
func (x *fixture) get(t testing.TB, name string) *File {
	t.Helper()
	f, err := x.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	return f
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

// filled has the file fetched and kept.
func (x *fixture) filled(t testing.TB, name string, size int) []byte {
	t.Helper()
	b := x.origin.put(name, size)
	x.want(t, name, b, false)
	x.settled()
	if !x.Has(name) {
		t.Fatalf("%s is not kept: %+v", name, x.Stats())
	}
	return b
}

// wantError reads the file whole and expects that to fail.
func (x *fixture) wantError(t testing.TB, name string, kind bijou.Kind) {
	t.Helper()
	if b, _, err := x.read(name); !errors.Is(err, kind) || bijou.KindOf(err) != kind {
		t.Fatalf("read %s: got %d bytes and error %v, want one of kind %q", name, len(b), err, kind)
	}
}

// span reads a part of a file that is open, and compares it.
func wantSpan(t testing.TB, f *File, whole []byte, from, to int64) {
	t.Helper()
	got := make([]byte, to-from)
	if n, err := f.ReadAt(got, from); err != nil && err != io.EOF || !bytes.Equal(got[:n], whole[from:to]) {
		t.Fatalf("read %s from %d to %d: got %d bytes and %v, want those that are there", f.Name, from, to, n, err)
	}
}

// settled waits until nothing is being fetched any more.
func (x *fixture) settled() { x.work.Wait() }

// reporter is what testing.TB and rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// sound checks that books, index and disk say the same once nothing is being fetched.
func (x *fixture) sound(t reporter) {
	t.Helper()
	x.settled()
	books := map[string]int64{}
	var held int64
	for i := range x.shards {
		for name, it := range x.shards[i].items {
			books[x.Path(name)] = it.size
			held += it.size
		}
		for name, f := range x.shards[i].fills {
			if !f.idle() {
				t.Errorf("%s is being filled for ever: %+v", name, f)
			}
		}
	}
	var reserved int64
	for _, f := range x.parked {
		reserved += f.reserved
	}
	if st := x.Stats(); st.Held != held || st.Files != int64(len(books)) || st.Filling != reserved || st.Held+st.Filling > x.o.Cap {
		t.Errorf("books: got %+v, want %d files of %d bytes, %d reserved, and no more than the cap", st, len(books), held, reserved)
	}
	disk := map[string]int64{}
	err := filepath.WalkDir(x.path("files"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		disk[p] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(books, disk); d != "" {
		t.Errorf("books and disk differ (-books +disk):\n%s", d)
	}
	index := map[string]int64{}
	paths, err := filepath.Glob(x.path("index", "*"+indexEnd))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		raw, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files, _, whole := parseIndex(bytes.NewReader(raw))
		if !whole {
			t.Errorf("index %s has lines that cannot be read:\n%s", p, raw)
		}
		for name, l := range files {
			if _, ok := disk[x.Path(name)]; ok { // else a full disk took no line that says that it is gone
				index[x.Path(name)] = l.Size
			}
		}
	}
	if d := cmp.Diff(books, index); d != "" {
		t.Errorf("books and index differ (-books +index):\n%s", d)
	}
	if left, err := os.ReadDir(x.path("incoming")); err != nil || len(left) > len(x.parked) {
		t.Errorf("half-filled files: got %v (%v), want those %d that wait for a reader", left, err, len(x.parked))
	}
	if n := x.fetching.Load(); n != 0 || len(x.slots) != 0 || len(x.checking) != 0 || len(x.checks) != 0 {
		t.Errorf("in work: %d fetches, %d slots, %d checks, want none", n, len(x.slots), len(x.checks))
	}
	for id, a := range x.assets {
		if len(a.items) == 0 && a.contents == nil && !a.gone {
			t.Errorf("asset %s is remembered for nothing", id)
		}
	}
}

// spoilFile changes one bit of a file on disk, and sees to it that the file looks different from outside even if the clock is coarse.
func spoilFile(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, err := stampOf(f)
	if err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, at); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 4
	for {
		if _, err := f.WriteAt(one, at); err != nil {
			t.Fatal(err)
		}
		if now, err := stampOf(f); err != nil || now != before {
			return
		}
	}
}
