package studio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"bijou"

	"github.com/Eyevinn/mp4ff/mp4"
	"pgregory.net/rapid"
)

// packBytes packs a file of these bytes and returns what was put.
func packBytes(t testing.TB, raw []byte) (*packed, map[string][]byte, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "track.mp4")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	p, err := pack(file, func(name string, body io.Reader) error {
		b, err := io.ReadAll(body)
		if files[name] != nil {
			t.Errorf("file %s was put twice", name)
		}
		files[name] = b
		return err
	})
	return p, files, err
}

func TestARealEncodeIsCutIntoSegmentsThatAddUp(t *testing.T) {
	made, err := encodes()
	must(t, "encode", err)
	for name, c := range map[string]struct {
		raw   []byte
		codec string
		rate  int64 // ticks a second
	}{
		"video": {made.video, "avc1.640014", 24_000}, // High profile, level 2: browsers refuse 1b, which the picture would fit
		"audio": {made.audio, "mp4a.40.2", 48_000},
	} {
		p, files, err := packBytes(t, c.raw)
		must(t, "pack "+name, err)
		m := p.media
		if m.Codec != c.codec || m.Timescale != c.rate || len(m.Segments) != 3 || len(files) != 4 {
			t.Errorf("%s: got codec %s, timescale %d, %d segments, %d files; want %s, %d, 3, 4", name, m.Codec, m.Timescale, len(m.Segments), len(files), c.codec, c.rate)
		}
		header := files[bijou.InitFile]
		wantSame(t, name+"'s header", []any{m.InitBytes, m.InitSHA256}, []any{int64(len(header)), sum(header)})
		var all int64
		whole := bytes.Clone(header)
		for i, s := range m.Segments {
			body := files[bijou.SegmentFile(i+1)]
			wantSame(t, fmt.Sprintf("%s's segment %d", name, i+1), []any{s.Bytes, s.SHA256}, []any{int64(len(body)), sum(body)})
			all += s.Bytes
			whole = append(whole, body...)
		}
		if ms := m.Ticks() * 1000 / m.Timescale; ms < 9_950 || ms > 10_050 {
			t.Errorf("%s: got %d ms, want 10,000 within a frame", name, ms)
		}
		if want := rate(all, m.Ticks(), m.Timescale); m.AverageBPS != want || m.PeakBPS < want {
			t.Errorf("%s: got %d bit/s on average and a peak of %d, want %d and no less", name, m.AverageBPS, m.PeakBPS, want)
		}
		if !p.firstKey {
			t.Errorf("%s: got a segment that does not begin with a key frame, want none", name)
		}
		thirdParty(t, name, whole, m)
	}
}

// thirdParty has what was cut read back by the library's own reader of whole files.
func thirdParty(t *testing.T, name string, whole []byte, m bijou.Media) {
	t.Helper()
	f, err := mp4.DecodeFile(bytes.NewReader(whole))
	if err != nil || !f.IsFragmented() {
		t.Fatalf("%s read back: %v, want fragments", name, err)
	}
	var ticks int64
	for _, s := range f.Segments {
		for _, frag := range s.Fragments {
			samples, err := frag.GetFullSamples(f.Moov.Mvex.Trex)
			must(t, "samples of "+name, err)
			for _, x := range samples {
				ticks += int64(x.Dur)
			}
		}
	}
	wantSame(t, name+"'s length as read back", ticks, m.Ticks())
}

func TestASegmentThatDoesNotBeginWithAKeyFrameIsSeen(t *testing.T) {
	made, err := encodes()
	must(t, "encode", err)
	raw := bytes.Clone(made.video)
	// The first sample of the last fragment loses its mark: sample_is_non_sync_sample is set in first_sample_flags or tfhd's default.
	at := bytes.LastIndex(raw, []byte("trun"))
	flags := binary.BigEndian.Uint32(raw[at+4:])
	if flags&0x4 == 0 {
		t.Fatalf("trun flags %x: want first-sample-flags to be there", flags)
	}
	binary.BigEndian.PutUint32(raw[at+16:], 0x01010000)
	p, _, err := packBytes(t, raw)
	must(t, "pack", err)
	if p.firstKey {
		t.Errorf("got every segment to begin with a key frame, want the last not to")
	}
}

