// Package events is the room where facts come in: it takes what players report, and has it on the log before it says so.
package events

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what the room works with.
type Deps struct {
	Facts   bijou.LogStore // topic bijou.TopicFacts is written
	Now     func() time.Time
	Metrics prometheus.Registerer
}

// Service takes facts in.
type Service struct {
	Deps
	slots    chan struct{} // bounds the reports in work
	accepted prometheus.Counter
	dropped  *prometheus.CounterVec
}

// maxInWork bounds the reports in work at once: what comes beyond is refused, so that a slow disk does not take all memory.
const maxInWork = 256

// New assembles the room.
func New(d Deps) *Service {
	s := &Service{
		Deps:     d,
		slots:    make(chan struct{}, maxInWork),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_facts_accepted_total", Help: "Facts that are on the log."}),
		dropped:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bijou_facts_dropped_total", Help: "Facts that are not, by reason."}, []string{"reason"}),
	}
	d.Metrics.MustRegister(s.accepted, s.dropped)
	return s
}

// Report takes a player's facts in. When it returns they are on the log. It fails with Invalid, taking none, where any of them
// cannot be, and with Exhausted where too many reports are in work.
func (s *Service) Report(ctx context.Context, in Report) (Accepted, error) {
	n := float64(len(in.Facts))
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.dropped.WithLabelValues("overload").Add(n)
		return Accepted{}, fmt.Errorf("too many reports at once: send it again in a moment: %w", bijou.Exhausted)
	}
	now, profile := s.Now().UTC(), bijou.CallerOf(ctx).Profile
	partitions, err := s.Facts.Partitions(ctx, bijou.TopicFacts)
	if err != nil {
		return Accepted{}, err
	}
	byPartition := map[int][]bijou.Record{}
	for _, f := range in.Facts {
		if err := f.Check(); err != nil {
			s.dropped.WithLabelValues("invalid").Add(n)
			return Accepted{}, err
		}
		f.At, f.Profile = now, profile
		value, err := json.Marshal(f)
		if err != nil {
			return Accepted{}, fmt.Errorf("fact of viewing %s: %w", f.Session, err)
		}
		p := partitionOf(f.Session, partitions)
		byPartition[p] = append(byPartition[p], bijou.Record{Key: []byte(f.Session), Value: value})
	}
	for p, records := range byPartition {
		if _, err := s.Facts.Append(ctx, bijou.TopicFacts, p, records); err != nil {
			s.dropped.WithLabelValues("log").Add(float64(len(records)))
			return Accepted{}, fmt.Errorf("keep %d facts: %w", len(records), err)
		}
		s.accepted.Add(float64(len(records)))
	}
	return Accepted{Accepted: len(in.Facts)}, nil
}

// partitionOf keeps the facts of one viewing in one partition, and so in order.
func partitionOf(id bijou.SessionID, partitions int) int {
	h := fnv.New32a()
	h.Write([]byte(id)) // never fails
	return int(h.Sum32() % uint32(partitions))
}
