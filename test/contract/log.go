package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
)

// LogStore checks what bijou.LogStore promises. open returns a store that holds nothing.
func LogStore(t *testing.T, open func(t *testing.T) bijou.LogStore) {
	run(t, open, "ATopicExistsFromItsFirstUse", logTopics)
	run(t, open, "RecordsComeBackAsTheyWereAppended", logRoundTrip)
	run(t, open, "OffsetsCountFromZeroInOrderOfAppending", logOffsets)
	run(t, open, "PartitionsAndTopicsAreSeparate", logSeparate)
	run(t, open, "APartitionOutOfRangeIsInvalid", logRange)
	run(t, open, "ARecordOverTheBoundIsInvalidAndNoneOfItsCompanyIsKept", logTooLarge)
	run(t, open, "WhatIsAppendedTogetherIsBoundedAndWholeUpToThere", logMaxAppend)
	run(t, open, "ANameThatNoStoreTakesIsInvalid", logNames)
	run(t, open, "AReadReturnsAtMostItsLimitAndReadingOnMissesNothing", logPages)
	run(t, open, "AReadWaitsForTheFirstRecord", logWaits)
	run(t, open, "AReadThatWaitsReturnsItsContextsError", logContext)
	run(t, open, "RecordsAppendedTogetherStayTogetherWhenManyAppend", logTogether)
	run(t, open, "ManyReadersSeeTheSame", logReaders)
	run(t, open, "AGroupsOffsetIsWhatItCommittedLast", logGroups)
	run(t, open, "GroupsPartitionsAndTopicsCommitApart", logGroupsApart)
	run(t, open, "ManyGroupsCommitAtOnce", logGroupsTogether)
}

// text returns records with these values and no keys.
func text(values ...string) (rs []bijou.Record) {
	for _, v := range values {
		rs = append(rs, bijou.Record{Value: []byte(v)})
	}
	return rs
}

// values returns what the records hold, as text.
func values(rs []bijou.Record) (vs []string) {
	for _, r := range rs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func appendTo(t *testing.T, s bijou.LogStore, topic string, partition int, rs []bijou.Record) int64 {
	t.Helper()
	first, err := s.Append(t.Context(), topic, partition, rs)
	must(t, fmt.Sprintf("append %d records to %s/%d", len(rs), topic, partition), err)
	return first
}

// readAll reads n records from the start, whatever the size of the pages.
func readAll(t *testing.T, s bijou.LogStore, topic string, partition, n, limit int) (all []bijou.Record) {
	t.Helper()
	for len(all) < n {
		rs, err := s.Read(t.Context(), topic, partition, int64(len(all)), limit)
		must(t, fmt.Sprintf("read %s/%d from %d", topic, partition, len(all)), err)
		if len(rs) == 0 || len(rs) > limit {
			t.Fatalf("read %s/%d from %d: got %d records, want 1 to %d", topic, partition, len(all), len(rs), limit)
		}
		all = append(all, rs...)
	}
	return all
}

func logTopics(t *testing.T, s bijou.LogStore) {
	n, err := s.Partitions(t.Context(), "never-seen")
	must(t, "partitions", err)
	if n < 1 {
		t.Errorf("partitions of a new topic: got %d, want at least 1", n)
	}
	appendTo(t, s, "never-seen", n-1, text("a"))
	again, err := s.Partitions(t.Context(), "never-seen")
	must(t, "partitions", err)
	wantSame(t, "partitions after its first record", again, n)
}

func logRoundTrip(t *testing.T, s bijou.LogStore) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	in := []bijou.Record{
		{Key: []byte("viewing"), Value: []byte("started")},
		{Key: nil, Value: []byte("no key")},
		{Key: []byte("no value")},
		{Key: every, Value: slices.Concat(every, every)},
		{Value: bytes.Repeat([]byte{0}, bijou.MaxRecord)},
		{Key: bytes.Repeat([]byte{0xFF}, bijou.MaxRecord)},
	}
	var want []bijou.Record
	for i, r := range in {
		want = append(want, bijou.Record{Offset: int64(i), Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)})
	}
	appendTo(t, s, "facts", 0, in)
	clear(in[0].Value) // the caller's memory is the caller's again
	got := readAll(t, s, "facts", 0, len(want), 100)
	var before time.Time
	for i := range got {
		if at := got[i].At; at.IsZero() || at.Before(before) || !at.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("record %d: got time %s after %s, want one to the millisecond that does not go back", i, at, before)
		}
		before, got[i].At = got[i].At, time.Time{}
	}
	wantSame(t, "records", got, want)
}

func logOffsets(t *testing.T, s bijou.LogStore) {
	var got []int64
	for _, n := range []int{1, 3, 2, 1} {
		got = append(got, appendTo(t, s, "facts", 0, text(slices.Repeat([]string{"x"}, n)...)))
	}
	wantSame(t, "offsets of the first records", got, []int64{0, 1, 4, 6})
	rs, err := s.Read(t.Context(), "facts", 0, 2, 100)
	must(t, "read from the middle of an append", err)
	if len(rs) == 0 || rs[0].Offset != 2 {
		t.Fatalf("read from 2: got %d records, the first of them %+v, want the one at 2", len(rs), rs)
	}
}

