package playback

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"bijou"
	"bijou/wire/dash"
	"bijou/wire/hls"

	"github.com/google/go-cmp/cmp"
)

// feature is the description of a film of two hours in four renditions and two languages.
func feature() bijou.Asset {
	media := func(name string, timescale, ticks, odd int64) bijou.Media {
		m := bijou.Media{Name: name, Codec: "avc1.64001f", Timescale: timescale, PeakBPS: 4_000_000, AverageBPS: 2_000_000, InitBytes: 900, InitSHA256: "00"}
		for n := range int64(1800) {
			sum := sha256.Sum256(fmt.Append(nil, name, n))
			m.Segments = append(m.Segments, bijou.Segment{Ticks: ticks + n%2*odd, Bytes: 1_000_000 + n*7919%100_000, SHA256: hex.EncodeToString(sum[:])})
		}
		return m
	}
	a := bijou.Asset{ID: "ast_1", Title: "ttl_1", Version: 1, RuntimeMS: 7_200_000, SegmentMS: 4000, Poster: bijou.PosterFile}
	for _, h := range []int{1080, 720, 480, 240} {
		v := bijou.VideoTrack{Media: media(fmt.Sprint("v", h), 24000, 96000, 0), Width: h * 16 / 9, Height: h, RateNum: 24, RateDen: 1, FirstKey: true}
		a.Video = append(a.Video, v)
	}
	for _, l := range []string{"en", "de"} {
		t := bijou.AudioTrack{Media: media("a-"+l, 48000, 191488, 1024), Language: l, Label: l, Channels: 2, SampleRate: 48000}
		t.Codec = "mp4a.40.2"
		a.Audio = append(a.Audio, t)
	}
	a.Text = []bijou.TextTrack{{Name: "t-en", Kind: bijou.Subtitles, Language: "en", Label: "English", Bytes: 90_000, SHA256: "00"}}
	return a
}

// routes are the ways to the files.
var routes = bijou.Routes{Pathways: []bijou.Pathway{{ID: "one", Base: "https://one.example.org/g/t/ast_1/"}}}

func TestAnOutlineIsSmallAndMakesTheSameManifests(t *testing.T) {
	a := feature()
	whole, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(outlineOf(a))
	if err != nil {
		t.Fatal(err)
	}
	if len(b)*20 > len(whole) || len(b) > bijou.MaxCacheValue {
		t.Errorf("the outline has %d bytes of the description's %d, want at most a twentieth", len(b), len(whole))
	}
	again, err := readOutline(b, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(feature(), a); d != "" {
		t.Errorf("outlining changed the asset:\n%s", d)
	}
	for name, print := range map[string]func(bijou.Asset, bijou.Routes) ([]byte, error){"HLS": hls.Multivariant, "DASH": dash.MPD} {
		want, err := print(a, routes)
		got, err2 := print(again, routes)
		if err != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of the outline: %v, %v:\n%s", name, err, err2, cmp.Diff(string(want), string(got)))
		}
	}
}

func FuzzAnOutlineIsReadOrRefused(f *testing.F) {
	b, err := json.Marshal(outlineOf(bijou.Asset{ID: "ast_1", Video: []bijou.VideoTrack{{Media: bijou.Media{Segments: []bijou.Segment{{Ticks: 1}, {Ticks: 1}, {Ticks: 2}}}}}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"asset":{"id":"ast_1","video":[{}]},"video":["Af////////////8B"]}`))
	f.Add([]byte(`{"asset":{"id":"ast_1","video":[{}]},"video":["AQEB"]}`))
	f.Add([]byte(`{"asset":{"id":"ast_1","video":[{}]},"video":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readOutline(b, "ast_1")
		if err != nil {
			return
		}
		again, err := json.Marshal(outlineOf(a))
		if err != nil {
			t.Fatal(err)
		}
		if same, err := readOutline(again, "ast_1"); err != nil || len(same.Video) != len(a.Video) {
			t.Errorf("read, outlined and read again: %v", err)
		}
	})
}

func BenchmarkAssetFromItsDescription(b *testing.B) {
	raw, err := json.Marshal(feature())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var a bijou.Asset
		if err := json.Unmarshal(raw, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssetFromItsOutline(b *testing.B) {
	raw, err := json.Marshal(outlineOf(feature()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(raw)), "bytes")
	for b.Loop() {
		if _, err := readOutline(raw, "ast_1"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkManifest(b *testing.B) {
	a := feature()
	for b.Loop() {
		if _, err := dash.MPD(a, routes); err != nil {
			b.Fatal(err)
		}
	}
}
