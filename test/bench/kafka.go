package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/engine/kafka"
	"bijou/test/engines"
)

const (
	kafkaRuns       = 3 // of each, in turn with the peer's
	kafkaPartitions = 3
	kafkaTopic      = "perf"
	// 1.3 PB a day, in bytes a second.
	largeRate = 1.3e15 / (24 * 60 * 60)
)

// kafkaLoad is what is appended: so many records of so many bytes.
type kafkaLoad struct{ bytes, records int }

// kafkaLog measures the log on Apache Kafka beside Kafka's own producer.
func kafkaLog(ctx context.Context, b *bench, r *report) (err error) {
	alone := &engines.Alone{}
	defer alone.Close()
	defer func() {
		if failure, ok := recover().(engines.Failure); ok {
			err = errors.New(string(failure))
		}
	}()
	dir := filepath.Join(b.dir, "kafka")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	server := engines.Kafka(alone, dir)
	l, err := kafka.Open(fmt.Sprintf("kafka://%s?partitions=%d", server.Address, kafkaPartitions), kafka.Options{Retain: bijou.Retention{Bytes: 2 << 30}})
	if err != nil {
		return err
	}
	defer l.Close()
	if _, err := l.Partitions(ctx, kafkaTopic); err != nil {
		return err
	}
	version, err := l.Version(ctx)
	if err != nil {
		return err
	}
	r.line("Server: %s, one, on the same machine, %d partitions, one replica, acks=all. Client processor time is that of the client's whole process, the system's", version, kafkaPartitions)
	r.line("part included; of kafka-producer-perf-test it is less what a run of one record takes, so that starting Java does not count. All write to the same topic, in turn.\n")
	best, err := produce(ctx, r, server, l)
	if err != nil {
		return err
	}
	if err := consume(ctx, r, l); err != nil {
		return err
	}
	if err := b.bothLogs(ctx, r, server); err != nil {
		return err
	}
	boxes := largeRate / best
	r.line("One box like this, client and server on it, takes in %.0f MB/s of 1 KiB records. 1.3 PB a day are %.0f GB/s on average, so it takes %.0f such boxes; "+
		"%.0f where each record is on three of them, since each box then writes its own share and two others'; and 1.6 times as many for a peak of 24 GB/s. "+
		"This is arithmetic, not a run.", best/1e6, largeRate/1e9, boxes, 3*boxes)
	return nil
}

// produce measures appending, and returns the most bytes of 1 KiB records a second.
func produce(ctx context.Context, r *report, server engines.KafkaServer, l *kafka.Log) (best float64, err error) {
	start, err := perfTest(ctx, server, kafkaLoad{100, 1})
	if err != nil {
		return 0, err
	}
	r.line("| records | who, and how they come | records a client CPU-second (median, least to most) | target | of the peer's | records a second | |")
	r.line("|---|---|---|---|---|---|---|")
	for _, load := range []kafkaLoad{{100, 2_000_000}, {1024, 400_000}} {
		ours := []struct{ callers, batch int }{{4, 1000}, {16, 100}, {256, 1}}
		perCPU, perSecond := make([][]float64, 1+len(ours)), make([][]float64, 1+len(ours))
		add := func(i int, u used, records int) {
			perCPU[i], perSecond[i] = append(perCPU[i], float64(records)/u.cpu.Seconds()), append(perSecond[i], float64(records)/u.took.Seconds())
		}
		for range kafkaRuns {
			u, err := perfTest(ctx, server, load)
			if err != nil {
				return 0, err
			}
			add(0, used{u.cpu - start.cpu, u.took - start.took}, load.records)
			for i, o := range ours {
				own := load
				if o.batch == 1 {
					own.records /= 10
				}
				u, err := appendAll(ctx, l, own, o.callers, o.batch)
				if err != nil {
					return 0, err
				}
				add(1+i, u, own.records)
			}
		}
		peer, lo, hi := spread(perCPU[0])
		wall, _, _ := spread(perSecond[0])
		r.line("| %d bytes | kafka-producer-perf-test | %s, %s to %s | | 1 | %s | |", load.bytes, thousands(peer), thousands(lo), thousands(hi), thousands(wall))
		for i, o := range ours {
			m, lo, hi := spread(perCPU[1+i])
			wall, _, _ := spread(perSecond[1+i])
			target, text := "", ""
			if o.batch > 1 {
				target, text = "≥ 1.0 of the peer's", verdict(m >= peer)
			}
			r.line("| %d bytes | engine/kafka, Appends of %d, %d at once | %s, %s to %s | %s | %.1f | %s | %s |", load.bytes, o.batch, o.callers,
				thousands(m), thousands(lo), thousands(hi), target, m/peer, thousands(wall), text)
			if load.bytes == 1024 {
				best = max(best, wall*float64(load.bytes))
			}
		}
	}
	r.line("")
	return best, nil
}

// used is what a run took.
type used struct{ cpu, took time.Duration }

