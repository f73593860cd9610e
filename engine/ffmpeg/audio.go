package ffmpeg

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"bijou"
)

// aacFrame is how many samples one frame of AAC-LC holds, and how many of silence the encoder puts before the first: ISO/IEC 14496-3.
const aacFrame = 1024

// aacRates are the sample rates that AAC knows, in Hz: ISO/IEC 14496-3, table 1.18.
var aacRates = []int{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}

// EncodeAudio implements bijou.FilmTool.
//
// A fragment begins with the first AAC frame at or after each multiple of SegmentMS, so that fragment n of the sound lies at fragment n of the
// picture through the whole film. The encoder's 1024 samples of lead-in take the place of the film's first 1024: sound and picture are in step
// in every player, those that do not read edit lists included. Sound that ends before the film is followed by silence, unless the file is cut off.
func (t *Tool) EncodeAudio(ctx context.Context, e bijou.AudioEncode, progress func(doneMS int64)) error {
	if err := checkAudio(e); err != nil {
		return err
	}
	d, err := t.describe(ctx, e.Source)
	if err != nil {
		return err
	}
	s, known := d.streams[e.Stream.Index]
	if !known || s.Type != "audio" {
		return fmt.Errorf("%s has no sound track %d: probe the film again: %w", shown(e.Source), e.Stream.Index, bijou.Invalid)
	}
	in, err := input(e.Source)
	if err != nil {
		return err
	}
	w := &writing{source: e.Source, target: e.Target, watch: meter{report: progress}}
	w.args = slices.Concat(common(), in, audioArgs(e))
	return t.write(ctx, w, func(log *journal) error {
		w.wholeMS = e.RuntimeMS
		if !log.cut {
			return nil
		}
		// The padding hides where the sound ended; its packets tell.
		ends, _, err := t.measure(ctx, e.Source, e.Stream.Index)
		if err != nil {
			return err
		}
		want, sure := d.length(e.Stream.Index)
		if !sure || want > float64(e.RuntimeMS) {
			want = float64(e.RuntimeMS)
		}
		return shortfall(e.Source, ends[e.Stream.Index], want, true)
	})
}

// checkAudio refuses an order that no encoder can carry out.
func checkAudio(e bijou.AudioEncode) error {
	switch {
	case !slices.Contains([]int{1, 2, 6, 8}, e.Channels):
		return fmt.Errorf("encode the sound of %s in %d channels: it must be 1, 2, 6 or 8: %w", shown(e.Source), e.Channels, bijou.Invalid)
	case !slices.Contains(aacRates, e.SampleRate):
		return fmt.Errorf("encode the sound of %s at %d Hz: it must be one of %v: %w", shown(e.Source), e.SampleRate, aacRates, bijou.Invalid)
	case e.BPS < 8000 || e.BPS > 1_000_000:
		return fmt.Errorf("encode the sound of %s at %d bit/s: it must be from 8000 to 1000000: %w", shown(e.Source), e.BPS, bijou.Invalid)
	case e.SegmentMS < 100 || e.SegmentMS > 60_000:
		return fmt.Errorf("encode the sound of %s in segments of %d ms: they must be from 100 to 60000: %w", shown(e.Source), e.SegmentMS, bijou.Invalid)
	case e.RuntimeMS < 1 || e.RuntimeMS > 1<<40:
		return fmt.Errorf("encode the sound of %s for %d ms: it must be from 1 to %d: %w", shown(e.Source), e.RuntimeMS, int64(1)<<40, bijou.Invalid)
	}
	return nil
}

// audioArgs is the command line behind the input.
//
// The MP4 writer alone cuts a sound track after a given length, and so drifts by up to a frame a fragment. The segment writer cuts at multiples,
// and closes a fragment at each cut; with one header for all and one pipe for all, what it writes is one fragmented MP4.
func audioArgs(e bijou.AudioEncode) []string {
	// Gaps in the film's clock are filled and the sound begins at 0, so that it stays in step with the picture.
	filters := fmt.Sprintf("aresample=osr=%d:async=1:first_pts=0,apad,atrim=start_sample=%d:end_sample=%d,asetpts=PTS-STARTPTS",
		e.SampleRate, aacFrame, max(e.RuntimeMS*int64(e.SampleRate)/1000, 2*aacFrame))
	args := []string{
		"-map", "0:" + strconv.Itoa(e.Stream.Index), "-vn", "-sn", "-dn",
		"-af", filters,
		"-c:a", "aac", "-profile:a", "aac_low", "-flags:a", "+bitexact",
		"-b:a", strconv.FormatInt(e.BPS, 10), "-ac", strconv.Itoa(e.Channels), "-ar", strconv.Itoa(e.SampleRate),
	}
	args = append(args, bare()...)
	return append(args, "-f", "segment", "-segment_time", strconv.FormatFloat(float64(e.SegmentMS)/1000, 'f', 3, 64),
		"-segment_format", "mp4", "-individual_header_trailer", "0",
		"-segment_format_options", "movflags="+cmaf+"+frag_custom:use_editlist=0:avoid_negative_ts=make_zero",
		"-strftime", "1", // the name is a pattern for files otherwise
		"pipe:1")
}
