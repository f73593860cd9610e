package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bijou"
)

func mustOpen(t *testing.T, path, command string) *dataDir {
	t.Helper()
	d, err := openDataDir(path, command)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADataDirectoryIsHeldByOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if h, ok := heldNow(path); ok {
		t.Errorf("a directory that does not exist is held by %+v", h)
	}
	first := mustOpen(t, path, holderTitle)
	second, err := openDataDir(path, "up")
	if !errors.Is(err, bijou.Conflict) || second != nil {
		t.Fatalf("the second opens it with %v, want Conflict", err)
	}
	want := fmt.Sprintf("data directory %s is held by bijou title (process %d): wait until that one has ended, or choose another directory with --data-dir", path, os.Getpid())
	if got := bijou.Sentence(err); got != want {
		t.Errorf("the second is told %q, want %q", got, want)
	}
	if err := first.say(holder{PID: 42, Command: "up", Address: "http://127.0.0.1:8080"}); err != nil {
		t.Fatal(err)
	}
	if h, ok := heldNow(path); !ok || h.PID != 42 || h.Address != "http://127.0.0.1:8080" {
		t.Errorf("it is held by %+v, %v", h, ok)
	}
	_, err = openDataDir(path, "up")
	if got := bijou.Sentence(err); !strings.Contains(got, "bijou up (process 42), which listens at http://127.0.0.1:8080: stop") {
		t.Errorf("the second is told %q, want the address", got)
	}
	first.close()
	if h, ok := heldNow(path); ok {
		t.Errorf("a directory that was let go is held by %+v", h)
	}
	mustOpen(t, path, "up").close()
}

func TestWhoHoldsADirectoryIsSaidEvenWhereTheFileDoesNot(t *testing.T) {
	path := t.TempDir()
	d := mustOpen(t, path, "up")
	defer d.close()
	for _, said := range []string{"", "{", "null", `{"pid":0}`, "\x00\x00", strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(filepath.Join(path, "LOCK"), []byte(said), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openDataDir(path, "up")
		if !errors.Is(err, bijou.Conflict) || !strings.Contains(err.Error(), "is held by another process: stop") {
			t.Errorf("lock file %.20q: %v, want Conflict with another process", said, err)
		}
	}
}

func TestWhatAKilledProcessLeftHoldsNothing(t *testing.T) {
	path := t.TempDir()
	left, err := json.Marshal(holder{PID: os.Getpid(), Command: "up", Address: "http://127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "LOCK"), left, 0o600); err != nil {
		t.Fatal(err)
	}
	if h, ok := heldNow(path); ok {
		t.Errorf("it is held by %+v, want nobody", h)
	}
	mustOpen(t, path, "up").close()
}

func TestALibraryIsFreshUntilItIsSettled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "data")
	for range 2 { // the first process was killed before it was settled
		d := mustOpen(t, path, "up")
		if !d.fresh {
			t.Fatal("the directory is not fresh before it was settled")
		}
		d.close()
	}
	d := mustOpen(t, path, "up")
	for range 2 {
		if err := d.settled(); err != nil || d.fresh {
			t.Fatalf("settled: %v, fresh %v", err, d.fresh)
		}
	}
	d.close()
	d = mustOpen(t, path, "up")
	defer d.close()
	if d.fresh {
		t.Error("the directory is fresh again after it was settled")
	}
	for _, name := range []string{"", "keys", "sqlite", "scratch", "LOCK", "format"} {
		info, err := os.Stat(d.file(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got&0o077 != 0 {
			t.Errorf("%q has mode %o, want none for others", name, got)
		}
	}
}

func TestAnotherFormatIsLeftToTheProgramThatKnowsIt(t *testing.T) {
	for _, other := range []string{"2\n", "", "one"} {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, "format"), []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openDataDir(path, "up")
		if !errors.Is(err, bijou.Unsupported) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "newer program") {
			t.Errorf("format %q: %v, want Unsupported with the directory and the fix", other, err)
		}
		if h, ok := heldNow(path); ok {
			t.Errorf("format %q: the directory stays held by %+v", other, h)
		}
	}
}

func TestADirectoryThatCannotBeUsedIsToldWithItsFix(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind bijou.Kind
		fix  string
	}{
		{syscall.EACCES, bijou.Unavailable, "give this user the right"},
		{syscall.EPERM, bijou.Unavailable, "give this user the right"},
		{syscall.EROFS, bijou.Unavailable, "give this user the right"},
		{syscall.ENOSPC, bijou.Exhausted, "free space"},
		{syscall.EDQUOT, bijou.Exhausted, "free space"},
		{syscall.ENOTDIR, bijou.Unavailable, "choose another with --data-dir"},
		{syscall.EIO, bijou.Unavailable, "choose another with --data-dir"},
	} {
		err := cannotWrite("films", &fs.PathError{Op: "open", Path: "films/LOCK", Err: c.err})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.fix) || !strings.HasPrefix(err.Error(), "data directory films cannot be used ("+c.err.Error()+")") {
			t.Errorf("%v is told as %q, want the directory, %q and %s", c.err, err, c.fix, c.kind)
		}
	}
}
