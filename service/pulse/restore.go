package pulse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bijou"
)

// The keys of records in the room's topics.
var (
	keyOpened     = []byte("opened")     // a process begins here: whoever reads from the start knows by it where the end was
	keyMinute     = []byte("minute")     // counts once a checkpoint follows
	keyCheckpoint = []byte("checkpoint") // ends what is kept at once
	keyViewings   = []byte("viewings")   // a piece of what is remembered
)

// keep appends what was gathered, as one: the minutes, and how far the facts were read.
func (w *worker) keep(ctx context.Context, now time.Time) error {
	l := w.ledger
	l.mu.Lock()
	minutes := make([]int64, 0, len(l.pending))
	for at := range l.pending {
		minutes = append(minutes, at)
	}
	slices.Sort(minutes)
	var records []bijou.Record
	for _, at := range minutes {
		value, folded := encodeMinute(at, l.pending[at])
		l.folded += int64(folded)
		records = append(records, bijou.Record{Key: keyMinute, Value: value})
	}
	l.mu.Unlock()
	records = append(records, bijou.Record{Key: keyCheckpoint, Value: encodeCheckpoint(w.positions())})
	first, err := w.Log.Append(ctx, bijou.TopicPulse, partition, records)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, at := range minutes {
		l.keep(at, first+int64(i))
	}
	clear(l.pending)
	l.facts = 0
	l.prune(minuteOf(now.UnixMilli()))
	w.metrics.kept(l, w.parts)
	return nil
}

// positions are what is counted of each partition.
func (w *worker) positions() (ps []position) {
	for _, p := range w.parts {
		if p.live {
			p.counted = position{p.next, p.advance}
		}
		ps = append(ps, p.counted)
	}
	return ps
}

// keepViewings appends what the folds remember, in pieces, and then notes where it begins. It is called when everything counted is kept.
func (w *worker) keepViewings(ctx context.Context) error {
	folds := make([]*fold, len(w.parts))
	for i, p := range w.parts {
		if !p.live {
			return nil // it stands somewhere before what is kept
		}
		folds[i] = p.fold
	}
	all := slices.Collect(slices.Chunk(encodeViewings(w.positions(), folds), piece))
	var begins int64
	for i := 0; i < len(all); i += pieces {
		var records []bijou.Record
		for _, p := range all[i:min(i+pieces, len(all))] {
			records = append(records, bijou.Record{Key: keyViewings, Value: append(fmt.Appendf(nil, "%08d", len(all)), p...)})
		}
		first, err := w.Log.Append(ctx, bijou.TopicViewings, partition, records)
		if err != nil {
			return err
		}
		if i == 0 {
			begins = first
		}
	}
	return w.Log.Commit(ctx, group, bijou.TopicViewings, partition, begins+1) // 0 means that there is none
}

// restore reads what is kept.
func (s *Service) restore(ctx context.Context, partitions int) (*worker, error) {
	l, counted, err := s.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the kept minutes: %w", err)
	}
	reached, folds, err := s.loadViewings(ctx, maxViewings/partitions)
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of viewings: %w", err)
	}
	w := &worker{Service: s, ledger: l}
	for n := range partitions {
		p := &part{}
		if n < len(counted) {
			p.counted = counted[n]
		}
		if n < len(reached) && reached[n].next <= p.counted.next {
			p.fold, p.next, p.advance = folds[n], reached[n].next, reached[n].advance
		} else {
			p.fold = newFold(maxViewings / partitions) // all facts that are there are read again, and not counted again
		}
		if p.next == p.counted.next {
			p.begin()
		} else if p.short, err = s.endsBefore(ctx, n, p.counted.next); err != nil {
			return nil, err
		}
		w.parts = append(w.parts, p)
	}
	for _, p := range w.parts {
		p.heard = s.Now() // reading begins
	}
	return w, nil
}

