//go:build engines

package cassandra

import (
	"fmt"
	"testing"
	"time"

	"bijou/test/contract"
	"bijou/test/engines"
)

// positionHistory strikes one node after another, which two of three copies have to outlive: no call may fail.
func positionHistory(t *testing.T, c *engines.Cassandra) {
	address := c.Address("history")
	stores, n := []*Store{opened(t, address), opened(t, address)}, 0
	engines.Until(t, "the keyspace is made", 2*time.Minute, func() error { return stores[0].Check(t.Context()) })
	var faults []contract.Fault
	for i, node := range c.Nodes {
		f := contract.Fault{Name: fmt.Sprint("pause of node ", i+1), Break: func(t *testing.T) { node.Pause(t) }, Mend: func(t *testing.T) { node.Resume(t) }, Most: 3 * time.Second}
		if i == 0 {
			f = contract.Fault{Name: "kill of node 1", Break: func(t *testing.T) { node.Kill(t) }, Mend: func(t *testing.T) { node.Start(t); c.AwaitHints(t) }, Most: 3 * time.Second}
		}
		faults = append(faults, f)
	}
	contract.PositionHistory(t, contract.History{Faults: faults, Calls: 3000, Unharmed: true}, func(*testing.T) contract.PositionHolder {
		n++
		return stores[n%2]
	})
}
