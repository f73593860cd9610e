package shelf

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unique"

	"bijou"
)

// errPass says that the file cannot be kept, and has to be served from its source.
var errPass = errors.New("the file is not kept")

// errDropped says that a half-filled file went to make room. Nobody was reading it.
var errDropped = errors.New("the file was dropped half-filled")

// meta is what a source says of a file.
type meta struct {
	size            int64 // -1 while unknown
	mediaType, etag string
	modified        time.Time
	from            string
	sum             sum
	known           bool // sum is
}

// fill is a file that is being fetched, in slices, into a file in incoming. Its readers share it. A file of one slice is fetched to its end though its
// readers leave; a larger one is fetched slice by slice as readers come to them, and stops when the last one leaves. What there is of it waits then for
// the next reader, until the room is needed.
type fill struct {
	s      *Shelf
	name   string
	want   expected
	temp   string
	keep   bool          // fetched to its end whoever reads it
	ready  chan struct{} // closed once meta is there, or the fill has failed
	listed bool          // in Shelf.parked; guarded by Shelf.mu
	// reserved is the room set aside, in bytes; guarded by Shelf.mu.
	reserved int64
	squeezed atomic.Int64 // bytes thrown out because the disk was full

	hashing sync.Mutex
	hash    hash.Hash // of the first hashed bytes
	hashed  int64

	mu       sync.Mutex
	change   chan struct{} // closed when something below changes; nil where nobody waits
	isReady  bool
	meta     meta
	slices   []slice
	missing  int // slices that are not whole
	readers  int
	running  int // fetches
	fails    int // fetches of a slice that failed for those who waited for it alone
	failure  error
	file     *os.File // open while anybody reads or fetches
	err      error    // it failed for good
	verified bool     // whole, and its hash is right
	ended    bool     // and kept, or not to be kept
	item     *item    // nil where it is not kept
	ctx      context.Context
	stop     context.CancelFunc
}

// slice is a part of the file.
type slice struct {
	have  int64 // bytes from its beginning that are on disk
	busy  bool  // being fetched
	whole bool
	fails int
	err   error
}

// miss returns the file as it is fetched: by the fill in work where there is one, else by a new one.
func (s *Shelf) miss(ctx context.Context, name string) (*File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, collapsed, err := s.join(name, true)
	if err != nil {
		return nil, err
	}
	s.n.misses.Add(1)
	if collapsed {
		s.n.collapsed.Add(1)
	}
	select {
	case <-f.ready:
	case <-ctx.Done():
		f.leave()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	err, m, verified := f.err, f.meta, f.verified
	f.mu.Unlock()
	pass := errors.Is(err, errPass) && m.size >= 0
	if errors.Is(err, errPass) && !pass {
		err = fmt.Errorf("%s cannot be kept, nor passed on since its source does not say how large it is: have it say so (Content-Length): %w", name, bijou.Unavailable)
	}
	if err != nil && !pass {
		f.leave()
		return nil, err
	}
	out := &File{
		Name: name, MediaType: m.mediaType, ETag: m.etag, Size: m.size, Modified: m.modified, Collapsed: collapsed, From: m.from, s: s, ctx: ctx, fill: f,
	}
	if m.known || verified {
		out.SHA256 = m.sum.String()
	}
	if pass {
		out.passOn()
	}
	return out, nil
}

// join returns the fill of the name, made and begun where there is none, with one reader more where reader says so. It fails with errAgain where the
// file is there.
func (s *Shelf) join(name string, reader bool) (f *fill, collapsed bool, err error) {
	want, err := s.expected(name)
	if err != nil {
		return nil, false, err
	}
	sh := s.shard(name)
	sh.mu.Lock()
	if sh.items[name] != nil {
		sh.mu.Unlock()
		return nil, false, errAgain
	}
	f = sh.fills[name]
	if f == nil || !f.enter(reader) {
		if s.fetching.Load() >= int64(s.o.Fills+s.o.Queue) {
			sh.mu.Unlock()
			return nil, false, fmt.Errorf("%s has to wait behind %d others that are being fetched: try again in a moment: %w", name, s.o.Fills+s.o.Queue, bijou.Exhausted)
		}
		f = s.newFill(name, want, !reader)
		sh.fills[name] = f
		f.mu.Lock()
		if reader {
			f.readers = 1
		}
		f.launch(0)
		f.mu.Unlock()
	} else {
		collapsed = true
	}
	sh.mu.Unlock()
	if s.life.Err() != nil { // Close may have looked through the fills before this one was there
		f.fail(errClosed)
	} else if _, err := s.expected(name); err != nil { // as may Remove
		f.fail(err)
	}
	return f, collapsed, nil
}

// again has a file fetched that nobody may be waiting for.
func (s *Shelf) again(name string) {
	if _, _, err := s.join(name, false); err != nil && !errors.Is(err, errAgain) && !errors.Is(err, bijou.NotFound) {
		s.o.Log.Warn("file is not fetched again until it is asked for", "file", name, "error", err)
	}
}

func (s *Shelf) newFill(name string, want expected, keep bool) *fill {
	return &fill{
		s: s, name: name, want: want, keep: keep, temp: s.path("incoming", strconv.FormatInt(s.number.Add(1), 10)),
		ready: make(chan struct{}), hash: sha256.New(), meta: meta{size: -1}, slices: make([]slice, 1), missing: 1,
	}
}

// enter counts a reader. It is refused where the fill has failed.
func (f *fill) enter(reader bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false
	}
	if reader {
		f.readers++
	}
	return true
}

