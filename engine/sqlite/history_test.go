package sqlite

import (
	"testing"

	"bijou/test/contract"
)

func membersProcess(t *testing.T) contract.Members {
	t.Helper()
	return contract.Members{Process: contract.NewProcess(t, func(t *testing.T, dir string) any { return opened(t, OpenMembers, dir+"/members.db") })}
}

func TestAccountsAreLinearizableUnderFaults(t *testing.T) {
	m := membersProcess(t)
	contract.AccountHistory(t, contract.History{Faults: m.Faults()}, func(*testing.T) contract.AccountKeeper { return m })
}

func TestPositionsNeverGoBackUnderFaults(t *testing.T) {
	m := membersProcess(t)
	contract.PositionHistory(t, contract.History{Faults: m.Faults()}, func(*testing.T) contract.PositionHolder { return m })
}

func TestLeasesAreLinearizableUnderFaults(t *testing.T) {
	w := contract.Work{Process: contract.NewProcess(t, func(t *testing.T, dir string) any { return opened(t, OpenStudio, dir+"/studio.db") })}
	contract.LeaseHistory(t, contract.History{Faults: w.Faults()}, func(*testing.T) contract.WorkKeeper { return w })
}
