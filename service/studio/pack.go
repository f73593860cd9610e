package studio

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"

	"bijou"

	"github.com/Eyevinn/mp4ff/mp4"
)

// packed is an encoded track, cut into segments.
type packed struct {
	media    bijou.Media
	firstKey bool // every segment begins with a key frame
}

// box is one box at the top level of an MP4 file (ISO/IEC 14496-12 section 4.2).
type box struct {
	kind   string
	offset int64
	size   int64
}

// maxHeaderBox bounds a box that is read into memory, in bytes: a fragment's header has some 16 bytes a frame.
const maxHeaderBox = 64 << 20

// boxes returns the boxes at the top level of a file of the given size. It fails with Invalid where they do not fill the file.
func boxes(r io.ReaderAt, size int64) ([]box, error) {
	var out []box
	var head [16]byte
	for at := int64(0); at < size; {
		if _, err := r.ReadAt(head[:8], at); err != nil {
			return nil, fmt.Errorf("box at byte %d of %d is cut off: %w", at, size, bijou.Invalid)
		}
		b := box{kind: string(head[4:8]), offset: at, size: int64(binary.BigEndian.Uint32(head[:4]))}
		switch b.size {
		case 0: // to the end of the file
			b.size = size - at
		case 1: // the size follows, in eight bytes
			if _, err := r.ReadAt(head[8:], at+8); err != nil {
				return nil, fmt.Errorf("box at byte %d of %d is cut off: %w", at, size, bijou.Invalid)
			}
			if b.size = int64(binary.BigEndian.Uint64(head[8:])); b.size < 16 {
				b.size = -1 // smaller than its own header
			}
		}
		if b.size < 8 || b.size > size-at {
			return nil, fmt.Errorf("box %q at byte %d claims %d bytes of a file of %d: %w", b.kind, at, b.size, size, bijou.Invalid)
		}
		out = append(out, b)
		at += b.size
	}
	return out, nil
}

// pack reads a fragmented MP4 file of one track and puts its header and each fragment as a segment, in order, under the names that an
// asset's files have. It fails with Corrupt where the file is not what an encode makes, and passes put's failure on.
func pack(file string, put func(name string, body io.Reader) error) (*packed, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, scratchFailure(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, scratchFailure(err)
	}
	all, err := boxes(f, info.Size())
	if err != nil {
		return nil, broken(err)
	}
	p := &packer{file: f, put: put}
	for i, b := range all {
		switch b.kind {
		case "ftyp", "moov":
			err = p.header(b)
		case "moof":
			if i+1 == len(all) || all[i+1].kind != "mdat" {
				return nil, broken(fmt.Errorf("the fragment at byte %d has no samples", b.offset))
			}
			err = p.fragment(b, all[i+1])
		}
		if err != nil {
			return nil, err
		}
	}
	return p.end()
}

func broken(err error) error {
	return fmt.Errorf("the encoded track cannot be cut into segments (%v): this is a defect, or the disk's: %w", err, bijou.Corrupt)
}

type packer struct {
	file  *os.File
	put   func(string, io.Reader) error
	init  bytes.Buffer
	trex  *mp4.TrexBox
	track uint32
	out   packed
}

func (p *packer) bytes(b box) ([]byte, error) {
	if b.size > maxHeaderBox {
		return nil, broken(fmt.Errorf("box %q has %d bytes", b.kind, b.size))
	}
	raw := make([]byte, b.size)
	if _, err := p.file.ReadAt(raw, b.offset); err != nil {
		return nil, scratchFailure(err)
	}
	return raw, nil
}

func (p *packer) header(b box) error {
	raw, err := p.bytes(b)
	if err != nil {
		return err
	}
	p.init.Write(raw)
	if b.kind != "moov" {
		return nil
	}
	if err := guarded(func() error { return p.movie(raw) }); err != nil {
		return broken(err)
	}
	m := &p.out.media
	m.InitBytes, m.InitSHA256 = int64(p.init.Len()), sum(p.init.Bytes())
	return p.put(bijou.InitFile, bytes.NewReader(p.init.Bytes()))
}

// guarded makes an error of a panic: the MP4 library trusts that boxes which belong together are there, and a damaged disk leaves some out.
func guarded(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its boxes do not fit together: %v", p)
		}
	}()
	return read()
}

