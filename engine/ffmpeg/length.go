package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// maxHoldMS bounds how long one picture is held, before a late beginning or after an early end: six hours. A talk of three hours behind one
// picture is a film; a day of it is a time stamp gone wrong.
const maxHoldMS = 6 * 3600 * 1000

// length is how many milliseconds after the film's start a stream ends, and whether the container tells.
func (d *description) length(index int) (ms float64, known bool) {
	s := d.streams[index]
	late := max(0, milliseconds(s.Start)-d.startMS)
	if ms = milliseconds(s.Duration); ms > 0 {
		return ms + late, true
	}
	// Matroska has no field for it; its writers put it into a tag, as 00:01:02.345000000.
	if ms = clock(s.tag("DURATION")); ms <= 0 {
		return 0, false
	}
	if d.endings {
		return ms - d.startMS, true
	}
	return ms + late, true
}

// whole is how many milliseconds after its start the film ends by the container's own word; 0 where it has none.
func (d *description) whole() float64 {
	if d.endings && d.durMS > 0 {
		return d.durMS - d.startMS
	}
	return d.durMS
}

// played are the streams that a title is made of: the first picture track and every sound track.
func (d *description) played() (indexes []int) {
	for _, v := range d.Video[:min(1, len(d.Video))] {
		indexes = append(indexes, v.Index)
	}
	for _, a := range d.Audio {
		indexes = append(indexes, a.Index)
	}
	return indexes
}

// guessed are the formats whose lengths ffmpeg guesses, from a rate of bits or from the first and the last time stamp. A recording whose clock
// begins anew in the middle is longer.
var guessed = []string{"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"}

// measured returns when each track that is played ends. Where the container does not tell of every one, the packets are read to the end,
// and a film whose container promises more than they hold is refused.
func (t *Tool) measured(ctx context.Context, path string, d *description) (ends map[int]float64, err error) {
	ends = map[int]float64{}
	if slices.Contains(guessed, d.Format) {
		// One by one, as they are encoded: a clock that begins anew is set right by what came before on the same track.
		for _, i := range d.played() {
			end, _, err := t.measure(ctx, path, i)
			if err != nil {
				return nil, err
			}
			ends[i] = end[i]
		}
		return ends, t.onePicture(ctx, path, d)
	}
	told := true
	for _, i := range d.played() {
		ms, known := d.length(i)
		ends[i], told = ms, told && known
	}
	if told {
		return ends, nil
	}
	ends, cut, err := t.measure(ctx, path, d.played()...)
	if err != nil {
		return nil, err
	}
	if cut && d.whole() == 0 {
		return nil, fmt.Errorf("%s is cut off, after %s: copy the whole file again, or save what there is with `ffmpeg -i FILE -c copy FILE.mkv`, and give that: %w",
			shown(path), span(latest(ends)), bijou.Invalid)
	}
	return ends, shortfall(path, latest(ends), d.whole(), cut)
}

// onePicture refuses a recording off the air that goes on with another picture track after the first one ended: what is on it would be lost.
func (t *Tool) onePicture(ctx context.Context, path string, d *description) error {
	if len(d.Video) < 2 {
		return nil
	}
	var indexes []int
	for _, v := range d.Video {
		indexes = append(indexes, v.Index)
	}
	ends, _, err := t.measure(ctx, path, indexes...)
	if err != nil {
		return err
	}
	if first := ends[indexes[0]]; latest(ends) > first+1000 {
		return fmt.Errorf("%s goes on with another picture track after %s: cut the recording there, and add each part as a film of its own: %w",
			shown(path), span(first), bijou.Invalid)
	}
	return nil
}

// latest is when the last of the tracks ends.
func latest(ends map[int]float64) (ms float64) {
	for _, end := range ends {
		ms = max(ms, end)
	}
	return ms
}

// measure reads the packets of tracks, without decoding them, and returns when each track ends, in milliseconds after the film's start, and
// whether the file was seen to end in the middle.
func (t *Tool) measure(ctx context.Context, path string, indexes ...int) (ends map[int]float64, cut bool, err error) {
	in, err := input(path)
	if err != nil {
		return nil, false, err
	}
	args := slices.Concat(common(), in)
	for _, i := range indexes {
		args = append(args, "-map", "0:"+strconv.Itoa(i))
	}
	args = append(args, "-c", "copy", "-copyinkf", "-f", "framecrc", "pipe:1")
	list, log := &packets{}, &journal{}
	if err := t.ffmpeg.run(ctx, args, output{stdout: list, progress: &meter{}}, log); err != nil {
		return nil, false, t.failed(&writing{source: path}, err, log)
	}
	ends = map[int]float64{}
	for n, i := range indexes {
		ends[i] = list.endMS[n]
	}
	return ends, log.cut, nil
}

