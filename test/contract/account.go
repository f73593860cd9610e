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
	run(t, open, "AccountsComeNewestFirstPageByPage", accountPages)
	run(t, open, "AccountsAreFoundByAPartOfTheirAddress", accountSearch)
	run(t, open, "ANewPasswordReplacesTheOldOne", accountPassword)
	run(t, open, "ADeletedAccountIsGoneAndItsAddressFree", accountDeleted)
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

func accountPages(t *testing.T, s bijou.AccountStore) {
	var want []bijou.Account
	for n := range 5 {
		want = append([]bijou.Account{createAccount(t, s, n)}, want...)
	}
	for _, limit := range []int{1, 2, 5, 6} {
		var got []bijou.Account
		q := bijou.AccountQuery{Limit: limit}
		for {
			page, err := s.Accounts(t.Context(), q)
			must(t, "accounts", err)
			got = append(got, page.Accounts...)
			if q.Before = page.Next; page.Next == "" {
				break
			}
		}
		wantSame(t, fmt.Sprintf("accounts in pages of %d", limit), got, want)
	}
	_, err := s.Accounts(t.Context(), bijou.AccountQuery{Limit: 1, Before: "nowhere"})
	wantKind(t, "a place that no page gave", err, bijou.Invalid)
}

func accountSearch(t *testing.T, s bijou.AccountStore) {
	for n := range 12 {
		createAccount(t, s, n)
	}
	for text, want := range map[string][]bijou.Account{
		"viewer1@": {account(1)}, "viewer1": {account(11), account(10), account(1)}, "%": nil, "_": nil,
	} {
		page, err := s.Accounts(t.Context(), bijou.AccountQuery{Email: text, Limit: 10})
		must(t, "accounts", err)
		wantSame(t, "accounts with "+text, page.Accounts, want)
	}
}

func accountPassword(t *testing.T, s bijou.AccountStore) {
	a, other := createAccount(t, s, 1), createAccount(t, s, 2)
	must(t, "set password", s.SetPassword(t.Context(), a.ID, "another hash", ""))
	for email, want := range map[string]string{a.Email: "another hash", other.Email: "hash of " + other.Email} {
		_, hash, err := s.Credentials(t.Context(), email)
		must(t, "credentials", err)
		wantSame(t, "hash of "+email, hash, want)
	}
	wantKind(t, "set nobody's password", s.SetPassword(t.Context(), "acc_none", "hash", ""), bijou.NotFound)
}

func accountDeleted(t *testing.T, s bijou.AccountStore) {
	a, other := createAccount(t, s, 1), createAccount(t, s, 2)
	must(t, "delete account", s.DeleteAccount(t.Context(), a.ID))
	_, err := s.Account(t.Context(), a.ID)
	wantKind(t, "deleted account", err, bijou.NotFound)
	_, _, err = s.Credentials(t.Context(), a.Email)
	wantKind(t, "credentials of a deleted account", err, bijou.NotFound)
	wantKind(t, "delete it again", s.DeleteAccount(t.Context(), a.ID), bijou.NotFound)
	_, err = s.Account(t.Context(), other.ID)
	must(t, "the other account", err)
	createAccount(t, s, 1)
}

// PINs is a store of accounts that keeps their PINs too.
type PINs interface {
	bijou.AccountStore
	bijou.PINStore
}

// PINStore checks what bijou.PINStore promises. open returns a store that holds nothing.
func PINStore(t *testing.T, open func(t *testing.T) PINs) {
	run(t, open, "APINIsWhatWasSetUntilItIsRemoved", func(t *testing.T, s PINs) {
		a, other := createAccount(t, s, 1), createAccount(t, s, 2)
		for _, hash := range []string{"", "first hash", "second hash", ""} {
			if hash != "" {
				must(t, "set PIN", s.SetPIN(t.Context(), a.ID, hash))
			}
			got, err := s.PIN(t.Context(), a.ID)
			must(t, "PIN", err)
			wantSame(t, "hash of the PIN", got, hash)
			must(t, "remove PIN", s.SetPIN(t.Context(), a.ID, ""))
		}
		got, err := s.PIN(t.Context(), other.ID)
		must(t, "PIN", err)
		wantSame(t, "another's PIN", got, "")
	})
	run(t, open, "NobodyHasNoPIN", func(t *testing.T, s PINs) {
		wantKind(t, "set PIN", s.SetPIN(t.Context(), "acc_none", "hash"), bijou.NotFound)
		_, err := s.PIN(t.Context(), "acc_none")
		wantKind(t, "PIN", err, bijou.NotFound)
	})
}

// Resets is a store of accounts that keeps their reset links too.
type Resets interface {
	bijou.AccountStore
	bijou.ResetStore
}

// ResetStore checks what bijou.ResetStore promises. open returns a store that holds nothing.
func ResetStore(t *testing.T, open func(t *testing.T) Resets) {
	run(t, open, "AResetLinkHoldsUntilItExpires", resetHolds)
	run(t, open, "AResetLinkIsUsedOnceAndSetsThePassword", resetUsed)
	run(t, open, "OfManyWhoUseAResetLinkAtOnceOneSucceeds", resetTogether)
	run(t, open, "ANewerResetLinkAndANewPasswordTakeTheOldLinkBack", resetReplaced)
	run(t, open, "AResetLinkNeedsAnAccountAndGoesWithIt", resetAccount)
	run(t, open, "AWishForAResetLinkWaitsForItsTimeOnce", resetWished)
	run(t, open, "WishesForResetLinksAreBounded", resetBound)
}

func putReset(t *testing.T, s Resets, a bijou.Account, token string) {
	t.Helper()
	must(t, "put reset", s.PutReset(t.Context(), bijou.Reset{TokenHash: token, Account: a.ID, Expires: noon.Add(time.Hour)}))
}

