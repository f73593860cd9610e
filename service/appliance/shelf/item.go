package shelf

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"

	"golang.org/x/sys/unix"
)

// item is a whole file on disk.
type item struct {
	line
	entry *list.Element // its place in the order of eviction
	asked atomic.Bool   // since the hand passed
	cut   atomic.Bool   // removed with its asset: whoever reads it stops

	checking   sync.Mutex            // one goroutine checks the hash
	stamp      atomic.Pointer[stamp] // of the file when its hash was last found right in this process
	verifiedAt time.Time             // guarded by checking; when the hash was last found right, or when the process began
}

// stamp is how a file looks from outside. Whoever changes what is in it changes the stamp.
type stamp struct {
	size         int64
	inode        uint64
	mtime, ctime syscall.Timespec
}

func stampOf(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, fmt.Errorf("file system of %s tells too little", f.Name())
	}
	return stamp{st.Size, st.Ino, st.Mtim, st.Ctim}, nil
}

// Get returns the file: from disk where it is whole and its hash is right, or as it is fetched. It fails with NotFound where the source has
// none, with Unavailable where the source does not answer, and with Corrupt where the file on disk was found to be not what was stored: it is
// gone then, and whoever asks next has it fetched again.
func (s *Shelf) Get(ctx context.Context, name string) (*File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	it := s.items[name]
	s.mu.RUnlock()
	if it == nil {
		return s.miss(ctx, name)
	}
	f, err := os.Open(s.file(name))
	if errors.Is(err, os.ErrNotExist) {
		s.drop(it) // somebody removed it
		return s.miss(ctx, name)
	}
	if err != nil {
		return nil, s.failure("read "+name, err)
	}
	if err := s.check(it, f, false); err != nil {
		f.Close()
		return nil, err
	}
	if !it.asked.Load() {
		it.asked.Store(true)
	}
	s.hits.Add(1)
	return &File{line: it.line, Hit: true, disk: f, item: it}, nil
}

// check refuses, as Corrupt, a file whose hash is not right, and removes it. A hash that was right is not computed again until the file looks
// different from outside, unless again says so.
func (s *Shelf) check(it *item, f *os.File, again bool) error {
	now, err := stampOf(f)
	if err != nil {
		return s.failure("read "+it.Name, err)
	}
	if seen := it.stamp.Load(); !again && seen != nil && *seen == now {
		return nil
	}
	it.checking.Lock()
	defer it.checking.Unlock()
	if seen := it.stamp.Load(); !again && seen != nil && *seen == now {
		return nil // another request has checked it meanwhile
	}
	got, err := hashOf(f)
	if err != nil {
		return s.failure("read "+it.Name, err)
	}
	if got != it.SHA256 || now.size != it.Size {
		s.corrupt.Add(1)
		s.lastCorrupt.Store(s.o.Now().UnixNano())
		s.drop(it)
		s.o.Log.Error("file is corrupt and was removed", "file", it.Name, "bytes", now.size, "want_bytes", it.Size)
		return fmt.Errorf("%s is not what was stored: it was removed, and is fetched again: %w", it.Name, bijou.Corrupt)
	}
	it.verifiedAt = s.o.Now()
	it.stamp.Store(&now)
	return nil
}

func hashOf(f *os.File) (string, error) {
	h := sha256.New()
	buf := buffers.Get().(*[]byte) // nothing else is put in
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(f, 0, 1<<62), *buf); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// buffers are what files are copied through.
var buffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// Run checks every file's hash within the scrub time, the one that was checked longest ago first, until ctx ends.
func (s *Shelf) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		s.mu.RLock()
		n := len(s.items)
		s.mu.RUnlock()
		if n == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
				continue
			}
		}
		// One more than there are, so that the time suffices while files come and go.
		timer := time.NewTimer(max(s.o.Scrub/time.Duration(n+1), time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			s.scrub()
		}
	}
}

// scrub checks the file that was checked longest ago, reading it from the disk rather than from memory where the system allows that.
func (s *Shelf) scrub() {
	it := s.stalest()
	if it == nil {
		return
	}
	f, err := os.Open(s.file(it.Name))
	if err != nil {
		s.drop(it)
		return
	}
	defer f.Close()
	// Advice: if it is not taken, the hash is that of the copy in memory.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	if err := s.check(it, f, true); err != nil && !errors.Is(err, bijou.Corrupt) {
		s.o.Log.Warn("file of the appliance cannot be checked", "file", it.Name, "error", err)
	}
	s.scrubbed.Add(1)
}

func (s *Shelf) stalest() (oldest *item) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var at time.Time
	for _, it := range s.items {
		if !it.checking.TryLock() {
			continue // it is being checked
		}
		if oldest == nil || it.verifiedAt.Before(at) {
			oldest, at = it, it.verifiedAt
		}
		it.checking.Unlock()
	}
	return oldest
}
