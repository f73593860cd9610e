// Package directory keeps blobs as files below a directory: the blob store that needs nothing.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"bijou"
)

// Store implements bijou.BlobStore. A key is a path below the directory, so one key may not be another's folder: Put fails with Conflict there.
// Several processes may have the directory open.
type Store struct {
	dir string
	// open is held, shared, as long as the store is used: whoever gets it alone knows that nobody is writing.
	open *os.File
	// making is held while folders are made, so that nobody relies on one whose name is not on disk yet.
	making sync.Mutex
	// still is held, shared, while a blob comes or goes, and alone by who needs them all as they are at one moment.
	still sync.RWMutex
}

// incoming is where blobs lie until they are whole. No key begins with a dot, so it collides with none.
const incoming = ".incoming"

// Open returns the store of the directory, which is made where it is missing. What a kill left half-written is removed,
// unless another process has the directory open and may be writing it.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, s.failure("open", "", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".open"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, s.failure("open", "", err)
	}
	if err := s.prepare(f); err != nil {
		f.Close()
		return nil, s.failure("open", "", err)
	}
	s.open = f
	return s, nil
}

// Close lets go of the directory. A process that ends has done so too.
func (s *Store) Close() error {
	if err := s.open.Close(); err != nil {
		return s.failure("close", "", err)
	}
	return nil
}

// prepare makes the folder for what comes in, and empties it where nobody else writes to it; snapshots that nobody reads any more go too.
func (s *Store) prepare(f *os.File) error {
	folder := filepath.Join(s.dir, incoming)
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		if err := errors.Join(os.RemoveAll(folder), os.RemoveAll(filepath.Join(s.dir, snapshots))); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
}

// Path returns the file that holds the blob, for programs that read files. It fails with NotFound for an unknown key.
func (s *Store) Path(key string) (string, error) {
	if err := bijou.CheckKey(key); err != nil {
		return "", err
	}
	p := filepath.Join(s.dir, filepath.FromSlash(key))
	info, err := os.Stat(p)
	// A key below another blob's, or with a name longer than the file system takes, is one that was never stored.
	if err == nil && info.IsDir() || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", s.failure("find", key, err)
	}
	return p, nil
}

