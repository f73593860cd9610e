package contract

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// OperatorStores are the contracts of operators as one engine keeps them: a token needs its operator.
type OperatorStores interface {
	bijou.OperatorStore
	bijou.OperatorTokenStore
}

// OperatorStore checks what bijou.OperatorStore and bijou.OperatorTokenStore promise. open returns a store that holds nothing.
func OperatorStore(t *testing.T, open func(t *testing.T) OperatorStores) {
	run(t, open, "OperatorsAreListedByName", operatorsListed)
	run(t, open, "ANameAndASignOnBelongToOneOperator", operatorConflict)
	run(t, open, "AnUnknownOperatorIsNotFound", operatorUnknown)
	run(t, open, "ARoleThatChangesEndsTheSessionsAndNothingElse", operatorRole)
	run(t, open, "AnOperatorGoesWithAllTokens", operatorRemoved)
	run(t, open, "AnInvitationSetsAPasswordOnce", invitationOnce)
	run(t, open, "AnInvitationOfNobodyMakesAnOperatorOnce", invitationFirst)
	run(t, open, "OfManyWhoUseAnInvitationAtOnceOneSucceeds", invitationTogether)
	run(t, open, "ANameThatIsTakenLeavesTheInvitation", invitationConflict)
	run(t, open, "ANewInvitationTakesThePlaceOfTheOneBefore", invitationReplaced)
	run(t, open, "ATokenHoldsUntilItExpiresOrIsRemoved", tokenHolds)
	run(t, open, "ATokenNeedsAnOperator", tokenNeedsOperator)
}

func operator(n int) bijou.Operator {
	return bijou.Operator{
		ID: bijou.OperatorID(fmt.Sprintf("opr_%d", n)), Name: fmt.Sprintf("operator%d", n), Role: bijou.RoleOperator, Created: noon.Add(time.Duration(n) * time.Second),
	}
}

func operatorToken(n int, of bijou.OperatorID, kind bijou.OperatorTokenKind) bijou.OperatorToken {
	return bijou.OperatorToken{
		ID: bijou.TokenID(fmt.Sprintf("tok_%d", n)), Hash: fmt.Sprintf("hash-%d", n), Kind: kind, Operator: of, Note: "for a test", Created: noon, Expires: noon.Add(time.Hour),
	}
}

func operatorsListed(t *testing.T, s OperatorStores) {
	got, err := s.Operators(t.Context())
	must(t, "operators", err)
	wantSame(t, "operators of an empty store", got, nil)
	signedOn := operator(2)
	signedOn.SignOn = "https://id.example.org 4711"
	for _, o := range []bijou.Operator{operator(3), signedOn, operator(1)} {
		must(t, "create", s.CreateOperator(t.Context(), o))
	}
	got, err = s.Operators(t.Context())
	must(t, "operators", err)
	wantSame(t, "operators", got, []bijou.Operator{operator(1), signedOn, operator(3)})
	one, err := s.Operator(t.Context(), signedOn.ID)
	must(t, "operator", err)
	wantSame(t, "operator", one, signedOn)
}

func operatorConflict(t *testing.T, s OperatorStores) {
	first := operator(1)
	first.SignOn = "https://id.example.org 1"
	must(t, "create", s.CreateOperator(t.Context(), first))
	sameName, sameSignOn := operator(2), operator(3)
	sameName.Name, sameSignOn.SignOn = first.Name, first.SignOn
	for what, o := range map[string]bijou.Operator{"name": sameName, "sign-on": sameSignOn} {
		wantKind(t, "create with the same "+what, s.CreateOperator(t.Context(), o), bijou.Conflict)
	}
	must(t, "create another without a sign-on", s.CreateOperator(t.Context(), operator(4)))
	must(t, "and another", s.CreateOperator(t.Context(), operator(5)))
	got, err := s.Operators(t.Context())
	must(t, "operators", err)
	wantSame(t, "operators", got, []bijou.Operator{first, operator(4), operator(5)})
}

func operatorUnknown(t *testing.T, s OperatorStores) {
	_, err := s.Operator(t.Context(), "opr_none")
	wantKind(t, "operator", err, bijou.NotFound)
	_, err = s.OperatorPassword(t.Context(), "opr_none")
	wantKind(t, "password", err, bijou.NotFound)
	wantKind(t, "role", s.SetOperatorRole(t.Context(), "opr_none", bijou.RoleViewer), bijou.NotFound)
	wantKind(t, "remove", s.RemoveOperator(t.Context(), "opr_none"), bijou.NotFound)
}

