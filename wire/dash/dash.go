// Package dash prints the document by which players that speak MPEG-DASH (ISO/IEC 23009-1) find the files of an asset.
package dash

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"bijou"
)

// MediaType is the media type of an MPD (annex C).
const MediaType = "application/dash+xml"

const (
	// profile is the one for segments that each have an address of their own (clause 8.4), on demand too.
	profile = "urn:mpeg:dash:profile:isoff-live:2011"
	// roleScheme names what a track is for (clause 5.8.5.5).
	roleScheme = "urn:mpeg:dash:role:2011"
	// channelScheme gives a sound's number of channels (clause 5.8.5.4).
	channelScheme = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
)

// MPD prints the media presentation description of the asset: on demand, in one period. The address of each file is a pathway's base and
// its path below the asset's folder, so the base ends in a slash; each pathway is a BaseURL with its name as @serviceLocation (clause
// 5.6), best first, and steering is a ContentSteering element (ETSI TS 103 998). It fails with Invalid for an asset without video, for a
// track that no MPD can describe, and for routes without a pathway, or with one that no MPD can name.
func MPD(a bijou.Asset, r bijou.Routes) ([]byte, error) {
	if err := errors.Join(checkAsset(a), r.Check()); err != nil {
		return nil, fmt.Errorf("print DASH MPD of asset %q: %w", a.ID, err)
	}
	length, longest := span(a)
	m := mpd{
		Namespace: "urn:mpeg:dash:schema:mpd:2011", Profiles: profile, Type: "static",
		Duration: seconds(length), MinBufferTime: seconds(longest), MaxSegmentDuration: seconds(longest),
		Period: period{ID: "1", Start: "PT0S"},
	}
	for _, p := range r.Pathways {
		location := p.ID
		if len(r.Pathways) == 1 && r.Steering == "" {
			location = "" // there is nothing to tell it from
		}
		m.BaseURLs = append(m.BaseURLs, baseURL{location, p.Base})
	}
	if r.Steering != "" {
		// No @defaultServiceLocation: the first BaseURL is the default anyway. Shaka Player 5 gives up hosts, whatever the port, so that two appliances
		// of one host go together, and then takes the named one for the only one, dead or not; without a name it tries all.
		m.Steering = &contentSteering{r.Steering}
	}
	m.Period.add(picture(a.Video))
	chosen := defaultOf(a.Audio)
	for i, t := range a.Audio {
		m.Period.add(sound(t, i == chosen))
	}
	for _, t := range a.Text {
		m.Period.add(words(t, length))
	}
	b, err := xml.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("print DASH MPD of asset %q: %w", a.ID, err)
	}
	return append(append([]byte(xml.Header), b...), '\n'), nil
}

// span returns the length of the picture and of the longest segment, in microseconds. The picture's length is the presentation's: sound
// that goes on longer is cut there. Whoever has buffered as much as the longest segment, and receives a track's peak rate, never runs
// dry, since no segment has a higher rate: so the peak is @bandwidth where @minBufferTime is that length (clause 5.3.5.2, table 9).
func span(a bijou.Asset) (length, longest int64) {
	media := make([]bijou.Media, 0, len(a.Video)+len(a.Audio))
	for _, v := range a.Video {
		length = max(length, micros(v.Ticks(), v.Timescale))
		media = append(media, v.Media)
	}
	for _, t := range a.Audio {
		media = append(media, t.Media)
	}
	for _, m := range media {
		for _, s := range m.Segments {
			longest = max(longest, micros(s.Ticks, m.Timescale))
		}
	}
	return length, longest
}

// micros returns ticks in microseconds, rounded up: no presentation is shorter than its track.
func micros(ticks, timescale int64) int64 {
	whole, rest := ticks/timescale, ticks%timescale
	return whole*1_000_000 + (rest*1_000_000+timescale-1)/timescale
}

// seconds prints microseconds as xs:duration.
func seconds(micros int64) string {
	s := strings.TrimRight(fmt.Sprintf("%d.%06d", micros/1_000_000, micros%1_000_000), "0")
	return "PT" + strings.TrimSuffix(s, ".") + "S"
}