func TestADamagedEncodeIsCorruptAndNeverPanics(t *testing.T) {
	made, err := encodes()
	must(t, "encode", err)
	top, err := boxes(bytes.NewReader(made.video), int64(len(made.video)))
	must(t, "boxes", err)
	var moof, mdat, moov box
	for _, b := range top {
		switch b.kind {
		case "moov":
			moov = b
		case "moof":
			moof = b
		case "mdat":
			mdat = b
		}
	}
	without := func(b box) []byte {
		return append(bytes.Clone(made.video[:b.offset]), made.video[b.offset+b.size:]...)
	}
	renamed := func(old, new string) []byte { return bytes.ReplaceAll(made.video, []byte(old), []byte(new)) }
	for what, raw := range map[string][]byte{
		"nothing":               {},
		"text":                  []byte("this is no film at all, but a line of text"),
		"half":                  made.video[:len(made.video)/2],
		"without moov":          without(moov),
		"without the last mdat": without(mdat),
		"without the last moof": append(without(moof), made.video[moof.offset:moof.offset+moof.size]...),
		"moov alone":            made.video[:moov.offset+moov.size],
		"two moov":              append(bytes.Clone(made.video), made.video[moov.offset:moov.offset+moov.size]...),
		"without mvex":          renamed("mvex", "free"),
		"without tkhd":          renamed("tkhd", "free"),
		"without mdhd":          renamed("mdhd", "free"),
		"without stsd":          renamed("stsd", "free"),
		"without avcC":          renamed("avcC", "free"),
		"without tfhd":          renamed("tfhd", "free"),
		"without traf":          renamed("traf", "free"),
		"another codec":         renamed("avc1", "vp09"),
	} {
		_, _, err := packBytes(t, raw)
		wantKind(t, what, err, bijou.Corrupt, "disk")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 { // headers with a few wrong bytes: whatever comes out, nothing panics
		raw := bytes.Clone(made.video)
		for range 1 + random.IntN(3) {
			raw[random.IntN(int(moov.offset+moov.size))] = byte(random.Uint32())
		}
		if _, _, err := packBytes(t, raw); err != nil && !errors.Is(err, bijou.Corrupt) {
			t.Fatalf("got %v, want Corrupt or nothing wrong", err)
		}
	}
}

func TestAFailureToPutIsPassedOn(t *testing.T) {
	made, err := encodes()
	must(t, "encode", err)
	file := filepath.Join(t.TempDir(), "track.mp4")
	must(t, "write", os.WriteFile(file, made.video, 0o600))
	full := fmt.Errorf("no space: %w", bijou.Exhausted)
	for _, at := range []string{bijou.InitFile, bijou.SegmentFile(2)} {
		_, err := pack(file, func(name string, body io.Reader) error {
			if name == at {
				return full
			}
			return nil
		})
		if err != full {
			t.Errorf("put of %s fails: got %v, want %v", at, err, full)
		}
	}
	_, err = pack(file+"x", func(string, io.Reader) error { return nil })
	wantKind(t, "no file", err, bijou.NotFound)
}

// atom returns a box with the size field as given.
func atom(size uint32, kind string, rest ...byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, size), kind...), rest...)
}

func TestBoxesFillTheirFile(t *testing.T) {
	large := func(size uint64, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint64(atom(1, "mdat"), size), rest...)
	}
	for what, c := range map[string]struct {
		raw  []byte
		want string // kinds and sizes, or nothing where it is refused
	}{
		"no bytes":         {nil, "[]"},
		"two":              {append(atom(8, "ftyp"), atom(10, "mdat", 1, 2)...), "[ftyp 8 mdat 10]"},
		"to the end":       {append(atom(8, "ftyp"), atom(0, "mdat", 1, 2, 3)...), "[ftyp 8 mdat 11]"},
		"large":            {large(18, 1, 2), "[mdat 18]"},
		"large, too small": {large(15), ""},
		"large, negative":  {large(1 << 63), ""},
		"large, cut off":   {atom(1, "mdat", 0, 0), ""},
		"too small":        {atom(7, "free"), ""},
		"beyond the end":   {atom(9, "free"), ""},
		"cut off":          {append(atom(8, "ftyp"), 0, 0, 0), ""},
	} {
		got, err := boxes(bytes.NewReader(c.raw), int64(len(c.raw)))
		if c.want == "" {
			wantKind(t, what, err, bijou.Invalid)
			continue
		}
		var text []any
		for _, b := range got {
			text = append(text, b.kind, b.size)
		}
		if err != nil || fmt.Sprint(text) != c.want {
			t.Errorf("%s: got %v, %v, want %s", what, text, err, c.want)
		}
	}
}

