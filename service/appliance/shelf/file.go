package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"bijou"
)

// File is a file of the shelf, open for reading from any place. It is used by one goroutine.
type File struct {
	line
	Hit       bool   // it was on disk, whole
	Collapsed bool   // it was being fetched for another reader
	From      string // who sends it, where it was not on disk

	disk *os.File // a hit
	item *item
	fill *fill // being fetched
	ctx  context.Context
	pass *passage // served without being kept
	at   int64
}

// OnDisk returns the file itself where it is whole and was checked, so that the system can send it without a copy. Its position is the
// caller's to use; Close closes it.
func (f *File) OnDisk() (*os.File, bool) {
	if f.disk == nil || f.item.cut.Load() {
		return nil, false
	}
	return f.disk, true
}

// Read reads from where the last Read or Seek ended. Of a file that is being fetched it waits for the bytes.
func (f *File) Read(b []byte) (n int, err error) {
	switch {
	case f.at >= f.Size:
		return 0, io.EOF
	case f.disk != nil && f.item.cut.Load():
		return 0, fmt.Errorf("%s was removed: %w", f.Name, bijou.NotFound)
	case f.disk != nil:
		n, err = f.disk.ReadAt(b[:min(int64(len(b)), f.Size-f.at)], f.at)
	case f.fill != nil:
		n, err = f.fill.read(f.ctx, b, f.at)
		if errors.Is(err, errPass) {
			f.fill.leave()
			f.fill, f.pass = nil, f.fill.s.passage(f.ctx, f.Name)
			return f.Read(b)
		}
	default:
		n, err = f.pass.read(b, f.at)
	}
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in %s before its beginning: %w", f.Name, bijou.Invalid)
	}
	f.at = offset
	return offset, nil
}

// Close lets go of the file.
func (f *File) Close() error {
	switch {
	case f.disk != nil:
		return f.disk.Close()
	case f.fill != nil:
		f.fill.leave()
	case f.pass != nil:
		f.pass.close()
	}
	return nil
}

// passage is a file that is served from its source without being kept.
type passage struct {
	s    *Shelf
	ctx  context.Context
	name string
	body io.ReadCloser
	at   int64
}

func (s *Shelf) passage(ctx context.Context, name string) *passage {
	s.passed.Add(1)
	return &passage{s: s, ctx: ctx, name: name}
}

func (p *passage) read(b []byte, at int64) (int, error) {
	if p.body == nil || at != p.at {
		p.close()
		got, err := p.s.src.Fetch(p.ctx, p.name, at, -1)
		if err != nil {
			return 0, err
		}
		p.body, p.at = got.Body, at
	}
	n, err := p.body.Read(b)
	p.at += int64(n)
	p.s.fetchedBytes.Add(int64(n))
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%s ended early at byte %d: %w", p.name, at, bijou.Unavailable)
	}
	return n, err
}

func (p *passage) close() {
	if p.body != nil {
		p.body.Close()
		p.body = nil
	}
}
