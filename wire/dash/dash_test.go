package dash_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/wire/dash"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/google/go-cmp/cmp"
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

// film is an asset as the studio makes it: 10.01 s at 24000/1001 frames a second.
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
			{Media: media("a-de", "mp4a.40.2", 48000, 130_000, 192512, 192512, 95456), Language: "de", Label: `Deutsch <"& Kommentar">`, Channels: 6, SampleRate: 48000, Default: true},
		},
		Text: []bijou.TextTrack{
			{Name: "t-en", Kind: bijou.Subtitles, Language: "en", Label: "English", Bytes: 900},
			{Name: "t-en-cc", Kind: bijou.Captions, Language: "en", Label: "English", Bytes: 1800},
			{Name: "t-de-ad", Kind: bijou.Descriptions, Language: "de", Bytes: 900},
		},
	}
}

// routes is the one way to an asset's files.
func routes(base string) bijou.Routes {
	return bijou.Routes{Pathways: []bijou.Pathway{{ID: "one", Base: base}}}
}

// twoWays are two appliances and a steering manifest.
var twoWays = bijou.Routes{
	Pathways: []bijou.Pathway{{ID: "apl_near", Base: "https://near.example.org:8443" + base}, {ID: "apl_far", Base: "http://192.0.2.7" + base}},
	Steering: "/api/v1/plays/TOKEN/steering.json?a=1&b=2",
}

func TestTheMPDOfAFilmIsTheGoldenOne(t *testing.T) {
	golden(t, "film.mpd", routes(base))
}

func TestEachPathwayIsABaseURLWithItsNameAndSteeringBeginsWithTheBest(t *testing.T) {
	golden(t, "two-ways.mpd", twoWays)
	text, err := dash.MPD(film(), twoWays)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mpd.ReadFromString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(m.BaseURL); got != 2 || string(m.BaseURL[1].Value) != twoWays.Pathways[1].Base || m.BaseURL[1].ServiceLocation != "apl_far" {
		t.Errorf("base addresses read back: got %+v", m.BaseURL)
	}
	if fault := disorder(text); fault != "" {
		t.Errorf("out of the schema's order: %s", fault)
	}
}

// golden compares the MPD of the film with a file of testdata.
func golden(t *testing.T, name string, r bijou.Routes) {
	t.Helper()
	got, err := dash.MPD(film(), r)
	if err != nil {
		t.Fatal(err)
	}
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

// assets draws assets that the studio could make, but for their labels and languages.
func assets() *rapid.Generator[bijou.Asset] {
	label := rapid.OneOf(
		rapid.SampledFrom([]string{"", "English", "English", "</Label><Role/>", "a & b", "]]>", "<!-- ", "a\r\nb\tc", "\"'", "$Number$", "\x00\x1b", "\xff\xfe", "\ufffe"}),
		rapid.String(),
	)
	tag := rapid.SampledFrom([]string{"en", "en", "de", "pt-BR", "zh-Hant-TW", "und", "", "x\"y", "en\n", "<en>", "1", "en-", "ninelettr"})
	return rapid.Custom(func(t *rapid.T) bijou.Asset {
		length := rapid.OneOf(rapid.Just(int64(9600)), rapid.Int64Range(1, 30_000)) // often the same as before: runs
		segments := rapid.SliceOfN(length, 1, 20).Draw(t, "segments")
		draw := func(name, codec string) bijou.Media {
			scale := rapid.SampledFrom([]int64{1, 1000, 12800, 24000, 44100, 48000, 90000, 1<<32 - 1}).Draw(t, "timescale")
			return media(name, codec, scale, rapid.Int64Range(1, 1<<32-1).Draw(t, "peak"), segments...)
		}
		a := bijou.Asset{ID: "ast_x"}
		for i := range rapid.IntRange(1, 4).Draw(t, "video") {
			a.Video = append(a.Video, bijou.VideoTrack{
				Media: draw(fmt.Sprint("v", i), rapid.SampledFrom([]string{"avc1.64001f", "avc1.4d401e", "av01.0.04M.08"}).Draw(t, "codec")),
				Width: rapid.IntRange(1, 8192).Draw(t, "width"), Height: rapid.IntRange(1, 8192).Draw(t, "height"),
				RateNum: rapid.Int64Range(0, 60000).Draw(t, "num"), RateDen: rapid.Int64Range(0, 1001).Draw(t, "den"), FirstKey: rapid.Bool().Draw(t, "key"),
			})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "audio") {
			a.Audio = append(a.Audio, bijou.AudioTrack{
				Media:    draw(fmt.Sprint("a-", i), rapid.SampledFrom([]string{"mp4a.40.2", "ac-3", "opus"}).Draw(t, "codec")),
				Language: tag.Draw(t, "language"), Label: label.Draw(t, "label"),
				Channels: rapid.IntRange(1, 16).Draw(t, "channels"), SampleRate: rapid.IntRange(1, 192000).Draw(t, "rate"), Default: rapid.Bool().Draw(t, "default"),
			})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "text") {
			a.Text = append(a.Text, bijou.TextTrack{
				Name: fmt.Sprint("t-", i), Kind: rapid.SampledFrom([]bijou.TrackKind{bijou.Subtitles, bijou.Captions, bijou.Descriptions}).Draw(t, "kind"),
				Language: tag.Draw(t, "language"), Label: label.Draw(t, "label"), Bytes: rapid.Int64Range(0, 1<<40).Draw(t, "bytes"),
			})
		}
		return a
	})
}

func TestWhatIsReadBackOfAnMPDIsTheAsset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := assets().Draw(t, "asset")
		text, err := dash.MPD(a, routes(base))
		if err != nil {
			t.Fatalf("MPD(%+v) = %v", a, err)
		}
		if fault := disorder(text); fault != "" {
			t.Fatalf("%s\nis not in the schema's order: %s", text, fault)
		}
		m, err := mpd.MPDFromBytes(text)
		if err != nil {
			t.Fatalf("dash-mpd does not read %s: %v", text, err)
		}
		if m.GetType() != "static" || m.Profiles != "urn:mpeg:dash:profile:isoff-live:2011" || len(m.BaseURL) != 1 || string(m.BaseURL[0].Value) != base || len(m.Periods) != 1 {
			t.Fatalf("%s\nis read back with type %s, profiles %s, base %v and %d periods", text, m.GetType(), m.Profiles, m.BaseURL, len(m.Periods))
		}
		sets := m.Periods[0].AdaptationSets
		if len(sets) != 1+len(a.Audio)+len(a.Text) {
			t.Fatalf("%s\nhas %d adaptation sets, want %d", text, len(sets), 1+len(a.Audio)+len(a.Text))
		}
		for i, s := range sets {
			if s.Id == nil || *s.Id != uint32(i+1) {
				t.Errorf("adaptation set %d has no identifier of its own", i+1)
			}
		}
		checkTimes(t, m, a)
		checkPicture(t, sets[0], a.Video)
		chosen := max(0, slices.IndexFunc(a.Audio, func(s bijou.AudioTrack) bool { return s.Default }))
		for i, s := range a.Audio {
			checkSound(t, sets[1+i], s, i == chosen)
		}
		for i, x := range a.Text {
			checkText(t, sets[1+len(a.Audio)+i], x)
		}
	})
}

