package events

import (
	"context"
	"fmt"
	"sync"

	"bijou"
)

// Bounds of what waits for the log. Beyond them a report is refused, so that a slow disk takes neither all memory nor all patience.
const (
	maxWaiting      = 1024     // reports
	maxWaitingBytes = 32 << 20 // of their records
	groupBytes      = 4 << 20  // of the records that one append carries; what crosses it is the next one's
)

// queue is what waits for the log. The reports for a partition that come while an append is under way are the next append together.
type queue struct {
	log   bijou.LogStore
	topic string

	mu        sync.Mutex
	waiting   int
	bytes     int
	gathering map[int]*group        // by partition: what comes next
	turns     map[int]chan struct{} // by partition: one token while an append is under way
}

// group is reports that are one append.
type group struct {
	records []bijou.Record
	bytes   int
	err     error
	done    chan struct{}
}

func newQueue(log bijou.LogStore, topic string) *queue {
	return &queue{log: log, topic: topic, gathering: map[int]*group{}, turns: map[int]chan struct{}{}}
}

// append returns when the records are on the log; where it fails, with the reason to count them by.
func (q *queue) append(ctx context.Context, partition int, records []bijou.Record) (reason string, err error) {
	bytes := 0
	for _, r := range records {
		bytes += len(r.Key) + len(r.Value)
	}
	g, turn := q.join(partition, records, bytes)
	if g == nil {
		return dropOverload, fmt.Errorf("too many facts wait for the log: send them again in a moment: %w", bijou.Exhausted)
	}
	if turn != nil {
		q.lead(ctx, partition, g, turn)
	}
	<-g.done
	q.mu.Lock()
	q.waiting, q.bytes = q.waiting-1, q.bytes-bytes
	q.mu.Unlock()
	return dropLog, g.err
}

// join adds the records to the partition's next append, and returns it; with the partition's turn for whoever has to do it, and without any
// group where too much waits.
func (q *queue) join(partition int, records []bijou.Record, bytes int) (*group, chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting >= maxWaiting || q.bytes+bytes > maxWaitingBytes {
		return nil, nil
	}
	q.waiting, q.bytes = q.waiting+1, q.bytes+bytes
	g := q.gathering[partition]
	if g != nil && g.bytes+bytes <= groupBytes {
		g.records, g.bytes = append(g.records, records...), g.bytes+bytes
		return g, nil
	}
	g = &group{records: records, bytes: bytes, done: make(chan struct{})}
	q.gathering[partition] = g
	if q.turns[partition] == nil {
		q.turns[partition] = make(chan struct{}, 1)
	}
	return g, q.turns[partition]
}

// lead does the append for all of the group. That its own player has left is not a reason to lose the others'.
func (q *queue) lead(ctx context.Context, partition int, g *group, turn chan struct{}) {
	turn <- struct{}{}
	q.mu.Lock()
	if q.gathering[partition] == g {
		delete(q.gathering, partition)
	}
	q.mu.Unlock()
	_, g.err = q.log.Append(context.WithoutCancel(ctx), q.topic, partition, g.records)
	<-turn
	close(g.done)
}
