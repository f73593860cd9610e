package harness

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed makes what a test leaves to chance. To have a run again, set BIJOU_TEST_SEED to the seed that it printed.
func Seed(t testing.TB) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("BIJOU_TEST_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("BIJOU_TEST_SEED is %q, want a number", s)
		}
	}
	t.Logf("seed: BIJOU_TEST_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 1))
}