// checkTimes wants the presentation as long as the longest rendition and @minBufferTime as long as the longest segment, to the microsecond.
func checkTimes(t *rapid.T, m *mpd.MPD, a bijou.Asset) {
	t.Helper()
	length, longest := new(big.Rat), new(big.Rat)
	add := func(to *big.Rat, ticks, scale int64) {
		if r := big.NewRat(ticks, scale); r.Cmp(to) > 0 {
			to.Set(r)
		}
	}
	var all []bijou.Media
	for _, v := range a.Video {
		add(length, v.Ticks(), v.Timescale)
		all = append(all, v.Media)
	}
	for _, s := range a.Audio {
		all = append(all, s.Media)
	}
	for _, m := range all {
		for _, s := range m.Segments {
			add(longest, s.Ticks, m.Timescale)
		}
	}
	near := func(what string, got *mpd.Duration, want *big.Rat) {
		t.Helper()
		seconds, _ := want.Float64()
		if diff := time.Duration(*got).Seconds() - seconds; diff < -1e-8 || diff > 1.01e-6 {
			t.Errorf("%s is %v, want %v s", what, got, seconds)
		}
	}
	near("mediaPresentationDuration", m.MediaPresentationDuration, length)
	near("minBufferTime", m.MinBufferTime, longest)
	near("maxSegmentDuration", m.MaxSegmentDuration, longest)
}

