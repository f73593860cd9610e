package captions

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"bijou"
)

var update = flag.Bool("update", false, "write the golden files anew")

// subs is where real subtitle files lie.
const subs = "../../test/media/subs"

func TestRealSubtitleFilesBecomeCleanWebVTT(t *testing.T) {
	for _, name := range []string{"sintel_trailer_en.srt", "sintel_trailer_es.srt", "TOS-no.srt", "TOS-de.srt", "ed-captions.en.vtt"} {
		raw, err := os.ReadFile(filepath.Join(subs, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ToWebVTT(raw, name)
		if err != nil {
			t.Errorf("%s: got %v, want WebVTT", name, err)
			continue
		}
		checkClean(t, got)
		golden := filepath.Join("testdata", strings.TrimSuffix(name, filepath.Ext(name))+".golden.vtt")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEachKindOfSubtitlesBecomesTheSameWebVTT(t *testing.T) {
	const want = "WEBVTT\n\n00:00:01.500 --> 00:00:03.000\nOne <i>day</i>\nand &lt;3\n\n01:00:00.000 --> 01:00:02.250\nTwo\n"
	for name, in := range map[string]string{
		"a.srt": "1\n00:00:01,500 --> 00:00:03,000\nOne <i>day</i>\nand <3\n\n2\n01:00:00,000 --> 01:00:02,250\nTwo\n",
		"a.vtt": "WEBVTT - title\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\nNOTE\n00:00:00.000 --> 00:00:01.000\nnot shown\n\n" +
			"first\n00:01.500 --> 00:03.000 bogus:1 region:x\nOne <i>day</i>\nand &lt;3\n\n01:00:00.000 --> 01:00:02.250\nTwo",
		"a.ass": "[Script Info]\nTitle: x\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n" +
			`Dialogue: 0,1:00:00.00,1:00:02.25,Default,,0,0,0,,Two{\p1}m 0 0 l 1 1{\p0}` + "\n" +
			`Comment: 0,0:00:00.00,0:00:02.25,Default,,0,0,0,,no` + "\n" +
			`Dialogue: 0,0:00:01.50,0:00:03.00,Default,,0,0,0,,{\an8\pos(1,2)}One {\i1}day{\i0}\Nand <3` + "\n",
		"a.ttml": `<?xml version="1.0" encoding="UTF-8"?><tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling"` +
			` xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25"><head><styling><style xml:id="s" tts:fontStyle="italic"/></styling></head>` +
			`<body><div><p begin="1500ms" dur="1.5s">One <span style="s">day</span><br/> and   &lt;3 </p>` +
			`<p begin="01:00:00.000" end="01:00:02.250">Two</p></div></body></tt>`,
	} {
		got, err := ToWebVTT([]byte(in), name)
		if err != nil {
			t.Errorf("%s: got %v, want WebVTT", name, err)
			continue
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %q (-want +got):\n%s", name, in, diff)
		}
	}
}

func TestEachCharacterSetIsRead(t *testing.T) {
	const cue = "1\r\n00:00:01,000 --> 00:00:02,000\r\nÄäni “ja” – šokki Žižek €\r\n"
	utf16 := func(big, mark bool) []byte {
		var b []byte
		text := cue
		if mark {
			text = "\uFEFF" + cue
		}
		for _, r := range text {
			if big {
				b = append(b, byte(r>>8), byte(r))
			} else {
				b = append(b, byte(r), byte(r>>8))
			}
		}
		return b
	}
	legacy := strings.NewReplacer("Ä", "\xc4", "ä", "\xe4", "š", "\x9a", "å", "\xe5", "“", "\x93", "”", "\x94", "–", "\x96", "Ž", "\x8e", "ž", "\x9e", "€", "\x80").Replace(cue)
	for name, raw := range map[string][]byte{
		"UTF-8": []byte(cue), "UTF-8 with mark": []byte("\uFEFF" + cue), "UTF-16LE": utf16(false, true), "UTF-16BE": utf16(true, true),
		"UTF-16LE without mark": utf16(false, false), "UTF-16BE without mark": utf16(true, false), "Windows-1252": []byte(legacy),
	} {
		got, err := ToWebVTT(raw, "a.srt")
		want := "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nÄäni “ja” – šokki Žižek €\n"
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestMarkupIsKeptClosedOrTurnedIntoText(t *testing.T) {
	for in, want := range map[string]string{
		"<i>a</i>":                     "<i>a</i>",
		"<I>a":                         "<i>a</i>",
		"<b><i>a</b>b</i>":             "<b><i>a</i></b>b",
		"</i>a":                        "a",
		"<font color=\"red\">a</font>": "a",
		"<script>alert(1)</script>":    "alert(1)",
		"<img src=x onerror=1>a":       "a",
		"<c.yellow.bg_blue>a</c>":      "a",
		"<v.loud Mary & Co>a":          "<v Mary &amp; Co>a</v>",
		"<v Tom &lt;b&gt;>a</v>":       "<v Tom &lt;b&gt;>a</v>",
		"<00:00:01.000>a":              "a",
		"a < b > c & d":                "a &lt; b &gt; c &amp; d",
		"I <3 you":                     "I &lt;3 you",
		"&amp; &lt; &nbsp;x &copy;":    "&amp; &lt; &nbsp;x &amp;copy;",
		"<v Mary -->a":                 "<v Mary>a</v>",
		"a --> b":                      "a --&gt; b",
		"{\\an8}a {b}":                 "a {b}",
		"a\n\n  \nb":                   "a\nb",
		"<i> </i>":                     "",
		"<":                            "&lt;",
		"<!-- x -->a":                  "a",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestCuesAreSortedAndEmptyOnesLeftOut(t *testing.T) {
	in := "2\n00:00:05,000 --> 00:00:06,000\nlater\n\n3\n00:00:07,000 --> 00:00:08,000\n\n4\n00:00:09,000 --> 00:00:09,000\nno time\n\n" +
		"1\n00:00:01,000 --> 00:00:02,000 X1:10 X2:20\nfirst\n\nafter a blank line\n1984\n"
	want := "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nfirst\nafter a blank line\n1984\n\n00:00:05.000 --> 00:00:06.000\nlater\n"
	got, err := ToWebVTT([]byte(in), "a.srt")
	if err != nil || string(got) != want {
		t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
	}
}

func TestCueSettingsAreKeptWhereTheyAreWellFormed(t *testing.T) {
	for in, want := range map[string]string{
		"align:start position:10%,line-left line:-1 size:50.5%":                      "align:start position:10%,line-left line:-1 size:50.5%",
		"line:90%,end vertical:rl align:middle size:101% position:5 region:a line:1": "line:90%,end vertical:rl",
		"size:100.0% size:5% <script>":                                               "size:100.0%",
	} {
		if got := settings(in); got != want {
			t.Errorf("settings(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestWhatIsNoSubtitleFileIsRefusedInWordsThatNameIt(t *testing.T) {
	long := bytes.Repeat([]byte("a"), MaxBytes+1)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"dir/film.srt", "\x00\x01\x02\x03MP4", []string{"film.srt", "no text"}},
		{"film.srt", string(long), []string{"film.srt", "8388609", "8388608"}},
		{"film.srt", "", []string{"film.srt", "no subtitle"}},
		{"film.srt", "Dear Sir,\n\nno cues here --> none\n", []string{"film.srt", "no subtitle"}},
		{"film.vtt", "WEBVTT\n\nNOTE nothing\n", []string{"film.vtt", "no subtitle"}},
		{"a\nb.srt", "x", []string{`"a\nb.srt"`}},
		{"film.srt", "1\n-00:00:01,000 --> 00:00:02,000\na\n", []string{"film.srt", "line 2", "negative"}},
		{"film.srt", "1\n00:00:03,000 --> 00:00:02,000\na\n", []string{"film.srt", "line 2", "before it begins"}},
		{"film.srt", "1\n101:00:03,000 --> 101:00:04,000\na\n", []string{"film.srt", "line 2", "100 hours"}},
		{"film.srt", "1\n00:61:03,000 --> 00:62:04,000\na\n", []string{"film.srt", "line 2", "cannot be read"}},
		{"film.vtt", "\n\nWEBVTT\n\n00:03.000 --> 00:02.000\na\n", []string{"film.vtt", "line 5", "before it begins"}},
		{"film.ass", "[Events]\nDialogue: 0,x,0:00:02.25,Default,,0,0,0,,Two\n", []string{"film.ass", "line 2", "cannot be read"}},
		{"film.xml", "<?xml version=\"1.0\"?><tt><body><p begin=\"1s\">a</p></body></tt>", []string{"film.xml", "line 1", "no end"}},
		{"film.xml", "<?xml version=\"1.0\"?><html/>", []string{"film.xml", "not TTML"}},
		{"film.xml", "<tt><p>", []string{"film.xml", "well-formed"}},
		{"film.xml", "<tt>" + strings.Repeat("<div>", 100), []string{"film.xml", "deep"}},
	} {
		_, err := ToWebVTT([]byte(c.in), c.name)
		shownIn := c.in[:min(len(c.in), 60)]
		if !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s %q: got %v, want Invalid", c.name, shownIn, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: got %q, want %q in it", c.name, shownIn, err, want)
			}
		}
		if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%s: %q is not one line", c.name, err)
		}
	}
}

func TestClockReadsAndPrintsTheSameTime(t *testing.T) {
	for in, want := range map[string]int64{"00:00:01,5": 1500, "01:02:03.004": 3723004, "59:59.999": 3599999, "100:00:00": maxMS, "-0:00:01,000": -1000,
		"1:2:3,045678": 3723045} {
		if got, ok := parseClock(in); !ok || got != want {
			t.Errorf("parseClock(%q): got %d, %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "1", "1:60", "60:00", "1:00:60", "a:b", "00:00:01,", "00:00:01,x", "1:2:3:4", "00:+1:00", "9999999:00:00"} {
		if got, ok := parseClock(in); ok {
			t.Errorf("parseClock(%q): got %d, want a refusal", in, got)
		}
	}
}

// checkClean fails where WebVTT is not what ToWebVTT promises.
func checkClean(t *testing.T, vtt []byte) {
	t.Helper()
	if !utf8.Valid(vtt) || !bytes.HasPrefix(vtt, []byte("WEBVTT\n\n")) {
		t.Fatalf("got %q, want WebVTT in UTF-8", vtt[:min(len(vtt), 60)])
	}
	before := int64(-1)
	for block := range strings.SplitSeq(string(vtt[len("WEBVTT\n\n"):]), "\n\n") {
		times, text, _ := strings.Cut(strings.TrimSuffix(block, "\n"), "\n")
		start, end, _, found, err := timing(1, times)
		if err != nil || !found || start < before || end <= start || end > maxMS {
			t.Fatalf("cue %q: got times %d to %d after %d, found %v, %v", block, start, end, before, found, err)
		}
		before = start
		if text == "" || strings.Contains(text, arrow) {
			t.Fatalf("cue %q: got text %q", block, text)
		}
		if again := clean(text); again != text {
			t.Fatalf("cue %q: cleaned again it is %q", text, again)
		}
		for _, r := range text {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Fatalf("cue %q holds the control character %q", block, r)
			}
		}
	}
}

func FuzzToWebVTT(f *testing.F) {
	names, err := filepath.Glob(filepath.Join(subs, "*.*"))
	if err != nil || len(names) == 0 {
		f.Fatalf("seeds: %v, %v", names, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[:min(len(raw), 2000)])
	}
	for _, seed := range []string{
		"[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,{\\i1}a{\\b1}b\\N\\hc{\\r}d<e>\n",
		`<tt><body><p begin="1s" end="2s">a &amp; <span fontStyle="italic">b<br/>c</span>&#13;&#13;d</p><p begin="0:0:1:5" dur="3f">e</p></body></tt>`,
		"WEBVTT\n\n00:01.000 --> 00:02.000 line:1\n<v A><i><b>x</v> --> <\n",
		"1\n00:00:01,000 --> 00:00:02,000\n\u0085<i\n>&lt;&nbsp",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := ToWebVTT(raw, "a.srt")
		if err != nil {
			if bijou.KindOf(err) != bijou.Invalid {
				t.Fatalf("%q: got %v, want Invalid", raw, err)
			}
			return
		}
		checkClean(t, once)
		twice, err := ToWebVTT(once, "a.vtt")
		if err != nil || !slices.Equal(once, twice) {
			t.Fatalf("%q became %q, and that %q, %v: want the same", raw, once, twice, err)
		}
	})
}
