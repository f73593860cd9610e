package shelf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"
)

// sum is the SHA-256 of a file.
type sum [32]byte

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// parseSum reads 64 hexadecimal digits.
func parseSum(text string) (s sum, ok bool) {
	if len(text) != 2*len(s) {
		return s, false
	}
	_, err := hex.Decode(s[:], []byte(text))
	return s, err == nil
}

// item is a whole file on disk. What is not atomic never changes, or is guarded by Shelf.mu.
type item struct {
	node            node[*item]
	name            string
	size            int64
	sum             sum
	mediaType, etag string
	modified, at    time.Time
	from            string
	asset           *asset

	seen    atomic.Pointer[stamp]  // how the file looked when its hash was last found right in this process
	checked atomic.Int64           // when that was, in Unix nanoseconds; 0 for never
	gone    atomic.Bool            // it is not in the books any more
	open    atomic.Pointer[handle] // of it, while it stays open
	cut     atomic.Bool            // and whoever reads it stops: it was removed with its asset, or is corrupt
}

// stamp is how a file looks from outside. Whoever changes what is in it changes the stamp.
type stamp struct {
	size         int64
	inode, links uint64 // without links it is gone, in whichever tick of the file system's clock that was
	mtime, ctime syscall.Timespec
}

func stampOf(f *os.File) (stamp, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Fstat(int(f.Fd()), &st)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return stamp{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
		}
		return stamp{st.Size, st.Ino, uint64(st.Nlink), st.Mtim, st.Ctim}, nil
	}
}

// openItem opens a file, and tells how it looks.
func (s *Shelf) openItem(it *item) (*os.File, stamp, error) {
	f, err := os.OpenFile(s.Path(it.name), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	st, err := stampOf(f)
	if err != nil {
		f.Close()
		return nil, stamp{}, err
	}
	return f, st, nil
}

// keep puts a whole file into the books, which only ever happens where there is none of its name: one that was filled just now, or, where f is nil, one
// that was there when the shelf was opened. The asset's stripe is held, or nobody else knows the shelf yet.
func (s *Shelf) keep(it *item, f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.assetFor(assetOf(it.name))
	it.asset = a
	a.add(it)
	a.used.Store(it.at.Unix())
	if f == nil {
		s.queue.restore(&it.node)
	} else {
		s.queue.add(&it.node)
		s.settled(f)
	}
	s.held += it.size
	s.files++
	s.version++
	sh := s.shard(it.name)
	sh.mu.Lock()
	sh.items[it.name] = it
	delete(sh.fills, it.name)
	sh.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // the scrubber knows
	}
}

// forget takes a file out of the books, and tells whether it was there. Shelf.mu is held.
func (s *Shelf) forget(it *item) bool {
	if it.gone.Swap(true) {
		return false
	}
	sh := s.shard(it.name)
	sh.mu.Lock()
	delete(sh.items, it.name)
	sh.mu.Unlock()
	it.letGo()
	s.queue.remove(&it.node)
	s.held -= it.size
	s.files--
	s.version++
	it.asset.drop(it)
	s.tidyAsset(it.asset)
	return true
}

// makeRoom takes out of the books what has to go so that n more bytes fit under the cap, and tells whether they do. It takes nothing where they cannot.
// What it took has to be discarded once Shelf.mu, which is held, is not any more.
func (s *Shelf) makeRoom(n int64) (victims []*item, drops []*fill, ok bool) {
	spare := s.held
	for _, f := range s.parked {
		if f.idle() {
			spare += f.reserved
		}
	}
	if s.held+s.filling-spare+n > s.o.Cap {
		return nil, nil, false
	}
	return s.throwOut(func() bool { return s.held+s.filling+n <= s.o.Cap })
}

// throwOut takes files out of the books, half-filled ones first, until it is enough or nothing is left. Shelf.mu is held.
func (s *Shelf) throwOut(enough func() bool) (victims []*item, drops []*fill, ok bool) {
	for !enough() {
		if len(s.parked) > 0 {
			f := s.parked[0]
			s.parked = s.parked[1:]
			f.listed = false
			if f.drop() {
				s.filling -= f.reserved
				f.reserved = 0
				drops = append(drops, f)
			}
			continue
		}
		n := s.queue.evict()
		if n == nil {
			return victims, drops, false
		}
		s.forget(n.value)
		victims = append(victims, n.value)
	}
	return victims, drops, true
}

// discard removes from disk what was taken out of the books. Whoever reads one of them reads on.
func (s *Shelf) discard(victims []*item, drops []*fill) {
	s.n.evicted.Add(int64(len(victims)))
	for _, it := range victims {
		s.unlink(it, false)
	}
	for _, f := range drops {
		f.unmap()
		f.removeTemp()
	}
}

