package shelf

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"bijou"
)

// errAgain says that a file was thrown out between being found and being opened.
var errAgain = errors.New("the file went meanwhile")

// patient is how often a file that went or changed meanwhile is looked for again.
const patient = 10

// Get returns the file: from disk where it is whole and its hash is right, or as it is fetched. Reads of what is not there yet wait for it until ctx
// ends. It fails with Invalid for what is no name, with NotFound where the source has none or its asset was removed, with Unavailable where the source
// does not answer, with Exhausted where too many files are waited for, and with Corrupt where the file on disk was found just now to be not what was
// stored: it is gone then and being fetched again, and whoever asks next gets it.
func (s *Shelf) Get(ctx context.Context, name string) (*File, error) {
	for range patient {
		var f *File
		var err error
		if it := s.lookup(name); it != nil {
			f, err = s.hit(ctx, it)
		} else {
			f, err = s.miss(ctx, name)
		}
		if !errors.Is(err, errAgain) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%s comes and goes too fast: give the appliance more room: %w", name, bijou.Unavailable)
}

// hit opens a file that is in the books. Its hash is computed where that was not done yet in this process, or where it looks different since.
func (s *Shelf) hit(ctx context.Context, it *item) (*File, error) {
	for range patient {
		h, now, err := s.handleOf(it)
		if err != nil {
			return nil, s.unopened(it, err)
		}
		if seen := it.seen.Load(); seen != nil && *seen == now {
			it.node.touch()
			it.asset.touch(s.o.Now().Unix())
			s.n.hits.Add(1)
			return &File{
				Name: it.name, MediaType: it.mediaType, ETag: it.etag, SHA256: it.sum.String(), Size: it.size, Modified: it.modified,
				Hit: true, From: it.from, s: s, ctx: ctx, disk: h, item: it,
			}, nil
		}
		if err := errors.Join(h.release(), s.verify(ctx, it, now)); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s is being changed by another program on the appliance's disk: stop that one: %w", it.name, bijou.Unavailable)
}

// unopened says what is to be done about a file that cannot be opened: it is asked for anew, as one that is not there.
func (s *Shelf) unopened(it *item, err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return s.failure("read "+it.name, err)
	case !errors.Is(err, fs.ErrNotExist):
		s.unwell(err)
	}
	if !it.gone.Load() {
		s.lose(it)
	}
	return errAgain
}

// check is a hash that is being computed, for all who wait for it.
type check struct {
	done chan struct{}
	err  error
}

// maxChecks bounds the hashes that are computed at once for requests: more would only read from as many places of the disk at once.
const maxChecks = 8

// verify computes the hash of a file that looked so, or waits for another that does so already. It fails with Corrupt where it is not right.
func (s *Shelf) verify(ctx context.Context, it *item, now stamp) error {
	s.checksMu.Lock()
	if seen := it.seen.Load(); seen != nil && *seen == now { // the other was quicker
		s.checksMu.Unlock()
		return nil
	}
	c := s.checks[it]
	if c == nil {
		c = &check{done: make(chan struct{})}
		s.checks[it] = c
		if !s.spawn(func() { s.runCheck(it, c) }) {
			delete(s.checks, it)
			s.checksMu.Unlock()
			return errClosed
		}
	}
	s.checksMu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Shelf) runCheck(it *item, c *check) {
	defer close(c.done)
	select {
	case s.checking <- struct{}{}:
		s.n.checked.Add(1)
		c.err = s.inspect(s.life, it, nil)
		<-s.checking
	case <-s.life.Done():
		c.err = errClosed
	}
	s.checksMu.Lock()
	defer s.checksMu.Unlock()
	delete(s.checks, it)
}

// inspect computes the hash of a file, and removes it where it is not right: then it fails with Corrupt. Pace, where given, is called before each
// buffer with the bytes read so far, and may wait.
func (s *Shelf) inspect(ctx context.Context, it *item, pace func(read int64) error) error {
	f, before, err := s.openItem(it)
	if err != nil {
		return s.unopened(it, err)
	}
	defer f.Close()
	if pace != nil {
		// Advice: where it is not taken, the hash is that of the copy in memory.
		_ = dropCache(f)
		defer func() {
			if it.node.asked.Load() == 0 {
				_ = dropCache(f) // as above: nobody asks for it, so that it need not be in memory
			}
		}()
	}
	got, err := hashOf(ctx, f, pace)
	if ctx.Err() != nil {
		return errClosed
	}
	if err == nil && got == it.sum && before.size == it.size {
		if after, err := stampOf(f); err == nil && after == before { // else it is checked when it is asked for
			it.seen.Store(&before)
			it.checked.Store(s.o.Now().UnixNano())
		}
		return nil
	}
	switch {
	case it.gone.Load():
		return errAgain
	case err != nil:
		return s.corrupted(it, fmt.Sprintf("it cannot be read: %v", err))
	case before.size != it.size:
		return s.corrupted(it, fmt.Sprintf("it has %d bytes and had %d", before.size, it.size))
	}
	return s.corrupted(it, "its hash is another")
}

// buffers are what files are copied through.
var buffers = sync.Pool{New: func() any { b := make([]byte, bufferBytes); return &b }}

func hashOf(ctx context.Context, f *os.File, pace func(read int64) error) (out sum, err error) {
	h := sha256.New()
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if pace != nil {
			if err := pace(at); err != nil {
				return out, err
			}
		}
		n, err := f.ReadAt(*buf, at)
		h.Write((*buf)[:n])
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return sum(h.Sum(nil)), nil
		}
		if err != nil {
			return out, err
		}
	}
}