func FuzzBoxes(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(atom(8, "ftyp"), atom(0, "mdat", 1, 2, 3)...))
	f.Add(binary.BigEndian.AppendUint64(atom(1, "mdat"), 16))
	f.Add(binary.BigEndian.AppendUint64(atom(1, "mdat"), math.MaxUint64))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := boxes(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Fatalf("got %v, want Invalid", err)
			}
			return
		}
		at := int64(0)
		for _, b := range all {
			if b.offset != at || b.size < 8 {
				t.Fatalf("box %+v: want one of at least 8 bytes at %d", b, at)
			}
			at += b.size
		}
		if at != int64(len(raw)) {
			t.Fatalf("boxes end at %d of %d bytes", at, len(raw))
		}
	})
}

func FuzzPack(f *testing.F) {
	made, err := encodes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made.video)
	f.Add(made.audio)
	f.Add(made.video[:2000])
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, _, err := packBytes(t, raw)
		if err != nil {
			if !errors.Is(err, bijou.Corrupt) {
				t.Fatalf("got %v, want Corrupt", err)
			}
			return
		}
		if len(p.media.Segments) == 0 || p.media.Timescale < 1 || p.media.PeakBPS < p.media.AverageBPS {
			t.Fatalf("got %+v, want segments and rates", p.media)
		}
	})
}

func TestRateIsRoundedUpAndNeverOverflows(t *testing.T) {
	for _, c := range [][4]int64{ // bytes, ticks, timescale, want
		{1000, 4, 1, 2000}, {1, 3, 1, 3}, {1, 8, 1, 1}, {0, 5, 1, 0}, {5, 0, 1, 0}, {1 << 40, 90_000 * 7200, 90_000, 1221679587},
		{1 << 60, 1, 1 << 31, math.MaxInt64},
	} {
		if got := rate(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%d bytes in %d ticks of 1/%d s: got %d, want %d", c[0], c[1], c[2], got, c[3])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b, ticks, scale := rapid.Int64Range(0, 1<<60).Draw(t, "bytes"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "ticks"), rapid.Int64Range(1, 1<<32-1).Draw(t, "timescale")
		want := new(big.Int).Mul(big.NewInt(b), big.NewInt(8*scale))
		want.Add(want, big.NewInt(ticks-1)).Div(want, big.NewInt(ticks))
		if !want.IsInt64() {
			want.SetInt64(math.MaxInt64)
		}
		if got := rate(b, ticks, scale); got != want.Int64() {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestThePeakIsThatOfRunsAboutAsLongAsTheLongestSegment(t *testing.T) {
	seg := func(ticks, bytes int64) bijou.Segment { return bijou.Segment{Ticks: ticks, Bytes: bytes} }
	for what, c := range map[string]struct {
		segments []bijou.Segment
		want     int64
	}{
		"none":                           {nil, 0},
		"one":                            {[]bijou.Segment{seg(4, 1000)}, 2000},
		"even":                           {[]bijou.Segment{seg(4, 1000), seg(4, 1000)}, 2000},
		"a high one":                     {[]bijou.Segment{seg(4, 1000), seg(4, 3000), seg(4, 1000)}, 6000},
		"a last one too short to count":  {[]bijou.Segment{seg(4, 1000), seg(1, 1000)}, 3200},
		"short ones that count together": {[]bijou.Segment{seg(4, 100), seg(1, 1000), seg(1, 1000)}, 8000},
	} {
		if got := peak(c.segments, 1); got != c.want {
			t.Errorf("%s: got %d bit/s, want %d", what, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var all []bijou.Segment
		var bytes, ticks, most int64
		for range rapid.IntRange(1, 8).Draw(t, "segments") {
			s := seg(rapid.Int64Range(1, 100).Draw(t, "ticks"), rapid.Int64Range(1, 10_000).Draw(t, "bytes"))
			all, bytes, ticks = append(all, s), bytes+s.Bytes, ticks+s.Ticks
			most = max(most, rate(s.Bytes, s.Ticks, 10))
		}
		got := peak(all, 10)
		if got < rate(bytes, ticks, 10) || got > most {
			t.Fatalf("%v: got %d, want no less than the average and no more than the highest segment's %d", all, got, most)
		}
	})
}
