// Package shelf keeps the files of an appliance on its disk: fetched once while many wait, checked before they are served, and thrown out
// when space is short.
//
// A file is kept below DIR/files/ASSET/ under its own name (see safe for odd ones), and a line about it (size, hash, type) in DIR/index/ASSET.jsonl,
// which is written when the file is whole. What is being filled lies in DIR/incoming, which is emptied at the next start.
//
// Locks are taken in this order: an asset's stripe (what is on disk), Shelf.mu (the books), a shard (who has which name), fill.mu.
package shelf

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"
)

// Source is where files come from: the origin, or a peer.
type Source interface {
	// Fetch reads length bytes of the named file from offset on; a negative length reads to the end. What is sent beyond length is not read. Fetch and
	// the body end when ctx does. It fails with NotFound where there is no such file, and with Unavailable where the source does not answer.
	Fetch(ctx context.Context, name string, offset, length int64) (Fetched, error)
}

// Fetched is a file, or a part of one, as a source sends it.
type Fetched struct {
	Body      io.ReadCloser
	Size      int64 // of the whole file, in bytes; -1 where the source does not say
	MediaType string
	ETag      string // with its quotes; empty where there is none
	Modified  time.Time
	SHA256    string // of the whole file in hexadecimal, where it is known beforehand; else empty
	From      string // who sends it: "origin", or an appliance's identifier
}

// Options are what a shelf works with.
type Options struct {
	Dir   string
	Cap   int64         // bytes that it may take, whole files and what is being filled together; a file larger than half of it is passed on without being kept
	Slice int64         // larger files are fetched in slices of this many bytes; 8 MiB where 0
	Fills int           // fetches at once that fill files, others wait for a place; 64 where 0
	Queue int           // files that may wait for such a place, above which Get fails with Exhausted; 4096 where 0
	Stall time.Duration // a fetch that brings nothing for so long is given up; 20 s where 0
	Scrub time.Duration // within which every file's hash is checked again; 24 h where 0
	Now   func() time.Time
	Log   *slog.Logger
}

const (
	// holdBack is how much of the end of a file is kept from readers until its hash has been checked, in bytes: nobody completes a corrupt file.
	holdBack = 16 << 10
	// format is the version of the directory's layout.
	format = 1
	// bufferBytes is what a fill or a check holds in memory.
	bufferBytes = 128 << 10
)

