package shelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"bijou"

	"pgregory.net/rapid"
)

// span is a part of a file: what a reader asks for.
type span struct{ from, to int64 }

// drawSpan draws a part of the file, often with its ends at the edges of slices or of what is held back.
func drawSpan(r *rapid.T, size, slice int64) span {
	place := rapid.Custom(func(r *rapid.T) int64 {
		at := rapid.Int64Range(0, size).Draw(r, "place")
		switch rapid.IntRange(0, 3).Draw(r, "kind") {
		case 0:
			at = at/slice*slice + rapid.Int64Range(-1, 1).Draw(r, "beside the edge")
		case 1:
			at = size - holdBack + rapid.Int64Range(-1, 1).Draw(r, "beside what is held back")
		case 2:
			at = size - rapid.Int64Range(0, 1).Draw(r, "before the end")
		}
		return min(max(at, 0), size)
	})
	a, z := place.Draw(r, "a"), place.Draw(r, "z")
	return span{min(a, z), max(a, z)}
}

// trouble is a source that fails in the ways drawn, and then works.
type trouble struct {
	mu   sync.Mutex
	left []int // the fetches to come: below 0 it is away, from 0 on it breaks off after so many bytes
}

func (d *trouble) spoil(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.left) == 0 {
		return got, nil
	}
	at := d.left[0]
	d.left = d.left[1:]
	if at < 0 {
		return Fetched{}, fmt.Errorf("away: %w", bijou.Unavailable)
	}
	got.Body = io.NopCloser(io.MultiReader(io.LimitReader(got.Body, int64(at)), iotest.ErrReader(errors.New("reset"))))
	return got, nil
}

// Whatever the sizes, places, order and troubles: what a reader gets is the file's own bytes or an error.
func TestReadersGetTheTrueBytesOrAnError(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		slice := rapid.Int64Range(100, 5000).Draw(r, "slice")
		size := rapid.Int64Range(0, 30_000).Draw(r, "size")
		limit := rapid.Int64Range(20_000, 200_000).Draw(r, "cap")
		x := newShelf(t, func(o *Options) { o.Slice, o.Cap, o.Fills = slice, limit, rapid.IntRange(1, 4).Draw(r, "fills") })
		defer x.close(t)
		b := x.origin.put("ast_a/1", int(size))
		known := rapid.Bool().Draw(r, "known")
		if known {
			if err := x.Expect("ast_a", "ttl_a", map[string]Expected{"ast_a/1": {size, sumOf(b)}}); err != nil {
				r.Fatal(err)
			}
		}
		d := &trouble{left: rapid.SliceOfN(rapid.IntRange(-1, 6000), 0, 6).Draw(r, "troubles")}
		x.origin.spoil(d.spoil)
		full := rapid.Bool().Draw(r, "the disk becomes full")
		if full {
			x.failing(syscall.ENOSPC, rapid.Int64Range(0, 30_000).Draw(r, "after"))
		}
		readers := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) []span {
			return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) span { return drawSpan(r, size, slice) }), 1, 3).Draw(r, "spans")
		}), 1, 6).Draw(r, "readers")
		calm := len(d.left) == 0 && !full && size <= limit/2
		var wg sync.WaitGroup
		for _, spans := range readers {
			wg.Go(func() { readSpans(r, x, b, spans, calm) })
		}
		wg.Wait()
		x.settled()
		if sent := x.origin.sentBytes(); calm && sent > size {
			r.Errorf("the source sent %d bytes of a file of %d", sent, size)
		}
		x.sound(r)
	})
}

// readSpans reads parts of the file as one reader.
func readSpans(r *rapid.T, x *fixture, b []byte, spans []span, calm bool) {
	f, err := x.Get(context.Background(), "ast_a/1")
	if err != nil {
		if calm {
			r.Errorf("get: %v", err)
		}
		return
	}
	defer f.Close()
	if f.Size != int64(len(b)) {
		r.Errorf("size %d, want %d", f.Size, len(b))
	}
	for _, sp := range spans {
		if _, err := f.Seek(sp.from, io.SeekStart); err != nil {
			r.Errorf("seek: %v", err)
		}
		got := make([]byte, sp.to-sp.from)
		n, err := io.ReadFull(f, got)
		if !bytes.Equal(got[:n], b[sp.from:sp.from+int64(n)]) || err == nil && int64(n) != sp.to-sp.from || calm && err != nil {
			r.Errorf("%v: got %d bytes, right %v, and error %v", sp, n, bytes.Equal(got[:n], b[sp.from:sp.from+int64(n)]), err)
		}
	}
}

// Everything at once: readers, removals, files that rot, expectations, a source that comes and goes, and too little room.
func TestUnderEverythingAtOnceBytesAreTrueAndTheBooksAreRight(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap, o.Slice, o.Fills = 300_000, 20_000, 4 })
	const assets, files = 4, 12
	truths := map[string][]byte{}
	for a := range assets {
		want := map[string]Expected{}
		for i := range files {
			name := fmt.Sprintf("ast_%d/%d", a, i)
			truths[name] = x.origin.put(name, 1000+i*5000)
			want[name] = Expected{int64(len(truths[name])), sumOf(truths[name])}
		}
		if a%2 == 0 {
			if err := x.Expect(bijou.AssetID(fmt.Sprintf("ast_%d", a)), "", want); err != nil {
				t.Fatal(err)
			}
		}
	}
	x.origin.spoil(func(_ context.Context, _ string, _ int64, got Fetched) (Fetched, error) {
		switch rand.IntN(20) {
		case 0:
			return Fetched{}, fmt.Errorf("away: %w", bijou.Unavailable)
		case 1, 2:
			got.Body = io.NopCloser(io.MultiReader(io.LimitReader(got.Body, rand.Int64N(20_000)), iotest.ErrReader(errors.New("reset"))))
		}
		return got, nil
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				name := fmt.Sprintf("ast_%d/%d", rand.IntN(assets), min(rand.IntN(files), rand.IntN(files)))
				readSome(t, x, name, truths[name])
			}
		})
	}
	wg.Go(func() {
		for range 30 {
			id := bijou.AssetID(fmt.Sprintf("ast_%d", 2+rand.IntN(2)))
			if err := x.Remove(id); err != nil {
				t.Error(err)
			}
			x.Restore(id)
			name := fmt.Sprintf("ast_%d/%d", rand.IntN(assets), rand.IntN(files))
			if err := os.Truncate(x.Path(name), rand.Int64N(1000)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
			x.Holdings()
			x.Stats()
		}
	})
	wg.Wait()
	x.sound(t)
	x.reopen(t)
	x.sound(t)
	t.Logf("%+v", x.Stats())
}

func readSome(t *testing.T, x *fixture, name string, want []byte) {
	f, err := x.Get(t.Context(), name)
	if err != nil {
		return
	}
	defer f.Close()
	from := rand.Int64N(int64(len(want)))
	if rand.IntN(2) == 0 {
		from = 0
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		t.Error(err)
	}
	got, err := io.ReadAll(io.LimitReader(f, 1+rand.Int64N(2*int64(len(want)))))
	if !bytes.Equal(got, want[from:from+int64(len(got))]) {
		t.Errorf("%s from %d: got %d bytes of which some are wrong (hit %v), and %v", name, from, len(got), f.Hit, err)
	}
}