func checkPicture(t *rapid.T, set *mpd.AdaptationSetType, tracks []bijou.VideoTrack) {
	t.Helper()
	var width, height int
	fastest, sap := new(big.Rat), uint32(1)
	for i, v := range tracks {
		width, height = max(width, v.Width), max(height, v.Height)
		if !v.FirstKey {
			sap = 0
		}
		r := set.Representations[i]
		checkMedia(t, r, v.Media)
		if int(r.Width) != v.Width || int(r.Height) != v.Height || r.Sar != "1:1" {
			t.Errorf("rendition %s measures %dx%d, sar %s, want %dx%d, 1:1", v.Name, r.Width, r.Height, r.Sar, v.Width, v.Height)
		}
		want := new(big.Rat)
		if v.RateDen > 0 {
			want.SetFrac64(v.RateNum, v.RateDen)
		}
		if want.Cmp(fastest) > 0 {
			fastest = want
		}
		if got := parseRate(t, string(r.FrameRate)); got.Cmp(want) != 0 {
			t.Errorf("rendition %s has frame rate %q, want %d/%d", v.Name, r.FrameRate, v.RateNum, v.RateDen)
		}
	}
	if set.ContentType != "video" || set.MimeType != "video/mp4" || !set.SegmentAlignment || set.StartWithSAP != sap || len(set.Representations) != len(tracks) {
		t.Errorf("video set is read back as %+v", set)
	}
	if int(set.MaxWidth) != width || int(set.MaxHeight) != height || parseRate(t, set.MaxFrameRate).Cmp(fastest) != 0 {
		t.Errorf("video set has at most %dx%d at %q, want %dx%d at %v", set.MaxWidth, set.MaxHeight, set.MaxFrameRate, width, height, fastest)
	}
}

// frameRate is the schema's FrameRateType.
var frameRate = regexp.MustCompile(`^[0-9]+(/[1-9][0-9]*)?$`)

func parseRate(t *rapid.T, s string) *big.Rat {
	if s == "" {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || !frameRate.MatchString(s) {
		t.Fatalf("frame rate %q is none", s)
	}
	return r
}

func checkSound(t *rapid.T, set *mpd.AdaptationSetType, a bijou.AudioTrack, chosen bool) {
	t.Helper()
	role := "alternate"
	if chosen {
		role = "main"
	}
	r := set.Representations[0]
	checkMedia(t, r, a.Media)
	checkSet(t, set, track{"audio", "audio/mp4", role, a.Language, a.Label})
	channels := r.AudioChannelConfigurations
	if len(channels) != 1 || channels[0].Value != fmt.Sprint(a.Channels) || string(*r.AudioSamplingRate) != fmt.Sprint(a.SampleRate) || !set.SegmentAlignment || set.StartWithSAP != 1 {
		t.Errorf("audio %+v is read back as %+v with %+v", a, set, r)
	}
}

func checkText(t *rapid.T, set *mpd.AdaptationSetType, x bijou.TextTrack) {
	t.Helper()
	role := map[bijou.TrackKind]string{bijou.Subtitles: "subtitle", bijou.Captions: "caption", bijou.Descriptions: "description"}[x.Kind]
	checkSet(t, set, track{"text", "text/vtt", role, x.Language, x.Label})
	r := set.Representations[0]
	if r.Id != x.Name || r.Bandwidth < 1 || len(r.BaseURLs) != 1 || string(r.BaseURLs[0].Value) != x.Name+"/text.vtt" || r.SegmentTemplate != nil {
		t.Errorf("text %+v is read back as %+v", x, r)
	}
}

// languageTag is the schema's xs:language.
var languageTag = regexp.MustCompile(`^[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*$`)

// track is what an adaptation set of one track says of it.
type track struct{ content, mime, role, language, label string }

func checkSet(t *rapid.T, set *mpd.AdaptationSetType, want track) {
	t.Helper()
	if !languageTag.MatchString(want.language) {
		want.language = "und"
	}
	want.label = inXML(want.label)
	got := track{content: string(set.ContentType), mime: set.MimeType, language: set.Lang}
	if len(set.Roles) == 1 && set.Roles[0].SchemeIdUri == "urn:mpeg:dash:role:2011" {
		got.role = set.Roles[0].Value
	}
	if len(set.Labels) > 0 {
		got.label = set.Labels[0].Value
	}
	if got != want || len(set.Representations) != 1 {
		t.Errorf("an adaptation set of %d tracks says %+v, want one and %+v", len(set.Representations), got, want)
	}
}

// inXML returns what of s a document of XML 1.0 can hold (section 2.2); what it cannot is replaced.
func inXML(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 {
			return r
		}
		return '\ufffd'
	}, strings.ToValidUTF8(expand(s), "\ufffd"))
}

// expand gives each byte that is no UTF-8 a place of its own.
func expand(s string) string { return string([]rune(s)) }

func checkMedia(t *rapid.T, r *mpd.RepresentationType, m bijou.Media) {
	t.Helper()
	s := r.SegmentTemplate
	if r.Id != m.Name || int64(r.Bandwidth) != m.PeakBPS || r.Codecs != m.Codec || s == nil {
		t.Fatalf("track %+v is read back as %+v", m, r)
	}
	if s.Initialization != m.Name+"/init.mp4" || s.Media != m.Name+"/$Number$.m4s" || *s.StartNumber != 1 || int64(s.GetTimescale()) != m.Timescale {
		t.Errorf("track %s is read back with template %+v", m.Name, s)
	}
	var ticks []int64
	for i, run := range s.SegmentTimeline.S {
		if (run.T != nil) != (i == 0) || i == 0 && *run.T != 0 || run.R < 0 {
			t.Errorf("track %s: run %d is %+v: the first begins at 0 and each other on the one before", m.Name, i, run)
		}
		if i > 0 && run.D == s.SegmentTimeline.S[i-1].D {
			t.Errorf("track %s: run %d goes on as the one before and is not one with it", m.Name, i)
		}
		for range run.R + 1 {
			ticks = append(ticks, int64(run.D))
		}
	}
	var want []int64
	for _, s := range m.Segments {
		want = append(want, s.Ticks)
	}
	if !slices.Equal(ticks, want) {
		t.Errorf("track %s has segments of %v ticks, want %v", m.Name, ticks, want)
	}
}

