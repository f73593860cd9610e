package recovery

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Folder is the files of a directory that are written whole and need no one moment, such as keys: all of it, or one file.
type Folder struct {
	Dir  string // the data directory
	Name string // below it, with slashes; what does not exist has no files
}

// Each implements Files. Files whose names begin with a dot are being written, and are left out.
func (f Folder) Each(ctx context.Context, visit func(File) error) error {
	return filepath.WalkDir(filepath.Join(f.Dir, filepath.FromSlash(f.Name)), func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went in between
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		name, err := filepath.Rel(f.Dir, path)
		if err != nil {
			return err
		}
		return VisitFile(path, filepath.ToSlash(name), -1, visit)
	})
}

// Close implements Files.
func (Folder) Close() error { return nil }

// VisitFile hands the file at path to visit under the name: its first size bytes, or all where that is negative. A file that is gone is none.
func VisitFile(path, name string, size int64, visit func(File) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileFailure("read", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fileFailure("read", path, err)
	}
	if size < 0 {
		size = info.Size()
	}
	return visit(File{name, size, info.ModTime(), f})
}

// All is several as one. They are visited in order and closed in the reverse of it.
type All []Files

// Each implements Files.
func (a All) Each(ctx context.Context, visit func(File) error) error {
	for _, f := range a {
		if err := f.Each(ctx, visit); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Files.
func (a All) Close() (err error) {
	for i := len(a) - 1; i >= 0; i-- {
		err = errors.Join(err, a[i].Close())
	}
	return err
}
