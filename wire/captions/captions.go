// Package captions turns the subtitle files that people have, SubRip, WebVTT, SubStation Alpha and TTML, into clean WebVTT.
//
// It has parsers of its own. Files of these kinds are mostly broken in small ways, and each loose end (blank lines within a cue, a stray "<",
// legacy character sets) is decided here in one place, within bounds, and without anything in the text reaching a browser as markup.
package captions

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// MaxBytes bounds a subtitle file. A film of three hours takes some 200 kB.
const MaxBytes = 8 << 20

// maxMS bounds a cue's times: 100 hours.
const maxMS = 100 * 3600 * 1000

// cue is a text and when it is shown, in milliseconds. The text is clean WebVTT cue text: no blank line, no "-->", every tag closed.
type cue struct {
	start, end int64
	settings   string // clean WebVTT cue settings, or none
	text       string
}

// ToWebVTT returns the subtitles of a file as WebVTT in UTF-8, in order of time. Italics, bold, underline and the names of speakers stay;
// other styling goes. Text that is not UTF-8 or UTF-16 is read as Windows-1252
// where it can have been written in it. Cues without text or without length are left out.
//
// It fails with Invalid, in a sentence that begins with the name's last part, for a file that is longer than MaxBytes, is no text or in another character set, has no cue,
// or has a time that is negative, beyond 100 hours, unreadable, or before its cue's beginning.
func ToWebVTT(raw []byte, name string) ([]byte, error) {
	name = shown(name)
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("%s is %d bytes long: subtitles may have %d at most: %w", name, len(raw), MaxBytes, bijou.Invalid)
	}
	text, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", name, err, bijou.Invalid)
	}
	cues, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(cues) == 0 {
		return nil, fmt.Errorf("%s has no subtitle in it: give SubRip (.srt), WebVTT (.vtt), SubStation Alpha (.ass) or TTML: %w", name, bijou.Invalid)
	}
	slices.SortStableFunc(cues, func(a, b cue) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	return printed(cues), nil
}

// shown is a path's last part as a sentence shows it: quoted where it holds what a terminal or a log should not be given.
func shown(path string) string {
	name := filepath.Base(path)
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// parse tells the kind of subtitles by their first words and reads them.
func parse(text string) ([]cue, error) {
	start := strings.TrimLeft(text, " \t\n")
	head := strings.ToLower(start[:min(len(start), 256)])
	switch {
	case strings.HasPrefix(head, "webvtt"):
		return parseVTT(start, 1+strings.Count(text[:len(text)-len(start)], "\n"))
	case strings.HasPrefix(head, "<?xml"), strings.HasPrefix(head, "<tt"), strings.HasPrefix(head, "<!--"):
		return parseTTML(start)
	case strings.HasPrefix(head, "[script info]"), strings.HasPrefix(head, "[v4"), strings.HasPrefix(head, "[events]"):
		return parseSSA(text)
	}
	return parseSRT(text)
}

// printed writes WebVTT: W3C, section 4.1.
func printed(cues []cue) []byte {
	b := []byte("WEBVTT\n")
	for _, c := range cues {
		b = fmt.Appendf(b, "\n%s --> %s", clock(c.start), clock(c.end))
		if c.settings != "" {
			b = append(append(b, ' '), c.settings...)
		}
		b = append(b, '\n')
		b = append(append(b, c.text...), '\n')
	}
	return b
}

// clock prints milliseconds as WebVTT does.
func clock(ms int64) string {
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}

// fault is a failure at a line, counted from 1. The name of the file is put before it.
func fault(line int, format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %w", line, fmt.Sprintf(format, args...), bijou.Invalid)
}

// timed makes a cue, or none where it would show nothing. It refuses times that are absurd.
func timed(line int, start, end int64, text string) (cue, bool, error) {
	switch {
	case start < 0 || end < 0:
		return cue{}, false, fault(line, "a subtitle has a negative time: shift the whole file until none has")
	case start > maxMS || end > maxMS:
		return cue{}, false, fault(line, "a subtitle has a time beyond 100 hours: correct it")
	case end < start:
		return cue{}, false, fault(line, "a subtitle ends at %s, before it begins at %s: correct it", clock(end), clock(start))
	}
	return cue{start: start, end: end, text: text}, text != "" && end > start, nil
}

// parseClock reads [-][hours:]minutes:seconds[.,]fraction, in milliseconds.
func parseClock(text string) (ms int64, ok bool) {
	text, negative := strings.CutPrefix(text, "-")
	whole, fraction := text, ""
	if at := strings.IndexAny(text, ".,"); at >= 0 {
		whole, fraction = text[:at], text[at+1:]
		if fraction == "" {
			return 0, false
		}
	}
	parts := strings.Split(whole, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, false
	}
	for i, part := range parts {
		n, ok := digits(part, 6)
		if !ok || (i > 0 && n > 59) || (i == 0 && len(parts) == 2 && n > 59) {
			return 0, false
		}
		ms = ms*60 + n
	}
	ms *= 1000
	if fraction != "" {
		if _, ok := digits(fraction, 9); !ok {
			return 0, false
		}
		n, _ := digits((fraction + "00")[:3], 3) // digits they are, by the check above
		ms += n
	}
	if negative {
		ms = -ms
	}
	return ms, true
}

// digits reads a number of one to most decimal digits.
func digits(text string, most int) (n int64, ok bool) {
	if text == "" || len(text) > most {
		return 0, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
