package ffmpeg

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// box makes an MP4 box of a type with so many bytes in it.
func box(kind string, content int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+content))
	return append(append(b, kind...), make([]byte, content)...)
}

// large makes an MP4 box whose length is told in 64 bits.
func large(kind string, length uint64, content int) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, 1), kind...)
	return append(binary.BigEndian.AppendUint64(b, length), make([]byte, content)...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestTheStructureOfAFileTellsWhetherItIsWhole(t *testing.T) {
	open := append(binary.BigEndian.AppendUint32(nil, 0), "mdat"...)
	ebml := []byte("\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01")
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"whole":                      {join(box("ftyp", 8), box("moov", 20), box("mdat", 100)), ""},
		"whole, index behind":        {join(box("ftyp", 8), box("mdat", 100), box("moov", 20)), ""},
		"open to the end":            {join(box("ftyp", 8), box("moov", 20), open, make([]byte, 50)), ""},
		"64 bits":                    {join(box("ftyp", 8), box("moov", 20), large("mdat", 116, 100)), ""},
		"64 bits cut":                {join(box("ftyp", 8), box("moov", 20), large("mdat", 1<<40, 100)), "needs 1099511627660 bytes more"},
		"64 bits beyond all":         {join(box("ftyp", 8), box("moov", 20), large("mdat", 1<<64-1, 100)), "bytes more"},
		"64 bits absurd":             {join(box("ftyp", 8), large("mdat", 3, 100)), "index"},
		"cut in the pictures":        {join(box("ftyp", 8), box("moov", 20), box("mdat", 100)[:60]), "needs 48 bytes more"},
		"cut in the index":           {join(box("ftyp", 8), box("mdat", 100), box("moov", 20)[:27]), "needs 1 bytes more"},
		"cut before the index":       {join(box("ftyp", 8), box("mdat", 100)), "index"},
		"rubbish behind":             {join(box("ftyp", 8), box("moov", 20), box("mdat", 100), []byte("\xff\xff\xff\xffJUNKjunk")), ""},
		"padding behind":             {join(box("ftyp", 8), box("moov", 20), box("mdat", 100), make([]byte, 100)), ""},
		"three bytes behind":         {join(box("ftyp", 8), box("moov", 20), box("mdat", 100), []byte("abc")), ""},
		"matroska whole":             {join(ebml, []byte("\x18\x53\x80\x67\x88"), make([]byte, 8)), ""},
		"matroska cut":               {join(ebml, []byte("\x18\x53\x80\x67\x88"), make([]byte, 5)), "needs 3 bytes more"},
		"matroska cut, long size":    {join(ebml, []byte("\x18\x53\x80\x67\x01\x00\x00\x00\x00\x00\x01\x00"), make([]byte, 5)), "needs 251 bytes more"},
		"matroska, a void between":   {join(ebml, []byte("\xec\x82ab\x18\x53\x80\x67\x88"), make([]byte, 5)), "needs 3 bytes more"},
		"matroska of unknown length": {join(ebml, []byte("\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 5)), ""},
		"empty":                      {nil, "empty"},
		"text":                       {[]byte("héllo\r\n\tworld"), "text"},
		"text, cut in a character":   {[]byte(strings.Repeat("a", sniffed-1) + "é"), "text"},
		"playlist":                   {[]byte("\ufeff#EXTM3U\n"), "playlist"},
		"manifest":                   {[]byte(`<?xml version="1.0"?><MPD/>`), "playlist"},
		"picture":                    {[]byte("\x89PNG\r\n\x1a\n"), "picture"},
		"something else":             {[]byte("RIFF\x00\x00\x00\x00AVI "), ""},
	} {
		got, err := inspect(bytes.NewReader(c.in), int64(len(c.in)))
		if err != nil || (c.want == "") != (got == sound) || !strings.Contains(string(got), c.want) {
			t.Errorf("%s: %.60q: got %q, %v, want %q in it", name, c.in, got, err, c.want)
		}
	}
}

func FuzzInspect(f *testing.F) {
	for _, name := range []string{"bbb_480p24_30s_av.mp4", "sintel_trailer_408p_10s.mp4"} {
		raw, err := os.ReadFile(filepath.Join(media, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[:200], int64(len(raw)))
		f.Add(raw[len(raw)-200:], int64(200))
	}
	f.Add(join(box("ftyp", 8), large("moov", 1<<62, 1), large("mdat", 1<<63, 1)), int64(60))
	f.Add([]byte("\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01\xec\x82ab\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"), int64(1<<50))
	f.Fuzz(func(t *testing.T, raw []byte, size int64) {
		// The size is what the file's directory says; the file may be cut short while it is read.
		if size < 0 {
			return
		}
		wrong, err := inspect(bytes.NewReader(raw), size)
		if err != nil {
			t.Fatalf("%q of %d bytes: got %v, want no failure from memory", raw, size, err)
		}
		if strings.Contains(string(wrong), "needs -") || strings.Contains(string(wrong), "needs 0 ") {
			t.Fatalf("%q of %d bytes: got %q", raw, size, wrong)
		}
	})
}
