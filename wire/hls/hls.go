// Package hls prints the playlists by which players that speak HTTP Live Streaming (RFC 8216bis) find the files of an asset.
package hls

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"bijou"
)

// version is what EXT-X-MAP outside of I-frame playlists needs (6, section 8), and 7, the oldest that Apple's players take fragmented MP4 under.
const version = 7

// MediaType is the media type of every playlist (section 4).
const MediaType = "application/vnd.apple.mpegurl"

// The rendition groups of a multivariant playlist.
const (
	audioGroup = "audio"
	textGroup  = "text"
)

// Multivariant prints the playlist of all variants and renditions of the asset (section 4.4.6), once for each pathway: first all of the
// first, since a player without content steering begins there and goes on to the others when it fails. The address of each is the
// pathway's base, track name and bijou.PlaylistFile, so the base ends in a slash. It fails with Invalid for an asset without video, for a
// track that no playlist can name, and for routes without a pathway, or with one that no playlist can name.
func Multivariant(a bijou.Asset, r bijou.Routes) ([]byte, error) {
	if err := errors.Join(checkAsset(a), r.Check()); err != nil {
		return nil, fmt.Errorf("print HLS playlist of asset %q: %w", a.ID, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:%d\n", version)
	if independent(a) {
		b.WriteString("#EXT-X-INDEPENDENT-SEGMENTS\n")
	}
	if r.Steering != "" {
		line := tag("EXT-X-CONTENT-STEERING")
		line.quoted("SERVER-URI", r.Steering)
		line.quoted("PATHWAY-ID", r.Pathways[0].ID)
		fmt.Fprintln(&b, line)
	}
	for _, p := range r.Pathways {
		w := pathway{Pathway: p}
		if len(r.Pathways) > 1 || r.Steering != "" {
			w.named, w.suffix = true, "-"+p.ID
		}
		w.audio(&b, a.Audio)
		w.text(&b, a.Text)
		w.variants(&b, a)
	}
	return b.Bytes(), nil
}

// pathway is one as it is printed. A player that chooses among several finds the renditions of each in groups of its own (section 7.1).
type pathway struct {
	bijou.Pathway
	named  bool   // it is one of several, or may be
	suffix string // of its groups' names
}

func (w pathway) variants(b *bytes.Buffer, a bijou.Asset) {
	peak, average := loudest(a.Audio)
	for _, v := range a.Video {
		line := tag("EXT-X-STREAM-INF")
		line.plain("BANDWIDTH", v.PeakBPS+peak)
		line.plain("AVERAGE-BANDWIDTH", v.AverageBPS+average)
		line.quoted("CODECS", codecs(v, a.Audio))
		line.plain("RESOLUTION", fmt.Sprintf("%dx%d", v.Width, v.Height))
		if v.RateNum > 0 && v.RateDen > 0 {
			line.plain("FRAME-RATE", fmt.Sprintf("%.3f", float64(v.RateNum)/float64(v.RateDen)))
		}
		if len(a.Audio) > 0 {
			line.quoted("AUDIO", audioGroup+w.suffix)
		}
		if len(a.Text) > 0 {
			line.quoted("SUBTITLES", textGroup+w.suffix)
		}
		line.plain("CLOSED-CAPTIONS", "NONE")
		if w.named {
			line.quoted("PATHWAY-ID", w.ID)
		}
		fmt.Fprintf(b, "%s\n%s\n", line, w.address(v.Name))
	}
}

// independent tells whether every segment can be decoded without those before it. Each of a sound's can.
func independent(a bijou.Asset) bool {
	for _, v := range a.Video {
		if !v.FirstKey {
			return false
		}
	}
	return true
}

// loudest returns the largest peak and the largest average rate of the tracks: what a variant's BANDWIDTH counts, since a player
// fetches one of them beside the picture (section 4.4.6.2).
func loudest(tracks []bijou.AudioTrack) (peak, average int64) {
	for _, t := range tracks {
		peak, average = max(peak, t.PeakBPS), max(average, t.AverageBPS)
	}
	return peak, average
}

// codecs lists every format that playing the variant can need, each once (section 4.4.6.2).
func codecs(v bijou.VideoTrack, tracks []bijou.AudioTrack) string {
	list, seen := []string{v.Codec}, map[string]bool{v.Codec: true}
	for _, t := range tracks {
		if !seen[t.Codec] {
			seen[t.Codec] = true
			list = append(list, t.Codec)
		}
	}
	return strings.Join(list, ",")
}

// audio prints the sound in each language. One of them is the default: the first that says so, or else the first. Of several in one
// language a player chooses the default or the first by itself, since nothing in the playlist tells the others apart (section 4.4.6.1.1).
func (w pathway) audio(b *bytes.Buffer, tracks []bijou.AudioTrack) {
	chosen := 0
	for i, t := range tracks {
		if t.Default {
			chosen = i
			break
		}
	}
	names, automatic := names{}, map[string]bool{}
	if len(tracks) > 0 {
		automatic[language(tracks[chosen].Language)] = true
	}
	for i, t := range tracks {
		lang := language(t.Language)
		auto := i == chosen || !automatic[lang]
		automatic[lang] = true
		line := tag("EXT-X-MEDIA")
		line.plain("TYPE", "AUDIO")
		line.quoted("GROUP-ID", audioGroup+w.suffix)
		line.quoted("LANGUAGE", lang)
		line.quoted("NAME", names.unique(t.Label, lang))
		line.plain("DEFAULT", yes(i == chosen))
		line.plain("AUTOSELECT", yes(auto))
		line.quoted("CHANNELS", fmt.Sprint(t.Channels))
		line.quoted("URI", w.address(t.Name))
		fmt.Fprintln(b, line)
	}
}

// characteristics are the accessibility tags of each kind of text (section 4.4.6.1).
var characteristics = map[bijou.TrackKind]string{
	bijou.Captions:     "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound",
	bijou.Descriptions: "public.accessibility.describes-video",
}

// text prints the text tracks. None is shown until a viewer or the player's settings ask for it, and descriptions only on asking.
func (w pathway) text(b *bytes.Buffer, tracks []bijou.TextTrack) {
	names, automatic := names{}, map[string]bool{}
	for _, t := range tracks {
		lang := language(t.Language)
		traits := characteristics[t.Kind]
		auto := t.Kind != bijou.Descriptions && !automatic[lang+" "+traits]
		automatic[lang+" "+traits] = true
		line := tag("EXT-X-MEDIA")
		line.plain("TYPE", "SUBTITLES")
		line.quoted("GROUP-ID", textGroup+w.suffix)
		line.quoted("LANGUAGE", lang)
		line.quoted("NAME", names.unique(t.Label, lang))
		line.plain("DEFAULT", "NO")
		line.plain("AUTOSELECT", yes(auto))
		line.plain("FORCED", "NO")
		if traits != "" {
			line.quoted("CHARACTERISTICS", traits)
		}
		line.quoted("URI", w.address(t.Name))
		fmt.Fprintln(b, line)
	}
}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func (w pathway) address(track string) string { return w.Base + track + "/" + bijou.PlaylistFile }

// Playlist prints the media playlist of a video or audio track, all of it there from the start (section 4.4.3). It fails with Invalid
// for a track without segments, or whose times cannot be.
func Playlist(m bijou.Media) ([]byte, error) {
	durations, err := micros(m)
	if err != nil {
		return nil, fmt.Errorf("print HLS playlist of track %q: %w", m.Name, err)
	}
	b := head(durations)
	fmt.Fprintf(b, "#EXT-X-MAP:URI=\"%s\"\n", bijou.InitFile)
	for i, d := range durations {
		segment(b, d, bijou.SegmentFile(i+1))
	}
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.Bytes(), nil
}

// TextPlaylist prints the media playlist of a text track: one file, as long as the asset, in milliseconds. It fails with Invalid for
// a length below 1.
func TextPlaylist(runtimeMS int64) ([]byte, error) {
	if runtimeMS < 1 || runtimeMS > maxSeconds*1000 {
		return nil, fmt.Errorf("print HLS playlist of a text track: it lasts %d ms, and must last 1 ms to seven days: %w", runtimeMS, bijou.Invalid)
	}
	b := head([]int64{runtimeMS * 1000})
	segment(b, runtimeMS*1000, bijou.TextFile)
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.Bytes(), nil
}

// head begins a media playlist of segments that last so many microseconds. No segment, rounded to the nearest second, lasts longer than
// EXT-X-TARGETDURATION (section 4.4.3.1). The media sequence number of a segment is the number in its file's name.
func head(durations []int64) *bytes.Buffer {
	target := int64(1)
	for _, d := range durations {
		target = max(target, (d+500_000)/1_000_000)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n", version, target)
	return &b
}

func segment(b *bytes.Buffer, micros int64, file string) {
	fmt.Fprintf(b, "#EXTINF:%d.%06d,\n%s\n", micros/1_000_000, micros%1_000_000, file)
}
