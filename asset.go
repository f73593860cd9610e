package bijou

import (
	"fmt"
	"iter"
	"path"
)

// Asset is one finished encode of a title: what its manifests are written from. It is kept as AssetFile beside the segments
// and never changes; a new encode is a new asset.
type Asset struct {
	ID        AssetID      `json:"id"`
	Title     TitleID      `json:"title"`
	Version   int          `json:"version" doc:"Version of the pipeline that made it, from 1."`
	Source    string       `json:"source" doc:"SHA-256 of the film as it was handed in, in hexadecimal."`
	RuntimeMS int64        `json:"runtime_ms"`
	SegmentMS int64        `json:"segment_ms" doc:"Longest segment, rounded up to a millisecond."`
	Video     []VideoTrack `json:"video" doc:"Highest rate first. All have their segments at the same times."`
	Audio     []AudioTrack `json:"audio,omitempty"`
	Text      []TextTrack  `json:"text,omitempty"`
	Poster    string       `json:"poster,omitempty" doc:"Path of the poster (JPEG) below the asset's folder."`
}

// Segment is one media segment of a track: file SegmentFile(n), n from 1.
type Segment struct {
	Ticks  int64  `json:"ticks" doc:"Duration in units of the track's timescale."`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256" doc:"Of the file, in hexadecimal."`
}

// Media is what video and audio tracks have in common.
type Media struct {
	Name       string    `json:"name" doc:"Folder of the track below the asset's folder, such as v720 or a-en."`
	Codec      string    `json:"codec" doc:"RFC 6381 string, such as avc1.64001f."`
	Timescale  int64     `json:"timescale" doc:"Ticks a second."`
	PeakBPS    int64     `json:"peak_bps" doc:"Largest rate of any one segment, in bits a second (RFC 8216bis BANDWIDTH)."`
	AverageBPS int64     `json:"average_bps" doc:"Rate of the whole track, in bits a second."`
	InitBytes  int64     `json:"init_bytes"`
	InitSHA256 string    `json:"init_sha256"`
	Segments   []Segment `json:"segments"`
}

// Ticks returns the length of the track in units of its timescale.
func (m Media) Ticks() (sum int64) {
	for _, s := range m.Segments {
		sum += s.Ticks
	}
	return sum
}

// VideoTrack is one rendition of the picture: a rung of the ladder.
type VideoTrack struct {
	Media
	Width    int   `json:"width"`
	Height   int   `json:"height"`
	RateNum  int64 `json:"rate_num" doc:"Frames a second, numerator."`
	RateDen  int64 `json:"rate_den"`
	FirstKey bool  `json:"first_key" doc:"Every segment begins with a key frame."`
}

// AudioTrack is the sound in one language.
type AudioTrack struct {
	Media
	Language   string `json:"language" doc:"BCP 47 tag; und where unknown."`
	Label      string `json:"label"`
	Channels   int    `json:"channels"`
	SampleRate int    `json:"sample_rate"`
	Default    bool   `json:"default"`
}

// TextTrack is one WebVTT file, TextFile below its folder.
type TextTrack struct {
	Name     string    `json:"name" doc:"Folder of the track below the asset's folder, such as t-en."`
	Kind     TrackKind `json:"kind"`
	Language string    `json:"language"`
	Label    string    `json:"label"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256"`
}

// Names of the files below an asset's folder. Everything there is immutable.
const (
	AssetFile    = "asset.json" // the Asset itself; written last, so its presence says that all else is there
	PosterFile   = "poster.jpg" // one frame
	InitFile     = "init.mp4"   // CMAF header of a track
	PlaylistFile = "index.m3u8" // HLS media playlist of a track
	TextFile     = "text.vtt"   // WebVTT of a text track
	AssetsPrefix = "assets/"    // blobs of published encodes begin so
	SourcePath   = "sources/"   // blobs of films as they were handed in begin so
)

// SegmentFile returns the name of segment n (from 1) in its track's folder.
func SegmentFile(n int) string { return fmt.Sprintf("%d.m4s", n) }

// Key returns the blob key of a file of the asset: name is a path below the asset's folder.
func (id AssetID) Key(name string) string { return path.Join(AssetsPrefix, string(id), name) }

// Tracks returns the audio and text tracks as a viewer chooses them.
func (a Asset) Tracks() []Track {
	var ts []Track
	for _, t := range a.Audio {
		ts = append(ts, Track{Audio, t.Language, t.Label})
	}
	for _, t := range a.Text {
		ts = append(ts, Track{t.Kind, t.Language, t.Label})
	}
	return ts
}

// AssetPart is one file below an asset's folder, as it was noted when it was made.
type AssetPart struct {
	Name   string // path below the asset's folder
	Bytes  int64  // -1 where it was not noted
	SHA256 string // in hexadecimal; empty where it was not noted
}

// Parts returns every file that the asset's manifests name, and its poster.
func (a Asset) Parts() iter.Seq[AssetPart] {
	return func(yield func(AssetPart) bool) {
		if a.Poster != "" && !yield(AssetPart{a.Poster, -1, ""}) {
			return
		}
		for _, v := range a.Video {
			if !v.parts(yield) {
				return
			}
		}
		for _, x := range a.Audio {
			if !x.parts(yield) {
				return
			}
		}
		for _, t := range a.Text {
			if !yield(AssetPart{t.Name + "/" + PlaylistFile, -1, ""}) || !yield(AssetPart{t.Name + "/" + TextFile, t.Bytes, t.SHA256}) {
				return
			}
		}
	}
}

func (m Media) parts(yield func(AssetPart) bool) bool {
	if !yield(AssetPart{m.Name + "/" + PlaylistFile, -1, ""}) || !yield(AssetPart{m.Name + "/" + InitFile, m.InitBytes, m.InitSHA256}) {
		return false
	}
	for i, s := range m.Segments {
		if !yield(AssetPart{m.Name + "/" + SegmentFile(i+1), s.Bytes, s.SHA256}) {
			return false
		}
	}
	return true
}