// tokensOf returns the identifiers of the tokens that hold at noon.
func tokensOf(t *testing.T, s OperatorStores, id bijou.OperatorID) (ids []bijou.TokenID) {
	t.Helper()
	all, err := s.OperatorTokens(t.Context(), id, noon)
	must(t, "tokens", err)
	for _, x := range all {
		ids = append(ids, x.ID)
	}
	return ids
}

func operatorRole(t *testing.T, s OperatorStores) {
	for n := range 2 {
		must(t, "create", s.CreateOperator(t.Context(), operator(n)))
		must(t, "session", s.AddOperatorToken(t.Context(), operatorToken(10*n, operator(n).ID, bijou.TokenSession)))
		must(t, "program's token", s.AddOperatorToken(t.Context(), operatorToken(10*n+1, operator(n).ID, bijou.TokenProgram)))
	}
	must(t, "role", s.SetOperatorRole(t.Context(), operator(0).ID, bijou.RoleAdministrator))
	all, err := s.Operators(t.Context())
	must(t, "operators", err)
	want := operator(0)
	want.Role = bijou.RoleAdministrator
	wantSame(t, "operators", all, []bijou.Operator{want, operator(1)})
	wantSame(t, "tokens of who changed", tokensOf(t, s, operator(0).ID), []bijou.TokenID{"tok_1"})
	wantSame(t, "tokens of another", tokensOf(t, s, operator(1).ID), []bijou.TokenID{"tok_10", "tok_11"})
}

func operatorRemoved(t *testing.T, s OperatorStores) {
	for n, kind := range []bijou.OperatorTokenKind{bijou.TokenSession, bijou.TokenProgram, bijou.TokenInvitation} {
		if n == 0 {
			must(t, "create", s.CreateOperator(t.Context(), operator(1)))
		}
		must(t, "token", s.AddOperatorToken(t.Context(), operatorToken(n, operator(1).ID, kind)))
	}
	must(t, "remove", s.RemoveOperator(t.Context(), operator(1).ID))
	for n := range 3 {
		_, err := s.OperatorToken(t.Context(), fmt.Sprintf("hash-%d", n), noon)
		wantKind(t, "token of who was removed", err, bijou.NotFound)
	}
	all, err := s.Operators(t.Context())
	must(t, "operators", err)
	wantSame(t, "operators", all, nil)
	must(t, "the name is free again", s.CreateOperator(t.Context(), operator(1)))
}

func invitationOnce(t *testing.T, s OperatorStores) {
	ada := operator(1)
	must(t, "create", s.CreateOperator(t.Context(), ada))
	must(t, "session", s.AddOperatorToken(t.Context(), operatorToken(1, ada.ID, bijou.TokenSession)))
	must(t, "program's token", s.AddOperatorToken(t.Context(), operatorToken(2, ada.ID, bijou.TokenProgram)))
	must(t, "invitation", s.AddOperatorToken(t.Context(), operatorToken(3, ada.ID, bijou.TokenInvitation)))
	for what, hash := range map[string]string{"a session": "hash-1", "a program's token": "hash-2", "nothing": "hash-9"} {
		_, err := s.AcceptInvitation(t.Context(), hash, noon, operator(9), "password")
		wantKind(t, "accept "+what, err, bijou.NotFound)
	}
	_, err := s.AcceptInvitation(t.Context(), "hash-3", noon.Add(time.Hour), operator(9), "password")
	wantKind(t, "accept after its end", err, bijou.NotFound)
	got, err := s.AcceptInvitation(t.Context(), "hash-3", noon.Add(time.Hour-time.Millisecond), operator(9), "password")
	must(t, "accept", err)
	ada.Password = true
	wantSame(t, "who was invited", got, ada)
	hash, err := s.OperatorPassword(t.Context(), ada.ID)
	must(t, "password", err)
	wantSame(t, "password", hash, "password")
	wantSame(t, "tokens that are left", tokensOf(t, s, ada.ID), []bijou.TokenID{"tok_2"})
	_, err = s.AcceptInvitation(t.Context(), "hash-3", noon, operator(9), "other")
	wantKind(t, "accept again", err, bijou.NotFound)
}

