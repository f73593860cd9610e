package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"bijou"
)

// file is what is written to: an *os.File, but for the tests of disks that fail.
type file interface {
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// disk opens files for writing and flushes directories.
type disk interface {
	open(name string, flag int) (file, error)
	syncDir(name string) error
}

// osDisk is the disk of the operating system.
type osDisk struct{}

func (osDisk) open(name string, flag int) (file, error) { return os.OpenFile(name, flag, 0o600) }

// syncDir makes new and removed names in the directory outlive a power cut.
func (osDisk) syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeWhole replaces the file by one with these bytes, whole or not at all. It tells whether the new one is in place, which it can be
// even where flushing its folder failed.
func writeWhole(d disk, dir, name string, content []byte) (placed bool, err error) {
	temp := name + ".new"
	f, err := d.open(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return false, err
	}
	_, err = f.WriteAt(content, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(temp))
	}
	return true, d.syncDir(dir)
}

// full tells whether err says that there is no more space.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// failure returns err as the log's: a sentence with the fix and the kind. What has a kind already passes through.
func failure(verb, path string, err error) error {
	if bijou.KindOf(err) != "" {
		return err
	}
	cause := err
	var pe *fs.PathError
	var le *os.LinkError
	if errors.As(err, &pe) {
		cause = pe.Err
	} else if errors.As(err, &le) {
		cause = le.Err
	}
	switch {
	case full(err):
		return fmt.Errorf("%s log %s (%v): free space on that disk: %w", verb, path, cause, bijou.Exhausted)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s log %s (%v): give this user the right to write there: %w", verb, path, cause, bijou.Unavailable)
	}
	return fmt.Errorf("%s log %s (%v): see to that disk and start again: %w", verb, path, cause, bijou.Unavailable)
}

// damaged returns the failure that says where stored bytes are not what was stored.
func damaged(path string, position int64, why string) error {
	return fmt.Errorf("log file %s is damaged at byte %d (%s): put the file back from a backup, or take it away to go on after it: %w",
		path, position, why, bijou.Corrupt)
}
