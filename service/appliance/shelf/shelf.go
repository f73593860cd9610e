// Package shelf keeps the files of an appliance on its disk: fetched once while many wait, checked before they are served, and thrown out
// when space is short.
//
// A file is kept below DIR/files/ASSET/ under its own name, and a line about it (size, hash, type) in DIR/index/ASSET.jsonl, which is written
// when the file is whole. What a kill leaves half-filled lies in DIR/incoming and is removed at the next start.
package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"
)

// Source is where files come from: the origin, or a peer.
type Source interface {
	// Fetch reads length bytes of the named file from offset on; a negative length reads to the end. It fails with NotFound where there is
	// no such file, and with Unavailable where the source does not answer.
	Fetch(ctx context.Context, name string, offset, length int64) (Fetched, error)
}

// Fetched is a file, or a part of one, as a source sends it.
type Fetched struct {
	Body      io.ReadCloser
	Size      int64 // of the whole file, in bytes; -1 where the source does not say
	MediaType string
	ETag      string // with its quotes; empty where there is none
	Modified  time.Time
	From      string // who sends it: "origin", or an appliance's identifier
}

// Options are what a shelf works with.
type Options struct {
	Dir   string
	Cap   int64         // bytes of whole files; what is being filled comes on top, some slices of it at a time
	Slice int64         // larger files are fetched in slices of this many bytes; 8 MiB where 0
	Scrub time.Duration // within which every file's hash is checked again; 24 h where 0
	Now   func() time.Time
	Log   *slog.Logger
}

const (
	defaultSlice = 8 << 20
	defaultScrub = 24 * time.Hour
	// maxFills bounds the fetches at once; others wait for a place.
	maxFills = 64
	// maxPartial bounds the half-filled large files that are kept for the next reader.
	maxPartial = 64
	// holdBack is how much of the end of a file is kept from readers until its hash has been checked, in bytes: nobody completes a corrupt file.
	holdBack = 16 << 10
	// format is the version of the directory's layout.
	format = "1"
)

// Expected is what is known of a file before it is fetched.
type Expected struct {
	Size   int64
	SHA256 string // in hexadecimal; empty where only the name is known
}

// Stats are the shelf's counts since it was opened, and what it holds now.
type Stats struct {
	Held, Cap, Files                               int64
	Hits, Misses, Collapsed, Fetched, Passed       int64 // requests; fetches from a source; requests served without keeping the file
	FetchedBytes, Evicted, Corrupt, Scrubbed, Bust int64 // Bust: fetches that failed
	LastCorrupt                                    time.Time
	Fault                                          string // why files cannot be kept, or empty
}

// Shelf keeps files.
type Shelf struct {
	o      Options
	src    Source
	lock   *os.File
	slots  chan struct{}
	life   context.Context // ends with Close: fills stop
	end    context.CancelFunc
	fills_ sync.WaitGroup

	mu      sync.RWMutex
	items   map[string]*item
	fills   map[string]*fill
	idle    []*fill // half-filled large files that nobody reads, oldest first
	assets  map[bijou.AssetID]*asset
	queue   sieve
	held    int64
	version int64
	fault   string
	wake    chan struct{} // tells the scrubber that there is something to do

	hits, misses, collapsed, fetched, passed       atomic.Int64
	fetchedBytes, evicted, corrupt, scrubbed, bust atomic.Int64
	lastCorrupt                                    atomic.Int64 // Unix nanoseconds
}

// asset is what is known of one asset.
type asset struct {
	title    bijou.TitleID
	expected map[string]Expected // by full name; nil where unknown
	files    int64
	bytes    int64
	index    *index
	gone     bool // removed: nothing of it is kept any more
}

// Open returns the shelf of the directory, which is made where it is missing. It fails with Conflict where another process has it, with
// Unsupported where a newer version wrote it, and with Unavailable where it cannot be written.
func Open(o Options, src Source) (*Shelf, error) {
	if o.Slice <= 0 {
		o.Slice = defaultSlice
	}
	if o.Scrub <= 0 {
		o.Scrub = defaultScrub
	}
	s := &Shelf{
		o: o, src: src, slots: make(chan struct{}, maxFills), wake: make(chan struct{}, 1),
		items: map[string]*item{}, fills: map[string]*fill{}, assets: map[bijou.AssetID]*asset{},
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, err
	}
	return s, nil
}

func (s *Shelf) path(parts ...string) string {
	return filepath.Join(append([]string{s.o.Dir}, parts...)...)
}

func (s *Shelf) open() error {
	if err := os.RemoveAll(s.path("incoming")); err != nil {
		return s.failure("open", err)
	}
	for _, sub := range []string{"files", "index", "incoming"} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return s.failure("open", err)
		}
	}
	var err error
	if s.lock, err = os.OpenFile(s.path("LOCK"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return s.failure("open", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("appliance directory %s is used by another process: stop that one, or choose another directory: %w", s.o.Dir, bijou.Conflict)
	}
	b, err := os.ReadFile(s.path("format"))
	switch got := strings.TrimSpace(string(b)); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.WriteFile(s.path("format"), []byte(format+"\n"), 0o600); err != nil {
			return s.failure("open", err)
		}
	case err != nil:
		return s.failure("open", err)
	case got != format:
		return fmt.Errorf("appliance directory %s has format %q and this program knows %s: use the newer program that wrote it: %w", s.o.Dir, got, format, bijou.Unsupported)
	}
	return s.load()
}

