package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bijou"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func one(value string) []bijou.Record { return []bijou.Record{{Value: []byte(value)}} }

func mustAppend(t testing.TB, l *Log, values ...string) {
	t.Helper()
	for _, v := range values {
		if _, err := l.Append(t.Context(), "facts", 0, one(v)); err != nil {
			t.Fatalf("append %.20q: %v", v, err)
		}
	}
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func texts(rs []bijou.Record) (out []string) {
	for _, r := range rs {
		out = append(out, string(r.Value))
	}
	return out
}

// segments returns the paths of the partition's files with the extension, oldest first.
func segments(t testing.TB, dir, extension string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "facts", "0", "*"+extension))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// copyDir copies the log as it lies there, as a kill would leave it.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// The model of the property: what each partition holds, and what a group committed.
func TestTheLogIsItsModelWhateverIsDoneToIt(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(root, "log")
		if err != nil {
			r.Fatal(err)
		}
		options := Options{Partitions: 2, SegmentBytes: rapid.Int64Range(100, 2000).Draw(r, "segment bytes")}
		l, err := openOn(unflushed{}, dir, options)
		if err != nil {
			r.Fatal(err)
		}
		defer func() { mustClose(t, l) }() // also where rapid gives up on a run that it could not draw
		var model [2][]string
		committed := map[string]int64{}
		partition := rapid.IntRange(0, 1)
		r.Repeat(map[string]func(*rapid.T){
			"append": func(r *rapid.T) {
				p := partition.Draw(r, "partition")
				values := rapid.SliceOfN(rapid.StringN(0, 20, 400), 1, 5).Draw(r, "values")
				var rs []bijou.Record
				for _, v := range values {
					rs = append(rs, bijou.Record{Value: []byte(v)})
				}
				first, err := l.Append(t.Context(), "facts", p, rs)
				if err != nil || first != int64(len(model[p])) {
					r.Fatalf("append: got offset %d and error %v, want %d", first, err, len(model[p]))
				}
				model[p] = append(model[p], values...)
			},
			"read": func(r *rapid.T) {
				p := partition.Draw(r, "partition")
				if len(model[p]) == 0 {
					return
				}
				from, limit := rapid.IntRange(0, len(model[p])-1).Draw(r, "from"), rapid.IntRange(1, 10).Draw(r, "limit")
				rs, err := l.Read(t.Context(), "facts", p, int64(from), limit)
				if err != nil || len(rs) == 0 || len(rs) > limit || rs[0].Offset != int64(from) {
					r.Fatalf("read from %d: got %d records and error %v, want 1 to %d", from, len(rs), err, limit)
				}
				if got, want := texts(rs), model[p][from:from+len(rs)]; !slices.Equal(got, want) {
					r.Fatalf("read from %d: got %q, want %q", from, got, want)
				}
			},
			"commit": func(r *rapid.T) {
				group, next := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "group"), rapid.Int64Range(0, 100).Draw(r, "next")
				if err := l.Commit(t.Context(), group, "facts", 0, next); err != nil {
					r.Fatal(err)
				}
				committed[group] = next
			},
			"reopen": func(r *rapid.T) {
				l = reopened(r, l, rapid.Bool().Draw(r, "without indexes"))
			},
			"": func(r *rapid.T) {
				for group, want := range committed {
					if got, err := l.Committed(t.Context(), group, "facts", 0); err != nil || got != want {
						r.Fatalf("committed of %s: got %d and error %v, want %d", group, got, err, want)
					}
				}
			},
		})
	})
}

// reopened closes the log and opens it again, perhaps after its indexes were lost.
func reopened(r *rapid.T, l *Log, withoutIndexes bool) *Log {
	if err := l.Close(); err != nil {
		r.Fatal(err)
	}
	if withoutIndexes {
		indexes, err := filepath.Glob(filepath.Join(l.dir, "facts", "*", "*.idx"))
		if err != nil {
			r.Fatal(err)
		}
		for _, name := range indexes {
			if err := os.Remove(name); err != nil {
				r.Fatal(err)
			}
		}
	}
	again, err := openOn(unflushed{}, l.dir, l.options)
	if err != nil {
		r.Fatal(err)
	}
	return again
}

