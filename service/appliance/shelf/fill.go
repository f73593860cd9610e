package shelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	"bijou"
)

// errPass says that the file cannot be kept, and has to be served from its source.
var errPass = errors.New("the file is not kept")

// fill is a file that is being fetched. Its readers share it.
type fill struct {
	s      *Shelf
	name   string
	temp   *os.File
	want   Expected // zero where nothing is known
	meta   line     // valid once began is closed
	from   string
	began  chan struct{} // closed when the first answer came, or the fill failed
	known  bool          // guarded by mu: meta is valid
	mu     sync.Mutex
	change chan struct{} // closed and replaced whenever something below changes
	parts  []part
	err    error // it failed for good
	done   bool  // it is whole, checked, and kept
	refs   int
}

// part is one slice of the file.
type part struct {
	have   int64 // bytes from its beginning that are in temp
	active bool  // being fetched
	whole  bool
	wanted int // readers that wait for it
	stop   context.CancelFunc
}

// miss returns the file as it is fetched: by the fill in work where there is one, else by a new one.
func (s *Shelf) miss(ctx context.Context, name string) (*File, error) {
	s.misses.Add(1)
	s.mu.Lock()
	if a := s.assets[assetOf(name)]; a != nil && a.gone {
		s.mu.Unlock()
		return nil, fmt.Errorf("%s was removed: %w", name, bijou.NotFound)
	}
	f, collapsed := s.fills[name], true
	if f == nil {
		collapsed = false
		f = &fill{s: s, name: name, began: make(chan struct{}), change: make(chan struct{}), parts: make([]part, 1)}
		if a := s.assets[assetOf(name)]; a != nil {
			f.want = a.expected[name]
		}
		s.fills[name] = f
	}
	f.mu.Lock()
	f.refs++
	f.mu.Unlock()
	s.unidle(f)
	s.mu.Unlock()
	if collapsed {
		s.collapsed.Add(1)
	} else {
		f.start(0)
	}
	select {
	case <-f.began:
	case <-ctx.Done():
		f.leave()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	known, err, meta, from := f.known, f.err, f.meta, f.from
	f.mu.Unlock()
	if !known {
		f.leave()
		return nil, err
	}
	out := &File{line: meta, Collapsed: collapsed, From: from, ctx: ctx, fill: f}
	if errors.Is(err, errPass) {
		f.leave()
		out.fill, out.pass = nil, s.passage(ctx, name)
	} else if err != nil {
		f.leave()
		return nil, err
	}
	return out, nil
}

// unidle takes a fill that somebody reads again off the list of those nobody reads. The shelf's lock is held.
func (s *Shelf) unidle(f *fill) {
	for i, other := range s.idle {
		if other == f {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			return
		}
	}
}

// leave says that a reader reads no more. A large file that nobody reads is not fetched any further; what there is of it is kept a while.
func (f *fill) leave() {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs--
	if f.refs > 0 || f.done || f.err != nil {
		if f.refs == 0 && f.temp != nil {
			f.temp.Close()
		}
		return
	}
	if len(f.parts) == 1 {
		return // small: the next reader is glad of it
	}
	for i := range f.parts {
		if p := &f.parts[i]; p.stop != nil {
			p.stop()
		}
	}
	s.idle = append(s.idle, f)
	if len(s.idle) > maxPartial {
		oldest := s.idle[0]
		s.idle = s.idle[1:]
		go oldest.fail(fmt.Errorf("%s is not wanted any more: %w", oldest.name, bijou.Unavailable)) // it takes the lock that is held here
	}
}

// announce wakes whoever waits for a change. The lock is held.
func (f *fill) announce() {
	close(f.change)
	f.change = make(chan struct{})
}

// start begins to fetch a slice, unless that is in work. The lock is not held.
func (f *fill) start(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.parts[n]
	if p.active || p.whole || f.err != nil || f.done {
		return
	}
	ctx, stop := context.WithCancel(f.s.life)
	p.active, p.stop = true, stop
	f.s.fills_.Add(1)
	go func() {
		defer f.s.fills_.Done()
		defer stop()
		f.fetch(ctx, n)
	}()
}

// fetch fetches what is missing of a slice, and goes on once from where the source broke off.
func (f *fill) fetch(ctx context.Context, n int) {
	s := f.s
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		f.pause(n)
		return
	}
	err := f.receive(ctx, n)
	if errors.Is(err, bijou.Unavailable) && ctx.Err() == nil {
		err = f.receive(ctx, n)
	}
	switch {
	case err == nil:
		f.settle(n)
	case ctx.Err() != nil && s.life.Err() == nil && !f.failed():
		f.pause(n)
	case errors.Is(err, errPass):
		f.fail(err)
	default:
		s.bust.Add(1)
		f.fail(err)
	}
}

func (f *fill) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// pause notes that a slice is not being fetched any more, though it is not whole.
func (f *fill) pause(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts[n].active, f.parts[n].stop = false, nil
	f.announce()
	if f.refs > 0 && f.err == nil && f.parts[n].wanted > 0 {
		go f.start(n) // somebody came back while it stopped
	}
}