// unlink removes a file that is not in the books any more from the disk and the index, unless another of its name has come meanwhile. Where it is to
// be cut, whoever reads it finds it empty, also the kernel on the way to a viewer.
func (s *Shelf) unlink(it *item, cut bool) {
	id := assetOf(it.name)
	stripe := s.stripe(id)
	stripe.Lock()
	defer stripe.Unlock()
	if s.lookup(it.name) != nil {
		return
	}
	s.mu.Lock()
	a := s.assets[id]
	empty := a == nil || len(a.items) == 0
	if !empty {
		a.dead += 2 // the file's own line, and the one that says that it is gone
	}
	s.mu.Unlock()
	path := s.Path(it.name)
	if cut {
		if err := os.Truncate(path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Log.Warn("file of the appliance is not cut off", "file", it.name, "error", err)
		}
	}
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("file of the appliance is not removed", "file", it.name, "error", err)
	}
	// After the file, which may have filled the disk. Where a kill comes in between, the file is missed at the next start.
	if empty {
		err = os.Remove(s.indexPath(id))
	} else {
		err = s.append(id, line{Name: it.name, Gone: true})
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("index of the appliance is not written", "file", it.name, "error", err) // as above
	}
	for dir := filepath.Dir(path); len(dir) > len(s.o.Dir+"/files"); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break // not empty
		}
	}
}

// reserve sees to it that so much room is set aside for a fill, and throws files out where that takes it. It is refused where everything else is
// being filled.
func (s *Shelf) reserve(f *fill, n int64) bool {
	s.mu.Lock()
	n -= f.reserved
	victims, drops, ok := s.makeRoom(n)
	if ok {
		s.filling += n
		f.reserved += n
	}
	s.mu.Unlock()
	s.discard(victims, drops)
	return ok
}

// release gives back what was reserved.
func (s *Shelf) release(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled(f)
}

// settled takes a fill that has ended out of the books. Shelf.mu is held.
func (s *Shelf) settled(f *fill) {
	s.filling -= f.reserved
	f.reserved = 0
	if f.listed {
		f.listed = false
		s.parked = slices.DeleteFunc(s.parked, func(other *fill) bool { return other == f })
	}
}

// squeeze throws n bytes out of a disk that is full though the cap is not reached, and returns how many went. Where that was of no use lately it throws
// nothing out: somebody else fills the disk.
func (s *Shelf) squeeze(n int64) int64 {
	s.mu.Lock()
	if s.o.Now().Before(s.restUntil) {
		s.mu.Unlock()
		return 0
	}
	before := s.held + s.filling
	victims, drops, _ := s.throwOut(func() bool { return before-s.held-s.filling >= n })
	freed := before - s.held - s.filling
	s.mu.Unlock()
	s.discard(victims, drops)
	return freed
}

// lose notes that a file is not where it was left.
func (s *Shelf) lose(it *item) {
	s.mu.Lock()
	was := s.forget(it)
	s.mu.Unlock()
	if was {
		s.n.lost.Add(1)
		s.unlink(it, false)
	}
}

// corrupted removes a file that is not what was stored, cuts its readers off, and has it fetched again. It returns what the reader is told.
func (s *Shelf) corrupted(it *item, how string) error {
	s.mu.Lock()
	was := s.forget(it)
	s.mu.Unlock()
	if was {
		it.cut.Store(true)
		s.n.corrupt.Add(1)
		s.n.lastCorrupt.Store(s.o.Now().UnixNano())
		s.o.Log.Error("file is corrupt and was removed", "file", it.name, "how", how)
		s.unlink(it, true)
		s.again(it.name)
	}
	return fmt.Errorf("%s is not what was stored (%s): it was removed, and is fetched again: %w", it.name, how, bijou.Corrupt)
}

// Remove removes every file of the asset at once. Whoever reads one is cut off, and nothing of it is kept or fetched until Restore. Of an asset that was
// removed already there is nothing to do. It fails with Unavailable where files cannot be removed from the disk: they are not served all the same, and go
// when it is called again.
func (s *Shelf) Remove(id bijou.AssetID) error {
	stripe := s.stripe(id)
	stripe.Lock()
	defer stripe.Unlock()
	s.mu.Lock()
	a := s.assetFor(id)
	if a.gone && a.swept {
		s.mu.Unlock()
		return nil // nothing came since
	}
	a.gone, a.contents, a.title, a.have, a.dead = true, nil, "", 0, 0
	s.version++
	items := make([]*item, 0, len(a.items))
	for it := range a.items {
		items = append(items, it)
	}
	for _, it := range items {
		s.forget(it)
		it.cut.Store(true)
	}
	s.mu.Unlock()
	for i := range s.shards {
		for _, f := range s.shards[i].all() {
			if assetOf(f.name) == id {
				f.fail(removed(f.name))
			}
		}
	}
	err := os.Remove(s.indexPath(id)) // first: what is left by a kill goes at the next start
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = syncFolder(s.path("index"))
	}
	for _, it := range items {
		if e := os.Truncate(s.Path(it.name), 0); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err := errors.Join(err, os.RemoveAll(s.path("files", safe(string(id))))); err != nil {
		return s.failure("remove "+string(id), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.swept = true
	return nil
}

// Restore lets files of the asset be kept again.
func (s *Shelf) Restore(id bijou.AssetID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.assets[id]; a != nil && a.gone {
		a.gone, a.swept = false, false
		s.version++
		s.tidyAsset(a)
	}
}

func removed(name string) error { return fmt.Errorf("%s was removed: %w", name, bijou.NotFound) }

// isNameTrouble tells whether the file's name is what the disk does not take: another file's is its folder, or it is too long.
func isNameTrouble(err error) bool {
	for _, e := range []error{syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENAMETOOLONG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
