// Package recovery is the room of backups: one file that holds the whole site as it was at one moment, and the proof that the site comes back
// from it.
//
// A backup is proven by restoring it: Verify unpacks it into a scratch directory, opens every store there, and reads all of them.
package recovery

import (
	"context"
	"fmt"
	"io"
	"sync"

	"bijou"
)

// Files are files of the site as they were at one moment.
type Files interface {
	// Each calls visit for each file, which reads its content before it returns.
	Each(ctx context.Context, visit func(File) error) error
	// Close lets go of what is held for the files. They need not have been visited.
	Close() error
}

// Deps are what the room works with.
type Deps struct {
	// Snapshot returns the whole site as it is at one moment, and when that was.
	Snapshot func(ctx context.Context) (Files, error)
	Head     func() Head // of a backup that is made now
	Scratch  string      // directory for files in work
}

// Service makes backups.
type Service struct {
	Deps
	one sync.Mutex // held while one is made: two at once would only be slower
}

// New assembles the room.
func New(d Deps) *Service { return &Service{Deps: d} }

// Backup writes a backup of the site as it is now. It fails with Conflict while another is being made.
func (s *Service) Backup(ctx context.Context, to io.Writer) (err error) {
	if !s.one.TryLock() {
		return fmt.Errorf("a backup is being made already: wait for that one: %w", bijou.Conflict)
	}
	defer s.one.Unlock()
	lines, err := newSpool(s.Scratch)
	if err != nil {
		return err
	}
	defer lines.close() // it has no name: nothing is left of it
	head := s.Head()
	site, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closed := site.Close(); err == nil {
			err = closed
		}
	}()
	w, err := newWriter(to, head, lines)
	if err != nil {
		return err
	}
	err = site.Each(ctx, func(f File) error {
		if !safe(f.Name) {
			return fmt.Errorf("back up %q: no file of a data directory has such a name: take it away: %w", f.Name, bijou.Unsupported)
		}
		f.Name = dataPrefix + f.Name
		return w.add(ctx, f)
	})
	if err != nil {
		return err
	}
	return w.close(ctx)
}

// Check reads a backup and fails, as Corrupt, where it is not what was written. It opens no store.
func Check(ctx context.Context, from io.Reader) (Report, error) {
	lines, err := newSpool("")
	if err != nil {
		return Report{}, err
	}
	defer lines.close() // it has no name: nothing is left of it
	return read(ctx, from, lines, func(File) error { return nil })
}
