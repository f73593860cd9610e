package captions

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxDepth bounds the elements within elements of a TTML document.
const maxDepth = 64

// ttml reads a TTML document (W3C TTML2, and with it EBU-TT-D and DFXP): each "p", or each timed "span" of a "p" without times, is a cue.
type ttml struct {
	dec    *xml.Decoder
	cues   []cue
	styles map[string]look // by identifier
	frames float64         // a second
	ticks  float64         // a second
	stack  []element
	text   *markup // of the open cue; nil outside of one
	spaced bool    // the text ends in a space already
}

// look is what of an element's styling WebVTT has.
type look struct{ italic, bold, underline bool }

// element is an element that is open.
type element struct {
	name       string
	start, end int64 // milliseconds from the document's beginning; end is -1 where none is given
	cue        bool  // it began the open cue
	line       int
	tags       []string // that it opened
}

// parseTTML reads a document. The decoder of the standard library neither opens external entities nor knows internal ones.
func parseTTML(text string) ([]cue, error) {
	t := &ttml{dec: xml.NewDecoder(strings.NewReader(text)), styles: map[string]look{}, frames: 30, ticks: 1}
	t.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // decode has made it UTF-8
	for {
		token, err := t.dec.Token()
		if errors.Is(err, io.EOF) {
			return t.cues, nil
		}
		line, _ := t.dec.InputPos()
		if err != nil {
			return nil, fault(line, "the document is not well-formed XML: write it anew with the program that made it")
		}
		switch token := token.(type) {
		case xml.StartElement:
			err = t.open(line, token)
		case xml.EndElement:
			err = t.close()
		case xml.CharData:
			t.characters(string(token))
		}
		if err != nil {
			return nil, err
		}
	}
}

// open begins an element.
func (t *ttml) open(line int, e xml.StartElement) error {
	if len(t.stack) >= maxDepth {
		return fault(line, "elements lie more than %d deep: this is no subtitle document", maxDepth)
	}
	if len(t.stack) == 0 && e.Name.Local != "tt" {
		return fault(line, "the document is <%s>, not TTML: give subtitles as SubRip, WebVTT, SubStation Alpha or TTML", clipped(e.Name.Local))
	}
	parent := element{end: -1}
	if len(t.stack) > 0 {
		parent = t.stack[len(t.stack)-1]
	}
	now := element{name: e.Name.Local, start: parent.start, end: parent.end, line: line}
	attr := map[string]string{}
	for _, a := range e.Attr {
		attr[a.Name.Local] = a.Value
	}
	if now.name == "tt" {
		t.rates(attr)
	}
	if err := t.times(&now, parent, attr); err != nil {
		return err
	}
	style := t.look(attr)
	switch {
	case now.name == "style" && attr["id"] != "":
		t.styles[attr["id"]] = style
	case now.name == "br" && t.text != nil:
		t.text.b.WriteByte('\n')
		t.spaced = true
	case (now.name == "p" || now.name == "span") && t.text == nil && attr["begin"] != "":
		now.cue, t.text, t.spaced = true, &markup{}, true
	}
	if t.text != nil {
		now.tags = t.tagged(style)
	}
	t.stack = append(t.stack, now)
	return nil
}

// rates reads the document's frame and tick rates: TTML2, section 7.2.
func (t *ttml) rates(attr map[string]string) {
	if r, err := strconv.ParseFloat(attr["frameRate"], 64); err == nil && r >= 1 && r <= 1000 {
		t.frames = r
	}
	num, den, _ := strings.Cut(attr["frameRateMultiplier"], " ")
	n, errN := strconv.ParseFloat(num, 64)
	d, errD := strconv.ParseFloat(den, 64)
	if errN == nil && errD == nil && n > 0 && d > 0 && n/d > 0.5 && n/d < 2 {
		t.frames *= n / d
	}
	if r, err := strconv.ParseFloat(attr["tickRate"], 64); err == nil && r >= 1 && r <= 1e9 {
		t.ticks = r
	}
}

