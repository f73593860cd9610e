package ffmpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf8"
)

// fault is what is wrong with a film's file, as the end of a sentence that begins with its name.
type fault string

// The faults that the file's own first bytes and structure tell, before any program reads it.
const (
	sound         fault = ""
	isEmpty       fault = "is empty (0 bytes): copy it again"
	isText        fault = "is text, not a film: give the film's own file"
	isPlaylist    fault = "is a playlist that names other files, not a film: give the film's own file"
	isPicture     fault = "is a picture, not a film: give the film's own file"
	hasNoIndex    fault = "is cut off, or its recording was never finished: its index (the moov box) is missing; copy the whole file again"
	cutOffPattern       = "is cut off: it needs %d bytes more; copy the whole file again"
)

// sniffed is how many bytes tell what a file is.
const sniffed = 4 << 10

// maxBoxes bounds the walk over an MP4 file's boxes. A film of ten hours in fragments of one second has 72,000.
const maxBoxes = 1 << 20

// inspect tells, from the file's structure alone, what makes it no film. A file that it does not understand is sound: the program judges it.
// The error is one of reading.
func inspect(r io.ReaderAt, size int64) (fault, error) {
	if size == 0 {
		return isEmpty, nil
	}
	head := make([]byte, min(size, sniffed))
	if n, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return sound, err
	} else {
		head = head[:n]
	}
	switch {
	case len(head) >= 8 && isBox(head[4:8]):
		return inspectMP4(r, size)
	case bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")):
		return inspectMatroska(head, size), nil
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")), bytes.HasPrefix(head, []byte("\x89PNG\r\n")), bytes.HasPrefix(head, []byte("GIF8")):
		return isPicture, nil
	case bytes.HasPrefix(head, []byte("YUV4MPEG2")):
		return sound, nil // its first line is text, its pictures are not
	case looksLikeText(head):
		return textFault(head), nil
	}
	return sound, nil
}

// isBox tells whether four bytes are the type of a box that an MP4 or QuickTime file begins with.
func isBox(kind []byte) bool {
	switch string(kind) {
	case "ftyp", "styp", "moov", "mdat", "moof", "free", "skip", "wide", "pnot", "sidx", "uuid":
		return true
	}
	return false
}

// inspectMP4 walks the boxes at the top of an MP4 or QuickTime file: ISO/IEC 14496-12, section 4.2.
func inspectMP4(r io.ReaderAt, size int64) (fault, error) {
	indexed := false
	for at, n := int64(0), 0; at < size && n < maxBoxes; n++ {
		var head [16]byte
		got, err := r.ReadAt(head[:], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return sound, err
		}
		if got < 8 {
			break // a few bytes of padding at the end harm nobody
		}
		length, kind := int64(binary.BigEndian.Uint32(head[:4])), string(head[4:8])
		switch {
		case length == 0:
			length = size - at // "to the end of the file"
		case length == 1 && got == 16:
			length = int64(min(binary.BigEndian.Uint64(head[8:]), 1<<62))
			if length < 16 {
				return afterLastBox(indexed), nil
			}
		case length < 8:
			return afterLastBox(indexed), nil
		}
		if kind == "moov" {
			indexed = true
		}
		if length > size-at {
			if isBox(head[4:8]) {
				return fault(fmt.Sprintf(cutOffPattern, length-(size-at))), nil
			}
			break // rubbish after the film
		}
		at += length
	}
	return afterLastBox(indexed), nil
}

// afterLastBox judges a file whose boxes were all read.
func afterLastBox(indexed bool) fault {
	if indexed {
		return sound
	}
	return hasNoIndex
}

// The elements at the top of a Matroska or WebM file: RFC 8794, section 11.1, and RFC 9559, section 5.1.
const (
	idEBML    = 0x1a45dfa3
	idSegment = 0x18538067
)

// inspectMatroska compares the length that the file's one segment claims with the file's own. A recording that was never finished claims none,
// and is judged by the program.
func inspectMatroska(head []byte, size int64) fault {
	id, n := elementID(head)
	length, m, known := elementSize(head[n:])
	if id != idEBML || m == 0 || !known || length > int64(len(head)) {
		return sound
	}
	at := int64(n+m) + length
	for range 8 { // void elements may lie between the header and the segment
		if at >= int64(len(head)) {
			return sound
		}
		id, n = elementID(head[at:])
		if n == 0 {
			return sound
		}
		length, m, known = elementSize(head[at+int64(n):])
		if m == 0 || !known {
			return sound
		}
		at += int64(n + m)
		if id == idSegment {
			if missing := length - (size - at); missing > 0 {
				return fault(fmt.Sprintf(cutOffPattern, missing))
			}
			return sound
		}
		if length > int64(len(head)) {
			return sound
		}
		at += length
	}
	return sound
}

// elementID reads an element's identifier, its marker bits kept, and its length in bytes; 0 where there is none.
func elementID(b []byte) (id uint32, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = bits.LeadingZeros8(b[0]) + 1
	if n > 4 || n > len(b) {
		return 0, 0
	}
	for _, c := range b[:n] {
		id = id<<8 | uint32(c)
	}
	return id, n
}

// elementSize reads an element's size and the bytes that it takes; 0 where there is none. All ones is an unknown size.
func elementSize(b []byte) (size int64, n int, known bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	n = bits.LeadingZeros8(b[0]) + 1
	if n > 8 || n > len(b) {
		return 0, 0, false
	}
	size = int64(b[0]) & (1<<(8-n) - 1)
	for _, c := range b[1:n] {
		size = size<<8 | int64(c)
	}
	return size, n, size != 1<<(7*n)-1
}

// looksLikeText tells whether the first bytes of a file are text: UTF-8 without control characters, or UTF-16 with its mark.
func looksLikeText(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return len(head) > 3 && (head[2] == 0) != (head[3] == 0)
	}
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 {
			return len(head) < utf8.UTFMax // a character cut in two by the end of the sample
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' {
			return false
		}
		head = head[n:]
	}
	return true
}

// textFault names what sort of text it is.
func textFault(head []byte) fault {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	for _, mark := range []string{"#EXTM3U", "ffconcat", "<?xml", "<MPD", "v=0", "[playlist]", "<asx", "file "} {
		if len(head) >= len(mark) && bytes.EqualFold(head[:len(mark)], []byte(mark)) {
			return isPlaylist
		}
	}
	return isText
}
