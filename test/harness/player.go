package harness

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// Player plays one title as a player on a device does: manifests, segments in order, facts.
type Player struct {
	Client
	Play
	seq int64
}

// StartPlay starts a viewing.
func (c Client) StartPlay(t testing.TB, title string) *Player {
	t.Helper()
	p := &Player{Client: c}
	c.Call(t, "POST", "/api/v1/titles/"+title+"/plays", nil, http.StatusCreated, &p.Play)
	return p
}

// Report sends one fact and returns when the service has acknowledged it.
func (p *Player) Report(t testing.TB, kind string, positionMS int64) {
	t.Helper()
	a, err := p.TryReport(kind, positionMS)
	if err != nil || a.Status != http.StatusAccepted {
		t.Fatalf("report %s at %d ms: status %d, %v: %s", kind, positionMS, a.Status, err, a.Body)
	}
}

// TryReport is as Report, for a service that may end at any moment.
func (p *Player) TryReport(kind string, positionMS int64) (Answer, error) {
	p.seq++
	fact := `{"facts":[` + factJSON(p.Play, kind, p.seq, positionMS) + `]}`
	return p.Try("POST", "/api/v1/facts", strings.NewReader(fact), http.Header{"Content-Type": {"application/json"}})
}

// Track is one rendition, sound track or text track, as a manifest names it.
type Track struct {
	Name     string // its folder, by which both manifests agree
	Kind     string // video, audio or text
	Codecs   string
	Language string
	Width    int
	Height   int
	Init     string   // path of the header; none for text
	Segments []string // paths, in order; the one file of a text track
	Ends     []float64
}

// TracksOfHLS reads the viewing's HLS manifests with a third party's parser, strictly.
func (p *Player) TracksOfHLS(t testing.TB) map[string]Track {
	t.Helper()
	master := decode[*m3u8.MasterPlaylist](t, p.Get(t, p.HLS))
	tracks := map[string]Track{}
	first := hostOf(t, resolve(t, p.HLS, master.Variants[0].URI)) // the appliance that a player begins with
	add := func(uri string, track Track) {
		list := resolve(t, p.HLS, uri)
		track.Name = folderOf(list)
		if hostOf(t, list) != first {
			return // the same of another appliance
		}
		media := decode[*m3u8.MediaPlaylist](t, p.Get(t, list))
		if !media.Closed {
			t.Errorf("playlist %s has no end: the title looks live", list)
		}
		if media.Map != nil {
			track.Init = resolve(t, list, media.Map.URI)
		}
		at := 0.0
		for _, s := range media.GetAllSegments() {
			at += s.Duration
			track.Segments, track.Ends = append(track.Segments, resolve(t, list, s.URI)), append(track.Ends, at)
		}
		tracks[track.Name] = track
	}
	others := map[string]*m3u8.Alternative{}
	for _, v := range master.Variants {
		w, h, _ := strings.Cut(v.Resolution, "x")
		codecs, _, _ := strings.Cut(v.Codecs, ",")
		add(v.URI, Track{Kind: "video", Codecs: codecs, Width: number(t, w), Height: number(t, h)})
		for _, a := range v.Alternatives {
			others[a.URI] = a
		}
	}
	for uri, a := range others {
		kind := map[string]string{"AUDIO": "audio", "SUBTITLES": "text"}[a.Type]
		add(uri, Track{Kind: kind, Language: a.Language})
	}
	return tracks
}

// TracksOfDASH reads the viewing's MPD with a third party's parser.
func (p *Player) TracksOfDASH(t testing.TB) map[string]Track {
	t.Helper()
	m, err := mpd.MPDFromBytes(p.Get(t, p.DASH))
	if err != nil {
		t.Fatalf("the MPD is read back with %v", err)
	}
	if len(m.Periods) != 1 || len(m.BaseURL) < 1 {
		t.Fatalf("the MPD has %d periods and %d base addresses, want one period and one appliance at least", len(m.Periods), len(m.BaseURL))
	}
	base := resolve(t, p.DASH, string(m.BaseURL[0].Value))
	tracks := map[string]Track{}
	for _, set := range m.Periods[0].AdaptationSets {
		for _, r := range set.Representations {
			track := Track{Name: r.Id, Kind: string(set.ContentType), Codecs: r.Codecs, Language: set.Lang, Width: int(r.Width), Height: int(r.Height)}
			if r.SegmentTemplate == nil {
				track.Segments = []string{resolve(t, base, string(r.BaseURLs[0].Value))}
				tracks[r.Id] = track
				continue
			}
			s := r.SegmentTemplate
			track.Init = resolve(t, base, s.Initialization)
			n, ticks := int(*s.StartNumber), uint64(0)
			for _, run := range s.SegmentTimeline.S {
				for range run.R + 1 {
					ticks += run.D
					name := strings.ReplaceAll(s.Media, "$Number$", text10(n))
					track.Segments, track.Ends = append(track.Segments, resolve(t, base, name)), append(track.Ends, float64(ticks)/float64(s.GetTimescale()))
					n++
				}
			}
			tracks[r.Id] = track
		}
	}
	return tracks
}

func decode[P m3u8.Playlist](t testing.TB, list []byte) P {
	t.Helper()
	read, _, err := m3u8.DecodeFrom(bytes.NewReader(list), true)
	if err != nil {
		t.Fatalf("the playlist is read back with %v:\n%s", err, list)
	}
	p, ok := read.(P)
	if !ok {
		t.Fatalf("the playlist is a %T:\n%s", read, list)
	}
	return p
}

func resolve(t testing.TB, base, ref string) string {
	t.Helper()
	b, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r.String()
}

func hostOf(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// folderOf returns the name of the folder that a file lies in.
func folderOf(path string) string { return filepath.Base(filepath.Dir(path)) }

// Fetch fetches the track's header and segments in order and writes them, one after the other, into a file.
func (p *Player) Fetch(t testing.TB, track Track, into string) {
	t.Helper()
	var whole bytes.Buffer
	if track.Init != "" {
		whole.Write(p.Get(t, track.Init))
	}
	for _, s := range track.Segments {
		whole.Write(p.Get(t, s))
	}
	if err := os.WriteFile(into, whole.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