// times gives an element its times, which count from its parent's beginning.
func (t *ttml) times(now *element, parent element, attr map[string]string) error {
	for _, key := range []string{"begin", "dur", "end"} {
		value := strings.TrimSpace(attr[key])
		if value == "" {
			continue
		}
		ms, ok := t.time(value)
		if !ok {
			return fault(now.line, "the time %q cannot be read: write it as 00:01:02.345 or 62.345s", clipped(value))
		}
		switch key {
		case "begin":
			now.start = parent.start + ms
		case "dur":
			now.end = now.start + ms
		case "end":
			now.end = parent.start + ms
		}
	}
	return nil
}

// time reads a time expression: TTML2, section 12.3.1.
func (t *ttml) time(text string) (ms int64, ok bool) {
	if strings.Contains(text, ":") {
		if parts := strings.Split(text, ":"); len(parts) == 4 {
			frame, ok := digits(parts[3], 4)
			ms, okClock := parseClock(strings.Join(parts[:3], ":"))
			return ms + int64(float64(frame)*1000/t.frames), ok && okClock
		}
		return parseClock(text)
	}
	number := strings.TrimRight(text, "hmsft")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > -1e12 && v < 1e12) {
		return 0, false
	}
	unit, ok := map[string]float64{"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1, "f": 1000 / t.frames, "t": 1000 / t.ticks}[text[len(number):]]
	v *= unit
	if v > 2*maxMS || v < -2*maxMS {
		v = 2 * maxMS // absurd in any case, and refused as such
	}
	return int64(v), ok
}

// look reads an element's own styling and that which it refers to.
func (t *ttml) look(attr map[string]string) look {
	var l look
	for id := range strings.FieldsSeq(attr["style"]) {
		of := t.styles[id]
		l = look{l.italic || of.italic, l.bold || of.bold, l.underline || of.underline}
	}
	if v, ok := attr["fontStyle"]; ok {
		l.italic = v == "italic" || v == "oblique"
	}
	if v, ok := attr["fontWeight"]; ok {
		l.bold = v == "bold"
	}
	if v, ok := attr["textDecoration"]; ok {
		l.underline = v == "underline"
	}
	return l
}

// tagged opens the tags of a look.
func (t *ttml) tagged(l look) []string {
	var tags []string
	for _, tag := range []struct {
		name string
		on   bool
	}{{"i", l.italic}, {"b", l.bold}, {"u", l.underline}} {
		if tag.on && len(t.text.open) < maxOpen {
			t.text.start(tag.name, "")
			tags = append(tags, tag.name)
		}
	}
	return tags
}

// close ends the innermost element, and with it its cue.
func (t *ttml) close() error {
	last := t.stack[len(t.stack)-1] // the decoder has matched it with its beginning
	t.stack = t.stack[:len(t.stack)-1]
	if t.text == nil {
		return nil
	}
	for range last.tags {
		t.text.closeTo(len(t.text.open) - 1)
	}
	if !last.cue {
		return nil
	}
	text := t.text.String()
	t.text = nil
	if last.end < 0 && text != "" {
		return fault(last.line, "a subtitle begins and has no end: give it one")
	}
	c, shows, err := timed(last.line, last.start, last.end, text)
	if shows {
		t.cues = append(t.cues, c)
	}
	return err
}

// characters adds text to the open cue. Spaces and line ends of the document count as one space: TTML2, section 8.2.
func (t *ttml) characters(s string) {
	if t.text == nil {
		return
	}
	for _, r := range s {
		if r == ' ' || r == '\n' || r == '\t' || r == '\r' {
			if !t.spaced {
				t.text.b.WriteByte(' ')
			}
			t.spaced = true
			continue
		}
		t.text.text(string(r))
		t.spaced = false
	}
}
