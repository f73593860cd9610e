package bijou

import "context"

// Probe is what a film file holds.
type Probe struct {
	Format    string        `json:"format"`     // container, such as "mov,mp4"
	Title     string        `json:"title"`      // as the container has it; empty where it has none
	RuntimeMS int64         `json:"runtime_ms"` // until the last picture or sound ends
	Bytes     int64         `json:"bytes"`
	Video     []VideoStream `json:"video"` // pictures that move; cover art is left out
	Audio     []AudioStream `json:"audio"`
	Text      []TextStream  `json:"text"` // subtitles that are text
}

// VideoStream is a picture track of a film file, as it is meant to be seen: turned upright, with square pixels.
type VideoStream struct {
	Index      int    `json:"index"` // in the file
	Codec      string `json:"codec"`
	Width      int    `json:"width"`
	Height     int    `json:"height"`
	RateNum    int64  `json:"rate_num"` // average frames a second
	RateDen    int64  `json:"rate_den"`
	Interlaced bool   `json:"interlaced"`
}

// AudioStream is a sound track of a film file.
type AudioStream struct {
	Index      int    `json:"index"`
	Codec      string `json:"codec"`
	Channels   int    `json:"channels"`
	SampleRate int    `json:"sample_rate"`
	Language   string `json:"language"` // BCP 47; und where unknown
	Title      string `json:"title"`
	Default    bool   `json:"default"`
}

// TextStream is a text track of a film file.
type TextStream struct {
	Index    int       `json:"index"`
	Codec    string    `json:"codec"`
	Language string    `json:"language"`
	Title    string    `json:"title"`
	Kind     TrackKind `json:"kind"`
}

// VideoEncode asks for one rendition: H.264 in fragmented MP4, a key frame at each multiple of SegmentMS and nowhere else.
type VideoEncode struct {
	Source    string // path of the film
	Stream    VideoStream
	Width     int // even, in pixels
	Height    int
	RateNum   int64 // constant frames a second
	RateDen   int64
	CRF       float64 // x264's constant rate factor, 0 to 51; lower is better
	MaxBPS    int64   // cap of the rate, over a buffer of two seconds
	SegmentMS int64
	RuntimeMS int64 // the last picture is held to this length; a film that goes on after it is refused
	Threads   int   // fixed: x264's output depends on it
	Target    string
}

// AudioEncode asks for one audio track: AAC-LC in fragmented MP4, in fragments of about SegmentMS.
type AudioEncode struct {
	Source     string
	Stream     AudioStream
	Channels   int
	SampleRate int
	BPS        int64
	SegmentMS  int64
	RuntimeMS  int64 // cut or padded with silence to this length
	Target     string
}

// FilmTool looks into films and encodes them: engine ffmpeg. Every method stops its work when ctx ends.
type FilmTool interface {
	// Probe reads the file's description. It fails with Invalid, in words that name what is wrong, for a file that is no film,
	// is cut off, or cannot be decoded, and with Unavailable where the tool is not installed.
	Probe(ctx context.Context, path string) (Probe, error)
	// EncodeVideo reports its progress in milliseconds of film done. It fails with Invalid for a film that ends early or cannot be decoded,
	// and with Exhausted when space ends.
	EncodeVideo(ctx context.Context, e VideoEncode, progress func(doneMS int64)) error
	// EncodeAudio is as EncodeVideo.
	EncodeAudio(ctx context.Context, e AudioEncode, progress func(doneMS int64)) error
	// ExtractText writes a text stream of the film as SubRip or WebVTT bytes to target.
	ExtractText(ctx context.Context, path string, s TextStream, target string) error
	// Still writes one frame as JPEG, at most width pixels wide.
	Still(ctx context.Context, path string, s VideoStream, atMS int64, width int, target string) error
}
