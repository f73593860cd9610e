package cached

import (
	"testing"
	"time"

	"bijou"
	"bijou/engine/memory"
	"bijou/test/contract"
)

func TestACacheWithAStandbyKeepsTheContractOfCacheStore(t *testing.T) {
	contract.CacheStore(t, func(*testing.T) bijou.CacheStore { return NewStandby(memory.New(16<<20), memory.New(16<<20)) })
}

func TestTheStandbyServesWhileTheSharedCacheIsAway(t *testing.T) {
	shared := &flaky{CacheStore: memory.New(1 << 20)}
	s := NewStandby(shared, memory.New(1<<20))
	fill := func(key, value string) {
		t.Helper()
		found, err := s.Recall(t.Context(), key)
		if err != nil || found[0].Found {
			t.Fatalf("recall %s: %+v, %v, want nothing found", key, found, err)
		}
		if kept, err := s.Fill(t.Context(), key, found[0].Ticket, []byte(value), time.Hour); err != nil || !kept {
			t.Fatalf("fill %s: kept %v, %v", key, kept, err)
		}
	}
	want := func(when, key, value string) {
		t.Helper()
		if found, err := s.Recall(t.Context(), key); err != nil || string(found[0].Value) != value {
			t.Errorf("%s: %s is %+v, %v, want %q", when, key, found, err, value)
		}
	}
	fill("a", "shared")
	shared.set(true)
	fill("a", "own")
	fill("b", "own too")
	want("while it is away", "a", "own")
	shared.set(false)
	want("when it is back", "a", "shared")
	fill("b", "shared too")
	want("when it is back", "b", "shared too")
}