// leave says that a reader reads no more.
func (f *fill) leave() {
	f.mu.Lock()
	f.readers--
	f.unwanted()
	f.mu.Unlock()
	f.settle()
}

// unwanted stops the fetches of a large file that nobody reads. The lock is held.
func (f *fill) unwanted() {
	if f.readers == 0 && !f.keep && f.isReady && len(f.slices) > 1 && f.missing > 0 && f.stop != nil {
		f.stop()
		f.ctx, f.stop = nil, nil
	}
}

// settle puts the fill to rest once nobody reads and nothing is fetched: its file is closed, and what is half-filled waits on a list. No lock is held.
func (f *fill) settle() {
	f.mu.Lock()
	if f.readers > 0 || f.running > 0 {
		f.mu.Unlock()
		return
	}
	if f.file != nil {
		f.file.Close() // it was read, or written and synced where it is kept
		f.file = nil
	}
	park := f.err == nil && !f.ended
	f.mu.Unlock()
	if !park {
		return
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if !f.listed {
		f.listed = true
		f.s.parked = append(f.s.parked, f)
	}
}

// idle tells whether nobody reads and nothing is fetched of a half-filled file.
func (f *fill) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resting()
}

func (f *fill) resting() bool { return f.readers == 0 && f.running == 0 && f.err == nil && !f.ended }

// drop ends a half-filled file that nobody reads, and tells whether it is one.
func (f *fill) drop() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.resting() {
		return false
	}
	f.err = errDropped
	return true
}

