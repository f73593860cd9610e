package kafka

import (
	"strings"
	"testing"

	"bijou"
	"bijou/test/contract"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// openFake returns a log at servers that are part of the test, and the servers.
func openFake(t *testing.T, query string, o Options, fake ...kfake.Opt) (*Log, *kfake.Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, fake...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return openLog(t, "kafka://"+strings.Join(c.ListenAddrs(), ",")+query, o), c
}

// openLog opens a log that is closed with the test.
func openLog(t *testing.T, address string, o Options, extra ...kgo.Opt) *Log {
	t.Helper()
	l, err := open(address, o, extra...)
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

func TestTheLogKeepsTheContractOfLogStoreByTheProtocolAlone(t *testing.T) {
	contract.LogStore(t, func(t *testing.T) bijou.LogStore {
		l, _ := openFake(t, "?partitions=3", Options{}, kfake.NumBrokers(3))
		return l
	})
}
