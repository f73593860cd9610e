package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// messageBytes is the largest record batch that a topic has to take: the most that one Append may carry, and what is around it.
const messageBytes = bijou.MaxAppend + 1<<20

// The bounds of a segment. A record batch lies in one whole, and Kafka's own default is 1 GiB.
const minSegment, maxSegment = 32 << 20, 1 << 30

// topic is what is known of a topic.
type topic struct {
	log        *Log
	name       string // as the servers know it
	retention  bijou.Retention
	partitions []*partition

	mu      sync.Mutex
	id      [16]byte
	leaders []int32 // by partition; -1: none now
}

// topic returns the topic, which exists from its first use.
func (l *Log) topic(ctx context.Context, name string) (*topic, error) {
	if err := bijou.CheckLogName("topic", name); err != nil {
		return nil, err
	}
	known := func() *topic {
		l.mu.RLock()
		defer l.mu.RUnlock()
		return l.topics[name]
	}
	if t := known(); t != nil {
		return t, nil
	}
	select {
	case l.making <- struct{}{}:
		defer func() { <-l.making }()
	case <-ctx.Done():
		return nil, l.failure("find topic "+name, ctx.Err())
	}
	if t := known(); t != nil {
		return t, nil
	}
	t := &topic{log: l, name: l.address.prefix + name, retention: l.options.Retain}
	if r, ok := l.options.Topics[name]; ok {
		t.retention = r
	}
	if err := l.persist(ctx, "find topic "+t.name, t.ensure); err != nil {
		return nil, err
	}
	for n := range t.leaders {
		t.partitions = append(t.partitions, &partition{topic: t, n: int32(n)})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[name] = t
	return t, nil
}

// partition returns the topic and its partition, or Invalid.
func (l *Log) partition(ctx context.Context, name string, n int) (*partition, error) {
	t, err := l.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= len(t.partitions) {
		return nil, fmt.Errorf("topic %s has partitions 0 to %d, and %d was asked for: %w", name, len(t.partitions)-1, n, bijou.Invalid)
	}
	return t.partitions[n], nil
}

// ensure makes the topic where it is missing, and has it keep what it should where it is there.
func (t *topic) ensure(ctx context.Context) error {
	l := t.log
	found, err := describe(ctx, l.client, t.name)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		s := t.settings(int(l.address.partitions), int(l.address.replicas))
		_, err = l.admin.CreateTopic(ctx, l.address.partitions, l.address.replicas, s.values, t.name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return err
		}
		found, err = describe(ctx, l.client, t.name)
	}
	if err != nil {
		return err
	}
	if err := t.adjust(ctx, t.settings(len(found.leaders), found.replicas)); err != nil {
		return err
	}
	t.learn(found)
	return nil
}

// settings are a topic's, by Kafka's names.
type settings struct {
	values  map[string]*string
	atLeast map[string]int64 // these may be more than is said
}

// settings returns what the topic has to be like when it has so many partitions, on so many servers each.
func (t *topic) settings(partitions, replicas int) settings {
	r := t.retention
	s := settings{values: map[string]*string{}, atLeast: map[string]int64{}}
	set := func(key, value string) { s.values[key] = &value }
	number := func(key string, n int64) { set(key, strconv.FormatInt(n, 10)) }
	set("cleanup.policy", "delete")
	set("message.timestamp.type", "LogAppendTime")
	number("max.message.bytes", messageBytes)
	s.atLeast["max.message.bytes"] = messageBytes
	number("retention.ms", -1)
	if r.Age > 0 {
		// A segment goes when its newest record is old enough; so a record stays at most a tenth longer than it has to.
		number("retention.ms", r.Age.Milliseconds())
		number("segment.ms", max(r.Age/10, time.Minute).Milliseconds())
	}
	number("retention.bytes", -1)
	if r.Bytes > 0 {
		own := max(r.Bytes/int64(partitions), 1)
		number("retention.bytes", own)
		number("segment.bytes", min(max(own/16, minSegment), maxSegment))
	}
	if replicas >= 3 {
		number("min.insync.replicas", 2)
		s.atLeast["min.insync.replicas"] = 2
	}
	return s
}

// adjust has the topic's settings be those of the configuration, which may have changed since it was made.
func (t *topic) adjust(ctx context.Context, s settings) error {
	l := t.log
	all, err := l.admin.DescribeTopicConfigs(ctx, t.name)
	if err != nil {
		return err
	}
	have, err := all.On(t.name, nil)
	if err != nil {
		return err
	}
	if have.Err != nil {
		return have.Err
	}
	var changes []kadm.AlterConfig
	for _, c := range have.Configs {
		want, ours := s.values[c.Key]
		if !ours || c.Value != nil && *c.Value == *want {
			continue
		}
		if least, ok := s.atLeast[c.Key]; ok && c.Value != nil {
			if n, err := strconv.ParseInt(*c.Value, 10, 64); err == nil && n >= least {
				continue
			}
		}
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: c.Key, Value: want})
	}
	if len(changes) == 0 {
		return nil
	}
	done, err := l.admin.AlterTopicConfigs(ctx, changes, t.name)
	if err != nil {
		return err
	}
	_, err = done.On(t.name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	return err
}

// found is what the servers say of a topic.
type found struct {
	id       [16]byte
	leaders  []int32
	replicas int
}

// describe asks the servers of the client about the topic. Afterwards the client knows where its leaders are.
func describe(ctx context.Context, c *kgo.Client, name string) (found, error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(name)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		return found{}, err
	}
	if len(resp.Topics) != 1 {
		return found{}, kerr.UnknownServerError
	}
	rt2 := resp.Topics[0]
	if err := kerr.ErrorForCode(rt2.ErrorCode); err != nil {
		return found{}, err
	}
	f := found{id: rt2.TopicID, leaders: make([]int32, len(rt2.Partitions))}
	for _, p := range rt2.Partitions {
		if p.Partition < 0 || int(p.Partition) >= len(f.leaders) {
			return found{}, kerr.UnknownServerError
		}
		f.leaders[p.Partition], f.replicas = p.Leader, len(p.Replicas)
	}
	if len(f.leaders) == 0 {
		return found{}, kerr.LeaderNotAvailable
	}
	return f, nil
}

// learn takes over what the servers say.
func (t *topic) learn(f found) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.id, t.leaders = f.id, f.leaders
}

// refresh asks again who leads. A topic that somebody removed is made anew.
func (t *topic) refresh(ctx context.Context) error {
	f, err := describe(ctx, t.log.client, t.name)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return t.ensure(ctx)
	}
	if err != nil {
		return err
	}
	t.learn(f)
	return nil
}

// leader returns the topic's id and who leads the partition.
func (t *topic) leader(n int32) (id [16]byte, leader int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(n) >= len(t.leaders) {
		return t.id, -1
	}
	return t.id, t.leaders[n]
}
