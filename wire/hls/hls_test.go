package hls_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"bijou"
	"bijou/wire/hls"

	"github.com/Eyevinn/hls-m3u8/m3u8"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

const base = "/g/TOKEN/ast_film/"

// media returns a track with segments of so many ticks.
func media(name, codec string, timescale, peak int64, ticks ...int64) bijou.Media {
	m := bijou.Media{Name: name, Codec: codec, Timescale: timescale, PeakBPS: peak, AverageBPS: peak * 3 / 4}
	for _, t := range ticks {
		m.Segments = append(m.Segments, bijou.Segment{Ticks: t})
	}
	return m
}

// film is an asset as the studio makes it: 10 s at 24000/1001 frames a second.
func film() bijou.Asset {
	segments := []int64{96096, 96096, 48048}
	return bijou.Asset{
		ID: "ast_film", Title: "ttl_film", RuntimeMS: 10010, SegmentMS: 4004,
		Video: []bijou.VideoTrack{
			{Media: media("v720", "avc1.64001f", 24000, 3_000_000, segments...), Width: 1280, Height: 720, RateNum: 24000, RateDen: 1001, FirstKey: true},
			{Media: media("v360", "avc1.64001e", 24000, 900_000, segments...), Width: 640, Height: 360, RateNum: 24000, RateDen: 1001, FirstKey: true},
		},
		Audio: []bijou.AudioTrack{
			{Media: media("a-en", "mp4a.40.2", 48000, 140_000, 192512, 192512, 95456), Language: "en", Label: "English", Channels: 2, SampleRate: 48000},
			{Media: media("a-de", "mp4a.40.2", 48000, 130_000, 192512, 192512, 95456), Language: "de", Label: "Deutsch", Channels: 6, SampleRate: 48000, Default: true},
			{Media: media("a-de-2", "ac-3", 48000, 150_000, 192512, 192512, 95456), Language: "de", Label: `Deutsch, "mit Kommentar"`, Channels: 2, SampleRate: 48000},
		},
		Text: []bijou.TextTrack{
			{Name: "t-en", Kind: bijou.Subtitles, Language: "en", Label: "English", Bytes: 900},
			{Name: "t-en-cc", Kind: bijou.Captions, Language: "en", Label: "English", Bytes: 900},
			{Name: "t-de-ad", Kind: bijou.Descriptions, Language: "de", Bytes: 900},
		},
	}
}

// golden compares the bytes with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestPlaylistsOfAFilmAreTheGoldenOnes(t *testing.T) {
	a := film()
	b, err := hls.Multivariant(a, routes(base))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "film.m3u8", b)
	if b, err = hls.Playlist(a.Video[0].Media); err != nil {
		t.Fatal(err)
	}
	golden(t, "v720.m3u8", b)
	if b, err = hls.TextPlaylist(a.RuntimeMS); err != nil {
		t.Fatal(err)
	}
	golden(t, "text.m3u8", b)
}

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// parse has the third party's parser and the strict checker read a playlist.
func parse[P m3u8.Playlist](t fatal, text []byte) (P, *playlist) {
	t.Helper()
	read, _, err := m3u8.DecodeFrom(bytes.NewReader(text), true)
	if err != nil {
		t.Fatalf("m3u8 does not read %q: %v", text, err)
	}
	out, ok := read.(P)
	if !ok {
		t.Fatalf("m3u8 reads %q as %T", text, read)
	}
	p := strict(string(text))
	if len(p.faults) > 0 {
		t.Fatalf("%s\nbreaks RFC 8216bis:\n%s", text, strings.Join(p.faults, "\n"))
	}
	return out, p
}

// label draws names that want to break out of where they stand.
func label() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "English", "English", "Deutsch", " ", "\"", "a\",DEFAULT=YES,X=\"", "a\n#EXT-X-ENDLIST", "a\r\nb", "{$token}", "{\n$token}", "x\ufeff", "e\u0301", "\xff\xfe"}),
		rapid.StringOf(rapid.RuneFrom([]rune("\"'<>&{}$\r\n\t,=# aé\u0301\u0085\u2028\ufeff\x00"))),
		rapid.String(),
	)
}

func tags() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"en", "en", "de", "pt-BR", "zh-Hant-TW", "und", "", "x\"y", "en\n", "en,fr", "1", "en-", "ninelettr"})
}

