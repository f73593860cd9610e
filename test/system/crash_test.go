package system_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bijou/test/harness"
)

// within is how long an add of the film takes on an idle machine, so that kills fall into all of its steps.
const within = 1500 * time.Millisecond

func TestAServiceThatIsKilledInAnAddLosesNothingThatItAcknowledged(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random, film := harness.Seed(t), harness.Film(t, filmSeconds)
		sv := shape.Start(t, harness.Options{})
		sources, acknowledged := 0, map[string]bool{}
		for round := range 4 {
			moment := time.Duration(random.Int64N(int64(within)))
			added := make(chan string, 1)
			operator := sv.Operator(t)
			go func() {
				// Over the API, so that the moment of the acknowledgement is known.
				id, _ := add(operator, film, fmt.Sprintf("film %d.mp4", round)) // a failure is the kill's: then nothing was acknowledged
				added <- id
			}()
			time.Sleep(moment)
			sv.Kill(t)
			id := <-added
			harness.Eventually(t, "end of the encoders of the killed service", func() bool { return len(harness.Running(t, sv.DataDir)) == 0 })
			if id != "" {
				acknowledged[id] = true
			}
			sources++
			t.Logf("round %d: killed after %s, acknowledged: %q", round, moment, id)
			sv = sv.Restart(t, harness.Options{})
		}
		operator := sv.Operator(t)
		harness.Eventually(t, "publication of all that was acknowledged", func() bool {
			published := map[string]bool{}
			for _, x := range operator.AllTitles(t) {
				if x.State == "failed" {
					t.Fatalf("title %+v failed", x)
				}
				published[x.ID] = x.State == "published"
			}
			for id := range acknowledged {
				if !published[id] {
					return false
				}
			}
			for _, done := range published { // an add that was cut off before its answer may have been taken in, but then as a whole
				if !done {
					return false
				}
			}
			return true
		})
		for _, x := range operator.AllTitles(t) {
			p := sv.Guest().StartPlay(t, x.ID)
			for _, track := range p.TracksOfDASH(t) {
				p.Fetch(t, track, t.TempDir()+"/track")
			}
		}
		checkNoHalves(t, sv, sources)
	})
}

// add hands a film in and asks for its title. It returns the title's identifier once the service has acknowledged it.
func add(operator harness.Client, film, name string) (string, error) {
	b, err := os.ReadFile(film)
	if err != nil {
		return "", err
	}
	return addBytes(operator, string(b), name)
}

func addBytes(operator harness.Client, film, name string) (string, error) {
	a, err := operator.Try("POST", "/api/v1/studio/sources?name="+url.QueryEscape(name), strings.NewReader(film), http.Header{"Content-Type": {"application/octet-stream"}})
	if err != nil || a.Status != http.StatusCreated {
		return "", errors.Join(err, fmt.Errorf("hand in: status %d: %s", a.Status, a.Body))
	}
	body := strings.NewReader(`{"source":"` + a.Text("id") + `"}`)
	a, err = operator.Try("POST", "/api/v1/studio/titles", body, http.Header{"Content-Type": {"application/json"}})
	if err != nil || a.Status != http.StatusCreated {
		return "", errors.Join(err, fmt.Errorf("add: status %d: %s", a.Status, a.Body))
	}
	return a.Text("id"), nil
}

// checkNoHalves wants no file but those of titles' assets, and at most so many sources that were handed in and never asked for, which a
// service keeps for a day.
func checkNoHalves(t *testing.T, sv *harness.Service, sources int) {
	t.Helper()
	assets := map[string]bool{}
	for _, x := range sv.Operator(t).AllTitles(t) {
		assets[x.Asset] = true
	}
	var left []string
	kept := map[string]bool{}
	harness.Eventually(t, "files of published titles alone", func() bool {
		files, err := harness.Left(sv.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		left, kept = nil, map[string]bool{}
		for _, file := range files {
			switch parts := strings.Split(file, "/"); {
			case parts[1] == "sources":
				kept[parts[2]] = true
			case parts[1] != "assets" || !assets[parts[2]]:
				left = append(left, file)
			}
		}
		return len(left) == 0
	})
	if len(kept) > sources {
		t.Errorf("%d sources are kept, want at most %d", len(kept), sources)
	}
}

func TestACommandThatIsKilledInAnAddLeavesWorkThatGoesOnOrNothing(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random, film := harness.Seed(t), harness.Film(t, filmSeconds)
		data := t.TempDir() + "/data"
		sv := &harness.Service{DataDir: data, Shape: shape}
		for round := range 3 {
			moment := time.Duration(random.Int64N(int64(within)))
			cmd := sv.Command(t, "title", "add", film, "--name", fmt.Sprint("film ", round))
			var said bytes.Buffer
			cmd.Stdout = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(moment)
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				if _, ok := errors.AsType[*exec.ExitError](err); !ok {
					t.Fatal(err)
				}
			}
			t.Logf("round %d: killed after %s, said %q", round, moment, said.String())
		}
		sv = shape.Start(t, harness.Options{DataDir: data})
		operator := sv.Operator(t)
		harness.Eventually(t, "publication of what was begun", func() bool {
			for _, x := range operator.AllTitles(t) {
				if x.State == "failed" {
					t.Fatalf("title %+v failed", x)
				}
				if x.State != "published" {
					return false
				}
			}
			return true
		})
		checkNoHalves(t, sv, 3)
		// Whatever came before, the next add works.
		sv.Add(t, film, "--name", "the last")
	})
}