// Close stops what is being filled and lets go of the directory.
func (s *Shelf) Close() error {
	s.end()
	s.fills_.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, a := range s.assets {
		errs = append(errs, a.index.close())
	}
	if err := errors.Join(append(errs, s.lock.Close())...); err != nil {
		return s.failure("close", err)
	}
	return nil
}

// assetOf returns the asset that a file belongs to: the first part of its name.
func assetOf(name string) bijou.AssetID {
	first, _, _ := strings.Cut(name, "/")
	return bijou.AssetID(first)
}

// checkName refuses, as Invalid, what is no name of a file below an asset.
func checkName(name string) error {
	first, rest, ok := strings.Cut(name, "/")
	if !ok || first == "" || rest == "" || len(name) > 1024 || path.Clean("/"+name) != "/"+name || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is no name of a file: %w", name[:min(len(name), 80)], bijou.Invalid)
	}
	return nil
}

// safe returns the name as it can stand in a file system: parts of letters, digits, dots, hyphens and underscores stand for themselves, all
// other bytes as % and two hexadecimal digits. A dot at the beginning of a part is one of those.
func safe(name string) string {
	var b strings.Builder
	begin := true
	for _, c := range []byte(name) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' && !begin || c == '/'
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		begin = c == '/'
	}
	return b.String()
}

func (s *Shelf) file(name string) string { return s.path("files", filepath.FromSlash(safe(name))) }

// Expect tells the shelf what the files of an asset are. Files that are on disk and differ are removed.
func (s *Shelf) Expect(id bijou.AssetID, title bijou.TitleID, files map[string]Expected) {
	s.mu.Lock()
	a := s.asset(id)
	a.title, a.expected = title, files
	s.version++
	var wrong []*item
	for name, want := range files {
		if it := s.items[name]; it != nil && want.SHA256 != "" && it.SHA256 != want.SHA256 {
			wrong = append(wrong, it)
		}
	}
	s.mu.Unlock()
	for _, it := range wrong {
		s.drop(it)
	}
}

// Known tells whether Expect was called for the asset.
func (s *Shelf) Known(id bijou.AssetID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.assets[id]
	return a != nil && a.expected != nil
}

// asset returns what is known of the asset, and begins to know it. The lock is held for writing.
func (s *Shelf) asset(id bijou.AssetID) *asset {
	a := s.assets[id]
	if a == nil {
		a = &asset{index: &index{path: s.path("index", safe(string(id))+".jsonl")}}
		s.assets[id] = a
	}
	return a
}

// Holdings returns the assets that there are files of, those with most bytes first, and a number that rises when they change.
func (s *Shelf) Holdings() (version int64, list []bijou.Holding) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, a := range s.assets {
		if a.files == 0 || a.gone {
			continue
		}
		complete := a.expected != nil
		for name := range a.expected {
			complete = complete && s.items[name] != nil
		}
		list = append(list, bijou.Holding{Asset: id, Title: a.title, Files: a.files, Bytes: a.bytes, Complete: complete})
	}
	slices.SortFunc(list, func(x, y bijou.Holding) int {
		if x.Bytes != y.Bytes {
			return int(min(1, max(-1, y.Bytes-x.Bytes)))
		}
		return strings.Compare(string(x.Asset), string(y.Asset))
	})
	return s.version, list
}

// Remove removes every file of the asset at once. Whoever reads one is cut off, and nothing of it is kept until Restore.
func (s *Shelf) Remove(id bijou.AssetID) error {
	s.mu.Lock()
	a := s.asset(id)
	a.gone = true
	s.version++
	for name, it := range s.items {
		if assetOf(name) == id {
			s.forget(it)
			it.cut.Store(true)
		}
	}
	var stopped []*fill
	for name, f := range s.fills {
		if assetOf(name) == id {
			stopped = append(stopped, f)
		}
	}
	err := errors.Join(a.index.remove(), os.RemoveAll(s.path("files", safe(string(id)))))
	s.mu.Unlock()
	for _, f := range stopped {
		f.fail(fmt.Errorf("%s was removed: %w", f.name, bijou.NotFound))
	}
	if err != nil {
		return s.failure("remove "+string(id), err)
	}
	return nil
}

// Restore lets files of the asset be kept again.
func (s *Shelf) Restore(id bijou.AssetID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.assets[id]; a != nil && a.gone {
		delete(s.assets, id)
		s.version++
	}
}

// Stats returns the shelf's counts.
func (s *Shelf) Stats() Stats {
	s.mu.RLock()
	st := Stats{Held: s.held, Cap: s.o.Cap, Files: int64(len(s.items)), Fault: s.fault}
	s.mu.RUnlock()
	st.Hits, st.Misses, st.Collapsed, st.Fetched, st.Passed = s.hits.Load(), s.misses.Load(), s.collapsed.Load(), s.fetched.Load(), s.passed.Load()
	st.FetchedBytes, st.Evicted, st.Corrupt, st.Scrubbed, st.Bust = s.fetchedBytes.Load(), s.evicted.Load(), s.corrupt.Load(), s.scrubbed.Load(), s.bust.Load()
	if at := s.lastCorrupt.Load(); at != 0 {
		st.LastCorrupt = time.Unix(0, at)
	}
	return st
}

// failure returns err as the shelf's: a sentence with the fix and the kind.
func (s *Shelf) failure(verb string, err error) error {
	kind, fix := bijou.Unavailable, "look whether the disk is well"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, fix = bijou.Exhausted, "free space there, or give the appliance a smaller cap"
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		fix = "give this user the right to write there"
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s in appliance directory %s (%v): %s: %w", verb, s.o.Dir, err, fix, kind)
}