// assets draws assets that the studio could make, but for their labels and languages.
func assets() *rapid.Generator[bijou.Asset] {
	return rapid.Custom(func(t *rapid.T) bijou.Asset {
		segments := rapid.SliceOfN(rapid.Int64Range(1, 30_000), 1, 20).Draw(t, "segments")
		draw := func(name, codec string) bijou.Media {
			scale := rapid.SampledFrom([]int64{1, 1000, 12800, 24000, 44100, 48000, 90000, 1<<32 - 1}).Draw(t, "timescale")
			return media(name, codec, scale, rapid.Int64Range(2, 50_000_000).Draw(t, "peak"), segments...)
		}
		a := bijou.Asset{ID: "ast_x"}
		for i := range rapid.IntRange(1, 4).Draw(t, "video") {
			a.Video = append(a.Video, bijou.VideoTrack{
				Media: draw(fmt.Sprint("v", i), rapid.SampledFrom([]string{"avc1.64001f", "avc1.4d401e", "av01.0.04M.08"}).Draw(t, "codec")),
				Width: rapid.IntRange(2, 8192).Draw(t, "width"), Height: rapid.IntRange(2, 8192).Draw(t, "height"),
				RateNum: rapid.Int64Range(0, 60000).Draw(t, "num"), RateDen: rapid.Int64Range(0, 1001).Draw(t, "den"), FirstKey: rapid.Bool().Draw(t, "key"),
			})
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "audio") {
			a.Audio = append(a.Audio, bijou.AudioTrack{
				Media:    draw(fmt.Sprint("a-", i), rapid.SampledFrom([]string{"mp4a.40.2", "ac-3", "opus"}).Draw(t, "codec")),
				Language: tags().Draw(t, "language"), Label: label().Draw(t, "label"),
				Channels: rapid.IntRange(1, 16).Draw(t, "channels"), SampleRate: 48000, Default: rapid.Bool().Draw(t, "default"),
			})
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "text") {
			a.Text = append(a.Text, bijou.TextTrack{
				Name: fmt.Sprint("t-", i), Kind: rapid.SampledFrom([]bijou.TrackKind{bijou.Subtitles, bijou.Captions, bijou.Descriptions}).Draw(t, "kind"),
				Language: tags().Draw(t, "language"), Label: label().Draw(t, "label"),
			})
		}
		return a
	})
}

// wantLanguage is what a reader finds for a language.
func wantLanguage(tag string) string {
	if languageTag.MatchString(tag) {
		return tag
	}
	return "und"
}

// letters leaves of s what no playlist needs to change.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, norm.NFC.String(s))
}

// sameName tells whether a reader finds the label again: its letters, and after them at most the number that makes it unique.
func sameName(got, label string) bool {
	// Marks join the letters before them in form C, so only labels without them can be compared letter by letter.
	if strings.ContainsFunc(label, unicode.IsMark) {
		return got != ""
	}
	return got != "" && strings.HasPrefix(letters(got), letters(label))
}

func TestWhatIsReadBackOfAMultivariantPlaylistIsTheAsset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := assets().Draw(t, "asset")
		text, err := hls.Multivariant(a, routes(base))
		if err != nil {
			t.Fatalf("Multivariant(%+v) = %v", a, err)
		}
		m, p := parse[*m3u8.MasterPlaylist](t, text)
		if len(m.Variants) != len(a.Video) || len(p.media) != len(a.Audio)+len(a.Text) {
			t.Fatalf("%s\nhas %d variants and %d renditions, want %d and %d", text, len(m.Variants), len(p.media), len(a.Video), len(a.Audio)+len(a.Text))
		}
		key := !slices.ContainsFunc(a.Video, func(v bijou.VideoTrack) bool { return !v.FirstKey })
		if m.IndependentSegments() != key {
			t.Errorf("independent segments = %v, want %v", m.IndependentSegments(), key)
		}
		for i, v := range a.Video {
			checkVariant(t, m.Variants[i], v, a)
		}
		for i, r := range m.Variants[0].Alternatives {
			if i < len(a.Audio) {
				checkAudio(t, r, a.Audio[i])
			} else {
				checkText(t, r, a.Text[i-len(a.Audio)])
			}
		}
		checkDefault(t, p, a.Audio)
	})
}

