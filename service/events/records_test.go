package events

import (
	"bytes"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRecordsTravelAsTheyAre(t *testing.T) {
	want := []bijou.Record{
		{Offset: 1 << 40, At: time.UnixMilli(1795900000123).UTC(), Key: []byte("key"), Value: bytes.Repeat([]byte{0xFF}, bijou.MaxRecord)},
		{}, {Key: []byte{0}}, {Value: []byte("value")},
	}
	var b []byte
	for _, r := range want {
		b = encodeRecord(b, r)
	}
	got, err := decodeRecords(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("got (+), want (-):\n%s", d)
	}
	for n := range 20 {
		if got, err := decodeRecords(b[:n]); n > 0 && err == nil {
			t.Errorf("the first %d bytes are %d records, want none", n, len(got))
		}
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(encodeRecord(encodeRecord(nil, bijou.Record{Offset: 7, At: time.UnixMilli(5), Key: []byte("k"), Value: []byte("v")}), bijou.Record{}))
	f.Add([]byte{0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := decodeRecords(b)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range records {
			again = encodeRecord(again, r)
		}
		got, err := decodeRecords(again)
		if d := cmp.Diff(records, got, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("read, written and read again (%v): got (+), want (-):\n%s", err, d)
		}
	})
}
