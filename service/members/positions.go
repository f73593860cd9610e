package members

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"bijou"
)

// group names the room's place in the log of facts.
const group = "members"

// The waits between two tries at a store that fails: doubled from the first to the last.
const (
	firstWait = time.Second
	lastWait  = 30 * time.Second
)

// consumeAll turns facts into positions until ctx ends.
func (s *Service) consumeAll(ctx context.Context) error {
	n := 0
	s.patiently(ctx, func() (bool, error) {
		var err error
		n, err = s.Facts.Partitions(ctx, bijou.TopicFacts)
		return false, err
	})
	var all sync.WaitGroup
	for p := range n {
		all.Go(func() {
			s.patiently(ctx, func() (bool, error) {
				moved, err := s.drain(ctx, p)
				return moved, fmt.Errorf("partition %d: %w", p, err)
			})
		})
	}
	all.Wait()
	return nil
}

// patiently does f until it succeeds or ctx ends. A store that fails is tried again: a fact is passed over only when it can never be read.
// f tells whether it came further, after which waiting begins anew.
func (s *Service) patiently(ctx context.Context, f func() (moved bool, err error)) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		moved, err := f()
		if err == nil || ctx.Err() != nil {
			return
		}
		if moved {
			wait = firstWait
		}
		s.Log.Warn("positions wait", "retry_in", wait, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// drain reads the partition from where the room stopped until something fails, which it returns. It tells whether it came further.
func (s *Service) drain(ctx context.Context, partition int) (moved bool, err error) {
	const batch = 500
	next, err := s.Facts.Committed(ctx, group, bijou.TopicFacts, partition)
	if err != nil {
		return false, err
	}
	for {
		records, err := s.Facts.Read(ctx, bijou.TopicFacts, partition, next, batch)
		if err != nil {
			return moved, err
		}
		for _, r := range records {
			if err := s.note(ctx, r); err != nil {
				return moved, err
			}
			next = r.Offset + 1
		}
		if err := s.Facts.Commit(ctx, group, bijou.TopicFacts, partition, next); err != nil {
			return moved, err
		}
		moved = true
	}
}

// note keeps the position that a fact tells of, if it does. A record that is no fact is logged and passed over.
func (s *Service) note(ctx context.Context, r bijou.Record) error {
	var f bijou.Fact
	err := json.Unmarshal(r.Value, &f)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		s.Log.Error("record is no fact", "topic", bijou.TopicFacts, "offset", r.Offset, "error", err)
		return nil
	}
	if p, ok := PositionOf(f); ok {
		return s.Profiles.SavePosition(ctx, p)
	}
	return nil
}

// PositionOf returns the position that a fact tells of. A start tells of none, since the player has not moved there yet,
// neither does the fact of a guest, and neither does the very beginning where nothing is said to have moved: the viewer left, or was asked to press play,
// before there was a picture.
func PositionOf(f bijou.Fact) (bijou.Position, bool) {
	if f.Profile == "" || f.Kind == bijou.FactStart || f.Kind == bijou.FactFirstFrame || f.Kind == bijou.FactError {
		return bijou.Position{}, false
	}
	if f.PositionMS == 0 && (f.Kind == bijou.FactPause || f.Kind == bijou.FactEnd) {
		return bijou.Position{}, false
	}
	return bijou.Position{
		Profile: f.Profile, Title: f.Title, PositionMS: f.PositionMS, RuntimeMS: f.RuntimeMS,
		Session: f.Session, Seq: f.Seq, At: f.At,
	}, true
}

// LastPosition implements bijou.Positions.
func (s *Service) LastPosition(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	return s.Profiles.Position(ctx, profile, title)
}

// Positions returns the caller's positions, latest first: what can be watched on.
func (s *Service) Positions(ctx context.Context, in PositionsQuery) (PositionList, error) {
	limit := in.Limit
	if limit == 0 {
		limit = 50
	}
	ps, err := s.Profiles.Positions(ctx, bijou.CallerOf(ctx).Profile, limit)
	if ps == nil {
		ps = []bijou.Position{}
	}
	return PositionList{Positions: ps}, err
}

// BringPosition keeps a position that the caller reached as a guest, unless the profile has one of the title: that is the member's own. It fails with
// NotFound for a title that the caller cannot watch, and with Invalid for a place behind its end.
func (s *Service) BringPosition(ctx context.Context, in BringPosition) (struct{}, error) {
	if err := bijou.CheckID(in.Title, bijou.TitlePrefix); err != nil {
		return struct{}{}, err
	}
	if in.RuntimeMS > 0 && in.PositionMS > in.RuntimeMS {
		return struct{}{}, fmt.Errorf("position_ms is %d, beyond the runtime_ms of %d: %w", in.PositionMS, in.RuntimeMS, bijou.Invalid)
	}
	profile, err := watching(ctx)
	if err != nil {
		return struct{}{}, err
	}
	if _, err := s.Titles.PublishedTitle(ctx, in.Title); err != nil {
		return struct{}{}, err
	}
	_, err = s.Profiles.Position(ctx, profile, in.Title)
	if err == nil || !errors.Is(err, bijou.NotFound) {
		return struct{}{}, err
	}
	return struct{}{}, s.Profiles.SavePosition(ctx, bijou.Position{
		Profile: profile, Title: in.Title, PositionMS: in.PositionMS, RuntimeMS: in.RuntimeMS,
		Session: bijou.NewID[bijou.SessionID](bijou.SessionPrefix), Seq: 1, At: s.Now().UTC(),
	})
}
