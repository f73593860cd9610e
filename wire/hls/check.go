package hls

import (
	"fmt"
	"strings"
	"unicode"

	"bijou"

	"golang.org/x/text/unicode/norm"
)

// attributes is a tag with its attribute list (section 4.2).
type attributes struct {
	b     strings.Builder
	comma string
}

func tag(name string) *attributes {
	a := &attributes{}
	a.b.WriteString("#" + name + ":")
	return a
}

func (a *attributes) String() string { return a.b.String() }

// plain adds a number, a resolution or an enumerated string.
func (a *attributes) plain(name string, value any) {
	fmt.Fprintf(&a.b, "%s%s=%v", a.comma, name, value)
	a.comma = ","
}

// quoted adds a quoted string. The value holds neither quotes nor line ends: names come from names.unique, all else was checked.
func (a *attributes) quoted(name, value string) { a.plain(name, `"`+value+`"`) }

// names gives each member of a group a name of its own (section 4.4.6.1.1).
type names map[string]bool

// unique returns the label as it can stand in a quoted string, with a number after it where another member has it already.
// A label that says nothing becomes the language.
func (n names) unique(label, language string) string {
	name := printable(label)
	if name == "" {
		name = language
	}
	for i, first := 2, name; n[name]; i++ {
		name = fmt.Sprintf("%s (%d)", first, i)
	}
	n[name] = true
	return name
}

// printable returns s without what a quoted string cannot hold: quotes and control characters (sections 4.1 and 4.2), the byte order mark,
// and "{$", which would begin a variable reference (section 4.3). It is in normalization form C, as section 4.1 demands.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case unicode.IsControl(r), r == '\ufeff':
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	s = strings.ReplaceAll(s, "{$", "{ $")
	return norm.NFC.String(strings.Join(strings.Fields(s), " "))
}

// language returns the tag where it is one by its form (RFC 5646 section 2.1), and und where it is not.
func language(tag string) string {
	for i, part := range strings.Split(tag, "-") {
		letters := strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		if len(part) < 1 || len(part) > 8 || strings.Trim(letters, "0123456789") != "" || i == 0 && letters != "" {
			return "und"
		}
	}
	return tag
}

func checkAsset(a bijou.Asset) error {
	if len(a.Video) == 0 {
		return fmt.Errorf("it has no video: %w", bijou.Invalid)
	}
	for _, v := range a.Video {
		if err := checkMedia(v.Media); err != nil {
			return err
		}
		if v.Width < 1 || v.Height < 1 {
			return fmt.Errorf("video track %q measures %d by %d pixels: %w", v.Name, v.Width, v.Height, bijou.Invalid)
		}
	}
	for _, t := range a.Audio {
		if err := checkMedia(t.Media); err != nil {
			return err
		}
		if t.Channels < 1 {
			return fmt.Errorf("audio track %q has %d channels: %w", t.Name, t.Channels, bijou.Invalid)
		}
	}
	for _, t := range a.Text {
		if err := checkName(t.Name); err != nil {
			return err
		}
	}
	return nil
}

func checkMedia(m bijou.Media) error {
	if err := checkName(m.Name); err != nil {
		return err
	}
	const most = 1 << 50 // bits a second: sums of it do not overflow
	if m.PeakBPS < 1 || m.PeakBPS > most || m.AverageBPS < 1 || m.AverageBPS > most {
		return fmt.Errorf("track %q has a peak of %d bits a second and %d on average: both must be positive: %w", m.Name, m.PeakBPS, m.AverageBPS, bijou.Invalid)
	}
	if m.Codec == "" || strings.Trim(m.Codec, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+") != "" {
		return fmt.Errorf("track %q: %q is not a codec (RFC 6381): %w", m.Name, m.Codec, bijou.Invalid)
	}
	return nil
}

// checkName refuses a track name that is not one folder's.
func checkName(name string) error {
	if strings.Contains(name, "/") {
		return fmt.Errorf("track %q: its name must be one folder's: %w", name, bijou.Invalid)
	}
	if err := bijou.CheckKey(name); err != nil {
		return fmt.Errorf("track %q cannot be the name of a folder: %w", name, err)
	}
	return nil
}

// maxSeconds bounds a track's length: seven days, as a fact's position.
const maxSeconds = 7 * 24 * 60 * 60

// micros returns the segments' durations in microseconds. Each is the difference between two rounded points in time, so that their sum
// strays from the track's own by less than a microsecond, whatever their number.
func micros(m bijou.Media) ([]int64, error) {
	switch {
	case m.Timescale < 1 || m.Timescale > 1<<32-1:
		return nil, fmt.Errorf("its timescale is %d, and must be between 1 and 2^32-1: %w", m.Timescale, bijou.Invalid)
	case len(m.Segments) == 0:
		return nil, fmt.Errorf("it has no segments: %w", bijou.Invalid)
	}
	out := make([]int64, len(m.Segments))
	var ticks, before int64
	for i, s := range m.Segments {
		if s.Ticks < 1 || s.Ticks > maxSeconds*m.Timescale-ticks {
			return nil, fmt.Errorf("segment %d lasts %d ticks, and must last at least one, and all no longer than seven days: %w", i+1, s.Ticks, bijou.Invalid)
		}
		ticks += s.Ticks
		whole, rest := ticks/m.Timescale, ticks%m.Timescale
		now := whole*1_000_000 + (2*rest*1_000_000+m.Timescale)/(2*m.Timescale) // to the nearest microsecond
		out[i], before = now-before, now
	}
	return out, nil
}
