package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bijou"
	"bijou/engine/logfile"
	"bijou/kit/rpc"
	roompulse "bijou/service/pulse"
)

// The targets of pulse: one core folds what the players of a million viewers report who tell how they are every ten seconds, and operators do not wait.
const (
	foldTarget    = 100_000 // facts a CPU-second, all of it: reading, parsing, folding, keeping
	pulseMB       = 200     // resident, with busyViewings and busyTitles
	hourTarget    = 200 * time.Millisecond
	monthTarget   = 3 * time.Second
	busyViewings  = 10_000
	busyTitles    = 1000
	busyMinutes   = 20
	beatSeconds   = 10 // between two heartbeats
	monthDays     = 29
	monthStarts   = 10 // a minute
	pulseQueries  = 7
	pulsePatience = 4 * time.Minute
)

// pulse measures how fast facts are folded, in what memory, and how long answers take.
func pulse(ctx context.Context, b *bench, r *report) error {
	r.line("Facts are put on the log of a service that does not run; then it is started and reads them. Times of the processor are those of the whole process.")
	r.line("")
	r.line("| what | target | measured | |")
	r.line("|---|---|---|---|")
	for _, measure := range []func(context.Context, *bench, *report) error{busy, month} {
		if err := measure(ctx, b, r); err != nil {
			return err
		}
	}
	return nil
}

