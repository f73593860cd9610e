package logfile

import (
	"testing"

	"bijou"
	"bijou/test/contract"
)

func TestTheLogLosesAndReordersNothingUnderFaults(t *testing.T) {
	l := contract.Log{Process: contract.NewProcess(t, func(t *testing.T, dir string) any { return openLog(t, dir, Options{SegmentBytes: 50_000}) })}
	contract.LogHistory(t, contract.History{Faults: l.Faults()}, func(*testing.T) bijou.LogStore { return l })
}
