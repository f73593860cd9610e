package sqlite

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"bijou"
	"bijou/test/contract"
)

func TestMembersKeepTheContractOfAccountStore(t *testing.T) {
	contract.AccountStore(t, func(t *testing.T) bijou.AccountStore { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfProfileStore(t *testing.T) {
	contract.ProfileStore(t, func(t *testing.T) bijou.ProfileStore { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfSessionStore(t *testing.T) {
	contract.SessionStore(t, func(t *testing.T) contract.SignIns { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfIdentityStore(t *testing.T) {
	contract.IdentityStore(t, func(t *testing.T) contract.Identities { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfPINStore(t *testing.T) {
	contract.PINStore(t, func(t *testing.T) contract.PINs { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfResetStore(t *testing.T) {
	contract.ResetStore(t, func(t *testing.T) contract.Resets { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfPositionStore(t *testing.T) {
	contract.PositionStore(t, func(t *testing.T) contract.PositionKeeper { return opened(t, OpenMembers, newFile(t)) })
}

func TestMembersKeepTheContractOfListStore(t *testing.T) {
	contract.ListStore(t, func(t *testing.T) contract.ListKeeper { return opened(t, OpenMembers, newFile(t)) })
}

func TestTheCatalogKeepsTheContractOfTitleStore(t *testing.T) {
	contract.TitleStore(t, func(t *testing.T) bijou.TitleStore { return opened(t, OpenCatalog, newFile(t)) })
}

func TestTheStudioKeepsTheContractOfWorkStore(t *testing.T) {
	contract.WorkStore(t, func(t *testing.T) bijou.WorkStore { return opened(t, OpenStudio, newFile(t)) })
}

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "store.db") }

// opened opens a store on the file, and closes it with the test.
func opened[S io.Closer](t testing.TB, open func(context.Context, string) (S, error), path string) S {
	t.Helper()
	s, err := open(context.Background(), path)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestSteeringKeepsTheContractOfApplianceStore(t *testing.T) {
	contract.ApplianceStore(t, func(t *testing.T) bijou.ApplianceStore { return opened(t, OpenSteering, newFile(t)) })
}

func TestSteeringKeepsTheContractOfRevocationStore(t *testing.T) {
	contract.RevocationStore(t, func(t *testing.T) bijou.RevocationStore { return opened(t, OpenSteering, newFile(t)) })
}

func TestOperatorsKeepTheContractOfOperatorStore(t *testing.T) {
	contract.OperatorStore(t, func(t *testing.T) contract.OperatorStores { return opened(t, OpenOperators, newFile(t)) })
}

func TestOperatorsKeepTheContractOfAuditStore(t *testing.T) {
	contract.AuditStore(t, func(t *testing.T) bijou.AuditStore { return opened(t, OpenOperators, newFile(t)) })
}
