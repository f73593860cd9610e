package logfile

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// offClock is a clock that can be wrong.
type offClock struct{ off atomic.Int64 }

func (c *offClock) now() time.Time { return time.Now().Add(time.Duration(c.off.Load())) }

func (c *offClock) set(off time.Duration) { c.off.Store(int64(off)) }

const years = 20 * 365 * 24 * time.Hour

// A machine without a clock of its own begins in the past, and learns the time from the network.
func TestWhatIsTooOldGoesThoughTheClockWasFarBehindWhenTheLogWasOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, clock := t.TempDir(), &offClock{}
		o := Options{Partitions: 1, RetainAge: 10 * time.Hour, Now: clock.now}
		l, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, "old")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		clock.set(-years)
		if l, err = Open(dir, o); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		<-time.After(time.Minute)
		clock.set(0)
		<-time.After(12 * time.Hour)
		synctest.Wait()
		if n := sizeOf(t, dir); n != segmentHeader {
			t.Errorf("twelve hours later the log has %d bytes, want an empty segment", n)
		}
	})
}

func TestRecordsComeInTheirOrderWhateverTheClockSays(t *testing.T) {
	base, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		clock := &offClock{}
		l, err := Open(fmt.Sprintf("%s/%d", base, n), Options{Partitions: 1, SegmentBytes: 300, RetainAge: 5 * years, Now: clock.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		var want []string
		for i := range rapid.IntRange(1, 30).Draw(rt, "records") {
			clock.set(time.Duration(rapid.Int64Range(-int64(years), int64(2*years)).Draw(rt, "off")))
			want = append(want, fmt.Sprint("record ", i))
			if first, err := l.Append(t.Context(), "facts", 0, one(want[i])); err != nil || first != int64(i) {
				rt.Fatalf("append %d: got offset %d and error %v", i, first, err)
			}
		}
		var got []string
		for len(got) < len(want) {
			rs, err := l.Read(t.Context(), "facts", 0, int64(len(got)), 100)
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, texts(rs)...)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("got %q, want %q", got, want)
		}
	})
}
