package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"bijou"
)

// File is a file of the shelf, open for reading from any place. It is used by one goroutine at a time, and reads end with the context that Get was given.
type File struct {
	Name            string
	MediaType, ETag string // as the source said
	SHA256          string // in hexadecimal; empty where it is not known before the file is whole
	Size            int64  // in bytes
	Modified        time.Time
	Hit             bool   // it was on disk, whole
	Collapsed       bool   // it was being fetched for another reader
	From            string // who sent it

	s    *Shelf
	ctx  context.Context
	disk *handle  // where it is whole and checked
	own  *os.File // what OnDisk gave out
	item *item    // of disk
	fill *fill    // being fetched
	pass *passage // served without being kept
	at   int64
	in   place
	done bool // closed
}

// OnDisk returns the file itself where it is whole and its hash is right, so that the system can send it without a copy. Its position is the caller's to
// use; Close closes it. When its asset is removed, or the file is found corrupt, it is cut to nothing: what sends it then finds its end too early.
func (f *File) OnDisk() (*os.File, bool) {
	if _, ok := f.Shared(); !ok {
		return nil, false
	}
	if f.own == nil {
		file, now, err := f.s.openItem(f.item)
		if err != nil {
			return nil, false // it is read as it is open already
		}
		if seen := f.item.seen.Load(); seen == nil || *seen != now {
			file.Close()
			return nil, false
		}
		f.own = file
	}
	return f.own, true
}

// Shared is OnDisk for who needs no position: several readers have the same file, which has one.
func (f *File) Shared() (*os.File, bool) {
	if f.disk == nil && f.fill != nil && !f.done {
		f.adoptWhole()
	}
	if f.disk == nil || f.item.cut.Load() || f.done {
		return nil, false
	}
	return f.disk.file, true
}

// adoptWhole opens the file itself once its fill has ended well.
func (f *File) adoptWhole() {
	f.fill.mu.Lock()
	it := f.fill.item
	f.fill.mu.Unlock()
	if it == nil || it.gone.Load() {
		return
	}
	h, now, err := f.s.handleOf(it)
	if err != nil {
		return // it is read by way of the fill
	}
	if seen := it.seen.Load(); seen == nil || *seen != now {
		_ = h.release() // it was read alone
		return
	}
	f.disk, f.item = h, it
}

// Read implements io.Reader: from where the last Read or Seek ended. Of a file that is being fetched it waits for the bytes. It fails with NotFound when
// the file's asset is removed meanwhile, with Corrupt where its end is not given out because its hash is wrong, and with Unavailable where the source
// does not send it; what was read until then is right, or of a file that never becomes whole.
func (f *File) Read(b []byte) (int, error) {
	n, err := f.readSome(b, f.at)
	f.at += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt, apart from that it may not be called by several at a time.
func (f *File) ReadAt(b []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, fmt.Errorf("read %s before its beginning: %w", f.Name, bijou.Invalid)
	}
	for n < len(b) && err == nil {
		var m int
		m, err = f.readSome(b[n:], at+int64(n))
		n += m
	}
	return n, err
}

// readSome reads at least one byte, or fails.
func (f *File) readSome(b []byte, at int64) (int, error) {
	switch {
	case f.done:
		return 0, os.ErrClosed
	case at >= f.Size:
		return 0, io.EOF
	case len(b) == 0:
		return 0, nil
	}
	b = b[:min(int64(len(b)), f.Size-at)]
	for {
		switch {
		case f.disk != nil:
			return f.readDisk(f.disk.file, f.item, b, at)
		case f.pass != nil:
			return f.pass.read(b, at)
		}
		file, n, err := f.fill.await(f.ctx, at, &f.in)
		if errors.Is(err, errPass) {
			f.passOn()
			continue
		}
		if err != nil {
			return 0, err
		}
		f.fill.mu.Lock()
		it := f.fill.item
		f.fill.mu.Unlock()
		return f.readDisk(file, it, b[:min(int64(len(b)), n)], at)
	}
}

// readDisk reads from the file on disk. It may have been cut off meanwhile.
func (f *File) readDisk(file *os.File, it *item, b []byte, at int64) (int, error) {
	if it != nil && it.cut.Load() {
		return 0, f.cutOff()
	}
	n, err := file.ReadAt(b, at)
	switch {
	case n > 0:
		return n, nil // what is wrong is wrong at the next read too
	case it != nil && it.cut.Load():
		return 0, f.cutOff()
	case errors.Is(err, io.EOF):
		return 0, fmt.Errorf("%s became shorter on the appliance's disk: %w", f.Name, bijou.Unavailable)
	}
	return 0, f.s.failure("read "+f.Name, err)
}

func (f *File) cutOff() error {
	return fmt.Errorf("%s was removed while it was read: %w", f.Name, bijou.NotFound)
}

// passOn goes on from the source, since the file is not kept.
func (f *File) passOn() {
	f.fill.mu.Lock()
	m := f.fill.meta
	f.fill.mu.Unlock()
	f.fill.leave()
	f.fill, f.pass = nil, f.s.newPassage(f.ctx, f.Name, m)
}

// Seek implements io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.Size
	default:
		return 0, fmt.Errorf("seek in %s from %d, which is no place: %w", f.Name, whence, bijou.Invalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in %s before its beginning: %w", f.Name, bijou.Invalid)
	}
	f.at = offset
	return offset, nil
}

// Close lets go of the file. Closed again it does nothing.
func (f *File) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	var err error
	if f.disk != nil {
		err = f.disk.release()
	}
	if f.own != nil {
		err = errors.Join(err, f.own.Close())
	}
	if f.fill != nil {
		f.fill.leave()
	}
	if f.pass != nil {
		f.pass.close()
	}
	return err
}
