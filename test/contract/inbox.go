package contract

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"bijou"
)

// Inbox checks what bijou.Inbox promises. open returns an inbox that holds nothing, and what puts a file there and takes one away, as others do.
func Inbox(t *testing.T, open func(t *testing.T) TestInbox) {
	run(t, open, "FilesAreListedInOrderOfName", inboxList)
	run(t, open, "AFileIsReadAsItWasPut", inboxRead)
	run(t, open, "AFileThatIsWrittenAnewHasAnotherVersion", inboxVersions)
	run(t, open, "AFileThatIsNotAsItWasListedIsRefused", inboxStale)
}

// TestInbox is an inbox and its other side.
type TestInbox struct {
	bijou.Inbox
	Put    func(name, content string)
	Remove func(name string)
}

func inboxNames(t *testing.T, i bijou.Inbox, after string, limit int) (names []string) {
	t.Helper()
	files, err := i.Files(t.Context(), after, limit)
	must(t, "files", err)
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

// listed returns the file as it is listed now.
func (i TestInbox) listed(t *testing.T, name string) bijou.InboxFile {
	t.Helper()
	files, err := i.Files(t.Context(), "", 1000)
	must(t, "files", err)
	for _, f := range files {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("files: got %v, want %q among them", files, name)
	return bijou.InboxFile{}
}

func inboxList(t *testing.T, i TestInbox) {
	names := []string{"A film & its name.mp4", "a-b.mp4", "a.mp4", "a/b.mp4", "a/b/c d.mkv", "a0.mp4", "zürich.mp4"}
	for n := range names {
		i.Put(names[(n*3)%len(names)], strings.Repeat("x", (n*3)%len(names)))
	}
	for _, hidden := range []string{".hidden.mp4", "a/.part/b.mp4", ".folder/a.mp4"} {
		i.Put(hidden, "x")
	}
	wantSame(t, "all", inboxNames(t, i, "", 1000), names)
	for n, f := range names {
		wantSame(t, "size of "+f, i.listed(t, f).Size, int64(n))
	}
	for limit := 1; limit <= len(names)+1; limit++ {
		var all []string
		for after := ""; ; after = all[len(all)-1] {
			page := inboxNames(t, i, after, limit)
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
		}
		wantSame(t, fmt.Sprintf("pages of %d", limit), all, names)
	}
}

func inboxRead(t *testing.T, i TestInbox) {
	long := strings.Repeat("a film\n", 200_000)
	for name, content := range map[string]string{"a.mp4": "", "b/c d.mp4": "x", "long.mp4": long} {
		i.Put(name, content)
		r, err := i.Open(t.Context(), i.listed(t, name))
		must(t, "open "+name, err)
		b, err := io.ReadAll(r)
		must(t, "read "+name, err)
		must(t, "close "+name, r.Close())
		if string(b) != content {
			t.Errorf("read %s: got %d other bytes, want the %d that were put", name, len(b), len(content))
		}
	}
}

func inboxVersions(t *testing.T, i TestInbox) {
	i.Put("a.mp4", "first")
	first := i.listed(t, "a.mp4")
	wantSame(t, "the same file listed again", i.listed(t, "a.mp4"), first)
	i.Put("a.mp4", "other")
	if second := i.listed(t, "a.mp4"); second.Version == first.Version {
		t.Errorf("a file that was written anew: got version %q both times, want another", first.Version)
	}
}

func inboxStale(t *testing.T, i TestInbox) {
	i.Put("a.mp4", "first")
	first := i.listed(t, "a.mp4")
	i.Put("a.mp4", "another")
	_, err := i.Open(t.Context(), first)
	wantKind(t, "open a file that was written anew", err, bijou.Conflict)
	i.Put("folder/b.mp4", "x")
	gone := i.listed(t, "folder/b.mp4")
	i.Remove("folder/b.mp4")
	_, err = i.Open(t.Context(), gone)
	wantKind(t, "open a file that is gone", err, bijou.NotFound)
}