func checkVariant(t *rapid.T, got *m3u8.Variant, v bijou.VideoTrack, a bijou.Asset) {
	peak, average, codecs := v.PeakBPS, v.AverageBPS, []string{v.Codec}
	var loud, loudAverage int64
	for _, s := range a.Audio {
		loud, loudAverage = max(loud, s.PeakBPS), max(loudAverage, s.AverageBPS)
		if !slices.Contains(codecs, s.Codec) {
			codecs = append(codecs, s.Codec)
		}
	}
	want := m3u8.VariantParams{
		Bandwidth: uint32(peak + loud), AverageBandwidth: uint32(average + loudAverage), Codecs: strings.Join(codecs, ","),
		Resolution: fmt.Sprintf("%dx%d", v.Width, v.Height), Captions: "NONE", Alternatives: got.Alternatives, FrameRate: got.FrameRate,
	}
	if len(a.Audio) > 0 {
		want.Audio = "audio"
	}
	if len(a.Text) > 0 {
		want.Subtitles = "text"
	}
	if diff := cmp.Diff(want, got.VariantParams); diff != "" {
		t.Errorf("variant %s (-want +got):\n%s", v.Name, diff)
	}
	if uri := base + v.Name + "/index.m3u8"; got.URI != uri {
		t.Errorf("variant %s has address %q, want %q", v.Name, got.URI, uri)
	}
	if v.RateNum == 0 || v.RateDen == 0 {
		if got.FrameRate != 0 {
			t.Errorf("variant %s has %v frames a second, want none", v.Name, got.FrameRate)
		}
	} else if diff := got.FrameRate - float64(v.RateNum)/float64(v.RateDen); diff > 0.00051 || diff < -0.00051 {
		t.Errorf("variant %s has %v frames a second, want %d/%d", v.Name, got.FrameRate, v.RateNum, v.RateDen)
	}
}

func checkAudio(t *rapid.T, got *m3u8.Alternative, a bijou.AudioTrack) {
	if got.Type != "AUDIO" || got.URI != base+a.Name+"/index.m3u8" || got.Language != wantLanguage(a.Language) || got.Channels.Amount != a.Channels || !sameName(got.Name, a.Label) {
		t.Errorf("audio %+v is read back as %+v", a, got)
	}
}

func checkText(t *rapid.T, got *m3u8.Alternative, x bijou.TextTrack) {
	if got.Type != "SUBTITLES" || got.URI != base+x.Name+"/index.m3u8" || got.Language != wantLanguage(x.Language) || got.Default || got.Forced || !sameName(got.Name, x.Label) {
		t.Errorf("text %+v is read back as %+v", x, got)
	}
	if spoken := strings.Contains(got.Characteristics, "public.accessibility.transcribes-spoken-dialog"); spoken != (x.Kind == bijou.Captions) {
		t.Errorf("text of kind %s has characteristics %q", x.Kind, got.Characteristics)
	}
	if x.Kind == bijou.Descriptions && got.Autoselect {
		t.Errorf("descriptions %+v are selected automatically", x)
	}
}

// checkDefault wants one default where there is sound: the first that the asset marks, or else the first of all.
func checkDefault(t *rapid.T, p *playlist, tracks []bijou.AudioTrack) {
	want := max(0, slices.IndexFunc(tracks, func(a bijou.AudioTrack) bool { return a.Default }))
	for i := range tracks {
		if got := p.media[i]["DEFAULT"] == "YES"; got != (i == want) {
			t.Errorf("audio %d has DEFAULT=%s, want track %d to be the default", i, p.media[i]["DEFAULT"], want)
		}
	}
}

func TestSegmentTimesReadBackWithoutDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.SampledFrom([]int64{1, 3, 7, 600, 12800, 24000, 30000, 44100, 90000, 1<<32 - 1}).Draw(t, "timescale")
		ticks := rapid.SliceOfN(rapid.Int64Range(1, 12*scale), 1, 300).Draw(t, "ticks")
		text, err := hls.Playlist(media("v720", "avc1.64001f", scale, 1, ticks...))
		if err != nil {
			t.Fatalf("Playlist(%d ticks a second, %v) = %v", scale, ticks, err)
		}
		m, p := parse[*m3u8.MediaPlaylist](t, text)
		if !m.Closed || m.MediaType != m3u8.VOD || m.Map == nil || m.Map.URI != "init.mp4" || int(m.Count()) != len(ticks) || m.SeqNo != 1 {
			t.Fatalf("%s\nis read back as %+v", text, m)
		}
		var sum, printed int64
		for i := range ticks {
			if s := m.Segments[i]; s.URI != fmt.Sprintf("%d.m4s", i+1) || s.URI != p.segments[i] {
				t.Fatalf("segment %d has address %q", i+1, s.URI)
			}
			sum, printed = sum+ticks[i], printed+p.micros[i]
			// |sum/scale - printed/1e6| <= half a microsecond
			off := new(big.Int).Mul(big.NewInt(sum), big.NewInt(1_000_000))
			off.Sub(off, new(big.Int).Mul(big.NewInt(printed), big.NewInt(scale)))
			if off.Abs(off).Mul(off, big.NewInt(2)).Cmp(big.NewInt(scale)) > 0 {
				t.Fatalf("after segment %d %d/%d s have passed, and the playlist says %d µs", i+1, sum, scale, printed)
			}
		}
	})
}

