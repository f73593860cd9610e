package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"bijou"
	"bijou/wire/hls"
)

// doPackage publishes what the title's steps have made, lets go of the sources, and last of the record of the work.
func (s *Service) doPackage(ctx context.Context, w bijou.Work, t task, ws []bijou.Work) error {
	title, err := s.Editor.AnyTitle(ctx, w.Title)
	if errors.Is(err, bijou.NotFound) {
		return s.gone(ctx, w, t)
	}
	// A worker that was killed may have published it already. Its steps may be forgotten then, so nothing is asked of them.
	if err == nil && title.Asset != w.Asset {
		err = s.publish(ctx, w, t, ws)
	}
	if err != nil {
		return err
	}
	for _, id := range t.Sources {
		s.drop(ctx, id)
	}
	if err := s.Work.Forget(ctx, w.Title); err != nil {
		return err
	}
	// Who removed the title at this moment has asked for its files to go, which is forgotten now too.
	if _, err = s.Editor.AnyTitle(ctx, w.Title); errors.Is(err, bijou.NotFound) {
		return s.gone(ctx, w, t)
	}
	return err
}

// gone has the files of a title removed that went out of the catalogue in the meantime, and fails with errDiscarded.
func (s *Service) gone(ctx context.Context, w bijou.Work, t task) error {
	if err := s.discard(ctx, w, task{Sources: t.Sources, Withdraw: true}); err != nil {
		return err
	}
	return errDiscarded
}

// publish puts the title's tracks together as an asset and publishes it.
func (s *Service) publish(ctx context.Context, w bijou.Work, t task, ws []bijou.Work) error {
	a, err := assemble(w, t, ws)
	if err != nil {
		return err
	}
	list, err := hls.TextPlaylist(a.RuntimeMS)
	if err != nil {
		return err
	}
	for _, text := range a.Text {
		if _, err := s.Blobs.Put(ctx, a.ID.Key(text.Name+"/"+bijou.PlaylistFile), bytes.NewReader(list)); err != nil {
			return err
		}
	}
	if err := s.verify(ctx, a); err != nil {
		return err
	}
	note, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("package %s: %w", a.ID, err)
	}
	if _, err := s.Blobs.Put(ctx, a.ID.Key(bijou.AssetFile), bytes.NewReader(note)); err != nil {
		return err
	}
	_, err = s.Editor.PublishAsset(ctx, a)
	return err
}

// assemble returns the asset that the steps have made. It fails with Unavailable where a step is not done.
func assemble(w bijou.Work, t task, ws []bijou.Work) (bijou.Asset, error) {
	a := bijou.Asset{ID: w.Asset, Title: w.Title, Version: pipeline, Source: t.Source.SHA256}
	for _, step := range ws {
		if step.Step == stepPackage {
			continue
		}
		if step.State != bijou.WorkDone {
			return a, fmt.Errorf("package %s: step %s is not done: %w", w.Title, step.Step, bijou.Unavailable)
		}
		made, err := taskOf(step)
		if err != nil {
			return a, err
		}
		if err := take(&a, made, step); err != nil {
			return a, err
		}
	}
	if len(a.Video) == 0 {
		return a, fmt.Errorf("package %s: no step made a picture: %w", w.Title, bijou.Corrupt)
	}
	slices.SortFunc(a.Video, func(x, y bijou.VideoTrack) int { return y.Height - x.Height })
	top := a.Video[0]
	a.RuntimeMS = top.Ticks() * 1000 / top.Timescale
	for _, v := range a.Video {
		a.SegmentMS = max(a.SegmentMS, longest(v.Media))
	}
	for _, x := range a.Audio {
		a.SegmentMS = max(a.SegmentMS, longest(x.Media))
	}
	return a, nil
}

// longest returns the length of the track's longest segment, rounded up to a millisecond.
func longest(m bijou.Media) (ms int64) {
	for _, s := range m.Segments {
		ms = max(ms, (s.Ticks*1000+m.Timescale-1)/m.Timescale)
	}
	return ms
}

// take adds what one step has made to the asset.
func take(a *bijou.Asset, made task, step bijou.Work) error {
	var err error
	switch {
	case made.Video != nil:
		err = appendOutput(step, &a.Video)
	case made.Audio != nil:
		err = appendOutput(step, &a.Audio)
	case made.Still != nil:
		err = json.Unmarshal(step.Output, &a.Poster)
	default:
		err = appendOutput(step, &a.Text)
	}
	if err != nil {
		return fmt.Errorf("package %s: what step %s made cannot be read (%v): %w", step.Title, step.Step, err, bijou.Corrupt)
	}
	return nil
}

// appendOutput adds the track that the step has made; a step that left its track out has made none.
func appendOutput[T any](step bijou.Work, to *[]T) error {
	var track *T
	if err := json.Unmarshal(step.Output, &track); err != nil {
		return err
	}
	if track != nil {
		*to = append(*to, *track)
	}
	return nil
}

// verify sees that every file which the manifests will name is there, with the size that was noted where one was.
func (s *Service) verify(ctx context.Context, a bijou.Asset) error {
	for part := range a.Parts() {
		b, err := s.Blobs.Stat(ctx, a.ID.Key(part.Name))
		if err != nil {
			return err
		}
		if b.Size != part.Bytes && part.Bytes >= 0 {
			return fmt.Errorf("package %s: file %s has %d bytes and had %d when it was made: add the film again: %w", a.Title, part.Name, b.Size, part.Bytes, bijou.Corrupt)
		}
	}
	return nil
}
