package recovery

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"
)

var noon = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)

// site is files of a site as they are in memory, by name.
type site map[string]string

// Each implements Files.
func (s site) Each(_ context.Context, visit func(File) error) error {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if err := visit(File{name, int64(len(s[name])), noon, strings.NewReader(s[name])}); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Files.
func (site) Close() error { return nil }

// small is a site with the kinds of names and lengths that there are.
var small = site{
	"format": "1\n", "sqlite/catalog.db": strings.Repeat("page", 1024), "empty": "", "keys/grants/1.pem": "a secret",
	"blobs/assets/ast_1/v180/1.m4s": strings.Repeat("\xff\x00", 300), "log/.format": "1\n",
	"a/" + strings.Repeat("long-", 45) + "/" + strings.Repeat("name", 30): "in pax form", "ünïcode": "too",
}

// service returns the room on a site.
func service(t testing.TB, f Files) *Service {
	return New(Deps{
		Snapshot: func(context.Context) (Files, error) { return f, nil }, Scratch: t.TempDir(),
		Head: func() Head { return Head{Format: Format, Data: "1", Version: "v1", Commit: "c", Made: noon} },
	})
}

// backedUp returns a backup of the site.
func backedUp(t testing.TB, f Files) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := service(t, f).Backup(context.Background(), &b); err != nil {
		t.Fatalf("back up: %v", err)
	}
	return b.Bytes()
}

// believe is a prover that finds everything in order.
func believe(context.Context, string) (Proof, error) { return Proof{}, nil }

// wantKind fails the test where err is not a sentence of the kind.
func wantKind(t *testing.T, what string, err error, want bijou.Kind) {
	t.Helper()
	if bijou.KindOf(err) != want || err == nil || bijou.Sentence(err) == err.Error() || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: got error %v, want a sentence that ends in %q", what, err, want)
	}
}

// tree returns the files below a folder.
func tree(t testing.TB, dir string) site {
	t.Helper()
	got := site{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode != 0o600 && !d.IsDir() || mode != 0o700 && d.IsDir() {
			t.Errorf("%s has mode %o", path, mode)
		}
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !info.ModTime().Equal(noon) {
			return fmt.Errorf("%s is of %s, want %s", path, info.ModTime(), noon)
		}
		name, err := filepath.Rel(dir, path)
		got[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
