// Package logfile keeps the log of what happened in files of its own: the log store that needs no server.
//
// A partition is a folder of segments (see segment.go), each a sequence of checksummed frames (see frame.go). What an Append
// acknowledges is on disk. Memory does not grow with the log, and opening reads no more than the end of each partition.
package logfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bijou"
)

// format is the version of the files' layout. Version 1 is the first.
const format = 1

// Options say how much is kept.
type Options struct {
	// RetainBytes bounds the topics that Topics does not name, together; what is oldest goes first, a segment at a time. 0 keeps all.
	RetainBytes int64
	// RetainAge is how long a record is kept at least; it is gone after 1.1 times that. 0 keeps it for ever.
	RetainAge time.Duration
	// Topics says what else holds for single topics, each by itself.
	Topics map[string]Retention
	// Partitions is the number of partitions of a topic, 4 where 0. A topic that has more keeps them, since they hold records.
	Partitions int
	// SegmentBytes is about how large a segment grows before the next is begun. Where 0: 64 MiB, or a sixteenth of what is retained
	// where that is less, and at least 64 KiB.
	SegmentBytes int64
	// Now tells the time, time.Now where nil.
	Now func() time.Time
}

// Retention is how much of a topic is kept.
type Retention = bijou.Retention

// Log implements bijou.LogStore. It belongs to one process at a time.
type Log struct {
	dir     string
	options Options
	disk    disk
	lock    *os.File
	closed  chan struct{} // closed by Close
	ended   chan struct{} // closed when the keeper has ended

	shared *budget            // of the topics that have none of their own
	own    map[string]*budget // of those that Options name
	alarm  atomic.Int64       // when the keeper knows that something will be too old, in milliseconds since 1970; 0: never
	wake   chan struct{}      // tells it that it will be sooner, one token
	retain sync.Mutex         // held while segments are removed

	mu     sync.RWMutex
	topics map[string]*topic
	once   sync.Once
}

// topic is what is known of a topic's files.
type topic struct {
	partitions []*partition
	groups     *groups
}

// Open opens the log of the directory, which is made where it is missing. It fails with Conflict where another process has it open,
// with Unsupported where a newer program wrote it, with Corrupt where a file of committed offsets is damaged, and with Unavailable
// or Exhausted where it cannot be written. A damaged segment does not stop it: Read says so when it gets there.
func Open(dir string, o Options) (*Log, error) { return openOn(osDisk{}, dir, o) }

func openOn(d disk, dir string, o Options) (*Log, error) {
	o = o.withDefaults()
	l := &Log{
		dir: dir, options: o, shared: o.budget(Retention{Bytes: o.RetainBytes, Age: o.RetainAge}), own: map[string]*budget{}, disk: d, topics: map[string]*topic{},
		closed: make(chan struct{}), ended: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	for topic, r := range o.Topics {
		l.own[topic] = o.budget(r)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, failure("open", dir, err)
	}
	if err := l.takeLock(); err != nil {
		return nil, err
	}
	err := l.checkFormat()
	if err == nil {
		err = l.openTopics()
	}
	if err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	for _, b := range l.budgets() {
		l.shrink(b)
	}
	go l.keep()
	return l, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Partitions < 1 {
		o.Partitions = 4
	}
	return o
}

// takeLock sees to it that no other process writes here.
func (l *Log) takeLock() error {
	f, err := os.OpenFile(filepath.Join(l.dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return failure("open", l.dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("log %s is open in another process or twice in this one (%v): stop that one first: %w", l.dir, err, bijou.Conflict)
		return errors.Join(err, f.Close())
	}
	l.lock = f
	return nil
}

// checkFormat refuses what a newer program wrote, and notes the version where there is none yet.
func (l *Log) checkFormat() error {
	name := filepath.Join(l.dir, ".format")
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := writeWhole(l.disk, l.dir, name, []byte(strconv.Itoa(format)+"\n")); err != nil {
			return failure("open", l.dir, err)
		}
		return nil
	}
	if err != nil {
		return failure("open", l.dir, err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil || version < 1:
		return fmt.Errorf("log %s: file .format holds %.20q and not a version: put it back from a backup: %w", l.dir, b, bijou.Corrupt)
	case version > format:
		return fmt.Errorf("log %s has format %d and this program knows %d: use the newer program that wrote it: %w", l.dir, version, format, bijou.Unsupported)
	}
	return nil
}

// openTopics opens what is there.
func (l *Log) openTopics() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return failure("open", l.dir, err)
	}
	for _, e := range entries {
		if !e.IsDir() || bijou.CheckLogName("topic", e.Name()) != nil {
			continue // not ours
		}
		t, err := l.openTopic(e.Name())
		if err != nil {
			return err
		}
		l.topics[e.Name()] = t
	}
	return nil
}

// openTopic opens the topic's partitions, as many as are configured or more where more are there.
func (l *Log) openTopic(name string) (*topic, error) {
	dir := filepath.Join(l.dir, name)
	count := l.options.Partitions
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failure("open", dir, err)
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() && n >= 0 && n < maxPartitions && strconv.Itoa(n) == e.Name() {
			count = max(count, n+1)
		}
	}
	t := &topic{}
	for n := range count {
		p, err := openPartition(l, l.budgetOf(name), filepath.Join(dir, strconv.Itoa(n)))
		if err != nil {
			return nil, errors.Join(err, t.close(nil))
		}
		t.partitions = append(t.partitions, p)
	}
	if t.groups, err = openGroups(l.disk, dir); err != nil {
		return nil, errors.Join(err, t.close(nil))
	}
	return t, nil
}

