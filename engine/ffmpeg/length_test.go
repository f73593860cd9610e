package ffmpeg

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"testing"

	"bijou"
)

// seconds is a film's picture and sound of so many seconds, each moved by so many.
func seconds(picture, sound, late, soundLate string) []string {
	return []string{"-itsoffset", late, "-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=" + picture,
		"-itsoffset", soundLate, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=" + sound}
}

// withoutLength is a WebM or Matroska film as browsers record it: its header says nothing of a length (RFC 9559, section 5.1.2.10).
func withoutLength(t *testing.T, film []byte) []byte {
	t.Helper()
	at := bytes.Index(film, []byte("\x44\x89\x88"))
	if at < 0 {
		t.Fatal("the film has no Duration element to take out")
	}
	void := append([]byte{0xec, 0x89}, make([]byte, 9)...) // as long as the element
	return bytes.ReplaceAll(append(append(bytes.Clone(film[:at]), void...), film[at+11:]...), []byte("DURATION"), []byte("SOMETHIN"))
}

func TestNothingOfAFilmIsLostWhereItsTracksDifferInLength(t *testing.T) {
	vp8 := []string{"-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"}
	late := film(t, "late.mkv", with(seconds("2", "4", "2", "0"), small())...)
	ts := read(t, film(t, "one.ts", with(seconds("2", "2", "0", "0"), small())...))
	long := film(t, "long.mkv", with(seconds("1", "13", "0", "0"), small())...)
	for name, c := range map[string]struct {
		source string
		want   int64 // milliseconds
	}{
		"sound goes on, WebM":                        {film(t, "a.webm", with(seconds("1", "5", "0", "0"), vp8)...), 5000},
		"sound goes on, MP4":                         {film(t, "a.mp4", with(seconds("1", "5", "0", "0"), small())...), 5000},
		"sound goes on, no track tells its length":   {film(t, "a.flv", with(seconds("1", "13", "0", "0"), small())...), 13_000},
		"sound goes on, only the container tells it": {put(t, "a.mkv", bytes.ReplaceAll(read(t, long), []byte("DURATION"), []byte("SOMETHIN"))), 13_000},
		"one picture":                                {film(t, "one.mp4", with(seconds("0.04", "3", "0", "0"), small())...), 3000},
		"picture goes on":                            {film(t, "b.mp4", with(seconds("4", "1", "0", "0"), small())...), 4000},
		"picture begins late, MKV":                   {late, 4000},
		"picture begins late, MP4":                   {film(t, "late.mp4", "-i", late, "-c", "copy"), 4000},
		"sound begins late":                          {film(t, "c.mkv", with(seconds("4", "2", "0", "2"), small())...), 4000},
		"both begin late":                            {film(t, "d.mkv", with(seconds("3", "3", "5", "5"), small())...), 3000},
		"no length in the header":                    {put(t, "e.webm", withoutLength(t, read(t, film(t, "f.webm", with(seconds("2", "2", "0", "0"), vp8)...)))), 2000},
		"a clock that begins anew":                   {put(t, "twice.ts", join(ts, ts)), 4000},
		"a stream without a container":               {film(t, "g.h264", "-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=2", "-bf", "3", "-c:v", "libx264", "-pix_fmt", "yuv420p"), 2000},
	} {
		p := probe(t, c.source)
		// Sound begins and ends up to two of its frames beside the picture, and a transport stream is cut in the middle of one.
		if math.Abs(float64(p.RuntimeMS-c.want)) > 70 {
			t.Errorf("%s: got a length of %d ms, want %d", name, p.RuntimeMS, c.want)
			continue
		}
		e := videoOrder(t, c.source)
		e.Width, e.Height = 64, 36
		encodeVideo(t, e)
		_, got := fragments(t, e.Target)
		n := int64(0)
		for _, samples := range got {
			n += int64(len(samples))
		}
		if want := (p.RuntimeMS*25 + 500) / 1000; n != want {
			t.Errorf("%s: got %d pictures, want %d", name, n, want)
		}
		if len(p.Audio) == 0 {
			continue
		}
		a := audioOrder(t, c.source)
		encodeAudio(t, a)
		timescale, sound := fragments(t, a.Target)
		ticks := int64(0)
		for _, samples := range sound {
			for _, s := range samples {
				ticks += int64(s.Dur)
			}
		}
		if ms := ticks * 1000 / int64(timescale); math.Abs(float64(ms-p.RuntimeMS)) > 50 {
			t.Errorf("%s: got %d ms of sound, want %d", name, ms, p.RuntimeMS)
		}
	}
}

func TestTheLastPictureIsHeldAndTheFirstToo(t *testing.T) {
	// White, then black for the last second; the sound begins a second earlier and ends a second later.
	source := film(t, "film.mkv", with([]string{"-itsoffset", "1", "-f", "lavfi", "-i", "color=white:size=64x36:rate=25:duration=2,drawbox=color=black:t=fill:enable='gte(t,1)'"},
		[]string{"-f", "lavfi", "-i", "sine=duration=4"}, small())...)
	e := videoOrder(t, source)
	encodeVideo(t, e)
	raw, err := exec.Command("ffmpeg", "-v", "error", "-i", e.Target, "-vf", "scale=1:1", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1").Output()
	if err != nil || len(raw) < 100 || len(raw) > 102 {
		t.Fatalf("got %d pictures, %v, want 100 to 102", len(raw), err)
	}
	for i, grey := range raw {
		if bright := i < 50; i < 48 != bright && i > 52 && (grey > 128) != bright {
			t.Errorf("picture %d has the grey %d, want white until 2 s and black from then on", i, grey)
		}
	}
}

func TestAPictureThatWouldBeHeldForADayIsRefused(t *testing.T) {
	described := func(words string) *description {
		var p probed
		if err := json.Unmarshal([]byte(words), &p); err != nil {
			t.Fatal(err)
		}
		return p.description()
	}
	picture := `{"index":0,"codec_type":"video","codec_name":"h264","width":64,"height":36,"duration":"10","start_time":"`
	for _, c := range []struct {
		start     string
		runtimeMS int64
		words     string
	}{
		{"0", 24 * 3600 * 1000, "film.mp4 has sound that goes on for 23:59:50 after its last picture"},
		{"86400", 86_410_000, "film.mp4 has sound that begins 24:00:00 before its first picture"},
		{"0", 6 * 3600 * 1000, ""},
	} {
		d := described(`{"streams":[` + picture + c.start + `"}],"format":{"start_time":"0"}}`)
		d.RuntimeMS = c.runtimeMS
		end, _ := d.length(0)
		err := d.held("film.mp4", end)
		if c.words != "" {
			refused(t, c.words, err, bijou.Invalid, c.words, "6:00:00")
		} else if err != nil {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestALengthIsReadAsItsWriterMeantIt(t *testing.T) {
	for name, c := range map[string]struct {
		format, tags string
		want, whole  float64
	}{
		"ffmpeg's Matroska: an end":      {`"tags":{"ENCODER":"Lavf59.27.100"}`, `"DURATION":"00:00:06.000"`, 5500, 5500},
		"another's: a length":            {`"tags":{"encoder":"libebml v1.4.2"}`, `"DURATION":"00:00:04.000"`, 6000, 6000},
		"with a language":                {`"tags":{"encoder":"libmakemkv"}`, `"DURATION-eng":"00:00:04.000"`, 6000, 6000},
		"no tag that is a length at all": {`"tags":{}`, `"DURATIONS":"00:00:04.000"`, 0, 6000},
	} {
		var p probed
		if err := json.Unmarshal([]byte(`{"streams":[{"index":0,"codec_type":"video","codec_name":"h264","width":64,"height":36,"start_time":"2.5","tags":{`+c.tags+`}}],
			"format":{"format_name":"matroska,webm","start_time":"0.5","duration":"6",`+c.format+`}}`), &p); err != nil {
			t.Fatal(err)
		}
		d := p.description()
		if got, known := d.length(0); got != c.want || known != (c.want > 0) || d.whole() != c.whole {
			t.Errorf("%s: got %v of %v, want %v of %v", name, got, d.whole(), c.want, c.whole)
		}
	}
}

func TestAFilmThatGoesOnAfterItsEndIsRefused(t *testing.T) {
	e := videoOrder(t, plainFilm(t, "film.mp4"))
	e.RuntimeMS = 1500
	refused(t, "goes on", New(Config{}).EncodeVideo(t.Context(), e, nil), bijou.Invalid, "film.mp4 goes on for 0:00:02 after the end that it names")
	leftNothing(t, e.Target)
}

func TestAFilmThatHoldsLessThanItPromisesIsRefused(t *testing.T) {
	whole := read(t, film(t, "film.flv", with(seconds("30", "30", "0", "0"), small())...))
	_, err := New(Config{}).Probe(t.Context(), put(t, "film.flv", whole[:len(whole)/3]))
	refused(t, "cut", err, bijou.Invalid, "film.flv ends early", "of 0:00:30")
}

func TestAPictureOrASoundThatChangesInTheMiddleStaysInStep(t *testing.T) {
	part := func(size string, fields bool, sound, at string) []byte {
		v, codec := "testsrc2=size="+size+":rate=50:duration=2", []string{"-c:v", "mpeg2video", "-c:a", "ac3", "-output_ts_offset", at}
		if fields {
			v, codec = v+",interlace", append(codec, "-flags:v", "+ildct+ilme")
		}
		return read(t, film(t, "part.ts", with([]string{"-f", "lavfi", "-i", v, "-f", "lavfi", "-i", "anoisesrc=duration=2:sample_rate=48000", "-ac", sound}, codec)...))
	}
	for name, source := range map[string]string{
		"size":                     put(t, "size.ts", join(part("64x36", false, "2", "0"), part("128x72", false, "2", "2"))),
		"size, interlaced":         put(t, "fields.ts", join(part("64x64", true, "2", "0"), part("128x72", true, "2", "2"))),
		"a clock that begins anew": put(t, "again.ts", join(part("64x36", false, "2", "0"), part("128x72", false, "6", "0"))),
		"number of channels":       put(t, "sound.ts", join(part("64x36", false, "2", "0"), part("64x36", false, "6", "2"))),
	} {
		e, a := videoOrder(t, source), audioOrder(t, source)
		encodeVideo(t, e)
		encodeAudio(t, a)
		checkFragments(t, name, e.Target, 4000, 100)
		checkFragments(t, name, a.Target, 4000, 100)
		// The noise does not stop: what is silent in the second half was lost.
		raw, err := exec.Command("ffmpeg", "-v", "error", "-ss", "2.5", "-t", "1", "-i", a.Target, "-ac", "1", "-f", "s16le", "pipe:1").Output()
		loud := 0
		for i := 0; i+1 < len(raw); i += 2 {
			if v := int16(binary.LittleEndian.Uint16(raw[i:])); v > 50 || v < -50 {
				loud++
			}
		}
		if err != nil || loud < 30_000 {
			t.Errorf("%s: %d of 48000 samples are heard in the second after the change (%v)", name, loud, err)
		}
	}
}

func TestARecordingThatGoesOnWithAnotherPictureTrackIsRefused(t *testing.T) {
	first := film(t, "first.ts", with(seconds("2", "2", "0", "0"), small())...)
	second := film(t, "second.ts", "-i", first, "-c", "copy", "-output_ts_offset", "2", "-mpegts_pmt_start_pid", "0x500", "-streamid", "0:0x200", "-streamid", "1:0x201")
	_, err := New(Config{}).Probe(t.Context(), put(t, "film.ts", join(read(t, first), read(t, second))))
	refused(t, "another picture track", err, bijou.Invalid, "film.ts goes on with another picture track after 0:00:02")
	// Two at the same time are two views of one film.
	if got := probe(t, film(t, "views.ts", "-i", first, "-map", "0:v", "-map", "0:v", "-map", "0:a", "-c", "copy")); len(got.Video) != 2 {
		t.Errorf("two views: got %+v", got.Video)
	}
}

// checkFragments fails where a file is not in fragments of a second, of that length in milliseconds in all.
func checkFragments(t *testing.T, name, path string, want, near int64) {
	t.Helper()
	timescale, got := fragments(t, path)
	ticks := int64(0)
	for i, samples := range got {
		if at := ticks * 1000 / int64(timescale); at < int64(i)*1000 || at > int64(i)*1000+near {
			t.Errorf("%s: %s: fragment %d begins at %d ms", name, filepath.Base(path), i, at)
		}
		for _, s := range samples {
			ticks += int64(s.Dur)
		}
	}
	if ms := ticks * 1000 / int64(timescale); ms < want-near || ms > want+near {
		t.Errorf("%s: %s lasts %d ms, want %d", name, filepath.Base(path), ms, want)
	}
}

func FuzzPackets(f *testing.F) {
	f.Add([]byte("#tb 0: 1/1000\n#media_type 0: video\n0,  -5,  10,  40,  5184, 0x1234, S=1\n"))
	f.Add([]byte("#tb 0: 1/90000\n0, 90000, -9223372036854775808, 1, 1, 0x0\n0, 1, 1, 1, 1\n1, 1, 1, 1, 1, 1\n"))
	f.Add([]byte("#tb -1: 1/0\n#tb 5: 9223372036854775807/1\n5, 9223372036854775807, 9223372036854775807, 9223372036854775807, 1, 0\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &packets{}
		if n, err := p.Write(raw); n != len(raw) || err != nil {
			t.Fatalf("%q: got %d, %v, want all of it", raw, n, err)
		}
		for track, end := range p.endMS {
			if end < 0 || math.IsNaN(end) || track < 0 || track >= maxTracks {
				t.Fatalf("%q: track %d ends at %v", raw, track, end)
			}
		}
	})
}

func TestPacketsTellWhenATrackEnds(t *testing.T) {
	p := &packets{}
	for _, part := range []string{"#tb 0: 1/1000\n#tb 1: 1/90", "000\n0,0,40,40,9,0x0\n0,40,0,40,9,0x0\n1, 180000, -9223372036854775808, 900, 9, 0x0\n2,1,1,1,1,0x0\n0,1,"} {
		if _, err := p.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.endMS) != 2 || p.endMS[0] != 80 || p.endMS[1] != 2010 {
		t.Errorf("got %v, want 80 and 2010 ms", p.endMS)
	}
}

func TestAFilmThatTellsItsLengthIsNotReadForIt(t *testing.T) {
	tool := New(Config{FFmpeg: filepath.Join(t.TempDir(), "none")})
	for _, name := range []string{"film.mp4", "film.mkv"} {
		if _, err := tool.Probe(t.Context(), plainFilm(t, name)); err != nil {
			t.Errorf("%s: got %v, want its length without ffmpeg", name, err)
		}
	}
}
