package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"bijou"
)

// BlobStore checks what bijou.BlobStore promises. open returns a store that holds nothing.
func BlobStore(t *testing.T, open func(t *testing.T) bijou.BlobStore) {
	run(t, open, "ABlobComesBackAsItWasPut", blobRoundTrip)
	run(t, open, "RangesOfABlob", blobRanges)
	run(t, open, "PuttingAgainReplacesTheBlob", blobReplace)
	run(t, open, "AReaderKeepsTheBlobThatItOpened", blobOldReader)
	run(t, open, "AnUnknownKeyIsNotFound", blobUnknown)
	run(t, open, "AKeyThatIsNoSafePathIsInvalid", blobBadKeys)
	run(t, open, "TheReadersOwnErrorIsPassedOnAndNothingIsStored", blobBrokenReader)
	run(t, open, "AListIsInOrderOfKey", blobList)
	run(t, open, "ListsInPagesMissNothing", blobPages)
	run(t, open, "ADeletedBlobIsGone", blobDelete)
	run(t, open, "ReadersNeverSeeHalfABlob", blobTogether)
	run(t, open, "PuttingAndDeletingNeighboursAtOnceLosesNothing", blobNeighbours)
}

func put(t *testing.T, s bijou.BlobStore, key, content string) bijou.Blob {
	t.Helper()
	b, err := s.Put(t.Context(), key, strings.NewReader(content))
	must(t, "put "+key, err)
	return b
}

// get returns the bytes of a range.
func get(t *testing.T, s bijou.BlobStore, key string, offset, length int64) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), key, offset, length)
	must(t, fmt.Sprintf("get %s from %d, %d bytes", key, offset, length), err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(t, "read "+key, err)
	return string(b)
}

func keys(bs []bijou.Blob) (ks []string) {
	for _, b := range bs {
		ks = append(ks, b.Key)
	}
	return ks
}

func blobRoundTrip(t *testing.T, s bijou.BlobStore) {
	every := make([]byte, 3<<20)
	for i := range every {
		every[i] = byte(i ^ i>>8)
	}
	for key, content := range map[string]string{
		"a": "", "assets/ast_1/v720/init.mp4": "x", "assets/ast_1/v720/1.m4s": string(every), "A-B_c.0": "mixed",
		strings.Repeat("n", 255) + "/" + strings.Repeat("m", 255): "long",
	} {
		b := put(t, s, key, content)
		if b.Key != key || b.Size != int64(len(content)) || b.Modified.IsZero() {
			t.Errorf("put %s: got %+v, want this key, size %d and a time", key, b, len(content))
		}
		if got := get(t, s, key, 0, -1); got != content {
			t.Errorf("get %s: got %d other bytes, want the %d that were put", key, len(got), len(content))
		}
		known, err := s.Stat(t.Context(), key)
		must(t, "stat", err)
		r, opened, err := s.Get(t.Context(), key, 0, -1)
		must(t, "get", err)
		must(t, "close", r.Close())
		for what, got := range map[string]bijou.Blob{"stat": known, "get": opened} {
			if got.Key != key || got.Size != b.Size || !got.Modified.Equal(b.Modified) {
				t.Errorf("%s %s: got %+v, want %+v as put said", what, key, got, b)
			}
		}
	}
}

func blobRanges(t *testing.T, s bijou.BlobStore) {
	const content = "0123456789"
	put(t, s, "k", content)
	for _, c := range []struct {
		offset, length int64
		want           string
	}{
		{0, -1, content}, {0, 10, content}, {0, 3, "012"}, {3, 4, "3456"}, {3, -1, "3456789"},
		{9, 1, "9"}, {9, 100, "9"}, {0, 1000, content}, {4, 0, ""}, {10, 5, ""},
	} {
		if got := get(t, s, "k", c.offset, c.length); got != c.want {
			t.Errorf("get %d bytes from %d: got %q, want %q", c.length, c.offset, got, c.want)
		}
		_, b, err := s.Get(t.Context(), "k", c.offset, c.length)
		must(t, "get", err)
		wantSame(t, "size told with a range", b.Size, int64(len(content)))
	}
	for _, offset := range []int64{11, 1 << 40} {
		_, _, err := s.Get(t.Context(), "k", offset, -1)
		wantKind(t, fmt.Sprintf("get from %d of %d", offset, len(content)), err, bijou.Invalid)
	}
}

