package captions

import (
	"bytes"
	"encoding/binary"
	"errors"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode turns a file's bytes into UTF-8 with plain line feeds. It fails with what is wrong, as the end of a sentence that begins with the file's name.
func decode(raw []byte) (string, error) {
	var text string
	known := true
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
		text, known = fromWindows1252(raw)
	}
	text, ok := withoutControls(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", "\n").Replace(text))
	switch {
	case switched.Match(raw):
		return "", errCharset
	case !ok:
		return "", errNoText
	case !known:
		return "", errCharset
	}
	return text, nil
}

// The ends of sentences about a file whose bytes cannot be read.
var (
	errNoText  = errors.New("is no text: give subtitles as SubRip (.srt), WebVTT (.vtt), SubStation Alpha (.ass) or TTML")
	errCharset = errors.New("is in a character set that cannot be told, and neither in UTF-8, UTF-16 nor Windows-1252: convert it, such as with " +
		"`iconv -f KOI8-R -t UTF-8 FILE > NEW` where KOI8-R is its own, and give that")
)

// switched matches what changes the character set in the middle of a text, as ISO-2022-JP does: ECMA-35, section 14.
var switched = regexp.MustCompile(`\x1b[$(]`)

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

// withoutControls drops the few control characters that strayed into a text. Where there is a zero byte, or more than one control character of ASCII
// in a hundred, it was no text.
func withoutControls(text string) (string, bool) {
	controls := 0
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r > 0x7f && r <= 0x9f:
			return -1
		case r < ' ' || r == 0x7f:
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
