package kafka

import (
	"bytes"
	"testing"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cut makes records of text: their lengths are what the bytes of sizes say, in turn key and value.
func cut(text, sizes []byte) (rs []bijou.Record) {
	piece := func(n byte) []byte {
		p := text[:min(int(n)*int(n), len(text))]
		text = text[len(p):]
		return p
	}
	for i := 0; i+1 < len(sizes); i += 2 {
		rs = append(rs, bijou.Record{Key: piece(sizes[i]), Value: piece(sizes[i+1])})
	}
	return rs
}

func FuzzABatchHoldsItsRecordsAsKafkasOwnReaderHasIt(f *testing.F) {
	f.Add([]byte("key and value"), []byte{1, 3, 0, 2}, int64(7), int16(1), int32(5))
	f.Add(bytes.Repeat([]byte("x"), 70_000), []byte{0, 0, 255, 12, 11, 0}, int64(1)<<40, int16(32767), int32(1<<30))
	now := time.UnixMilli(1_900_000_000_123)
	f.Fuzz(func(t *testing.T, text, sizes []byte, id int64, epoch int16, sequence int32) {
		rs := cut(text, sizes)
		if len(rs) == 0 {
			return
		}
		half := len(rs) / 2
		b := appendRecords(appendRecords(appendHeader(nil, len(rs), now), 0, rs[:half]), half, rs[half:])
		sealBatch(b, producer{known: true, id: id, epoch: epoch, sequence: sequence})
		var head kmsg.RecordBatch
		if err := head.ReadFrom(b); err != nil || head.ProducerID != id || head.ProducerEpoch != epoch || head.FirstSequence != sequence || int(head.NumRecords) != len(rs) {
			t.Fatalf("got head %+v and error %v, want producer %d, epoch %d, sequence %d and %d records", head, err, id, epoch, sequence, len(rs))
		}
		got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &kmsg.FetchResponseTopicPartition{RecordBatches: b}, nil, nil)
		if got.Err != nil || next != int64(len(rs)) || len(got.Records) != len(rs) {
			t.Fatalf("got %d records up to %d and error %v, want %d", len(got.Records), next, got.Err, len(rs))
		}
		for i, r := range got.Records {
			if r.Offset != int64(i) || !r.Timestamp.Equal(now) || !bytes.Equal(r.Key, rs[i].Key) || !bytes.Equal(r.Value, rs[i].Value) {
				t.Fatalf("record %d: got %+v, want %+v", i, r, rs[i])
			}
		}
	})
}

func TestAProducersNumbersNeverRunOut(t *testing.T) {
	p := producer{known: true, sequence: 1<<30 - 1, epoch: 1<<15 - 2}
	p.advance(10)
	if p.sequence != 1<<30+9 || p.epoch != 1<<15-2 {
		t.Errorf("got %+v, want the sequence ten on", p)
	}
	p.advance(10)
	if p.sequence != 0 || p.epoch != 1<<15-1 || !p.known {
		t.Errorf("got %+v, want another epoch", p)
	}
	p.renew()
	if p.known {
		t.Errorf("got %+v, want a producer that has to be named anew", p)
	}
}
