package ffmpeg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// containers are the formats that are read: those that hold their own pictures and sound. A playlist, a session description, a list of
// picture files or a device is none of them, and the program refuses to open it.
const containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,asf,flv,mxf,mxf_opatom,nut,ivf,dv,gxf,wtv,rm,yuv4mpegpipe,h264,hevc,m4v"

// input gives the arguments that open a film. The path is absolute and marked as a file's, so that a name such as "-y" or "http:x" is a name;
// and whatever the file holds, no protocol but the file system's can be opened through it.
func input(path string) ([]string, error) {
	url, err := fileURL(path)
	if err != nil {
		return nil, err
	}
	return []string{"-protocol_whitelist", "file", "-format_whitelist", containers, "-i", url}, nil
}

// fileURL marks a path as a file's.
func fileURL(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s: the working directory is gone (%v): give the whole path: %w", shown(path), err, bijou.Invalid)
	}
	return "file:" + abs, nil
}

// shown is a path's last part as a sentence shows it: quoted where it holds what a terminal or a log should not be given.
func shown(path string) string {
	name := filepath.Base(path)
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// description is what is known of a film beyond its Probe: what encoding it needs.
type description struct {
	bijou.Probe
	streams map[int]stream // every stream, by its index
	startMS float64        // where the film's clock begins
	durMS   float64        // the container's own length; 0 where it tells none
	endings bool           // what the container calls lengths are times of its clock at which tracks end
}

// Probe implements bijou.FilmTool.
//
// RuntimeMS is how long after the film's start the last of the first picture track and all sound tracks ends. Where the container does not tell,
// the whole film is read.
func (t *Tool) Probe(ctx context.Context, path string) (bijou.Probe, error) {
	d, err := t.describe(ctx, path)
	if err == nil {
		err = d.check(path)
	}
	if err != nil {
		return bijou.Probe{}, err
	}
	ends, err := t.measured(ctx, path, d)
	if err != nil {
		return bijou.Probe{}, err
	}
	runtime := math.Round(latest(ends))
	if !(runtime >= 1 && runtime < 1<<50) { // 35,000 years: beyond it the number is none
		return bijou.Probe{}, fmt.Errorf("%s holds no picture and no sound that lasts: give another copy of the film: %w", shown(path), bijou.Invalid)
	}
	d.RuntimeMS = int64(runtime)
	return d.Probe, d.held(path, ends[d.Video[0].Index])
}

// describe reads the film's description. It refuses what cannot be read at all.
func (t *Tool) describe(ctx context.Context, path string) (*description, error) {
	size, err := examine(path)
	if err != nil {
		return nil, err
	}
	in, err := input(path)
	if err != nil {
		return nil, err
	}
	out, log := capped{max: 16 << 20}, &journal{}
	args := append([]string{"-hide_banner", "-loglevel", "repeat+error", "-of", "json", "-show_format", "-show_streams"}, in...)
	if err := t.ffprobe.run(ctx, args, output{stdout: &out}, log); err != nil {
		return nil, unreadable(path, err, log)
	}
	var found probed
	if out.over {
		return nil, fmt.Errorf("%s has a description of more than %d MiB: write it anew with another program: %w", shown(path), out.max>>20, bijou.Invalid)
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		return nil, fmt.Errorf("%s cannot be read: ffprobe describes it in words that are not JSON (%v): install ffmpeg 5.1 or later: %w",
			shown(path), err, bijou.Unavailable)
	}
	d := found.description()
	d.Bytes = size
	return d, nil
}

// examine refuses a path that is no readable file, and a file that is no film by its own structure. It returns the file's size.
func examine(path string) (size int64, err error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return 0, fmt.Errorf("%s is a directory: give the film's own file: %w", shown(path), bijou.Invalid)
	}
	if err == nil && !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is a %s, not a file: give the film's own file: %w", shown(path), info.Mode().Type(), bijou.Invalid)
	}
	if err != nil {
		return 0, unopened(path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, unopened(path, err)
	}
	defer func() {
		_ = f.Close() // only read
	}()
	wrong, err := inspect(f, info.Size())
	if err != nil {
		return 0, unopened(path, err)
	}
	if wrong != sound {
		return 0, fmt.Errorf("%s %s: %w", shown(path), wrong, bijou.Invalid)
	}
	return info.Size(), nil
}

