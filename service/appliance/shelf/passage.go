package shelf

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"bijou"
)

// passage is a file that is served from its source without being kept. Where its hash is known its end is held back all the same until that was found
// right: a reader that came from the beginning has hashed it by then, for any other the file is fetched once more to be hashed.
type passage struct {
	s    *Shelf
	ctx  context.Context
	name string
	meta meta

	body   io.ReadCloser
	p      *patience
	at     int64 // of body
	until  int64 // what was asked for
	broke  int64 // where it broke off last, so that it is tried once at each place; -1 for never
	hash   hash.Hash
	hashed int64
	tail   []byte // the end, once the hash was found right
}

func (s *Shelf) newPassage(ctx context.Context, name string, m meta) *passage {
	s.n.passed.Add(1)
	return &passage{s: s, ctx: ctx, name: name, meta: m, broke: -1, hash: sha256.New()}
}

// limit is up to where bytes are given out as they come.
func (p *passage) limit() int64 {
	if p.meta.known {
		return max(p.meta.size-holdBack, 0)
	}
	return p.meta.size
}

// read reads some bytes from the place on, which is within the file.
func (p *passage) read(b []byte, at int64) (int, error) {
	limit := p.limit()
	if at >= limit {
		if p.tail == nil {
			if err := p.fetchTail(); err != nil {
				return 0, err
			}
		}
		return copy(b, p.tail[at-limit:]), nil
	}
	return p.stream(b[:min(int64(len(b)), limit-at)], at)
}

// stream reads some bytes from the source, which is asked again once where it breaks off.
func (p *passage) stream(b []byte, at int64) (int, error) {
	for {
		n, err := p.receive(b, at)
		if n > 0 {
			if at == p.hashed && p.meta.known {
				p.hash.Write(b[:n])
				p.hashed += int64(n)
			}
			return n, nil
		}
		p.close()
		cut, ok := errors.AsType[brokenOff](err)
		if !ok || p.broke == at {
			if ok {
				err = cut.error
			}
			if end, ok := errors.AsType[final](err); ok {
				err = end.error
			}
			return 0, err
		}
		p.broke = at
	}
}

// receive reads some bytes of the answer that is open, or of a new one.
func (p *passage) receive(b []byte, at int64) (int, error) {
	if p.body == nil || at != p.at || at == p.until {
		p.close()
		patience := newPatience(p.ctx, p.s.o.Stall)
		length := min(p.s.o.Slice, p.meta.size-at)
		got, err := p.s.fetch(patience, p.name, at, length)
		if err != nil {
			patience.end()
			return 0, err
		}
		p.body, p.p, p.at, p.until = got.Body, patience, at, at+length
		m, err := metaOf(p.name, got)
		if err == nil {
			err = p.meta.same(p.name, m)
		}
		if err != nil {
			return 0, err
		}
	}
	p.p.beat()
	n, err := p.body.Read(b[:min(int64(len(b)), p.until-at)])
	p.p.timer.Stop() // the reader may be slow
	p.at += int64(n)
	p.s.n.fetchedBytes.Add(int64(n))
	switch {
	case n > 0:
		return n, nil
	case p.p.stalled():
		return 0, brokenOff{stalled(p.name, p.p)}
	case p.ctx.Err() != nil:
		return 0, p.ctx.Err()
	case errors.Is(err, io.EOF):
		return 0, brokenOff{fmt.Errorf("the source of %s ended at byte %d, before its time: %w", p.name, at, bijou.Unavailable)}
	case err != nil:
		return 0, brokenOff{fmt.Errorf("the source of %s broke off at byte %d (%w): %w", p.name, at, err, bijou.Unavailable)}
	}
	return 0, brokenOff{fmt.Errorf("the source of %s sends nothing at byte %d: %w", p.name, at, bijou.Unavailable)}
}

// fetchTail gets the end of the file, and the beginning as far as it was not read, and sees that the hash is right.
func (p *passage) fetchTail() error {
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	limit := p.limit()
	for p.hashed < limit {
		if _, err := p.stream((*buf)[:min(int64(len(*buf)), limit-p.hashed)], p.hashed); err != nil {
			return err
		}
	}
	tail := make([]byte, 0, p.meta.size-limit)
	for at := limit; at < p.meta.size; at = limit + int64(len(tail)) {
		n, err := p.stream(tail[len(tail):cap(tail)], at)
		if err != nil {
			return err
		}
		tail = tail[:len(tail)+n]
	}
	if sum(p.hash.Sum(nil)) != p.meta.sum {
		p.s.n.wrong.Add(1)
		return fmt.Errorf("%s as %s sends it is not what its asset says: %w", p.name, sourceName(p.meta.from), bijou.Corrupt)
	}
	p.tail = tail
	return nil
}

func (p *passage) close() {
	if p.body != nil {
		p.body.Close()
		p.body = nil
		p.p.end()
	}
}
