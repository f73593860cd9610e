package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"bijou"
)

// Prover opens every store of a data directory that was restored, and reads all of them. It fails where one is not as it should be.
type Prover func(ctx context.Context, dir string) (Proof, error)

// Proof says what was found in a restored site.
type Proof struct {
	Titles  int   `json:"titles" doc:"All of them, whatever their state."`
	Files   int64 `json:"files" doc:"Of published titles, each with the hash that was noted when it was made."`
	Records int64 `json:"records" doc:"On the log."`
}

// Verified is what a backup holds, proven.
type Verified struct {
	Report
	Proof Proof `json:"proof"`
}

// Verify restores a backup into a folder of its own below scratch, has it proven, and removes it again.
func Verify(ctx context.Context, from io.Reader, scratch string, prove Prover) (v Verified, err error) {
	dir, err := os.MkdirTemp(scratch, "bijou-verify-*")
	if err != nil {
		return v, fileFailure("make a folder in", orTemp(scratch), err)
	}
	defer func() {
		if gone := os.RemoveAll(dir); err == nil && gone != nil {
			err = fileFailure("remove", dir, gone)
		}
	}()
	return unpack(ctx, from, filepath.Join(dir, "site"), prove)
}

// Restore makes the data directory of a backup, which holds nothing yet or does not exist. It comes to be as a whole: what is unpacked lies
// beside it until it is complete, proven and on disk. It fails with Conflict for a directory that holds anything.
func Restore(ctx context.Context, from io.Reader, dir string, prove Prover) (v Verified, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return v, fileFailure("find", dir, err)
	}
	if err := checkEmpty(dir); err != nil {
		return v, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return v, fileFailure("make", filepath.Dir(dir), err)
	}
	beside := dir + besideSuffix
	lock, err := claim(beside)
	if err != nil {
		return v, err
	}
	defer lock.Close() // which also unlocks it
	defer func() {
		if left := os.RemoveAll(beside); err == nil && left != nil {
			err = fileFailure("remove", beside, left)
		}
	}()
	site := filepath.Join(beside, "site")
	if v, err = unpack(ctx, from, site, prove); err != nil {
		return v, err
	}
	if err := flush(site); err != nil {
		return v, fileFailure("flush", site, err)
	}
	// An empty directory is replaced, and one that came to hold something meanwhile is not: rename(2). os.Rename would replace neither.
	if err := syscall.Rename(site, dir); err != nil {
		return v, fileFailure("put in place", dir, err)
	}
	if err := flushFolder(filepath.Dir(dir)); err != nil {
		return v, fileFailure("flush", filepath.Dir(dir), err)
	}
	return v, nil
}

// besideSuffix makes the name of the folder that a data directory is restored in: beside it, so that it is on the same file system.
const besideSuffix = ".restoring"

// claim makes the folder anew for this process alone. What a kill left there goes.
func claim(folder string) (*os.File, error) {
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fileFailure("make", folder, err)
	}
	lock, err := os.OpenFile(filepath.Join(folder, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileFailure("make", folder, err)
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		err := fmt.Errorf("another process restores in %s: wait for that one: %w", folder, bijou.Conflict)
		return nil, errors.Join(err, lock.Close())
	}
	if err := os.RemoveAll(filepath.Join(folder, "site")); err != nil {
		return nil, errors.Join(fileFailure("empty", folder, err), lock.Close())
	}
	return lock, nil
}

// checkEmpty refuses a directory that holds anything.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is a file: name a directory that does not exist yet: %w", dir, bijou.Conflict)
	case err != nil:
		return fileFailure("read", dir, err)
	case len(entries) > 0:
		return fmt.Errorf("directory %s holds something (%s): name one that is empty or does not exist yet: %w", dir, entries[0].Name(), bijou.Conflict)
	}
	return nil
}

// unpack writes a backup's files below dir, which it makes, and has them proven.
func unpack(ctx context.Context, from io.Reader, dir string, prove Prover) (v Verified, err error) {
	lines, err := newSpool(filepath.Dir(dir))
	if err != nil {
		return v, err
	}
	defer lines.close() // it has no name: nothing is left of it
	if err := os.Mkdir(dir, 0o700); err != nil {
		return v, fileFailure("make", dir, err)
	}
	if v.Report, err = read(ctx, from, lines, func(f File) error { return writeFile(dir, f) }); err != nil {
		return v, err
	}
	v.Proof, err = prove(ctx, dir)
	return v, err
}

// writeFile writes one file of a backup below dir. Its name is known to be safe, and nothing but such files is there.
func writeFile(dir string, f File) error {
	to := filepath.Join(dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return inTheWay(f.Name, to, err)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return inTheWay(f.Name, to, err)
	}
	source := &failing{r: f.Content}
	_, err = io.Copy(out, source)
	if source.err != nil {
		return errors.Join(source.err, out.Close())
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fileFailure("write", to, err)
	}
	if err := os.Chtimes(to, f.Modified, f.Modified); err != nil {
		return fileFailure("write", to, err)
	}
	return nil
}

// inTheWay says why a file of a backup cannot be made.
func inTheWay(name, path string, err error) error {
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return fmt.Errorf("%s is in it twice, as a file and as a file or a folder: %w", name, bijou.Corrupt)
	}
	return fileFailure("write", path, err)
}

func flushFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
