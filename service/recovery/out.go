package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"bijou"
)

// partSuffix ends the name of a backup's file until it is complete.
const partSuffix = ".part"

// Out is a file that appears under its name when it is complete. It holds keys, so nobody else may read it.
type Out struct {
	*os.File
	path string
}

// Create begins the file. It fails with Conflict where there is one of that name, or where another process is writing it.
func Create(path string) (*Out, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, fileFailure("write", path, err)
		}
		return nil, fmt.Errorf("%s is there already: choose another name: %w", path, bijou.Conflict)
	}
	f, err := os.OpenFile(path+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileFailure("write", path+partSuffix, err)
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		err := fmt.Errorf("%s is being written by another process: wait for that one: %w", path+partSuffix, bijou.Conflict)
		return nil, errors.Join(err, f.Close())
	}
	// What a kill left of an earlier one goes.
	if err := errors.Join(f.Chmod(0o600), f.Truncate(0)); err != nil {
		return nil, errors.Join(fileFailure("write", path+partSuffix, err), f.Close())
	}
	return &Out{f, path}, nil
}

// Write implements io.Writer.
func (o *Out) Write(b []byte) (int, error) {
	n, err := o.File.Write(b)
	if err != nil {
		err = fileFailure("write", o.path, err)
	}
	return n, err
}

// Commit has the file on disk under its name.
func (o *Out) Commit() error {
	err := o.Sync()
	if err == nil {
		err = os.Rename(o.Name(), o.path)
	}
	if err == nil {
		err = flushFolder(filepath.Dir(o.path))
	}
	if err := errors.Join(err, o.Close()); err != nil {
		return fileFailure("write", o.path, err)
	}
	return nil
}

// Discard removes what was written.
func (o *Out) Discard() error {
	if err := errors.Join(os.Remove(o.Name()), o.Close()); err != nil {
		return fileFailure("remove", o.Name(), err)
	}
	return nil
}