// receive takes the rest of a slice from the source.
func (f *fill) receive(ctx context.Context, n int) error {
	s := f.s
	f.mu.Lock()
	have := f.parts[n].have
	f.mu.Unlock()
	offset := int64(n)*s.o.Slice + have
	length := s.o.Slice - have
	if n == 0 && have == 0 {
		length = s.o.Slice + 1 // one more than a slice tells whether there is more, where the source does not say
	}
	s.fetched.Add(1)
	got, err := s.src.Fetch(ctx, f.name, offset, length)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if err := f.begin(got); err != nil {
		return err
	}
	return f.copy(ctx, n, got.Body)
}

// begin takes note of what the first answer says of the file, and sees that later answers speak of the same one.
func (f *fill) begin(got Fetched) error {
	temp, err := f.room(got.Size)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known {
		if got.Size >= 0 && got.Size != f.meta.Size || got.ETag != f.meta.ETag {
			return fmt.Errorf("%s was replaced at its source while it was fetched: ask again: %w", f.name, bijou.Corrupt)
		}
		return nil
	}
	f.temp = temp // closed and removed where the fill fails
	if f.want.Size > 0 && got.Size >= 0 && got.Size != f.want.Size {
		return f.wrong()
	}
	size := got.Size
	if size < 0 {
		size = f.want.Size
	}
	if size < 0 || size == 0 && got.Size < 0 {
		return fmt.Errorf("the source of %s does not say how large it is: %w", f.name, bijou.Unsupported)
	}
	f.meta = line{Name: f.name, Size: size, MediaType: got.MediaType, ETag: got.ETag, Modified: got.Modified}
	f.from, f.known = got.From, true
	f.parts = append(f.parts, make([]part, max(0, (size-1)/f.s.o.Slice))...)
	f.err = err
	close(f.began)
	return err
}

// wrong says that the source sends another file than the one that was asked for.
func (f *fill) wrong() error {
	f.s.corrupt.Add(1)
	return fmt.Errorf("%s is not what its asset says, as its source sends it: %w", f.name, bijou.Corrupt)
}

// room makes the file that the bytes go into, on the first answer. Where that is impossible, or the file would take half of all the room
// there is, it is served without being kept.
func (f *fill) room(size int64) (*os.File, error) {
	f.mu.Lock()
	known := f.known
	f.mu.Unlock()
	switch {
	case known:
		return nil, nil
	case size > f.s.o.Cap/2:
		return nil, errPass
	}
	temp, err := os.CreateTemp(f.s.path("incoming"), "fill-*")
	if err != nil {
		f.s.unwell(err)
		return nil, errPass
	}
	return temp, nil
}

// unwell notes why files cannot be kept.
func (s *Shelf) unwell(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.failure("keep files", err).Error()
	if s.fault != fault {
		s.fault = fault
		s.o.Log.Error("appliance cannot keep files, and passes them on", "error", err)
	}
}

// copy writes the body into the slice's place, and tells readers of each piece.
func (f *fill) copy(ctx context.Context, n int, body io.Reader) error {
	s := f.s
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	begin := int64(n) * s.o.Slice
	end := min(begin+s.o.Slice, f.meta.Size)
	for {
		f.mu.Lock()
		at := begin + f.parts[n].have
		f.mu.Unlock()
		if at == end {
			return nil
		}
		b := (*buf)[:min(int64(len(*buf)), end-at)]
		got, err := body.Read(b)
		if got > 0 {
			if werr := f.write(b[:got], at); werr != nil {
				return werr
			}
			s.fetchedBytes.Add(int64(got))
			f.mu.Lock()
			f.parts[n].have += int64(got)
			f.announce()
			f.mu.Unlock()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF) && at+int64(got) < end:
			return fmt.Errorf("the source of %s ended at byte %d of %d: %w", f.name, at+int64(got), f.meta.Size, bijou.Unavailable)
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("the source of %s broke off (%v): %w", f.name, err, bijou.Unavailable)
		}
	}
}

func (f *fill) write(b []byte, at int64) error {
	_, err := f.temp.WriteAt(b, at)
	if err == nil {
		return nil
	}
	if f.s.makeRoom(int64(len(b)) + f.s.o.Slice) {
		if _, err = f.temp.WriteAt(b, at); err == nil {
			return nil
		}
	}
	f.s.unwell(err)
	return errPass
}

// settle notes that a slice is whole. With the last one the file is checked and kept.
func (f *fill) settle(n int) {
	f.mu.Lock()
	p := &f.parts[n]
	p.whole, p.active, p.stop = true, false, nil
	all := true
	for i := range f.parts {
		all = all && f.parts[i].whole
	}
	f.announce()
	f.mu.Unlock()
	if !all {
		return
	}
	if err := f.finish(); err != nil {
		f.s.bust.Add(1)
		f.fail(err)
	}
}

