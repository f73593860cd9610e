package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"bijou"
)

// tolerated is the share of a stream's frames that may be damaged. A film recorded off the air begins in the middle of a picture and has a few
// broken ones; one in ten is no film to watch.
const tolerated = 0.1

// common are the arguments of each run of ffmpeg: no terminal, one line a message, and damage counted instead of passed over.
func common() []string {
	return []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+warning", "-stats_period", "0.5", "-progress", "pipe:3",
		"-max_error_rate", strconv.FormatFloat(tolerated, 'f', -1, 64)}
}

// bare are the arguments that keep a file to one track and to what was asked: the same film gives the same bytes on every day.
func bare() []string {
	return []string{"-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"}
}

// cmaf are the flags of the MP4 writer: a CMAF track of movie fragments, each of which can be read without the others, whose first
// picture is shown at 0 although it is decoded before others that are shown later.
const cmaf = "+cmaf+empty_moov+default_base_moof+negative_cts_offsets+skip_trailer"

// writing is one run of ffmpeg that writes one file.
type writing struct {
	source string
	target string
	args   []string // the whole command line; the output is pipe:1
	watch  meter

	wholeMS int64 // the length of what was written, set by the damage check; ffmpeg's last report lacks the last pictures
}

// write runs ffmpeg and gives the target its name once it is whole; before, it lies beside it, named .part. After a failure neither is left.
// damage is asked of a run that ended well, and may find that what it made is not the film.
func (t *Tool) write(ctx context.Context, w *writing, damage func(*journal) error) (err error) {
	part := w.target + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return unwritten(w.source, w.target, err)
	}
	defer func() {
		if err != nil {
			if gone := os.Remove(part); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
				err = fmt.Errorf("%w (and %s is left behind: %v; delete it)", err, part, gone)
			}
		}
	}()
	log := &journal{}
	err = t.ffmpeg.run(ctx, w.args, output{stdout: f, progress: &w.watch}, log)
	closed := f.Close()
	if err != nil || log.full {
		return t.failed(w, err, log)
	}
	if closed != nil {
		return unwritten(w.source, w.target, closed)
	}
	if err := damage(log); err != nil {
		return err
	}
	if err := os.Rename(part, w.target); err != nil {
		return unwritten(w.source, w.target, err)
	}
	w.watch.reach(w.wholeMS)
	return nil
}

// failed turns the failure of a run into the sentence of the film.
func (t *Tool) failed(w *writing, err error, log *journal) error {
	name := shown(w.source)
	var exit *exitError
	switch {
	case log.full:
		return unwritten(w.source, w.target, syscall.ENOSPC)
	case !errors.As(err, &exit): // ctx ended, or the program is missing
		return err
	case log.memory || exit.ExitCode() < 0: // killed by a signal: on Linux mostly for want of memory
		return fmt.Errorf("encode %s: ffmpeg was killed (%v): give the machine more memory, or encode fewer films at once: %w", name, err, bijou.Exhausted)
	case exit.ExitCode() == 255: // asked to stop by a signal of someone else
		return fmt.Errorf("encode %s: ffmpeg was stopped from outside: try again: %w", name, bijou.Unavailable)
	case log.lacks:
		return fmt.Errorf("encode %s: this ffmpeg lacks a part (%s): install it with `apt-get install ffmpeg`, or set %s to one with libx264, aac and zscale: %w",
			name, log.last(), t.ffmpeg.key, bijou.Unavailable)
	}
	return fmt.Errorf("%s cannot be decoded (%s): give another copy of the film: %w", name, log.last(), bijou.Invalid)
}

// unwritten says why a target cannot be written.
func unwritten(source, target string, err error) error {
	what := fmt.Sprintf("encode %s", shown(source))
	dir := filepath.Dir(target)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: no space left in %s: free some, or move the data to a larger disk: %w", what, dir, bijou.Exhausted)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s: %s may not be written: give this user the right, or mount it for writing: %w", what, dir, bijou.Denied)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: the directory %s does not exist: make it: %w", what, dir, bijou.NotFound)
	}
	return fmt.Errorf("%s: %s cannot be written (%v): check the disk: %w", what, dir, err, bijou.Unavailable)
}

// meter reads what `-progress` prints, lines of key=value, and passes the time on. It never goes back.
type meter struct {
	report  func(doneMS int64) // may be nil
	line    []byte
	endedMS int64 // the end of the last picture or sound that was written
	frames  int64 // pictures written
}

// Write implements io.Writer. It never fails.
func (m *meter) Write(b []byte) (int, error) {
	for _, c := range b {
		if c != '\n' {
			if len(m.line) < lineMax {
				m.line = append(m.line, c)
			}
			continue
		}
		key, value, _ := bytes.Cut(m.line, []byte("="))
		m.line = m.line[:0]
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil {
			continue // "N/A" before the first picture, and the keys that are no numbers
		}
		switch string(key) {
		case "frame":
			m.frames = n
		case "out_time_us":
			m.reach(n / 1000)
		}
	}
	return len(b), nil
}

// reach passes a later time on.
func (m *meter) reach(ms int64) {
	if ms <= m.endedMS {
		return
	}
	m.endedMS = ms
	if m.report != nil {
		m.report(ms)
	}
}
