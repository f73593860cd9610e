package pulse

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

// busyMinute is a minute with so many titles, each with a few starts.
func busyMinute(titles int) *minute {
	m, r := newMinute(), rand.New(rand.NewPCG(7, 7))
	for n := range titles {
		for range 1 + n%3 {
			c := change{who: who{fmt.Sprintf("ttl_%04d", n), fmt.Sprintf("apl_%d", n%9), fmt.Sprintf("zone-%d", n%5), "tv/1"}, frameMS: 1 + r.Int64N(20_000), bps: 1 + r.Int64N(9_000_000)}
			c.n[starts], c.n[succeeded], c.n[playedMS], c.n[ratedMS], c.n[failedSilence] = 1, 1, 60_000, 60_000, -1
			m.apply(&c)
		}
	}
	return m
}

// plainSeries is a series in a form that can be compared.
func plainSeries(s *series) string { return fmt.Sprint(s.n, s.frames.sorted(), s.rates.sorted()) }

func TestAStoredMinuteReadsAsItWas(t *testing.T) {
	m := busyMinute(50)
	b, folded := encodeMinute(29_000_000, m)
	if folded != 0 {
		t.Errorf("%d of 50 titles were added up as the rest, want none", folded)
	}
	for d := range dimensions {
		got := map[string]*series{}
		total := &series{}
		at, err := decodeMinute(b, view{total: func(int64) *series { return total }, by: d, named: func(_ int64, name string) *series {
			got[name] = &series{}
			return got[name]
		}})
		if err != nil || at != 29_000_000 {
			t.Fatalf("minute %d, %v", at, err)
		}
		want := map[string]string{"": plainSeries(&m.total)}
		have := map[string]string{"": plainSeries(total)}
		for name, s := range m.by[d] {
			want[name] = plainSeries(s)
		}
		for name, s := range got {
			have[name] = plainSeries(s)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("by %s: want (-), got (+):\n%s", dimensionNames[d], diff)
		}
	}
}

func TestAMinuteWithTooManyValuesKeepsTheMostImportantAndTheSum(t *testing.T) {
	m := busyMinute(1999)
	for n := range 9000 { // somebody makes names up
		c := change{who: who{fmt.Sprintf("ttl_forged%d", n), "", "", fmt.Sprintf("forged/%d", n)}}
		c.n[playedMS] = 1
		m.apply(&c)
	}
	if n := len(m.by[byTitle]); n > maxGathered+1 {
		t.Fatalf("%d titles are told apart in memory, want at most %d", n, maxGathered)
	}
	want := plainSeries(&m.total)
	b, folded := encodeMinute(29_000_000, m)
	if len(b) > maxMinuteBytes || folded == 0 {
		t.Errorf("the minute has %d bytes and %d values were added up, want at most %d and some", len(b), folded, maxMinuteBytes)
	}
	var sum series
	var names, least int
	_, err := decodeMinute(b, view{by: byTitle, named: func(_ int64, name string) *series {
		if names++; name != rest && name < "ttl_0002" {
			least++
		}
		return &sum
	}})
	if err != nil || plainSeries(&sum) != want {
		t.Errorf("the sum over titles is not the sum of all (%v)", err)
	}
	if names != maxKept+1 {
		t.Errorf("%d titles are kept, want %d and the rest", names, maxKept)
	}
	for d := range m.by {
		if n := len(m.by[d]); n > maxKept+1 {
			t.Errorf("%d values of %s are kept, want at most %d and the rest", n, dimensionNames[d], maxKept)
		}
	}
}

