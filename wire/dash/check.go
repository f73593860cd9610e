package dash

import (
	"fmt"
	"strings"

	"bijou"
)

// language returns the tag where it is one by its form (RFC 5646 section 2.1), and und where it is not.
func language(tag string) string {
	for i, part := range strings.Split(tag, "-") {
		letters := strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		if len(part) < 1 || len(part) > 8 || strings.Trim(letters, "0123456789") != "" || i == 0 && letters != "" {
			return "und"
		}
	}
	return tag
}

func checkAsset(a bijou.Asset) error {
	if len(a.Video) == 0 {
		return fmt.Errorf("it has no video: %w", bijou.Invalid)
	}
	names := map[string]bool{}
	for _, v := range a.Video {
		if err := checkMedia(names, v.Media); err != nil {
			return err
		}
		if v.Width < 1 || v.Height < 1 {
			return fmt.Errorf("video track %q measures %d by %d pixels: %w", v.Name, v.Width, v.Height, bijou.Invalid)
		}
		if v.RateNum < 0 || v.RateNum > 1<<31 || v.RateDen < 0 || v.RateDen > 1<<31 {
			return fmt.Errorf("video track %q has %d/%d frames a second: %w", v.Name, v.RateNum, v.RateDen, bijou.Invalid)
		}
	}
	for _, t := range a.Audio {
		if err := checkMedia(names, t.Media); err != nil {
			return err
		}
		if t.Channels < 1 || t.SampleRate < 0 {
			return fmt.Errorf("audio track %q has %d channels at %d samples a second: %w", t.Name, t.Channels, t.SampleRate, bijou.Invalid)
		}
	}
	for _, t := range a.Text {
		if err := checkName(names, t.Name); err != nil {
			return err
		}
		if t.Bytes < 0 || t.Bytes > 1<<40 {
			return fmt.Errorf("text track %q has %d bytes: %w", t.Name, t.Bytes, bijou.Invalid)
		}
	}
	return nil
}

// maxSeconds bounds a track's length: seven days, as a fact's position.
const maxSeconds = 7 * 24 * 60 * 60

// maxUint is the largest xs:unsignedInt.
const maxUint = 1<<32 - 1

// checkMedia refuses a track whose numbers are not the schema's or whose times cannot be.
func checkMedia(names map[string]bool, m bijou.Media) error {
	if err := checkName(names, m.Name); err != nil {
		return err
	}
	switch {
	case m.PeakBPS < 1 || m.PeakBPS > maxUint:
		return fmt.Errorf("track %q has a peak of %d bits a second, and must have between 1 and 2^32-1: %w", m.Name, m.PeakBPS, bijou.Invalid)
	case m.Timescale < 1 || m.Timescale > maxUint:
		return fmt.Errorf("track %q has a timescale of %d, and must have between 1 and 2^32-1: %w", m.Name, m.Timescale, bijou.Invalid)
	case m.Codec == "" || strings.Trim(m.Codec, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+") != "":
		return fmt.Errorf("track %q: %q is not a codec (RFC 6381): %w", m.Name, m.Codec, bijou.Invalid)
	case len(m.Segments) == 0:
		return fmt.Errorf("track %q has no segments: %w", m.Name, bijou.Invalid)
	}
	var ticks int64
	for i, s := range m.Segments {
		if s.Ticks < 1 || s.Ticks > maxSeconds*m.Timescale-ticks {
			return fmt.Errorf("track %q: segment %d lasts %d ticks, and must last at least one, and all no longer than seven days: %w", m.Name, i+1, s.Ticks, bijou.Invalid)
		}
		ticks += s.Ticks
	}
	return nil
}

// checkName refuses a track name that is not one folder's, or that another track has: it is the representation's identifier too.
func checkName(names map[string]bool, name string) error {
	if strings.Contains(name, "/") {
		return fmt.Errorf("track %q: its name must be one folder's: %w", name, bijou.Invalid)
	}
	if err := bijou.CheckKey(name); err != nil {
		return fmt.Errorf("track %q cannot be the name of a folder: %w", name, err)
	}
	if names[name] {
		return fmt.Errorf("track %q is there twice: each needs a name of its own: %w", name, bijou.Invalid)
	}
	names[name] = true
	return nil
}
