package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/engine/directory"
)

// far is a store whose blobs are no files of this machine.
type far struct {
	bijou.BlobStore
	gets int
}

func (f *far) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	f.gets++
	r, b, err := f.BlobStore.Get(ctx, key, offset, length)
	return struct{ io.ReadCloser }{r}, b, err
}

func TestRangesOfABlobThatLiesElsewhereAreServed(t *testing.T) {
	near, err := directory.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if _, err := near.Put(t.Context(), "k", strings.NewReader("0123456789")); err != nil {
		t.Fatal(err)
	}
	for ranges, want := range map[string]struct {
		body string
		gets int
	}{
		"": {"0123456789", 1}, "bytes=0-3": {"0123", 1}, "bytes=4-": {"456789", 2}, "bytes=-2": {"89", 2}, "bytes=20-": {"invalid range: failed to overlap\n", 1},
	} {
		blobs := &far{BlobStore: near}
		body, blob, err := blobs.Get(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		s := &sought{ctx: t.Context(), blobs: blobs, blob: blob, body: body}
		req := httptest.NewRequest(http.MethodGet, "/k", nil)
		req.Header.Set("Range", ranges)
		answer := httptest.NewRecorder()
		answer.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(answer, req, "", time.Time{}, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := answer.Body.String(); got != want.body || blobs.gets != want.gets {
			t.Errorf("range %q: got %q by %d requests, want %q by %d", ranges, got, blobs.gets, want.body, want.gets)
		}
	}
}
