package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"bijou"
)

// Snapshot is the whole log as it was at one moment: its records up to then, and what groups had committed a little before. So no group has
// committed what is not there. What retention removes in the meantime is still there for who reads the snapshot.
type Snapshot struct{ files []SnapshotFile }

// SnapshotFile is one file of the log's layout.
type SnapshotFile struct {
	Name     string // below the log's directory, with slashes
	Size     int64  // bytes
	Modified time.Time
	Content  io.ReaderAt
	close    io.Closer
}

// Snapshot makes a snapshot, which has to be closed. Indexes are left out: opening the log does without.
func (l *Log) Snapshot() (*Snapshot, error) {
	l.mu.RLock()
	topics := maps.Clone(l.topics)
	l.mu.RUnlock()
	s := &Snapshot{}
	s.add(".format", []byte(strconv.Itoa(format)+"\n"), l.options.Now())
	names := slices.Sorted(maps.Keys(topics))
	for _, name := range names { // all groups before all records
		if b := topics[name].groups.snapshot(); len(b) > 0 {
			s.add(path.Join(name, groupsFile), b, l.options.Now())
		}
	}
	for _, name := range names {
		for n, p := range topics[name].partitions {
			if err := s.addPartition(path.Join(name, strconv.Itoa(n)), p); err != nil {
				return nil, errors.Join(failure("make a snapshot of", p.dir, err), s.Close())
			}
		}
	}
	return s, nil
}

func (s *Snapshot) add(name string, b []byte, at time.Time) {
	s.files = append(s.files, SnapshotFile{Name: name, Size: int64(len(b)), Modified: at, Content: bytes.NewReader(b), close: io.NopCloser(nil)})
}

// addPartition adds the segments. One that retention removes before it is open is older than the snapshot.
func (s *Snapshot) addPartition(name string, p *partition) error {
	p.mu.Lock()
	segments := slices.Clone(p.segments)
	p.mu.Unlock()
	for _, seg := range segments {
		file := segmentPath(p.dir, seg.base)
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) && !p.holds(seg.base) {
			continue
		}
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		s.files = append(s.files, SnapshotFile{path.Join(name, filepath.Base(file)), seg.size, info.ModTime(), f, f})
	}
	return nil
}

// Files returns what the log's directory holds at the snapshot's moment.
func (s *Snapshot) Files() []SnapshotFile { return s.files }

// Close lets go of the snapshot.
func (s *Snapshot) Close() (err error) {
	for _, f := range s.files {
		err = errors.Join(err, f.close.Close())
	}
	s.files = nil
	return err
}

// Check reads every record that the log holds and returns how many there are. It fails with Corrupt, naming file and place, where what is
// stored is not what was stored.
func (l *Log) Check(ctx context.Context) (records int64, err error) {
	for _, p := range l.all() {
		p.mu.Lock()
		segments := slices.Clone(p.segments)
		p.mu.Unlock()
		for _, seg := range segments {
			n, err := checkSegment(ctx, segmentPath(p.dir, seg.base), seg)
			if errors.Is(err, fs.ErrNotExist) && !p.holds(seg.base) {
				continue // retention was quicker
			}
			if records += n; err != nil && ctx.Err() != nil {
				return records, ctx.Err()
			}
			if err != nil {
				return records, failure("check", p.dir, err)
			}
		}
	}
	return records, nil
}

func checkSegment(ctx context.Context, name string, seg segment) (records int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := make([]byte, segmentHeader)
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.Equal(head, encodeSegmentHeader(seg.base)) {
		return 0, damaged(name, 0, "its head is none")
	}
	var frame []byte
	var all []bijou.Record
	for position, base := int64(segmentHeader), seg.base; position < seg.size; {
		if err := ctx.Err(); err != nil {
			return records, err
		}
		h, whole, err := readFrame(f, position, seg.size, frame)
		if err != nil {
			return records, err
		}
		if whole == nil || h.base != base {
			return records, damaged(name, position, "no intact record is there")
		}
		frame = whole
		var ok bool
		if all, ok = h.records(frame[frameHeader:], 0, int(h.count), all[:0]); !ok {
			return records, damaged(name, position, "its records cannot be read")
		}
		records, position, base = records+h.count, position+h.whole(), h.next()
	}
	return records, nil
}
