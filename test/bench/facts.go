package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"bijou"
	"bijou/engine/logfile"
	"bijou/viewer"
)

// The targets of the issue that asked for this measurement.
const (
	appendTarget = 200_000 // records of 100 bytes a CPU-second
	openTarget   = 100     // milliseconds
	heapTarget   = 16 << 20
)

const (
	factRuns   = 7 // of which the median counts
	keptBytes  = 1 << 30
	partitions = 4 // as bijou up has
)

// facts measures the embedded log, and the whole way of facts to it.
func facts(ctx context.Context, b *bench, r *report) error {
	r.line("Each append is flushed to disk before it is acknowledged. Processor time is that of the whole process, the system's part included.\n")
	if err := b.appends(ctx, r); err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "kept")
	records, err := b.fill(ctx, filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	if err := b.opens(ctx, r, filepath.Join(dir, "log"), records); err != nil {
		return err
	}
	if err := b.starts(ctx, r, dir); err != nil {
		return err
	}
	return b.wholeWay(ctx, r)
}

// cpuTime returns the processor time that this process has taken.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// appends measures appends of records of 100 bytes, key and value together.
func (b *bench) appends(ctx context.Context, r *report) error {
	r.line("| records of 100 bytes | target, records a CPU-second | records a CPU-second (median, least to most) | records a second | |")
	r.line("|---|---|---|---|---|")
	for _, c := range []struct{ batch, callers int }{{100, 1}, {1000, 1}, {100, 64}, {1, 1}, {1, 256}} {
		records := make([]bijou.Record, c.batch)
		for i := range records {
			records[i] = bijou.Record{Key: []byte("ply_0123456789abcdef"), Value: make([]byte, 80)}
		}
		var perCPU, perSecond []float64
		for run := range factRuns {
			cpu, took, n, err := b.appendFor(ctx, filepath.Join(b.dir, fmt.Sprint("appends-", c.batch, "-", c.callers, "-", run)), records, c.callers)
			if err != nil {
				return err
			}
			perCPU, perSecond = append(perCPU, float64(n)/cpu.Seconds()), append(perSecond, float64(n)/took.Seconds())
		}
		target, verdictText := "", ""
		m, lo, hi := spread(perCPU)
		wall, _, _ := spread(perSecond)
		if c.batch > 1 {
			target, verdictText = "≥ "+thousands(appendTarget), verdict(m >= appendTarget)
		}
		r.line("| batches of %d, %d at once | %s | %s, %s to %s | %s | %s |", c.batch, c.callers, target, thousands(m), thousands(lo), thousands(hi), thousands(wall), verdictText)
	}
	r.line("")
	return nil
}