func blobReplace(t *testing.T, s bijou.BlobStore) {
	for _, content := range []string{"first", "second and longer", "3", ""} {
		put(t, s, "k", content)
		wantSame(t, "get", get(t, s, "k", 0, -1), content)
	}
	bs, err := s.List(t.Context(), "", "", 10)
	must(t, "list", err)
	wantSame(t, "list", keys(bs), []string{"k"})
}

func blobOldReader(t *testing.T, s bijou.BlobStore) {
	old := strings.Repeat("old", 100_000)
	put(t, s, "replaced", old)
	put(t, s, "deleted", old)
	for _, key := range []string{"replaced", "deleted"} {
		r, _, err := s.Get(t.Context(), key, 0, -1)
		must(t, "get", err)
		defer r.Close()
		if key == "replaced" {
			put(t, s, key, strings.Repeat("new", 100_000))
		} else {
			must(t, "delete", s.Delete(t.Context(), key))
		}
		b, err := io.ReadAll(r)
		must(t, "read", err)
		if string(b) != old {
			t.Errorf("a reader opened before the blob was %s: got other bytes, want the old ones", key)
		}
	}
}

func blobUnknown(t *testing.T, s bijou.BlobStore) {
	put(t, s, "folder/file", "x")
	for _, key := range []string{"none", "folder", "folder/none", "folder/file/below"} {
		_, err := s.Stat(t.Context(), key)
		wantKind(t, "stat "+key, err, bijou.NotFound)
		_, _, err = s.Get(t.Context(), key, 0, -1)
		wantKind(t, "get "+key, err, bijou.NotFound)
		_, _, err = s.Get(t.Context(), key, 5, 5)
		wantKind(t, "get a range of "+key, err, bijou.NotFound)
		must(t, "delete "+key, s.Delete(t.Context(), key))
	}
	wantSame(t, "the file beside them", get(t, s, "folder/file", 0, -1), "x")
}

func blobBadKeys(t *testing.T, s bijou.BlobStore) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\nb", "a\x00b", `a\b`, "ä", "a:b", "*",
		strings.Repeat("k", bijou.MaxKey+1), strings.Repeat("k", 256), "a/" + strings.Repeat("k", 256),
	} {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"))
		wantKind(t, fmt.Sprintf("put %.40q", key), err, bijou.Invalid)
	}
	bs, err := s.List(t.Context(), "", "", 10)
	must(t, "list", err)
	wantSame(t, "list", keys(bs), nil)
}

func blobBrokenReader(t *testing.T, s bijou.BlobStore) {
	own := errors.New("the sender hung up")
	put(t, s, "kept", "before")
	for _, key := range []string{"kept", "new", "new/folder/file"} {
		half := io.MultiReader(strings.NewReader(strings.Repeat("half", 100_000)), iotest.ErrReader(own))
		if _, err := s.Put(t.Context(), key, half); !errors.Is(err, own) {
			t.Errorf("put %s from a reader that fails: got error %v, want %v", key, err, own)
		}
	}
	wantSame(t, "the blob put before", get(t, s, "kept", 0, -1), "before")
	bs, err := s.List(t.Context(), "", "", 10)
	must(t, "list", err)
	wantSame(t, "list", keys(bs), []string{"kept"})
}

// ordered are keys in their order. Some differ first where another has its slash.
var ordered = []string{"a-b", "a.b", "a/b", "a/b-c/1", "a/b-c/2", "a0", "a_b", "assets/x/10.m4s", "assets/x/9.m4s", "assets/y/1", "b"}