func logSeparate(t *testing.T, s bijou.LogStore) {
	n, err := s.Partitions(t.Context(), "one")
	must(t, "partitions", err)
	for _, topic := range []string{"one", "two"} {
		for p := range n {
			if first := appendTo(t, s, topic, p, text(fmt.Sprint(topic, p))); first != 0 {
				t.Errorf("first record of %s/%d: got offset %d, want 0", topic, p, first)
			}
		}
	}
	for _, topic := range []string{"one", "two"} {
		for p := range n {
			wantSame(t, topic, values(readAll(t, s, topic, p, 1, 10)), []string{fmt.Sprint(topic, p)})
		}
	}
}

func logRange(t *testing.T, s bijou.LogStore) {
	n, err := s.Partitions(t.Context(), "facts")
	must(t, "partitions", err)
	for _, p := range []int{-1, n, n + 1000} {
		_, err := s.Append(t.Context(), "facts", p, text("x"))
		wantKind(t, fmt.Sprintf("append to partition %d of %d", p, n), err, bijou.Invalid)
	}
}

func logTooLarge(t *testing.T, s bijou.LogStore) {
	for _, r := range []bijou.Record{
		{Value: make([]byte, bijou.MaxRecord+1)},
		{Key: make([]byte, 1), Value: make([]byte, bijou.MaxRecord)},
	} {
		_, err := s.Append(t.Context(), "facts", 0, []bijou.Record{{Value: []byte("before")}, r, {Value: []byte("after")}})
		wantKind(t, fmt.Sprintf("append a record of %d bytes", len(r.Key)+len(r.Value)), err, bijou.Invalid)
	}
	if first := appendTo(t, s, "facts", 0, text("fits")); first != 0 {
		t.Errorf("first record after the refused ones: got offset %d, want 0", first)
	}
}

func logMaxAppend(t *testing.T, s bijou.LogStore) {
	const overhead = 16 // that each record is counted with
	most := slices.Repeat([]bijou.Record{{Value: make([]byte, bijou.MaxRecord-overhead)}}, bijou.MaxAppend/bijou.MaxRecord)
	for what, rs := range map[string][]bijou.Record{"no records": nil, "too much": append(most, bijou.Record{})} {
		_, err := s.Append(t.Context(), "facts", 0, rs)
		wantKind(t, "append "+what, err, bijou.Invalid)
	}
	wantSame(t, "offset of as much as may be", appendTo(t, s, "facts", 0, most), 0)
	wantSame(t, "offset of what comes next", appendTo(t, s, "facts", 0, text("next")), int64(len(most)))
	got := readAll(t, s, "facts", 0, len(most)+1, 5)
	for _, r := range got[:len(most)] {
		wantSame(t, fmt.Sprintf("length of record %d", r.Offset), len(r.Value), bijou.MaxRecord-overhead)
	}
	small := slices.Repeat([]bijou.Record{{Key: []byte("k")}}, 100_000)
	wantSame(t, "offset of very many", appendTo(t, s, "facts", 0, small), int64(len(got)))
}

func logNames(t *testing.T, s bijou.LogStore) {
	for _, name := range []string{"", ".hidden", "Capital", "a/b", "a b", strings.Repeat("x", 101)} {
		_, err := s.Append(t.Context(), name, 0, text("x"))
		wantKind(t, fmt.Sprintf("append to topic %q", name), err, bijou.Invalid)
		_, err = s.Read(t.Context(), name, 0, 0, 1)
		wantKind(t, fmt.Sprintf("read topic %q", name), err, bijou.Invalid)
		_, err = s.Partitions(t.Context(), name)
		wantKind(t, fmt.Sprintf("partitions of topic %q", name), err, bijou.Invalid)
		wantKind(t, fmt.Sprintf("commit of group %q", name), s.Commit(t.Context(), name, "facts", 0, 1), bijou.Invalid)
		_, err = s.Committed(t.Context(), name, "facts", 0)
		wantKind(t, fmt.Sprintf("committed of group %q", name), err, bijou.Invalid)
	}
}

func logPages(t *testing.T, s bijou.LogStore) {
	var want []string
	for i := range 60 {
		var batch []string
		for j := range i % 4 {
			batch = append(batch, fmt.Sprintf("%d/%d", i, j))
		}
		if len(batch) > 0 {
			appendTo(t, s, "facts", 0, text(batch...))
		}
		want = append(want, batch...)
	}
	for _, limit := range []int{1, 2, 7, len(want), 10 * len(want)} {
		got := readAll(t, s, "facts", 0, len(want), limit)
		wantSame(t, fmt.Sprintf("values in pages of %d", limit), values(got), want)
		for i, r := range got {
			if r.Offset != int64(i) {
				t.Fatalf("pages of %d: record %d has offset %d", limit, i, r.Offset)
			}
		}
	}
}

