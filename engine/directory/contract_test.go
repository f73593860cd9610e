package directory

import (
	"testing"

	"bijou"
	"bijou/test/contract"
)

func TestTheDirectoryKeepsTheContractOfBlobStore(t *testing.T) {
	contract.BlobStore(t, func(t *testing.T) bijou.BlobStore { return openStore(t, t.TempDir()) })
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}