func TestATornTailIsCutOffWhereverItIsTorn(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{Partitions: 1})
	mustAppend(t, l, "first", "second")
	whole := segments(t, dir, ".seg")[0]
	before, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(segments(t, dir, ".idx")[0])
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "the last record")
	after, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	for _, indexed := range []bool{true, false} {
		for cut := len(before); cut < len(after); cut++ {
			killed := t.TempDir()
			part := filepath.Join(killed, "facts", "0")
			write(t, filepath.Join(part, filepath.Base(whole)), after[:cut])
			if indexed { // it knows of what was acknowledged, not of what was being written
				write(t, filepath.Join(part, "00000000000000000000.idx"), index)
			}
			l, err := openOn(unflushed{}, killed, Options{Partitions: 1})
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, "after")
			if got := texts(readEnd(t, l, "facts", 0)); !slices.Equal(got, []string{"first", "second", "after"}) {
				t.Fatalf("torn at byte %d of %d, index there: %v: got %q, want what was whole", cut, len(after), indexed, got)
			}
			mustClose(t, l)
		}
	}
}

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// readUntilDamage reads all it can and returns the records and what ended it.
func readUntilDamage(t *testing.T, l *Log, end int64) (got []string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a log that lost its end would be waited for
	defer cancel()
	for next := int64(0); next < end; {
		rs, err := l.Read(ctx, "facts", 0, next, 2)
		if err != nil {
			return got, err
		}
		got, next = append(got, texts(rs)...), rs[len(rs)-1].Offset+1
	}
	return got, nil
}

func TestAFlippedBitAnywhereIsReportedAndNeverReturned(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{Partitions: 1, SegmentBytes: 150})
	var want []string
	for n := range 6 {
		want = append(want, fmt.Sprint("record ", n))
	}
	mustAppend(t, l, want...)
	mustClose(t, l)
	files := segments(t, dir, ".seg")
	if len(files) < 2 {
		t.Fatalf("got %d segments, want several", len(files))
	}
	for _, indexed := range []bool{true, false} {
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for at := range content {
				lastFrame := len(content) - frameHeader - 2 - len(want[0])
				if !indexed && name == files[len(files)-1] && at >= lastFrame {
					continue // without an index, damage at the very end cannot be told from a write that was cut off
				}
				broken := copyDir(t, dir)
				path := filepath.Join(broken, "facts", "0", filepath.Base(name))
				bad := bytes.Clone(content)
				bad[at] ^= 1 << (at % 8)
				write(t, path, bad)
				if !indexed {
					for _, idx := range segments(t, broken, ".idx") {
						if err := os.Remove(idx); err != nil {
							t.Fatal(err)
						}
					}
				}
				wantDamage(t, broken, path, at, want)
			}
		}
	}
}

// wantDamage fails the test where reading the log gives anything but a beginning of want and then Corrupt with the path.
func wantDamage(t *testing.T, dir, path string, at int, want []string) {
	t.Helper()
	l, err := openOn(unflushed{}, dir, Options{Partitions: 1, SegmentBytes: 150})
	if err != nil {
		t.Fatalf("open with a bit flipped in byte %d of %s: %v", at, path, err)
	}
	defer l.Close()
	got, err := readUntilDamage(t, l, int64(len(want)))
	if !errors.Is(err, bijou.Corrupt) || !strings.Contains(fmt.Sprint(err), path+" is damaged at byte ") {
		t.Fatalf("bit flipped in byte %d of %s: got error %v after %d records, want one of kind %q that names the file and the byte", at, path, err, len(got), bijou.Corrupt)
	}
	if len(got) >= len(want) || !slices.Equal(got, want[:len(got)]) {
		t.Fatalf("bit flipped in byte %d: got %q, want a beginning of %q", at, got, want)
	}
	// Appending goes on behind what was acknowledged.
	if first, err := l.Append(t.Context(), "facts", 0, one("new")); err != nil || first != int64(len(want)) {
		t.Fatalf("append to the damaged log: got offset %d and error %v, want %d", first, err, len(want))
	}
}

