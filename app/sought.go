package app

import (
	"context"
	"fmt"
	"io"

	"bijou"
)

// sought is a blob that does not lie on this machine, as net/http wants it to find ranges in: what is read after a change of place is asked for anew.
type sought struct {
	ctx   context.Context
	blobs bijou.BlobStore
	blob  bijou.Blob
	at    int64         // where the next byte is read
	body  io.ReadCloser // nil where nothing is asked for yet
	from  int64         // where the body's next byte lies
}

// Seek implements io.Seeker.
func (s *sought) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.blob.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("read blob %s from byte %d: say 0 or more: %w", s.blob.Key, offset, bijou.Invalid)
	}
	s.at = offset
	return offset, nil
}

// Read implements io.Reader.
func (s *sought) Read(p []byte) (int, error) {
	if s.at >= s.blob.Size {
		return 0, io.EOF
	}
	if s.body == nil || s.from != s.at {
		s.Close()
		body, _, err := s.blobs.Get(s.ctx, s.blob.Key, s.at, -1)
		if err != nil {
			return 0, err
		}
		s.body, s.from = body, s.at
	}
	n, err := s.body.Read(p)
	s.at += int64(n)
	s.from += int64(n)
	return n, err
}

// Close implements io.Closer.
func (s *sought) Close() error {
	if s.body == nil {
		return nil
	}
	err := s.body.Close()
	s.body = nil
	return err
}
