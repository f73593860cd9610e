package ffmpeg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bijou"
)

// script makes a program of the test's own.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheVersionsOfTheProgramsAreTold(t *testing.T) {
	v, err := New(Config{}).Versions(t.Context())
	if err != nil || len(v.Missing) != 0 || !filepath.IsAbs(v.FFmpeg.Path) || !filepath.IsAbs(v.FFprobe.Path) || v.FFmpeg.Version == "" || v.FFprobe.Version == "" {
		t.Errorf("got %+v, %v, want two programs and both encoders", v, err)
	}
	bare := script(t, `case "$*" in *-encoders*) echo " A....D aac  AAC";; *) echo "ffmpeg version 5.1 Copyright";; esac`)
	v, err = New(Config{FFmpeg: bare}).Versions(t.Context())
	if err != nil || strings.Join(v.Missing, " ") != "libx264" || v.FFmpeg.Version != "5.1" {
		t.Errorf("without libx264: got %+v, %v, want it to be missing", v, err)
	}
}

func TestAProgramThatIsNotThereIsUnavailable(t *testing.T) {
	source := plainFilm(t, "film.mp4")
	order := videoOrder(t, source)
	order.Target = filepath.Join(t.TempDir(), "video.mp4")
	for _, c := range []struct {
		config Config
		words  []string
	}{
		{Config{FFmpeg: "ffmpeg-that-is-not-there"}, []string{"ffmpeg-that-is-not-there is not installed", "apt-get install ffmpeg", "ffmpeg.ffmpeg"}},
		{Config{FFmpeg: filepath.Join(t.TempDir(), "ffmpeg")}, []string{"ffmpeg.ffmpeg", "apt-get install ffmpeg"}},
		{Config{FFmpeg: script(t, "exit 1")}, []string{"does not run", "ffmpeg.ffmpeg"}},
		{Config{FFmpeg: script(t, "echo hello")}, []string{"does not print a version", "ffmpeg.ffmpeg"}},
		{Config{FFprobe: "ffprobe-that-is-not-there"}, []string{"ffprobe-that-is-not-there is not installed", "apt-get install ffmpeg", "ffmpeg.ffprobe"}},
	} {
		_, err := New(c.config).Versions(t.Context())
		refused(t, "versions", err, bijou.Unavailable, c.words...)
	}
	refused(t, "encode", New(Config{FFmpeg: "gone"}).EncodeVideo(t.Context(), order, nil), bijou.Unavailable, "gone is not installed", "ffmpeg.ffmpeg")
	leftNothing(t, order.Target)
	_, err := New(Config{FFprobe: "gone"}).Probe(t.Context(), source)
	refused(t, "probe", err, bijou.Unavailable, "gone is not installed", "ffmpeg.ffprobe")
}

func TestAFailureOfTheProgramIsNotBlamedOnTheFilm(t *testing.T) {
	order := videoOrder(t, plainFilm(t, "film.mp4"))
	for _, c := range []struct {
		body  string
		kind  bijou.Kind
		words string
	}{
		{"kill -9 $$", bijou.Exhausted, "killed"},
		{"echo 'x: Cannot allocate memory' >&2; exit 1", bijou.Exhausted, "memory"},
		{"exit 255", bijou.Unavailable, "stopped from outside"},
		{"echo \"Unknown encoder 'libx264'\" >&2; exit 1", bijou.Unavailable, "libx264"},
		{"echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 0", bijou.Exhausted, "no space left"},
		{"echo '[h264 @ 0x1] something else' >&2; exit 1", bijou.Invalid, "cannot be decoded (something else)"},
		{"exit 0", bijou.Invalid, "no picture"},
	} {
		refused(t, c.body, New(Config{FFmpeg: script(t, c.body)}).EncodeVideo(t.Context(), order, nil), c.kind, "film.mp4", c.words)
		leftNothing(t, order.Target)
	}
}

func TestWhatAProgramSaysIsKeptBounded(t *testing.T) {
	j := &journal{}
	for range 10_000 {
		if _, err := j.Write([]byte(strings.Repeat("noise ", 500) + "\n[h264 @ 0x55] corrupt decoded frame in stream 0\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Write([]byte("file:/secret/film.mp4: the end")); err != nil {
		t.Fatal(err)
	}
	j.flush()
	if len(j.kept) > journalMax || j.corrupt != 10_000 || j.last() != "the end" {
		t.Errorf("got %d bytes, %d corrupt, last %q, want at most %d, 10000, the end", len(j.kept), j.corrupt, j.last(), journalMax)
	}
}
