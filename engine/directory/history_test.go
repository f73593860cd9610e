package directory

import (
	"testing"

	"bijou/test/contract"
)

func TestReadersSeeWholeBlobsUnderFaults(t *testing.T) {
	b := contract.Blobs{Process: contract.NewProcess(t, func(t *testing.T, dir string) any { return contract.ServedBlobs{Store: openStore(t, dir)} })}
	contract.BlobHistory(t, contract.History{Faults: b.Faults()}, func(*testing.T) contract.BlobKeeper { return b })
}
