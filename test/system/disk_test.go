package system_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bijou/test/harness"
)

func TestADiskThatIsFullStopsAnAddAndNothingElse(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		d := harness.NewDisk(t)
		sv, first := library(t, shape, harness.Options{DataDir: filepath.Join(d.Dir, "data")})
		film := harness.Film(t, filmSeconds)
		size := sizeOf(t, film)
		// The free space of each try: too little to hand the film in, and enough for that but not for what is made of it.
		for name, free := range map[string]int64{"nothing": 0, "half the film": size / 2, "the film alone": size + 150<<10} {
			if !d.Real && free > size {
				continue // no limit of files is like it
			}
			d.Fill(t, sv.PID(), free)
			r := sv.CLI(t, "title", "add", film, "--name", "no room")
			sentence := lastLine(r.Err)
			t.Logf("%s is free: %s", name, sentence)
			if r.Status != 1 || r.Out != "" || !strings.HasPrefix(sentence, "bijou: ") ||
				!strings.Contains(sentence, filepath.Base(film)) && !strings.Contains(sentence, "no room") || !strings.Contains(sentence, "free space") {
				t.Errorf("%s is free: title add ends with status %d and says %q, want 1 and a sentence with the film and the fix", name, r.Status, r.Err)
			}
			serves(t, sv, first.ID)
			d.Free(t, sv.PID())
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
		d := harness.NewDisk(t)
		sv, film := library(t, shape, harness.Options{DataDir: filepath.Join(d.Dir, "data")})
		member := sv.SignUp(t, "ada@example.org")
		p := member.StartPlay(t, film.ID)
		p.Report(t, "heartbeat", 1000)
		d.Fill(t, sv.PID(), 0)
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
		d.Free(t, sv.PID())
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
