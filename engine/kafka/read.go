package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxLines bounds the Reads at once. Each has a connection of its own, since a server answers the requests of one connection one after another,
	// and one that waits for records would hold the others up.
	maxLines = 256
	// keptLines bounds the lines, and what they have in hand, that are kept while nobody reads.
	keptLines = 64
	// readBytes bounds what is fetched at once; a batch that crosses it comes whole.
	readBytes = 1 << 20
	// waitAtServer is how long a server waits for records before it says that there are none.
	waitAtServer = 5 * time.Second
	// margin is how long before the end of a Read it is to say so: an answer that is given up costs the connection.
	margin = 5 * time.Millisecond
)

// line is a connection for one Read at a time. It remembers what it fetched beyond what was asked for.
type line struct {
	log    *Log
	client *kgo.Client

	partition *partition
	next      int64          // offset of what is fetched next
	rest      []bijou.Record // fetched and not yet read, up to next
	id        [16]byte
	leader    int32 // -1: not known
	asked     bool  // an answer is on its way, or was given up
}

// lines are those that nobody reads with now, in the order of their last use.
type lines struct {
	mu     sync.Mutex
	idle   []*line
	open   int
	closed bool
}

// Read implements bijou.LogStore. It returns about 1 MiB at most. It fails with Unavailable where servers do not answer within 10 s, and with Exhausted
// where 256 others read.
func (l *Log) Read(ctx context.Context, name string, n int, from int64, limit int) ([]bijou.Record, error) {
	found, cancel := l.patient(ctx)
	p, err := l.partition(found, name, n)
	cancel()
	if ctx.Err() != nil && bijou.KindOf(err) != bijou.Invalid {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if from < 0 || limit < 1 {
		return nil, fmt.Errorf("read topic %s: %d records from offset %d: ask for one at least, from 0 on: %w", name, limit, from, bijou.Invalid)
	}
	ln, err := l.take(p, from)
	if err != nil {
		return nil, err
	}
	records, err := ln.read(ctx, from, limit)
	l.lines.put(ln)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return records, err
}

// take returns a line for a Read: the one that stands there, or another.
func (l *Log) take(p *partition, from int64) (*line, error) {
	s := &l.lines
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(p, from)
	if i < 0 && s.open >= maxLines {
		return nil, fmt.Errorf("read topic %s: %d others read from %s: read with fewer at once: %w", p.topic.name, maxLines, l, bijou.Exhausted)
	}
	if i < 0 {
		c, err := l.newClient()
		if err != nil {
			return nil, err
		}
		s.open++
		return &line{log: l, client: c, partition: p, next: from, leader: -1}, nil
	}
	ln := s.idle[i]
	s.idle = slices.Delete(s.idle, i, i+1)
	if ln.partition != p {
		ln.partition, ln.leader = p, -1
	}
	if ln.at() != from {
		ln.next, ln.rest = from, nil
	}
	return ln, nil
}

// find returns the index of an idle line that stands there, or else of one that has nothing in hand, or -1 where another is to be opened.
func (s *lines) find(p *partition, from int64) int {
	if i := slices.IndexFunc(s.idle, func(ln *line) bool { return ln.partition == p && ln.at() == from }); i >= 0 {
		return i
	}
	i := slices.IndexFunc(s.idle, func(ln *line) bool { return len(ln.rest) == 0 })
	if i < 0 && s.open >= maxLines && len(s.idle) > 0 {
		return 0
	}
	return i
}

// put takes a line back. One that gave an answer up would have to wait for it, so it is closed.
func (s *lines) put(ln *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln.asked || s.closed {
		s.drop(ln)
		return
	}
	s.idle = append(s.idle, ln)
	if len(s.idle) > keptLines {
		s.drop(s.idle[0])
		s.idle = slices.Delete(s.idle, 0, 1)
	}
}

// drop closes a line.
func (s *lines) drop(ln *line) {
	s.open--
	ln.client.Close()
}

// close closes those that nobody reads with, and each other one when it comes back.
func (s *lines) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, ln := range s.idle {
		s.drop(ln)
	}
	s.idle = nil
}

// at is the offset that the line goes on with.
func (ln *line) at() int64 {
	if len(ln.rest) > 0 {
		return ln.rest[0].Offset
	}
	return ln.next
}

