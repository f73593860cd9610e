package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// site serves the built files of the member site. A path that names no file is a page of the site: index.html answers it.
type site struct {
	files fs.FS
	mu    sync.Mutex
	kept  map[string]*page // by name: the files are few and do not change while the process runs
}

// page is one file as it is sent.
type page struct {
	plain, zipped []byte // zipped is nil where it would not be smaller
	mediaType     string
	etag          string
}

func newSite(files fs.FS) *site { return &site{files: files, kept: map[string]*page{}} }

const index = "index.html"

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "pages are read with GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if name == "" {
		name = index
	}
	p, err := s.page(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.Contains(path.Base(name), ".") {
		name = index
		p, err = s.page(name)
	}
	if err != nil {
		http.Error(w, "no page has this address", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", p.mediaType)
	h.Set("ETag", p.etag)
	h.Set("Vary", "Accept-Encoding")
	if strings.HasPrefix(name, "assets/") { // their names hold a hash of what is in them
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body := p.plain
	if p.zipped != nil && takesGzip(r) && r.Header.Get("Range") == "" {
		body = p.zipped
		h.Set("Content-Encoding", "gzip")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// takesGzip tells whether the client names gzip and does not give it the weight 0, which forbids it (RFC 9110 section 12.5.3).
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, weighed := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, _ := strings.Cut(weight, "=")
		return !weighed || strings.Trim(q, " 0.") != ""
	}
	return false
}

// page reads a file on its first use.
func (s *site) page(name string) (*page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.kept[name]; ok {
		return p, nil
	}
	b, err := fs.ReadFile(s.files, name)
	if err != nil {
		return nil, fs.ErrNotExist // a folder, a name that no file system takes, or nothing: all are no page
	}
	sum := sha256.Sum256(b)
	p := &page{plain: b, mediaType: mime.TypeByExtension(path.Ext(name)), etag: `W/"` + hex.EncodeToString(sum[:16]) + `"`}
	if p.mediaType == "" {
		p.mediaType = "application/octet-stream"
	}
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	if _, err := zip.Write(b); err == nil && zip.Close() == nil && buf.Len() < len(b)*9/10 {
		p.zipped = buf.Bytes()
	}
	s.kept[name] = p
	return p, nil
}
