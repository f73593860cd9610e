package ffmpeg

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"
	"go.uber.org/goleak"

	"bijou"
)

// media is where real films lie.
const media = "../../test/media"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// picture and tone are sources of ffmpeg's own: three seconds that change all the time.
var (
	picture = []string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=3"}
	tone    = []string{"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=3"}
)

// film makes a film with the real ffmpeg and returns its path.
func film(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args = append(append([]string{"-nostdin", "-v", "error", "-y"}, args...), "file:"+path)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return path
}

// with joins arguments.
func with(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// small is how the films of these tests are encoded.
func small(more ...string) []string {
	return append([]string{"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"}, more...)
}

// plainFilm is a film with nothing odd about it.
func plainFilm(t *testing.T, name string, more ...string) string {
	t.Helper()
	return film(t, name, with(picture, tone, small(more...))...)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put writes a file of the test's own.
func put(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func probe(t *testing.T, path string) bijou.Probe {
	t.Helper()
	p, err := New(Config{}).Probe(t.Context(), path)
	if err != nil {
		t.Fatalf("probe %s: %v", path, err)
	}
	return p
}

// videoOrder asks for a small rendition of a film's first picture track.
func videoOrder(t *testing.T, source string) bijou.VideoEncode {
	t.Helper()
	p := probe(t, source)
	s := p.Video[0]
	return bijou.VideoEncode{Source: source, Stream: s, Width: 160, Height: 90, RateNum: s.RateNum, RateDen: s.RateDen, CRF: 30, MaxBPS: 300_000,
		SegmentMS: 1000, RuntimeMS: p.RuntimeMS, Threads: 2, Target: filepath.Join(t.TempDir(), "video.mp4")}
}

// audioOrder asks for a small rendition of a film's first sound track.
func audioOrder(t *testing.T, source string) bijou.AudioEncode {
	t.Helper()
	p := probe(t, source)
	return bijou.AudioEncode{Source: source, Stream: p.Audio[0], Channels: 2, SampleRate: 48_000, BPS: 64_000, SegmentMS: 1000, RuntimeMS: p.RuntimeMS,
		Target: filepath.Join(t.TempDir(), "audio.mp4")}
}

func encodeVideo(t *testing.T, e bijou.VideoEncode) {
	t.Helper()
	if err := New(Config{}).EncodeVideo(t.Context(), e, nil); err != nil {
		t.Fatalf("encode %+v: %v", e, err)
	}
}

func encodeAudio(t *testing.T, e bijou.AudioEncode) {
	t.Helper()
	if err := New(Config{}).EncodeAudio(t.Context(), e, nil); err != nil {
		t.Fatalf("encode %+v: %v", e, err)
	}
}

// fragments reads a file's movie fragments with another's parser.
func fragments(t *testing.T, path string) (timescale uint32, all [][]mp4.FullSample) {
	t.Helper()
	f, err := mp4.ReadMP4File(path)
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	trex := f.Init.Moov.Mvex.Trex
	for _, s := range f.Segments {
		for _, fragment := range s.Fragments {
			samples, err := fragment.GetFullSamples(trex)
			if err != nil {
				t.Fatalf("read %s: %v", path, err)
			}
			all = append(all, samples)
		}
	}
	return f.Init.Moov.Trak.Mdia.Mdhd.Timescale, all
}

// refused fails unless err is of the kind, one line, and has each of the words in it.
func refused(t *testing.T, what string, err error, kind bijou.Kind, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want %s", what, err, kind)
		return
	}
	if strings.ContainsAny(err.Error(), "\n\r\x00") {
		t.Errorf("%s: %q is not one line", what, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got %q, want %q in it", what, err, w)
		}
	}
}

// leftNothing fails where a file is left in the directory of a target.
func leftNothing(t *testing.T, target string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range left {
		t.Errorf("%s was left behind", l.Name())
	}
}
