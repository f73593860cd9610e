package system_test

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bijou/test/harness"

	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/google/go-cmp/cmp"
)

func TestAFilmGoesFromAFileToAViewer(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		member := sv.SignUp(t, "ada@example.org")
		var me struct {
			Guest   bool
			Account struct{ Email string }
		}
		member.Call(t, "GET", "/api/v1/me", nil, http.StatusOK, &me)
		if me.Guest || me.Account.Email != "ada@example.org" {
			t.Errorf("who signed up is %+v", me)
		}
		if got := member.Titles(t); len(got) != 1 || got[0].ID != film.ID || got[0].State != "published" {
			t.Fatalf("titles are %+v, want %s alone", got, film.ID)
		}
		if b := member.Get(t, "/api/v1/titles/"+film.ID+"/poster"); http.DetectContentType(b) != "image/jpeg" {
			t.Errorf("the poster is %s", http.DetectContentType(b))
		}
		p := member.StartPlay(t, film.ID)
		if p.PositionMS != 0 || p.RuntimeMS != filmSeconds*1000 {
			t.Errorf("the first viewing begins at %d of %d ms, want 0 of %d", p.PositionMS, p.RuntimeMS, filmSeconds*1000)
		}
		hls, dash := p.TracksOfHLS(t), p.TracksOfDASH(t)
		checkTracks(t, hls, dash)
		for _, track := range dash {
			checkTrack(t, p, track)
		}
	})
}

// checkTracks wants both manifests to name the same files, and the segments of all pictures at the same times.
func checkTracks(t *testing.T, hls, dash map[string]harness.Track) {
	t.Helper()
	kinds := map[string]int{}
	var ends []float64
	for name, want := range hls {
		got := dash[name]
		kinds[got.Kind]++
		if diff := cmp.Diff(want.Segments, got.Segments); diff != "" || want.Init != got.Init || want.Kind != got.Kind {
			t.Errorf("track %s: HLS names %+v, DASH %+v", name, want, got)
		}
		if want.Kind == "video" && (want.Codecs != got.Codecs || want.Width != got.Width || want.Height != got.Height) {
			t.Errorf("track %s: HLS says %+v, DASH %+v", name, want, got)
		}
		if want.Kind != "video" && want.Language != got.Language {
			t.Errorf("track %s: HLS says language %q, DASH %q", name, want.Language, got.Language)
		}
		for i, end := range want.Ends {
			if i < len(got.Ends) && math.Abs(end-got.Ends[i]) > 0.001 {
				t.Errorf("track %s: segment %d ends at %v s in HLS and at %v s in DASH", name, i+1, end, got.Ends[i])
			}
		}
		if got.Kind == "video" {
			if ends != nil && !slices.Equal(ends, got.Ends) {
				t.Errorf("track %s has its segments at %v, another at %v: a player cannot switch", name, got.Ends, ends)
			}
			ends = got.Ends
		}
	}
	if diff := cmp.Diff(map[string]int{"video": 2, "audio": 1, "text": 1}, kinds); diff != "" || len(dash) != len(hls) {
		t.Errorf("tracks of the manifests (-want +got):\n%s\nHLS %d, DASH %d", diff, len(hls), len(dash))
	}
}

// checkTrack fetches every file of the track and has other programs read it.
func checkTrack(t *testing.T, p *harness.Player, track harness.Track) {
	t.Helper()
	if track.Kind == "text" {
		if got := string(p.Get(t, track.Segments[0])); !strings.HasPrefix(got, "WEBVTT") || !strings.Contains(got, "00:01.000 --> 00:00:02.500") && !strings.Contains(got, "00:01.000 --> 00:02.500") {
			t.Errorf("the subtitles are %q", got)
		}
		return
	}
	file := filepath.Join(t.TempDir(), track.Name+".mp4")
	p.Fetch(t, track, file)
	checkBoxes(t, track, file)
	checkProbe(t, track, file)
}

