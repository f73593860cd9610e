package logfile

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// The record of a player's fact is about this long.
const factBytes = 200

func facts(n int) []bijou.Record {
	rs := make([]bijou.Record, n)
	for i := range rs {
		rs[i] = bijou.Record{Key: []byte("ply_0123456789abcdef"), Value: make([]byte, factBytes)}
	}
	return rs
}

// Each append is on disk before the next begins: what one caller sees.
func BenchmarkAppendAlone(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{Partitions: 1})
	rs := facts(1)
	for b.Loop() {
		if _, err := l.Append(b.Context(), "facts", 0, rs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// 256 callers at once, as many as the events room lets in, to one partition: they share flushes.
func BenchmarkAppendTogether(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{Partitions: 1})
	rs := facts(1)
	b.SetParallelism(256 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Append(b.Context(), "facts", 0, rs); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// Batches of 1,000 records from one caller: what the disk takes.
func BenchmarkAppendInBatches(b *testing.B) {
	l := openLog(b, b.TempDir(), Options{Partitions: 1})
	rs := facts(1000)
	for b.Loop() {
		if _, err := l.Append(b.Context(), "facts", 0, rs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}

// A log of 1 GiB: how long it takes to open, after a clean stop and after a kill without any index, how much memory it takes, and how
// fast it is read from start to end, checksums and all.
func BenchmarkGibibyte(b *testing.B) {
	dir := b.TempDir()
	l := openLog(b, dir, Options{Partitions: 4})
	rs := facts(1000)
	records := 0
	for n := 0; l.shared.bytes.Load() < 1<<30; n++ {
		if _, err := l.Append(b.Context(), "facts", n%4, rs); err != nil {
			b.Fatal(err)
		}
		records += len(rs)
	}
	mustClose(b, l)
	before := heap()
	start := time.Now()
	l = openLog(b, dir, Options{Partitions: 4})
	opened := time.Since(start)
	var peak atomic.Int64
	for b.Loop() {
		read := 0
		for p := range 4 {
			for next := int64(0); next < l.topics["facts"].partitions[p].next; {
				got, err := l.Read(b.Context(), "facts", p, next, 1000)
				if err != nil {
					b.Fatal(err)
				}
				read, next = read+len(got), next+int64(len(got))
			}
			peak.Store(max(peak.Load(), int64(heap())))
		}
		if read != records {
			b.Fatalf("read %d records of %d", read, records)
		}
	}
	b.ReportMetric(float64(opened.Microseconds())/1000, "open-ms")
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records-read/s")
	b.ReportMetric(float64(peak.Load()-int64(before))/(1<<20), "heap-MiB")
	mustClose(b, l)
	for p := range 4 {
		names, err := os.ReadDir(fmt.Sprint(dir, "/facts/", p))
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range names {
			if base, ok := parseName(e.Name(), ".idx"); ok {
				if err := os.Remove(indexPath(fmt.Sprint(dir, "/facts/", p), base)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	start = time.Now()
	openLog(b, dir, Options{Partitions: 4})
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "open-without-index-ms")
}

// heap returns the bytes that are alive.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
