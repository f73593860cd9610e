package members_test

import (
	"errors"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"bijou"
	"bijou/engine/sqlite"
	"bijou/kit/rpc"
	"bijou/service/members"
	"bijou/test/contract"
)

// there returns the stores of an embedded engine, through a server.
func there(t testing.TB) *members.StoreClient {
	t.Helper()
	store, err := sqlite.OpenMembers(t.Context(), filepath.Join(t.TempDir(), "members.db"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, members.StoreRoutes(store, store)...))
	client := rpc.NewClient(server.URL)
	t.Cleanup(func() {
		client.Close()
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return members.NewStoreClient(client)
}

func TestTheStoresKeepTheirContractsInAnotherProcess(t *testing.T) {
	t.Run("AccountStore", func(t *testing.T) {
		contract.AccountStore(t, func(t *testing.T) bijou.AccountStore { return there(t) })
	})
	t.Run("PINStore", func(t *testing.T) { contract.PINStore(t, func(t *testing.T) contract.PINs { return there(t) }) })
	t.Run("ResetStore", func(t *testing.T) { contract.ResetStore(t, func(t *testing.T) contract.Resets { return there(t) }) })
	t.Run("SessionStore", func(t *testing.T) { contract.SessionStore(t, func(t *testing.T) contract.SignIns { return there(t) }) })
	t.Run("IdentityStore", func(t *testing.T) {
		contract.IdentityStore(t, func(t *testing.T) contract.Identities { return there(t) })
	})
	t.Run("ProfileStore", func(t *testing.T) {
		contract.ProfileStore(t, func(t *testing.T) bijou.ProfileStore { return there(t) })
	})
	t.Run("ListStore", func(t *testing.T) { contract.ListStore(t, func(t *testing.T) contract.ListKeeper { return there(t) }) })
	t.Run("PositionStore", func(t *testing.T) {
		contract.PositionStore(t, func(t *testing.T) contract.PositionKeeper { return there(t) })
	})
}

func BenchmarkSessionThere(b *testing.B) {
	s := there(b)
	a := bijou.Account{ID: "acc_1", Email: "ada@example.org", Created: begin}
	m := bijou.MemberSession{ID: "sgn_1", TokenHash: "hash", Account: a.ID, Created: begin, Seen: begin, Expires: begin.Add(time.Hour), Issued: begin}
	if err := errors.Join(s.CreateAccount(b.Context(), a, "hash"), s.OpenSession(b.Context(), m)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Session(b.Context(), "hash", begin); err != nil {
			b.Fatal(err)
		}
	}
}
