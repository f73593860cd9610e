package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"bijou"
	"bijou/service/appliance/shelf"
	"bijou/wire/grant"
)

// types are the media types of the files that an asset has; no other file is served.
var types = map[string]string{
	".m4s":  "video/iso.segment",
	".mp4":  "video/mp4",
	".m3u8": "application/vnd.apple.mpegurl",
	".vtt":  "text/vtt; charset=utf-8",
	".jpg":  "image/jpeg",
}

const (
	// exposed are the header fields that pages of other origins may read.
	exposed = "Content-Length, Content-Range, Date, Cache-Status"
	// forever is what caches are told of files, which never change.
	forever = "public, max-age=31536000, immutable"
)

// ServeHTTP answers GET and HEAD of grant.Prefix + token + "/" + asset + "/" + file. Requests need no CORS preflight (Fetch standard,
// safelisted method and headers), and answers cache under the path without the grant, since files never change.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	defer s.requests.Add(-1)
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", exposed)
	h.Set("Timing-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(s.Patience.Grace)) // a writer without deadlines, as in a test, has no connection that could hang
	switch {
	case r.URL.Path == "/livez":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "alive\n") // the client may have gone; nobody is left to tell
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		s.refuse(w, http.StatusMethodNotAllowed, "files are read with GET or HEAD")
		return
	}
	token, asset, file, ok := s.split(r.URL.Path)
	if !ok {
		s.refuse(w, http.StatusNotFound, "no file has this address")
		return
	}
	if state := s.State(); state == bijou.AppliancePaused || state == bijou.ApplianceDropped {
		s.refuse(w, http.StatusServiceUnavailable, "the appliance is "+string(state))
		return
	}
	if _, err := s.gate.admit(token, asset, clientOf(r), s.Now()); err != nil {
		s.metrics.refused.Inc()
		s.refuse(w, http.StatusForbidden, bijou.Sentence(err))
		return
	}
	if !s.servable(asset, file) {
		s.refuse(w, http.StatusNotFound, "no file has this address")
		return
	}
	f, err := s.find(r.Context(), asset, file)
	if err != nil {
		s.fail(w, r, asset, file, err)
		return
	}
	defer f.Close()
	_ = control.SetWriteDeadline(time.Now().Add(s.Patience.forAnswer(f.Size))) // as above
	s.answer(w, r, asset, file, f)
}

// split takes a request's path apart.
func (s *Service) split(path string) (token string, asset bijou.AssetID, file string, ok bool) {
	if s.Source.Assets {
		return grant.Split(path)
	}
	return grant.SplitForeign(path)
}

// servable tells whether the name can be that of a viewers' file.
func (s *Service) servable(asset bijou.AssetID, file string) bool {
	return !s.Source.Assets || types[path.Ext(file)] != "" && bijou.CheckKey(asset.Key(file)) == nil
}

// tagOf returns the file's entity tag: made of its name, which stands for the same bytes for ever, where the origin does not say another.
func (s *Service) tagOf(asset bijou.AssetID, file string, f *shelf.File) string {
	if s.Source.Assets || f.ETag == "" {
		return `"` + string(asset) + "/" + file + `"`
	}
	return f.ETag
}

// find returns the file, from disk or as it is fetched.
func (s *Service) find(ctx context.Context, asset bijou.AssetID, file string) (*shelf.File, error) {
	sh, err := s.shelfNow()
	if err != nil {
		return nil, err
	}
	name := string(asset) + "/" + file
	if !s.Source.Assets {
		return sh.Get(ctx, name)
	}
	if !sh.Known(asset) {
		// What is on disk was checked against the hash that it came with, so it is served even if the asset's description cannot be had.
		if err := s.learn(ctx, sh, asset); err != nil {
			if f, err := sh.Get(ctx, name); err == nil && f.Hit {
				return f, nil
			} else if err == nil {
				f.Close()
			}
			return nil, err
		}
	}
	f, err := sh.Get(ctx, name)
	if err == nil {
		s.watch(asset, file)
	}
	return f, err
}

// maxNote bounds an asset's description, in bytes: some 400,000 segments.
const maxNote = 64 << 20

