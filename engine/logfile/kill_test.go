package logfile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"bijou"
	"bijou/test/contract"
)

const batch = 3 // records of each append in these tests

// batchOf is what writer w appends as its nth: records that tell so, of very different lengths.
func batchOf(w, n int) (rs []bijou.Record) {
	for j := range batch {
		rs = append(rs, bijou.Record{Key: fmt.Append(nil, w), Value: fmt.Appendf(nil, "%d %d %d %s", w, n, j, strings.Repeat("x", n*j%5000))})
	}
	return rs
}

// readEnd reads all that is in the partition.
func readEnd(t *testing.T, l *Log, topic string, partition int) (all []bijou.Record) {
	t.Helper()
	_, p, err := l.partition(topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	for next := int64(0); next < p.next; {
		rs, err := l.Read(t.Context(), topic, partition, next, 1000)
		if err != nil {
			t.Fatalf("read %s/%d from %d: %v", topic, partition, next, err)
		}
		all, next = append(all, rs...), rs[len(rs)-1].Offset+1
	}
	return all
}

func TestARecordThatWasAppendedOutlivesAKillAndNoAppendIsHalfThere(t *testing.T) {
	const writers = 4
	contract.Kill(t, 5, func(t *testing.T, dir string, ack func(string)) {
		l := openLog(t, dir, Options{SegmentBytes: 50_000, Partitions: 1})
		next, err := l.Committed(t.Context(), "group", "facts", 0)
		if err != nil {
			t.Fatal(err)
		}
		ack(fmt.Sprint("commit ", next)) // what the last child committed and could not tell any more
		first := len(readEnd(t, l, "facts", 0))
		for w := range writers {
			go func() {
				for n := first; ; n++ {
					offset, err := l.Append(t.Context(), "facts", 0, batchOf(w, n))
					if err != nil {
						panic(err)
					}
					ack(fmt.Sprint("append ", w, " ", n, " ", offset))
				}
			}()
		}
		for {
			next++
			if err := l.Commit(t.Context(), "group", "facts", 0, next); err != nil {
				t.Fatal(err)
			}
			ack(fmt.Sprint("commit ", next))
		}
	}, checkKilled)
}

func checkKilled(t *testing.T, dir string, acked []string) {
	l := openLog(t, dir, Options{SegmentBytes: 50_000, Partitions: 1})
	defer l.Close()
	all := readEnd(t, l, "facts", 0)
	for i, r := range all {
		if r.Offset != int64(i) {
			t.Fatalf("record %d has offset %d", i, r.Offset)
		}
	}
	if len(all)%batch != 0 {
		t.Errorf("the log holds %d records, want whole appends of %d", len(all), batch)
	}
	for i := 0; i+batch <= len(all); i += batch {
		var w, n int
		if _, err := fmt.Sscan(string(all[i].Value), &w, &n); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		for j, want := range batchOf(w, n) {
			if string(all[i+j].Value) != string(want.Value) {
				t.Fatalf("record %d: got %.40q, want record %d of append %d of writer %d", i+j, all[i+j].Value, j, n, w)
			}
		}
	}
	committed := int64(0)
	for _, line := range acked {
		var w, n int
		var offset int64
		if _, err := fmt.Sscanf(line, "append %d %d %d", &w, &n, &offset); err == nil {
			if offset >= int64(len(all)) || string(all[offset].Value) != string(batchOf(w, n)[0].Value) {
				t.Errorf("acknowledged append %d of writer %d is not at offset %d", n, w, offset)
			}
		} else if _, err := fmt.Sscanf(line, "commit %d", &offset); err == nil {
			committed = max(committed, offset)
		} else {
			t.Fatalf("acknowledgement %q", line)
		}
	}
	got, err := l.Committed(t.Context(), "group", "facts", 0)
	if err != nil || got < committed || got > committed+1 { // one more may have been on its way
		t.Errorf("committed offset: got %d (%v), want %d or the one after it", got, err, committed)
	}
}

const limitVariable = "BIJOU_TEST_FILE_LIMIT_DIR"

// The kernel's bound on a file's size (setrlimit(2)) ends a write in its middle as a full disk does, for every user and without a mount.
func TestWhenSpaceEndsTheAppendIsExhaustedAndTheLogGoesOn(t *testing.T) {
	dir := os.Getenv(limitVariable)
	if dir == "" {
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		again.Env = append(os.Environ(), limitVariable+"="+t.TempDir())
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("in a process with a bound on file sizes: %v\n%s", err, out)
		}
		return
	}
	const bound = 30_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bound, Max: bound}); err != nil {
		t.Fatal(err)
	}
	o := Options{Partitions: 1, SegmentBytes: 1 << 20}
	l := openLog(t, dir, o)
	large := strings.Repeat("x", 10_000)
	var want []string
	for n := range 5 {
		value := fmt.Sprint(n, large)
		_, err := l.Append(t.Context(), "facts", 0, []bijou.Record{{Value: []byte(value)}})
		switch {
		case n < 2 && err != nil:
			t.Fatalf("append %d, which fits: %v", n, err)
		case n >= 2 && !errors.Is(err, bijou.Exhausted):
			t.Errorf("append %d beyond the bound: got error %v, want one of kind %q", n, err, bijou.Exhausted)
		case n < 2:
			want = append(want, value)
		}
	}
	// What fits goes on at once, and a commit is no append.
	if first, err := l.Append(t.Context(), "facts", 0, []bijou.Record{{Value: []byte("small")}}); err != nil || first != 2 {
		t.Errorf("append what fits: got offset %d and error %v, want 2 and none", first, err)
	}
	want = append(want, "small")
	for range 2 {
		var got []string
		for _, r := range readEnd(t, l, "facts", 0) {
			got = append(got, string(r.Value))
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("after the failures the log holds %d records, want %d", len(got), len(want))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, dir, o)
	}
}