func TestTakingADamagedSegmentAwayGoesOnAfterItAndGivesNoOffsetTwice(t *testing.T) {
	for take := range 3 {
		dir := t.TempDir()
		o := Options{Partitions: 1, SegmentBytes: 100}
		l := openLog(t, dir, o)
		mustAppend(t, l, strings.Repeat("a", 60), strings.Repeat("b", 60), strings.Repeat("c", 60))
		mustClose(t, l)
		if err := os.Remove(segments(t, dir, ".seg")[take]); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			l = openLog(t, dir, o)
			mustClose(t, l)
		}
		l = openLog(t, dir, o)
		if first, err := l.Append(t.Context(), "facts", 0, one("d")); err != nil || first != 3 {
			t.Errorf("append after segment %d was taken away: got offset %d and error %v, want 3", take, first, err)
		}
		var got string
		for _, r := range readEnd(t, l, "facts", 0) {
			got += string(r.Value[:1])
		}
		if want := strings.ReplaceAll("abcd", string("abc"[take]), ""); got != want {
			t.Errorf("records after segment %d was taken away: got %q, want %q", take, got, want)
		}
	}
}

// failing is a disk whose writes and flushes fail when they are told to.
type failing struct {
	osDisk
	mu    sync.Mutex
	write error // half of the bytes are written before it
	sync  error
}

type failingFile struct {
	file
	disk *failing
}

func (d *failing) set(write, sync error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write, d.sync = write, sync
}

func (d *failing) open(name string, flag int) (file, error) {
	f, err := d.osDisk.open(name, flag)
	if err != nil {
		return nil, err
	}
	return &failingFile{f, d}, nil
}

func (f *failingFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	fail := f.disk.write
	f.disk.mu.Unlock()
	if fail == nil {
		return f.file.WriteAt(b, at)
	}
	n, err := f.file.WriteAt(b[:len(b)/2], at)
	return n, errors.Join(err, fail)
}

func (f *failingFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return errors.Join(f.disk.sync, f.file.Sync())
}

func openFailing(t *testing.T, dir string, o Options) (*Log, *failing) {
	t.Helper()
	d := &failing{}
	l, err := openOn(d, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l, d
}

func TestAFullDiskIsExhaustedAndTheLogGoesOnWhenThereIsSpace(t *testing.T) {
	for _, segmentBytes := range []int64{1 << 20, 60} { // within a segment, and where a new one is to be begun
		dir := t.TempDir()
		l, disk := openFailing(t, dir, Options{Partitions: 1, SegmentBytes: segmentBytes})
		mustAppend(t, l, "before")
		if err := l.Commit(t.Context(), "group", "facts", 0, 1); err != nil {
			t.Fatal(err)
		}
		disk.set(syscall.ENOSPC, nil)
		for range 3 {
			if _, err := l.Append(t.Context(), "facts", 0, one("does not fit")); !errors.Is(err, bijou.Exhausted) {
				t.Errorf("append to a full disk: got error %v, want one of kind %q", err, bijou.Exhausted)
			}
			if err := l.Commit(t.Context(), "group", "facts", 0, 9); !errors.Is(err, bijou.Exhausted) {
				t.Errorf("commit to a full disk: got error %v, want one of kind %q", err, bijou.Exhausted)
			}
		}
		disk.set(nil, nil)
		mustAppend(t, l, "after")
		for range 2 {
			if got := texts(readEnd(t, l, "facts", 0)); !slices.Equal(got, []string{"before", "after"}) {
				t.Errorf("segments of %d: got %q, want what was acknowledged", segmentBytes, got)
			}
			if got, err := l.Committed(t.Context(), "group", "facts", 0); err != nil || got != 1 {
				t.Errorf("committed: got %d and error %v, want 1", got, err)
			}
			mustClose(t, l)
			l = openLog(t, dir, Options{Partitions: 1, SegmentBytes: segmentBytes})
		}
	}
}

func TestAfterAFailedFlushNothingIsTakenUntilTheLogIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	l, disk := openFailing(t, dir, Options{Partitions: 2})
	mustAppend(t, l, "before")
	disk.set(nil, syscall.EIO)
	if _, err := l.Append(t.Context(), "facts", 0, one("perhaps")); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("append whose flush fails: got error %v, want one of kind %q", err, bijou.Unavailable)
	}
	disk.set(nil, nil) // the next flush would succeed, and mean nothing
	if _, err := l.Append(t.Context(), "facts", 0, one("refused")); !errors.Is(err, bijou.Unavailable) || !strings.Contains(fmt.Sprint(err), "earlier flush") {
		t.Errorf("append after a failed flush: got error %v, want one of kind %q that says why", err, bijou.Unavailable)
	}
	if got := texts(readEnd(t, l, "facts", 0)); !slices.Equal(got, []string{"before"}) {
		t.Errorf("records after a failed flush: got %q, want those that were acknowledged", got)
	}
	if _, err := l.Append(t.Context(), "facts", 1, one("elsewhere")); err != nil {
		t.Errorf("append to another partition: %v", err)
	}
	mustClose(t, l)
	l = openLog(t, dir, Options{Partitions: 2})
	mustAppend(t, l, "after")
	got := texts(readEnd(t, l, "facts", 0))
	if got[0] != "before" || got[len(got)-1] != "after" || slices.Contains(got, "refused") {
		t.Errorf("records after opening again: got %q, want before and after, and perhaps what failed", got)
	}
}

