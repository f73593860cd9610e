package shelf

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unique"

	"bijou"
)

// line is what the index says of a file.
type line struct {
	Name      string    `json:"name"`
	Base64    bool      `json:"base64,omitempty"` // the name is no UTF-8 and stands there in base64
	Gone      bool      `json:"gone,omitempty"`   // it was removed
	Size      int64     `json:"size,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
	MediaType string    `json:"type,omitempty"`
	ETag      string    `json:"etag,omitempty"`
	Modified  time.Time `json:"modified,omitzero"`
	From      string    `json:"from,omitempty"`
	At        time.Time `json:"at,omitzero"` // when it was whole
}

// maxLine bounds a line of an index, in bytes.
const maxLine = 16 << 10

// encode returns the line with its end, or an error where readers would not take it.
func (l line) encode() ([]byte, error) {
	if !utf8.ValidString(l.Name) {
		l.Name, l.Base64 = base64.StdEncoding.EncodeToString([]byte(l.Name)), true
	}
	b, err := json.Marshal(l)
	if err == nil && len(b) >= maxLine {
		err = errors.New("what its source says of it is too long")
	}
	return append(b, '\n'), err
}

// decode reads a line. It is not taken where it cannot be of the shelf's own.
func decode(raw []byte) (l line, ok bool) {
	if json.Unmarshal(raw, &l) != nil {
		return l, false
	}
	if l.Base64 {
		name, err := base64.StdEncoding.DecodeString(l.Name)
		if err != nil || utf8.Valid(name) {
			return l, false
		}
		l.Name, l.Base64 = string(name), false
	}
	if !l.Gone {
		if _, ok := parseSum(l.SHA256); !ok {
			return l, false
		}
	}
	return l, l.Size >= 0 && checkName(l.Name) == nil
}

// parseIndex returns what the lines say of each file, how many lines count no more, and whether all could be read. One that could not, such as the
// last one of a process that was killed, is passed over: its file is not known then, and fetched again.
func parseIndex(r io.Reader) (files map[string]line, dead int, whole bool) {
	files, whole = map[string]line{}, true
	in := bufio.NewReaderSize(r, maxLine)
	for {
		raw, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(raw) == 0 {
			return files, dead, whole
		}
		l, ok := decode(raw)
		if err != nil || !ok { // too long, torn, or not to be understood
			whole = false
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
			if err != nil {
				return files, dead, whole
			}
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
}

// append adds a line to the asset's index. That a file is there is on disk before it returns; that one is gone need not be, since it is missed
// soon enough. The asset's stripe is held.
func (s *Shelf) append(id bijou.AssetID, l line) error {
	b, err := l.encode()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.indexPath(id), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := s.disk.write(f, b, end); err != nil {
		// A part of a line would spoil the next one. Where it cannot be cut off, both are passed over and their files fetched again.
		_ = f.Truncate(end)
		return err
	}
	if l.Gone {
		return nil
	}
	return f.Sync()
}

// load reads all indexes, and compares the names of the files that there are with those that should be. It reads none of them: whether one is whole is
// found out when it is asked for.
func (s *Shelf) load() error {
	entries, err := os.ReadDir(s.path("index"))
	if err != nil {
		return s.failure("open", err)
	}
	var all []line
	known := map[string]bool{} // folders of assets
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), indexEnd) {
			if err := os.Remove(s.path("index", e.Name())); err != nil { // a rewrite that was killed
				return s.failure("open", err)
			}
			continue
		}
		folder := strings.TrimSuffix(e.Name(), indexEnd)
		known[folder] = true
		lines, err := s.loadIndex(folder)
		if err != nil {
			return s.failure("open", err)
		}
		all = append(all, lines...)
	}
	folders, err := os.ReadDir(s.path("files"))
	if err != nil {
		return s.failure("open", err)
	}
	for _, e := range folders {
		if !known[e.Name()] { // its index is gone: a removal that was killed
			if err := os.RemoveAll(s.path("files", e.Name())); err != nil {
				return s.failure("open", err)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Name, b.Name)) })
	for _, l := range all {
		s.keep(itemOf(l), nil)
	}
	s.mu.Lock()
	victims, drops, _ := s.makeRoom(0)
	s.mu.Unlock()
	s.discard(victims, drops)
	return nil
}

// loadIndex returns what the index of an asset says of the files that are there, and removes others from its folder.
func (s *Shelf) loadIndex(folder string) ([]line, error) {
	path := s.path("index", folder+indexEnd)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	files, dead, whole := parseIndex(f)
	f.Close()
	want := map[string]string{} // name by path below files
	for name := range files {
		if safe(string(assetOf(name))) == folder { // else somebody wrote it by hand
			want[safe(name)] = name
		}
	}
	var there []line
	err = filepath.WalkDir(s.path("files", folder), func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.path("files"), p)
		if err != nil {
			return err
		}
		name, ok := want[filepath.ToSlash(rel)]
		if !ok {
			return os.Remove(p)
		}
		there = append(there, files[name])
		return nil
	})
	if err == nil && (!whole || len(there) != len(files) || len(there) == 0 || dead > len(there)+maxDead) {
		err = s.rewrite(path, there)
	}
	return there, err
}

// maxDead is how many lines that count no more an index may have in addition to as many as do, before it is written anew.
const maxDead = 200

// rewrite replaces an index by what counts of it.
func (s *Shelf) rewrite(path string, lines []line) error {
	if len(lines) == 0 {
		return os.Remove(path)
	}
	var b bytes.Buffer
	for _, l := range lines {
		raw, err := l.encode()
		if err != nil {
			return err
		}
		b.Write(raw)
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = s.disk.write(f, b.Bytes(), 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// tidyIndex writes the asset's index anew where too many of its lines count no more. The asset's stripe is held.
func (s *Shelf) tidyIndex(id bijou.AssetID) error {
	s.mu.Lock()
	a := s.assets[id]
	if a == nil || a.dead <= len(a.items)+maxDead {
		s.mu.Unlock()
		return nil
	}
	a.dead = 0
	lines := make([]line, 0, len(a.items))
	for it := range a.items {
		lines = append(lines, it.line())
	}
	s.mu.Unlock()
	return s.rewrite(s.indexPath(id), lines)
}

// syncFolder has the names in the folder on disk.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// itemOf returns the file that the line speaks of.
func itemOf(l line) *item {
	sum, _ := parseSum(l.SHA256) // decode refused what is none
	it := &item{
		name: l.Name, size: l.Size, sum: sum, etag: l.ETag, modified: l.Modified, at: l.At,
		mediaType: unique.Make(l.MediaType).Value(), from: unique.Make(l.From).Value(), // there are a handful for many files
	}
	it.node = node[*item]{value: it, name: l.Name, size: l.Size, last: isNote(l.Name)}
	return it
}

// line returns what the index says of the file.
func (it *item) line() line {
	return line{
		Name: it.name, Size: it.size, SHA256: it.sum.String(), MediaType: it.mediaType, ETag: it.etag, Modified: it.modified, From: it.from, At: it.at,
	}
}
