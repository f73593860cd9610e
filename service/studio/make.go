package studio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"bijou"
	"bijou/wire/captions"
	"bijou/wire/hls"
)

// maker makes one track or the poster of a title.
type maker struct {
	s        *Service
	work     bijou.Work
	task     task
	folder   string // for files in work
	progress func(float64)
}

// make returns what the package needs to know of the track.
func (m *maker) make(ctx context.Context) (any, error) {
	switch t := m.task; {
	case t.Video != nil:
		return m.video(ctx, *t.Video)
	case t.Audio != nil:
		return m.audio(ctx, *t.Audio)
	case t.Side != nil:
		vtt, err := m.s.text(ctx, *t.Side)
		if err != nil {
			return nil, err
		}
		return m.text(ctx, vtt)
	case t.Embedded != nil:
		return m.embedded(ctx, *t.Embedded)
	case t.Still != nil:
		return m.poster(ctx, *t.Still)
	}
	return nil, fmt.Errorf("step %s is unknown to this version: add the film again: %w", m.work.Step, bijou.Unsupported)
}

func (m *maker) target(name string) string { return filepath.Join(m.folder, "out-"+name) }

// film returns the film's path.
func (m *maker) film(ctx context.Context) (string, error) {
	dir := filepath.Join(m.folder, "film")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", scratchFailure(err)
	}
	return m.s.film(ctx, m.task.Source, dir)
}

// encodeShare is the part of a track's progress that its encode takes; putting the segments away takes the rest.
const encodeShare = 0.97

func (m *maker) encoded(doneMS int64) {
	m.progress(encodeShare * float64(doneMS) / float64(max(1, m.task.RuntimeMS)))
}

func (m *maker) video(ctx context.Context, e bijou.VideoEncode) (*bijou.VideoTrack, error) {
	var err error
	if e.Source, err = m.film(ctx); err != nil {
		return nil, err
	}
	e.Target, e.RuntimeMS = m.target("video.mp4"), m.task.RuntimeMS
	if err := m.s.Films.EncodeVideo(ctx, e, m.encoded); err != nil {
		return nil, err
	}
	p, err := m.pack(ctx, e.Target)
	if err != nil {
		return nil, err
	}
	return &bijou.VideoTrack{Media: p.media, Width: e.Width, Height: e.Height, RateNum: e.RateNum, RateDen: e.RateDen, FirstKey: p.firstKey}, nil
}

func (m *maker) audio(ctx context.Context, e bijou.AudioEncode) (*bijou.AudioTrack, error) {
	var err error
	if e.Source, err = m.film(ctx); err != nil {
		return nil, err
	}
	e.Target = m.target("audio.mp4")
	if err := m.s.Films.EncodeAudio(ctx, e, m.encoded); err != nil {
		return nil, err
	}
	p, err := m.pack(ctx, e.Target)
	if err != nil {
		return nil, err
	}
	return &bijou.AudioTrack{
		Media: p.media, Language: m.task.Language, Label: m.task.Label, Channels: e.Channels, SampleRate: e.SampleRate, Default: m.task.Default,
	}, nil
}

// pack cuts the encoded file into segments and puts them away, with their playlist.
func (m *maker) pack(ctx context.Context, file string) (*packed, error) {
	p, err := pack(file, func(name string, body io.Reader) error { return m.put(ctx, m.task.Track+"/"+name, body) })
	if err != nil {
		return nil, err
	}
	p.media.Name = m.task.Track
	list, err := hls.Playlist(p.media)
	if err != nil {
		return nil, err
	}
	return p, m.put(ctx, m.task.Track+"/"+bijou.PlaylistFile, bytes.NewReader(list))
}

func (m *maker) put(ctx context.Context, name string, body io.Reader) error {
	_, err := m.s.Blobs.Put(ctx, m.work.Asset.Key(name), body)
	return err
}

// embedded takes a text track out of the film. One that has no cue or cannot be read is left out: films carry such tracks without anyone noticing.
func (m *maker) embedded(ctx context.Context, stream bijou.TextStream) (*bijou.TextTrack, error) {
	film, err := m.film(ctx)
	if err != nil {
		return nil, err
	}
	vtt, err := m.extract(ctx, film, stream)
	if errors.Is(err, bijou.Invalid) {
		m.s.Log.Warn("text track is left out", "title", m.work.Title, "step", m.work.Step, "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.text(ctx, vtt)
}

func (m *maker) extract(ctx context.Context, film string, stream bijou.TextStream) ([]byte, error) {
	target := m.target("text")
	if err := m.s.Films.ExtractText(ctx, film, stream, target); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(target)
	if err != nil {
		return nil, scratchFailure(err)
	}
	return captions.ToWebVTT(raw, fmt.Sprintf("text track %d of %s", stream.Index, m.task.Source.Name))
}

func (m *maker) text(ctx context.Context, vtt []byte) (*bijou.TextTrack, error) {
	if err := m.put(ctx, m.task.Track+"/"+bijou.TextFile, bytes.NewReader(vtt)); err != nil {
		return nil, err
	}
	return &bijou.TextTrack{
		Name: m.task.Track, Kind: m.task.Kind, Language: m.task.Language, Label: m.task.Label,
		Bytes: int64(len(vtt)), SHA256: sum(vtt),
	}, nil
}

// posterMoments are the places in the film, in percent, that posters are looked for at: past the titles, and before the end gives itself away.
var posterMoments = []int64{20, 35, 50, 65}

// poster puts one frame away, the one whose JPEG takes most bytes: black frames, titles and blurs compress best. Where there is none of these it is
// the first picture, which needs no seeking: some films have no other key frame, or no index. Where no frame can be had at all it
// is left out, as the renditions tell whether the film can be decoded.
func (m *maker) poster(ctx context.Context, v bijou.VideoStream) (string, error) {
	film, err := m.film(ctx)
	if err != nil {
		return "", err
	}
	var best string
	var most int64
	var failed error
	for i, percent := range append(slices.Clone(posterMoments), 0) {
		if best != "" && percent == 0 {
			break
		}
		target := m.target(fmt.Sprintf("poster-%d.jpg", i))
		err := m.s.Films.Still(ctx, film, v, m.task.RuntimeMS*percent/100, posterWidth, target)
		if errors.Is(err, bijou.Invalid) {
			failed = err
			continue
		}
		if err != nil {
			return "", err
		}
		info, err := os.Stat(target)
		if err != nil {
			return "", scratchFailure(err)
		}
		if info.Size() > most {
			best, most = target, info.Size()
		}
		m.progress(min(1, float64(i+1)/float64(len(posterMoments))))
	}
	if best == "" {
		m.s.Log.Warn("no picture for the poster", "title", m.work.Title, "error", failed)
		return "", nil
	}
	f, err := os.Open(best)
	if err != nil {
		return "", scratchFailure(err)
	}
	defer f.Close()
	return bijou.PosterFile, m.put(ctx, bijou.PosterFile, f)
}
