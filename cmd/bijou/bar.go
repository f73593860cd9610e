package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// bar shows how far something has come: as one line that is drawn anew on a terminal, as a line every so often elsewhere.
type bar struct {
	w        io.Writer
	terminal int // file descriptor, -1 where there is none
	drawn    bool
	last     time.Time
	label    string
	// patient has the first line wait as well where there is no terminal: most files are handed in before anybody wonders.
	patient bool
}

// drawEvery bounds how often the line is drawn; tellEvery how often a line is written where there is no terminal.
const (
	drawEvery = 100 * time.Millisecond
	tellEvery = 10 * time.Second
)

func newBar(w io.Writer) *bar {
	b := &bar{w: w, terminal: -1}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.terminal = int(f.Fd())
	}
	return b
}

// show draws the bar at share, from 0 to 1, of what label names.
func (b *bar) show(label string, share float64, note string) {
	percent := int(100 * min(1, max(0, share)))
	now := time.Now()
	every := drawEvery
	if b.terminal < 0 {
		every = tellEvery
	}
	last := percent == 100 && b.terminal >= 0
	if label == b.label && !last && now.Sub(b.last) < every {
		return
	}
	first := label != b.label
	b.last, b.label = now, label
	if first && b.patient && b.terminal < 0 {
		return
	}
	if note != "" {
		note = "  " + note
	}
	if b.terminal < 0 {
		fmt.Fprintf(b.w, "%3d%%  %s%s\n", percent, label, note)
		return
	}
	const cells = 24
	full := percent * cells / 100
	line := fmt.Sprintf("%s%s %3d%%  %s%s", strings.Repeat("█", full), strings.Repeat("░", cells-full), percent, label, note)
	if columns, _, err := term.GetSize(b.terminal); err == nil {
		line = fitting(line, columns-1)
	}
	fmt.Fprintf(b.w, "\r\x1b[K%s", line)
	b.drawn = true
}

// fitting is as much of a line's beginning as takes no more than so many cells of a terminal: a longer line could not be drawn over.
// Chinese, Japanese and Korean characters take two, and what is put above others none.
func fitting(line string, cells int) string {
	for i, r := range line {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			cells -= 2
		default:
			cells--
		}
		if cells < 0 {
			return line[:i]
		}
	}
	return line
}

// end leaves the terminal's line.
func (b *bar) end() {
	if b.drawn {
		fmt.Fprintln(b.w)
		b.drawn = false
	}
}