func TestAServiceThatIsKilledInAPlayKeepsEveryAcknowledgedReport(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random := harness.Seed(t)
		sv, film := library(t, shape, harness.Options{})
		member := sv.SignUp(t, "ada@example.org")
		p := member.StartPlay(t, film.ID)
		tracks := p.TracksOfDASH(t)
		last := int64(0)
		for round := range 3 {
			kill := time.AfterFunc(time.Duration(random.Int64N(int64(300*time.Millisecond))), func() {
				if err := sv.Signal(syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			})
			at := last
			for {
				at++
				a, err := p.TryReport("heartbeat", at)
				if err != nil {
					break // the kill
				}
				if a.Status != http.StatusAccepted {
					t.Fatalf("report at %d ms: status %d: %s", at, a.Status, a.Body)
				}
				last = at
			}
			kill.Stop()
			sv.Wait(t)
			t.Logf("round %d: killed after the report of %d ms was acknowledged", round, last)
			sv = sv.Restart(t, harness.Options{})
			member, p.Client = member.As(sv), p.As(sv)
			// The report that was cut off may have been kept, and no earlier one may be all there is.
			harness.Eventually(t, fmt.Sprintf("position %d or %d", last, last+1), func() bool {
				got := member.StartPlay(t, film.ID).PositionMS
				return got == last || got == last+1
			})
			// The player goes on with the grant that it has.
			for _, track := range tracks {
				p.Fetch(t, track, t.TempDir()+"/track")
			}
			last++
			p.Report(t, "heartbeat", last)
		}
	})
}

func TestAServiceThatIsToldToStopFinishesWhatItSends(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		p := sv.Guest().StartPlay(t, film.ID)
		file, want := bigSegment(t, sv, p)
		// Slow viewers: they have the head of the answer and nothing else when the service is told to stop.
		const viewers = 8
		begun, got := make(chan error, viewers), make(chan error, viewers)
		goOn := make(chan struct{})
		for range viewers {
			go func() { got <- slowly(file, want, begun, goOn) }()
		}
		for range viewers {
			if err := <-begun; err != nil {
				t.Fatal(err)
			}
		}
		// And one who never reads on.
		host, path, _ := strings.Cut(strings.TrimPrefix(file, "http://"), "/")
		stuck, err := narrow(t.Context(), "tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer stuck.Close()
		if _, err := fmt.Fprintf(stuck, "GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n", path, "bijou"); err != nil {
			t.Fatal(err)
		}
		// A film in work, which is handed back.
		id, err := add(sv.Operator(t), harness.Film(t, filmSeconds), "second.mp4")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := sv.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(500*time.Millisecond, func() { close(goOn) })
		for range viewers {
			if err := <-got; err != nil {
				t.Errorf("a segment that was being sent: %v", err)
			}
		}
		if status, took := sv.Wait(t), time.Since(begin); status != 0 || took > 10*time.Second {
			t.Errorf("the service ends with status %d after %s, want 0 within 10 s:\n%s", status, took, sv.Log())
		}
		sv = sv.Restart(t, harness.Options{})
		if b := p.As(sv).Get(t, file); !bytes.Equal(b, want) {
			t.Errorf("after the restart the segment has %d bytes, want the same %d", len(b), len(want))
		}
		harness.Eventually(t, "publication of the film that was in work", func() bool {
			for _, x := range sv.Guest().Titles(t) {
				if x.ID == id {
					return true
				}
			}
			return false
		})
	})
}

// bigSegment puts a segment beside those of the title that is larger than what the system keeps for a connection (4 MB of sending, and
// little of receiving), so that the service is still sending it when it is told to stop. It returns its path and its bytes.
func bigSegment(t *testing.T, sv *harness.Service, p *harness.Player) (string, []byte) {
	t.Helper()
	for _, track := range p.TracksOfDASH(t) {
		if track.Kind != "video" {
			continue
		}
		b := make([]byte, 12<<20)
		for i := range b {
			b[i] = byte(i * i >> 8)
		}
		if err := os.WriteFile(filepath.Join(sv.DataDir, "blobs", "assets", p.Asset, track.Name, "9999.m4s"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(track.Segments[0], "/1.m4s") + "/9999.m4s", b
	}
	t.Fatal("the title has no picture")
	return "", nil
}

// slowly fetches a file: its head, and its bytes once goOn is closed.
func slowly(address string, want []byte, begun chan<- error, goOn <-chan struct{}) error {
	// A connection of its own, with little room, so that the service cannot have sent all.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: narrow}, Timeout: harness.Patience}
	res, err := client.Get(address)
	begun <- err
	if err != nil {
		return err
	}
	defer res.Body.Close()
	<-goOn
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, want) {
		return fmt.Errorf("%d bytes came, want the same %d as before", len(b), len(want))
	}
	return nil
}