// maxTracks bounds the tracks of which packets are told apart.
const maxTracks = 1 << 10

// packets reads what ffmpeg's framecrc writer prints: "#tb 0: 1/90000" for each track, and "0, dts, pts, duration, bytes, checksum" for each packet.
type packets struct {
	line  []byte
	tick  map[int]float64 // of a track's clock, in milliseconds
	early map[int]float64 // ticks before 0 at which a track's first packet is decoded
	endMS map[int]float64 // when the last packet of a track ends
}

// Write implements io.Writer. It never fails.
func (p *packets) Write(b []byte) (int, error) {
	for _, c := range b {
		if c != '\n' {
			if len(p.line) < lineMax {
				p.line = append(p.line, c)
			}
			continue
		}
		p.read(string(bytes.TrimSpace(p.line)))
		p.line = p.line[:0]
	}
	return len(b), nil
}

func (p *packets) read(line string) {
	if rest, ok := strings.CutPrefix(line, "#tb "); ok {
		track, base, _ := strings.Cut(rest, ": ")
		n, err := strconv.Atoi(track)
		num, den, ok := ratio(base, "/")
		if err != nil || !ok || n < 0 || n >= maxTracks {
			return // no track of ours
		}
		if p.tick == nil {
			p.tick, p.early, p.endMS = map[int]float64{}, map[int]float64{}, map[int]float64{}
		}
		p.tick[n] = 1000 * float64(num) / float64(den)
		return
	}
	fields := strings.Split(line, ",")
	if len(fields) < 6 {
		return // a comment
	}
	var numbers [4]int64
	for i := range numbers {
		n, err := strconv.ParseInt(strings.TrimSpace(fields[i]), 10, 64)
		if err != nil {
			return // not a packet
		}
		numbers[i] = n
	}
	track, decoded, shown, lasts := int(numbers[0]), float64(numbers[1]), float64(numbers[2]), float64(max(0, numbers[3]))
	tick, ok := p.tick[track]
	if !ok {
		return
	}
	if _, later := p.early[track]; !later {
		p.early[track] = max(0, -decoded)
	}
	if numbers[2] == math.MinInt64 { // the packet does not tell: all are shown in the time that all are decoded in
		shown = decoded + p.early[track]
	}
	p.endMS[track] = max(p.endMS[track], (shown+lasts)*tick)
}

// held refuses a film in which a picture would be held for longer than anyone wants to look at it.
func (d *description) held(path string, pictureMS float64) error {
	late := milliseconds(d.streams[d.Video[0].Index].Start) - d.startMS
	after := float64(d.RuntimeMS) - pictureMS
	if max(late, after) <= maxHoldMS {
		return nil
	}
	where := fmt.Sprintf("goes on for %s after its last picture", span(after))
	if late > after {
		where = fmt.Sprintf("begins %s before its first picture", span(late))
	}
	return fmt.Errorf("%s has sound that %s, and a picture is held for %s at most: give a copy whose sound and picture belong together: %w",
		shown(path), where, span(maxHoldMS), bijou.Invalid)
}

// shortfall refuses what was encoded where it is shorter than the film is. A track's own length is believed to a second or a hundredth,
// whichever is more: players and recorders round it, and the last pictures of many films are damaged. The container's length counts
// the longest of its tracks, so a track that tells no length of its own may end earlier by ten seconds or a twentieth,
// unless the file was seen to end in the middle.
func shortfall(source string, gotMS, wantMS float64, sure bool) error {
	allowed := max(1000, wantMS/100)
	if !sure {
		allowed = max(10_000, wantMS/20)
	}
	if wantMS-gotMS <= allowed {
		return nil
	}
	return fmt.Errorf("%s ends early, after %s of %s: it is cut off or damaged; give another copy of the film: %w",
		shown(source), span(gotMS), span(wantMS), bijou.Invalid)
}

// span prints a length as hours, minutes and seconds.
func span(ms float64) string {
	s := int64(math.Max(0, math.Round(ms/1000)))
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
