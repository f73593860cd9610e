package recovery

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsRestoredIsWhatWasBackedUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	v, err := Restore(t.Context(), bytes.NewReader(backedUp(t, small)), dir, func(_ context.Context, dir string) (Proof, error) {
		return Proof{Titles: len(tree(t, dir))}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(small, tree(t, dir)); diff != "" {
		t.Errorf("restored files (-want +got):\n%s", diff)
	}
	bytes := int64(0)
	for _, content := range small {
		bytes += int64(len(content))
	}
	want := Verified{Report{Head{Format: Format, Data: "1", Version: "v1", Commit: "c", Made: noon}, int64(len(small)), bytes}, Proof{Titles: len(small)}}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("what is said of it (-want +got):\n%s", diff)
	}
}

func TestOneBackupOfOneSiteIsAlwaysTheSameBytes(t *testing.T) {
	if a, b := backedUp(t, small), backedUp(t, small); !bytes.Equal(a, b) {
		t.Error("two backups of a site that did not change differ")
	}
}

func TestAnyTarProgramReadsABackup(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(backedUp(t, small)))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if n := len(names); n != len(small)+2 || names[0] != headName || names[n-1] != manifestName {
		t.Errorf("it holds %q, want the head, %d files, the manifest", names, len(small))
	}
}

// checksum is where the manifest's header has the checksum of itself: some of its bytes are there for the eye alone.
func checksum(b []byte) (from, to int) {
	at := bytes.LastIndex(b, []byte(manifestName))
	return at + 148, at + 156
}

