package ffmpeg

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"

	"bijou"
)

func TestAKeyFrameLiesAtEachMultipleOfTheSegmentAndNowhereElse(t *testing.T) {
	// The picture turns white and back again and again: an encoder that looks for scenes would place key frames of its own.
	source := film(t, "film.mp4", with([]string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30000/1001:duration=5,drawbox=w=iw:h=ih:color=white:t=fill:enable='gt(mod(t,0.7),0.35)'"}, small())...)
	for _, c := range []struct{ num, den, segment int64 }{{30000, 1001, 1000}, {30000, 1001, 2002}, {25, 1, 1000}, {25, 2, 1500}, {24000, 1001, 700}} {
		e := videoOrder(t, source)
		e.RateNum, e.RateDen, e.SegmentMS = c.num, c.den, c.segment
		encodeVideo(t, e)
		timescale, got := fragments(t, e.Target)
		n := int64(0) // of the picture
		for i, samples := range got {
			first := samples[0]
			// The first picture at or after i segments, in whole numbers.
			want := (int64(i)*c.segment*c.num + 1000*c.den - 1) / (1000 * c.den)
			if n != want {
				t.Errorf("%+v: fragment %d begins with picture %d, want %d", c, i, n, want)
			}
			if at := first.PresentationTime() * c.num; at != want*c.den*int64(timescale) {
				t.Errorf("%+v: fragment %d is shown from %d/%d, want picture %d", c, i, first.PresentationTime(), timescale, want)
			}
			for j, s := range samples {
				if key := mp4.IsSyncSampleFlags(s.Flags); key != (j == 0) {
					t.Errorf("%+v: fragment %d: picture %d is a key frame: %v", c, i, j, key)
				}
				if int64(s.Dur)*c.num != c.den*int64(timescale) {
					t.Errorf("%+v: fragment %d: picture %d lasts %d/%d, want %d/%d", c, i, j, s.Dur, timescale, c.den, c.num)
				}
			}
			n += int64(len(samples))
		}
		if seconds := float64(n) * float64(c.den) / float64(c.num); math.Abs(seconds-5) > 0.1 {
			t.Errorf("%+v: got %d pictures, %.3f s, want 5 s", c, n, seconds)
		}
	}
}

// ffprobed asks ffprobe for some of the first stream's entries.
func ffprobed(t *testing.T, path, entries string) string {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream="+entries, "-of", "csv=p=0", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe %s: %v\n%s", path, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestARenditionIsWhatWasAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		want   string
	}{
		"plain":      {plainFilm(t, "film.mp4"), "h264,High,160,90,1:1,yuv420p,progressive,25/1"},
		"interlaced": {plainFilm(t, "film.mp4", "-vf", "interlace,setsar=64/45", "-flags:v", "+ildct+ilme"), "h264,High,160,90,1:1,yuv420p,progressive,25/2"},
		"real":       {filepath.Join(media, "sintel_trailer_408p_10s.mp4"), "h264,High,160,90,1:1,yuv420p,progressive,25/1"},
	} {
		e := videoOrder(t, c.source)
		encodeVideo(t, e)
		if name == "interlaced" { // two fields of a picture come from two pictures of the source
			if got := ffprobed(t, c.source, "field_order"); !strings.Contains(got, "t") {
				t.Fatalf("%s: the source is %s, want interlaced", name, got)
			}
		}
		got := ffprobed(t, e.Target, "codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,field_order,avg_frame_rate")
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestHDRBecomesBT709(t *testing.T) {
	for _, transfer := range []string{"smpte2084", "arib-std-b67", "bt2020-10"} {
		source := film(t, "hdr.mkv", with(picture, []string{"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
			"-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", "-color_range", "tv"})...)
		e := videoOrder(t, source)
		encodeVideo(t, e)
		if got := ffprobed(t, e.Target, "pix_fmt,color_space,color_transfer,color_primaries"); got != "yuv420p,bt709,bt709,bt709" {
			t.Errorf("%s: got %s, want BT.709 in 8 bits", transfer, got)
		}
		if err := New(Config{}).Still(t.Context(), source, e.Stream, 0, 64, filepath.Join(t.TempDir(), "still.jpg")); err != nil {
			t.Errorf("%s: still: %v", transfer, err)
		}
	}
}

func TestSoundIsCutAtMultiplesOfTheSegmentAndAsLongAsTheFilm(t *testing.T) {
	short := film(t, "short.mp4", with([]string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=7"}, tone, small())...)
	for name, c := range map[string]struct {
		source        string
		channels, hz  int
		runtime, segm int64
	}{
		"real, cut":       {filepath.Join(media, "bbb_480p24_30s_av.mp4"), 2, 48_000, 12_345, 2000},
		"real, six":       {filepath.Join(media, "bbb_480p24_30s_av.mp4"), 6, 44_100, 5000, 1500},
		"Vorbis, 22 kHz":  {filepath.Join(media, "screen_kdenlive_1392x1040_11s.ogv"), 1, 48_000, 10_867, 4000},
		"padded":          {short, 2, 48_000, 7000, 1000},
		"a short segment": {short, 1, 44_100, 3000, 100},
	} {
		e := audioOrder(t, c.source)
		e.Channels, e.SampleRate, e.RuntimeMS, e.SegmentMS = c.channels, c.hz, c.runtime, c.segm
		encodeAudio(t, e)
		timescale, got := fragments(t, e.Target)
		if int(timescale) != c.hz {
			t.Fatalf("%s: got timescale %d, want %d", name, timescale, c.hz)
		}
		var total int64
		for i, samples := range got {
			segment := int64(i) * c.segm * int64(c.hz)
			want := (segment + 1000*aacFrame - 1) / (1000 * aacFrame) * aacFrame
			if at := samples[0].PresentationTime(); at != want || at != total {
				t.Errorf("%s: fragment %d begins at sample %d after %d, want %d", name, i, at, total, want)
			}
			for _, s := range samples {
				total += int64(s.Dur)
			}
		}
		if want := c.runtime * int64(c.hz) / 1000; total < want-1 || total > want+2*aacFrame {
			t.Errorf("%s: got %d samples, want %d to %d", name, total, want, want+2*aacFrame)
		}
		if codec := ffprobed(t, e.Target, "codec_name,profile,channels,sample_rate"); !strings.HasPrefix(codec, "aac,LC,") {
			t.Errorf("%s: got %s, want AAC-LC", name, codec)
		}
	}
}

func TestSoundAndPictureStayInStep(t *testing.T) {
	// A click at 1.5 s, in a track that begins 0.25 s after the picture.
	source := film(t, "film.mkv", with(picture, []string{"-itsoffset", "0.25", "-f", "lavfi", "-i", "aevalsrc=gte(t\\,1.25)*lt(t\\,1.3)*sin(2*PI*1000*t):s=48000:d=2"},
		small("-c:a", "pcm_s16le"))...)
	e := audioOrder(t, source)
	e.Channels = 1
	encodeAudio(t, e)
	raw, err := exec.Command("ffmpeg", "-v", "error", "-flags2", "+skip_manual", "-i", e.Target, "-f", "s16le", "pipe:1").Output()
	if err != nil {
		t.Fatal(err)
	}
	first := -1
	for i := 0; i+1 < len(raw); i += 2 {
		if v := int16(binary.LittleEndian.Uint16(raw[i:])); v > 4000 || v < -4000 {
			first = i / 2
			break
		}
	}
	if ms := float64(first) / 48; math.Abs(ms-1500) > 5 {
		t.Errorf("the click is heard at %.1f ms, want 1500", ms)
	}
}

func TestAPictureThatBeginsAfterTheSoundIsHeldFromTheStart(t *testing.T) {
	e := videoOrder(t, film(t, "film.mkv", with(tone, []string{"-itsoffset", "0.4"}, picture, small())...))
	encodeVideo(t, e)
	_, got := fragments(t, e.Target)
	n := 0
	for _, samples := range got {
		n += len(samples)
	}
	if n < 85 || n > 86 { // 3.4 s, and what the sound begins before 0
		t.Errorf("got %d pictures, want 85 or 86", n)
	}
}

func TestTheSameFilmGivesTheSameBytes(t *testing.T) {
	source := filepath.Join(media, "sintel_trailer_408p_10s.mp4")
	v, a := videoOrder(t, source), audioOrder(t, source)
	encodeVideo(t, v)
	encodeAudio(t, a)
	firstV, firstA := read(t, v.Target), read(t, a.Target)
	v.Target, a.Target = filepath.Join(t.TempDir(), "again.mp4"), filepath.Join(t.TempDir(), "again.mp4")
	encodeVideo(t, v)
	encodeAudio(t, a)
	if !bytes.Equal(firstV, read(t, v.Target)) {
		t.Errorf("the picture encoded twice differs")
	}
	if !bytes.Equal(firstA, read(t, a.Target)) {
		t.Errorf("the sound encoded twice differs")
	}
}

func TestProgressRisesToTheFilmsLength(t *testing.T) {
	source := filepath.Join(media, "bbb_480p24_30s_av.mp4")
	var seen []int64
	note := func(ms int64) { seen = append(seen, ms) }
	check := func(what string) {
		t.Helper()
		if len(seen) == 0 || !slices.IsSorted(seen) || seen[len(seen)-1]/100 != 300 {
			t.Errorf("%s: got progress %v, want it to rise to 30.0 s", what, seen)
		}
		seen = nil
	}
	if err := New(Config{}).EncodeVideo(t.Context(), videoOrder(t, source), note); err != nil {
		t.Fatal(err)
	}
	check("picture")
	if err := New(Config{}).EncodeAudio(t.Context(), audioOrder(t, source), note); err != nil {
		t.Fatal(err)
	}
	check("sound")
}

func TestACancelledEncodeLeavesNoProcessAndNoFile(t *testing.T) {
	source := put(t, "cancelled.mp4", read(t, filepath.Join(media, "bbb_480p24_30s_av.mp4")))
	e := videoOrder(t, source)
	e.Width, e.Height = 1708, 960 // long enough for a first report
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reached := int64(0)
	err := New(Config{}).EncodeVideo(ctx, e, func(ms int64) { reached = ms; cancel() })
	if !errors.Is(err, context.Canceled) || reached == 0 || reached > 25_000 {
		t.Errorf("got %v after %d ms of the film, want %v early on", err, reached, context.Canceled)
	}
	leftNothing(t, e.Target)
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("got no processes (%v)", err)
	}
	for _, line := range lines {
		if b, err := os.ReadFile(line); err == nil && bytes.Contains(b, []byte(source)) {
			t.Errorf("%s still runs: %q", line, b)
		}
	}
}

func TestAFilmThatEndsEarlyIsRefused(t *testing.T) {
	// An index in front and pictures "to the end of the file": only reading tells that the end is missing.
	whole := read(t, plainFilm(t, "film.mp4", "-movflags", "+faststart"))
	at := bytes.Index(whole, []byte("mdat")) - 4
	binary.BigEndian.PutUint32(whole[at:], 0)
	source := put(t, "early.mp4", whole[:at+(len(whole)-at)/3])
	v, a := videoOrder(t, source), audioOrder(t, source)
	refused(t, "picture", New(Config{}).EncodeVideo(t.Context(), v, nil), bijou.Invalid, "early.mp4 ends early", "of 0:00:03")
	leftNothing(t, v.Target)
	refused(t, "sound", New(Config{}).EncodeAudio(t.Context(), a, nil), bijou.Invalid, "early.mp4 ends early", "of 0:00:03")
	leftNothing(t, a.Target)
}

func TestADamagedFilmIsRefusedAndAScratchedOneIsNot(t *testing.T) {
	whole := read(t, film(t, "film.mp4", with(picture, []string{"-c:v", "libx264", "-g", "5", "-pix_fmt", "yuv420p", "-movflags", "+faststart"})...))
	at := bytes.Index(whole, []byte("mdat")) + 4
	scratch := func(from, to int) []byte {
		b := slices.Clone(whole)
		for i := at + from; i < at+to; i++ {
			b[i] = byte(i * 7919 >> 3)
		}
		return b
	}
	source := put(t, "broken.mp4", scratch(3000, len(whole)-at-1000))
	e := videoOrder(t, source)
	refused(t, "broken", New(Config{}).EncodeVideo(t.Context(), e, nil), bijou.Invalid, "broken.mp4", "cannot be decoded")
	leftNothing(t, e.Target)
	encodeVideo(t, videoOrder(t, put(t, "scratched.mp4", scratch(60_000, 60_050))))
}

func TestALengthIsBelievedWithinReason(t *testing.T) {
	for _, c := range []struct {
		got, want float64
		sure      bool
		refuse    bool
	}{
		{10_000, 10_900, true, false}, {10_000, 11_100, true, true}, {11_000, 10_000, true, false},
		{7_200_000, 7_270_000, true, false}, {7_200_000, 7_280_000, true, true},
		{10_000, 19_000, false, false}, {10_000, 21_000, false, true}, {0, 0, false, false},
	} {
		if err := shortfall("film.mp4", c.got, c.want, c.sure); (err != nil) != c.refuse {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestAFullDiskIsSaidSo(t *testing.T) {
	source := plainFilm(t, "film.mp4")
	v, a := videoOrder(t, source), audioOrder(t, source)
	for _, target := range []string{v.Target, a.Target} {
		// /dev/full takes bytes as a full disk does.
		if err := os.Symlink("/dev/full", target+".part"); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "picture", New(Config{}).EncodeVideo(t.Context(), v, nil), bijou.Exhausted, "film.mp4", "no space left in "+filepath.Dir(v.Target))
	refused(t, "sound", New(Config{}).EncodeAudio(t.Context(), a, nil), bijou.Exhausted, "film.mp4", "no space left in "+filepath.Dir(a.Target))
	leftNothing(t, v.Target)
	leftNothing(t, a.Target)
}

func TestATargetThatCannotBeWrittenIsSaidSo(t *testing.T) {
	v := videoOrder(t, plainFilm(t, "film.mp4"))
	v.Target = filepath.Join(t.TempDir(), "gone", "video.mp4")
	refused(t, "no directory", New(Config{}).EncodeVideo(t.Context(), v, nil), bijou.NotFound, "gone does not exist")
}

func TestAnImpossibleOrderIsRefused(t *testing.T) {
	source := plainFilm(t, "film.mp4")
	for name, change := range map[string]func(*bijou.VideoEncode){
		"odd width": func(e *bijou.VideoEncode) { e.Width = 161 }, "no rate": func(e *bijou.VideoEncode) { e.RateDen = 0 },
		"CRF": func(e *bijou.VideoEncode) { e.CRF = math.NaN() }, "bits": func(e *bijou.VideoEncode) { e.MaxBPS = 0 },
		"segment": func(e *bijou.VideoEncode) { e.SegmentMS = 0 }, "length": func(e *bijou.VideoEncode) { e.RuntimeMS = 0 }, "threads": func(e *bijou.VideoEncode) { e.Threads = 0 },
		"stream": func(e *bijou.VideoEncode) { e.Stream.Index = 7 }, "sound": func(e *bijou.VideoEncode) { e.Stream.Index = 1 },
	} {
		e := videoOrder(t, source)
		change(&e)
		refused(t, name, New(Config{}).EncodeVideo(t.Context(), e, nil), bijou.Invalid, "film.mp4")
	}
	for name, change := range map[string]func(*bijou.AudioEncode){
		"channels": func(e *bijou.AudioEncode) { e.Channels = 3 }, "rate": func(e *bijou.AudioEncode) { e.SampleRate = 47_999 },
		"bits": func(e *bijou.AudioEncode) { e.BPS = 0 }, "segment": func(e *bijou.AudioEncode) { e.SegmentMS = 0 },
		"runtime": func(e *bijou.AudioEncode) { e.RuntimeMS = 0 }, "picture": func(e *bijou.AudioEncode) { e.Stream.Index = 0 },
	} {
		e := audioOrder(t, source)
		change(&e)
		refused(t, name, New(Config{}).EncodeAudio(t.Context(), e, nil), bijou.Invalid, "film.mp4")
	}
}

func TestAStillIsUprightAndWithinTheFilm(t *testing.T) {
	upright := plainFilm(t, "film.mp4")
	turned := film(t, "turned.mp4", "-i", upright, "-c", "copy", "-metadata:s:v", "rotate=90")
	for _, c := range []struct {
		source   string
		at       int64
		width    int
		wantW, h int
	}{{upright, 1000, 160, 160, 90}, {upright, -5, 4000, 320, 180}, {upright, 1 << 50, 160, 160, 90}, {turned, 500, 90, 90, 160}} {
		target := filepath.Join(t.TempDir(), "still.jpg")
		if err := New(Config{}).Still(t.Context(), c.source, probe(t, c.source).Video[0], c.at, c.width, target); err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		got, err := jpeg.Decode(bytes.NewReader(read(t, target)))
		if err != nil || got.Bounds().Dx() != c.wantW || got.Bounds().Dy() != c.h {
			t.Errorf("%+v: got %v, %v, want %dx%d", c, got.Bounds(), err, c.wantW, c.h)
		}
	}
}

func TestTextIsTakenOutOfAFilm(t *testing.T) {
	subs := put(t, "subs.srt", []byte("1\n00:00:00,500 --> 00:00:01,500\nHallo <i>du</i>\n"))
	for name, codec := range map[string]string{"film.mp4": "mov_text", "film.mkv": "srt", "styled.mkv": "ass"} {
		source := film(t, name, with(picture, []string{"-i", subs}, small("-c:s", codec))...)
		target := filepath.Join(t.TempDir(), "text.vtt")
		if err := New(Config{}).ExtractText(t.Context(), source, probe(t, source).Text[0], target); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := string(read(t, target)), "WEBVTT\n\n00:00.500 --> 00:01.500\nHallo <i>du</i>\n"; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestTheSmallestRenditionsHaveALevelThatBrowsersTake(t *testing.T) {
	source := plainFilm(t, "film.mp4")
	for _, c := range []struct {
		w, h     int
		num, bps int64
		want     byte
	}{
		{176, 144, 15, 64_000, 20}, {64, 64, 25, 100_000, 20}, {2, 2, 1, 1000, 20}, {352, 288, 30, 2_500_000, 20},
		{352, 288, 60, 1_000_000, 21}, {1024, 16, 25, 1_000_000, 21}, {640, 360, 25, 1_000_000, 30}, // more than level 2 holds
	} {
		e := videoOrder(t, source)
		e.Width, e.Height, e.RateNum, e.RateDen, e.MaxBPS = c.w, c.h, c.num, 1, c.bps
		encodeVideo(t, e)
		f, err := mp4.ReadMP4File(e.Target)
		if err != nil {
			t.Fatal(err)
		}
		header := f.Init.Moov.Trak.Mdia.Minf.Stbl.Stsd.AvcX.AvcC
		sps, err := parameters(header.SPSnalus)
		if err != nil || byte(sps.Level) != header.AVCLevelIndication || header.AVCLevelIndication < c.want || c.want == 20 && header.AVCLevelIndication != 20 {
			t.Errorf("%dx%d at %d: got level %d in the header and %+v, %v in the stream, want %d", c.w, c.h, c.num, header.AVCLevelIndication, sps, err, c.want)
		}
	}
}

// parameters reads the sequence parameter set of a stream that has one.
func parameters(nalus [][]byte) (*avc.SPS, error) {
	if len(nalus) != 1 {
		return nil, fmt.Errorf("%d sequence parameter sets", len(nalus))
	}
	return avc.ParseSPSNALUnit(nalus[0], false)
}
