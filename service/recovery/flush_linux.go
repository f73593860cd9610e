package recovery

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// flush has everything on disk that was written to the file system of the folder (syncfs(2)): one flush, however many files there are.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