// picture describes all renditions of the picture: a player changes between them at any segment.
func picture(tracks []bijou.VideoTrack) adaptationSet {
	set := adaptationSet{ContentType: "video", MimeType: "video/mp4", SegmentAlignment: true, StartWithSAP: 1}
	var fastest bijou.VideoTrack
	for _, v := range tracks {
		set.MaxWidth, set.MaxHeight = max(set.MaxWidth, v.Width), max(set.MaxHeight, v.Height)
		if !v.FirstKey {
			set.StartWithSAP = 0
		}
		// Rates are fractions of numbers below 2^31, so the products do not overflow.
		if rate(v) != "" && (rate(fastest) == "" || v.RateNum*fastest.RateDen > fastest.RateNum*v.RateDen) {
			fastest = v
		}
		r := segments(v.Media)
		r.Width, r.Height, r.SAR, r.FrameRate = v.Width, v.Height, "1:1", rate(v)
		set.Representations = append(set.Representations, r)
	}
	set.MaxFrameRate = rate(fastest)
	return set
}

// rate prints frames a second; nothing where they are unknown.
func rate(v bijou.VideoTrack) string {
	switch {
	case v.RateNum == 0 || v.RateDen == 0:
		return ""
	case v.RateNum%v.RateDen == 0:
		return fmt.Sprint(v.RateNum / v.RateDen)
	}
	return fmt.Sprintf("%d/%d", v.RateNum, v.RateDen)
}

// defaultOf returns the place of the sound that plays where the viewer did not choose: the first that says so, or else the first.
func defaultOf(tracks []bijou.AudioTrack) int {
	for i, t := range tracks {
		if t.Default {
			return i
		}
	}
	return 0
}

// sound describes one audio track. Two of one language are two sets, since a player must not change between them by itself.
func sound(t bijou.AudioTrack, chosen bool) adaptationSet {
	set := adaptationSet{
		ContentType: "audio", Lang: language(t.Language), MimeType: "audio/mp4", SegmentAlignment: true, StartWithSAP: 1,
		Label: t.Label, Role: &descriptor{roleScheme, "alternate"},
	}
	if chosen {
		set.Role.Value = "main"
	}
	r := segments(t.Media)
	r.SampleRate, r.Channels = t.SampleRate, &descriptor{channelScheme, fmt.Sprint(t.Channels)}
	set.Representations = []representation{r}
	return set
}

// roles say what a text track is for (clause 5.8.5.5, table 22).
var roles = map[bijou.TrackKind]string{bijou.Captions: "caption", bijou.Descriptions: "description"}

// words describes a text track, one file for the whole length in microseconds.
func words(t bijou.TextTrack, length int64) adaptationSet {
	role, ok := roles[t.Kind]
	if !ok {
		role = "subtitle"
	}
	ms := max(1, length/1000)
	bps := min(max(1, (t.Bytes*8*1000+ms-1)/ms), maxUint)
	return adaptationSet{
		ContentType: "text", Lang: language(t.Language), MimeType: "text/vtt", Label: t.Label, Role: &descriptor{roleScheme, role},
		Representations: []representation{{ID: t.Name, Bandwidth: bps, BaseURL: t.Name + "/" + bijou.TextFile}},
	}
}

// segments describes a track and when each of its segments begins.
func segments(m bijou.Media) representation {
	t := &template{
		Timescale: m.Timescale, StartNumber: 1,
		Initialization: m.Name + "/" + bijou.InitFile, Media: m.Name + "/$Number$.m4s",
	}
	for _, s := range m.Segments {
		last := len(t.Timeline) - 1
		if last >= 0 && t.Timeline[last].D == s.Ticks {
			t.Timeline[last].R++
			continue
		}
		t.Timeline = append(t.Timeline, run{D: s.Ticks})
	}
	start := int64(0)
	t.Timeline[0].T = &start // the others follow on the one before
	return representation{ID: m.Name, Codecs: m.Codec, Bandwidth: m.PeakBPS, Template: t}
}