// maxPartitions bounds what a folder's name may ask for.
const maxPartitions = 1 << 16

// close lets go of the topic's files, once nobody writes to them.
func (t *topic) close(reason error) (err error) {
	for _, p := range t.partitions {
		p.turn <- struct{}{}
		err = errors.Join(err, p.close(reason))
		<-p.turn
	}
	if t.groups != nil {
		err = errors.Join(err, t.groups.close(reason))
	}
	return err
}

// Close waits for the Appends that are being written, lets go of the files, and ends the Reads that wait, with Unavailable.
// What was acknowledged is on disk without it.
func (l *Log) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		<-l.ended
		if err = l.closeFiles(); err != nil {
			err = failure("close", l.dir, err)
		}
	})
	return err
}

func (l *Log) closeFiles() (err error) {
	// The lock is let go of before waiting for writers, who take it too. No topic comes to be after closed is closed.
	l.mu.Lock()
	topics := maps.Clone(l.topics)
	l.mu.Unlock()
	for _, t := range topics {
		err = errors.Join(err, t.close(l.errClosed()))
	}
	return errors.Join(err, l.lock.Close())
}

func (l *Log) errClosed() error {
	return fmt.Errorf("log %s is closed: %w", l.dir, bijou.Unavailable)
}

// now is the time in milliseconds since 1970.
func (l *Log) now() int64 { return l.options.Now().UnixMilli() }

// topic returns the topic, which exists from its first use.
func (l *Log) topic(name string) (*topic, error) {
	if err := bijou.CheckLogName("topic", name); err != nil {
		return nil, err
	}
	l.mu.RLock()
	t := l.topics[name]
	l.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[name]; t != nil {
		return t, nil
	}
	select {
	case <-l.closed:
		return nil, l.errClosed()
	default:
	}
	t, err := l.openTopic(name)
	if err != nil {
		return nil, err
	}
	l.topics[name] = t
	return t, nil
}

func (l *Log) partition(name string, n int) (*topic, *partition, error) {
	t, err := l.topic(name)
	if err != nil {
		return nil, nil, err
	}
	if n < 0 || n >= len(t.partitions) {
		return nil, nil, fmt.Errorf("topic %s has partitions 0 to %d, and %d was asked for: %w", name, len(t.partitions)-1, n, bijou.Invalid)
	}
	return t, t.partitions[n], nil
}

// Append implements bijou.LogStore. Appends to a partition that meet share one flush to disk; where that fails, the records may be there all
// the same.
func (l *Log) Append(ctx context.Context, name string, n int, records []bijou.Record) (int64, error) {
	_, p, err := l.partition(name, n)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	bytes, err := bijou.CheckRecords(name, records)
	if err != nil {
		return 0, err
	}
	return p.append(records, bytes)
}

// Read implements bijou.LogStore. It returns about 4 MiB at most. It fails with Corrupt, naming file and place, where
// what is stored there is not what was stored.
func (l *Log) Read(ctx context.Context, name string, n int, from int64, limit int) ([]bijou.Record, error) {
	_, p, err := l.partition(name, n)
	if err != nil {
		return nil, err
	}
	if from < 0 || limit < 1 {
		return nil, fmt.Errorf("read topic %s: %d records from offset %d: ask for one at least, from 0 on: %w", name, limit, from, bijou.Invalid)
	}
	return p.read(ctx, from, limit)
}

// Commit implements bijou.LogStore.
func (l *Log) Commit(ctx context.Context, group, name string, n int, next int64) error {
	t, _, err := l.partition(name, n)
	if err != nil {
		return err
	}
	if err := bijou.CheckLogName("group", group); err != nil {
		return err
	}
	if next < 0 {
		return fmt.Errorf("group %s commits offset %d of topic %s: offsets are from 0 on: %w", group, next, name, bijou.Invalid)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.groups.commit(group, n, next)
}

// Committed implements bijou.LogStore.
func (l *Log) Committed(_ context.Context, group, name string, n int) (int64, error) {
	t, _, err := l.partition(name, n)
	if err != nil {
		return 0, err
	}
	if err := bijou.CheckLogName("group", group); err != nil {
		return 0, err
	}
	return t.groups.committed(group, n)
}

// Partitions implements bijou.LogStore.
func (l *Log) Partitions(_ context.Context, name string) (int, error) {
	t, err := l.topic(name)
	if err != nil {
		return 0, err
	}
	return len(t.partitions), nil
}