func invitationFirst(t *testing.T, s OperatorStores) {
	must(t, "invitation", s.AddOperatorToken(t.Context(), operatorToken(1, "", bijou.TokenInvitation)))
	wantSame(t, "tokens of nobody", tokensOf(t, s, ""), []bijou.TokenID{"tok_1"})
	want := operator(1)
	got, err := s.AcceptInvitation(t.Context(), "hash-1", noon, want, "password")
	must(t, "accept", err)
	want.Password = true
	wantSame(t, "first operator", got, want)
	wantSame(t, "tokens of nobody", tokensOf(t, s, ""), nil)
	_, err = s.AcceptInvitation(t.Context(), "hash-1", noon, operator(2), "password")
	wantKind(t, "accept again", err, bijou.NotFound)
}

func invitationTogether(t *testing.T, s OperatorStores) {
	must(t, "invitation", s.AddOperatorToken(t.Context(), operatorToken(1, "", bijou.TokenInvitation)))
	var accepted, refused atomic.Int32
	together(8, func(i int) {
		switch _, err := s.AcceptInvitation(t.Context(), "hash-1", noon, operator(i), "password"); {
		case err == nil:
			accepted.Add(1)
		case errors.Is(err, bijou.NotFound):
			refused.Add(1)
		default:
			t.Errorf("accept: got error %v, want none or not found", err)
		}
	})
	if accepted.Load() != 1 || refused.Load() != 7 {
		t.Errorf("8 used one invitation: %d succeeded and %d were refused, want 1 and 7", accepted.Load(), refused.Load())
	}
}

func invitationConflict(t *testing.T, s OperatorStores) {
	must(t, "create", s.CreateOperator(t.Context(), operator(1)))
	must(t, "invitation", s.AddOperatorToken(t.Context(), operatorToken(1, "", bijou.TokenInvitation)))
	same := operator(2)
	same.Name = operator(1).Name
	_, err := s.AcceptInvitation(t.Context(), "hash-1", noon, same, "password")
	wantKind(t, "accept with a name that is taken", err, bijou.Conflict)
	_, err = s.AcceptInvitation(t.Context(), "hash-1", noon, operator(2), "password")
	must(t, "accept with another", err)
}

func invitationReplaced(t *testing.T, s OperatorStores) {
	must(t, "create", s.CreateOperator(t.Context(), operator(1)))
	for n, of := range []bijou.OperatorID{"", operator(1).ID, "", operator(1).ID} {
		must(t, "invitation", s.AddOperatorToken(t.Context(), operatorToken(n, of, bijou.TokenInvitation)))
	}
	wantSame(t, "invitations of nobody", tokensOf(t, s, ""), []bijou.TokenID{"tok_2"})
	wantSame(t, "invitations of an operator", tokensOf(t, s, operator(1).ID), []bijou.TokenID{"tok_3"})
}

func tokenHolds(t *testing.T, s OperatorStores) {
	must(t, "create", s.CreateOperator(t.Context(), operator(1)))
	want := operatorToken(1, operator(1).ID, bijou.TokenProgram)
	must(t, "token", s.AddOperatorToken(t.Context(), want))
	got, err := s.OperatorToken(t.Context(), want.Hash, want.Expires.Add(-time.Millisecond))
	must(t, "token before its end", err)
	wantSame(t, "token", got, want)
	_, err = s.OperatorToken(t.Context(), want.Hash, want.Expires)
	wantKind(t, "token at its end", err, bijou.NotFound)
	_, err = s.OperatorToken(t.Context(), "unknown", noon)
	wantKind(t, "unknown token", err, bijou.NotFound)
	all, err := s.OperatorTokens(t.Context(), want.Operator, want.Expires)
	must(t, "tokens", err)
	wantSame(t, "tokens at its end", all, nil)
	for range 2 {
		must(t, "remove", s.RemoveOperatorToken(t.Context(), want.ID))
	}
	_, err = s.OperatorToken(t.Context(), want.Hash, noon)
	wantKind(t, "token that was removed", err, bijou.NotFound)
}

func tokenNeedsOperator(t *testing.T, s OperatorStores) {
	wantKind(t, "token of nobody known", s.AddOperatorToken(t.Context(), operatorToken(1, "opr_none", bijou.TokenProgram)), bijou.NotFound)
	_, err := s.OperatorToken(t.Context(), "hash-1", noon)
	wantKind(t, "token that was refused", err, bijou.NotFound)
}
