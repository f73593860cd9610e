package ffmpeg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// preset is x264's trade of time for bytes. "faster" encodes about three times as fast as the default "medium" and needs some 5 % more bits for
// the same quality, by x264's own description of its presets: a film is made on the machine that also serves it, and has to be ready the same evening.
const preset = "faster"

// EncodeVideo implements bijou.FilmTool.
//
// Every rendition of one film has its key frames at the same pictures: at the first one at or after each multiple of SegmentMS. One movie fragment
// lies between two of them. The picture is 8 bit 4:2:0 in the film's own colours, or in BT.709 where the film is HDR or BT.2020.
func (t *Tool) EncodeVideo(ctx context.Context, e bijou.VideoEncode, progress func(doneMS int64)) error {
	if err := checkVideo(e); err != nil {
		return err
	}
	d, err := t.describe(ctx, e.Source)
	if err != nil {
		return err
	}
	s, known := d.streams[e.Stream.Index]
	if !known || s.Type != "video" {
		return fmt.Errorf("%s has no picture track %d: probe the film again: %w", shown(e.Source), e.Stream.Index, bijou.Invalid)
	}
	in, err := input(e.Source)
	if err != nil {
		return err
	}
	w := &writing{source: e.Source, target: e.Target, watch: meter{report: progress}}
	w.args = slices.Concat(common(), steady(s), in, videoArgs(e, s))
	return t.write(ctx, w, func(log *journal) error {
		frames := w.watch.frames
		if frames == 0 {
			return fmt.Errorf("%s has no picture that can be decoded (%s): give another copy of the film: %w", shown(e.Source), log.last(), bijou.Invalid)
		}
		if float64(log.corrupt) > tolerated*float64(frames) {
			return fmt.Errorf("%s cannot be decoded: %d of its %d pictures are damaged; give another copy of the film: %w",
				shown(e.Source), log.corrupt, frames, bijou.Invalid)
		}
		w.wholeMS = pictures(e) * 1000 * e.RateDen / e.RateNum
		return t.complete(ctx, e, d, float64(frames)*1000*float64(e.RateDen)/float64(e.RateNum), log.cut)
	})
}

// steady has the filters go on where the size or the format of the picture changes in the middle, as in recordings of calls and off the air. By itself
// ffmpeg would set them up anew, and the film would begin again at 0. A picture that is turned upright cannot change.
func steady(s stream) []string {
	if s.rotated() {
		return nil
	}
	return []string{"-reinit_filter", "0"}
}

// complete refuses a film whose pictures end before its container says, or go on for more than a second after its end.
func (t *Tool) complete(ctx context.Context, e bijou.VideoEncode, d *description, gotMS float64, cut bool) error {
	if over := gotMS - float64(e.RuntimeMS); over > 1000 {
		return fmt.Errorf("%s goes on for %s after the end that it names: put it into a new container with `ffmpeg -i FILE -c copy FILE.mkv`, and give that: %w",
			shown(e.Source), span(over), bijou.Invalid)
	}
	want, sure := d.length(e.Stream.Index)
	if sure && !slices.Contains(guessed, d.Format) {
		return shortfall(e.Source, gotMS, want, true)
	}
	if shortfall(e.Source, gotMS, float64(e.RuntimeMS), true) == nil {
		return nil
	}
	// The sound may be longer than the picture, which tells no length of its own; its packets do.
	ends, _, err := t.measure(ctx, e.Source, e.Stream.Index)
	if err != nil {
		return err
	}
	want = ends[e.Stream.Index]
	if cut {
		want = float64(e.RuntimeMS)
	}
	return shortfall(e.Source, gotMS, want, true)
}

// pictures is how many pictures a rendition has.
func pictures(e bijou.VideoEncode) int64 {
	return max(1, (e.RuntimeMS*e.RateNum+500*e.RateDen)/(1000*e.RateDen))
}

// checkVideo refuses an order that no encoder can carry out.
func checkVideo(e bijou.VideoEncode) error {
	switch {
	case e.Width < 2 || e.Height < 2 || e.Width%2 != 0 || e.Height%2 != 0 || e.Width > 16384 || e.Height > 16384:
		return fmt.Errorf("encode %s at %dx%d: both must be even, from 2 to 16384 pixels: %w", shown(e.Source), e.Width, e.Height, bijou.Invalid)
	case e.RateNum < 1 || e.RateDen < 1 || e.RateNum > 1_000_000 || e.RateDen > 1_000_000:
		return fmt.Errorf("encode %s at %d/%d frames a second: both must be from 1 to 1000000: %w", shown(e.Source), e.RateNum, e.RateDen, bijou.Invalid)
	case !(e.CRF >= 0 && e.CRF <= 51):
		return fmt.Errorf("encode %s at CRF %v: it must be from 0 to 51: %w", shown(e.Source), e.CRF, bijou.Invalid)
	case e.MaxBPS < 1000 || e.MaxBPS > 1_000_000_000:
		return fmt.Errorf("encode %s at %d bit/s at most: it must be from 1000 to 1000000000: %w", shown(e.Source), e.MaxBPS, bijou.Invalid)
	case e.SegmentMS < 100 || e.SegmentMS > 60_000:
		return fmt.Errorf("encode %s in segments of %d ms: they must be from 100 to 60000: %w", shown(e.Source), e.SegmentMS, bijou.Invalid)
	case e.RuntimeMS < 1 || e.RuntimeMS > 1<<40:
		return fmt.Errorf("encode %s for %d ms: it must be from 1 to %d: %w", shown(e.Source), e.RuntimeMS, int64(1)<<40, bijou.Invalid)
	case e.Threads < 1 || e.Threads > 128:
		return fmt.Errorf("encode %s with %d threads: it must be from 1 to 128: %w", shown(e.Source), e.Threads, bijou.Invalid)
	}
	return nil
}

