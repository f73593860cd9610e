package contract

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// AccountStore checks what bijou.AccountStore promises. open returns a store that holds nothing.
func AccountStore(t *testing.T, open func(t *testing.T) bijou.AccountStore) {
	run(t, open, "AnAccountIsFoundByIdentifierAndByAddress", accountFound)
	run(t, open, "AnAddressBelongsToOneAccount", accountConflict)
	run(t, open, "OfManyWhoWantAnAddressAtOnceOneGetsIt", accountTogether)
	run(t, open, "AnUnknownAccountIsNotFound", accountUnknown)
	run(t, open, "ASessionHoldsUntilItExpires", sessionHolds)
	run(t, open, "ASessionNeedsAnAccount", sessionAccount)
	run(t, open, "AClosedSessionIsNotFound", sessionClosed)
	run(t, open, "OpeningASessionLeavesTheOthersAlone", sessionOthers)
}

func account(n int) bijou.Account {
	return bijou.Account{
		ID: bijou.AccountID(fmt.Sprintf("acc_%d", n)), Email: fmt.Sprintf("viewer%d@example.org", n),
		Created: noon.Add(time.Duration(n) * time.Second),
	}
}

func createAccount(t *testing.T, s bijou.AccountStore, n int) bijou.Account {
	t.Helper()
	a := account(n)
	must(t, "create account", s.CreateAccount(t.Context(), a, "hash of "+a.Email))
	return a
}

func accountFound(t *testing.T, s bijou.AccountStore) {
	for n := range 3 {
		createAccount(t, s, n)
	}
	for n := range 3 {
		want := account(n)
		got, err := s.Account(t.Context(), want.ID)
		must(t, "account", err)
		wantSame(t, "account", got, want)
		got, hash, err := s.Credentials(t.Context(), want.Email)
		must(t, "credentials", err)
		wantSame(t, "account of an address", got, want)
		wantSame(t, "password's hash", hash, "hash of "+want.Email)
	}
}

func accountConflict(t *testing.T, s bijou.AccountStore) {
	first := createAccount(t, s, 1)
	second := account(2)
	second.Email = first.Email
	wantKind(t, "create an account with another's address", s.CreateAccount(t.Context(), second, "other"), bijou.Conflict)
	_, err := s.Account(t.Context(), second.ID)
	wantKind(t, "account that was refused", err, bijou.NotFound)
	got, hash, err := s.Credentials(t.Context(), first.Email)
	must(t, "credentials", err)
	wantSame(t, "account that has the address", got, first)
	wantSame(t, "its password's hash", hash, "hash of "+first.Email)
}

func accountTogether(t *testing.T, s bijou.AccountStore) {
	var got, refused atomic.Int32
	together(8, func(i int) {
		a := account(i)
		a.Email = "wanted@example.org"
		err := s.CreateAccount(t.Context(), a, "hash")
		switch {
		case err == nil:
			got.Add(1)
		case errors.Is(err, bijou.Conflict):
			refused.Add(1)
		default:
			t.Errorf("create account: got error %v, want none or a conflict", err)
		}
	})
	if got.Load() != 1 || refused.Load() != 7 {
		t.Errorf("8 accounts with one address: %d were created and %d refused, want 1 and 7", got.Load(), refused.Load())
	}
}

func accountUnknown(t *testing.T, s bijou.AccountStore) {
	createAccount(t, s, 1)
	_, err := s.Account(t.Context(), "acc_none")
	wantKind(t, "account", err, bijou.NotFound)
	_, _, err = s.Credentials(t.Context(), "none@example.org")
	wantKind(t, "credentials", err, bijou.NotFound)
}

func memberSession(a bijou.Account, n int, term time.Duration) bijou.MemberSession {
	return bijou.MemberSession{
		TokenHash: fmt.Sprintf("hash-%d", n), Account: a.ID, Profile: bijou.ProfileID(fmt.Sprintf("prf_%d", n)), Created: noon, Expires: noon.Add(term),
	}
}

func sessionHolds(t *testing.T, s bijou.AccountStore) {
	want := memberSession(createAccount(t, s, 1), 1, time.Hour)
	must(t, "open session", s.OpenSession(t.Context(), want))
	for _, now := range []time.Time{noon, noon.Add(time.Hour - time.Millisecond)} {
		got, err := s.Session(t.Context(), want.TokenHash, now)
		must(t, "session at "+now.String(), err)
		wantSame(t, "session", got, want)
	}
	for _, now := range []time.Time{noon.Add(time.Hour), noon.Add(1000 * time.Hour)} {
		_, err := s.Session(t.Context(), want.TokenHash, now)
		wantKind(t, "session at "+now.String(), err, bijou.NotFound)
	}
	_, err := s.Session(t.Context(), "unknown", noon)
	wantKind(t, "session of an unknown token", err, bijou.NotFound)
}

func sessionAccount(t *testing.T, s bijou.AccountStore) {
	ms := memberSession(account(1), 1, time.Hour)
	wantKind(t, "open a session for nobody", s.OpenSession(t.Context(), ms), bijou.NotFound)
	_, err := s.Session(t.Context(), ms.TokenHash, noon)
	wantKind(t, "session that was refused", err, bijou.NotFound)
}

func sessionClosed(t *testing.T, s bijou.AccountStore) {
	a := createAccount(t, s, 1)
	must(t, "open session", s.OpenSession(t.Context(), memberSession(a, 1, time.Hour)))
	must(t, "open session", s.OpenSession(t.Context(), memberSession(a, 2, time.Hour)))
	for range 2 {
		must(t, "close session", s.CloseSession(t.Context(), "hash-1"))
		_, err := s.Session(t.Context(), "hash-1", noon)
		wantKind(t, "closed session", err, bijou.NotFound)
	}
	_, err := s.Session(t.Context(), "hash-2", noon)
	must(t, "the account's other session", err)
}

func sessionOthers(t *testing.T, s bijou.AccountStore) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	for n := range 10 {
		must(t, "open session", s.OpenSession(t.Context(), memberSession([]bijou.Account{a, b}[n%2], n, time.Duration(n+1)*time.Minute)))
	}
	for n := range 10 {
		got, err := s.Session(t.Context(), fmt.Sprintf("hash-%d", n), noon)
		must(t, "session", err)
		wantSame(t, "session", got, memberSession([]bijou.Account{a, b}[n%2], n, time.Duration(n+1)*time.Minute))
	}
}