// busy measures folding, with many viewings at once.
func busy(ctx context.Context, b *bench, r *report) error {
	dir := filepath.Join(b.dir, "busy")
	begin := time.Now().Add(-(busyMinutes + 1) * time.Minute).Truncate(time.Minute)
	facts, err := b.logged(ctx, dir, func(put func(bijou.Fact) error) error { return crowd(begin, put) })
	if err != nil {
		return err
	}
	s, client, err := b.asked(ctx, dir)
	if err != nil {
		return err
	}
	query := roompulse.Query{From: begin.UTC().Format(time.RFC3339)}
	counted := func(f bijou.PulseFigures) bool { return f.PlayedMS == int64(facts-2*busyViewings)*beatSeconds*1000 }
	if err := until(ctx, client, query, counted); err != nil {
		return err
	}
	cpu, rss, err := usage(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	rate := float64(facts) / cpu.Seconds()
	r.line("| facts folded a CPU-second: %d facts of %d viewings at once, of %d titles, from the log into minutes that are kept | ≥ %d | %.0f | %s |", facts, busyViewings, busyTitles, foldTarget, rate, verdict(rate >= foldTarget))
	mb := float64(rss) / 1e6
	r.line("| resident memory of the whole service right after that | ≤ %d MB | %.0f MB | %s |", pulseMB, mb, verdict(mb <= pulseMB))
	kept, err := sizeOf(filepath.Join(dir, "log", bijou.TopicPulse))
	if err != nil {
		return err
	}
	r.line("| what a minute of these takes on disk | | %.0f kB | |", float64(kept)/busyMinutes/1e3)
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // it was killed
	killed := time.Now()
	if s, client, err = b.asked(ctx, dir); err != nil {
		return err
	}
	if err := until(ctx, client, query, counted); err != nil {
		return err
	}
	r.line("| from its start after `kill -9` to all figures | | %.1f s | |", time.Since(killed).Seconds())
	query.By = "title"
	took, err := timed(ctx, client, query)
	if err != nil {
		return err
	}
	r.line("| %d minutes by title, %d titles | ≤ %d ms | %.0f ms, the slowest of %d | %s |", busyMinutes, busyTitles, hourTarget.Milliseconds(), took.Seconds()*1000, pulseQueries, verdict(took <= hourTarget))
	return s.stop()
}

// month measures answers over all that is kept.
func month(ctx context.Context, b *bench, r *report) error {
	dir := filepath.Join(b.dir, "month")
	begin := time.Now().AddDate(0, 0, -monthDays).Truncate(time.Minute).Add(time.Minute)
	facts, err := b.logged(ctx, dir, func(put func(bijou.Fact) error) error { return steady(begin, put) })
	if err != nil {
		return err
	}
	s, client, err := b.asked(ctx, dir)
	if err != nil {
		return err
	}
	all := roompulse.Query{From: begin.UTC().Format(time.RFC3339), By: "title"}
	counted := func(f bijou.PulseFigures) bool { return f.PlayedMS == int64(facts/3)*30_000 }
	if err := until(ctx, client, roompulse.Query{From: all.From}, counted); err != nil {
		return err
	}
	kept, err := sizeOf(filepath.Join(dir, "log", bijou.TopicPulse))
	if err != nil {
		return err
	}
	r.line("| %d days with %d starts each minute, on disk | | %.0f MB | |", monthDays, monthStarts, float64(kept)/1e6)
	if err := s.stop(); err != nil {
		return err
	}
	if s, client, err = b.asked(ctx, dir); err != nil {
		return err
	}
	if err := until(ctx, client, roompulse.Query{From: all.From}, counted); err != nil {
		return err
	}
	took, err := timed(ctx, client, roompulse.Query{By: "title"})
	if err != nil {
		return err
	}
	r.line("| the last hour by title, each minute with its band | ≤ %d ms | %.0f ms, the slowest of %d | %s |", hourTarget.Milliseconds(), took.Seconds()*1000, pulseQueries, verdict(took <= hourTarget))
	if took, err = timed(ctx, client, all); err != nil {
		return err
	}
	r.line("| %d days by title | ≤ %d ms | %.0f ms, the slowest of %d | %s |", monthDays, monthTarget.Milliseconds(), took.Seconds()*1000, pulseQueries, verdict(took <= monthTarget))
	_, rss, err := usage(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	r.line("| resident memory of the whole service with these kept | | %.0f MB | |", float64(rss)/1e6)
	return s.stop()
}

// crowd makes the facts of many viewings at once, in the order of their times.
func crowd(begin time.Time, put func(bijou.Fact) error) error {
	random := rand.New(rand.NewPCG(1, 2))
	for second := range busyMinutes * 60 {
		at := begin.Add(time.Duration(second) * time.Second)
		for v := second % beatSeconds; v < busyViewings; v += beatSeconds {
			f := bijou.Fact{
				Kind: bijou.FactHeartbeat, Session: bijou.SessionID(fmt.Sprintf("ply_%016d", v)), Seq: int64(second/beatSeconds + 2), At: at, PositionMS: int64(second) * 1000, RuntimeMS: 5_400_000,
				Title: bijou.TitleID(fmt.Sprintf("ttl_%016d", random.IntN(busyTitles)*v%busyTitles)), BPS: int64(1+random.IntN(4)) * 1_200_000, Height: 720, PlayedMS: beatSeconds * 1000,
				Player: "bijou-web/1", Appliance: bijou.ApplianceID(fmt.Sprintf("apl_%016d", v%10)), Zone: fmt.Sprintf("zone-%d", v%4),
			}
			if second < beatSeconds {
				start := f
				start.Kind, start.Seq, start.PlayedMS = bijou.FactStart, 1, 0
				f.Kind, f.DurationMS, f.PlayedMS = bijou.FactFirstFrame, 200+random.Int64N(2000), 0
				if err := put(start); err != nil {
					return err
				}
			}
			if err := put(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// steady makes a start, a first picture and an end, so many times each minute.
func steady(begin time.Time, put func(bijou.Fact) error) error {
	random := rand.New(rand.NewPCG(3, 4))
	for minute := range monthDays*24*60 - 2 {
		for n := range monthStarts {
			f := bijou.Fact{
				Kind: bijou.FactStart, Session: bijou.SessionID(fmt.Sprintf("ply_%016d", minute*monthStarts+n)), Seq: 1, At: begin.Add(time.Duration(minute)*time.Minute + time.Duration(n)*time.Second),
				Title: bijou.TitleID(fmt.Sprintf("ttl_%016d", random.IntN(50))), Player: "bijou-web/1", Appliance: bijou.ApplianceID(fmt.Sprintf("apl_%016d", n%3)), Zone: "zone-1",
			}
			for seq, kind := range []bijou.FactKind{bijou.FactStart, bijou.FactFirstFrame, bijou.FactEnd} {
				f.Kind, f.Seq = kind, int64(seq+1)
				switch kind {
				case bijou.FactFirstFrame:
					f.DurationMS = 200 + random.Int64N(2000)
				case bijou.FactEnd:
					f.PlayedMS, f.BPS = 30_000, 2_400_000
				}
				if err := put(f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// logged has a service make its data directory, and puts facts on its log. It returns how many these are.
func (b *bench) logged(ctx context.Context, dir string, generate func(put func(bijou.Fact) error) error) (facts int, err error) {
	s, err := b.start(ctx, dir)
	if err != nil {
		return 0, err
	}
	if err := s.stop(); err != nil {
		return 0, err
	}
	l, err := logfile.Open(filepath.Join(dir, "log"), logfile.Options{})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	const partitions, batch = 4, 1000
	var waiting [partitions][]bijou.Record
	flush := func(p int) error {
		if len(waiting[p]) == 0 {
			return nil
		}
		_, err := l.Append(ctx, bijou.TopicFacts, p, waiting[p])
		facts, waiting[p] = facts+len(waiting[p]), nil
		return err
	}
	err = generate(func(f bijou.Fact) error {
		value, err := json.Marshal(f)
		if err != nil {
			return err
		}
		p := int(f.Session[len(f.Session)-1]-'0') % partitions
		if waiting[p] = append(waiting[p], bijou.Record{Key: []byte(f.Session), Value: value}); len(waiting[p]) < batch {
			return nil
		}
		return flush(p)
	})
	for p := range partitions {
		if err == nil {
			err = flush(p)
		}
	}
	return facts, err
}

// asked starts the service and returns the operator's way to its pulse.
func (b *bench) asked(ctx context.Context, dir string) (*service, *roompulse.Client, error) {
	s, err := b.start(ctx, dir, "--set", "facts.retain=4GiB")
	if err != nil {
		return nil, nil, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "operator.token"))
	if err != nil {
		return nil, nil, err
	}
	return s, roompulse.NewClient(rpc.NewClient(s.address, rpc.WithToken(strings.TrimSpace(string(token))))), nil
}

// until waits until the figures are as they should be.
func until(ctx context.Context, c *roompulse.Client, q roompulse.Query, done func(bijou.PulseFigures) bool) error {
	for end := time.Now().Add(pulsePatience); ; time.Sleep(time.Second) {
		a, err := c.Query(ctx, q)
		if err == nil && done(a.Total) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s pulse has %d starts and %d ms played: %v", pulsePatience, a.Total.Starts, a.Total.PlayedMS, err)
		}
	}
}

// timed returns how long the slowest of some queries took.
func timed(ctx context.Context, c *roompulse.Client, q roompulse.Query) (slowest time.Duration, err error) {
	for range pulseQueries {
		begin := time.Now()
		if _, err := c.Query(ctx, q); err != nil {
			return 0, err
		}
		slowest = max(slowest, time.Since(begin))
	}
	return slowest, nil
}

// sizeOf returns the bytes of the files below a directory.
func sizeOf(dir string) (sum int64, err error) {
	err = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