// videoArgs is the command line behind the input.
func videoArgs(e bijou.VideoEncode, s stream) []string {
	bits := func(n int64) string { return strconv.FormatInt(n, 10) }
	timescale := e.RateNum // a frame lasts RateDen of it exactly
	for timescale < 10_000 {
		timescale *= 10
	}
	args := []string{
		"-filter_complex", videoFilters(e, s),
		// The first output goes nowhere: ffmpeg counts its pictures, which are the film's own.
		"-map", "[real]", "-c:v", "wrapped_avframe", "-f", "null", "-",
		"-map", "[made]", "-c:v", "libx264", "-preset", preset, "-profile:v", "high", "-flags:v", "+bitexact+cgop",
		"-threads", strconv.Itoa(e.Threads),
		"-crf", strconv.FormatFloat(e.CRF, 'f', -1, 64), "-maxrate:v", bits(e.MaxBPS), "-bufsize:v", bits(2 * e.MaxBPS),
		// x264 places no key frame by itself: not after a while, not at a change of scene.
		"-x264-params", "keyint=infinite:min-keyint=1:scenecut=0:open-gop=0",
		"-forced-idr", "1", "-force_key_frames", "expr:" + keyFrames(e),
		"-video_track_timescale", bits(timescale),
	}
	if withinLevel2(e) {
		args = append(args, "-level:v", "2.0")
	}
	args = append(args, bare()...)
	return append(args, "-movflags", cmaf+"+frag_keyframe", "-use_editlist", "0", "-f", "mp4", "pipe:1")
}

// withinLevel2 tells whether level 2 of H.264 holds the rendition: ITU-T H.264, tables for High. It is said for those which it holds;
// by itself x264 takes the least that does, down to 1b, which browsers refuse to play, and above 2 it chooses well.
func withinLevel2(e bijou.VideoEncode) bool {
	w, h := int64(e.Width+15)/16, int64(e.Height+15)/16 // in macroblocks
	return w*h <= 396 && max(w, h)*max(w, h) <= 8*396 && w*h*e.RateNum <= 11_880*e.RateDen && e.MaxBPS <= 2_500_000
}

// keyFrames is ffmpeg's expression for "picture n is the first at or after a multiple of the segment's length". Picture n is shown at
// n·RateDen/RateNum seconds. All products are whole and below 2^53 and the quotient of two such numbers is exact where it is whole, so nothing drifts.
func keyFrames(e bijou.VideoEncode) string {
	segments := func(n string) string {
		return fmt.Sprintf("floor(%s*%d/%d)", n, 1000*e.RateDen, e.SegmentMS*e.RateNum)
	}
	return "eq(n,0)+gt(" + segments("n") + "," + segments("(n-1)") + ")"
}

// videoFilters is the way of a picture from the decoder, which has turned it upright, to the encoder. The last one is held until the film ends.
func videoFilters(e bijou.VideoEncode, s stream) string {
	var f []string
	if e.Stream.Interlaced {
		// A deinterlacer keeps pictures of one size; most are of it already.
		f = append(f, fmt.Sprintf("scale=w=%d:h=%d:interl=1,bwdif=mode=send_frame", s.Width, s.Height))
	}
	f = append(f,
		// The first picture is held from 0 where the film's sound begins earlier.
		fmt.Sprintf("fps=fps=%d/%d:start_time=0,split[real][held];[held]tpad=stop=-1:stop_mode=clone", e.RateNum, e.RateDen),
		fmt.Sprintf("trim=end_frame=%d", pictures(e)),
		fmt.Sprintf("scale=w=%d:h=%d:flags=lanczos+accurate_rnd+full_chroma_int:out_range=tv", e.Width, e.Height))
	f = append(f, toBT709(s)...)
	f = append(f, "setsar=1", "format=yuv420p")
	return fmt.Sprintf("[0:%d]%s[made]", e.Stream.Index, strings.Join(f, ","))
}

// toBT709 brings the colours of HDR and BT.2020 into those that every screen shows; other films keep theirs. HDR is toned down by Hable's curve
// from 100 cd/m² as white, as ffmpeg's own documentation of tonemap and zscale does: a bright film stays a film, and highlights are lost.
// Where the film names the transfer alone, primaries and matrix are taken to be BT.2020's, as with all HDR that is in use.
func toBT709(s stream) []string {
	matrix := map[string]string{"bt2020c": "bt2020c", "bt709": "bt709", "ictcp": "ictcp"}[s.Matrix]
	if matrix == "" {
		matrix = "bt2020nc"
	}
	primaries := map[string]string{"bt709": "bt709", "smpte432": "smpte432", "smpte431": "smpte431"}[s.Primaries]
	if primaries == "" {
		primaries = "bt2020"
	}
	from := fmt.Sprintf("matrixin=%s:primariesin=%s:rangein=tv", matrix, primaries)
	switch {
	case s.Transfer == "smpte2084" || s.Transfer == "arib-std-b67":
		return []string{
			"zscale=" + from + ":transferin=" + s.Transfer + ":transfer=linear:npl=100", "format=gbrpf32le", "zscale=primaries=bt709",
			"tonemap=tonemap=hable:desat=0", "zscale=transfer=bt709:matrix=bt709:range=tv",
		}
	case s.Primaries == "bt2020" || s.Matrix == "bt2020nc" || s.Matrix == "bt2020c":
		return []string{"zscale=" + from + ":transferin=bt709:transfer=bt709:primaries=bt709:matrix=bt709:range=tv"}
	}
	return nil
}
