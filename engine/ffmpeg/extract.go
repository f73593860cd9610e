package ffmpeg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// ExtractText implements bijou.FilmTool. It writes WebVTT, whatever the stream is.
func (t *Tool) ExtractText(ctx context.Context, path string, s bijou.TextStream, target string) error {
	if _, err := examine(path); err != nil {
		return err
	}
	in, err := input(path)
	if err != nil {
		return err
	}
	w := &writing{source: path, target: target}
	w.args = slices.Concat(common(), in, []string{"-map", "0:" + strconv.Itoa(s.Index), "-c:s", "webvtt"}, bare(), []string{"-f", "webvtt", "pipe:1"})
	return t.write(ctx, w, func(log *journal) error { return nil }) // a text is as long as it is
}

// Still implements bijou.FilmTool. A time before the film or after it is moved into it; where no picture can be decoded there, an earlier one is taken.
func (t *Tool) Still(ctx context.Context, path string, s bijou.VideoStream, atMS int64, width int, target string) error {
	if width < 2 {
		return fmt.Errorf("take a picture of %s %d pixels wide: ask for 2 or more: %w", shown(path), width, bijou.Invalid)
	}
	d, err := t.describe(ctx, path)
	if err != nil {
		return err
	}
	raw, known := d.streams[s.Index]
	if !known || raw.Type != "video" {
		return fmt.Errorf("%s has no picture track %d: probe the film again: %w", shown(path), s.Index, bijou.Invalid)
	}
	in, err := input(path)
	if err != nil {
		return err
	}
	at := max(0, atMS)
	if end, known := d.length(s.Index); known {
		at = max(0, min(at, int64(end)-500))
	}
	for ; ; at = at * 3 / 4 {
		w := &writing{source: path, target: target}
		seek := []string{"-ss", strconv.FormatFloat(float64(at)/1000, 'f', 3, 64)}
		w.args = slices.Concat(common(), seek, in, stillArgs(s, raw, width))
		empty := false
		err := t.write(ctx, w, func(log *journal) error {
			empty = w.watch.frames == 0
			if empty {
				return fmt.Errorf("%s has no picture that can be decoded (%s): give another copy of the film: %w", shown(path), log.last(), bijou.Invalid)
			}
			return nil
		})
		if !empty || at < 100 {
			return err
		}
	}
}

// stillArgs is the command line of a still behind the input.
func stillArgs(s bijou.VideoStream, raw stream, width int) []string {
	w := min(width, s.Width)
	h := max(1, (w*s.Height+s.Width/2)/s.Width)
	var f []string
	if s.Interlaced {
		f = append(f, "bwdif=mode=send_frame")
	}
	f = append(f, fmt.Sprintf("scale=w=%d:h=%d:flags=lanczos+accurate_rnd", w, h))
	f = append(f, toBT709(raw)...)
	f = append(f, "setsar=1", "scale=out_range=pc", "format=yuvj420p")
	args := []string{"-map", "0:" + strconv.Itoa(s.Index), "-an", "-sn", "-dn", "-frames:v", "1", "-vf", strings.Join(f, ","),
		"-c:v", "mjpeg", "-q:v", "3", "-flags:v", "+bitexact"} // quality 3 of 2 to 31: artefacts cannot be seen at the size of a poster
	return slices.Concat(args, bare(), []string{"-f", "mjpeg", "pipe:1"})
}