// perfTest runs Kafka's own measurement of its producer.
func perfTest(ctx context.Context, server engines.KafkaServer, load kafkaLoad) (used, error) {
	cmd := exec.CommandContext(ctx, "java", "-Xmx512m", "-cp", server.Classes, "org.apache.kafka.tools.ProducerPerformance", "--topic", "bijou."+kafkaTopic,
		"--num-records", fmt.Sprint(load.records), "--record-size", fmt.Sprint(load.bytes), "--throughput", "-1",
		"--command-property", "bootstrap.servers="+server.Address, "acks=all")
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d records sent", load.records)) {
		return used{}, fmt.Errorf("kafka-producer-perf-test: %w: %s", err, out)
	}
	return used{cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), time.Since(begin)}, nil
}

// appendAll appends the load, in batches, from so many callers at once.
func appendAll(ctx context.Context, l *kafka.Log, load kafkaLoad, callers, batch int) (used, error) {
	records := make([]bijou.Record, batch)
	for i := range records {
		records[i].Value = make([]byte, load.bytes)
		for j := range records[i].Value {
			records[i].Value[j] = 'A' + byte(rand.N(26)) // as the peer's
		}
	}
	before, err := cpuTime()
	if err != nil {
		return used{}, err
	}
	begin := time.Now()
	var done atomic.Int64
	var failed error
	var mu sync.Mutex
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for round := c; done.Add(int64(batch)) <= int64(load.records); round++ {
				if _, err := l.Append(ctx, kafkaTopic, round%kafkaPartitions, records); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(begin)
	after, err := cpuTime()
	return used{after - before, took}, errors.Join(failed, err)
}

// bothLogs measures facts from players to the rooms that read them, by the embedded log and by Kafka's in turn.
func (b *bench) bothLogs(ctx context.Context, r *report, server engines.KafkaServer) error {
	r.line("| 200 players report to `bijou up`, 100 facts at a time, and members and pulse read them | facts a CPU-second of the service (median, least to most) | facts a second |")
	r.line("|---|---|---|")
	logs := []struct {
		name           string
		perCPU, perSec []float64
	}{{name: "embedded log"}, {name: "Kafka"}}
	for run := range kafkaRuns {
		for i := range logs {
			var args []string
			if logs[i].name == "Kafka" {
				args = []string{"--set", fmt.Sprintf("stores.facts=kafka://%s?partitions=4&prefix=way%d.", server.Address, run)}
			}
			w, err := b.reports(ctx, filepath.Join(b.dir, "logs", logs[i].name, fmt.Sprint(run)), 100, 10, args...)
			if err != nil {
				return err
			}
			logs[i].perCPU = append(logs[i].perCPU, float64(w.facts)/w.cpu.Seconds())
			logs[i].perSec = append(logs[i].perSec, float64(w.facts)/w.took.Seconds())
		}
	}
	for _, l := range logs {
		m, lo, hi := spread(l.perCPU)
		wall, _, _ := spread(l.perSec)
		r.line("| %s | %s, %s to %s | %s |", l.name, thousands(m), thousands(lo), thousands(hi), thousands(wall))
	}
	r.line("")
	return nil
}

// consume measures reading what is there, and how long a record takes from who appends it to who waits for it.
func consume(ctx context.Context, r *report, l *kafka.Log) error {
	before, err := cpuTime()
	if err != nil {
		return err
	}
	begin, bytes, next := time.Now(), 0, int64(0)
	for bytes < 256<<20 {
		records, err := l.Read(ctx, kafkaTopic, 0, next, 1000)
		if err != nil {
			return err
		}
		for _, x := range records {
			bytes += len(x.Value)
		}
		next = records[len(records)-1].Offset + 1
	}
	took := time.Since(begin)
	after, err := cpuTime()
	if err != nil {
		return err
	}
	var delays []float64
	for range 1000 {
		first, err := l.Append(ctx, "delay", 0, []bijou.Record{{Value: []byte("mark")}})
		if err != nil {
			return err
		}
		came := make(chan error)
		go func() {
			_, err := l.Read(ctx, "delay", 0, first+1, 1)
			came <- err
		}()
		time.Sleep(time.Millisecond) // so that it waits at the server
		sent := time.Now()
		if _, err := l.Append(ctx, "delay", 0, []bijou.Record{{Value: []byte("x")}}); err != nil {
			return err
		}
		if err := <-came; err != nil {
			return err
		}
		delays = append(delays, time.Since(sent).Seconds()*1000)
	}
	slices.Sort(delays)
	r.line("| reading | measured |")
	r.line("|---|---|")
	r.line("| from the start, records of 100 bytes, one reader | %.0f MB/s, %.0f MB a client CPU-second |", float64(bytes)/took.Seconds()/1e6, float64(bytes)/(after-before).Seconds()/1e6)
	r.line("| a record, from the call of Append until a Read that waits has it | %.2f ms, p99 %.2f ms |", delays[len(delays)/2], delays[len(delays)*99/100])
	r.line("")
	return nil
}
