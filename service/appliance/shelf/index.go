package shelf

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bijou"
)

// line is what the index says of a file.
type line struct {
	Name      string    `json:"name"`
	Gone      bool      `json:"gone,omitempty"` // it was removed
	Size      int64     `json:"size,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
	MediaType string    `json:"type,omitempty"`
	ETag      string    `json:"etag,omitempty"`
	Modified  time.Time `json:"modified,omitzero"`
}

// index is an asset's file of lines, the latest of a name being the one that counts. It is opened for writing on the first write.
type index struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

// add writes a line. That a file is there is on disk before it returns; that one is gone need not be, since it is missed soon enough.
func (x *index) add(l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.f == nil {
		if x.f, err = os.OpenFile(x.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return err
		}
	}
	if _, err := x.f.Write(append(b, '\n')); err != nil || l.Gone {
		return err
	}
	return x.f.Sync()
}

func (x *index) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.f == nil {
		return nil
	}
	err := x.f.Close()
	x.f = nil
	return err
}

func (x *index) remove() error {
	err := x.close()
	if e := os.Remove(x.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// maxLine bounds a line of an index, in bytes.
const maxLine = 16 << 10

// parseIndex returns what the lines say of each file, and how many lines count no more. A line that cannot be read, such as the last one
// of a process that was killed, is passed over: its file is not known then, and fetched again.
func parseIndex(r io.Reader) (files map[string]line, dead int) {
	files = map[string]line{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		raw := bytes.TrimSpace(lines.Bytes())
		if json.Unmarshal(raw, &l) != nil || checkName(l.Name) != nil || l.Size < 0 || !l.Gone && len(l.SHA256) != 64 {
			dead++
			continue
		}
		if _, before := files[l.Name]; before {
			dead++
		}
		if l.Gone {
			dead++
			delete(files, l.Name)
			continue
		}
		files[l.Name] = l
	}
	if lines.Err() != nil {
		dead++
	}
	return files, dead
}

// load reads all indexes. It looks at no file: whether one is there, and whole, is found out when it is asked for.
func (s *Shelf) load() error {
	entries, err := os.ReadDir(s.path("index"))
	if err != nil {
		return s.failure("open", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".jsonl") {
			continue
		}
		path := s.path("index", e.Name())
		f, err := os.Open(path)
		if err != nil {
			return s.failure("open", err)
		}
		files, dead := parseIndex(f)
		f.Close()
		if dead > 0 {
			if err := rewrite(path, files); err != nil {
				return s.failure("tidy the index", err)
			}
		}
		for _, l := range files {
			id := assetOf(l.Name)
			if safe(string(id))+".jsonl" != e.Name() {
				continue // not of this asset: somebody wrote it by hand
			}
			s.keep(s.asset(id), &item{line: l, verifiedAt: s.o.Now()})
		}
	}
	return nil
}

// rewrite replaces an index by what counts of it.
func rewrite(path string, files map[string]line) error {
	if len(files) == 0 {
		return os.Remove(path)
	}
	tmp := path + ".new"
	var b bytes.Buffer
	for _, l := range files {
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		b.Write(append(raw, '\n'))
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// keep puts a whole file among the items. The lock is held for writing, or nobody else knows the shelf yet.
func (s *Shelf) keep(a *asset, it *item) {
	if old := s.items[it.Name]; old != nil {
		s.forget(old)
	}
	s.items[it.Name] = it
	it.entry = s.queue.add(it)
	a.files++
	a.bytes += it.Size
	s.held += it.Size
	s.version++
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// forget takes an item out of the books. The lock is held for writing.
func (s *Shelf) forget(it *item) {
	if s.items[it.Name] != it {
		return
	}
	delete(s.items, it.Name)
	s.queue.remove(it.entry)
	s.held -= it.Size
	s.version++
	if a := s.assets[assetOf(it.Name)]; a != nil {
		a.files--
		a.bytes -= it.Size
	}
}

// drop removes a file from books, index and disk. Whoever has it open reads on.
func (s *Shelf) drop(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[it.Name] != it {
		return
	}
	s.forget(it)
	a := s.assets[assetOf(it.Name)]
	if a != nil && !a.gone {
		if err := a.index.add(line{Name: it.Name, Gone: true}); err != nil {
			s.o.Log.Warn("index of the appliance is not written", "file", it.Name, "error", err) // the file is looked for in vain, and fetched again
		}
	}
	if err := os.Remove(s.file(it.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("file of the appliance is not removed", "file", it.Name, "error", err)
		return
	}
	for dir := filepath.Dir(s.file(it.Name)); len(dir) > len(s.path("files")); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break // not empty
		}
	}
}

// isNote tells whether the name is that of an asset's own description, which goes last.
func isNote(name string) bool { return strings.HasSuffix(name, "/"+bijou.AssetFile) }
