package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitVersion is the version of the request by which offsets are committed. It is the last that says how long they are to be kept: by the
// servers' own offsets.retention.minutes (a week) a group that had nothing to read for that long would begin anew.
const commitVersion = 4

// keptFor is how long committed offsets are kept, without other reason than that the number has to be finite.
const keptFor = 100 * 365 * 24 * time.Hour

// Commit implements bijou.LogStore. The group has no members: who reads which partition is the reader's own decision.
func (l *Log) Commit(ctx context.Context, group, name string, n int, next int64) error {
	ctx, cancel := l.patient(ctx)
	defer cancel()
	if err := bijou.CheckLogName("group", group); err != nil {
		return err
	}
	p, err := l.partition(ctx, name, n)
	if err != nil {
		return err
	}
	if next < 0 {
		return fmt.Errorf("group %s commits offset %d of topic %s: offsets are from 0 on: %w", group, next, name, bijou.Invalid)
	}
	return l.persist(ctx, fmt.Sprintf("commit for group %s in topic %s", group, name), func(ctx context.Context) error {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.RetentionTimeMillis = l.address.prefix+group, keptFor.Milliseconds()
		rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
		rt.Topic, rp.Partition, rp.Offset = p.topic.name, p.n, next
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(ctx, l.client)
		if err != nil {
			return err
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return kerr.UnknownServerError
		}
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
}

// Committed implements bijou.LogStore.
func (l *Log) Committed(ctx context.Context, group, name string, n int) (next int64, err error) {
	ctx, cancel := l.patient(ctx)
	defer cancel()
	if err := bijou.CheckLogName("group", group); err != nil {
		return 0, err
	}
	p, err := l.partition(ctx, name, n)
	if err != nil {
		return 0, err
	}
	err = l.persist(ctx, fmt.Sprintf("read what group %s committed in topic %s", group, name), func(ctx context.Context) error {
		all, err := l.admin.FetchOffsets(ctx, l.address.prefix+group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil // it never committed
		}
		if err != nil {
			return err
		}
		if found, ok := all.Lookup(p.topic.name, p.n); ok {
			next = max(found.At, 0) // -1: none
			return found.Err
		}
		return nil
	})
	return next, err
}