// checkBoxes reads the header and the segments with mp4ff: each segment follows on the one before, and a picture's begins with a key frame.
func checkBoxes(t *testing.T, track harness.Track, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mp4.DecodeFile(bytes.NewReader(b))
	if err != nil || f.Init == nil || !f.IsFragmented() {
		t.Fatalf("track %s: mp4ff reads its header and segments with %v", track.Name, err)
	}
	var next uint64
	var starts int
	for _, s := range f.Segments {
		for _, frag := range s.Fragments {
			starts++
			if got := frag.Moof.Traf.Tfdt.BaseMediaDecodeTime(); got != next {
				t.Errorf("track %s: fragment %d begins at %d, want %d", track.Name, starts, got, next)
			}
			samples, err := frag.GetFullSamples(f.Init.Moov.Mvex.Trex)
			if err != nil || len(samples) == 0 {
				t.Fatalf("track %s: fragment %d has %d samples, %v", track.Name, starts, len(samples), err)
			}
			if track.Kind == "video" && !samples[0].IsSync() {
				t.Errorf("track %s: fragment %d does not begin with a key frame", track.Name, starts)
			}
			for _, x := range samples {
				next += uint64(x.Dur)
			}
		}
	}
	if starts != len(track.Segments) {
		t.Errorf("track %s has %d fragments in %d segments, want one in each", track.Name, starts, len(track.Segments))
	}
}

// checkProbe has ffprobe count the frames and ffmpeg decode them all.
func checkProbe(t *testing.T, track harness.Track, file string) {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_entries",
		"stream=codec_name,width,height,nb_read_frames,sample_rate:format=duration", "-of", "json", file).CombinedOutput()
	var got struct {
		Streams []struct {
			Codec  string `json:"codec_name"`
			Width  int
			Height int
			Frames string `json:"nb_read_frames"`
			Rate   string `json:"sample_rate"`
		}
		Format struct{ Duration string }
	}
	if err != nil || json.Unmarshal(out, &got) != nil || len(got.Streams) != 1 {
		t.Fatalf("track %s: ffprobe says %v: %s", track.Name, err, out)
	}
	s := got.Streams[0]
	seconds, err := strconv.ParseFloat(got.Format.Duration, 64)
	if err != nil || math.Abs(seconds-filmSeconds) > 0.05 {
		t.Errorf("track %s lasts %s s, want %d", track.Name, got.Format.Duration, filmSeconds)
	}
	switch track.Kind {
	case "video":
		if s.Codec != "h264" || s.Width != track.Width || s.Height != track.Height || s.Frames != strconv.Itoa(25*filmSeconds) {
			t.Errorf("track %s is %+v, want h264 of %dx%d with %d frames", track.Name, s, track.Width, track.Height, 25*filmSeconds)
		}
	case "audio":
		if s.Codec != "aac" || s.Rate != "48000" {
			t.Errorf("track %s is %+v, want aac of 48000 Hz", track.Name, s)
		}
	}
	harness.FFmpeg(t, "-xerror", "-i", file, "-f", "null", "-")
}

func TestAViewingGoesOnWhereItStoppedAfterARestart(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		member := sv.SignUp(t, "ada@example.org")
		p := member.StartPlay(t, film.ID)
		p.Report(t, "start", 0)
		p.Report(t, "first_frame", 0)
		p.Report(t, "heartbeat", 1000)
		p.Report(t, "pause", 2345)
		// Stopped at once: the report is on the log, whether or not anybody has read it.
		if status := sv.Stop(t); status != 0 {
			t.Errorf("the service ends with status %d, want 0:\n%s", status, sv.Log())
		}
		sv = sv.Restart(t, harness.Options{})
		member = member.As(sv)
		resumesAt(t, member, film.ID, 2345)
		var list struct {
			Positions []struct {
				Title      string
				PositionMS int64 `json:"position_ms"`
			}
		}
		member.Call(t, "GET", "/api/v1/positions", nil, http.StatusOK, &list)
		if len(list.Positions) != 1 || list.Positions[0].Title != film.ID || list.Positions[0].PositionMS != 2345 {
			t.Errorf("what can be watched on is %+v", list.Positions)
		}
		// Another viewing, to the end: the next begins anew.
		p = member.StartPlay(t, film.ID)
		p.Report(t, "heartbeat", 4000)
		resumesAt(t, member, film.ID, 4000)
		p.Report(t, "end", filmSeconds*1000)
		resumesAt(t, member, film.ID, 0)
		// Somebody else has not begun the title, and a guest has no place in it.
		resumesAt(t, sv.SignUp(t, "bob@example.org"), film.ID, 0)
		guest := sv.Guest().StartPlay(t, film.ID)
		guest.Report(t, "pause", 3000)
		resumesAt(t, sv.Guest(), film.ID, 0)
	})
}

// resumesAt waits until a new viewing begins at the position: the service reads its log of reports a moment after it has acknowledged them.
func resumesAt(t *testing.T, c harness.Client, title string, want int64) {
	t.Helper()
	harness.Eventually(t, "resume of "+title+" at "+strconv.FormatInt(want, 10)+" ms", func() bool {
		return c.StartPlay(t, title).PositionMS == want
	})
}
