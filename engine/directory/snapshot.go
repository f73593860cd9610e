package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"bijou"
)

// snapshots is where snapshots lie while they are read, within the store so that they are on its file system. No key begins with a dot.
const snapshots = ".snapshots"

// Snapshot is all blobs as they were at one moment: a second name for each of their files, so that a blob which is deleted in the meantime
// is still there for who reads the snapshot. It takes no space but that of blobs that go.
type Snapshot struct {
	blobs Store
	dir   string // what the snapshot itself takes
}

// Snapshot makes a snapshot. Blobs neither come nor go while it is made, and during is called at that moment: for what else has to fit to the
// blobs. A Put or a Delete meanwhile waits. It fails with Unsupported where the file system knows no second names, and passes on a failure of during.
func (s *Store) Snapshot(ctx context.Context, during func() error) (*Snapshot, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, snapshots), 0o700); err != nil {
		return nil, s.failure("make a snapshot of", "", err)
	}
	dir, err := os.MkdirTemp(filepath.Join(s.dir, snapshots), "")
	if err != nil {
		return nil, s.failure("make a snapshot of", "", err)
	}
	snap := &Snapshot{Store{dir: dir}, dir}
	if err := s.frozen(during, func() error { return s.link(ctx, dir) }); err != nil {
		return nil, errors.Join(err, snap.Close())
	}
	return snap, nil
}

// frozen calls both while blobs neither come nor go.
func (s *Store) frozen(during, link func() error) error {
	s.still.Lock()
	defer s.still.Unlock()
	if err := during(); err != nil {
		return err
	}
	return link()
}

// link gives every blob its second name below dir.
func (s *Store) link(ctx context.Context, dir string) error {
	made := ""
	err := s.walk(ctx, "", "", func(b bijou.Blob) error {
		name := filepath.FromSlash(b.Key)
		to := filepath.Join(dir, name)
		if folder := filepath.Dir(to); folder != made {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
			made = folder
		}
		return os.Link(filepath.Join(s.dir, name), to)
	})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EMLINK) {
		return fmt.Errorf("make a snapshot of %s: its file system gives no file a second name (%v): stop the service and copy its directory instead: %w", s.dir, err, bijou.Unsupported)
	}
	if err != nil {
		return s.failure("make a snapshot of", "", err)
	}
	return nil
}

// Each calls visit for each blob, in order of key, with the file that holds it.
func (s *Snapshot) Each(ctx context.Context, visit func(b bijou.Blob, path string) error) error {
	return s.blobs.walk(ctx, "", "", func(b bijou.Blob) error {
		return visit(b, filepath.Join(s.dir, filepath.FromSlash(b.Key)))
	})
}

// Close removes the snapshot. The blobs stay.
func (s *Snapshot) Close() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return s.blobs.failure("remove a snapshot of", "", err)
	}
	// The folder of all snapshots goes with the last of them.
	if err := os.Remove(filepath.Dir(s.dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return s.blobs.failure("remove a snapshot of", "", err)
	}
	return nil
}
