//go:build engines

package kafka

import (
	"testing"

	"bijou"
	"bijou/test/contract"
	"bijou/test/engines"

	"github.com/twmb/franz-go/pkg/kgo"
)

// logHistory records what clients of two logs are told while the server, and their connections to it, are broken.
func logHistory(t *testing.T, server engines.KafkaServer, address string) {
	b := &breakable{}
	logs, n := []*Log{openLog(t, address, Options{}, kgo.Dialer(b.dial)), openLog(t, address, Options{}, kgo.Dialer(b.dial))}, 0
	faults := append(contract.ServerFaults(server.Server, nil), contract.Fault{Name: "reset of the connections", Break: func(*testing.T) { b.reset() }})
	contract.LogHistory(t, contract.History{Faults: faults}, func(*testing.T) bijou.LogStore {
		n++
		return logs[n%2]
	})
}