// Put implements bijou.BlobStore.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	if err := bijou.CheckKey(key); err != nil {
		return bijou.Blob{}, err
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, incoming), "blob-*")
	if err != nil {
		return bijou.Blob{}, s.failure("store", key, err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed, when there is nothing to remove
	source := &reader{ctx: ctx, r: r}
	_, err = io.Copy(f, source)
	if source.err != nil {
		f.Close()
		return bijou.Blob{}, source.err
	}
	info, statErr := f.Stat()
	if err := errors.Join(err, statErr, f.Sync(), f.Close()); err != nil {
		return bijou.Blob{}, s.failure("store", key, err)
	}
	target := filepath.Join(s.dir, filepath.FromSlash(key))
	if err := s.place(f.Name(), target); err != nil {
		return bijou.Blob{}, s.failure("store", key, err)
	}
	return bijou.Blob{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// place renames the whole file to its key. Delete may remove an empty folder at the same moment, so the folder is made again then.
func (s *Store) place(from, to string) error {
	s.still.RLock()
	defer s.still.RUnlock()
	folder := filepath.Dir(to)
	var err error
	for range 100 {
		if err = s.makeFolder(folder); err != nil {
			return err
		}
		err = os.Rename(from, to)
		if errors.Is(err, fs.ErrExist) && syscall.Rmdir(to) == nil {
			continue // an empty folder was in the way, which holds no blob
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	if err := syncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // a folder that is gone was emptied by a later Delete
}

// makeFolder makes the folder and those above it, and has their names on disk.
func (s *Store) makeFolder(folder string) error {
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return nil
	}
	s.making.Lock()
	defer s.making.Unlock()
	var missing []string
	for d := folder; len(d) > len(s.dir); d = filepath.Dir(d) {
		if _, err := os.Lstat(d); err == nil {
			break
		}
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		err := os.Mkdir(d, 0o700)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Delete was quicker with the one above; the caller comes again
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := syncFolder(filepath.Dir(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncFolder has the names in the folder on disk.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// reader passes on r's own failure apart from the file's, and stops when ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// Get implements bijou.BlobStore. A whole blob is its *os.File, so that it can be sent by sendfile(2).
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	p, err := s.Path(key)
	if err != nil {
		return nil, bijou.Blob{}, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, bijou.Blob{}, s.failure("read", key, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, bijou.Blob{}, s.failure("read", key, err)
	}
	b := bijou.Blob{Key: key, Size: info.Size(), Modified: info.ModTime()}
	if offset == 0 && length < 0 {
		return f, b, nil
	}
	if offset < 0 || offset > b.Size {
		f.Close()
		return nil, bijou.Blob{}, fmt.Errorf("read blob %s from byte %d: it has %d: %w", key, offset, b.Size, bijou.Invalid)
	}
	if length < 0 || length > b.Size-offset {
		length = b.Size - offset
	}
	return section{io.NewSectionReader(f, offset, length), f}, b, nil
}

type section struct {
	*io.SectionReader
	io.Closer
}

// Stat implements bijou.BlobStore.
func (s *Store) Stat(_ context.Context, key string) (bijou.Blob, error) {
	p, err := s.Path(key)
	if err != nil {
		return bijou.Blob{}, err
	}
	info, err := os.Stat(p)
	if err != nil {
		return bijou.Blob{}, s.failure("find", key, err)
	}
	return bijou.Blob{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// errFull ends a walk that has found enough.
var errFull = errors.New("enough found")

// List implements bijou.BlobStore.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]bijou.Blob, error) {
	if limit < 1 {
		return nil, nil
	}
	var out []bijou.Blob
	err := s.walk(ctx, prefix, after, func(b bijou.Blob) error {
		if len(out) == limit {
			return errFull
		}
		out = append(out, b)
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, s.failure("list", prefix, err)
	}
	return out, nil
}

// walk visits the blobs in order of key, and leaves out folders that can hold none of those asked for.
func (s *Store) walk(ctx context.Context, prefix, after string, visit func(bijou.Blob) error) error {
	wanted := func(folder string) bool {
		return (strings.HasPrefix(folder, prefix) || strings.HasPrefix(prefix, folder)) && mayFollow(folder, after)
	}
	return s.visit(ctx, "", wanted, func(key string, e fs.DirEntry) error {
		if !strings.HasPrefix(key, prefix) || key <= after {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return unlessGone(err)
		}
		return visit(bijou.Blob{Key: key, Size: info.Size(), Modified: info.ModTime()})
	})
}

// mayFollow tells whether a name below the folder, which ends in a slash, may follow after.
func mayFollow(folder, after string) bool { return folder >= after || strings.HasPrefix(after, folder) }

// visit visits what is below the folder in order of name, but for folders that are not wanted and names that begin with a dot.
func (s *Store) visit(ctx context.Context, folder string, wanted func(folder string) bool, visit func(name string, e fs.DirEntry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, filepath.FromSlash(folder)))
	if err != nil {
		return unlessGone(err)
	}
	sortByKey(entries)
	for _, e := range entries {
		name, err := folder+e.Name(), error(nil)
		switch {
		case strings.HasPrefix(e.Name(), "."), e.IsDir() && !wanted(name+"/"):
		case e.IsDir():
			err = s.visit(ctx, name+"/", wanted, visit)
		default:
			err = visit(name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unlessGone passes on a failure, but not that a file was removed in the meantime.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Delete implements bijou.BlobStore. Folders that it leaves empty go too.
func (s *Store) Delete(_ context.Context, key string) error {
	if err := bijou.CheckKey(key); err != nil {
		return err
	}
	s.still.RLock()
	defer s.still.RUnlock()
	p := filepath.Join(s.dir, filepath.FromSlash(key))
	if info, err := os.Lstat(p); err != nil || info.IsDir() {
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return s.failure("delete", key, err)
	}
	if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.failure("delete", key, err)
	}
	for d := filepath.Dir(p); len(d) > len(s.dir); d = filepath.Dir(d) {
		if os.Remove(d) != nil {
			break // not empty
		}
	}
	return nil
}

// failure returns err as the store's: a sentence with the fix and the kind.
func (s *Store) failure(verb, key string, err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	cause := err
	if errors.As(err, &pe) {
		cause = pe.Err
	} else if errors.As(err, &le) {
		cause = le.Err
	}
	what := strings.TrimSpace("blob " + key)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: there is none: %w", verb, what, bijou.NotFound)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%s %s: the disk of %s takes no more (%v): free space there: %w", verb, what, s.dir, cause, bijou.Exhausted)
	case key == "" && (errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist)):
		return fmt.Errorf("%s directory of blobs %s: a file is in its place: move that, or choose another directory: %w", verb, s.dir, bijou.Conflict)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s %s: another blob's key begins or ends where this one does: %w", verb, what, bijou.Conflict)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: directory %s cannot be written (%v): give this user the right to write there: %w", verb, what, s.dir, cause, bijou.Unavailable)
	}
	return fmt.Errorf("%s %s in %s (%v): %w", verb, what, s.dir, cause, bijou.Unavailable)
}

// sortByKey orders a folder's entries as the keys below them are ordered: a folder counts with its slash.
func sortByKey(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(withSlash(a), withSlash(b)) })
}

func withSlash(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}
