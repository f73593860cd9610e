package logfile

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"bijou"
)

// A frame is what one flush adds to a segment: the records of one or more Appends. Its checksum covers all of it, so those
// records are there together or not at all, and of two frames the second is written only when the first is on disk.
//
//	 0  magic   4 bytes
//	 4  crc     CRC-32C of everything after it
//	 8  length  of the body, in bytes
//	12  count   of records, at least 1
//	16  base    offset of the first record
//	24  time    of the flush, milliseconds since 1970
//	32  body    for each record: key length and value length (uvarint), key, value
//
// Numbers are little-endian.
const frameHeader = 32

// frameMagic holds bytes that are never part of UTF-8 text, so that no text in a record looks like a frame.
var frameMagic = []byte{0xB1, 'j', 0xFF, 'F'}

// maxBody bounds a frame's body: a longer length is damage.
const maxBody = bijou.MaxAppend + groupBytes

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the head of a frame.
type header struct {
	crc    uint32
	length int64
	count  int64
	base   int64
	time   int64
}

// next is the offset after the frame's last record.
func (h header) next() int64 { return h.base + h.count }

// whole is the length of the frame in bytes.
func (h header) whole() int64 { return frameHeader + h.length }

// parseHeader reads the head of a frame. It reports false for what cannot be one.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < frameHeader || string(b[:4]) != string(frameMagic) {
		return h, false
	}
	h.crc = binary.LittleEndian.Uint32(b[4:])
	h.length = int64(binary.LittleEndian.Uint32(b[8:]))
	h.count = int64(binary.LittleEndian.Uint32(b[12:]))
	h.base = int64(binary.LittleEndian.Uint64(b[16:]))
	h.time = int64(binary.LittleEndian.Uint64(b[24:]))
	// A record takes two bytes at least.
	return h, h.count > 0 && h.base >= 0 && h.length <= maxBody && h.length >= 2*h.count
}

// intact tells whether frame, head and body, is what was written.
func (h header) intact(frame []byte) bool {
	return int64(len(frame)) == h.whole() && crc32.Checksum(frame[8:], castagnoli) == h.crc
}

// appendFrame adds a frame with all records of the group to buf.
func appendFrame(buf []byte, base, millis int64, batches [][]bijou.Record) []byte {
	start := len(buf)
	buf = append(buf, make([]byte, frameHeader)...)
	count := 0
	for _, batch := range batches {
		count += len(batch)
		for _, r := range batch {
			buf = binary.AppendUvarint(buf, uint64(len(r.Key)))
			buf = binary.AppendUvarint(buf, uint64(len(r.Value)))
			buf = append(buf, r.Key...)
			buf = append(buf, r.Value...)
		}
	}
	f := buf[start:]
	copy(f, frameMagic)
	binary.LittleEndian.PutUint32(f[8:], uint32(len(f)-frameHeader))
	binary.LittleEndian.PutUint32(f[12:], uint32(count))
	binary.LittleEndian.PutUint64(f[16:], uint64(base))
	binary.LittleEndian.PutUint64(f[24:], uint64(millis))
	binary.LittleEndian.PutUint32(f[4:], crc32.Checksum(f[8:], castagnoli))
	return buf
}

// records adds the frame's records from the offset on to out, until it holds limit. They share the body's memory.
// It reports false where the body is not what appendFrame writes.
func (h header) records(body []byte, from int64, limit int, out []bijou.Record) ([]bijou.Record, bool) {
	at := time.UnixMilli(h.time).UTC()
	for offset := h.base; offset < h.next(); offset++ {
		k, n := binary.Uvarint(body)
		if n <= 0 || k > bijou.MaxRecord {
			return out, false
		}
		body = body[n:]
		v, n := binary.Uvarint(body)
		if n <= 0 || v > bijou.MaxRecord || uint64(len(body)-n) < k+v {
			return out, false
		}
		body = body[n:]
		if offset >= from && len(out) < limit {
			out = append(out, bijou.Record{Offset: offset, At: at, Key: body[:k:k], Value: body[k : k+v : k+v]})
		}
		body = body[k+v:]
	}
	return out, len(body) == 0
}
