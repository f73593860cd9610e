// Package appliance is the box that keeps files and serves segments to whoever holds a grant. It needs the public key and its files,
// and no other part of the service.
package appliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"bijou"
	"bijou/wire/grant"

	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what the room works with.
type Deps struct {
	Blobs   bijou.BlobStore // assets
	Keys    grant.Keys
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Service serves the files of assets under grants.
type Service struct {
	Deps
	served  prometheus.Counter
	refused prometheus.Counter
}

// New assembles the room.
func New(d Deps) *Service {
	s := &Service{
		Deps:    d,
		served:  prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_appliance_served_bytes_total", Help: "Bytes of segments and playlists served."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_appliance_refused_total", Help: "Requests without a grant that holds."}),
	}
	d.Metrics.MustRegister(s.served, s.refused)
	return s
}

// types are the media types of the files that an asset has; no other file is served.
var types = map[string]string{
	".m4s":  "video/iso.segment",
	".mp4":  "video/mp4",
	".m3u8": "application/vnd.apple.mpegurl",
	".vtt":  "text/vtt; charset=utf-8",
	".jpg":  "image/jpeg",
}

// ServeHTTP answers GET and HEAD of grant.Prefix + token + "/" + asset + "/" + file. Requests need no CORS preflight (Fetch standard,
// safelisted method and headers), and answers cache under the path without the grant, since files never change.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, Date")
	h.Set("Timing-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		s.refuse(w, http.StatusMethodNotAllowed, "files are read with GET or HEAD")
		return
	}
	token, asset, file, ok := grant.Split(r.URL.Path)
	if !ok {
		s.refuse(w, http.StatusNotFound, "no file has this address")
		return
	}
	g, err := grant.Open(token, s.Keys)
	if err == nil {
		err = grant.Check(g, asset, clientOf(r), s.Now())
	}
	if err != nil {
		s.refused.Inc()
		s.refuse(w, http.StatusForbidden, bijou.Sentence(err))
		return
	}
	s.file(w, r, asset, file)
}

func (s *Service) file(w http.ResponseWriter, r *http.Request, asset bijou.AssetID, file string) {
	mediaType, known := types[path.Ext(file)]
	key := asset.Key(file) // below the asset's folder: Split refused every path that leads out of it
	if !known || bijou.CheckKey(key) != nil {
		s.refuse(w, http.StatusNotFound, "no file has this address")
		return
	}
	body, blob, err := s.Blobs.Get(r.Context(), key, 0, -1)
	switch {
	case errors.Is(err, bijou.NotFound):
		s.refuse(w, http.StatusNotFound, "this appliance does not have the file")
		return
	case r.Context().Err() != nil:
		return // the client has gone; nobody is left to tell
	case err != nil:
		s.Log.Error("file cannot be read", "key", key, "error", err)
		s.refuse(w, http.StatusServiceUnavailable, "the file cannot be read at the moment")
		return
	}
	defer body.Close()
	seek, ok := body.(io.ReadSeeker)
	if !ok {
		s.Log.Error("file is not on this machine", "key", key)
		s.refuse(w, http.StatusServiceUnavailable, "the file cannot be read at the moment")
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaTypeOf(mediaType, file))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", fmt.Sprintf("%q", string(asset)+"/"+file))
	counted := &counter{ResponseWriter: w}
	http.ServeContent(counted, r, "", blob.Modified, seek)
	s.served.Add(float64(counted.n))
}

// mediaTypeOf tells sound from picture by the folder's name, as the studio names them.
func mediaTypeOf(mediaType, file string) string {
	if strings.HasPrefix(file, "a-") {
		return strings.Replace(mediaType, "video/mp4", "audio/mp4", 1)
	}
	return mediaType
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

// clientOf returns the address at the other end, or the zero address, which is in no network.
func clientOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}

// counter counts the bytes written, and leaves the way to sendfile(2) open.
type counter struct {
	http.ResponseWriter
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *counter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.n += n
	return n, err
}
