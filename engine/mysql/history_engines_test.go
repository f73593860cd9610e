//go:build engines

package mysql_test

import (
	"testing"

	"bijou/engine/mysql"
	"bijou/test/contract"
	"bijou/test/engines"
)

// histories records what clients of two pools are told while the server, and the way to it, are broken.
func histories(t *testing.T, s *engines.Server) {
	// open returns what opens one of two pools of a new database, and the faults.
	open := func(t *testing.T) (func() *mysql.Database, contract.History) {
		p := engines.Forward(t, s.Address)
		address := fresh(t, s, p.Address)
		pools, n := []*mysql.Database{opened(t, address), opened(t, address)}, 0
		return func() *mysql.Database { n++; return pools[n%2] }, contract.History{Faults: contract.ServerFaults(s, p)}
	}
	t.Run("AccountsAreLinearizable", func(t *testing.T) {
		pool, h := open(t)
		contract.AccountHistory(t, h, func(*testing.T) contract.AccountKeeper { return pool().Members() })
	})
	t.Run("LeasesAreLinearizable", func(t *testing.T) {
		pool, h := open(t)
		contract.LeaseHistory(t, h, func(*testing.T) contract.WorkKeeper { return pool().Studio() })
	})
	t.Run("PositionsNeverGoBack", func(t *testing.T) {
		pool, h := open(t)
		contract.PositionHistory(t, h, func(*testing.T) contract.PositionHolder { return pool().Members() })
	})
}
