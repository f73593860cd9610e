package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou/service/studio"
)

func TestProgressIsPlainLinesWhereThereIsNoTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := newBar(&out)
		b.patient = true
		b.show("handing in film.mp4", 0.1, "")
		b.show("handing in film.mp4", 1, "")
		if out.Len() != 0 {
			t.Errorf("a file that is handed in at once is told as %q, want nothing", out.String())
		}
		time.Sleep(tellEvery)
		b.show("handing in film.mp4", 1, "")
		b.patient = false
		b.show("film", 0, "")
		for range 25 { // 2.5 s a time: every fourth is told
			time.Sleep(tellEvery / 4)
			b.show("film", 0.254, "video 720, step 2 of 5")
		}
		b.end()
		want := "100%  handing in film.mp4\n  0%  film\n" + strings.Repeat(" 25%  film  video 720, step 2 of 5\n", 6)
		if got := out.String(); got != want {
			t.Errorf("told:\n%swant:\n%s", got, want)
		}
	})
}

func TestProgressIsOneLineOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &bar{w: &out, terminal: 1 << 20} // one whose width nobody knows
		b.show("film", 0.5, "poster")
		b.show("film", 0.6, "poster") // too soon to draw
		b.show("film", 1.7, "")       // the last one is always drawn
		b.end()
		b.end()
		half, full := strings.Repeat("█", 12)+strings.Repeat("░", 12), strings.Repeat("█", 24)
		want := "\r\x1b[K" + half + "  50%  film  poster\r\x1b[K" + full + " 100%  film\n"
		if got := out.String(); got != want {
			t.Errorf("drawn %q, want %q", got, want)
		}
	})
}

func TestWhoWaitsReadsBehindHowManyFilms(t *testing.T) {
	for want, p := range map[string]studio.Progress{
		"": {}, "waits behind 1 film": {Behind: 1}, "waits behind 12 films": {Behind: 12},
		"video 720, step 3 of 5": {Step: "video-720", Done: 2, Steps: 5}, "poster, step 1 of 5, about 0:03 to go": {Step: "poster", Steps: 5, Progress: 0.5, Elapsed: 3000},
	} {
		if got := stepText(p); got != want {
			t.Errorf("%+v reads %q, want %q", p, got, want)
		}
	}
}

func TestALengthIsPrintedAsPeopleReadIt(t *testing.T) {
	for ms, want := range map[int64]string{0: "0:00", 499: "0:00", 500: "0:01", 59_600: "1:00", 61_000: "1:01", 3_599_499: "59:59", 3_599_500: "1:00:00", 7_325_000: "2:02:05", 90_000_000: "25:00:00"} {
		if got := clock(ms); got != want {
			t.Errorf("clock(%d) = %q, want %q", ms, got, want)
		}
	}
}

func TestAFailureIsOneSentenceOnOneLine(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"config", "validate", "--set", "listen=a\nb"}, 1, "bijou: "},
		{[]string{"nonsense"}, 2, "bijou: "},
		{[]string{"title", "show"}, 2, "bijou: "},
	} {
		var out, said bytes.Buffer
		status := run(c.args, nil, &out, &said)
		if got := said.String(); status != c.status || out.Len() != 0 || !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%q: status %d, printed %q, said %q; want status %d and one line", c.args, status, out.String(), got, c.status)
		}
	}
	var out, said bytes.Buffer
	if status := run([]string{"config", "validate"}, []string{"BIJOU_DATA_DIR=data"}, &out, &said); status != 0 || said.Len() != 0 {
		t.Errorf("config validate: status %d, said %q; want 0 and nothing", status, said.String())
	}
}

func TestALineThatIsDrawnAnewFitsTheTerminal(t *testing.T) {
	for _, c := range []struct {
		line  string
		cells int
		want  string
	}{
		{"The Film", 20, "The Film"}, {"The Film", 3, "The"}, {"日本語の映画", 5, "日本"}, {"e\u0301te\u0301", 2, "e\u0301t"}, {"░░ 5%", 5, "░░ 5%"}, {"x", 0, ""}, {"x", -1, ""},
	} {
		if got := fitting(c.line, c.cells); got != c.want {
			t.Errorf("%q in %d cells: got %q, want %q", c.line, c.cells, got, c.want)
		}
	}
}