// unopened says why a film's file cannot be opened or read.
func unopened(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist: check the path: %w", shown(path), bijou.Invalid)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be read by this user: give the right with `chmod a+r`: %w", shown(path), bijou.Invalid)
	}
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err // without the path: the sentence has the name already
	}
	return fmt.Errorf("%s cannot be read (%v): check the disk it lies on: %w", shown(path), err, bijou.Invalid)
}

// unreadable turns ffprobe's failure into the sentence of the film.
func unreadable(path string, err error, log *journal) error {
	switch {
	case !errors.As(err, new(*exitError)): // it was missing, or ctx ended
		return err
	case log.foreign != "":
		return fmt.Errorf("%s is no film but of the format %s, which is not read: give the film's own file, such as MP4, MKV or MPEG-TS: %w",
			shown(path), log.foreign, bijou.Invalid)
	}
	return fmt.Errorf("%s is no film that ffmpeg can read (%s): give the film's own file, such as MP4, MKV or MPEG-TS: %w", shown(path), log.last(), bijou.Invalid)
}

// check refuses a film that cannot be made into a title.
func (d *description) check(path string) error {
	if len(d.Video) == 0 {
		for _, s := range d.streams {
			if s.Type == "video" && strings.HasPrefix(s.Tag, "encv") {
				return fmt.Errorf("%s is encrypted: give a copy without copy protection: %w", shown(path), bijou.Invalid)
			}
		}
		if len(d.Audio) > 0 {
			return fmt.Errorf("%s has sound but no moving picture: give a file with video in it: %w", shown(path), bijou.Invalid)
		}
		return fmt.Errorf("%s has no moving picture that ffmpeg can decode: give a file with video in it: %w", shown(path), bijou.Invalid)
	}
	return nil
}

// probed is what ffprobe prints.
type probed struct {
	Streams []stream `json:"streams"`
	Format  struct {
		Name     string            `json:"format_name"`
		Duration string            `json:"duration"` // seconds
		Start    string            `json:"start_time"`
		Tags     map[string]string `json:"tags"`
	} `json:"format"`
}

// stream is a stream as ffprobe prints it.
type stream struct {
	Index       int               `json:"index"`
	Type        string            `json:"codec_type"`
	Codec       string            `json:"codec_name"`
	Tag         string            `json:"codec_tag_string"`
	Width       int               `json:"width"`
	Height      int               `json:"height"`
	Aspect      string            `json:"sample_aspect_ratio"` // of one pixel
	Average     string            `json:"avg_frame_rate"`
	Base        string            `json:"r_frame_rate"` // the lowest that holds every time stamp
	FieldOrder  string            `json:"field_order"`
	Transfer    string            `json:"color_transfer"`
	Primaries   string            `json:"color_primaries"`
	Matrix      string            `json:"color_space"`
	Channels    int               `json:"channels"`
	SampleRate  string            `json:"sample_rate"`
	Duration    string            `json:"duration"`
	Start       string            `json:"start_time"`
	Disposition map[string]int    `json:"disposition"`
	Tags        map[string]string `json:"tags"`
	Side        []struct {
		Rotation json.Number `json:"rotation"` // degrees
	} `json:"side_data_list"`
}

