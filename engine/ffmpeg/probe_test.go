package ffmpeg

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bijou"
)

func TestRealFilmsAreDescribed(t *testing.T) {
	for name, want := range map[string]bijou.Probe{
		"bbb_480p24_30s_av.mp4": {Format: "mov,mp4,m4a,3gp,3g2,mj2", RuntimeMS: 30_000, Bytes: 4139823,
			Video: []bijou.VideoStream{{Index: 0, Codec: "h264", Width: 854, Height: 480, RateNum: 24, RateDen: 1}},
			Audio: []bijou.AudioStream{{Index: 1, Codec: "aac", Channels: 6, SampleRate: 48_000, Language: "und", Default: true}}},
		"sintel_trailer_408p_10s.mp4": {Format: "mov,mp4,m4a,3gp,3g2,mj2", RuntimeMS: 10_008, Bytes: 3053851,
			Video: []bijou.VideoStream{{Index: 0, Codec: "mpeg4", Width: 960, Height: 408, RateNum: 25, RateDen: 1}},
			Audio: []bijou.AudioStream{{Index: 1, Codec: "mp3", Channels: 2, SampleRate: 48_000, Language: "und", Default: true}}},
		"screen_kdenlive_1392x1040_11s.ogv": {Format: "ogg", RuntimeMS: 10_867, Bytes: 1053418,
			Video: []bijou.VideoStream{{Index: 1, Codec: "theora", Width: 1392, Height: 1040, RateNum: 15, RateDen: 1}},
			Audio: []bijou.AudioStream{{Index: 2, Codec: "vorbis", Channels: 1, SampleRate: 22_050, Language: "und"}}},
	} {
		if diff := cmp.Diff(want, probe(t, filepath.Join(media, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTracksLanguagesAndCoverArtAreToldApart(t *testing.T) {
	cover := film(t, "cover.jpg", "-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1")
	subs := put(t, "subs.srt", []byte("1\n00:00:00,500 --> 00:00:01,500\nHallo\n"))
	path := film(t, "film.mkv", with(picture, tone, tone, []string{"-i", subs, "-i", subs, "-attach", cover, "-metadata:s:t", "mimetype=image/jpeg"},
		[]string{"-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s", "-map", "4:s"}, small("-c:s", "srt",
			"-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=fre", "-metadata:s:a:1", "title=Kommentar\nzwei",
			"-disposition:a:0", "0", "-disposition:a:1", "default",
			"-metadata:s:s:0", "language=por", "-disposition:s:0", "hearing_impaired", "-metadata:s:s:1", "language=xx_yy", "-disposition:s:1", "0"))...)
	got := probe(t, path)
	if out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", path).Output(); err != nil ||
		strings.Count(string(out), "video") != 2 {
		t.Fatalf("got streams %q, %v, want the film to have a cover", out, err)
	}
	if len(got.Video) != 1 || got.Video[0].Index != 0 {
		t.Errorf("got pictures %+v, want the film's without the cover", got.Video)
	}
	wantAudio := []bijou.AudioStream{
		{Index: 1, Codec: "aac", Channels: 1, SampleRate: 44_100, Language: "de"},
		{Index: 2, Codec: "aac", Channels: 1, SampleRate: 44_100, Language: "fr", Title: "Kommentar zwei", Default: true},
	}
	if diff := cmp.Diff(wantAudio, got.Audio); diff != "" {
		t.Errorf("sound (-want +got):\n%s", diff)
	}
	wantText := []bijou.TextStream{
		{Index: 3, Codec: "subrip", Language: "pt", Kind: bijou.Captions},
		{Index: 4, Codec: "subrip", Language: "und", Kind: bijou.Subtitles},
	}
	if diff := cmp.Diff(wantText, got.Text); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestAFilmsOwnTitleIsRead(t *testing.T) {
	for _, name := range []string{"film.mp4", "film.mkv", "film.avi", "film.mov", "film.webm"} {
		codecs := small()
		if name == "film.webm" {
			codecs = []string{"-c:v", "libvpx", "-deadline", "realtime"}
		}
		if got := probe(t, film(t, name, with(seconds("1", "1", "0", "0"), codecs, []string{"-metadata", "title=Bébé\nBoo"})...)).Title; got != "Bébé Boo" {
			t.Errorf("%s: got %q, want its title", name, got)
		}
	}
}

func TestThePictureIsDescribedAsItIsSeen(t *testing.T) {
	upright := plainFilm(t, "film.mp4")
	for name, c := range map[string]struct {
		path       string
		w, h       int
		interlaced bool
	}{
		"turned":      {film(t, "turned.mp4", "-i", upright, "-c", "copy", "-metadata:s:v", "rotate=90"), 180, 320, false},
		"upside down": {film(t, "down.mp4", "-i", upright, "-c", "copy", "-metadata:s:v", "rotate=180"), 320, 180, false},
		"wide pixels": {plainFilm(t, "wide.mp4", "-vf", "setsar=64/45"), 455, 180, false},
		"interlaced":  {plainFilm(t, "fields.mp4", "-vf", "interlace", "-flags:v", "+ildct+ilme", "-x264-params", "tff=1"), 320, 180, true},
	} {
		got := probe(t, c.path).Video[0]
		if got.Width != c.w || got.Height != c.h || got.Interlaced != c.interlaced {
			t.Errorf("%s: got %dx%d interlaced %v, want %dx%d %v", name, got.Width, got.Height, got.Interlaced, c.w, c.h, c.interlaced)
		}
	}
}

func TestTheFrameRateIsBelievable(t *testing.T) {
	for _, c := range []struct {
		average, base string
		num, den      int64
	}{
		{"24/1", "24/1", 24, 1},
		{"24000/1001", "24000/1001", 24000, 1001},
		{"2997/100", "30000/1001", 30000, 1001}, // rounded by the container
		{"25/2", "25/2", 25, 2},
		{"16777/560", "30/1", 30000, 1001}, // a telephone: 29.96 on average
		{"12345/677", "60/1", 3647, 200},   // a screen: 18.235 on average
		{"0/0", "25/1", 25, 1},
		{"0/0", "0/0", 25, 1},
		{"90000/1", "90000/1", 25, 1},
		{"90000/1", "50/1", 50, 1},
		{"1000/1", "30/1", 30, 1},
		{"", "", 25, 1},
		{"x/y", "-1/2", 25, 1},
	} {
		num, den := stream{Average: c.average, Base: c.base}.rate()
		if num != c.num || den != c.den {
			t.Errorf("average %s base %s: got %d/%d, want %d/%d", c.average, c.base, num, den, c.num, c.den)
		}
	}
}

func TestLanguagesBecomeBCP47(t *testing.T) {
	for in, want := range map[string]string{"eng": "en", "ger": "de", "deu": "de", "fre": "fr", "chi": "zh", "por": "pt", "pt-BR": "pt-BR", "nor": "no", "": "und",
		"und": "und", "mul": "und", "English": "und", "xyzw-": "und", "gsw": "gsw", "EN": "en"} {
		if got := tag(in); got != want {
			t.Errorf("tag(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestStreamsThatNothingCanPlayAreLeftOut(t *testing.T) {
	const printed = `{"streams":[
		{"index":0,"codec_type":"video","codec_name":"h264","width":0,"height":0},
		{"index":1,"codec_type":"video","codec_name":"h264","codec_tag_string":"encv","width":64,"height":64},
		{"index":2,"codec_type":"audio","codec_name":"aac","channels":0},
		{"index":3,"codec_type":"subtitle","codec_name":"hdmv_pgs_subtitle"},
		{"index":4,"codec_type":"subtitle","codec_name":"ass","disposition":{"visual_impaired":1},"tags":{"language":"eng"}},
		{"index":5,"codec_type":"video","width":64,"height":64},
		{"index":6,"codec_type":"audio","codec_name":"opus","channels":2,"sample_rate":"48000"}],
		"format":{"format_name":"matroska,webm","duration":"12.5"}}`
	var p probed
	if err := json.Unmarshal([]byte(printed), &p); err != nil {
		t.Fatal(err)
	}
	d := p.description()
	want := bijou.Probe{Format: "matroska,webm",
		Audio: []bijou.AudioStream{{Index: 6, Codec: "opus", Channels: 2, SampleRate: 48_000, Language: "und"}},
		Text:  []bijou.TextStream{{Index: 4, Codec: "ass", Language: "en", Kind: bijou.Descriptions}}}
	if diff := cmp.Diff(want, d.Probe); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	refused(t, "no picture but an encrypted one", d.check("film.mp4"), bijou.Invalid, "film.mp4", "encrypted")
}

func TestWhatIsNoFilmIsRefusedInWordsThatNameIt(t *testing.T) {
	fast := read(t, plainFilm(t, "fast.mp4", "-movflags", "+faststart"))
	slow := read(t, plainFilm(t, "slow.mp4"))
	mkv := read(t, plainFilm(t, "film.mkv"))
	live := read(t, plainFilm(t, "live.mkv", "-f", "matroska", "-live", "1"))
	dir := filepath.Join(t.TempDir(), "film.mp4")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		words []string
	}{
		{put(t, "film.mp4", []byte("Dear Sir,\nthis is a letter.\n")), []string{"film.mp4 is text"}},
		{put(t, "film.mp4", []byte("\xff\xfea\x00b\x00")), []string{"film.mp4 is text"}},
		{put(t, "film.mp4", nil), []string{"film.mp4 is empty"}},
		{put(t, "film.mp4", fast[:len(fast)*6/10]), []string{"film.mp4 is cut off", "bytes more"}},
		{put(t, "film.mp4", slow[:len(slow)*6/10]), []string{"film.mp4 is cut off"}},
		{put(t, "film.mkv", mkv[:len(mkv)*6/10]), []string{"film.mkv is cut off", "bytes more"}},
		{put(t, "film.mkv", live[:len(live)*6/10]), []string{"film.mkv is cut off, after 0:00:0"}},
		{put(t, "film.mp4", make([]byte, 5000)), []string{"film.mp4 is no film that ffmpeg can read"}},
		{film(t, "sound.m4a", with(tone, small())...), []string{"sound.m4a has sound but no moving picture"}},
		{film(t, "still.mp4", "-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", "-c:v", "mjpeg", "-f", "mjpeg"), []string{"still.mp4 is a picture"}},
		{filepath.Join(t.TempDir(), "gone.mp4"), []string{"gone.mp4 does not exist"}},
		{dir, []string{"film.mp4 is a directory"}},
		{"/dev/zero", []string{"zero is a"}},
		{put(t, "new\nline.mp4", []byte("x")), []string{`"new\nline.mp4"`}},
	} {
		_, err := New(Config{}).Probe(t.Context(), c.path)
		refused(t, c.path, err, bijou.Invalid, c.words...)
		if err != nil && strings.Contains(err.Error(), filepath.Dir(c.path)+"/") {
			t.Errorf("%s: %q names more of the path than the file's name", c.path, err)
		}
	}
	// Whoever runs the tests may be allowed to read everything, so the failure is made by hand.
	refused(t, "a file without the right to read", unopened("a/film.mp4", &fs.PathError{Op: "open", Path: "a/film.mp4", Err: fs.ErrPermission}),
		bijou.Invalid, "film.mp4 may not be read")
}

func TestAPlaylistInDisguiseOpensNothing(t *testing.T) {
	secret := plainFilm(t, "secret.mp4")
	hls := "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n" + secret + "\n#EXT-X-ENDLIST\n"
	concat := "ffconcat version 1.0\nfile '" + secret + "'\n"
	for _, name := range []string{"film.mp4", "film.m3u8", "film.ffconcat", "film.sdp"} {
		for _, content := range []string{hls, concat, "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"} {
			_, err := New(Config{}).Probe(t.Context(), put(t, name, []byte(content)))
			refused(t, name+" "+content, err, bijou.Invalid, name+" is a playlist")
			// With a zero byte it no longer looks like text to us. The program must refuse it by itself.
			_, err = New(Config{}).Probe(t.Context(), put(t, name, []byte(content+"#\x00\n")))
			refused(t, name+" "+content+" with a zero byte", err, bijou.Invalid, name+" is no film")
		}
	}
}

func TestANameIsAName(t *testing.T) {
	source := read(t, plainFilm(t, "film.mp4"))
	t.Chdir(t.TempDir())
	for _, name := range []string{"-y.mp4", "http:x.mp4", "concat:a|b", "film%03d.mp4", "ö 'q\" \\.mp4", "pipe:0", "a:b,c;d=[e].mp4"} {
		if err := os.WriteFile(name, source, 0o644); err != nil {
			t.Fatal(err)
		}
		e := videoOrder(t, name)
		encodeVideo(t, e)
		if err := New(Config{}).Still(t.Context(), name, e.Stream, 1000, 64, name+".jpg"); err != nil {
			t.Errorf("%s: still: %v", name, err)
		}
		if info, err := os.Stat(name + ".jpg"); err != nil || info.Size() == 0 {
			t.Errorf("%s: got still %v, %v, want a file beside it", name, info, err)
		}
	}
}
