package contract

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"bijou"
	"bijou/test/harness"

	"github.com/anishathalye/porcupine"
)

// BlobKeeper is what a history of blobs asks of a store.
type BlobKeeper interface {
	Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error)
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error)
	Delete(ctx context.Context, key string) error
}

// BlobHistory checks that who reads a blob while the store is broken reads one Put's bytes, whole, and that puts, reads and removals of a key are
// linearizable. open is as in AccountHistory.
func BlobHistory(t *testing.T, h History, open func(t *testing.T) BlobKeeper) {
	t.Helper()
	blobHistory(t, h, open).report()
}

func blobHistory(t *testing.T, h History, open func(t *testing.T) BlobKeeper) *history {
	t.Helper()
	g := &blobGame{}
	for range h.withDefaults().Clients {
		g.stores = append(g.stores, open(t))
	}
	p := play(t, h, harness.Seed(t), g.next)
	p.linearizable("blob", blobModel, func(in any) string { return in.(blobCall).Key }, func(op porcupine.Operation) string {
		return fmt.Sprintf("%+v: %+v", op.Input, op.Output)
	})
	return p
}

// blobCall is what a client asked; blobAnswer what it was told.
type blobCall struct {
	Name, Key string
	N         int64 // of the content that is put
}

type blobAnswer struct {
	outcome
	N int64 // of the content that is there; 0 where there is none
}

var blobModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		there, in, got := state.(int64), input.(blobCall), output.(blobAnswer)
		switch in.Name {
		case "put":
			return true, in.N
		case "delete":
			return true, int64(0)
		}
		return got.N == there && (got.Kind == bijou.NotFound) == (there == 0), there
	},
}

// blobContent is what the nth put writes: it tells which it is throughout, and its length.
func blobContent(n int64) string {
	line := fmt.Sprintf("line of content %d\n", n)
	return strings.Repeat(line, int(1+(n*7919)%9000))
}

type blobGame struct {
	stores []BlobKeeper
	count  atomic.Int64
}

func (g *blobGame) next(c *client) {
	in := blobCall{Key: fmt.Sprint("assets/ast_", c.random.IntN(4))}
	if in.Name = choose(c.random, "put", 3, "get", 5, "delete", 1); in.Name == "put" {
		in.N = g.count.Add(1)
	}
	if g.do(c, in).Unknown {
		for !c.over.Load() && g.do(c, blobCall{Name: "get", Key: in.Key}).Unknown {
		}
	}
}

func (g *blobGame) do(c *client, in blobCall) outcome {
	var out blobAnswer
	o, begun, ended := c.call(in.Name+" "+in.Key, func(ctx context.Context) (err error) {
		switch in.Name {
		case "put":
			_, err = g.stores[c.id].Put(ctx, in.Key, strings.NewReader(blobContent(in.N)))
		case "delete":
			err = g.stores[c.id].Delete(ctx, in.Key)
		default:
			out.N, err = g.get(ctx, c, in.Key)
		}
		return err
	})
	out.outcome = o
	switch {
	case o.Unknown && in.Name == "get":
	case o.Unknown:
		c.record(begun, never, in, out)
	case o.Kind == bijou.Exhausted:
	case o.Kind != "" && (in.Name != "get" || o.Kind != bijou.NotFound):
		c.wrong("%s: got an error of kind %q, want none", in.Name, o.Kind)
	default:
		c.record(begun, ended, in, out)
	}
	return o
}

// get reads a blob whole, and tells which content it is.
func (g *blobGame) get(ctx context.Context, c *client, key string) (n int64, err error) {
	r, b, err := g.stores[c.id].Get(ctx, key, 0, -1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(string(content[:min(len(content), 100)]), "line of content %d\n", &n); err != nil || string(content) != blobContent(n) || b.Size != int64(len(content)) {
		c.wrong("get %s: got %d bytes that begin with %.40q, of a blob of %d bytes: no put wrote them", key, len(content), content, b.Size)
	}
	return n, nil
}