func TestAppendsThatMeetShareAFlush(t *testing.T) {
	const many = 50
	d := &gated{gate: make(chan struct{}), waiting: make(chan struct{}, many)}
	l, err := openOn(d, t.TempDir(), Options{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustAppend(t, l, "first") // makes the files
	d.shut.Store(true)
	var all sync.WaitGroup
	all.Go(func() { mustAppendBackground(t, l, "leads") })
	<-d.waiting // the first flush is under way
	for n := range many {
		all.Go(func() { mustAppendBackground(t, l, fmt.Sprint(n)) })
	}
	_, p, err := l.partition("facts", 0)
	if err != nil {
		t.Fatal(err)
	}
	for gathered := int64(0); gathered < many; {
		p.mu.Lock()
		if p.gathering != nil {
			gathered = p.gathering.count
		}
		p.mu.Unlock()
	}
	close(d.gate)
	all.Wait()
	if got := d.flushes.Load(); got != 2 {
		t.Errorf("%d appends while one was being flushed took %d flushes together, want 2", many, got)
	}
	if got := len(readEnd(t, l, "facts", 0)); got != many+2 {
		t.Errorf("got %d records, want %d", got, many+2)
	}
}

func mustAppendBackground(t *testing.T, l *Log, value string) {
	if _, err := l.Append(t.Context(), "facts", 0, one(value)); err != nil {
		t.Errorf("append: %v", err)
	}
}

func TestASecondOpenIsRefusedUntilTheFirstIsClosed(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, bijou.Conflict) || !strings.Contains(fmt.Sprint(err), dir) {
		t.Errorf("open twice: got error %v, want one of kind %q that names %s", err, bijou.Conflict, dir)
	}
	mustClose(t, l)
	mustClose(t, openLog(t, dir, Options{}))
}

func TestANewerFormatIsRefusedAndAnUnreadableOneIsCorrupt(t *testing.T) {
	for content, want := range map[string]bijou.Kind{"2\n": bijou.Unsupported, "999": bijou.Unsupported, "": bijou.Corrupt, "0": bijou.Corrupt, "one": bijou.Corrupt} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, ".format"), []byte(content))
		if _, err := Open(dir, Options{}); !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), dir) {
			t.Errorf("open with format %q: got error %v, want one of kind %q that names %s", content, err, want, dir)
		}
	}
}

