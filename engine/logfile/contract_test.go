package logfile

import (
	"testing"

	"bijou"
	"bijou/test/contract"
)

func TestTheLogFileKeepsTheContractOfLogStore(t *testing.T) {
	contract.LogStore(t, func(t *testing.T) bijou.LogStore { return openLog(t, t.TempDir(), Options{}) })
}

func TestTheContractHoldsAcrossManySmallSegments(t *testing.T) {
	contract.LogStore(t, func(t *testing.T) bijou.LogStore { return openLog(t, t.TempDir(), Options{SegmentBytes: 200}) })
}

// openLog opens a log that is closed with the test.
func openLog(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}