// checker returns what reads a backup as Check does, with one spool for all.
func checker(t testing.TB) func(b []byte) error {
	lines, err := newSpool("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lines.close() })
	return func(b []byte) error {
		lines.size = 0
		lines.buf.Reset(io.NewOffsetWriter(lines.file, 0))
		_, err := read(context.Background(), bytes.NewReader(b), lines, func(file File) error {
			if !filepath.IsLocal(filepath.FromSlash(file.Name)) || file.Size < 0 {
				return fmt.Errorf("file %q of %d bytes is handed on", file.Name, file.Size) // without a kind, which fails the test
			}
			return nil
		})
		return err
	}
}

func TestABackupInWhichAnyBitWasFlippedIsRefused(t *testing.T) {
	whole := backedUp(t, site{"format": "1\n", "blobs/assets/a": strings.Repeat("x", 700)})
	check := checker(t)
	from, to := checksum(whole)
	for i := range whole {
		if i >= from && i < to {
			continue
		}
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		err := check(b)
		if kind := bijou.KindOf(err); kind != bijou.Corrupt && kind != bijou.Invalid && kind != bijou.Unsupported {
			t.Errorf("byte %d of %d changed from %#x to %#x: got error %v, want it refused", i, len(b), whole[i], b[i], err)
		}
	}
}

func TestABackupThatIsCutOffIsRefused(t *testing.T) {
	whole := backedUp(t, small)
	for n := 0; n < len(whole); n += 97 {
		_, err := Check(t.Context(), bytes.NewReader(whole[:n]))
		want := bijou.Corrupt
		if n < block {
			want = bijou.Invalid // too little to tell that it was one
		}
		wantKind(t, "cut off", err, want)
	}
	for name, more := range map[string]string{"text": "more", "a second backup": string(whole)} {
		_, err := Check(t.Context(), strings.NewReader(string(whole)+more))
		wantKind(t, name+" after its end", err, bijou.Corrupt)
	}
	if _, err := Check(t.Context(), strings.NewReader(string(whole)+strings.Repeat("\x00", 10<<10))); err != nil {
		t.Errorf("padded as tar programs do: %v", err)
	}
}

// archive writes a tar archive of the headers, each with the content x as long as it says.
func archive(t testing.TB, head string, hs ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, content string) {
		h.Mode = 0o600
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Name: headName, Size: int64(len(head)), Typeflag: tar.TypeReg}, head)
	for _, h := range hs {
		put(h, strings.Repeat("x", int(h.Size)))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const headJSON = `{"format":1,"data":"1","version":"v1","commit":"c","made":"2031-03-04T12:00:00Z"}`

func TestAHostileArchiveWritesNothingOutside(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 3} }
	for name, hs := range map[string][]tar.Header{
		"parent":      {file("data/../../out")},
		"deep parent": {file("data/a/../../../out")},
		"absolute":    {file("/out")},
		"rooted":      {file("data//out")},
		"no data":     {file("out")},
		"backslash":   {file(`data/..\out`)},
		"drive":       {file("data/c:out")},
		"dot":         {file("data/./out")},
		"data itself": {file("data")},
		"control":     {file("data/a\nb")},
		"too long":    {file("data/" + strings.Repeat("a/", 600) + "a")},
		"long part":   {file("data/" + strings.Repeat("a", 256))},
		"twice":       {file("data/a"), file("data/a")},
		"file folder": {file("data/a"), file("data/a/b")},
		"folder file": {file("data/a/b"), file("data/a")},
		"symlink":     {{Name: "data/a", Typeflag: tar.TypeSymlink, Linkname: "../.."}, file("data/a/out")},
		"hard link":   {file("data/b"), {Name: "data/a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
		"folder":      {{Name: "data/a/", Typeflag: tar.TypeDir}},
		"device":      {{Name: "data/a", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}},
		"pipe":        {{Name: "data/a", Typeflag: tar.TypeFifo}},
		"extra":       {{Name: "data/a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}}},
		"no manifest": {file("data/a")},
		"two heads":   {file(headName)},
		"false":       {file("data/a"), {Name: manifestName, Typeflag: tar.TypeReg, Size: 600}},
	} {
		dir := t.TempDir()
		_, err := Restore(t.Context(), bytes.NewReader(archive(t, headJSON, hs...)), filepath.Join(dir, "in", "new"), believe)
		wantKind(t, name, err, bijou.Corrupt)
		if left, err := filepath.Glob(filepath.Join(dir, "in", "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %q is left (%v), want nothing", name, left, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: %v is in the folder (%v), want in alone", name, entries, err)
		}
	}
}

func TestAFileThatSaysItIsHugeTakesNoMoreThanItHas(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{{Name: headName, Size: int64(len(headJSON))}, {Name: "data/a", Size: 1 << 60}} {
		h.Typeflag, h.Mode = tar.TypeReg, 0o600
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Name == headName {
			if _, err := io.WriteString(w, headJSON); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	_, err := Restore(t.Context(), &b, filepath.Join(dir, "new"), believe)
	wantKind(t, "an exabyte", err, bijou.Corrupt)
}

func TestWhatIsNoBackupOrALaterOnesIsSaid(t *testing.T) {
	later := strings.Replace(headJSON, `"format":1`, `"format":2`, 1)
	for name, c := range map[string]struct {
		b    []byte
		kind bijou.Kind
	}{
		"nothing":       {nil, bijou.Invalid},
		"text":          {bytes.Repeat([]byte("This is a text. "), 100), bijou.Invalid},
		"zeros":         {make([]byte, 4096), bijou.Invalid},
		"another tar":   {bytes.Replace(archive(t, headJSON), []byte(headName), []byte("nother-thing.json"), 1), bijou.Invalid},
		"head no JSON":  {archive(t, "{"), bijou.Corrupt},
		"format absent": {archive(t, "{}"), bijou.Corrupt},
		"later format":  {archive(t, later), bijou.Unsupported},
		"huge head":     {archive(t, strings.Repeat(" ", maxHead)+headJSON), bijou.Invalid},
	} {
		_, err := Check(t.Context(), bytes.NewReader(c.b))
		wantKind(t, name, err, c.kind)
	}
}

// long is one file of that many bytes.
type long int64

// Each implements Files.
func (n long) Each(_ context.Context, visit func(File) error) error {
	return visit(File{"blobs/long", int64(n), noon, io.LimitReader(zeros{}, int64(n))})
}

// Close implements Files.
func (long) Close() error { return nil }

// zeros never ends.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestASiteOfAnySizeTakesLittleMemory(t *testing.T) {
	const size = 128 << 20
	s := service(t, long(size))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, w := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := s.Backup(t.Context(), w)
		made <- errors.Join(err, w.CloseWithError(err))
	}()
	report, err := Check(t.Context(), r)
	if err := errors.Join(err, <-made); err != nil || report.Bytes != size {
		t.Fatalf("%d bytes are backed up and read (%v), want %d", report.Bytes, err, size)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("a site of %d bytes took %d bytes of memory, want 8 MiB at most", size, took)
	}
}

func TestAFileThatBecomesShorterIsNotBackedUpAsIfItWereWhole(t *testing.T) {
	err := service(t, short{}).Backup(t.Context(), io.Discard)
	wantKind(t, "a file that is shorter than it says", err, bijou.Corrupt)
}

// short is one file that is shorter than it says.
type short struct{}

// Each implements Files.
func (short) Each(_ context.Context, visit func(File) error) error {
	return visit(File{"format", 10, noon, strings.NewReader("short")})
}

// Close implements Files.
func (short) Close() error { return nil }

func TestABackupThatNobodyWaitsForEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	made := make(chan error, 1)
	go func() { made <- service(t, long(1<<60)).Backup(ctx, w) }()
	if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
		t.Fatal(err)
	}
	cancel()
	go io.Copy(io.Discard, r)
	if err := <-made; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it canceled", err)
	}
}

func TestTwoBackupsAtOnceAreNotMade(t *testing.T) {
	s := service(t, nil)
	s.Snapshot = func(ctx context.Context) (Files, error) {
		wantKind(t, "the second", s.Backup(ctx, io.Discard), bijou.Conflict)
		return small, nil
	}
	if err := s.Backup(t.Context(), io.Discard); err != nil {
		t.Errorf("the first: %v", err)
	}
}

func FuzzReadingABackup(f *testing.F) {
	whole := backedUp(f, small)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(archive(f, headJSON, tar.Header{Name: "data/../x", Typeflag: tar.TypeReg, Size: 1}))
	f.Add(archive(f, headJSON, tar.Header{Name: "data/a", Typeflag: tar.TypeSymlink, Linkname: "/etc"}))
	f.Add(archive(f, headJSON, tar.Header{Name: "data/a", Typeflag: tar.TypeReg, Size: 1, PAXRecords: map[string]string{"GNU.sparse.major": "1"}, Format: tar.FormatPAX}))
	f.Add([]byte{})
	check := checker(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := check(b); err != nil && bijou.KindOf(err) == "" {
			t.Errorf("got error %v, which has no kind", err)
		}
	})
}
