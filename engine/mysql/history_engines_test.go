//go:build engines

package mysql_test

import (
	"testing"

	"bijou/test/contract"
	"bijou/test/engines"
)

// histories checks what many processes are told while the server is killed, paused and started again. Each client is a process of its own:
// it has its own connections. No call may fail.
func histories(t *testing.T, s *engines.Server) {
	h := contract.History{Unharmed: true, Faults: []contract.Fault{
		{Name: "kill -9", Break: func(t *testing.T) { s.Kill(t) }, Mend: func(t *testing.T) { s.Start(t) }},
		{Name: "pause", Break: func(t *testing.T) { s.Pause(t) }, Mend: func(t *testing.T) { s.Resume(t) }},
	}}
	t.Run("Accounts", func(t *testing.T) {
		address := fresh(t, s, "")
		contract.AccountHistory(t, h, func(t *testing.T) contract.AccountKeeper { return opened(t, address).Members() })
	})
	t.Run("Leases", func(t *testing.T) {
		address := fresh(t, s, "")
		contract.LeaseHistory(t, h, func(t *testing.T) contract.WorkKeeper { return opened(t, address).Studio() })
	})
	t.Run("Positions", func(t *testing.T) {
		address := fresh(t, s, "")
		contract.PositionHistory(t, h, func(t *testing.T) contract.PositionHolder { return opened(t, address).Members() })
	})
}
