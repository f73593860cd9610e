package contract

import (
	"errors"
	"sync/atomic"
	"testing"

	"bijou"
)

// Identities is a store of accounts that keeps by which identities they sign on too.
type Identities interface {
	bijou.AccountStore
	bijou.IdentityStore
}

// IdentityStore checks what bijou.IdentityStore promises. open returns a store that holds nothing.
func IdentityStore(t *testing.T, open func(t *testing.T) Identities) {
	run(t, open, "AnIdentifiedAccountIsFoundByItsIdentityAndHasNoPassword", identityFound)
	run(t, open, "AnIdentityAndAnAddressBelongToOneAccount", identityConflict)
	run(t, open, "OfManyWhoSignOnAtOnceOneMakesTheAccount", identityTogether)
	run(t, open, "AnIdentityIsConnectedAndDisconnected", identityConnected)
	run(t, open, "ADeletedAccountsIdentitiesAreFree", identityDeleted)
}

func identity(subject string) bijou.Identity {
	return bijou.Identity{Issuer: "https://id.example.org", Subject: subject}
}

// wantIdentities asks for the account's identities.
func wantIdentities(t *testing.T, s Identities, id bijou.AccountID, want ...bijou.Identity) {
	t.Helper()
	got, err := s.Identities(t.Context(), id)
	must(t, "identities", err)
	wantSame(t, "identities", got, want)
}

func identityFound(t *testing.T, s Identities) {
	a, x := account(1), identity("4711")
	must(t, "create identified", s.CreateIdentified(t.Context(), a, x))
	createAccount(t, s, 2)
	got, err := s.Identified(t.Context(), x)
	must(t, "identified", err)
	wantSame(t, "account of the identity", got, a)
	got, hash, err := s.Credentials(t.Context(), a.Email)
	must(t, "credentials", err)
	wantSame(t, "account of the address", got, a)
	wantSame(t, "password's hash", hash, "")
	wantIdentities(t, s, a.ID, x)
	wantIdentities(t, s, account(2).ID)
	for _, other := range []bijou.Identity{identity("4712"), {Issuer: "https://id.example.com", Subject: "4711"}, {}} {
		_, err := s.Identified(t.Context(), other)
		wantKind(t, "identified by another identity", err, bijou.NotFound)
	}
}

func identityConflict(t *testing.T, s Identities) {
	must(t, "create identified", s.CreateIdentified(t.Context(), account(1), identity("4711")))
	wantKind(t, "create with another's identity", s.CreateIdentified(t.Context(), account(2), identity("4711")), bijou.Conflict)
	_, err := s.Account(t.Context(), account(2).ID)
	wantKind(t, "the account that was refused", err, bijou.NotFound)
	third := account(3)
	third.Email = account(1).Email
	wantKind(t, "create with another's address", s.CreateIdentified(t.Context(), third, identity("4713")), bijou.Conflict)
	_, err = s.Identified(t.Context(), identity("4713"))
	wantKind(t, "the identity that was refused", err, bijou.NotFound)
}

func identityTogether(t *testing.T, s Identities) {
	var made atomic.Int32
	together(8, func(i int) {
		switch err := s.CreateIdentified(t.Context(), account(i), identity("4711")); {
		case err == nil:
			made.Add(1)
		case !errors.Is(err, bijou.Conflict):
			t.Errorf("create identified: got error %v, want none or conflict", err)
		}
	})
	all, err := s.Accounts(t.Context(), bijou.AccountQuery{Limit: 10})
	must(t, "accounts", err)
	if made.Load() != 1 || len(all.Accounts) != 1 {
		t.Errorf("%d of 8 made an account and %d are there, want 1 and 1", made.Load(), len(all.Accounts))
	}
}

func identityConnected(t *testing.T, s Identities) {
	a, other := createAccount(t, s, 1), createAccount(t, s, 2)
	x, elsewhere := identity("4711"), bijou.Identity{Issuer: "https://id.example.com", Subject: "4711"}
	for range 2 {
		must(t, "connect", s.Connect(t.Context(), a.ID, x))
	}
	must(t, "connect at another provider", s.Connect(t.Context(), a.ID, elsewhere))
	wantIdentities(t, s, a.ID, elsewhere, x)
	wantKind(t, "connect another's identity", s.Connect(t.Context(), other.ID, x), bijou.Conflict)
	wantKind(t, "connect a second one at the provider", s.Connect(t.Context(), a.ID, identity("4712")), bijou.Conflict)
	wantKind(t, "connect nobody", s.Connect(t.Context(), "acc_none", identity("4712")), bijou.NotFound)
	got, err := s.Identified(t.Context(), x)
	must(t, "identified", err)
	wantSame(t, "account of the identity", got, a)
	_, hash, err := s.Credentials(t.Context(), a.Email)
	must(t, "credentials", err)
	wantSame(t, "password's hash", hash, "hash of "+a.Email)

	must(t, "disconnect", s.Disconnect(t.Context(), a.ID, x.Issuer))
	wantKind(t, "disconnect again", s.Disconnect(t.Context(), a.ID, x.Issuer), bijou.NotFound)
	wantIdentities(t, s, a.ID, elsewhere)
	_, err = s.Identified(t.Context(), x)
	wantKind(t, "identified by what is disconnected", err, bijou.NotFound)
	must(t, "connect the other account", s.Connect(t.Context(), other.ID, x))
}

func identityDeleted(t *testing.T, s Identities) {
	must(t, "create identified", s.CreateIdentified(t.Context(), account(1), identity("4711")))
	must(t, "delete account", s.DeleteAccount(t.Context(), account(1).ID))
	_, err := s.Identified(t.Context(), identity("4711"))
	wantKind(t, "identified by a deleted account's identity", err, bijou.NotFound)
	wantIdentities(t, s, account(1).ID)
	must(t, "create it again", s.CreateIdentified(t.Context(), account(2), identity("4711")))
}