// movie reads what the moov box says of the track.
func (p *packer) movie(raw []byte) error {
	decoded, err := mp4.DecodeBox(0, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	moov, ok := decoded.(*mp4.MoovBox)
	if !ok || len(moov.Traks) != 1 || moov.Mvex == nil || moov.Mvex.Trex == nil || p.trex != nil {
		return fmt.Errorf("it is not one track in fragments")
	}
	trak := moov.Trak
	p.trex, p.track, p.out.firstKey = moov.Mvex.Trex, trak.Tkhd.TrackID, true
	p.out.media.Timescale = int64(trak.Mdia.Mdhd.Timescale)
	p.out.media.Codec, err = codecOf(trak)
	return err
}

// codecOf returns the RFC 6381 string of the track: for H.264 as ISO/IEC 14496-15 annex E has it, for AAC-LC as in RFC 6381 section 3.3.
func codecOf(trak *mp4.TrakBox) (string, error) {
	stsd := trak.Mdia.Minf.Stbl.Stsd
	switch {
	case stsd.AvcX != nil && stsd.AvcX.AvcC != nil:
		c := stsd.AvcX.AvcC
		return fmt.Sprintf("%s.%02x%02x%02x", stsd.AvcX.Type(), c.AVCProfileIndication, c.ProfileCompatibility, c.AVCLevelIndication), nil
	case stsd.Mp4a != nil:
		return "mp4a.40.2", nil
	}
	return "", fmt.Errorf("its codec is neither H.264 nor AAC")
}

func (p *packer) fragment(moof, mdat box) error {
	raw, err := p.bytes(moof)
	if err != nil {
		return err
	}
	var ticks int64
	var key bool
	err = guarded(func() (err error) {
		ticks, key, err = p.samples(raw, moof.offset)
		return err
	})
	if err != nil {
		return broken(err)
	}
	if ticks == 0 {
		return nil // an encoder's last, empty fragment
	}
	p.out.firstKey = p.out.firstKey && key
	size := moof.size + mdat.size
	hash := sha256.New()
	media := &p.out.media
	media.Segments = append(media.Segments, bijou.Segment{Ticks: ticks, Bytes: size})
	n := len(media.Segments)
	body := io.TeeReader(io.NewSectionReader(p.file, moof.offset, size), hash)
	if err := p.put(bijou.SegmentFile(n), body); err != nil {
		return err
	}
	media.Segments[n-1].SHA256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

// samples returns how long the fragment lasts and whether it begins with a key frame.
func (p *packer) samples(moof []byte, offset int64) (ticks int64, key bool, err error) {
	decoded, err := mp4.DecodeBox(uint64(offset), bytes.NewReader(moof))
	if err != nil {
		return 0, false, err
	}
	m, ok := decoded.(*mp4.MoofBox)
	if !ok || p.trex == nil || m.Traf == nil || m.Traf.Tfhd.TrackID != p.track {
		return 0, false, fmt.Errorf("the fragment at byte %d is not of its track", offset)
	}
	first := true
	for _, run := range m.Traf.Truns {
		ticks += int64(run.AddSampleDefaultValues(m.Traf.Tfhd, p.trex))
		if first && len(run.Samples) > 0 {
			first, key = false, !mp4.DecodeSampleFlags(run.Samples[0].Flags).SampleIsNonSync
		}
	}
	return ticks, key, nil
}

func (p *packer) end() (*packed, error) {
	m := &p.out.media
	if len(m.Segments) == 0 || m.Timescale <= 0 {
		return nil, broken(fmt.Errorf("it has no fragments"))
	}
	var total int64
	for _, s := range m.Segments {
		total += s.Bytes
	}
	m.AverageBPS = rate(total, m.Ticks(), m.Timescale)
	m.PeakBPS = peak(m.Segments, m.Timescale)
	return &p.out, nil
}

// peak returns the largest rate in bits a second of any run of segments that lasts between 0.5 and 1.5 times the longest segment
// (RFC 8216bis section 4.1, "peak segment bit rate"), or of the whole where no run does.
func peak(segments []bijou.Segment, timescale int64) int64 {
	var target, bytes, ticks, most int64
	for _, s := range segments {
		target = max(target, s.Ticks)
		bytes, ticks = bytes+s.Bytes, ticks+s.Ticks
	}
	most = rate(bytes, ticks, timescale)
	for i := range segments {
		bytes, ticks = 0, 0
		for _, s := range segments[i:] {
			bytes, ticks = bytes+s.Bytes, ticks+s.Ticks
			if 2*ticks > 3*target {
				break
			}
			if 2*ticks >= target {
				most = max(most, rate(bytes, ticks, timescale))
			}
		}
	}
	return most
}

// rate returns bits a second, rounded up: what a manifest promises must hold. The product may need more than 64 bits.
func rate(bytes, ticks, timescale int64) int64 {
	if ticks <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(bytes)*8, uint64(timescale))
	lo, carry := bits.Add64(lo, uint64(ticks-1), 0)
	if hi += carry; hi >= uint64(ticks) {
		return math.MaxInt64
	}
	quotient, _ := bits.Div64(hi, lo, uint64(ticks))
	return int64(min(quotient, math.MaxInt64))
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
