package directory

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
)

func TestTheDirectoryKeepsTheContractOfInbox(t *testing.T) {
	contract.Inbox(t, func(t *testing.T) contract.TestInbox {
		dir, at := t.TempDir(), time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
		return contract.TestInbox{
			Inbox: OpenInbox(dir),
			Put: func(name, content string) {
				// One after another, as by hand: some systems tell the time of a file to a few milliseconds.
				at = at.Add(time.Second)
				writeFile(t, filepath.Join(dir, name), content, at)
			},
			Remove: func(name string) {
				if err := os.RemoveAll(filepath.Dir(filepath.Join(dir, name))); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func writeFile(t *testing.T, path, content string, at time.Time) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, at, at))
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnInboxHoldsPlainFilesAloneAndLeadsNobodyOut(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret.mp4")
	writeFile(t, secret, "secret", time.Now())
	for _, err := range []error{os.Symlink(secret, filepath.Join(dir, "link.mp4")), os.Symlink(outside, filepath.Join(dir, "folder")), syscall.Mkfifo(filepath.Join(dir, "pipe.mp4"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	i := OpenInbox(dir)
	if files, err := i.Files(t.Context(), "", 10); err != nil || len(files) > 0 {
		t.Errorf("files: got %v (%v), want none", files, err)
	}
	for _, name := range []string{"link.mp4", "folder/secret.mp4", "../" + filepath.Base(outside) + "/secret.mp4", "pipe.mp4"} {
		r, err := i.Open(t.Context(), bijou.InboxFile{Name: name})
		if bijou.KindOf(err) == "" {
			r.Close()
			t.Errorf("open %s: got %v, want it refused", name, err)
		}
	}
}

func TestAFileThatGrowsWhileItIsReadIsRefusedAtItsEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.mp4")
	writeFile(t, path, "first", time.Unix(1, 0))
	i := OpenInbox(dir)
	files, err := i.Files(t.Context(), "", 10)
	if err != nil || len(files) != 1 {
		t.Fatalf("files: got %v (%v), want one", files, err)
	}
	r, err := i.Open(t.Context(), files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	writeFile(t, path, "first and more", time.Unix(2, 0))
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, bijou.Conflict) {
		t.Errorf("read: got %v, want one of kind %q", err, bijou.Conflict)
	}
}

func TestAnInboxThatIsNotThereIsToldWithTheFix(t *testing.T) {
	i := OpenInbox(filepath.Join(t.TempDir(), "none"))
	if _, err := i.Files(t.Context(), "", 10); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("files: got %v, want one of kind %q", err, bijou.Unavailable)
	}
	if _, err := i.Open(t.Context(), bijou.InboxFile{Name: "a"}); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("open: got %v, want one of kind %q", err, bijou.Unavailable)
	}
}