// endsBefore tells whether a partition of the facts holds less than was counted of it. Reading waits for what is not there, so that is what it takes to
// find out; what is there comes at once.
func (s *Service) endsBefore(ctx context.Context, partition int, next int64) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	_, err := s.Log.Read(wait, bijou.TopicFacts, partition, next-1, 1)
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return false, err
	}
	s.Logger.Warn("the log of facts ends before what is counted of it: facts are counted from its end on", "partition", partition, "counted", next)
	return true, nil
}

// openTopic appends a record and returns its offset, so that a reader knows where the end is.
func (s *Service) openTopic(ctx context.Context, topic string) (end int64, err error) {
	return s.Log.Append(ctx, topic, partition, []bijou.Record{{Key: keyOpened}})
}

// loaded is a minute's record that no checkpoint was seen for yet.
type loaded struct {
	at, offset int64
	total      *series
}

// load reads the kept minutes, and returns a ledger and how far facts are counted in it. Minutes that no checkpoint follows do not count: a store need not
// append records together so that either all or none outlive a kill.
func (s *Service) load(ctx context.Context) (*ledger, []position, error) {
	end, err := s.openTopic(ctx, bijou.TopicPulse)
	if err != nil {
		return nil, nil, err
	}
	l := newLedger()
	var counted []position
	var held []loaded
	for next := int64(0); next <= end; {
		records, err := s.Log.Read(ctx, bijou.TopicPulse, partition, next, 1000)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range records {
			next = r.Offset + 1
			var err error
			switch {
			case bytes.Equal(r.Key, keyMinute):
				m := loaded{offset: r.Offset, total: &series{}}
				if m.at, err = decodeMinute(r.Value, view{total: func(int64) *series { return m.total }}); err == nil {
					held = append(held, m)
				}
			case bytes.Equal(r.Key, keyCheckpoint):
				var reached []position
				if reached, err = decodeCheckpoint(r.Value); err == nil {
					counted = reached
					l.adopt(held)
				}
				held = nil
			default:
				held = nil // a process ended before it had appended all
			}
			if err != nil {
				s.Logger.Error("record cannot be read", "topic", bijou.TopicPulse, "offset", r.Offset, "error", err)
			}
		}
	}
	l.prune(minuteOf(s.now()))
	return l, counted, nil
}

// adopt has minutes count.
func (l *ledger) adopt(ms []loaded) {
	for _, m := range ms {
		l.keep(m.at, m.offset)
		l.tell(m.at, &m.total.n)
		if r := l.recall(m.at); r != nil {
			r.merge(m.total)
		}
	}
}

// loadViewings reads what was remembered last; nothing where that is not there or cannot be read.
func (s *Service) loadViewings(ctx context.Context, most int) ([]position, []*fold, error) {
	end, err := s.openTopic(ctx, bijou.TopicViewings)
	if err != nil {
		return nil, nil, err
	}
	first, err := s.Log.Committed(ctx, group, bijou.TopicViewings, partition)
	if err != nil || first == 0 {
		return nil, nil, err
	}
	var whole []byte
	count := int64(1)
	for next, begin := first-1, first-1; next < begin+count; {
		records, err := s.Log.Read(ctx, bijou.TopicViewings, partition, next, 16)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range records[:min(int64(len(records)), begin+count-next)] {
			n, content, ok := pieceOf(r)
			if !ok || r.Offset != next || r.Offset >= end {
				s.Logger.Warn("what was remembered of viewings is gone: facts are read again", "offset", r.Offset)
				return nil, nil, nil
			}
			whole, count, next = append(whole, content...), n, next+1
		}
	}
	reached, folds, err := decodeViewings(whole, most)
	if err != nil {
		s.Logger.Warn("what was remembered of viewings cannot be read: facts are read again", "error", err)
		return nil, nil, nil
	}
	return reached, folds, nil
}

// pieceOf returns a piece of what is remembered, and how many there are.
func pieceOf(r bijou.Record) (n int64, content []byte, ok bool) {
	const digits = 8
	if !bytes.Equal(r.Key, keyViewings) || len(r.Value) < digits {
		return 0, nil, false
	}
	for _, c := range r.Value[:digits] {
		if c < '0' || c > '9' {
			return 0, nil, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, r.Value[digits:], n > 0
}
