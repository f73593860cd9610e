package studio

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

func TestAFilmThatTheDiskHasNoRoomForIsRefusedAtOnceAndNotKept(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		free := uint64(len("film") - 1)
		s := h.process(t, func(d *Deps) { d.Free = func(string) (uint64, error) { return free, nil } })
		_, err := s.AddTitle(t.Context(), AddTitle{Source: handIn(t, s, "film.mp4", "film")})
		wantKind(t, "no room", err, bijou.Exhausted, "film.mp4", "free space", "add it again")
		h.kept(t, "a film that has no room")
		free++
		if _, err := s.AddTitle(t.Context(), AddTitle{Source: handIn(t, s, "film.mp4", "film")}); err != nil {
			t.Errorf("a film that just fits: %v", err)
		}
	})
}

// fullWork is a work store that no lease can be written to while it is full.
type fullWork struct {
	bijou.WorkStore
	full atomic.Bool
}

// Lease implements bijou.WorkStore.
func (w *fullWork) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (bijou.Work, error) {
	if w.full.Load() {
		return bijou.Work{}, fmt.Errorf("lease work: the disk is full: free space: %w", bijou.Exhausted)
	}
	return w.WorkStore.Lease(ctx, worker, term, now)
}

func TestWhoFollowsAFilmIsToldWhyNothingCanBeDoneAndThatItGoesOn(t *testing.T) {
	virtual(t, func(t *testing.T, h *house) {
		w := &fullWork{WorkStore: h.work}
		w.full.Store(true)
		s := h.process(t, func(d *Deps) { d.Work = w })
		start(t, s)
		id := add(t, s, "film.mp4", "film")
		time.AfterFunc(time.Minute, func() { w.full.Store(false) })
		all, err := follow(t, s, id)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]bool{}
		for _, p := range all {
			told[p.Waits] = true
		}
		if last := all[len(all)-1]; !told["lease work: the disk is full: free space"] || last.State != bijou.Published || last.Waits != "" {
			t.Errorf("was told %v and in the end %+v, want the reason, then that it is published", told, last)
		}
	})
}
