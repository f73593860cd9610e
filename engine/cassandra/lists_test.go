package cassandra

import (
	"errors"
	"testing"
	"time"

	"bijou"
)

func FuzzCursor(f *testing.F) {
	f.Add(cursor(bijou.ListEntry{Title: "ttl_1", Added: time.UnixMicro(1_900_000_000_000_001)}))
	f.Add("nowhere")
	f.Add("MSB0dGxfMQ")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseCursor(text)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("parse %q: got error %v, want one of kind invalid", text, err)
			}
			return
		}
		if again, err := parseCursor(cursor(e)); err != nil || again != e {
			t.Errorf("parse %q: got %+v, and %+v (%v) from its own cursor", text, e, again, err)
		}
	})
}

func TestAPageBeginsBehindItsCursorAlsoWhereTheTitleWasRemoved(t *testing.T) {
	at := time.UnixMicro(1_900_000_000_000_000).UTC()
	entry := func(n int) bijou.ListEntry {
		return bijou.ListEntry{Title: bijou.TitleID(string(rune('a' + n))), Added: at.Add(time.Duration(n/2) * time.Second)}
	}
	all := []bijou.ListEntry{entry(0), entry(1), entry(2), entry(3), entry(4)}
	from := entry(3)
	if got := pageOf(append([]bijou.ListEntry(nil), all...), &from, 2); len(got.Entries) != 2 || got.Entries[0] != entry(2) || got.Next == "" {
		t.Errorf("behind %s: got %+v", from.Title, got)
	}
	without := []bijou.ListEntry{entry(0), entry(1), entry(2), entry(4)}
	if got := pageOf(without, &from, 5); len(got.Entries) != 3 || got.Entries[0] != entry(2) || got.Next != "" {
		t.Errorf("behind %s, which is gone: got %+v", from.Title, got)
	}
}
