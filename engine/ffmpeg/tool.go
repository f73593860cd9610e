// Package ffmpeg looks into films and encodes them with the programs ffmpeg and ffprobe, each run as a process of its own.
//
// A film comes from a stranger. Its file is opened as a file, whatever its name looks like; only containers that hold their own
// pictures and sound are read, so that a playlist in disguise opens neither another file nor the network; and what a program says
// is kept bounded.
package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"bijou"
)

// Config says where the programs are.
type Config struct {
	FFmpeg  string // a path, or a name found on PATH; empty is "ffmpeg"
	FFprobe string // as FFmpeg; empty is "ffprobe"
}

// Tool implements bijou.FilmTool with version 5.1 of ffmpeg or later.
type Tool struct{ ffmpeg, ffprobe program }

var _ bijou.FilmTool = (*Tool)(nil)

// program is a program by the name that it is asked for, and the configuration key that changes that name.
type program struct{ name, key string }

// New returns the tool. It does not look whether the programs are there: each method says so when they are not.
func New(c Config) *Tool {
	t := &Tool{
		ffmpeg:  program{c.FFmpeg, "ffmpeg.ffmpeg"},
		ffprobe: program{c.FFprobe, "ffmpeg.ffprobe"},
	}
	if t.ffmpeg.name == "" {
		t.ffmpeg.name = "ffmpeg"
	}
	if t.ffprobe.name == "" {
		t.ffprobe.name = "ffprobe"
	}
	return t
}

// Found is a program that is installed.
type Found struct {
	Path    string `json:"path"`
	Version string `json:"version"` // as the program prints it, such as "5.1.9-0+deb12u1"
}

// Versions says which programs the tool runs.
type Versions struct {
	FFmpeg  Found    `json:"ffmpeg"`
	FFprobe Found    `json:"ffprobe"`
	Missing []string `json:"missing,omitempty"` // encoders that this ffmpeg was built without, of libx264 and aac; nothing can be encoded without them
}

// Versions asks both programs who they are. It fails with Unavailable, in a sentence that says how to get it, where one is not
// installed or does not run.
func (t *Tool) Versions(ctx context.Context) (Versions, error) {
	var v Versions
	var err error
	if v.FFmpeg, err = t.ffmpeg.found(ctx); err != nil {
		return Versions{}, err
	}
	if v.FFprobe, err = t.ffprobe.found(ctx); err != nil {
		return Versions{}, err
	}
	list := capped{max: 1 << 20}
	log := &journal{}
	if err := t.ffmpeg.run(ctx, []string{"-hide_banner", "-loglevel", "error", "-encoders"}, output{stdout: &list}, log); err != nil {
		return Versions{}, t.ffmpeg.broken(err, log)
	}
	for _, encoder := range []string{"libx264", "aac"} {
		if !hasEncoder(list.Bytes(), encoder) {
			v.Missing = append(v.Missing, encoder)
		}
	}
	return v, nil
}

// Installed fails with Unavailable, in a sentence that says how to get it, where one of the programs is not there. It runs neither.
func (t *Tool) Installed() error {
	if _, err := t.ffmpeg.path(); err != nil {
		return err
	}
	_, err := t.ffprobe.path()
	return err
}

// hasEncoder looks for a name in what `ffmpeg -encoders` prints: a line each, " V....D libx264   words about it".
func hasEncoder(list []byte, name string) bool {
	for line := range bytes.Lines(list) {
		if fields := bytes.Fields(line); len(fields) >= 2 && string(fields[1]) == name {
			return true
		}
	}
	return false
}

// found gives the program's path and version.
func (p program) found(ctx context.Context) (Found, error) {
	path, err := p.path()
	if err != nil {
		return Found{}, err
	}
	out, log := capped{max: 64 << 10}, &journal{}
	if err := p.run(ctx, []string{"-version"}, output{stdout: &out}, log); err != nil {
		return Found{}, p.broken(err, log)
	}
	// The first line reads "ffmpeg version 5.1.9-0+deb12u1 Copyright (c) …".
	words := strings.Fields(out.String())
	if len(words) < 3 || words[1] != "version" {
		return Found{}, fmt.Errorf("%s does not print a version as ffmpeg does: set %s to the program of ffmpeg 5.1 or later: %w",
			path, p.key, bijou.Unavailable)
	}
	return Found{Path: path, Version: words[2]}, nil
}

// path finds the program. It fails with Unavailable.
func (p program) path() (string, error) {
	path, err := exec.LookPath(p.name)
	switch {
	case err == nil:
		return path, nil
	case strings.ContainsRune(p.name, '/'):
		return "", fmt.Errorf("%s, which %s names, is not a program that can be run: type `apt-get install ffmpeg` and take the key out, or correct it: %w",
			p.name, p.key, bijou.Unavailable)
	default:
		return "", fmt.Errorf("%s is not installed: type `apt-get install ffmpeg`, or set %s to its path: %w", p.name, p.key, bijou.Unavailable)
	}
}

// broken is the failure of a program that does not even answer a question about itself.
func (p program) broken(err error, log *journal) error {
	if bijou.KindOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%s does not run (%v; it says %q): install it again with `apt-get install --reinstall ffmpeg`, or set %s to another: %w",
		p.name, err, log.last(), p.key, bijou.Unavailable)
}