// description sorts what ffprobe printed.
func (p probed) description() *description {
	d := &description{streams: map[int]stream{}}
	d.Format, d.Title = p.Format.Name, plain(tagged(p.Format.Tags, "title"))
	d.startMS, d.durMS = milliseconds(p.Format.Start), milliseconds(p.Format.Duration)
	// So does ffmpeg's own writer of Matroska; those of others write lengths, as the specification has it (RFC 9559, section 5.1.2.10).
	d.endings = strings.HasPrefix(d.Format, "matroska") && strings.HasPrefix(tagged(p.Format.Tags, "encoder"), "Lavf")
	for _, s := range p.Streams {
		d.streams[s.Index] = s
		switch {
		case s.Codec == "" || s.Codec == "unknown" || strings.HasPrefix(s.Tag, "enc"):
			// Nothing decodes it.
		case s.Type == "video" && s.Disposition["attached_pic"] == 0 && s.Disposition["timed_thumbnails"] == 0 && s.Width > 0 && s.Height > 0:
			d.Video = append(d.Video, s.video())
		case s.Type == "audio" && s.Channels > 0:
			d.Audio = append(d.Audio, s.audio())
		case s.Type == "subtitle" && slices.Contains(textCodecs, s.Codec):
			d.Text = append(d.Text, s.text())
		}
	}
	return d
}

// textCodecs are the subtitles that are text; the others are pictures of text.
var textCodecs = []string{"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"}

// video gives the stream upright and with square pixels.
func (s stream) video() bijou.VideoStream {
	w, h := s.Width, s.Height
	if num, den, ok := ratio(s.Aspect, ":"); ok {
		if square := float64(w) * float64(num) / float64(den); square >= 1 && square <= 1<<16 {
			w = int(math.Round(square))
		}
	}
	if s.rotated() {
		w, h = h, w
	}
	num, den := s.rate()
	return bijou.VideoStream{Index: s.Index, Codec: s.Codec, Width: w, Height: h, RateNum: num, RateDen: den,
		Interlaced: slices.Contains([]string{"tt", "bb", "tb", "bt"}, s.FieldOrder)}
}

// rotated tells whether the picture lies on its side.
func (s stream) rotated() bool {
	degrees, err := strconv.ParseFloat(s.tag("rotate"), 64)
	if err != nil {
		degrees = 0 // the tag of older files, mostly absent
	}
	for _, side := range s.Side {
		if d, err := side.Rotation.Float64(); err == nil {
			degrees = d
		}
	}
	return math.Abs(math.Abs(math.Mod(degrees, 180))-90) < 1
}

func (s stream) audio() bijou.AudioStream {
	rate, err := strconv.Atoi(s.SampleRate)
	if err != nil {
		rate = 0 // not told; the encoder is given a rate of its own
	}
	return bijou.AudioStream{Index: s.Index, Codec: s.Codec, Channels: s.Channels, SampleRate: rate,
		Language: tag(s.tag("language")), Title: plain(s.tag("title")), Default: s.Disposition["default"] != 0}
}

func (s stream) text() bijou.TextStream {
	kind := bijou.Subtitles
	switch {
	case s.Disposition["hearing_impaired"] != 0 || s.Disposition["captions"] != 0:
		kind = bijou.Captions
	case s.Disposition["descriptions"] != 0 || s.Disposition["visual_impaired"] != 0:
		kind = bijou.Descriptions
	}
	return bijou.TextStream{Index: s.Index, Codec: s.Codec, Language: tag(s.tag("language")), Title: plain(s.tag("title")), Kind: kind}
}

// tag is what the container says of the stream under the key; nothing where it does not.
func (s stream) tag(key string) string { return tagged(s.Tags, key) }

// tagged is the value of a key, however the container spells it: in capitals or not, or with the language of the value behind it, as DURATION-eng.
func tagged(tags map[string]string, key string) string {
	for _, exact := range []bool{true, false} {
		for _, k := range slices.Sorted(maps.Keys(tags)) {
			if len(k) >= len(key) && strings.EqualFold(k[:len(key)], key) && (len(k) == len(key) || !exact && k[len(key)] == '-') {
				return tags[k]
			}
		}
	}
	return ""
}
