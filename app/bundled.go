package app

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"

	"bijou"
)

// bundled is a folder for each film that travels with the program: title.json (bijou.Title) and the files of its asset,
// as the studio made them. The command in bundled/README.md makes them anew.
//
//go:embed all:bundled
var bundled embed.FS

// seed puts the bundled films into a new library. A kill in between is mended by the next start, since seeding twice is seeding once.
func seed(ctx context.Context, films fs.FS, blobs bijou.BlobStore, editor bijou.Editor) error {
	folders, err := fs.ReadDir(films, ".")
	if err != nil {
		return err
	}
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		film, err := fs.Sub(films, f.Name())
		if err != nil {
			return err
		}
		if err := seedFilm(ctx, film, blobs, editor); err != nil {
			return fmt.Errorf("bundled film %s: %w", f.Name(), err)
		}
	}
	return nil
}

func seedFilm(ctx context.Context, film fs.FS, blobs bijou.BlobStore, editor bijou.Editor) error {
	var title bijou.Title
	if err := readJSON(film, "title.json", &title); err != nil {
		return err
	}
	var asset bijou.Asset
	if err := readJSON(film, path.Join("asset", bijou.AssetFile), &asset); err != nil {
		return err
	}
	err := fs.WalkDir(film, "asset", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(film, name)
		if err != nil {
			return err
		}
		_, err = blobs.Put(ctx, asset.ID.Key(name[len("asset/"):]), bytes.NewReader(b))
		return err
	})
	if err != nil {
		return err
	}
	if _, err := editor.CreateTitle(ctx, title); err != nil {
		return err
	}
	_, err = editor.PublishAsset(ctx, asset)
	return err
}

func readJSON(from fs.FS, name string, into any) error {
	b, err := fs.ReadFile(from, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s cannot be read (%v): %w", name, err, bijou.Corrupt)
	}
	return nil
}
