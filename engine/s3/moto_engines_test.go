//go:build engines

package s3

import (
	"strings"
	"testing"

	"bijou"
	"bijou/test/contract"
	"bijou/test/engines"
)

func TestS3AsMotoAnswers(t *testing.T) {
	server := "http://" + engines.Moto(t).Address
	engines.Bucket(t, server, testBucket)
	t.Run("BlobStore", func(t *testing.T) {
		contract.BlobStore(t, func(t *testing.T) bijou.BlobStore { return open(t, fresh(server), Options{}) })
	})
	t.Run("Inbox", func(t *testing.T) { checkInbox(t, server) })
	t.Run("faults", func(t *testing.T) {
		checkUnderFaults(t, server, Options{PartBytes: 5 << 20, Parts: 2}, []int{0, 10, 1 << 20, 6 << 20, 5 << 20, 16<<20 + 1}, 3)
	})
	t.Run("a bit that changed", func(t *testing.T) { checkFlips(t, server, []int{1, 1000, 11 << 20}, Options{PartBytes: 5 << 20}) })
	t.Run("Version", func(t *testing.T) {
		if v, err := open(t, fresh(server), Options{}).Version(t.Context()); err != nil || !strings.Contains(v, "Werkzeug") {
			t.Errorf("got version %q (%v), want what moto says", v, err)
		}
	})
}
