package captions

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode turns a file's bytes into UTF-8 with plain line feeds. It says false where the bytes are no text.
func decode(raw []byte) (string, bool) {
	var text string
	switch {
	case bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")):
		text = strings.ToValidUTF8(string(raw[3:]), "\uFFFD")
	case bytes.HasPrefix(raw, []byte("\xff\xfe")):
		text = fromUTF16(raw[2:], binary.LittleEndian)
	case bytes.HasPrefix(raw, []byte("\xfe\xff")):
		text = fromUTF16(raw[2:], binary.BigEndian)
	case zeroesAt(raw, 1):
		text = fromUTF16(raw, binary.LittleEndian)
	case zeroesAt(raw, 0):
		text = fromUTF16(raw, binary.BigEndian)
	case mostlyUTF8(raw):
		text = strings.ToValidUTF8(string(raw), "\uFFFD")
	default:
		text = fromWindows1252(raw)
	}
	return withoutControls(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", "\n").Replace(text))
}

// zeroesAt tells whether the first bytes look like UTF-16 without its mark: the timings of subtitles are ASCII, so every second byte is zero.
func zeroesAt(raw []byte, first int) bool {
	sample := raw[:min(len(raw), 64)&^1]
	for i := range sample {
		if (sample[i] == 0) != (i%2 == first) {
			return false
		}
	}
	return len(sample) >= 8
}

// mostlyUTF8 tells whether bytes are UTF-8, but for a few that were damaged: in a legacy character set, characters beyond ASCII
// hardly ever form a valid sequence.
func mostlyUTF8(raw []byte) bool {
	good, bad := 0, 0
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		switch {
		case r == utf8.RuneError && n == 1:
			bad++
		case n > 1:
			good++
		}
		raw = raw[n:]
	}
	return bad*4 <= good
}

func fromUTF16(raw []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

// windows1252 are the characters 0x80 to 0x9f, where Windows-1252 differs from Latin-1: Unicode's CP1252.TXT.
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")

func fromWindows1252(raw []byte) string {
	var b strings.Builder
	b.Grow(len(raw) * 2)
	for _, c := range raw {
		switch {
		case c >= 0x80 && c <= 0x9f:
			b.WriteRune(windows1252[c-0x80])
		default:
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}

// withoutControls drops the few control characters that strayed into a text. Where there is a zero byte, or more than one control character in a
// hundred, it was no text.
func withoutControls(text string) (string, bool) {
	controls := 0
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || (r >= 0x7f && r <= 0x9f):
			controls++
			if r == 0 {
				controls += len(text)
			}
			return -1
		case r == '\uFEFF': // a mark within the text, where files were joined
			return -1
		}
		return r
	}, text)
	return clean, controls*100 <= len(text)
}