func TestAMinuteThatWouldNotFitIntoARecordTellsFewerValuesApart(t *testing.T) {
	m, full := newMinute(), &series{frames: newSketch(), rates: newSketch()}
	for n := range lastBin {
		full.frames.put(n, 1e6)
		full.rates.put(n, 1e6)
	}
	for d := range m.by {
		for n := range maxKept {
			m.by[d][fmt.Sprint(n)] = full
		}
	}
	b, folded := encodeMinute(1, m)
	if len(b) > maxMinuteBytes || folded == 0 {
		t.Errorf("the minute has %d bytes and %d values were added up, want at most %d and some", len(b), folded, maxMinuteBytes)
	}
	var sum series
	if _, err := decodeMinute(b, view{by: byPlayer, named: func(int64, string) *series { return &sum }}); err != nil || sum.frames.count() != maxKept*full.frames.count() {
		t.Errorf("the players have %d first pictures together (%v), want %d", sum.frames.count(), err, maxKept*full.frames.count())
	}
}

// someViewings are folds that remember something.
func someViewings(t testing.TB) ([]position, []*fold) {
	a := newAudience(rand.New(rand.NewPCG(1, 1)), 2)
	folds := []*fold{newFold(1000), newFold(1000)}
	for n := range 300 {
		p, f := a.fact(noon.Add(time.Duration(n) * time.Second))
		folds[p].apply(&f, discard)
	}
	return []position{{150, noon.UnixMilli()}, {149, 0}}, folds
}

func TestWhatIsRememberedOfViewingsReadsAsItWas(t *testing.T) {
	ps, folds := someViewings(t)
	b := encodeViewings(ps, folds)
	reached, again, err := decodeViewings(b, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encodeViewings(reached, again), b) {
		t.Error("written again it is different")
	}
	for n := range folds {
		var want, got series
		folds[n].advance(noon.Add(24*time.Hour).UnixMilli(), func(c *change) { want.apply(c) })
		again[n].advance(noon.Add(24*time.Hour).UnixMilli(), func(c *change) { got.apply(c) })
		if plainSeries(&want) != plainSeries(&got) || want.n[failedSilence] == 0 {
			t.Errorf("a day later: got %v, want %v", counterNames(got.n), counterNames(want.n))
		}
	}
}

func TestStoredFormsOfANewerProgramAreRefused(t *testing.T) {
	b, _ := encodeMinute(1, busyMinute(1))
	b[0] = minuteVersion + 1
	if _, err := decodeMinute(b, view{}); !errors.Is(err, bijou.Unsupported) {
		t.Errorf("a minute of a newer program: got %v, want %q", err, bijou.Unsupported)
	}
}

// wantKnown fails the test where err is not of a kind that a decoder may end in.
func wantKnown(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, bijou.Corrupt) && !errors.Is(err, bijou.Unsupported) {
		t.Errorf("got error %v, want one of kind %q or %q", err, bijou.Corrupt, bijou.Unsupported)
	}
}

func FuzzMinute(f *testing.F) {
	b, _ := encodeMinute(29_000_000, busyMinute(3))
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{minuteVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		for d := range dimensions {
			m := newMinute()
			at, err := decodeMinute(b, view{total: func(int64) *series { return &m.total }, by: d, named: func(_ int64, name string) *series {
				s, _ := named(m.by[d], name, maxGathered)
				return s
			}})
			wantKnown(t, err)
			if err == nil {
				m.total.figures(time.Minute)
				encodeMinute(at, m)
			}
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(encodeCheckpoint([]position{{5, 6}, {7, -8}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCheckpoint(b)
		wantKnown(t, err)
		if err != nil {
			return
		}
		again, err := decodeCheckpoint(encodeCheckpoint(c))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
			t.Errorf("%v reads as %v (%v)", c, again, err)
		}
	})
}

func FuzzViewings(f *testing.F) {
	ps, folds := someViewings(f)
	f.Add(encodeViewings(ps, folds))
	f.Add(encodeViewings([]position{{1, 2}}, []*fold{newFold(1)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, folds, err := decodeViewings(b, 1000)
		wantKnown(t, err)
		if err != nil {
			return
		}
		encodeViewings(ps, folds)
		for _, fold := range folds {
			x := told(bijou.FactStart, 1, 0)
			fold.apply(&x, discard)
			fold.advance(noon.UnixMilli(), discard)
		}
	})
}
