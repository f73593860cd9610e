package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"bijou"
)

// final is a failure that ends the whole fill, not only the fetch of one slice.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

// brokenOff is a failure in the middle: the source is asked once more for the rest.
type brokenOff struct{ error }

func (e brokenOff) Unwrap() error { return e.error }

// work fetches a slice, and finishes the file with the last one.
func (f *fill) work(ctx context.Context, k int) {
	s := f.s
	defer s.fetching.Add(-1)
	var err error
	select {
	case s.slots <- struct{}{}:
		if err = f.fetch(ctx, k); err == nil && f.wholeSlice(k) {
			f.finish()
		}
		<-s.slots
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.worked(ctx, k, err)
}

// wholeSlice notes that a slice is whole, and tells whether all are.
func (f *fill) wholeSlice(k int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slices[k].whole = true
	f.missing--
	f.announce()
	return f.missing == 0 && f.err == nil
}

// worked notes how the fetch of a slice ended.
func (f *fill) worked(ctx context.Context, k int, err error) {
	f.mu.Lock()
	f.slices[k].busy = false
	f.running--
	var dead error
	switch end, ok := errors.AsType[final](err); {
	case err == nil:
		if f.keep {
			f.launch(f.firstMissing())
		}
	case f.s.life.Err() != nil:
		dead = errClosed
	case ctx.Err() != nil: // stopped, since nobody read on; whoever does now begins it again
	case ok:
		dead = end.error
	case f.keep, !f.isReady, len(f.slices) == 1:
		dead = err
	default:
		f.slices[k].fails++
		f.slices[k].err = err
		f.fails++
		f.failure = err
	}
	f.announce()
	f.mu.Unlock()
	if dead != nil {
		f.fail(dead)
	}
	f.settle()
}

// fetch fetches what is missing of a slice, and goes on once from where the source broke off.
func (f *fill) fetch(ctx context.Context, k int) error {
	err := f.attempt(ctx, k)
	if _, ok := errors.AsType[brokenOff](err); ok && ctx.Err() == nil {
		err = f.attempt(ctx, k)
	}
	if b, ok := errors.AsType[brokenOff](err); ok {
		return b.error
	}
	return err
}

// attempt takes the rest of a slice from the source.
func (f *fill) attempt(ctx context.Context, k int) error {
	p := newPatience(ctx, f.s.o.Stall)
	defer p.end()
	at, length := f.rest(k)
	got, err := f.s.fetch(p, f.name, at, length)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if err := f.adopt(got); err != nil {
		return err
	}
	return f.receive(p, k, got.Body)
}

// fetch asks the source.
func (s *Shelf) fetch(p *patience, name string, at, length int64) (Fetched, error) {
	s.n.fetched.Add(1)
	got, err := s.src.Fetch(p.ctx, name, at, length)
	p.beat()
	switch kind := bijou.KindOf(err); {
	case err == nil:
		return got, nil
	case p.stalled():
		return got, brokenOff{stalled(name, p)}
	case p.ctx.Err() != nil:
		return got, p.ctx.Err()
	case kind == bijou.NotFound:
		return got, final{err}
	case kind == "":
		return got, fmt.Errorf("the source of %s does not answer (%w): %w", name, err, bijou.Unavailable)
	}
	return got, err
}

func stalled(name string, p *patience) error {
	return fmt.Errorf("the source of %s sends nothing for %s: %w", name, p.after, bijou.Unavailable)
}

// rest returns where the missing part of a slice begins and how long it is.
func (f *fill) rest(k int) (at, length int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	begin, have := int64(k)*f.s.o.Slice, f.slices[k].have
	end := begin + f.s.o.Slice
	if f.meta.size >= 0 {
		end = min(end, f.meta.size)
	}
	return begin + have, end - begin - have
}

// adopt takes note of what the first answer says of the file, and sees that later answers speak of the same one.
func (f *fill) adopt(got Fetched) error {
	f.mu.Lock()
	known := f.meta
	first := f.file == nil && !f.isReady
	f.mu.Unlock()
	m, err := metaOf(f.name, got)
	if err != nil {
		return final{err}
	}
	if !first {
		return known.same(f.name, m)
	}
	if f.want.size > 0 && m.size < 0 {
		m.size = f.want.size
	}
	if f.want.size > 0 && f.want.size != m.size || f.want.known && m.known && f.want.sum != m.sum {
		return final{f.wrong(got.From)}
	}
	if f.want.known {
		m.sum, m.known = f.want.sum, true
	}
	return f.begin(m)
}

// begin makes the file that the bytes go into. Where that is impossible, or the file would take more than half of all the room there is, it is served
// without being kept.
func (f *fill) begin(m meta) error {
	s := f.s
	room := m.size
	if room < 0 {
		room = s.o.Slice
	}
	pass := func() error {
		f.mu.Lock()
		f.meta = m
		f.mu.Unlock()
		return final{errPass}
	}
	if room > s.o.Cap/2 {
		return pass()
	}
	file, err := s.disk.create(f.temp) // before others are thrown out for it: a disk that takes nothing keeps what it has
	if isFull(err) && s.squeeze(max(room, minSqueeze)) > 0 {
		file, err = s.disk.create(f.temp)
	}
	if err != nil {
		s.unwell(err)
		return pass()
	}
	if !s.reserve(f, room) {
		file.Close() // empty, and not kept
		f.removeTemp()
		return pass()
	}
	f.mu.Lock()
	f.file = file // closed by settle
	if f.err == nil {
		f.setMeta(m)
	}
	err = f.err
	f.mu.Unlock()
	if err != nil { // it has failed meanwhile, and what fail looked for is here only now
		s.release(f)
		f.removeTemp()
		return final{err}
	}
	return nil
}

// setMeta says what is known of the file, and lets readers in where its size is. The lock is held.
func (f *fill) setMeta(m meta) {
	if m.size < 0 {
		f.meta = m
		return
	}
	f.setReady(m)
	f.unwanted()
}

// metaOf reads what the source says.
func metaOf(name string, got Fetched) (m meta, err error) {
	m = meta{size: max(got.Size, -1), mediaType: got.MediaType, etag: got.ETag, modified: got.Modified, from: got.From}
	if got.SHA256 != "" {
		if m.sum, m.known = parseSum(got.SHA256); !m.known {
			return m, fmt.Errorf("%s sends %s with hash %.80q, which is no SHA-256 in hexadecimal: %w", sourceName(got.From), name, got.SHA256, bijou.Unavailable)
		}
	}
	return m, nil
}

// same refuses an answer that speaks of another file than the first one did. Where the hash is known that tells in the end; where it is not, the entity
// tag and the time of the last change have to be the same.
func (m meta) same(name string, other meta) error {
	replaced := m.size >= 0 && other.size >= 0 && m.size != other.size ||
		m.known && other.known && m.sum != other.sum ||
		!m.known && (m.etag != other.etag || !m.modified.Equal(other.modified))
	if replaced {
		return final{fmt.Errorf("%s was replaced at its source while it was fetched: ask again: %w", name, bijou.Unavailable)}
	}
	return nil
}

// receive writes the body into the slice's place, and tells readers of each piece.
func (f *fill) receive(p *patience, k int, body io.Reader) error {
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	for empty := 0; ; {
		at, left := f.rest(k)
		if left == 0 { // an empty file
			return f.atEnd(p, at, body, nil)
		}
		n, err := body.Read((*buf)[:min(int64(len(*buf)), left)])
		p.beat()
		last := int64(n) == left
		if last { // before readers get the last bytes
			if err := f.atEnd(p, at+left, body, err); err != nil {
				return err
			}
		}
		if n > 0 {
			empty = 0
			if err := f.write(k, (*buf)[:n], at); err != nil {
				return err
			}
		} else if empty++; empty > 100 && err == nil {
			err = io.ErrNoProgress
		}
		switch {
		case last:
			return nil
		case err == nil:
		case errors.Is(err, io.EOF) && f.sizeIs(at+int64(n)):
			return nil
		case p.stalled():
			return brokenOff{stalled(f.name, p)}
		case p.ctx.Err() != nil:
			return p.ctx.Err()
		case errors.Is(err, io.EOF):
			return brokenOff{fmt.Errorf("the source of %s ended at byte %d, before its time: %w", f.name, at+int64(n), bijou.Unavailable)}
		default:
			return brokenOff{fmt.Errorf("the source of %s broke off at byte %d (%w): %w", f.name, at+int64(n), err, bijou.Unavailable)}
		}
	}
}

// sizeIs notes the size of a file that its source did not say, and tells whether that was so.
func (f *fill) sizeIs(size int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.meta.size >= 0 || f.err != nil {
		return false
	}
	m := f.meta
	m.size = size
	f.setReady(m)
	return true
}

// atEnd refuses a source that sends more than it said, where that is to be seen: at the end of the file. Err is what the last read ended with.
func (f *fill) atEnd(p *patience, at int64, body io.Reader, err error) error {
	f.mu.Lock()
	size := f.meta.size
	f.mu.Unlock()
	if size < 0 {
		return final{fmt.Errorf("the source of %s does not say how large it is, and sends %d bytes or more: have it say so (Content-Length): %w", f.name, at, bijou.Unavailable)}
	}
	if at < size || err != nil {
		return nil // whatever it is, all bytes are there
	}
	var one [1]byte
	for range 100 {
		n, err := body.Read(one[:])
		p.beat()
		if n > 0 {
			return final{fmt.Errorf("the source of %s said that it has %d bytes, and sends more: %w", f.name, size, bijou.Unavailable)}
		}
		if err != nil {
			return nil // as above
		}
	}
	return nil
}

// minSqueeze is the least that is thrown out at once when the disk is full, in bytes.
const minSqueeze = 1 << 20

// write puts bytes in their place. Where the disk is full other files go, though never more than twice what this one takes: then it is somebody else
// who fills it.
func (f *fill) write(k int, b []byte, at int64) error {
	s := f.s
	f.mu.Lock()
	file, err := f.handle()
	size := max(f.meta.size, s.o.Slice)
	f.mu.Unlock()
	for done := 0; err == nil && done < len(b); {
		var n int
		n, err = s.disk.write(file, b[done:], at+int64(done))
		done += n
		if isFull(err) && f.squeezed.Load() < 2*size+minSqueeze {
			if freed := s.squeeze(max(int64(len(b)), minSqueeze)); freed > 0 {
				f.squeezed.Add(freed)
				err = nil
			}
		}
	}
	if err != nil {
		s.unwell(err)
		return final{errPass} // fail removes what was written
	}
	s.n.fetchedBytes.Add(int64(len(b)))
	f.hashing.Lock()
	if at == f.hashed {
		f.hash.Write(b)
		f.hashed += int64(len(b))
	}
	f.hashing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slices[k].have += int64(len(b))
	f.announce()
	return f.errFinal()
}

// errFinal returns why the fill has failed, if it has. The lock is held.
func (f *fill) errFinal() error {
	if f.err != nil {
		return final{f.err}
	}
	return nil
}

// sum returns the hash of the file that is whole: what was not hashed as it came is read from disk.
func (f *fill) sum() (sum, error) {
	f.mu.Lock()
	file, err := f.handle()
	size := f.meta.size
	f.mu.Unlock()
	if err != nil {
		return sum{}, err
	}
	f.hashing.Lock()
	defer f.hashing.Unlock()
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{f.hash}, io.NewSectionReader(file, f.hashed, size-f.hashed), *buf)
	return sum(f.hash.Sum(nil)), err
}

// patience is a context that ends when nothing comes for a while.
type patience struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	after  time.Duration
}

var errStalled = errors.New("nothing came")

func newPatience(ctx context.Context, after time.Duration) *patience {
	p := &patience{after: after}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.timer = time.AfterFunc(after, func() { p.cancel(errStalled) })
	return p
}

// beat notes that something came.
func (p *patience) beat() { p.timer.Reset(p.after) }

func (p *patience) stalled() bool { return errors.Is(context.Cause(p.ctx), errStalled) }

func (p *patience) end() {
	p.timer.Stop()
	p.cancel(nil)
}