// learn reads the asset's description, fetching it where it is not on disk, and tells the shelf which files there are and their hashes.
func (s *Service) learn(ctx context.Context, sh *shelf.Shelf, id bijou.AssetID) error {
	s.learning.Lock()
	defer s.learning.Unlock()
	if sh.Known(id) {
		return nil
	}
	f, err := sh.Get(ctx, string(id)+"/"+bijou.AssetFile)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err != nil {
		return err
	}
	var a bijou.Asset
	if err := json.Unmarshal(raw, &a); err != nil || a.ID != id {
		return fmt.Errorf("asset %s: its description cannot be read or is another's: %w", id, bijou.Corrupt)
	}
	if err := sh.Expect(id, a.Title, filesOf(a)); err != nil {
		return err
	}
	s.assets.Store(id, knownOf(a))
	return nil
}

// filesOf returns the files of an asset, by their names on the shelf.
func filesOf(a bijou.Asset) map[string]shelf.Expected {
	files := map[string]shelf.Expected{}
	add := func(name string, size int64, sha256 string) {
		files[string(a.ID)+"/"+name] = shelf.Expected{Size: size, SHA256: sha256}
	}
	media := func(m bijou.Media) {
		add(m.Name+"/"+bijou.PlaylistFile, 0, "")
		add(m.Name+"/"+bijou.InitFile, m.InitBytes, m.InitSHA256)
		for i, seg := range m.Segments {
			add(m.Name+"/"+bijou.SegmentFile(i+1), seg.Bytes, seg.SHA256)
		}
	}
	for _, v := range a.Video {
		media(v.Media)
	}
	for _, x := range a.Audio {
		media(x.Media)
	}
	for _, t := range a.Text {
		add(t.Name+"/"+bijou.PlaylistFile, 0, "")
		add(t.Name+"/"+bijou.TextFile, t.Bytes, t.SHA256)
	}
	return files
}

// answer sends the file, or the part of it that is asked for. Where it cannot be read to its end the connection is cut, so that nobody takes
// a part for the whole.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, asset bijou.AssetID, file string, f *shelf.File) {
	h := w.Header()
	h.Set("Content-Type", s.mediaType(file, f))
	h.Set("Cache-Control", forever)
	h.Set("Cache-Status", cacheStatus(f))
	h.Set("ETag", s.tagOf(asset, file, f))
	counted := &counter{ResponseWriter: w, sent: &s.sent}
	if disk, ok := f.OnDisk(); ok {
		http.ServeContent(counted, r, "", time.Time{}, disk)
	} else {
		body := &watched{File: f}
		http.ServeContent(counted, r, "", time.Time{}, body)
		if body.err != nil && !errors.Is(body.err, context.Canceled) {
			s.metrics.broken.Inc()
			s.Log.Warn("file broke off", "file", shortName(f.Name), "error", body.err)
			panic(http.ErrAbortHandler) // cuts the connection, also of HTTP/2
		}
	}
	s.metrics.served.Add(float64(counted.n))
}

// watched keeps why a file could not be read, which http.ServeContent does not tell.
type watched struct {
	*shelf.File
	err error
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.File.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// mediaType tells sound from picture by the folder's name, as the studio names them. A foreign origin says the type itself.
func (s *Service) mediaType(file string, f *shelf.File) string {
	if !s.Source.Assets {
		return f.MediaType
	}
	mediaType := types[path.Ext(file)]
	if strings.HasPrefix(file, "a-") {
		return strings.Replace(mediaType, "video/mp4", "audio/mp4", 1)
	}
	return mediaType
}

// cacheStatus says how the answer came about (RFC 9211).
func cacheStatus(f *shelf.File) string {
	switch {
	case f.Hit:
		return "bijou; hit"
	case f.Collapsed:
		return "bijou; fwd=uri-miss; collapsed"
	}
	return "bijou; fwd=uri-miss; stored"
}

// fail answers with why the file cannot be had.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, asset bijou.AssetID, file string, err error) {
	name := string(asset) + "/" + file
	switch {
	case r.Context().Err() != nil:
		return // the viewer has gone, and nobody is left to tell
	case errors.Is(err, bijou.NotFound), errors.Is(err, bijou.Invalid):
		s.refuse(w, http.StatusNotFound, "this appliance does not have the file")
	case errors.Is(err, bijou.Corrupt):
		w.Header().Set("Cache-Status", "bijou; fwd=stale; detail=corrupt")
		s.refuse(w, http.StatusServiceUnavailable, "the file was found corrupt and is fetched again")
	default:
		s.Log.Warn("file cannot be had", "file", shortName(name), "error", err)
		s.refuse(w, http.StatusServiceUnavailable, "the file cannot be had at the moment")
	}
}

type problem struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// refuse answers with a problem (RFC 9457) that no cache keeps.
func (s *Service) refuse(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The client may have gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(problem{"about:blank", status, sentence})
}