// order is the schema's order of the children that we print (annex B); what stands in one place of the list stands before the next.
var order = map[string][]string{
	"MPD":             {"BaseURL", "ContentSteering", "Period"}, // the second as dash.js and Shaka Player look for it
	"Period":          {"AdaptationSet"},
	"AdaptationSet":   {"Label", "Role", "Representation"},
	"Representation":  {"AudioChannelConfiguration", "BaseURL", "SegmentTemplate"},
	"SegmentTemplate": {"SegmentTimeline"},
	"SegmentTimeline": {"S"},
}

// disorder names the first element that stands where the schema does not have it, or nothing.
func disorder(text []byte) string {
	dec := xml.NewDecoder(strings.NewReader(string(text)))
	type level struct {
		name string
		at   int
	}
	stack := []level{{}}
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return ""
		}
		if err != nil {
			return err.Error()
		}
		switch e := token.(type) {
		case xml.StartElement:
			if e.Name.Space != "urn:mpeg:dash:schema:mpd:2011" {
				return e.Name.Local + " has no or another name space"
			}
			if parent := &stack[len(stack)-1]; parent.name != "" {
				at := slices.Index(order[parent.name], e.Name.Local)
				if at < parent.at {
					return e.Name.Local + " in " + parent.name
				}
				parent.at = at
			}
			stack = append(stack, level{name: e.Name.Local})
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}

func TestWhatNoMPDCanDescribeIsRefusedAsInvalid(t *testing.T) {
	check := func(name string, change func(a *bijou.Asset, base *string)) {
		t.Helper()
		a, b := film(), base
		change(&a, &b)
		if text, err := dash.MPD(a, routes(b)); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: MPD = %s, %v; want Invalid", name, text, err)
		}
	}
	check("no video", func(a *bijou.Asset, _ *string) { a.Video = nil })
	check("base without a slash", func(_ *bijou.Asset, b *string) { *b = "/g/TOKEN" })
	check("base with a newline", func(_ *bijou.Asset, b *string) { *b = "/g/\n/" })
	check("base with an angle bracket", func(_ *bijou.Asset, b *string) { *b = "/g/</" })
	check("name with a slash", func(a *bijou.Asset, _ *string) { a.Video[0].Name = "v/720" })
	check("name with a template identifier", func(a *bijou.Asset, _ *string) { a.Video[0].Name = "$Number$" })
	check("name that leaves the folder", func(a *bijou.Asset, _ *string) { a.Audio[0].Name = ".." })
	check("the same name twice", func(a *bijou.Asset, _ *string) { a.Audio[0].Name = "v720" })
	check("text under a taken name", func(a *bijou.Asset, _ *string) { a.Text[0].Name = "v720" })
	check("codec with a bracket", func(a *bijou.Asset, _ *string) { a.Video[0].Codec = "avc1<" })
	check("no peak rate", func(a *bijou.Asset, _ *string) { a.Video[1].PeakBPS = 0 })
	check("peak rate beyond the schema", func(a *bijou.Asset, _ *string) { a.Video[1].PeakBPS = 1 << 32 })
	check("no width", func(a *bijou.Asset, _ *string) { a.Video[1].Width = 0 })
	check("negative frame rate", func(a *bijou.Asset, _ *string) { a.Video[1].RateDen = -1 })
	check("no channels", func(a *bijou.Asset, _ *string) { a.Audio[1].Channels = 0 })
	check("no timescale", func(a *bijou.Asset, _ *string) { a.Audio[1].Timescale = 0 })
	check("timescale beyond the schema", func(a *bijou.Asset, _ *string) { a.Audio[1].Timescale = 1 << 32 })
	check("no segments", func(a *bijou.Asset, _ *string) { a.Audio[1].Segments = nil })
	check("segment of no ticks", func(a *bijou.Asset, _ *string) { a.Video[0].Segments[1].Ticks = 0 })
	check("segments beyond all time", func(a *bijou.Asset, _ *string) { a.Video[0].Segments[1].Ticks = 1 << 62 })
	check("text of negative size", func(a *bijou.Asset, _ *string) { a.Text[0].Bytes = -1 })
}
