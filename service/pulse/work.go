package pulse

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"bijou"

	"golang.org/x/sync/errgroup"
)

// worker is one run over the facts: from what is kept until something fails.
type worker struct {
	*Service
	ledger *ledger
	parts  []*part
	keepAt time.Time // when what is gathered is to be kept; zero: nothing is
	unkept int64     // facts folded since what is remembered of viewings was kept
	moved  bool      // something was kept
}

// part is one partition of the facts as it is read.
type part struct {
	fold    *fold
	next    int64     // offset of the next fact
	counted position  // what is kept holds the facts before it, and silence up to then
	live    bool      // it has read up to there: from now on changes count
	short   bool      // the log ends before there: it was put back from a backup
	advance int64     // what the fold was told last
	heard   time.Time // when facts last came
}

// batch is facts of one partition in order.
type batch struct {
	partition int
	facts     []placed
	next      int64
}

type placed struct {
	offset int64
	fact   bijou.Fact
}

// work restores what is kept, and reads on until ctx ends or something fails. It tells whether it came further.
func (s *Service) work(ctx context.Context) (moved bool, err error) {
	partitions, err := s.Log.Partitions(ctx, bijou.TopicFacts)
	if err != nil {
		return false, fmt.Errorf("read facts: %w", err)
	}
	w, err := s.restore(ctx, partitions)
	if err != nil {
		return false, err
	}
	s.ledger.Store(w.ledger)
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan batch)
	for n, p := range w.parts {
		from := p.next
		g.Go(func() error { return s.read(ctx, n, from, batches) })
	}
	g.Go(func() error { return w.run(ctx, batches) })
	err = g.Wait()
	return w.moved, err
}

// read hands the facts of a partition on, from the offset.
func (s *Service) read(ctx context.Context, partition int, next int64, to chan<- batch) error {
	for {
		records, err := s.Log.Read(ctx, bijou.TopicFacts, partition, next, batchFacts)
		if err != nil {
			return err
		}
		b := s.batchOf(partition, records)
		next = b.next
		select {
		case to <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// batchOf reads the facts out of records, of which there is at least one. What is no fact is logged and passed over.
func (s *Service) batchOf(partition int, records []bijou.Record) batch {
	b := batch{partition: partition, next: records[len(records)-1].Offset + 1}
	for _, r := range records {
		var f bijou.Fact
		err := json.Unmarshal(r.Value, &f)
		if err == nil {
			err = f.Check()
		}
		if err == nil && f.At.Unix() < 0 {
			err = fmt.Errorf("fact of viewing %s says that it was taken in at %s: %w", f.Session, f.At, bijou.Invalid)
		}
		if err != nil {
			s.Logger.Error("record is no fact", "topic", bijou.TopicFacts, "partition", partition, "offset", r.Offset, "error", err)
			continue
		}
		b.facts = append(b.facts, placed{r.Offset, f})
	}
	return b
}

// run folds what comes. It sleeps until a fact comes, a start has failed for silence, or what was gathered is to be kept.
func (w *worker) run(ctx context.Context, batches <-chan batch) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-batches:
			w.take(b)
		case <-timer.C:
		}
		now := w.Now()
		w.tick(now)
		if err := w.keepWhenDue(ctx, now); err != nil {
			return err
		}
		if at, ok := w.due(); ok {
			timer.Reset(max(at.Sub(now), time.Millisecond))
		} else {
			timer.Stop()
		}
	}
}

// take folds a batch.
func (w *worker) take(b batch) {
	l, p := w.ledger, w.parts[b.partition]
	p.heard = w.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.facts {
		x := &b.facts[i]
		if !p.live && x.offset >= p.counted.next {
			p.begin()
		}
		p.fold.apply(&x.fact, w.adder(p))
		if p.live {
			l.facts++
		}
	}
	p.next = b.next
	w.unkept += int64(len(b.facts))
}

// adder returns what takes the changes of a partition in. The caller holds the ledger's lock.
func (w *worker) adder(p *part) func(*change) {
	if !p.live {
		return discard
	}
	return func(c *change) {
		w.ledger.add(c)
		w.metrics.count(c)
	}
}

func discard(*change) {}

// begin brings the fold to where it stood when the facts before here were counted.
func (p *part) begin() {
	p.fold.advance(p.counted.advance, discard)
	p.advance = max(p.advance, p.counted.advance)
	p.live = true
}

// tick tells the folds what time it is: that of the partition's newest fact or, where nothing came for a while, that of the clock.
func (w *worker) tick(now time.Time) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for _, p := range w.parts {
		idle := now.Sub(p.heard) >= quiet
		if !p.live && (p.next >= p.counted.next || p.short && idle) {
			p.begin()
		}
		if !p.live {
			continue
		}
		at := p.fold.latest()
		if idle {
			at = max(at, now.UnixMilli())
		}
		if due, ok := p.fold.due(); ok && due <= at {
			p.fold.advance(at, w.adder(p))
			p.advance = max(p.advance, at)
		}
	}
	if len(w.ledger.pending) > 0 && w.keepAt.IsZero() {
		w.keepAt = now.Truncate(time.Minute).Add(time.Minute + settleIn)
	}
}

// due returns when there is something to do though no fact comes.
func (w *worker) due() (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if !w.keepAt.IsZero() {
		sooner(w.keepAt)
	}
	for _, p := range w.parts {
		settled := p.heard.Add(quiet)
		if !p.live && p.short {
			sooner(settled)
		}
		if ms, waits := p.fold.due(); waits {
			if t := time.UnixMilli(ms); t.After(settled) {
				settled = t
			}
			sooner(settled)
		}
	}
	return at, ok
}

// keepWhenDue keeps what was gathered once a minute, or sooner where it is much.
func (w *worker) keepWhenDue(ctx context.Context, now time.Time) error {
	l := w.ledger
	l.mu.Lock()
	ahead := w.keepAt.Sub(now) > 2*time.Minute // by a clock that was
	timely := !w.keepAt.IsZero() && (!now.Before(w.keepAt) || ahead)
	due := timely || len(l.pending) >= maxPendingMinutes || l.facts >= maxPendingFacts
	l.mu.Unlock()
	if !due {
		return nil
	}
	if err := w.keep(ctx, now); err != nil {
		return fmt.Errorf("keep what was counted: %w", err)
	}
	w.moved, w.keepAt = true, time.Time{}
	if w.unkept < max(w.rememberEvery, 2*int64(w.viewings())) {
		return nil
	}
	if err := w.keepViewings(ctx); err != nil {
		return fmt.Errorf("keep what is remembered of viewings: %w", err)
	}
	w.unkept = 0
	return nil
}

func (w *worker) viewings() (n int) {
	for _, p := range w.parts {
		n += len(p.fold.viewings)
	}
	return n
}