func resetHolds(t *testing.T, s Resets) {
	a := createAccount(t, s, 1)
	putReset(t, s, a, "link")
	got, err := s.Reset(t.Context(), "link", noon.Add(time.Hour-time.Millisecond))
	must(t, "reset", err)
	wantSame(t, "account of the link", got, a)
	_, err = s.Reset(t.Context(), "link", noon.Add(time.Hour))
	wantKind(t, "reset at its end", err, bijou.NotFound)
	wantKind(t, "use it at its end", s.UseReset(t.Context(), "link", "new hash", noon.Add(time.Hour)), bijou.NotFound)
	_, err = s.Reset(t.Context(), "another", noon)
	wantKind(t, "unknown link", err, bijou.NotFound)
}

func resetUsed(t *testing.T, s Resets) {
	a := createAccount(t, s, 1)
	putReset(t, s, a, "link")
	must(t, "use reset", s.UseReset(t.Context(), "link", "new hash", noon))
	wantKind(t, "use it again", s.UseReset(t.Context(), "link", "another hash", noon), bijou.NotFound)
	_, hash, err := s.Credentials(t.Context(), a.Email)
	must(t, "credentials", err)
	wantSame(t, "password's hash", hash, "new hash")
}

func resetTogether(t *testing.T, s Resets) {
	a := createAccount(t, s, 1)
	putReset(t, s, a, "link")
	var used atomic.Int32
	var winner atomic.Value
	together(8, func(i int) {
		hash := fmt.Sprintf("hash %d", i)
		switch err := s.UseReset(t.Context(), "link", hash, noon); {
		case err == nil:
			used.Add(1)
			winner.Store(hash)
		case !errors.Is(err, bijou.NotFound):
			t.Errorf("use reset: got error %v, want none or not found", err)
		}
	})
	_, hash, err := s.Credentials(t.Context(), a.Email)
	must(t, "credentials", err)
	if used.Load() != 1 || hash != winner.Load() {
		t.Errorf("%d of 8 used the link and the hash is %q, want 1 and %q", used.Load(), hash, winner.Load())
	}
}

func resetReplaced(t *testing.T, s Resets) {
	a, other := createAccount(t, s, 1), createAccount(t, s, 2)
	putReset(t, s, other, "other's")
	putReset(t, s, a, "first")
	putReset(t, s, a, "second")
	_, err := s.Reset(t.Context(), "first", noon)
	wantKind(t, "replaced link", err, bijou.NotFound)
	must(t, "set password", s.SetPassword(t.Context(), a.ID, "hash", ""))
	_, err = s.Reset(t.Context(), "second", noon)
	wantKind(t, "link after a new password", err, bijou.NotFound)
	_, err = s.Reset(t.Context(), "other's", noon)
	must(t, "another's link", err)
}

func resetAccount(t *testing.T, s Resets) {
	wantKind(t, "put nobody's reset", s.PutReset(t.Context(), bijou.Reset{TokenHash: "link", Account: "acc_none", Expires: noon.Add(time.Hour)}), bijou.NotFound)
	a := createAccount(t, s, 1)
	putReset(t, s, a, "link")
	must(t, "delete account", s.DeleteAccount(t.Context(), a.ID))
	_, err := s.Reset(t.Context(), "link", noon)
	wantKind(t, "link of a deleted account", err, bijou.NotFound)
}

func resetWish(n int) bijou.ResetRequest {
	at := noon.Add(time.Duration(n) * time.Second)
	return bijou.ResetRequest{Email: fmt.Sprintf("viewer%d@example.org", n), Asked: at, Next: at}
}

func resetWished(t *testing.T, s Resets) {
	for _, n := range []int{2, 0, 1} {
		must(t, "request reset", s.RequestReset(t.Context(), resetWish(n)))
	}
	again := resetWish(0)
	again.Next, again.Tries = noon.Add(time.Hour), 7
	must(t, "request reset again", s.RequestReset(t.Context(), again))
	check := func(what string, now time.Time, limit int, want ...bijou.ResetRequest) {
		t.Helper()
		got, err := s.ResetRequests(t.Context(), now, limit)
		must(t, "reset requests", err)
		wantSame(t, "wishes "+what, got, want)
	}
	check("due at noon", noon, 10, resetWish(0))
	check("due later", noon.Add(time.Minute), 10, resetWish(0), resetWish(1), resetWish(2))
	check("up to a limit", noon.Add(time.Minute), 2, resetWish(0), resetWish(1))
	must(t, "postpone reset", s.PostponeReset(t.Context(), again))
	check("with one postponed", noon.Add(time.Minute), 10, resetWish(1), resetWish(2))
	check("when its time has come", again.Next, 1, resetWish(1))
	for range 2 {
		must(t, "finish reset", s.FinishReset(t.Context(), resetWish(1).Email))
	}
	gone := resetWish(1)
	must(t, "postpone what is finished", s.PostponeReset(t.Context(), gone))
	check("that are left", again.Next, 10, resetWish(2), bijou.ResetRequest{Email: again.Email, Asked: noon, Next: again.Next, Tries: 7})
}

func resetBound(t *testing.T, s Resets) {
	for n := range bijou.MaxResetRequests {
		must(t, "request reset", s.RequestReset(t.Context(), resetWish(n)))
	}
	wantKind(t, "one wish too many", s.RequestReset(t.Context(), resetWish(bijou.MaxResetRequests)), bijou.Exhausted)
	must(t, "one that is kept already", s.RequestReset(t.Context(), resetWish(0)))
	must(t, "finish reset", s.FinishReset(t.Context(), resetWish(0).Email))
	must(t, "one in its place", s.RequestReset(t.Context(), resetWish(bijou.MaxResetRequests)))
}
