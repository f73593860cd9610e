package shelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
)

// endless is a source that has every file, of a size that its name tells.
type endless struct{ down atomic.Bool }

func sizeOf(name string) int { return int(truth(name, 2)[0])*500 + int(truth(name, 2)[1]) }

func (e *endless) Fetch(_ context.Context, name string, offset, length int64) (Fetched, error) {
	if e.down.Load() {
		return Fetched{}, fmt.Errorf("the source is down: %w", bijou.Unavailable)
	}
	b := truth(name, sizeOf(name))
	part := b[offset:]
	if length >= 0 {
		part = part[:min(length, int64(len(part)))]
	}
	return Fetched{Body: io.NopCloser(bytes.NewReader(part)), Size: int64(len(b)), From: "origin"}, nil
}

func TestAfterAKillEveryFileIsThereWholeOrNotAtAll(t *testing.T) {
	options := func(dir string) Options {
		return Options{Dir: dir, Cap: 2 << 20, Slice: 40_000, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	}
	contract.Kill(t, 6, func(t *testing.T, dir string, ack func(string)) {
		s, err := Open(options(dir), &endless{})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now().UnixNano()
		for w := range 4 {
			go func() {
				for n := 0; ; n++ {
					name := fmt.Sprintf("ast_%d/%d", n%7, begin%1000+int64(w*1000+n))
					if err := readThrough(s, name); err != nil && !errors.Is(err, bijou.NotFound) { // it was being removed
						panic(err)
					}
					if n%50 == 49 {
						if err := s.Remove("ast_6"); err != nil {
							panic(err)
						}
						s.Restore("ast_6")
					}
					ack(name)
				}
			}()
		}
		select {}
	}, checkKilled(options))
}

func readThrough(s *Shelf, name string) error {
	f, err := s.Get(context.Background(), name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

func checkKilled(options func(string) Options) func(t *testing.T, dir string, acked []string) {
	return func(t *testing.T, dir string, acked []string) {
		x := &fixture{dir: dir, o: options(dir), origin: newOrigin()}
		src := &endless{}
		src.down.Store(true)
		s, err := Open(x.o, src)
		if err != nil {
			t.Fatal(err)
		}
		x.Shelf = s
		defer x.close(t)
		x.sound(t)
		held := 0
		for i := range s.shards {
			for name := range s.shards[i].items {
				held++
				x.want(t, name, truth(name, sizeOf(name)), true)
			}
		}
		t.Logf("%d files read before the kill, %d held after it", len(acked), held)
		if held == 0 && len(acked) > 40 { // a file is read to its end a moment before it is kept
			t.Error("nothing is held")
		}
		if st := x.Stats(); st.Corrupt != 0 || st.Lost != 0 {
			t.Errorf("got %+v, want nothing corrupt and nothing missing", st)
		}
	}
}