// unmap takes the fill off the name.
func (f *fill) unmap() {
	sh := f.s.shard(f.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.fills[f.name] == f {
		delete(sh.fills, f.name)
	}
}

func (f *fill) removeTemp() {
	if err := os.Remove(f.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.s.o.Log.Warn("half-filled file is not removed before the next start", "file", f.name, "error", err)
	}
}

// announce wakes whoever waits for a change. The lock is held.
func (f *fill) announce() {
	if f.change != nil {
		close(f.change)
		f.change = nil
	}
}

// setReady says what the file is. The lock is held.
func (f *fill) setReady(m meta) {
	f.meta = m
	f.isReady = true
	if n := int((m.size + f.s.o.Slice - 1) / f.s.o.Slice); n > 1 && f.err == nil {
		f.slices = append(f.slices, make([]slice, n-1)...)
		f.missing = n
	}
	close(f.ready)
}

// fail ends the fill for good. Readers get err. No lock is held.
func (f *fill) fail(err error) {
	f.mu.Lock()
	if f.err != nil || f.ended {
		f.mu.Unlock()
		return
	}
	f.err = err
	if f.stop != nil {
		f.stop()
		f.ctx, f.stop = nil, nil
	}
	if !f.isReady {
		f.isReady = true
		close(f.ready)
	}
	f.announce()
	f.mu.Unlock()
	f.unmap()
	f.s.release(f)
	f.removeTemp()
	f.settle()
	if !errors.Is(err, errPass) {
		f.s.n.bust.Add(1)
	}
}

func (f *fill) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// handle returns the file that is being filled. The lock is held, and the caller reads or fetches.
func (f *fill) handle() (*os.File, error) {
	if f.file == nil {
		file, err := os.OpenFile(f.temp, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		f.file = file
	}
	return f.file, nil
}

// place is where a reader is, and which failures there it knows of: those that were before it came.
type place struct {
	at    bool // slice is one
	slice int
	own   int // of the slice
	all   int // of the fill
}

// await waits until something can be read at the place, and returns the file to read it from and how many bytes. It has fetched what it takes. It fails
// with errPass where the rest has to come from the source.
func (f *fill) await(ctx context.Context, at int64, p *place) (*os.File, int64, error) {
	k := int(at / f.s.o.Slice)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.at || p.slice != k {
		*p = place{true, k, f.slices[k].fails, f.fails}
	}
	for {
		if f.err != nil {
			return nil, 0, f.err
		}
		n, held := f.readable(k, at)
		if n > 0 {
			file, err := f.handle()
			if err != nil {
				return nil, 0, errPass // somebody took it from incoming, or there are too many open files
			}
			return file, n, nil
		}
		switch {
		case f.slices[k].fails > p.own:
			p.at = false
			return nil, 0, f.slices[k].err
		case held && f.fails > p.all:
			p.at = false
			return nil, 0, f.failure
		case !held:
			f.launch(k)
		case f.running == 0:
			f.launch(f.firstMissing())
		}
		if f.change == nil {
			f.change = make(chan struct{})
		}
		change := f.change
		f.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
}

// readable returns how many bytes of the slice can be read at the place, and whether it is there and held back: the end of a file whose hash is known is
// until that was checked. The lock is held.
func (f *fill) readable(k int, at int64) (n int64, held bool) {
	end := int64(k)*f.s.o.Slice + f.slices[k].have
	if f.meta.known && !f.verified {
		limit := f.meta.size - holdBack
		if end > at && at >= limit {
			return 0, true
		}
		end = min(end, limit)
	}
	return end - at, false
}

// firstMissing returns the first slice that is not whole, or -1. The lock is held.
func (f *fill) firstMissing() int {
	for k := range f.slices {
		if !f.slices[k].whole {
			return k
		}
	}
	return -1
}

// launch begins to fetch a slice, unless that is in work or done. The lock is held.
func (f *fill) launch(k int) {
	if k < 0 || f.err != nil || f.slices[k].busy || f.slices[k].whole {
		return
	}
	if f.ctx == nil {
		f.ctx, f.stop = context.WithCancel(f.s.life)
	}
	f.slices[k].busy = true
	f.running++
	f.s.fetching.Add(1)
	ctx := f.ctx
	if !f.s.spawn(func() { f.work(ctx, k) }) {
		f.slices[k].busy = false
		f.running--
		f.s.fetching.Add(-1)
		// Close fails the fill, or whoever made it does.
	}
}

// finish checks the hash of a file that is whole, lets readers have its end, and keeps it.
func (f *fill) finish() {
	got, err := f.sum()
	if err != nil {
		f.s.unwell(err)
		f.fail(errPass)
		return
	}
	f.mu.Lock()
	if f.meta.known && got != f.meta.sum {
		f.mu.Unlock()
		f.fail(f.wrong(f.meta.from))
		return
	}
	f.meta.sum = got
	f.verified = true
	f.announce()
	f.mu.Unlock()
	it := &item{
		name: f.name, size: f.meta.size, sum: got, mediaType: unique.Make(f.meta.mediaType).Value(), etag: f.meta.etag,
		modified: f.meta.modified, at: f.s.o.Now().UTC(), from: unique.Make(f.meta.from).Value(),
	}
	it.node = node[*item]{value: it, name: it.name, size: it.size, last: isNote(it.name)}
	it.checked.Store(it.at.UnixNano())
	f.store(it)
}

// wrong says that a source sends another file than the one that was asked for.
func (f *fill) wrong(from string) error {
	f.s.n.wrong.Add(1)
	return fmt.Errorf("%s as %s sends it is not what its asset says: %w", f.name, sourceName(from), bijou.Corrupt)
}

func sourceName(from string) string {
	if from == "" {
		return "its source"
	}
	return from
}

// store puts the whole file into its place and into the index. Where the disk does not take it, its readers have it all the same, and it is not kept.
func (f *fill) store(it *item) {
	s := f.s
	f.mu.Lock()
	file := f.file
	f.mu.Unlock()
	err := file.Sync()
	id := assetOf(f.name)
	stripe := s.stripe(id)
	stripe.Lock()
	defer stripe.Unlock()
	if f.failed() != nil {
		return
	}
	if err == nil {
		err = f.place(it, file)
	}
	if err != nil {
		f.unkept(err)
		return
	}
	if want, err := s.expected(f.name); err == nil && want.known && want.sum != it.sum { // told meanwhile
		if err := os.Remove(s.Path(f.name)); err != nil {
			s.o.Log.Warn("file of the appliance is not removed", "file", f.name, "error", err)
		}
		f.fail(f.wrong(it.from))
		return
	}
	s.keep(it, f)
	f.mu.Lock()
	f.ended, f.item = true, it
	f.announce()
	f.mu.Unlock()
	s.n.kept.Add(1)
	s.well()
	if err := s.tidyIndex(id); err != nil {
		s.o.Log.Warn("index of the appliance is not tidied", "asset", id, "error", err) // it goes on growing
	}
}

// place moves the file to where it is looked for, and writes the line about it. The asset's stripe is held.
func (f *fill) place(it *item, file *os.File) error {
	s := f.s
	path := s.Path(f.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := os.Rename(f.temp, path)
	if err != nil && syscall.Rmdir(path) == nil {
		err = os.Rename(f.temp, path) // an empty folder was in the way
	}
	if err != nil {
		return err
	}
	st, err := stampOf(file)
	if err == nil {
		it.seen.Store(&st)
		err = s.append(assetOf(f.name), it.line())
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// unkept ends a fill whose file is whole and cannot be kept.
func (f *fill) unkept(err error) {
	f.mu.Lock()
	f.ended = true
	f.announce()
	f.mu.Unlock()
	f.unmap()
	f.s.release(f)
	f.removeTemp()
	f.s.n.passed.Add(1)
	if isNameTrouble(err) {
		f.s.o.Log.Warn("file is not kept, since the disk has no place of its name", "file", f.name, "error", err)
		return
	}
	f.s.unwell(err)
}