// read returns records from the offset on, and waits for the first.
func (ln *line) read(ctx context.Context, from int64, limit int) ([]bijou.Record, error) {
	for tries := 0; ; tries++ {
		for len(ln.rest) > 0 && ln.rest[0].Offset < from {
			ln.rest = ln.rest[1:]
		}
		if n := min(len(ln.rest), limit); n > 0 {
			out := ln.rest[:n:n]
			ln.rest = ln.rest[n:]
			return out, nil
		}
		ln.rest = nil
		if deadline, ok := ctx.Deadline(); ok && tries > 0 && time.Until(deadline) < 2*margin {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		round, cancel := ln.log.bound(ctx, patience)
		err := ln.log.persist(round, "read topic "+ln.partition.topic.name, ln.fetch)
		cancel()
		if err != nil {
			return nil, err
		}
	}
}

// fetch gets what comes next, or nothing where nothing came for a while.
func (ln *line) fetch(ctx context.Context) error {
	t, n := ln.partition.topic, ln.partition.n
	if ln.leader < 0 {
		f, err := describe(ctx, ln.client, t.name)
		if err != nil {
			return err
		}
		if int(n) >= len(f.leaders) || f.leaders[n] < 0 {
			return kerr.LeaderNotAvailable
		}
		ln.id, ln.leader = f.id, f.leaders[n]
	}
	wait := waitAtServer
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(min(wait, time.Until(deadline)-margin), time.Millisecond)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(wait.Milliseconds()), 1, readBytes
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.Topic, rt.TopicID, rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = t.name, ln.id, n, ln.next, readBytes
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := ln.ask(ctx, req)
	if err == nil {
		err = ln.takeIn(answer)
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return ln.seek(ctx)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		err = errors.Join(err, t.refresh(ctx))
	}
	if err != nil {
		ln.leader = -1
	}
	return err
}

// ask sends a request to the leader.
func (ln *line) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	ln.asked = true
	answer, err := ln.client.Broker(int(ln.leader)).Request(ctx, req)
	if err == nil || ctx.Err() == nil {
		ln.asked = false // what failed by itself is over
	}
	return answer, err
}

// takeIn reads an answer.
func (ln *line) takeIn(answer kmsg.Response) error {
	t, n := ln.partition.topic, ln.partition.n
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return kerr.UnknownServerError
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	if len(resp.Topics) == 0 {
		return nil // nothing came
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return kerr.UnknownServerError
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: ln.next, Topic: t.name, Partition: n},
		&resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if len(got.Records) == 0 && got.Err != nil {
		if known := new(kerr.Error); errors.As(got.Err, &known) {
			return got.Err
		}
		return fmt.Errorf("topic %s: what partition %d has at offset %d cannot be read (%w): have the servers mend it from a replica: %w", t.name, n, ln.next, got.Err, bijou.Corrupt)
	}
	ln.rest = make([]bijou.Record, len(got.Records))
	for i, r := range got.Records {
		ln.rest[i] = bijou.Record{Offset: r.Offset, At: r.Timestamp.UTC().Truncate(time.Millisecond), Key: r.Key, Value: r.Value}
	}
	ln.next = max(ln.next, next)
	return nil
}

// The times that stand for the ends of a partition.
const latest, earliest = -1, -2

// seek goes to the earliest record where what came before it was removed, and to the end where the offset lies beyond it.
func (ln *line) seek(ctx context.Context) error {
	first, err := ln.offsetAt(ctx, earliest)
	if err == nil && ln.next < first {
		ln.next = first
		return nil
	}
	end, err2 := ln.offsetAt(ctx, latest)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	ln.next = min(ln.next, end)
	return nil
}

// offsetAt asks for one end of the partition.
func (ln *line) offsetAt(ctx context.Context, end int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	rt.Topic, rp.Partition, rp.Timestamp = ln.partition.topic.name, ln.partition.n, end
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := ln.ask(ctx, req)
	if err != nil {
		return 0, err
	}
	resp, ok := answer.(*kmsg.ListOffsetsResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, kerr.UnknownServerError
	}
	return resp.Topics[0].Partitions[0].Offset, kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}
