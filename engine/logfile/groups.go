package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"bijou"
)

// groups keeps how far each group has read a topic: a file of entries, of which the last for a group and partition holds. Each entry is
// CRC-32C of what follows (4 bytes), length of the name (1), partition (4), next offset (8), name. It is written anew when most is outdated.
type groups struct {
	disk disk
	dir  string

	mu     sync.Mutex
	file   file // nil before the first Commit
	size   int64
	live   map[groupKey]int64
	broken error
}

type groupKey struct {
	group     string
	partition int
}

const (
	entryHeader = 17
	// compactBytes is the size from which on the file is written anew when it holds four times what is needed.
	compactBytes = 64 << 10
)

func encodeEntry(buf []byte, k groupKey, next int64) []byte {
	start := len(buf)
	buf = append(buf, make([]byte, entryHeader)...)
	buf = append(buf, k.group...)
	e := buf[start:]
	e[4] = byte(len(k.group))
	binary.LittleEndian.PutUint32(e[5:], uint32(k.partition))
	binary.LittleEndian.PutUint64(e[9:], uint64(next))
	binary.LittleEndian.PutUint32(e, crc32.Checksum(e[4:], castagnoli))
	return buf
}

// parseEntry reads the first entry of b and returns its length, 0 where there is no intact one.
func parseEntry(b []byte) (k groupKey, next int64, length int) {
	if len(b) < entryHeader || len(b) < entryHeader+int(b[4]) {
		return k, 0, 0
	}
	e := b[:entryHeader+int(b[4])]
	next = int64(binary.LittleEndian.Uint64(e[9:]))
	partition := binary.LittleEndian.Uint32(e[5:])
	if crc32.Checksum(e[4:], castagnoli) != binary.LittleEndian.Uint32(e) || next < 0 || partition >= maxPartitions {
		return k, 0, 0
	}
	return groupKey{string(e[entryHeader:]), int(partition)}, next, len(e)
}

// openGroups reads the topic's file. An entry that a kill cut off is removed; it was not acknowledged.
func openGroups(d disk, dir string) (*groups, error) {
	g := &groups{disk: d, dir: dir, live: map[groupKey]int64{}}
	b, err := os.ReadFile(g.path())
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err != nil {
		return nil, failure("open", g.path(), err)
	}
	rest := b
	for len(rest) > 0 {
		k, next, n := parseEntry(rest)
		if n == 0 {
			break
		}
		g.live[k], rest = next, rest[n:]
	}
	g.size = int64(len(b) - len(rest))
	if len(rest) > 0 && !tornEntry(rest) {
		return nil, fmt.Errorf("log file %s is damaged at byte %d: put it back from a backup, or take it away, and every group reads from the start: %w",
			g.path(), g.size, bijou.Corrupt)
	}
	if err := g.settle(b[:g.size]); err != nil {
		return nil, failure("open", g.path(), err)
	}
	return g, nil
}

// settle cuts off the torn end and flushes the rest, which it writes again in its place: what a failed flush left in memory alone
// is on disk after that. It needs no space, so a full disk does not keep the log from opening.
func (g *groups) settle(whole []byte) error {
	if err := g.open(); err != nil {
		return err
	}
	_, err := g.file.WriteAt(whole, 0)
	if err = errors.Join(err, g.file.Truncate(g.size), g.file.Sync()); err != nil {
		return errors.Join(err, g.file.Close())
	}
	return nil
}

// tornEntry tells whether the bytes at the end can be one write that was cut off: no more than one entry, and none intact behind its beginning.
// Damage to the very last entry looks the same; it costs the group no more than reading some records again, which it must be able to do anyway.
func tornEntry(rest []byte) bool {
	if len(rest) > entryHeader+255 {
		return false
	}
	for i := 1; i < len(rest); i++ {
		if _, _, n := parseEntry(rest[i:]); n > 0 {
			return false
		}
	}
	return true
}

// groupsFile is the file's name in its topic's folder.
const groupsFile = "groups"

func (g *groups) path() string { return filepath.Join(g.dir, groupsFile) }

// commit has the offset on disk.
func (g *groups) commit(group string, partition int, next int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken != nil {
		return g.broken
	}
	k := groupKey{group, partition}
	if old, ok := g.live[k]; ok && old == next {
		return nil
	}
	if err := g.open(); err != nil {
		return failure("commit to", g.path(), err)
	}
	entry := encodeEntry(nil, k, next)
	if _, err := g.file.WriteAt(entry, g.size); err != nil {
		if cut := g.file.Truncate(g.size); cut != nil {
			g.broken = failure("commit to", g.path(), errors.Join(err, cut))
		}
		return failure("commit to", g.path(), err)
	}
	if err := g.file.Sync(); err != nil {
		// As for records: after a failed flush nobody knows what is on disk.
		g.broken = failure("commit to", g.path(), err)
		return g.broken
	}
	g.size += int64(len(entry))
	g.live[k] = next
	if g.size > compactBytes && g.size > 4*g.needed() {
		_ = g.rewrite() // the old file holds; the next Commit tries again
	}
	return nil
}

// open opens the file for writing, and makes it where it is missing.
func (g *groups) open() error {
	if g.file != nil {
		return nil
	}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	f, err := g.disk.open(g.path(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if err := errors.Join(g.disk.syncDir(g.dir), g.disk.syncDir(filepath.Dir(g.dir))); err != nil {
		return errors.Join(err, f.Close())
	}
	g.file = f
	return nil
}

// needed is how long the file would be if it held each group once.
func (g *groups) needed() (n int64) {
	for k := range g.live {
		n += int64(entryHeader + len(k.group))
	}
	return n
}

// encode returns the file's content with each group once.
func (g *groups) encode() (b []byte) {
	for k, next := range g.live {
		b = encodeEntry(b, k, next)
	}
	return b
}

// snapshot returns the file's content as it is now.
func (g *groups) snapshot() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.encode()
}

// rewrite replaces the file by one that holds each group once. The old one holds where it fails, unless the new one is in place
// and not known to be on disk: then nothing more is taken.
func (g *groups) rewrite() error {
	b := g.encode()
	placed, err := writeWhole(g.disk, g.dir, g.path(), b)
	if !placed {
		return err
	}
	if err != nil {
		g.broken = failure("commit to", g.path(), err)
		return err
	}
	g.size = int64(len(b))
	if g.file == nil {
		return nil
	}
	err = g.file.Close() // it has no name any more; the next Commit opens the new one
	g.file = nil
	return err
}

func (g *groups) committed(group string, partition int) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.live[groupKey{group, partition}], nil
}

func (g *groups) close(reason error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken == nil {
		g.broken = reason
	}
	if g.file == nil {
		return nil
	}
	err := g.file.Close()
	g.file = nil
	return err
}
