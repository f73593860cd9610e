package viewer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"bijou/wire/cmcd"
)

// film is the segments of one rendition as one appliance serves them, in order, and how far they were fetched.
type film struct {
	play      play
	ways      []way
	at        int // in ways: the one that served last
	segments  int // of each way
	fetched   int
	durations []float64 // seconds
}

// way is a rendition at one appliance.
type way struct {
	appliance string
	bps       int64
	addresses []string
}

// open reads the viewing's playlists: one rendition, at each appliance that has it.
func (p *player) open(ctx context.Context, started play) (*film, error) {
	master, err := p.fetch(ctx, p.Address+started.HLS)
	if err != nil {
		return nil, err
	}
	variants := variantsOf(master)
	if len(variants) == 0 {
		return nil, fmt.Errorf("the playlist of viewing %s has no variant", started.Session)
	}
	bps := variants[p.random.IntN(len(variants))].bps
	f := &film{play: started}
	for _, v := range variants {
		if v.bps != bps {
			continue
		}
		address, err := resolve(p.Address+started.HLS, v.uri)
		if err != nil {
			return nil, err
		}
		list, err := p.fetch(ctx, address)
		if err != nil {
			continue // another appliance may answer
		}
		uris, durations := segmentsOf(list)
		w := way{appliance: v.appliance, bps: v.bps}
		for _, uri := range uris {
			segment, err := resolve(address, uri)
			if err != nil {
				return nil, err
			}
			w.addresses = append(w.addresses, segment)
		}
		f.ways, f.segments, f.durations = append(f.ways, w), len(uris), durations
	}
	if len(f.ways) == 0 || f.segments == 0 {
		return nil, fmt.Errorf("no appliance has the rendition of %d bit/s of viewing %s", bps, started.Session)
	}
	return f, nil
}

// fetch gets a file that is no segment, once more where it has to come later.
func (p *player) fetch(ctx context.Context, address string) (string, error) {
	for {
		b, again, err := p.try(ctx, http.MethodGet, address, nil, nil)
		if err == nil || !again || ctx.Err() != nil {
			return string(b), err
		}
		p.did.Retries++
		if err := pause(ctx, firstWait); err != nil {
			return "", err
		}
	}
}

// next fetches the segment that the fact's pictures come from, from the appliance that served last or else the next one, and has the fact say which.
func (f *film) next(ctx context.Context, p *player, fact *Fact) error {
	if fact.Kind == "start" || fact.Kind == "error" {
		return nil
	}
	n := f.fetched % f.segments
	f.fetched++
	told := cmcd.Data{
		"br": cmcd.Number(f.ways[f.at].bps / 1000), "bl": cmcd.Number(beatMS), "d": cmcd.Number(f.durations[n] * 1000), "ot": cmcd.Word("v"),
		"sf": cmcd.Word("h"), "st": cmcd.Word("v"), "sid": cmcd.Text(f.play.Session), "cid": cmcd.Text(f.play.Title),
	}
	if f.fetched == 1 {
		told["su"] = cmcd.Yes()
	}
	var failures []error
	for range f.ways {
		w := f.ways[f.at]
		address, header := w.addresses[n], http.Header{}
		var err error
		if p.headers {
			err = cmcd.ToHeaders(header, told)
		} else {
			address, err = cmcd.ToQuery(address, told)
		}
		if err != nil {
			return err
		}
		b, _, err := p.try(ctx, http.MethodGet, address, nil, header)
		if err == nil {
			p.did.Segments, p.did.Bytes = p.did.Segments+1, p.did.Bytes+int64(len(b))
			fact.Appliance, fact.BPS = w.appliance, w.bps
			return nil
		}
		failures = append(failures, err)
		f.at = (f.at + 1) % len(f.ways)
	}
	return errors.Join(failures...)
}

// variant is a line of a multivariant playlist.
type variant struct {
	uri, appliance string
	bps            int64
}

// variantsOf reads a multivariant playlist (RFC 8216bis section 4.4.6.2): each variant's address, rate and pathway.
func variantsOf(playlist string) (all []variant) {
	var v variant
	for line := range strings.Lines(playlist) {
		line = strings.TrimSpace(line)
		if attributes, ok := strings.CutPrefix(line, "#EXT-X-STREAM-INF:"); ok {
			v.bps, _ = strconv.ParseInt(attribute(attributes, "BANDWIDTH"), 10, 64) // 0 where it is none
			v.appliance = strings.Trim(attribute(attributes, "PATHWAY-ID"), `"`)
		} else if line != "" && line[0] != '#' {
			v.uri = line
			all = append(all, v)
		}
	}
	return all
}

// attribute returns an attribute's text, with its quotes.
func attribute(list, name string) string {
	for list != "" {
		key, rest, _ := strings.Cut(list, "=")
		end := strings.IndexByte(rest, ',')
		if strings.HasPrefix(rest, `"`) {
			end = strings.IndexByte(rest[1:], '"') + 2
		}
		if end < 0 || end > len(rest) {
			end = len(rest)
		}
		if key == name {
			return rest[:end]
		}
		list = strings.TrimPrefix(rest[end:], ",")
	}
	return ""
}

// segmentsOf reads a media playlist: the segments' addresses and their lengths in seconds.
func segmentsOf(playlist string) (uris []string, seconds []float64) {
	length := 0.0
	for line := range strings.Lines(playlist) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "#EXTINF:"); ok {
			text, _, _ = strings.Cut(text, ",")
			length, _ = strconv.ParseFloat(text, 64) // 0 where it is none
		} else if line != "" && line[0] != '#' {
			uris, seconds = append(uris, line), append(seconds, length)
		}
	}
	return uris, seconds
}

func resolve(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u, err := b.Parse(ref)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}