func logWaits(t *testing.T, s bijou.LogStore) {
	appendTo(t, s, "facts", 0, text("0"))
	for i := 1; i <= 20; i++ {
		got := make(chan []bijou.Record, 1)
		go func() {
			rs, err := s.Read(t.Context(), "facts", 0, int64(i), 10)
			if err != nil {
				t.Errorf("read from %d: %v", i, err)
			}
			got <- rs
		}()
		appendTo(t, s, "facts", 0, text(fmt.Sprint(i)))
		wantSame(t, fmt.Sprintf("read from %d", i), values(<-got), []string{fmt.Sprint(i)})
	}
}

func logContext(t *testing.T, s bijou.LogStore) {
	for _, topic := range []string{"empty", "facts"} {
		appendTo(t, s, "facts", 0, text("x"))
		ended, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := s.Read(ended, topic, 0, 100, 1)
			result <- err
		}()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("read %s whose context was cancelled: got error %v, want context.Canceled", topic, err)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := s.Read(late, topic, 0, 100, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %s whose context ran out: got error %v, want context.DeadlineExceeded", topic, err)
		}
		cancel()
	}
}

func logTogether(t *testing.T, s bijou.LogStore) {
	const writers, appends, size = 8, 25, 3
	firsts := make([][]int64, writers)
	together(writers, func(w int) {
		for i := range appends {
			var batch []string
			for j := range size {
				batch = append(batch, fmt.Sprintf("%d/%d/%d", w, i, j))
			}
			first, err := s.Append(t.Context(), "facts", 0, text(batch...))
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			firsts[w] = append(firsts[w], first)
		}
	})
	if t.Failed() {
		return
	}
	all := values(readAll(t, s, "facts", 0, writers*appends*size, 50))
	for w := range writers {
		if !slices.IsSorted(firsts[w]) {
			t.Errorf("writer %d: got offsets %v, want them in the order of its appends", w, firsts[w])
		}
		for i, first := range firsts[w] {
			var want []string
			for j := range size {
				want = append(want, fmt.Sprintf("%d/%d/%d", w, i, j))
			}
			wantSame(t, fmt.Sprintf("writer %d, append %d, from offset %d", w, i, first), all[first:first+size], want)
		}
	}
}

func logReaders(t *testing.T, s bijou.LogStore) {
	const records, readers = 100, 6
	var all sync.WaitGroup
	for r := range readers {
		all.Go(func() {
			var got []string
			for len(got) < records {
				rs, err := s.Read(t.Context(), "facts", 0, int64(len(got)), 1+r*3)
				if err != nil {
					t.Errorf("reader %d: %v", r, err)
					return
				}
				got = append(got, values(rs)...)
			}
			for i, v := range got {
				if v != fmt.Sprint(i) {
					t.Errorf("reader %d, record %d: got %q, want %q", r, i, v, fmt.Sprint(i))
					return
				}
			}
		})
	}
	for i := range records {
		appendTo(t, s, "facts", 0, text(fmt.Sprint(i)))
	}
	all.Wait()
}

func wantCommitted(t *testing.T, s bijou.LogStore, group, topic string, partition int, want int64) {
	t.Helper()
	got, err := s.Committed(t.Context(), group, topic, partition)
	must(t, "committed", err)
	if got != want {
		t.Errorf("committed of group %s in %s/%d: got %d, want %d", group, topic, partition, got, want)
	}
}

func logGroups(t *testing.T, s bijou.LogStore) {
	wantCommitted(t, s, "positions", "facts", 0, 0)
	appendTo(t, s, "facts", 0, text("a", "b", "c"))
	wantCommitted(t, s, "positions", "facts", 0, 0)
	for _, next := range []int64{2, 3, 3, 1} {
		must(t, "commit", s.Commit(t.Context(), "positions", "facts", 0, next))
		wantCommitted(t, s, "positions", "facts", 0, next)
	}
}

func logGroupsApart(t *testing.T, s bijou.LogStore) {
	n, err := s.Partitions(t.Context(), "facts")
	must(t, "partitions", err)
	type place struct {
		group, topic string
		partition    int
	}
	var places []place
	for _, group := range []string{"positions", "pulse"} {
		for _, topic := range []string{"facts", "plays"} {
			for p := range n {
				places = append(places, place{group, topic, p})
			}
		}
	}
	for i, p := range places {
		must(t, "commit", s.Commit(t.Context(), p.group, p.topic, p.partition, int64(i+1)))
	}
	for i, p := range places {
		wantCommitted(t, s, p.group, p.topic, p.partition, int64(i+1))
	}
}

func logGroupsTogether(t *testing.T, s bijou.LogStore) {
	together(8, func(g int) {
		for next := int64(1); next <= 10; next++ {
			if err := s.Commit(t.Context(), fmt.Sprintf("group-%d", g), "facts", 0, next*int64(g+1)); err != nil {
				t.Errorf("commit: %v", err)
			}
		}
	})
	for g := range 8 {
		wantCommitted(t, s, fmt.Sprintf("group-%d", g), "facts", 0, 10*int64(g+1))
	}
}
