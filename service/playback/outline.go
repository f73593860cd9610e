package playback

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"bijou"
)

// outline is what manifests are written from: an asset's description without the size and hash of each segment, which are nearly all of it. A
// film of two hours is described in 1.2 MB and outlined in some 20 kB at most.
type outline struct {
	Asset bijou.Asset `json:"asset"` // its tracks have no segments
	Video []stretches `json:"video"` // of each track, in order
	Audio []stretches `json:"audio,omitempty"`
}

// stretches are segments that follow each other, as uvarints: how many ticks one lasts, how many in a row last so, and on.
type stretches []byte

const (
	// outlineKey begins the keys of outlines in a cache. It counts the forms that outlines had.
	outlineKey = "outline/1/"
	// outlineFor is how long an outline is kept at most. Assets never change; one that is not asked for goes sooner where others need the room.
	outlineFor = 24 * time.Hour
	// maxSegments bounds the segments of one track: a week of those of one second.
	maxSegments = 7 * 24 * 3600
)

// outlineOf returns the asset's outline.
func outlineOf(a bijou.Asset) outline {
	o := outline{Asset: a}
	o.Asset.Video, o.Asset.Audio = append([]bijou.VideoTrack{}, a.Video...), append([]bijou.AudioTrack{}, a.Audio...)
	for i, v := range a.Video {
		o.Video = append(o.Video, stretchesOf(v.Segments))
		o.Asset.Video[i].Segments = nil
	}
	for i, t := range a.Audio {
		o.Audio = append(o.Audio, stretchesOf(t.Segments))
		o.Asset.Audio[i].Segments = nil
	}
	return o
}

func stretchesOf(segments []bijou.Segment) (all stretches) {
	for i := 0; i < len(segments); {
		row := 1
		for i+row < len(segments) && segments[i+row].Ticks == segments[i].Ticks {
			row++
		}
		all = binary.AppendUvarint(binary.AppendUvarint(all, uint64(segments[i].Ticks)), uint64(row))
		i += row
	}
	return all
}

// asset returns the asset as far as manifests need it, or an error for what outlineOf cannot have made of the asset.
func (o outline) asset(id bijou.AssetID) (bijou.Asset, error) {
	a := o.Asset
	if a.ID != id || len(o.Video) != len(a.Video) || len(o.Audio) != len(a.Audio) {
		return bijou.Asset{}, fmt.Errorf("an outline of %q with %d and %d tracks: %w", a.ID, len(o.Video), len(o.Audio), bijou.Corrupt)
	}
	var err error
	for i := range a.Video {
		var e error
		a.Video[i].Segments, e = o.Video[i].segments()
		err = errors.Join(err, e)
	}
	for i := range a.Audio {
		var e error
		a.Audio[i].Segments, e = o.Audio[i].segments()
		err = errors.Join(err, e)
	}
	return a, err
}

func (all stretches) segments() (segments []bijou.Segment, err error) {
	total := uint64(0)
	err = all.each(func(_ int64, row uint64) { total += row })
	if err != nil || total > maxSegments {
		return nil, fmt.Errorf("an outline of %d segments (%v): %w", total, err, bijou.Corrupt)
	}
	segments = make([]bijou.Segment, 0, total)
	err = all.each(func(ticks int64, row uint64) {
		for range row {
			segments = append(segments, bijou.Segment{Ticks: ticks})
		}
	})
	return segments, err
}

// each calls f with each stretch. It fails with Corrupt for what stretchesOf does not make.
func (all stretches) each(f func(ticks int64, row uint64)) error {
	for len(all) > 0 {
		ticks, n := binary.Uvarint(all)
		row, m := binary.Uvarint(all[max(n, 0):])
		if n <= 0 || m <= 0 || row < 1 || row > maxSegments {
			return fmt.Errorf("%d segments in a row: %w", row, bijou.Corrupt)
		}
		f(int64(ticks), row)
		all = all[n+m:]
	}
	return nil
}

// readOutline returns the asset of an outline as a cache kept it.
func readOutline(b []byte, id bijou.AssetID) (bijou.Asset, error) {
	var o outline
	if err := json.Unmarshal(b, &o); err != nil {
		return bijou.Asset{}, fmt.Errorf("an outline that cannot be read (%v): %w", err, bijou.Corrupt)
	}
	return o.asset(id)
}

// asset returns an asset as far as manifests need it: from the cache, or else from its description, and then it is cached. What the cache fails
// to do is done without it.
func (s *Service) asset(ctx context.Context, id bijou.AssetID) (bijou.Asset, error) {
	key := outlineKey + string(id)
	var known bijou.Cached
	if found, err := s.Cache.Recall(ctx, key); err == nil {
		known = found[0]
	}
	if known.Found {
		if a, err := readOutline(known.Value, id); err == nil {
			return a, nil
		}
	}
	a, err := s.describe(ctx, id)
	if err != nil {
		return bijou.Asset{}, err
	}
	o := outlineOf(a)
	if known.Ticket != (bijou.CacheTicket{}) {
		if b, err := json.Marshal(o); err == nil && len(b) <= bijou.MaxCacheValue {
			_, _ = s.Cache.Fill(ctx, key, known.Ticket, b, outlineFor) // what is not kept is read again
		}
	}
	return a, nil
}

// describe reads an asset's description.
func (s *Service) describe(ctx context.Context, id bijou.AssetID) (bijou.Asset, error) {
	r, _, err := s.Blobs.Get(ctx, id.Key(bijou.AssetFile), 0, -1)
	if errors.Is(err, bijou.NotFound) {
		return bijou.Asset{}, fmt.Errorf("the film of this viewing is gone: start another: %w", bijou.NotFound)
	}
	if err != nil {
		return bijou.Asset{}, err
	}
	defer r.Close()
	const most = 64 << 20 // bytes: some 400,000 segments; what is longer is cut and so cannot be read as JSON
	b, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return bijou.Asset{}, fmt.Errorf("asset %s: its description cannot be read at the moment (%v): %w", id, err, bijou.Unavailable)
	}
	var a bijou.Asset
	if err := json.Unmarshal(b, &a); err != nil {
		return bijou.Asset{}, fmt.Errorf("asset %s: its description is damaged (%v): encode its title anew: %w", id, err, bijou.Corrupt)
	}
	if a.ID != id {
		return bijou.Asset{}, fmt.Errorf("asset %s: its description is that of %q: encode its title anew: %w", id, a.ID, bijou.Corrupt)
	}
	return a, nil
}