// appendFor appends the records again and again for half a second.
func (b *bench) appendFor(ctx context.Context, dir string, records []bijou.Record, callers int) (cpu, took time.Duration, n int64, err error) {
	l, err := logfile.Open(dir, logfile.Options{Partitions: partitions})
	if err != nil {
		return 0, 0, 0, err
	}
	defer os.RemoveAll(dir)
	before, err := cpuTime()
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for round := 0; time.Since(begin) < 500*time.Millisecond; round++ {
				_, failure := l.Append(ctx, bijou.TopicFacts, (caller+round)%partitions, records)
				mu.Lock()
				n, err = n+int64(len(records)), errors.Join(err, failure)
				mu.Unlock()
				if failure != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	took = time.Since(begin)
	after, timeErr := cpuTime()
	return after - before, took, n, errors.Join(err, timeErr, l.Close())
}

// thousands prints a number with commas.
func thousands[T int | float64](n T) string {
	s := strconv.Itoa(int(n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// fill makes a log of 1 GiB of facts.
func (b *bench) fill(ctx context.Context, dir string) (records int, err error) {
	l, err := logfile.Open(dir, logfile.Options{Partitions: partitions})
	if err != nil {
		return 0, err
	}
	for bytes := 0; bytes < keptBytes; {
		batch := make([]bijou.Record, 1000)
		session := bijou.NewID[bijou.SessionID](bijou.SessionPrefix)
		for i := range batch {
			f := bijou.Fact{
				Kind: bijou.FactHeartbeat, Session: session, Seq: int64(i + 1), Title: "ttl_0123456789abcdef", PositionMS: int64(i) * 4000, RuntimeMS: 7_200_000, BPS: 3_000_000,
				Height: 720, PlayedMS: 4000, Player: "bijou-web/1", Appliance: "apl_0123456789abcdef", Zone: "oslo", At: time.Now().UTC(),
			}
			value, err := json.Marshal(f)
			if err != nil {
				return 0, err
			}
			batch[i] = bijou.Record{Key: []byte(session), Value: value}
			bytes += len(session) + len(value)
		}
		if _, err := l.Append(ctx, bijou.TopicFacts, records/1000%partitions, batch); err != nil {
			return 0, errors.Join(err, l.Close())
		}
		records += len(batch)
	}
	return records, l.Close()
}

// heapNow returns the bytes that are alive.
func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// opens measures how long the log takes to open, and what it takes of memory.
func (b *bench) opens(ctx context.Context, r *report, dir string, records int) error {
	before := heapNow()
	open := func() (*logfile.Log, float64, error) {
		begin := time.Now()
		l, err := logfile.Open(dir, logfile.Options{Partitions: partitions})
		return l, time.Since(begin).Seconds() * 1000, err
	}
	var times, blind []float64
	for range factRuns {
		l, took, err := open()
		if err != nil {
			return err
		}
		times = append(times, took)
		if err := l.Close(); err != nil {
			return err
		}
	}
	l, _, err := open()
	if err != nil {
		return err
	}
	opened := heapNow() - before
	reading, rate, err := readAll(ctx, l, before, records)
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	for range factRuns {
		if err := removeIndexes(dir); err != nil {
			return err
		}
		l, took, err := open()
		if err != nil {
			return err
		}
		blind = append(blind, took)
		if err := l.Close(); err != nil {
			return err
		}
	}
	r.line("| 1 GiB kept, %s facts | target | measured (median, least to most) | |", thousands(records))
	r.line("|---|---|---|---|")
	m, lo, hi := spread(times)
	r.line("| the log opens | ≤ %d ms | %.1f ms, %.1f to %.1f | %s |", openTarget, m, lo, hi, verdict(m <= openTarget))
	m, lo, hi = spread(blind)
	r.line("| it opens with every index lost | ≤ %d ms | %.1f ms, %.1f to %.1f | %s |", openTarget, m, lo, hi, verdict(m <= openTarget))
	r.line("| live memory that the open log takes | ≤ %d MiB | %.2f MiB | %s |", heapTarget>>20, float64(opened)/(1<<20), verdict(opened <= heapTarget))
	r.line("| the same between two reads, while all of it is read | ≤ %d MiB | %.2f MiB | %s |", heapTarget>>20, float64(reading)/(1<<20), verdict(reading <= heapTarget))
	r.line("| facts read a second, every checksum looked at | | %s | |", thousands(rate))
	r.line("")
	return nil
}

// readAll reads the log from start to end. It returns the most that was alive between two reads, and records a second.
func readAll(ctx context.Context, l *logfile.Log, before int64, records int) (most int64, rate float64, err error) {
	var took time.Duration
	left, rounds := records, 0
	for p := range partitions {
		for next := int64(0); next < int64(records/partitions/1000*1000); rounds++ {
			begin := time.Now()
			got, err := l.Read(ctx, bijou.TopicFacts, p, next, 1000)
			if err != nil {
				return 0, 0, err
			}
			took += time.Since(begin)
			next, left = got[len(got)-1].Offset+1, left-len(got)
			if rounds%200 == 0 {
				got = nil
				most = max(most, heapNow()-before)
			}
		}
	}
	return most, float64(records-left) / took.Seconds(), nil
}

func removeIndexes(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".idx") {
			err = os.Remove(path)
		}
		return err
	})
}

// starts measures how long the whole service takes to be ready, with the log and without. The rooms have read what is kept.
func (b *bench) starts(ctx context.Context, r *report, dir string) error {
	r.line("| `bijou up`, until it is ready | measured (median, least to most) |")
	r.line("|---|---|")
	for _, c := range []struct{ what, dir string }{{"1 GiB of facts kept", dir}, {"none kept", filepath.Join(b.dir, "none")}} {
		var times []float64
		for run := range factRuns + 1 {
			begin := time.Now()
			s, err := b.start(ctx, c.dir)
			if err != nil {
				return err
			}
			if run == 0 { // the first start makes the data directory, and has the rooms read the log
				err = settle(s.cmd.Process.Pid)
			} else {
				times = append(times, time.Since(begin).Seconds()*1000)
			}
			if err := errors.Join(err, s.stop()); err != nil {
				return err
			}
		}
		m, lo, hi := spread(times)
		r.line("| %s | %.0f ms, %.0f to %.0f |", c.what, m, lo, hi)
	}
	r.line("")
	return nil
}

// settle waits until the process does next to nothing.
func settle(pid int) error {
	for before := time.Duration(-1); ; time.Sleep(time.Second) {
		now, _, err := usage(pid)
		if err != nil || before >= 0 && now-before < 20*time.Millisecond {
			return err
		}
		before = now
	}
}

// way is what it took to get facts from players to the log, and to the rooms that read it.
type way struct {
	facts              int
	took, cpu          time.Duration // cpu is the service's
	rss, rssAfterwards int64
}

// wholeWay measures facts from players to the log: over HTTP, checked, read again by the rooms that follow the log.
func (b *bench) wholeWay(ctx context.Context, r *report) error {
	r.line("| 200 players report to `bijou up` | facts a CPU-second of the service | facts a second | resident memory before and after |")
	r.line("|---|---|---|---|")
	for _, c := range []struct{ batch, viewings int }{{100, 10}, {10, 3}, {1, 1}} {
		w, err := b.reports(ctx, filepath.Join(b.dir, "way", strconv.Itoa(c.batch)), c.batch, c.viewings)
		if err != nil {
			return err
		}
		r.line("| %s facts, %d in a report | %s | %s | %.0f and %.0f MB |", thousands(w.facts), c.batch, thousands(float64(w.facts)/w.cpu.Seconds()),
			thousands(float64(w.facts)/w.took.Seconds()), float64(w.rss)/1e6, float64(w.rssAfterwards)/1e6)
	}
	return nil
}

// reports has 200 players report to a service of their own, and returns when the rooms have read it all. args are the service's.
func (b *bench) reports(ctx context.Context, dir string, batch, viewings int, args ...string) (w way, err error) {
	s, err := b.start(ctx, dir, args...)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	time.Sleep(settleIn)
	before, rss, err := usage(s.cmd.Process.Pid)
	if err != nil {
		return w, err
	}
	begin := time.Now()
	did, err := viewer.Run(ctx, viewer.Config{Address: s.address, Players: 200, Viewings: viewings, Facts: 100, Batch: batch, Seed: 1})
	if err != nil {
		return w, err
	}
	took := time.Since(begin)
	if err := settle(s.cmd.Process.Pid); err != nil {
		return w, err
	}
	after, rssAfter, err := usage(s.cmd.Process.Pid)
	return way{int(did.Facts), took, after - before, rss, rssAfter}, err
}
