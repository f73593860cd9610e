package shelf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bijou"
)

// openBelow counts the descriptors of this process that are files of the shelf.
func (x *fixture) openBelow(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(to, filepath.Join(x.o.Dir, "files")) {
			n++
		}
	}
	return n
}

func TestReadersShareAnOpenFileAndTheBookkeepingLetsGoOfIt(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 20_000)
	var readers []*File
	for range 10 {
		f := x.get(t, "ast_a/1")
		wantSpan(t, f, b, 100, 200)
		readers = append(readers, f)
	}
	if n := x.openBelow(t); n != 1 {
		t.Errorf("ten readers of a file have %d open, want one", n)
	}
	own, ok := readers[0].OnDisk()
	shared, ok2 := readers[1].Shared()
	if !ok || !ok2 || own == shared {
		t.Error("who may move its position has the file that the others read")
	}
	for _, f := range readers {
		f.Close()
	}
	if n := x.openBelow(t); n != 1 {
		t.Errorf("nobody reads: %d open, want the one that is kept", n)
	}
	if err := x.Remove("ast_a"); err != nil {
		t.Fatal(err)
	}
	if n := x.openBelow(t); n != 0 {
		t.Errorf("the asset is removed: %d open, want none", n)
	}
}

func TestFilesThatStayOpenAreBounded(t *testing.T) {
	x := newShelf(t)
	for i := range keptOpen + 50 {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), 10)
		x.get(t, fmt.Sprintf("ast_a/%d", i)).Close()
		x.get(t, "ast_a/0").Close() // asked for again and again
	}
	if n := x.openBelow(t); n != keptOpen {
		t.Errorf("%d files stay open, want %d", n, keptOpen)
	}
	if x.lookup("ast_a/0").open.Load() == nil {
		t.Error("the one that everybody asks for was let go")
	}
	x.close(t)
	if n := x.openBelow(t); n != 0 {
		t.Errorf("after the end %d are open", n)
	}
	x.open(t)
}

// A file that is open is looked at with each request, and one that another program took away or replaced is not served any more.
func TestAFileThatStaysOpenIsNotServedOnceItIsGoneFromTheDisk(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 20_000)
	x.want(t, "ast_a/1", b, true)
	if err := os.Remove(x.Path("ast_a/1")); err != nil {
		t.Fatal(err)
	}
	x.want(t, "ast_a/1", b, false)
	x.settled()
	x.want(t, "ast_a/1", b, true)
	spoilt := x.Path("ast_a/1") + ".other"
	if err := os.WriteFile(spoilt, make([]byte, 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(spoilt, x.Path("ast_a/1")); err != nil {
		t.Fatal(err)
	}
	x.wantError(t, "ast_a/1", bijou.Corrupt)
	x.settled()
	x.want(t, "ast_a/1", b, true)
	x.sound(t)
}

// Readers come and go while the file is thrown out, fetched and let go: each reads what is right, and none is left open.
func TestManyShareFilesThatComeAndGo(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 60_000 })
	names := []string{"ast_a/1", "ast_a/2", "ast_b/1", "ast_b/2"}
	content := map[string][]byte{}
	for _, n := range names {
		content[n] = x.origin.put(n, 20_000)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				n := names[(i+j*j)%len(names)]
				got, _, err := x.read(n)
				if err != nil || string(got) != string(content[n]) {
					t.Errorf("%s: %d bytes, %v", n, len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
	x.settled()
	x.close(t)
	if n := x.openBelow(t); n != 0 {
		t.Errorf("%d are left open", n)
	}
	x.open(t)
}
