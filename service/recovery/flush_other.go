//go:build !linux

package recovery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// flush has every file and folder below the folder on disk.
func flush(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
