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
	Zones   bijou.Zones
	Now     func() time.Time
	Metrics prometheus.Registerer
}

// Service takes facts in.
type Service struct {
	Deps
	queue    *queue
	viewings *viewings
	accepted prometheus.Counter
	dropped  *prometheus.CounterVec
}

// Why facts are not on the log.
const (
	dropUnreadable = "unreadable" // nobody knows how many: a report that cannot be read counts as one
	dropInvalid    = "invalid"    // they cannot be
	dropTime       = "time"       // their clock is more than a day off
	dropForeign    = "foreign"    // they are of no viewing of this service
	dropRate       = "rate"       // their viewing reports more than any player has to say
	dropOverload   = "overload"   // the log is behind, and no more may wait for it
	dropLog        = "log"        // the log could not keep them
	dropPlayer     = "player"     // their player had no room for them
)

// New assembles the room.
func New(d Deps) *Service {
	s := &Service{
		Deps:     d,
		queue:    newQueue(d.Facts, bijou.TopicFacts),
		viewings: newViewings(),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_facts_accepted_total", Help: "Facts that are on the log."}),
		dropped:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bijou_facts_dropped_total", Help: "Facts that are not, by reason."}, []string{"reason"}),
	}
	for _, reason := range []string{dropUnreadable, dropInvalid, dropTime, dropForeign, dropRate, dropOverload, dropLog, dropPlayer} {
		s.dropped.WithLabelValues(reason)
	}
	d.Metrics.MustRegister(s.accepted, s.dropped)
	return s
}

// drop counts n facts that are not kept.
func (s *Service) drop(reason string, n int) { s.dropped.WithLabelValues(reason).Add(float64(n)) }

// Report takes a player's facts in. When it returns they are on the log. It fails with Invalid, taking none, where any of them
// cannot be, and with Exhausted where a viewing reports too much or too many facts wait for the log: the player sends them again.
func (s *Service) Report(ctx context.Context, in Report) (Accepted, error) {
	for _, f := range in.Facts {
		if err := f.Check(); err != nil {
			s.drop(dropInvalid, len(in.Facts))
			return Accepted{}, err
		}
	}
	if err := s.keep(ctx, in.Facts, bijou.CallerOf(ctx).Profile); err != nil {
		return Accepted{}, err
	}
	s.drop(dropPlayer, int(in.Dropped)) // told again with the facts where they are sent again, so it is counted once they are kept
	return Accepted{Accepted: len(in.Facts)}, nil
}

// keep has the facts on the log, with what the service knows of them.
func (s *Service) keep(ctx context.Context, facts []bijou.Fact, profile bijou.ProfileID) error {
	now := s.Now().UTC()
	if err := s.viewings.admit(facts, now); err != nil {
		s.drop(dropRate, len(facts))
		return err
	}
	partitions, err := s.Facts.Partitions(ctx, bijou.TopicFacts)
	if err != nil {
		s.drop(dropLog, len(facts))
		return err
	}
	byPartition := map[int][]bijou.Record{}
	for _, f := range facts {
		f.At, f.Profile, f.Zone = now, profile, s.Zones.ZoneOf(f.Appliance)
		value, err := json.Marshal(f)
		if err != nil {
			s.drop(dropInvalid, len(facts))
			return fmt.Errorf("fact of viewing %s: %w", f.Session, err)
		}
		p := partitionOf(f.Session, partitions)
		byPartition[p] = append(byPartition[p], bijou.Record{Key: []byte(f.Session), Value: value})
	}
	left := len(facts)
	for p, records := range byPartition {
		if reason, err := s.queue.append(ctx, p, records); err != nil {
			s.drop(reason, left)
			return fmt.Errorf("keep %d facts: %w", left, err)
		}
		left -= len(records)
		s.accepted.Add(float64(len(records)))
	}
	return nil
}

// partitionOf keeps the facts of one viewing in one partition, and so in order.
func partitionOf(id bijou.SessionID, partitions int) int {
	h := fnv.New32a()
	h.Write([]byte(id)) // never fails
	return int(h.Sum32() % uint32(partitions))
}
