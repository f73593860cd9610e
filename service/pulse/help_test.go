package pulse

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
)

// memoryLog is a log store in memory, for tests that need no disk. It can be told to fail.
type memoryLog struct {
	mu         sync.Mutex
	partitions int
	topics     map[string][][]bijou.Record
	committed  map[string]int64
	grown      chan struct{}
	most       int // records of one Read
	writes     int // the room's writes that still succeed; negative: all
	keeps      int // records of the first write that fails are kept all the same, as after a flush that failed
}

func newMemoryLog(partitions int) *memoryLog {
	return &memoryLog{
		partitions: partitions, topics: map[string][][]bijou.Record{}, committed: map[string]int64{}, grown: make(chan struct{}), most: 1000, writes: -1,
	}
}

// put appends facts, whatever becomes of the room's writes.
func (l *memoryLog) put(t testing.TB, partition int, facts ...bijou.Fact) {
	t.Helper()
	var records []bijou.Record
	for _, f := range facts {
		value, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, bijou.Record{Key: []byte(f.Session), Value: value})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(bijou.TopicFacts, partition, records)
}

func (l *memoryLog) add(topic string, partition int, records []bijou.Record) (first int64) {
	if l.topics[topic] == nil {
		l.topics[topic] = make([][]bijou.Record, l.partitions)
	}
	all := &l.topics[topic][partition]
	first = int64(len(*all))
	for i, r := range records {
		r.Offset = first + int64(i)
		*all = append(*all, r)
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return first
}

// write says how many of so many records that the room writes are kept.
func (l *memoryLog) write(records int) (kept int, err error) {
	if l.writes < 0 {
		return records, nil
	}
	if l.writes--; l.writes >= 0 {
		return records, nil
	}
	kept, l.keeps, l.writes = min(l.keeps, records), 0, 0
	return kept, fmt.Errorf("the disk of this test is full: %w", bijou.Exhausted)
}

// Append implements bijou.LogStore.
func (l *memoryLog) Append(_ context.Context, topic string, partition int, records []bijou.Record) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, err := l.write(len(records))
	return l.add(topic, partition, records[:kept]), err
}

// Read implements bijou.LogStore.
func (l *memoryLog) Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]bijou.Record, error) {
	for {
		l.mu.Lock()
		grown := l.grown
		var all []bijou.Record
		if l.topics[topic] != nil {
			all = l.topics[topic][partition]
		}
		most := l.most
		l.mu.Unlock()
		if int64(len(all)) > from {
			return slices.Clone(all[from:min(from+int64(min(limit, most)), int64(len(all)))]), nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Commit implements bijou.LogStore.
func (l *memoryLog) Commit(_ context.Context, group, topic string, partition int, next int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, err := l.write(1)
	if kept == 1 {
		l.committed[fmt.Sprint(group, topic, partition)] = next
	}
	return err
}

// Committed implements bijou.LogStore.
func (l *memoryLog) Committed(_ context.Context, group, topic string, partition int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed[fmt.Sprint(group, topic, partition)], nil
}

// Partitions implements bijou.LogStore.
func (l *memoryLog) Partitions(context.Context, string) (int, error) { return l.partitions, nil }

// facts are all that was put, by partition.
func (l *memoryLog) facts(t testing.TB) (out [][]bijou.Fact) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, records := range l.topics[bijou.TopicFacts] {
		out = append(out, factsOf(t, records))
	}
	return out
}

func factsOf(t testing.TB, records []bijou.Record) (out []bijou.Fact) {
	t.Helper()
	for _, r := range records {
		var f bijou.Fact
		if err := json.Unmarshal(r.Value, &f); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func newRoom(l bijou.LogStore, now func() time.Time) *Service {
	return New(Deps{Log: l, Logger: slog.New(slog.DiscardHandler), Now: now, Metrics: prometheus.NewRegistry()})
}

// runs starts the room and returns what stops it, as a kill would: nothing is said to it but that its context ends.
func runs(t testing.TB, s *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil after its context ended", err)
		}
	}
}

// catchUp reads all facts that are there without a goroutine or a clock, and returns the room that has.
func catchUp(t testing.TB, l bijou.LogStore, ends []int64, now time.Time) *Service {
	t.Helper()
	s := newRoom(l, func() time.Time { return now })
	w, err := s.restore(t.Context(), len(ends))
	if err != nil {
		t.Fatal(err)
	}
	for n, end := range ends {
		for w.parts[n].next < end {
			records, err := l.Read(t.Context(), bijou.TopicFacts, n, w.parts[n].next, batchFacts)
			if err != nil {
				t.Fatal(err)
			}
			w.take(s.batchOf(n, records))
		}
	}
	w.tick(now.Add(quiet)) // nothing more comes
	s.ledger.Store(w.ledger)
	return s
}
