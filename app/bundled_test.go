package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"testing"
	"testing/fstest"

	"bijou"
	"bijou/kit/watch"

	"github.com/google/go-cmp/cmp"
)

// library opens the stores and the two rooms of a library in a fresh directory.
func library(t *testing.T) (*process, rooms) {
	t.Helper()
	data := mustOpen(t, t.TempDir(), "title")
	c := DefaultConfig()
	s, err := openStores(t.Context(), c, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		data.close()
	})
	p := &process{config: c, data: data, stores: s, log: slog.New(slog.DiscardHandler), metrics: watch.NewMetrics("", "")}
	return p, p.libraryRooms()
}

// kept returns what the library holds: titles by name, blobs with their sizes.
func kept(t *testing.T, p *process, r rooms) map[string]string {
	t.Helper()
	out := map[string]string{}
	page, err := r.catalog.AllTitles(t.Context(), bijou.TitleQuery{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range page.Titles {
		out["title "+x.Name] += string(x.ID) + " " + string(x.State) + " " + string(x.Asset) + ";"
	}
	blobs, err := p.stores.blobs.List(t.Context(), "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		out[b.Key] = fmt.Sprint(b.Size)
	}
	return out
}

func bundledFilms(t *testing.T) fs.FS {
	t.Helper()
	films, err := fs.Sub(bundled, "bundled")
	if err != nil {
		t.Fatal(err)
	}
	return films
}

func TestSeedingTwiceIsSeedingOnce(t *testing.T) {
	p, r := library(t)
	films := bundledFilms(t)
	if err := seed(t.Context(), films, p.stores.blobs, r.catalog); err != nil {
		t.Fatal(err)
	}
	once := kept(t, p, r)
	if len(once) < 20 {
		t.Fatalf("the library holds %v, want a film at least", once)
	}
	if err := seed(t.Context(), films, p.stores.blobs, r.catalog); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(once, kept(t, p, r)); diff != "" {
		t.Errorf("after the second time (-once +twice):\n%s", diff)
	}
}

// breaking is a blob store that takes so many blobs and then no more.
type breaking struct {
	bijou.BlobStore
	left int
}

var errBroken = errors.New("killed here")

func (b *breaking) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	if b.left--; b.left < 0 {
		return bijou.Blob{}, errBroken
	}
	return b.BlobStore.Put(ctx, key, r)
}

func TestSeedingThatWasCutOffIsMendedByTheNext(t *testing.T) {
	films := bundledFilms(t)
	p, r := library(t)
	if err := seed(t.Context(), films, p.stores.blobs, r.catalog); err != nil {
		t.Fatal(err)
	}
	want := kept(t, p, r)
	p, r = library(t)
	for _, left := range []int{0, 3, 40} {
		if err := seed(t.Context(), films, &breaking{p.stores.blobs, left}, r.catalog); !errors.Is(err, errBroken) {
			t.Fatalf("seed with room for %d blobs = %v, want it to pass the failure on", left, err)
		}
	}
	if err := seed(t.Context(), films, p.stores.blobs, r.catalog); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, kept(t, p, r)); diff != "" {
		t.Errorf("after the mend (-want +got):\n%s", diff)
	}
}

func TestABundledFilmThatIsDamagedIsNamed(t *testing.T) {
	p, r := library(t)
	films := fstest.MapFS{"broken/title.json": {Data: []byte("{")}, "README.md": {Data: []byte("about")}}
	err := seed(t.Context(), films, p.stores.blobs, r.catalog)
	if want := "bundled film broken: title.json cannot be read"; !errors.Is(err, bijou.Corrupt) || err.Error()[:len(want)] != want {
		t.Errorf("seed = %v, want Corrupt that begins with %q", err, want)
	}
	if got := kept(t, p, r); len(got) != 0 {
		t.Errorf("the library holds %v, want nothing", got)
	}
}

// The files travel in the repository, so what was made of them once is checked as often as they change.
func TestBundledFilmsAreWholeSmallAndCredited(t *testing.T) {
	films := bundledFilms(t)
	folders, err := fs.Glob(films, "*/title.json")
	if err != nil || len(folders) == 0 {
		t.Fatalf("there is no bundled film: %v", err)
	}
	var total int64
	for _, name := range folders {
		film, err := fs.Sub(films, path.Dir(name))
		if err != nil {
			t.Fatal(err)
		}
		var title bijou.Title
		var asset bijou.Asset
		if err := errors.Join(readJSON(film, "title.json", &title), readJSON(film, "asset/asset.json", &asset)); err != nil {
			t.Fatal(err)
		}
		if err := title.Check(); err != nil || title.Credit == "" || title.ID != asset.Title || title.Asset != asset.ID || !title.Playable() {
			t.Errorf("%s: title %+v of asset %s: %v", name, title, asset.ID, err)
		}
		for file, want := range sums(asset) {
			b, err := fs.ReadFile(film, "asset/"+file)
			got := sha256.Sum256(b)
			if err != nil || hex.EncodeToString(got[:]) != want {
				t.Errorf("%s: file %s: %v, SHA-256 %x, want %s", name, file, err, got, want)
			}
			total += int64(len(b))
		}
		if _, err := fs.Stat(film, "asset/"+asset.Poster); err != nil || asset.Poster == "" {
			t.Errorf("%s has no poster: %v", name, err)
		}
	}
	if most := int64(15_000_000); total > most {
		t.Errorf("bundled films take %d bytes, want at most %d", total, most)
	}
}

// sums returns the files that the asset names, with their SHA-256.
func sums(a bijou.Asset) map[string]string {
	out := map[string]string{}
	media := func(m bijou.Media) {
		out[m.Name+"/"+bijou.InitFile] = m.InitSHA256
		for i, s := range m.Segments {
			out[m.Name+"/"+bijou.SegmentFile(i+1)] = s.SHA256
		}
	}
	for _, v := range a.Video {
		media(v.Media)
	}
	for _, x := range a.Audio {
		media(x.Media)
	}
	for _, x := range a.Text {
		out[x.Name+"/"+bijou.TextFile] = x.SHA256
	}
	return out
}