// finish checks the hash, has the file on disk, and puts it among the items.
func (f *fill) finish() error {
	s := f.s
	h := sha256.New()
	if err := hashInto(h, f.temp, f.meta.Size); err != nil {
		return s.failure("read "+f.name, err)
	}
	f.mu.Lock()
	f.meta.SHA256 = hex.EncodeToString(h.Sum(nil))
	f.mu.Unlock()
	if f.want.SHA256 != "" && f.meta.SHA256 != f.want.SHA256 {
		return f.wrong()
	}
	switch err := f.store(); {
	case errors.Is(err, bijou.NotFound):
		return err
	case err != nil:
		s.unwell(err)
		return errPass
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = true
	f.announce()
	if f.refs == 0 {
		f.temp.Close()
	}
	return nil
}

func hashInto(h hash.Hash, f *os.File, size int64) error {
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(f, 0, size), *buf)
	return err
}

// store puts the whole file into the index and into its place, and throws others out where that takes too much room. A kill in between
// leaves a line about a file that is not there, which is found out when it is asked for.
func (f *fill) store() error {
	s := f.s
	target := s.file(f.name)
	if err := errors.Join(f.temp.Sync(), os.MkdirAll(filepath.Dir(target), 0o700)); err != nil {
		return err
	}
	s.makeRoom(f.meta.Size)
	s.mu.Lock()
	a := s.asset(assetOf(f.name))
	s.mu.Unlock()
	if err := a.index.add(f.meta); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.gone {
		return errors.Join(fmt.Errorf("%s was removed: %w", f.name, bijou.NotFound), a.index.remove())
	}
	err := os.Rename(f.temp.Name(), target)
	if errors.Is(err, os.ErrNotExist) { // the last file of its folder was thrown out meanwhile
		err = errors.Join(os.MkdirAll(filepath.Dir(target), 0o700), os.Rename(f.temp.Name(), target))
	}
	if err != nil {
		return err
	}
	it := &item{line: f.meta, verifiedAt: s.o.Now()}
	if st, err := stampOf(f.temp); err == nil { // else it is checked when it is asked for
		it.stamp.Store(&st)
	}
	s.keep(a, it)
	s.fault = ""
	if s.fills[f.name] == f {
		delete(s.fills, f.name)
	}
	return nil
}

// makeRoom throws files out until size more fit under the cap, and tells whether any went.
func (s *Shelf) makeRoom(size int64) (some bool) {
	for {
		s.mu.Lock()
		var it *item
		if s.held+size > s.o.Cap {
			it = s.queue.victim()
		}
		s.mu.Unlock()
		if it == nil {
			return some
		}
		s.drop(it)
		s.evicted.Add(1)
		some = true
	}
}

// fail ends the fill. Readers get err.
func (f *fill) fail(err error) {
	s := f.s
	s.mu.Lock()
	if s.fills[f.name] == f {
		delete(s.fills, f.name)
	}
	s.unidle(f)
	s.mu.Unlock()
	if errors.Is(err, bijou.Corrupt) {
		s.lastCorrupt.Store(s.o.Now().UnixNano())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done || f.err != nil && !errors.Is(f.err, errPass) {
		return
	}
	first := f.err == nil && !f.known
	f.err = err
	for i := range f.parts {
		if p := &f.parts[i]; p.stop != nil {
			p.stop()
		}
	}
	if f.temp != nil {
		// What stays is removed at the next start.
		_ = os.Remove(f.temp.Name())
		if f.refs == 0 {
			f.temp.Close()
		}
	}
	if first {
		close(f.began)
	}
	f.announce()
}

// read reads what is there at the place, and waits where nothing is.
func (f *fill) read(ctx context.Context, b []byte, at int64) (int, error) {
	n := int(at / f.s.o.Slice)
	f.mu.Lock()
	f.parts[n].wanted++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.parts[n].wanted--
		f.mu.Unlock()
	}()
	for {
		f.mu.Lock()
		until, err, change, missing := f.readable(n), f.err, f.change, f.missing(n, at)
		f.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if until > at {
			return f.temp.ReadAt(b[:min(int64(len(b)), until-at)], at)
		}
		for _, m := range missing {
			f.start(m)
		}
		select {
		case <-change:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// readable returns the place up to which readers may read the slice. The lock is held.
func (f *fill) readable(n int) int64 {
	until := int64(n)*f.s.o.Slice + f.parts[n].have
	if f.want.SHA256 != "" && !f.done {
		until = min(until, f.meta.Size-holdBack)
	}
	return until
}

// missing returns the slices that have to be fetched before the place can be read: its own, or, where it is there and held back until the
// hash is checked, all that are not there yet. The lock is held.
func (f *fill) missing(n int, at int64) (out []int) {
	if at >= int64(n)*f.s.o.Slice+f.parts[n].have {
		return []int{n}
	}
	for i := range f.parts {
		if p := &f.parts[i]; !p.whole && !p.active {
			out = append(out, i)
		}
	}
	return out
}