func TestNamesThatAreNoSafeFoldersAreInvalid(t *testing.T) {
	l := openLog(t, t.TempDir(), Options{})
	for _, name := range []string{"", ".", "..", ".lock", "a/b", "../a", "a\x00", "a b", "A", "ä", strings.Repeat("a", 101)} {
		_, appended := l.Append(t.Context(), name, 0, one("x"))
		_, read := l.Read(t.Context(), name, 0, 0, 1)
		_, count := l.Partitions(t.Context(), name)
		_, committed := l.Committed(t.Context(), name, "facts", 0)
		for what, err := range map[string]error{
			"append": appended, "read": read, "partitions": count, "group": l.Commit(t.Context(), name, "facts", 0, 1), "committed": committed,
		} {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("%s of name %.20q: got error %v, want one of kind %q", what, name, err, bijou.Invalid)
			}
		}
	}
}

func TestATopicKeepsPartitionsBeyondTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{Partitions: 6})
	if _, err := l.Append(t.Context(), "facts", 5, one("far out")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	l = openLog(t, dir, Options{Partitions: 2})
	if n, err := l.Partitions(t.Context(), "facts"); err != nil || n != 6 {
		t.Errorf("partitions of a topic that has records in the sixth: got %d and error %v, want 6", n, err)
	}
	if got := texts(readEnd(t, l, "facts", 5)); !slices.Equal(got, []string{"far out"}) {
		t.Errorf("records of the sixth partition: got %q, want far out", got)
	}
}

func TestOldestSegmentsGoWhenTheLogIsTooLargeAndReadsGoOnAfterThem(t *testing.T) {
	dir := t.TempDir()
	o := Options{Partitions: 2, RetainBytes: 5000, SegmentBytes: 1000}
	l := openLog(t, dir, o)
	for n := range 100 {
		if _, err := l.Append(t.Context(), "facts", n%2, one(fmt.Sprint(n, strings.Repeat("x", 200)))); err != nil {
			t.Fatal(err)
		}
		if size := sizeOf(t, dir); size > o.RetainBytes+2*o.SegmentBytes {
			t.Fatalf("after append %d the log has %d bytes, want %d and no more than two segments on top", n, size, o.RetainBytes)
		}
	}
	for p := range 2 {
		rs, err := l.Read(t.Context(), "facts", p, 0, 1000)
		if err != nil || len(rs) == 0 || rs[0].Offset == 0 {
			t.Fatalf("read partition %d from the start: got %d records and error %v, want the earliest that is kept", p, len(rs), err)
		}
	}
	mustClose(t, l)
	l = openLog(t, dir, Options{Partitions: 2, RetainBytes: 1, SegmentBytes: 1000})
	rs, err := l.Read(t.Context(), "facts", 0, 0, 1000)
	if err != nil || rs[len(rs)-1].Offset != 49 {
		t.Errorf("after opening with room for nothing: got error %v and %d records, want the active segment with the newest", err, len(rs))
	}
	if n := len(segments(t, dir, ".seg")); n != 1 {
		t.Errorf("after opening with room for nothing: got %d segments, want the active one", n)
	}
}

func sizeOf(t testing.TB, dir string) (sum int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

func TestRecordsThatAreTooOldGoByThemselvesAndOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, err := Open(dir, Options{Partitions: 1, RetainAge: 10 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		mustAppend(t, l, "old")
		<-time.After(6 * time.Hour)
		mustAppend(t, l, "young")
		<-time.After(4*time.Hour + time.Minute)
		synctest.Wait()
		rs, err := l.Read(t.Context(), "facts", 0, 0, 10)
		if err != nil || !slices.Equal(texts(rs), []string{"young"}) || rs[0].Offset != 1 {
			t.Errorf("after ten hours: got %q and error %v, want what is younger", texts(rs), err)
		}
		<-time.After(6 * time.Hour)
		synctest.Wait()
		if n := sizeOf(t, dir); n != segmentHeader {
			t.Errorf("after sixteen hours the log has %d bytes, want an empty segment", n)
		}
		if first, err := l.Append(t.Context(), "facts", 0, one("new")); err != nil || first != 2 {
			t.Errorf("append after all went: got offset %d and error %v, want 2", first, err)
		}
	})
}

