package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"time"

	"bijou"
)

// A record batch is what a partition takes and keeps as one (Kafka's message format 2). Numbers are big-endian.
//
//	 0  base offset      8 bytes, set by the server
//	 8  length           of all that follows it
//	12  leader epoch     -1
//	16  magic            2
//	17  crc              CRC-32C of all that follows it
//	21  attributes       0: no compression, time of creation (which a topic of ours replaces)
//	23  last offset      less the base
//	27  first time       milliseconds since 1970
//	35  last time
//	43  producer         its id, its epoch (51) and the sequence number of the first record (53)
//	57  count            of records
//	61  records          length, attributes, time and offset less the first's, key, value, number of headers; lengths are zig-zag varints
const (
	batchLength, batchCRC, batchProducer, batchEpoch, batchSequence = 8, 17, 43, 51, 53
	batchChecked                                                    = 21 // from here on
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendHeader begins a batch.
func appendHeader(b []byte, count int, now time.Time) []byte {
	b = append(b, make([]byte, 12)...)
	b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
	b = append(b, 2)
	b = append(b, make([]byte, 6)...)
	b = binary.BigEndian.AppendUint32(b, uint32(count-1))
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	b = append(b, make([]byte, 14)...)
	return binary.BigEndian.AppendUint32(b, uint32(count))
}

// appendRecords adds records to a batch that has so many already.
func appendRecords(b []byte, before int, records []bijou.Record) []byte {
	for i := range records {
		r, offset := &records[i], int64(before+i)
		key := int64(len(r.Key))
		if key == 0 {
			key = -1 // none
		}
		length := 3 + varintLength(offset) + varintLength(key) + len(r.Key) + varintLength(int64(len(r.Value))) + len(r.Value)
		b = binary.AppendVarint(b, int64(length))
		b = append(b, 0, 0)
		b = binary.AppendVarint(b, offset)
		b = binary.AppendVarint(b, key)
		b = append(b, r.Key...)
		b = binary.AppendVarint(b, int64(len(r.Value)))
		b = append(b, r.Value...)
		b = append(b, 0)
	}
	return b
}

// varintLength is the length of what binary.AppendVarint adds.
func varintLength(n int64) int {
	zigzag := uint64(n)<<1 ^ uint64(n>>63)
	return (bits.Len64(zigzag|1) + 6) / 7
}

// producer is who appends to a partition: the servers drop what comes twice from it, and refuse what is of an epoch before its last.
type producer struct {
	known    bool
	id       int64
	epoch    int16
	sequence int32 // of the next record
}

// sealBatch completes a batch as the producer's.
func sealBatch(b []byte, p producer) {
	binary.BigEndian.PutUint32(b[batchLength:], uint32(len(b)-batchLength-4))
	binary.BigEndian.PutUint64(b[batchProducer:], uint64(p.id))
	binary.BigEndian.PutUint16(b[batchEpoch:], uint16(p.epoch))
	binary.BigEndian.PutUint32(b[batchSequence:], uint32(p.sequence))
	binary.BigEndian.PutUint32(b[batchCRC:], crc32.Checksum(b[batchChecked:], castagnoli))
}

// renew begins another epoch: what was sent in the one before, and may still be on its way, is refused from the next batch on.
func (p *producer) renew() {
	p.sequence = 0
	if p.epoch == math.MaxInt16 {
		p.known = false
		return
	}
	p.epoch++
}

// advance counts records that were appended.
func (p *producer) advance(records int) {
	if p.sequence > math.MaxInt32/2 {
		p.renew() // long before the numbers end
		return
	}
	p.sequence += int32(records)
}
