package directory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bijou"
	"bijou/test/contract"
)

// content is what is put under key n: 100,000 bytes and more that tell which put they are of.
func content(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 50_000+n) }

func TestABlobThatWasPutOutlivesAKillAndNoneIsHalfThere(t *testing.T) {
	contract.Kill(t, 4, func(t *testing.T, dir string, ack func(string)) {
		s := openStore(t, dir)
		first := count(t, s)
		for w := range 3 {
			go func() {
				for n := first + w; ; n += 3 {
					if _, err := s.Put(t.Context(), fmt.Sprintf("%d/%d", n%7, n), bytes.NewReader(content(n))); err != nil {
						panic(err)
					}
					ack(fmt.Sprint(n))
				}
			}()
		}
		select {}
	}, func(t *testing.T, dir string, acked []string) {
		s := openStore(t, dir)
		defer s.Close()
		if left, err := os.ReadDir(filepath.Join(dir, incoming)); err != nil || len(left) > 0 {
			t.Errorf("half-written blobs after opening again: got %v (%v), want none", left, err)
		}
		for _, n := range contract.Numbered(t, acked) {
			if _, err := s.Stat(t.Context(), fmt.Sprintf("%d/%d", n%7, n)); err != nil {
				t.Errorf("acknowledged blob %d: %v", n, err)
			}
		}
		bs, err := s.List(t.Context(), "", "", 100_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bs {
			var folder, n int
			if _, err := fmt.Sscanf(b.Key, "%d/%d", &folder, &n); err != nil {
				t.Fatalf("key %s: %v", b.Key, err)
			}
			if got := readBlob(t, s, b.Key); !bytes.Equal(got, content(n)) {
				t.Errorf("blob %s: got %d other bytes, want the %d that were put", b.Key, len(got), len(content(n)))
			}
		}
	})
}

// count returns a number that no key in the store has reached.
func count(t *testing.T, s *Store) (next int) {
	bs, err := s.List(t.Context(), "", "", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bs {
		var folder, n int
		if _, err := fmt.Sscanf(b.Key, "%d/%d", &folder, &n); err != nil {
			t.Fatal(err)
		}
		next = max(next, n+1)
	}
	return next
}

func readBlob(t *testing.T, s *Store, key string) []byte {
	t.Helper()
	r, _, err := s.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return b
}

const limitVariable = "BIJOU_TEST_FILE_LIMIT_DIR"

// The kernel's bound on a file's size (setrlimit(2)) ends a write in its middle as a full disk does, for every user and without a mount.
func TestWhenSpaceEndsThePutIsExhaustedAndTheOldBlobStays(t *testing.T) {
	dir := os.Getenv(limitVariable)
	if dir == "" {
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		again.Env = append(os.Environ(), limitVariable+"="+t.TempDir())
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("in a process with a bound on file sizes: %v\n%s", err, out)
		}
		return
	}
	s := openStore(t, dir)
	if _, err := s.Put(t.Context(), "film/1.m4s", strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"film/1.m4s", "film/2.m4s", "other"} {
		_, err := s.Put(t.Context(), key, bytes.NewReader(make([]byte, 1<<20)))
		if !errors.Is(err, bijou.Exhausted) {
			t.Errorf("put %s beyond the bound: got error %v, want one of kind %q", key, err, bijou.Exhausted)
		}
	}
	if got := readBlob(t, s, "film/1.m4s"); string(got) != "old" {
		t.Errorf("the blob that was to be replaced: got %d bytes, want the old ones", len(got))
	}
	bs, err := s.List(t.Context(), "", "", 10)
	if err != nil || len(bs) != 1 {
		t.Errorf("list: got %v (%v), want the one old blob", bs, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, incoming)); err != nil || len(left) > 0 {
		t.Errorf("what was written in part: got %v (%v), want it gone", left, err)
	}
	if _, err := s.Put(t.Context(), "film/2.m4s", strings.NewReader("small")); err != nil {
		t.Errorf("a blob that fits: %v", err)
	}
}

func TestOpeningTheDirectoryTwiceLeavesWhatIsBeingPutAlone(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir)
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := first.Put(t.Context(), "k", read)
		done <- err
	}()
	if _, err := write.Write([]byte("one half, ")); err != nil {
		t.Fatal(err)
	}
	second := openStore(t, dir)
	if _, err := write.Write([]byte("the other")); err != nil {
		t.Fatal(err)
	}
	write.Close()
	if err := <-done; err != nil {
		t.Fatalf("put while the directory was opened again: %v", err)
	}
	if got := string(readBlob(t, second, "k")); got != "one half, the other" {
		t.Errorf("got %q, want both halves", got)
	}
}

func TestAWholeBlobIsAFileThatCanBeSought(t *testing.T) {
	s := openStore(t, t.TempDir())
	if _, err := s.Put(t.Context(), "k", strings.NewReader("0123456789")); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(io.ReadSeeker); !ok {
		t.Errorf("got a %T, want an io.ReadSeeker", r)
	}
	p, err := s.Path("k")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(p); err != nil || string(b) != "0123456789" {
		t.Errorf("the file at Path holds %q (%v), want the blob", b, err)
	}
	if _, err := s.Path("none"); !errors.Is(err, bijou.NotFound) {
		t.Errorf("path of an unknown key: got error %v, want one of kind %q", err, bijou.NotFound)
	}
}

func TestAKeyBelowAnotherBlobIsRefusedInWords(t *testing.T) {
	s := openStore(t, t.TempDir())
	if _, err := s.Put(t.Context(), "a/b", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("y")); !errors.Is(err, bijou.Conflict) {
			t.Errorf("put %s beside a/b: got error %v, want one of kind %q", key, err, bijou.Conflict)
		}
	}
	if got := string(readBlob(t, s, "a/b")); got != "x" {
		t.Errorf("a/b: got %q, want x", got)
	}
}

func TestAnEmptyFolderThatAKillLeftIsNotInTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir)
	if _, err := s.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if got := string(readBlob(t, s, "a")); got != "x" {
		t.Errorf("a: got %q, want x", got)
	}
}

func TestADirectoryThatCannotBeMadeIsRefusedInWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(file, "blobs"))
	if bijou.KindOf(err) == "" || !strings.Contains(err.Error(), file) {
		t.Errorf("open below a file: got error %v, want a sentence that names it and ends in a kind", err)
	}
}
