package through

import (
	"context"
	"io"

	"bijou"
)

// LogStore is a bijou.LogStore whose calls are made by By.
type LogStore On[bijou.LogStore]

// Append implements bijou.LogStore.
func (w LogStore) Append(ctx context.Context, topic string, partition int, records []bijou.Record) (int64, error) {
	return ask(ctx, w.By, Method{"LogStore", "Append", Once}, func(ctx context.Context) (int64, error) { return w.Store.Append(ctx, topic, partition, records) })
}

// Read implements bijou.LogStore.
func (w LogStore) Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]bijou.Record, error) {
	return ask(ctx, w.By, Method{"LogStore", "Read", Again | Waits}, func(ctx context.Context) ([]bijou.Record, error) {
		return w.Store.Read(ctx, topic, partition, from, limit)
	})
}

// Commit implements bijou.LogStore.
func (w LogStore) Commit(ctx context.Context, group, topic string, partition int, next int64) error {
	return w.By(ctx, Method{"LogStore", "Commit", Again}, func(ctx context.Context) error { return w.Store.Commit(ctx, group, topic, partition, next) })
}

// Committed implements bijou.LogStore.
func (w LogStore) Committed(ctx context.Context, group, topic string, partition int) (int64, error) {
	return ask(ctx, w.By, Method{"LogStore", "Committed", Again}, func(ctx context.Context) (int64, error) { return w.Store.Committed(ctx, group, topic, partition) })
}

// Partitions implements bijou.LogStore.
func (w LogStore) Partitions(ctx context.Context, topic string) (int, error) {
	return ask(ctx, w.By, Method{"LogStore", "Partitions", Again}, func(ctx context.Context) (int, error) { return w.Store.Partitions(ctx, topic) })
}

// BlobStore is a bijou.BlobStore whose calls are made by By.
type BlobStore On[bijou.BlobStore]

// local is what a store can tell whose blobs are files of this machine.
type local interface {
	Path(key string) (string, error)
}

// Blobs returns the store with its calls made by by. One whose blobs are files of this machine still tells where they lie, so that nobody copies them.
func Blobs(s bijou.BlobStore, by By) bijou.BlobStore {
	w := BlobStore{s, by}
	if l, ok := s.(local); ok {
		return struct {
			BlobStore
			local
		}{w, l}
	}
	return w
}

// Put implements bijou.BlobStore.
func (w BlobStore) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	return ask(ctx, w.By, Method{"BlobStore", "Put", Long}, func(ctx context.Context) (bijou.Blob, error) { return w.Store.Put(ctx, key, r) })
}

// Get implements bijou.BlobStore.
func (w BlobStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	var open io.ReadCloser // what a call brought: it is closed where that is not what is answered
	body, blob, err := ask2(ctx, w.By, Method{"BlobStore", "Get", Again | Long}, func(ctx context.Context) (body io.ReadCloser, b bijou.Blob, err error) {
		drop(open)
		body, b, err = w.Store.Get(ctx, key, offset, length)
		open = body
		return body, b, err
	})
	if err != nil {
		drop(open)
	}
	return body, blob, err
}

// drop closes what nobody will read.
func drop(r io.Closer) {
	if r != nil {
		_ = r.Close() // nothing was written
	}
}

// Stat implements bijou.BlobStore.
func (w BlobStore) Stat(ctx context.Context, key string) (bijou.Blob, error) {
	return ask(ctx, w.By, Method{"BlobStore", "Stat", Again}, func(ctx context.Context) (bijou.Blob, error) { return w.Store.Stat(ctx, key) })
}

// List implements bijou.BlobStore.
func (w BlobStore) List(ctx context.Context, prefix, after string, limit int) ([]bijou.Blob, error) {
	return ask(ctx, w.By, Method{"BlobStore", "List", Again}, func(ctx context.Context) ([]bijou.Blob, error) { return w.Store.List(ctx, prefix, after, limit) })
}

// Delete implements bijou.BlobStore.
func (w BlobStore) Delete(ctx context.Context, key string) error {
	return w.By(ctx, Method{"BlobStore", "Delete", Again}, func(ctx context.Context) error { return w.Store.Delete(ctx, key) })
}
