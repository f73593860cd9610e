package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// groupBytes bounds the records of several Appends that are one batch; a single Append may have more.
	groupBytes = 1 << 20
	// keptBuffer bounds the memory that a partition keeps for its next batch.
	keptBuffer = 2 * groupBytes
)

// partition is one partition of a topic, and what waits to be appended to it.
//
// One batch is on its way at a time. The Appends that come meanwhile are the next batch together, as they are with the embedded log: so the more
// there is to do, the less each costs. A batch is sent again, as the same, until the servers say what became of it or nobody waits for it any more.
// In that case nobody knows whether it will be there, so the next one begins another epoch: the one before is there before it or never.
type partition struct {
	topic *topic
	n     int32

	mu      sync.Mutex
	waiting []*entry
	sending bool // a sender runs

	// The sender's own.
	producer producer
	buffer   []byte
}

// entry is one Append.
type entry struct {
	records []bijou.Record
	size    int64
	group   *group // nil while it waits
	first   int64
	err     error
	done    chan struct{}
}

// group is the entries of one batch.
type group struct {
	entries []*entry
	records int
	left    int                // entries that somebody waits for
	giveUp  context.CancelFunc // called when nobody does
}

// Append implements bijou.LogStore. It is acknowledged by all servers that keep the partition and are in sync. When its time is up or the servers do
// not answer within 10 s it fails with Unavailable; it fails with Exhausted when 64 MiB of records wait for so long.
func (l *Log) Append(ctx context.Context, name string, n int, records []bijou.Record) (int64, error) {
	size, err := bijou.CheckRecords(name, records)
	if err != nil {
		return 0, err
	}
	ctx, cancel := l.patient(ctx)
	defer cancel()
	p, err := l.partition(ctx, name, n)
	if err != nil {
		return 0, err
	}
	if err := l.room.Acquire(ctx, size); err != nil {
		return 0, l.crowded(name, err)
	}
	defer l.room.Release(size)
	e := &entry{records: records, size: size, done: make(chan struct{})}
	p.enqueue(e)
	select {
	case <-e.done:
	case <-ctx.Done():
		p.leave(e, ctx.Err())
	}
	return e.first, e.err
}

// crowded is the failure of an Append that found no room.
func (l *Log) crowded(name string, err error) error {
	if l.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return l.failure("append to topic "+name, err)
	}
	return fmt.Errorf("append to topic %s: %d MiB of records wait for %s already (%w): send them again in a moment: %w", name, maxWaiting>>20, l, err, bijou.Exhausted)
}

// enqueue has the entry be part of a next batch, but where the log is closed.
func (p *partition) enqueue(e *entry) {
	l := p.topic.log
	l.mu.RLock() // Close waits for the senders that there are when it has closed the log
	defer l.mu.RUnlock()
	if l.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, e)
	if !p.sending {
		p.sending = true
		l.senders.Go(p.send)
	}
}

// leave takes the entry back. Where it is on its way already, nobody knows what becomes of it.
func (p *partition) leave(e *entry, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-e.done:
		return // it was just answered
	default:
	}
	l := p.topic.log
	if e.group == nil {
		for i := range p.waiting {
			if p.waiting[i] == e {
				p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
				break
			}
		}
		e.err = l.failure("append to topic "+p.topic.name+": the records before it wait for an answer, and it was not sent", why)
		return
	}
	e.err = l.failure("append to topic "+p.topic.name+": no answer, so it may be there or not", why)
	if e.group.left--; e.group.left == 0 {
		e.group.giveUp()
	}
}

// send appends what waits, until nothing does.
func (p *partition) send() {
	l := p.topic.log
	for {
		ctx, giveUp := context.WithCancel(l.ctx)
		g := p.take(giveUp)
		if g == nil {
			giveUp()
			return
		}
		first, err := p.produce(ctx, g.records)
		p.answer(g, first, err)
		giveUp()
	}
}

// take makes a batch of what waits, in the sender's buffer. It returns nil where nothing does.
func (p *partition) take(giveUp context.CancelFunc) *group {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.sending = false
		return nil
	}
	g := &group{giveUp: giveUp}
	var size int64
	for _, e := range p.waiting {
		if size += e.size; len(g.entries) > 0 && size > groupBytes {
			break
		}
		e.group = g
		g.entries, g.records = append(g.entries, e), g.records+len(e.records)
	}
	p.waiting = append(p.waiting[:0], p.waiting[len(g.entries):]...)
	g.left = len(g.entries)
	b, before := appendHeader(p.buffer[:0], g.records, time.Now()), 0
	for _, e := range g.entries {
		b = appendRecords(b, before, e.records)
		before += len(e.records)
	}
	p.buffer = b
	return g
}

// answer tells the entries of a batch what became of it.
func (p *partition) answer(g *group, first int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.producer.renew()
	} else {
		p.producer.advance(g.records)
	}
	if err != nil || cap(p.buffer) > keptBuffer {
		p.buffer = nil // a failed request may still be read from it
	}
	for _, e := range g.entries {
		if e.err == nil { // else it left
			e.first, e.err = first, err
			close(e.done)
		}
		first += int64(len(e.records))
	}
}

// produce sends the batch in the buffer, again and again, until it is known what became of it or ctx ends.
func (p *partition) produce(ctx context.Context, records int) (first int64, err error) {
	l := p.topic.log
	lost := false
	err = l.persist(ctx, "append to topic "+p.topic.name, func(ctx context.Context) (err error) {
		if lost {
			if err := p.topic.refresh(ctx); err != nil {
				return err
			}
		}
		if err := p.identify(ctx); err != nil {
			return err
		}
		sealBatch(p.buffer, p.producer)
		first, err = p.request(ctx)
		lost = err != nil
		if oneOf(err, disowned) {
			p.producer.renew()
		}
		return err
	})
	return first, err
}

// disowned are the failures of a server that knows other of the producer than it should, which it does where it lost records. What it lost was not kept
// by as many servers as acknowledge, or by one whose disk lost it. The batch was not appended.
var disowned = []error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping}

// identify has the servers name the partition's producer.
func (p *partition) identify(ctx context.Context) error {
	if p.producer.known {
		return nil
	}
	resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, p.topic.log.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	p.producer = producer{known: true, id: resp.ProducerID, epoch: resp.ProducerEpoch}
	return nil
}

// request sends the batch in the buffer to the partition's leader, once.
func (p *partition) request(ctx context.Context) (first int64, err error) {
	id, leader := p.topic.leader(p.n)
	if leader < 0 {
		return 0, kerr.LeaderNotAvailable
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(answerTime.Milliseconds())
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rt.Topic, rt.TopicID, rp.Partition, rp.Records = p.topic.name, id, p.n, p.buffer
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := p.topic.log.client.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	resp, ok := answer.(*kmsg.ProduceResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, kerr.UnknownServerError
	}
	return resp.Topics[0].Partitions[0].BaseOffset, kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}