// withDefaults fills in what nobody said.
func (o Options) withDefaults() Options {
	if o.Slice <= 0 {
		o.Slice = 8 << 20
	}
	if o.Fills <= 0 {
		o.Fills = 64
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	if o.Stall <= 0 {
		o.Stall = 20 * time.Second
	}
	if o.Scrub <= 0 {
		o.Scrub = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Shelf keeps files.
type Shelf struct {
	o        Options
	src      Source
	disk     disk
	lock     *os.File
	seed     maphash.Seed
	shards   [64]shard
	stripes  [64]sync.Mutex // what is on disk of the assets that fall to each
	slots    chan struct{}  // one for each fetch in work
	checking chan struct{}  // one for each file whose hash is being computed for a request
	fetching atomic.Int64   // fetches in work or waiting
	number   atomic.Int64   // of the last file in incoming
	wake     chan struct{}  // tells the scrubber that there is something to do
	n        counts

	ending sync.Mutex // so that nothing begins once Close waits
	life   context.Context
	end    context.CancelFunc
	work   sync.WaitGroup

	handles openFiles

	checksMu sync.Mutex
	checks   map[*item]*check

	mu      sync.RWMutex // guards what follows
	held    int64        // bytes of whole files
	filling int64        // bytes that fills have reserved
	files   int64
	queue   queue[*item]
	assets  map[bijou.AssetID]*asset
	parked  []*fill // half-filled large files that nobody reads, oldest first
	version int64
	list    []bijou.Holding // as of listed
	listed  int64
	fault   string
	// restUntil is when files are thrown out of a full disk again, after that was of no use.
	restUntil time.Time
}

// shard is who has which name: a whole file, or a fill.
type shard struct {
	mu    sync.RWMutex
	items map[string]*item
	fills map[string]*fill
	_     [64]byte // no two in one cache line
}

func (s *Shelf) shard(name string) *shard {
	return &s.shards[maphash.String(s.seed, name)%uint64(len(s.shards))]
}

func (s *Shelf) stripe(id bijou.AssetID) *sync.Mutex {
	return &s.stripes[maphash.String(s.seed, string(id))%uint64(len(s.stripes))]
}

// lookup returns the whole file of the name, or nil.
func (s *Shelf) lookup(name string) *item {
	sh := s.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.items[name]
}

// disk is what is done to files when they are filled, so that a test can have it fail.
type disk struct {
	create func(path string) (*os.File, error)
	write  func(f *os.File, b []byte, at int64) (int, error)
}

func realDisk() disk {
	return disk{
		create: func(path string) (*os.File, error) {
			return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		},
		write: func(f *os.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at) },
	}
}

// Open returns the shelf of the directory, which is made where it is missing. It fails with Invalid for options that are none, with Conflict where
// another process has the directory, with Unsupported where a newer version wrote it, and with Unavailable where it cannot be written.
func Open(o Options, src Source) (*Shelf, error) {
	if o.Cap <= 0 {
		return nil, fmt.Errorf("appliance directory %s may hold %d bytes: give it room: %w", o.Dir, o.Cap, bijou.Invalid)
	}
	o = o.withDefaults()
	s := &Shelf{
		o: o, src: src, disk: realDisk(), seed: maphash.MakeSeed(),
		slots: make(chan struct{}, o.Fills), checking: make(chan struct{}, maxChecks), wake: make(chan struct{}, 1),
		checks: map[*item]*check{}, queue: newQueue[*item](o.Cap), assets: map[bijou.AssetID]*asset{},
		version: o.Now().UnixMicro(), // above that of every process before
	}
	for i := range s.shards {
		s.shards[i].items, s.shards[i].fills = map[string]*item{}, map[string]*fill{}
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

func (s *Shelf) open() (err error) {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return s.failure("open", err)
	}
	if s.lock, err = os.OpenFile(s.path("LOCK"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return s.failure("open", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("appliance directory %s is used by another process: stop that one, or choose another directory: %w", s.o.Dir, bijou.Conflict)
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.path("incoming")); err != nil {
		return s.failure("open", err)
	}
	for _, sub := range []string{"files", "index", "incoming"} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return s.failure("open", err)
		}
	}
	return s.load()
}

// checkFormat refuses what a newer program wrote, and notes the version where there is none yet.
func (s *Shelf) checkFormat() error {
	b, err := os.ReadFile(s.path("format"))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(b) == 0 { // the latter after a kill
		if err := os.WriteFile(s.path("format"), []byte(strconv.Itoa(format)+"\n"), 0o600); err != nil {
			return s.failure("open", err)
		}
		return nil
	}
	if err != nil {
		return s.failure("open", err)
	}
	got, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil || got < 1:
		return fmt.Errorf("appliance directory %s: file format holds %.20q and not a version: choose another directory: %w", s.o.Dir, b, bijou.Corrupt)
	case got > format:
		return fmt.Errorf("appliance directory %s has format %d and this program knows %d: use the newer program that wrote it: %w", s.o.Dir, got, format, bijou.Unsupported)
	}
	return nil
}

// Close stops what is being filled and lets go of the directory. Whoever reads a whole file reads on.
func (s *Shelf) Close() error {
	s.ending.Lock()
	s.end()
	s.ending.Unlock()
	for i := range s.shards {
		for _, f := range s.shards[i].all() {
			f.fail(errClosed)
		}
	}
	s.work.Wait()
	s.handles.close()
	if err := s.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return s.failure("close", err)
	}
	return nil
}

// errClosed is what readers of a fill get when the shelf is closed.
var errClosed = fmt.Errorf("the appliance is stopping: try again in a moment: %w", bijou.Unavailable)

// all returns the fills of the shard.
func (sh *shard) all() (fs []*fill) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, f := range sh.fills {
		fs = append(fs, f)
	}
	return fs
}

// spawn runs f in a goroutine that Close waits for. It is refused once the shelf is being closed.
func (s *Shelf) spawn(f func()) bool {
	s.ending.Lock()
	defer s.ending.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.work.Go(f)
	return true
}

// failure returns err as the shelf's: a sentence with the fix and the kind.
func (s *Shelf) failure(verb string, err error) error {
	kind, fix := bijou.Unavailable, "look whether the disk is well"
	switch {
	case isFull(err):
		kind, fix = bijou.Exhausted, "free space there, or give the appliance a smaller cap"
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		fix = "give this user the right to write there"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		kind, fix = bijou.Exhausted, "allow the process more open files"
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s in appliance directory %s (%v): %s: %w", verb, s.o.Dir, err, fix, kind)
}

// isFull tells whether the disk takes no more.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// unwell notes why files cannot be kept.
func (s *Shelf) unwell(err error) {
	fault := bijou.Sentence(s.failure("keep files", err))
	s.mu.Lock()
	news := s.fault != fault
	s.fault = fault
	if isFull(err) {
		s.restUntil = s.o.Now().Add(squeezeRest)
	}
	s.mu.Unlock()
	if news {
		s.o.Log.Error("appliance cannot keep files, and passes them on", "error", err)
	}
}

// squeezeRest is how long nothing is thrown out of a full disk after that was of no use.
const squeezeRest = time.Minute

// well notes that files can be kept.
func (s *Shelf) well() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = ""
}
