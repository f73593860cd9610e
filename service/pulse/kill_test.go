package pulse

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bijou"
	"bijou/engine/logfile"
	"bijou/test/contract"
)

var killedOn = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

func openLog(t testing.TB, dir string) *logfile.Log {
	t.Helper()
	l, err := logfile.Open(dir, logfile.Options{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// readAll returns all records of each partition of the facts, of which the last of each says so.
func readAll(t testing.TB, l *logfile.Log) (facts [][]bijou.Fact, ends []int64) {
	t.Helper()
	for n := range 2 {
		end, err := l.Append(t.Context(), bijou.TopicFacts, n, []bijou.Record{factRecord(t, bijou.Fact{Kind: bijou.FactPause, Session: "ply_end", Seq: 1, Title: "ttl_1", At: killedOn})})
		if err != nil {
			t.Fatal(err)
		}
		var all []bijou.Fact
		for next := int64(0); next <= end; {
			records, err := l.Read(t.Context(), bijou.TopicFacts, n, next, 1000)
			if err != nil {
				t.Fatal(err)
			}
			all, next = append(all, factsOf(t, records)...), records[len(records)-1].Offset+1
		}
		facts, ends = append(facts, all), append(ends, end+1)
	}
	return facts, ends
}

func factRecord(t testing.TB, f bijou.Fact) bijou.Record {
	t.Helper()
	value, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return bijou.Record{Key: []byte(f.Session), Value: value}
}

func TestAfterTenKillsPulseEqualsARecountOfTheLog(t *testing.T) {
	now := killedOn.Add(23 * time.Hour)
	contract.Kill(t, 10, func(t *testing.T, dir string, ack func(string)) {
		l := openLog(t, dir)
		facts, _ := readAll(t, l)
		a := newAudience(rand.New(rand.NewPCG(uint64(len(facts[0])), uint64(len(facts[1])))), 2)
		s := newRoom(l, func() time.Time { return now })
		s.rememberEvery = 300
		go func() {
			if err := s.Run(t.Context(), func() {}); err != nil && !errors.Is(err, t.Context().Err()) {
				panic(err)
			}
		}()
		// Two seconds of the audience's time from fact to fact: every few hundred facts the minutes that were gathered are kept.
		for n := len(facts[0]) + len(facts[1]); ; n++ {
			partition, f := a.fact(killedOn.Add(time.Duration(n) * 2 * time.Second))
			if _, err := l.Append(t.Context(), bijou.TopicFacts, partition, []bijou.Record{factRecord(t, f)}); err != nil {
				t.Fatal(err)
			}
			if n%40 == 0 {
				ack(fmt.Sprint(n))
			}
		}
	}, func(t *testing.T, dir string, acked []string) {
		l := openLog(t, dir)
		defer l.Close()
		facts, ends := readAll(t, l)
		s := catchUp(t, l, ends, now)
		t.Logf("%d facts, %d acknowledged, %d minutes kept", len(facts[0])+len(facts[1]), 40*len(acked), len(s.ledger.Load().index))
		wantRecount(t, s, facts, killedOn, now)
	})
}
