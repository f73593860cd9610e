package appliance

import (
	"context"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"bijou"
	"bijou/service/appliance/shelf"
)

// known is what an appliance knows of an asset that somebody watches.
type known struct{ tracks map[string]*track }

// track is one folder of an asset.
type track struct {
	segments int         // 0 for text
	wanted   atomic.Bool // its files are fetched ahead, or were
}

// ahead is a track that is to be fetched before anybody asks for the rest of it: from the segment on that was asked for, so that a film which has
// begun goes on when the service and the origin are gone.
type ahead struct {
	asset bijou.AssetID
	name  string
	from  int
}

// maxAhead bounds the tracks that wait to be fetched ahead; what does not fit is asked for again with the next segment.
const maxAhead = 256

// knownOf returns what there is to know of the asset's tracks.
func knownOf(a bijou.Asset) *known {
	k := &known{tracks: map[string]*track{}}
	for _, v := range a.Video {
		k.tracks[v.Name] = &track{segments: len(v.Segments)}
	}
	for _, x := range a.Audio {
		k.tracks[x.Name] = &track{segments: len(x.Segments)}
	}
	for _, t := range a.Text {
		k.tracks[t.Name] = &track{}
	}
	return k
}

// watch notes that somebody fetches the file, and has the rest of its track fetched ahead.
func (s *Service) watch(asset bijou.AssetID, file string) {
	v, ok := s.assets.Load(asset)
	if !ok {
		return
	}
	name, segment, _ := strings.Cut(file, "/")
	t := v.(*known).tracks[name] // nothing else is put in
	if t == nil || t.wanted.Load() || !t.wanted.CompareAndSwap(false, true) {
		return
	}
	from, err := strconv.Atoi(strings.TrimSuffix(segment, ".m4s"))
	if err != nil {
		from = 1
	}
	select {
	case s.toFetch <- ahead{asset, name, from}:
	default:
		t.wanted.Store(false)
	}
}

// fetchAhead fetches what is wanted, one file after another, until ctx ends.
func (s *Service) fetchAhead(ctx context.Context, sh *shelf.Shelf) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-s.toFetch:
			v, ok := s.assets.Load(a.asset)
			if !ok {
				continue
			}
			t := v.(*known).tracks[a.name] // as above
			if !s.fetchTrack(ctx, sh, a, t.segments) {
				t.wanted.Store(false) // with the next segment that is asked for it is tried again
			}
		}
	}
}

// fetchTrack fetches the files of a track from the segment on, then those before it, and tells whether all are there. It throws nothing out for them.
func (s *Service) fetchTrack(ctx context.Context, sh *shelf.Shelf, a ahead, segments int) bool {
	names := []string{bijou.PlaylistFile}
	if segments == 0 {
		names = append(names, bijou.TextFile)
	} else {
		names = append(names, bijou.InitFile)
	}
	for i := range segments {
		names = append(names, bijou.SegmentFile((max(a.from, 1)-1+i)%segments+1))
	}
	for _, name := range names {
		st := sh.Stats()
		if ctx.Err() != nil || st.Fault != "" || st.Held > st.Cap*9/10 {
			return false
		}
		f, err := sh.Get(ctx, string(a.asset)+"/"+a.name+"/"+name)
		if err != nil {
			return false
		}
		if !f.Hit {
			_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
		}
		f.Close()
		if err != nil {
			return false
		}
	}
	return true
}