func TestATopicWithARetentionOfItsOwnIsLeftAloneByTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.TempDir(), Options{
			Partitions: 1, RetainBytes: 5000, RetainAge: 100 * time.Hour, SegmentBytes: 1000,
			Topics: map[string]Retention{"small": {Bytes: 2000, Age: time.Hour}, "large": {Bytes: 1 << 20, Age: 1000 * time.Hour}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		topics := []string{"large", "facts", "small"}
		for n := range 100 {
			for _, topic := range topics {
				if _, err := l.Append(t.Context(), topic, 0, one(fmt.Sprint(n, strings.Repeat("x", 200)))); err != nil {
					t.Fatal(err)
				}
			}
		}
		check := func(when string, least, most map[string]int) {
			t.Helper()
			synctest.Wait()
			for _, topic := range topics {
				if n := len(readEnd(t, l, topic, 0)); n < least[topic] || n > most[topic] {
					t.Errorf("%s topic %s has %d records, want %d to %d", when, topic, n, least[topic], most[topic])
				}
			}
		}
		check("after the appends", map[string]int{"large": 100, "facts": 15, "small": 4}, map[string]int{"large": 100, "facts": 28, "small": 14})
		if _, err := l.Append(t.Context(), "small", 0, one("the last")); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		if _, err := l.Append(t.Context(), "small", 0, one("after all went")); err != nil {
			t.Fatal(err)
		}
		check("after two hours", map[string]int{"large": 100, "facts": 15, "small": 1}, map[string]int{"large": 100, "facts": 28, "small": 1})
	})
}

func TestAReadThatWaitsEndsWithTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		go func() {
			_, err := l.Read(context.Background(), "facts", 0, 0, 1)
			result <- err
		}()
		synctest.Wait()
		mustClose(t, l)
		if err := <-result; !errors.Is(err, bijou.Unavailable) {
			t.Errorf("read of a log that was closed: got error %v, want one of kind %q", err, bijou.Unavailable)
		}
		_, appended := l.Append(t.Context(), "facts", 0, one("x"))
		for what, err := range map[string]error{"append": appended, "commit": l.Commit(t.Context(), "group", "facts", 0, 1), "close": l.Close()} {
			if what == "close" && err != nil || what != "close" && !errors.Is(err, bijou.Unavailable) {
				t.Errorf("%s after closing: got error %v", what, err)
			}
		}
	})
}

func TestCommittedOffsetsSurviveCompactionAndATornTail(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{Partitions: 1})
	path := filepath.Join(dir, "facts", "groups")
	for next := int64(1); next <= 3200; next++ {
		if err := l.Commit(t.Context(), "group", "facts", 0, next); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > compactBytes {
		t.Fatalf("file of offsets: got %v (%v), want at most %d bytes", info.Size(), err, compactBytes)
	}
	mustClose(t, l)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entry := len(encodeEntry(nil, groupKey{"group", 0}, 0))
	for cut := 1; cut < entry; cut++ {
		write(t, path, whole[:len(whole)-cut])
		l := openLog(t, dir, Options{Partitions: 1})
		if got, err := l.Committed(t.Context(), "group", "facts", 0); err != nil || got != 3199 {
			t.Fatalf("committed with %d bytes cut off: got %d and error %v, want 3199", cut, got, err)
		}
		mustClose(t, l)
	}
	bad := bytes.Clone(whole)
	bad[entry+10] ^= 4
	write(t, path, bad)
	if _, err := Open(dir, Options{}); !errors.Is(err, bijou.Corrupt) || !strings.Contains(fmt.Sprint(err), path) {
		t.Errorf("open with a bit flipped among the offsets: got error %v, want one of kind %q that names %s", err, bijou.Corrupt, path)
	}
}
