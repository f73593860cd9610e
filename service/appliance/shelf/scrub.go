package shelf

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"os"
	"slices"
	"time"

	"bijou"

	"golang.org/x/sys/unix"
)

// fileWeight is what a file costs the scrubber apart from its bytes, in bytes: finding it on disk.
const fileWeight = 64 << 10

// Run checks every file's hash within the scrub time, the one that was checked longest ago first, until ctx ends. It goes through all of them in half
// that time, evenly by bytes: so a file that comes late in one round and early or late in the next is still checked in time. Where there are no files it
// waits for one.
func (s *Shelf) Run(ctx context.Context, ready func()) error {
	ready()
	for ctx.Err() == nil {
		items := s.stalest()
		if len(items) == 0 {
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
			continue
		}
		s.round(ctx, items)
	}
	return nil
}

// stalest returns all files, those that were checked longest ago first. Those never checked in this process are in an order that is another in each
// process, so that none is always the last.
func (s *Shelf) stalest() []*item {
	type entry struct {
		it *item
		at int64
		by uint64
	}
	var all []entry
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for name, it := range sh.items {
			all = append(all, entry{it, it.checked.Load(), maphash.String(s.seed, name)})
		}
		sh.mu.RUnlock()
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	items := make([]*item, len(all))
	for i, e := range all {
		items[i] = e.it
	}
	return items
}

// round checks the files once, spread over half the scrub time.
func (s *Shelf) round(ctx context.Context, items []*item) {
	var total, before int64
	for _, it := range items {
		total += it.size + fileWeight
	}
	began, since := time.Now(), s.o.Now().UnixNano()
	whole := s.o.Scrub / 2
	until := func(share int64) error {
		return waitUntil(ctx, began.Add(time.Duration(float64(whole)*float64(share)/float64(total))))
	}
	for _, it := range items {
		if until(before) != nil {
			return
		}
		if !it.gone.Load() && it.checked.Load() < since { // else a request has had it checked meanwhile
			base := before
			err := s.inspect(ctx, it, func(read int64) error { return until(base + min(read, it.size)) })
			if err == nil || errors.Is(err, bijou.Corrupt) {
				s.n.scrubbed.Add(1)
				s.n.scrubbedBytes.Add(it.size)
			} else if !errors.Is(err, errAgain) && ctx.Err() == nil {
				s.o.Log.Warn("file of the appliance cannot be checked", "file", it.name, "error", err)
			}
		}
		before += it.size + fileWeight
	}
	_ = until(total) // the next round begins then; whether ctx has ended is seen there
}

// waitUntil waits for the moment, or fails when ctx ends.
func waitUntil(ctx context.Context, at time.Time) error {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dropCache asks the system to forget the copy of the file in memory, so that what is read comes from the disk.
func dropCache(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
