package events

import (
	"encoding/binary"
	"errors"
	"time"

	"bijou"
)

// Records travel one after another, each as four numbers (encoding/binary's Uvarint): its offset, its time in milliseconds since 1970, the bytes of
// its key and of its value; then key and value as they are. A record that is to be appended has neither offset nor time, both 0. Next to nothing
// is added to what facts take, and 1 MiB stays 1 MiB.

// noTime is how the zero time travels.
const noTime = 0

// encodeRecord adds the record to b.
func encodeRecord(b []byte, r bijou.Record) []byte {
	var ms uint64 = noTime
	if !r.At.IsZero() {
		ms = uint64(r.At.UnixMilli())
	}
	for _, n := range []uint64{uint64(r.Offset), ms, uint64(len(r.Key)), uint64(len(r.Value))} {
		b = binary.AppendUvarint(b, n)
	}
	return append(append(b, r.Key...), r.Value...)
}

var errRecords = errors.New("the bytes are no records")

// decodeRecords reads what encodeRecord wrote. The records hold parts of b.
func decodeRecords(b []byte) (records []bijou.Record, err error) {
	for len(b) > 0 {
		var head [4]uint64
		for i := range head {
			n, size := binary.Uvarint(b)
			if size <= 0 {
				return nil, errRecords
			}
			head[i], b = n, b[size:]
		}
		key, value := head[2], head[3]
		if rest := uint64(len(b)); key > rest || value > rest-key || int64(head[0]) < 0 || int64(head[1]) < 0 {
			return nil, errRecords
		}
		r := bijou.Record{Offset: int64(head[0]), Key: part(b[:key]), Value: part(b[key : key+value])}
		if head[1] != noTime {
			r.At = time.UnixMilli(int64(head[1])).UTC()
		}
		records, b = append(records, r), b[key+value:]
	}
	return records, nil
}

// part is b as bytes that cannot grow into what follows; nil where it has none.
func part(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[:len(b):len(b)]
}
