package memory

import (
	"fmt"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
)

func TestTheCacheKeepsTheContractOfCacheStore(t *testing.T) {
	contract.CacheStore(t, func(*testing.T) bijou.CacheStore { return New(16 << 20) })
}

func TestTheCacheStaysWithinItsBoundOfBytes(t *testing.T) {
	const bound = 1 << 20
	c := New(bound)
	for n := range 10_000 {
		key := fmt.Sprint("key/", n)
		found, err := c.Recall(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Fill(t.Context(), key, found[0].Ticket, make([]byte, 1000), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	c.kept.CleanUp()
	if got := c.kept.WeightedSize(); got > bound || got < bound/2 {
		t.Errorf("holds %d bytes after ten times as much was filled in, want at most %d and no less than half", got, bound)
	}
}
