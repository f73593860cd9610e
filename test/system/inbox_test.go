package system_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bijou/test/harness"
)

func TestAFilmInADirectoryBecomesATitleOnceWheneverTheServiceIsKilled(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		dir := t.TempDir()
		checkInbox(t, shape, dir, func(name string, content []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// checkInbox has a service look for films there, and puts some.
func checkInbox(t *testing.T, shape harness.Shape, where string, put func(name string, content []byte)) {
	t.Helper()
	random := harness.Seed(t)
	film, err := os.ReadFile(harness.Film(t, filmSeconds))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(subtitles(t))
	if err != nil {
		t.Fatal(err)
	}
	o := harness.Options{Env: []string{"BIJOU_STUDIO_WATCH=" + where, "BIJOU_STUDIO_WATCH_EVERY=1s"}}
	sv := shape.Start(t, o)
	put("First_Film.en.srt", text)
	put("First_Film.mp4", film)
	put("bad.mp4", []byte("this is no film"))
	put("notes.txt", []byte("this is not looked at"))
	for range 4 {
		moment := time.Duration(random.Int64N(int64(2 * within)))
		time.Sleep(moment)
		sv.Kill(t)
		t.Logf("killed after %s", moment)
		sv = sv.Restart(t, o)
	}
	wantInbox(t, sv, "First Film published", "bad failed")
	// Looks go on: the next film is found, and none of the others again.
	put("second.mp4", film)
	wantInbox(t, sv, "First Film published", "bad failed", "second published")
	for _, x := range sv.Operator(t).AllTitles(t) {
		switch {
		case x.State == "failed" && !strings.Contains(x.Reason, "not a film"):
			t.Errorf("title %+v: got this reason, want that it is not a film", x)
		case x.Name == "First Film":
			p := sv.Guest().StartPlay(t, x.ID)
			if tracks := p.TracksOfHLS(t); len(tracks) < 3 {
				t.Errorf("tracks of the film: got %d, want its picture, its sound and the text beside it", len(tracks))
			}
		}
	}
	if r := sv.CLI(t, "title", "list", "--state", "failed"); r.Status != 0 || !strings.Contains(r.Out, "bad") {
		t.Errorf("title list: got %s%s, want the film that was refused", r.Out, r.Err)
	}
	if r := sv.CLI(t, "title", "remove", "bad"); r.Status != 0 {
		t.Fatalf("title remove: %s", r.Err)
	}
	// A film that was written anew is another; what was removed stays away.
	put("second.mp4", append(film, make([]byte, 100)...))
	wantInbox(t, sv, "First Film published", "second published", "second published")
	sv.Stop(t)
	if log := sv.Log(); strings.Count(log, "a film of the inbox is refused") > 1 {
		t.Errorf("the log says more than once that a film is refused:\n%s", log)
	}
}

// wantInbox waits until these are the titles.
func wantInbox(t *testing.T, sv *harness.Service, want ...string) {
	t.Helper()
	operator := sv.Operator(t)
	harness.Eventually(t, strings.Join(want, ", "), func() bool {
		left := map[string]int{}
		for _, x := range want {
			left[x]++
		}
		all := operator.AllTitles(t)
		for _, x := range all {
			left[fmt.Sprint(x.Name, " ", x.State)]--
		}
		for _, n := range left {
			if n != 0 && len(all) > len(want) {
				t.Fatalf("titles: got %+v, want %q", all, want)
			}
			if n != 0 {
				return false
			}
		}
		return true
	})
}
