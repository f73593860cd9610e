package harness

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is where a process keeps its data, and what it may take can be changed while it runs.
type Disk struct {
	Dir  string
	Real bool // and no limit of files
}

// NewDisk returns a disk of 8 MB, of which an empty library takes about a quarter. Where this process may not mount one, it returns a folder
// whose files cannot grow beyond what is said to be free: writes fail in the same places then, though for another reason.
func NewDisk(t testing.TB) Disk {
	t.Helper()
	d := Disk{Dir: filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error = syscall.EPERM
	if os.Getenv("BIJOU_TEST_NO_MOUNT") == "" {
		err = syscall.Mount("bijou-test", d.Dir, "tmpfs", 0, "size=8m,mode=0700")
	}
	if err != nil {
		t.Logf("files are limited, since no disk can be mounted: %v", err)
		return d
	}
	d.Real = true
	t.Cleanup(func() {
		if err := syscall.Unmount(d.Dir, 0); err != nil {
			t.Errorf("the small disk stays at %s: %v", d.Dir, err)
		}
	})
	return d
}

func (d Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill leaves so many bytes free for the process.
func (d Disk) Fill(t testing.TB, pid int, free int64) {
	t.Helper()
	if !d.Real {
		limit(t, pid, uint64(free))
		return
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.Dir, &st); err != nil {
		t.Fatal(err)
	}
	n := int64(st.Bavail)*st.Bsize - free
	if n < 0 {
		t.Fatalf("the disk has %d bytes too few free", -n)
	}
	if err := os.WriteFile(d.ballast(), make([]byte, n), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// Free takes back what Fill did.
func (d Disk) Free(t testing.TB, pid int) {
	t.Helper()
	if !d.Real {
		limit(t, pid, unix.RLIM_INFINITY)
		return
	}
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}

// limit bounds the size of each file that the process writes, in bytes.
func limit(t testing.TB, pid int, most uint64) {
	t.Helper()
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
}