func blobList(t *testing.T, s bijou.BlobStore) {
	for i := range ordered {
		put(t, s, ordered[(i*7)%len(ordered)], strings.Repeat("x", (i*7)%len(ordered)))
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"", "", 100, ordered}, {"", "", 3, ordered[:3]}, {"", "", 0, nil},
		{"a/", "", 100, ordered[2:5]}, {"a/b", "", 100, ordered[2:5]}, {"a/b-", "", 100, ordered[3:5]}, {"a", "", 100, ordered[:10]},
		{"assets/x/", "", 100, ordered[7:9]}, {"ass", "", 2, ordered[7:9]}, {"none", "", 100, nil}, {"b/", "", 100, nil},
		{"", "a/b", 100, ordered[3:]}, {"", "a/b-c/1", 2, ordered[4:6]}, {"", "a/zzz", 100, ordered[5:]}, {"", "a", 100, ordered},
		{"a/", "a/b", 100, ordered[3:5]}, {"a/", "b", 100, nil}, {"assets/", "a", 100, ordered[7:10]}, {"", "zzz", 100, nil},
		{"../", "", 100, nil}, {"/", "", 100, nil},
	} {
		bs, err := s.List(t.Context(), c.prefix, c.after, c.limit)
		must(t, "list", err)
		wantSame(t, fmt.Sprintf("list of prefix %q after %q, at most %d", c.prefix, c.after, c.limit), keys(bs), c.want)
	}
	bs, err := s.List(t.Context(), "", "", 100)
	must(t, "list", err)
	for _, b := range bs {
		known, err := s.Stat(t.Context(), b.Key)
		must(t, "stat", err)
		if known.Size != b.Size || !known.Modified.Equal(b.Modified) {
			t.Errorf("list: got %+v, want %+v as Stat says", b, known)
		}
	}
}

func blobPages(t *testing.T, s bijou.BlobStore) {
	for _, key := range ordered {
		put(t, s, key, "x")
	}
	for limit := 1; limit <= len(ordered)+1; limit++ {
		var all []string
		for after := ""; ; after = all[len(all)-1] {
			bs, err := s.List(t.Context(), "", after, limit)
			must(t, "list", err)
			if len(bs) == 0 {
				break
			}
			all = append(all, keys(bs)...)
		}
		wantSame(t, fmt.Sprintf("pages of %d", limit), all, ordered)
	}
}

func blobDelete(t *testing.T, s bijou.BlobStore) {
	for _, key := range []string{"a/b/c", "a/b/d", "e"} {
		put(t, s, key, "x")
	}
	for _, key := range []string{"a/b/c", "a/b/c", "e", "a/b/d"} {
		must(t, "delete", s.Delete(t.Context(), key))
		_, err := s.Stat(t.Context(), key)
		wantKind(t, "stat of the deleted "+key, err, bijou.NotFound)
	}
	bs, err := s.List(t.Context(), "", "", 10)
	must(t, "list", err)
	wantSame(t, "list", keys(bs), nil)
	put(t, s, "a", "where a folder was")
	wantSame(t, "get", get(t, s, "a", 0, -1), "where a folder was")
}

func blobTogether(t *testing.T, s bijou.BlobStore) {
	const size = 200_000
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, size+i) }
	put(t, s, "k", string(content(0)))
	together(8, func(i int) {
		for range 10 {
			if i < 3 {
				if _, err := s.Put(t.Context(), "k", bytes.NewReader(content(i))); err != nil {
					t.Errorf("put: %v", err)
				}
				continue
			}
			r, b, err := s.Get(t.Context(), "k", 0, -1)
			if err != nil {
				t.Errorf("get: %v", err)
				return
			}
			got, err := io.ReadAll(r)
			if len(got) == 0 || !bytes.Equal(got, content(int(got[0]-'a'))) || b.Size != int64(len(got)) {
				t.Errorf("get while others put: got %d bytes, told %d (error %v), want one put's, whole", len(got), b.Size, err)
			}
			r.Close()
		}
	})
}

func blobNeighbours(t *testing.T, s bijou.BlobStore) {
	together(6, func(i int) {
		for n := range 20 {
			key := fmt.Sprintf("shared/%d/%d", n%3, i)
			if _, err := s.Put(t.Context(), key, strings.NewReader(key)); err != nil {
				t.Errorf("put %s: %v", key, err)
				return
			}
			r, _, err := s.Get(t.Context(), key, 0, -1)
			if err != nil {
				t.Errorf("get %s right after it was put: %v", key, err)
				return
			}
			r.Close()
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("delete %s: %v", key, err)
			}
		}
	})
}
