package directory

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

// Inbox implements bijou.Inbox on a directory. A file's version is its size and when it was written, which outlive a copy to another disk.
type Inbox struct{ files Store }

// OpenInbox returns the inbox of the directory. It does no I/O: one that is not there is found out by the first call.
func OpenInbox(dir string) *Inbox { return &Inbox{Store{dir: dir}} }

// Files implements bijou.Inbox.
func (i *Inbox) Files(ctx context.Context, after string, limit int) (out []bijou.InboxFile, err error) {
	if _, err := os.Stat(i.files.dir); err != nil {
		return nil, i.failure(err)
	}
	err = i.files.visit(ctx, "", func(folder string) bool { return mayFollow(folder, after) }, func(name string, e fs.DirEntry) error {
		if !e.Type().IsRegular() || name <= after {
			return nil
		}
		if len(out) >= limit {
			return errFull
		}
		info, err := e.Info()
		if err != nil {
			return unlessGone(err)
		}
		out = append(out, bijou.InboxFile{Name: name, Size: info.Size(), Version: versionOf(info)})
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, i.failure(err)
	}
	return out, nil
}

func versionOf(info fs.FileInfo) string {
	return fmt.Sprintf("%d-%d", info.ModTime().UnixNano(), info.Size())
}

// Open implements bijou.Inbox.
func (i *Inbox) Open(_ context.Context, f bijou.InboxFile) (io.ReadCloser, error) {
	root, err := os.OpenRoot(i.files.dir) // whoever may write there leads nobody out of it
	if err != nil {
		return nil, i.failure(err)
	}
	defer root.Close()
	// A pipe that has taken the file's place would wait for somebody to write.
	file, err := root.OpenFile(filepath.FromSlash(f.Name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s is no more in %s: %w", f.Name, i.files.dir, bijou.NotFound)
	}
	if err != nil {
		return nil, i.failure(err)
	}
	r := &unchanged{file, f, i}
	if err := r.check(); err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

// unchanged is a file that may not change while it is read.
type unchanged struct {
	*os.File
	as   bijou.InboxFile
	from *Inbox
}

// Read implements io.Reader.
func (u *unchanged) Read(p []byte) (int, error) {
	n, err := u.File.Read(p)
	switch {
	case err == io.EOF:
		if changed := u.check(); changed != nil {
			return n, changed
		}
	case err != nil:
		err = u.from.failure(err)
	}
	return n, err
}

// WriteTo hides *os.File's own, which would bypass Read.
func (u *unchanged) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{u}) }

func (u *unchanged) check() error {
	info, err := u.Stat()
	if err != nil {
		return u.from.failure(err)
	}
	if !info.Mode().IsRegular() || versionOf(info) != u.as.Version {
		return fmt.Errorf("%s in %s has changed: wait until it is whole: %w", u.as.Name, u.from.files.dir, bijou.Conflict)
	}
	return nil
}

func (i *Inbox) failure(err error) error {
	var pe *fs.PathError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &pe):
		err = pe.Err
	}
	return fmt.Errorf("read the inbox %s (%v): make the directory, or give this user the right to read there: %w", i.files.dir, err, bijou.Unavailable)
}
