package system_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bijou/test/harness"

	"golang.org/x/sys/unix"
)

// disk is where a service keeps its data in these tests, and what it may take can be changed while it runs.
type disk struct {
	dir  string
	real bool // and no limit of files
	// fill leaves so many bytes free on it.
	fill func(t *testing.T, sv *harness.Service, free int64)
	// free takes back what fill did.
	free func(t *testing.T, sv *harness.Service)
}

// newDisk returns a disk of 8 MB, of which an empty library takes about a quarter. Where this process may not mount one, it returns a folder
// whose files cannot grow beyond what is said to be free: writes fail in the same places then, though for another reason.
func newDisk(t *testing.T) disk {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error = syscall.EPERM
	if os.Getenv("BIJOU_TEST_NO_MOUNT") == "" {
		err = mount(dir)
	}
	if err != nil {
		t.Logf("files are limited, since no disk can be mounted: %v", err)
		return disk{dir, false, func(t *testing.T, sv *harness.Service, free int64) { limit(t, sv, uint64(free)) },
			func(t *testing.T, sv *harness.Service) { limit(t, sv, unix.RLIM_INFINITY) }}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("the small disk stays at %s: %v", dir, err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	fill := func(t *testing.T, _ *harness.Service, free int64) {
		t.Helper()
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		n := int64(st.Bavail)*st.Bsize - free
		if n < 0 {
			t.Fatalf("the disk has %d bytes too few free", -n)
		}
		if err := os.WriteFile(ballast, make([]byte, n), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return disk{dir, true, fill, func(t *testing.T, _ *harness.Service) {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}}
}

func mount(dir string) error {
	return syscall.Mount("bijou-test", dir, "tmpfs", 0, "size=8m,mode=0700")
}

// limit bounds the size of each file that the service's process writes, in bytes.
func limit(t *testing.T, sv *harness.Service, most uint64) {
	t.Helper()
	if err := unix.Prlimit(sv.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestADiskThatIsFullStopsAnAddAndNothingElse(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		d := newDisk(t)
		sv, first := library(t, shape, harness.Options{DataDir: filepath.Join(d.dir, "data")})
		film := harness.Film(t, filmSeconds)
		size := sizeOf(t, film)
		// The free space of each try: too little to hand the film in, and enough for that but not for what is made of it.
		for name, free := range map[string]int64{"nothing": 0, "half the film": size / 2, "the film alone": size + 150<<10} {
			if !d.real && free > size {
				continue // no limit of files is like it
			}
			d.fill(t, sv, free)
			r := sv.CLI(t, "title", "add", film, "--name", "no room")
			sentence := lastLine(r.Err)
			t.Logf("%s is free: %s", name, sentence)
			if r.Status != 1 || r.Out != "" || !strings.HasPrefix(sentence, "bijou: ") ||
				!strings.Contains(sentence, filepath.Base(film)) && !strings.Contains(sentence, "no room") || !strings.Contains(sentence, "free space") {
				t.Errorf("%s is free: title add ends with status %d and says %q, want 1 and a sentence with the film and the fix", name, r.Status, r.Err)
			}
			serves(t, sv, first.ID)
			d.free(t, sv)
			// What failed is told of until the operator has seen and removed it, and holds no space.
			for _, x := range sv.Operator(t).AllTitles(t) {
				if x.ID == first.ID {
					continue
				}
				if x.State != "failed" || !strings.Contains(x.Reason, "free space") {
					t.Errorf("%s was free: title %+v is there", name, x)
				}
				if r := sv.CLI(t, "title", "remove", x.ID); r.Status != 0 {
					t.Errorf("title remove %s: %s", x.ID, r.Err)
				}
			}
			checkNoHalves(t, sv, 0)
		}
		again := sv.Add(t, film, "--name", "room again")
		serves(t, sv, again.ID)
		if status := sv.Stop(t); status != 0 {
			t.Errorf("the service ends with status %d, want 0:\n%s", status, sv.Log())
		}
	})
}

// serves wants a viewer to be served as on any day.
func serves(t *testing.T, sv *harness.Service, title string) {
	t.Helper()
	p := sv.Guest().StartPlay(t, title)
	for _, track := range p.TracksOfHLS(t) {
		p.Fetch(t, track, filepath.Join(t.TempDir(), "track"))
	}
}

func TestReportsThatADiskHasNoRoomForAreNotAcknowledged(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		d := newDisk(t)
		sv, film := library(t, shape, harness.Options{DataDir: filepath.Join(d.dir, "data")})
		member := sv.SignUp(t, "ada@example.org")
		p := member.StartPlay(t, film.ID)
		p.Report(t, "heartbeat", 1000)
		d.fill(t, sv, 0)
		last, refused := int64(1000), false
		for at := int64(1001); at < 2000 && !refused; at++ { // the log may have room in its last page
			a, err := p.TryReport("heartbeat", at)
			if err != nil {
				t.Fatalf("the service is gone: %v\n%s", err, sv.Log())
			}
			switch a.Status {
			case http.StatusAccepted:
				last = at
			case http.StatusInternalServerError:
				t.Fatalf("report on a full disk: status %d: %s", a.Status, a.Body)
			default:
				refused = true
				if !bytes.Contains(a.Body, []byte("free")) {
					t.Errorf("report on a full disk: status %d: %s, want a sentence with the fix", a.Status, a.Body)
				}
			}
		}
		if !refused {
			t.Error("a thousand reports are acknowledged on a full disk")
		}
		d.free(t, sv)
		harness.Eventually(t, "reports that are taken again", func() bool {
			a, err := p.TryReport("heartbeat", last)
			return err == nil && a.Status == http.StatusAccepted
		})
		p.Report(t, "pause", 3210)
		resumesAt(t, member, film.ID, 3210)
		sv.Kill(t)
		sv = sv.Restart(t, harness.Options{})
		resumesAt(t, member.As(sv), film.ID, 3210)
	})
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// lastLine leaves out what a command says while it works.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