func TestATextPlaylistIsOneSegmentOfTheWholeLength(t *testing.T) {
	for _, ms := range []int64{1, 499, 500, 1500, 10010, 7_200_400, 7 * 24 * 3600 * 1000} {
		text, err := hls.TextPlaylist(ms)
		if err != nil {
			t.Fatalf("TextPlaylist(%d) = %v", ms, err)
		}
		m, p := parse[*m3u8.MediaPlaylist](t, text)
		if m.Count() != 1 || m.Segments[0].URI != "text.vtt" || m.Map != nil || !m.Closed || p.micros[0] != ms*1000 {
			t.Errorf("TextPlaylist(%d) = %s", ms, text)
		}
	}
}

func TestWhatNoPlaylistCanNameIsRefusedAsInvalid(t *testing.T) {
	check := func(name string, change func(a *bijou.Asset, base *string)) {
		t.Helper()
		a, b := film(), base
		change(&a, &b)
		if text, err := hls.Multivariant(a, routes(b)); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: Multivariant = %s, %v; want Invalid", name, text, err)
		}
	}
	check("no video", func(a *bijou.Asset, _ *string) { a.Video = nil })
	check("base without a slash", func(_ *bijou.Asset, b *string) { *b = "/g/TOKEN" })
	check("base with a newline", func(_ *bijou.Asset, b *string) { *b = "/g/\n/" })
	check("base with a quote", func(_ *bijou.Asset, b *string) { *b = "/g/\"/" })
	check("empty base", func(_ *bijou.Asset, b *string) { *b = "" })
	check("name with a slash", func(a *bijou.Asset, _ *string) { a.Video[0].Name = "v/720" })
	check("name that leaves the folder", func(a *bijou.Asset, _ *string) { a.Audio[0].Name = ".." })
	check("name with a quote", func(a *bijou.Asset, _ *string) { a.Text[0].Name = "t\"" })
	check("codec with a quote", func(a *bijou.Asset, _ *string) { a.Video[0].Codec = "avc1\"" })
	check("no codec", func(a *bijou.Asset, _ *string) { a.Audio[1].Codec = "" })
	check("no peak rate", func(a *bijou.Asset, _ *string) { a.Video[1].PeakBPS = 0 })
	check("no width", func(a *bijou.Asset, _ *string) { a.Video[1].Width = 0 })
	check("no channels", func(a *bijou.Asset, _ *string) { a.Audio[1].Channels = 0 })

	for _, m := range []bijou.Media{
		media("v", "avc1", 24000, 1),
		media("v", "avc1", 0, 1, 96),
		media("v", "avc1", -1, 1, 96),
		media("v", "avc1", 1<<32, 1, 96),
		media("v", "avc1", 24000, 1, 96, 0),
		media("v", "avc1", 24000, 1, 96, -5),
		media("v", "avc1", 1, 1, 1<<62, 1<<62),
	} {
		if text, err := hls.Playlist(m); !errors.Is(err, bijou.Invalid) {
			t.Errorf("Playlist(%+v) = %s, %v; want Invalid", m, text, err)
		}
	}
	for _, ms := range []int64{0, -1, 1 << 60} {
		if text, err := hls.TextPlaylist(ms); !errors.Is(err, bijou.Invalid) {
			t.Errorf("TextPlaylist(%d) = %s, %v; want Invalid", ms, text, err)
		}
	}
}

// routes is the one way to an asset's files.
func routes(base string) bijou.Routes {
	return bijou.Routes{Pathways: []bijou.Pathway{{ID: "one", Base: base}}}
}

// twoWays are two appliances and a steering manifest.
var twoWays = bijou.Routes{
	Pathways: []bijou.Pathway{{ID: "apl_near", Base: "https://near.example.org:8443" + base}, {ID: "apl_far", Base: "http://192.0.2.7" + base}},
	Steering: "/api/v1/plays/TOKEN/steering.json",
}

func TestEveryPathwayHasAllVariantsWithRenditionsOfItsOwn(t *testing.T) {
	b, err := hls.Multivariant(film(), twoWays)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "two-ways.m3u8", b)
	m, _ := parse[*m3u8.MasterPlaylist](t, b)
	if got, want := len(m.Variants), 2*len(film().Video); got != want {
		t.Errorf("two pathways: got %d variants, want %d", got, want)
	}
	for _, v := range m.Variants {
		for _, alt := range v.Alternatives {
			if host, _, _ := strings.Cut(v.URI, base); !strings.HasPrefix(alt.URI, host) {
				t.Errorf("variant %s has the rendition %s of another appliance", v.URI, alt.URI)
			}
		}
	}
}
