//go:build engines

package kafka

import (
	"fmt"
	"testing"

	"bijou"
	"bijou/test/contract"
	"bijou/test/engines"
)

func TestAgainstApacheKafka(t *testing.T) {
	server := engines.Kafka(t, t.TempDir())
	stores := 0
	t.Run("Contract", func(t *testing.T) {
		contract.LogStore(t, func(t *testing.T) bijou.LogStore {
			stores++
			return openLog(t, fmt.Sprintf("kafka://%s?partitions=3&prefix=contract%d.", server.Address, stores), Options{})
		})
	})
}
