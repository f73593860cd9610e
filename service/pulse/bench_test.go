package pulse

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bijou"
)

// From records to minutes that are kept: heartbeats of 10,000 viewings of 1,000 titles.
func BenchmarkFold(b *testing.B) {
	l, r := newMemoryLog(1), rand.New(rand.NewPCG(1, 1))
	var records []bijou.Record
	for n := range 60_000 {
		v := n % 10_000
		f := bijou.Fact{
			Kind: bijou.FactHeartbeat, Session: bijou.SessionID(fmt.Sprintf("ply_%016d", v)), Seq: int64(n/10_000 + 1), At: noon.Add(time.Duration(n) * time.Millisecond), PositionMS: int64(n) * 1000, RuntimeMS: 5_400_000,
			Title: bijou.TitleID(fmt.Sprintf("ttl_%016d", v%1000)), BPS: int64(1+r.IntN(4)) * 1_200_000, Height: 720, PlayedMS: 10_000, Player: "bijou-web/1",
			Appliance: bijou.ApplianceID(fmt.Sprintf("apl_%016d", v%10)), Zone: fmt.Sprintf("zone-%d", v%4),
		}
		records = append(records, factRecord(b, f))
	}
	begin := time.Now()
	for b.Loop() {
		w, err := newRoom(l, func() time.Time { return noon }).restore(b.Context(), 1)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < len(records); i += batchFacts {
			w.take(w.batchOf(0, records[i:i+batchFacts]))
		}
		if err := w.keep(b.Context(), noon); err != nil {
			b.Fatal(err)
		}
		l.topics = map[string][][]bijou.Record{}
	}
	b.ReportMetric(float64(b.N*len(records))/time.Since(begin).Seconds(), "facts/s")
}
