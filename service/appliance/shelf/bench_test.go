package shelf

import (
	"context"
	"fmt"
	"io"
	"testing"
)

// One file that everybody asks for: what a hit costs, opening it included.
func BenchmarkHit(b *testing.B) {
	x := newShelf(b)
	x.filled(b, "ast_a/v1/1.m4s", 200_000)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			f, err := x.Get(context.Background(), "ast_a/v1/1.m4s")
			if err != nil || x.Known("ast_a") { // what the service asks with each request
				b.Fatal(err)
			}
			f.Close()
		}
	})
}

// What of that the system takes for opening, looking at, and closing the file.
func BenchmarkOpenAlone(b *testing.B) {
	x := newShelf(b)
	x.filled(b, "ast_a/v1/1.m4s", 200_000)
	it := x.lookup("ast_a/v1/1.m4s")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			f, _, err := x.openItem(it)
			if err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
}

// Files that are fetched, kept, and thrown out again.
func BenchmarkMiss(b *testing.B) {
	const size = 1 << 20
	x := newShelf(b, func(o *Options) { o.Cap = 64 << 20 })
	data := truth("film", size)
	b.SetBytes(size)
	b.ReportAllocs()
	for i := range b.N {
		name := fmt.Sprintf("ast_a/%d", i)
		x.origin.mu.Lock()
		clear(x.origin.files)
		x.origin.files[name] = data
		x.origin.mu.Unlock()
		f, err := x.Get(context.Background(), name)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, f); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	x.settled()
}
