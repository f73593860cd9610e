package contract

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// SignIns is a store of accounts that keeps their sign-ins too.
type SignIns interface {
	bijou.AccountStore
	bijou.SessionStore
}

// SessionStore checks what bijou.SessionStore promises. open returns a store that holds nothing.
func SessionStore(t *testing.T, open func(t *testing.T) SignIns) {
	run(t, open, "ASessionHoldsUntilItExpires", sessionHolds)
	run(t, open, "ASessionNeedsAnAccount", sessionAccount)
	run(t, open, "SessionsComeLatestSeenFirst", sessionList)
	run(t, open, "AClosedSessionIsNotFound", sessionClosed)
	run(t, open, "AllSessionsButOneAreClosedAtOnce", sessionClosedAll)
	run(t, open, "ANewPasswordEndsEverySessionButTheOneThatSetIt", sessionPassword)
	run(t, open, "ADeletedAccountsSessionsEnd", sessionDeleted)
	run(t, open, "AnAccountsSessionsAreBounded", sessionBound)
	run(t, open, "ARotatedSessionHoldsByBothTokensUntilTheOldOnesEnd", sessionRotated)
	run(t, open, "OfManyWhoRotateATokenAtOnceOneSucceeds", sessionRotatedTogether)
	run(t, open, "ATokenWhoseSuccessorWasNeverUsedIsRotatedAgain", sessionRotatedLost)
	run(t, open, "ASessionChangesItsProfile", sessionProfile)
}

func memberSession(a bijou.Account, n int, term time.Duration) bijou.MemberSession {
	return bijou.MemberSession{
		ID: bijou.SignInID(fmt.Sprintf("sgn_%d", n)), TokenHash: fmt.Sprintf("hash-%d", n), Account: a.ID, Profile: bijou.ProfileID(fmt.Sprintf("prf_%d", n)),
		Created: noon, Seen: noon.Add(time.Duration(n) * time.Second), Expires: noon.Add(term), Issued: noon, Device: fmt.Sprintf("Telephone №%d", n), Address: "192.0.2.7",
	}
}

func openSession(t *testing.T, s SignIns, a bijou.Account, n int) bijou.MemberSession {
	t.Helper()
	ms := memberSession(a, n, time.Hour)
	must(t, "open session", s.OpenSession(t.Context(), ms))
	return ms
}

// wantSession asks for the session of a token.
func wantSession(t *testing.T, s SignIns, token string, now time.Time, want bijou.MemberSession) {
	t.Helper()
	got, err := s.Session(t.Context(), token, now)
	must(t, fmt.Sprintf("session of %s at %s", token, now), err)
	wantSame(t, "session of "+token, got, want)
}

func wantNoSession(t *testing.T, s SignIns, token string, now time.Time) {
	t.Helper()
	_, err := s.Session(t.Context(), token, now)
	wantKind(t, fmt.Sprintf("session of %q at %s", token, now), err, bijou.NotFound)
}

func sessionHolds(t *testing.T, s SignIns) {
	want := openSession(t, s, createAccount(t, s, 1), 1)
	for _, now := range []time.Time{noon, noon.Add(time.Hour - time.Millisecond)} {
		wantSession(t, s, want.TokenHash, now, want)
	}
	for _, now := range []time.Time{noon.Add(time.Hour), noon.Add(1000 * time.Hour)} {
		wantNoSession(t, s, want.TokenHash, now)
	}
	wantNoSession(t, s, "unknown", noon)
	wantNoSession(t, s, "", noon) // is no session's old token
}

func sessionAccount(t *testing.T, s SignIns) {
	ms := memberSession(account(1), 1, time.Hour)
	wantKind(t, "open a session for nobody", s.OpenSession(t.Context(), ms), bijou.NotFound)
	wantNoSession(t, s, ms.TokenHash, noon)
}

func sessionList(t *testing.T, s SignIns) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	var want []bijou.MemberSession
	for n := range 4 {
		want = append([]bijou.MemberSession{openSession(t, s, a, n)}, want...)
	}
	openSession(t, s, b, 9)
	must(t, "open session", s.OpenSession(t.Context(), memberSession(a, 10, time.Minute)))
	check := func(what string, now time.Time) {
		t.Helper()
		got, err := s.Sessions(t.Context(), a.ID, now)
		must(t, "sessions", err)
		wantSame(t, what, got, want)
	}
	check("sessions that hold", noon.Add(time.Minute))
	want[2].Seen = noon.Add(5 * time.Minute)
	must(t, "note session", s.NoteSession(t.Context(), want[2]))
	want = []bijou.MemberSession{want[2], want[0], want[1], want[3]}
	check("sessions after one was seen", noon.Add(time.Minute))
	must(t, "note a session that is not kept", s.NoteSession(t.Context(), memberSession(a, 77, time.Hour)))
	wantNoSession(t, s, "hash-77", noon)
}

func sessionClosed(t *testing.T, s SignIns) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	openSession(t, s, a, 1)
	second, others := openSession(t, s, a, 2), openSession(t, s, b, 3)
	for i, want := range []int{1, 0} {
		n, err := s.CloseSessions(t.Context(), a.ID, "sgn_1", "")
		must(t, "close session", err)
		wantSame(t, fmt.Sprintf("sessions closed by try %d", i+1), n, want)
		wantNoSession(t, s, "hash-1", noon)
	}
	n, err := s.CloseSessions(t.Context(), a.ID, others.ID, "")
	must(t, "close another's session", err)
	wantSame(t, "sessions closed", n, 0)
	wantSession(t, s, "hash-2", noon, second)
	wantSession(t, s, "hash-3", noon, others)
}

func sessionClosedAll(t *testing.T, s SignIns) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	kept := openSession(t, s, a, 0)
	for n := range 3 {
		openSession(t, s, a, n+1)
	}
	others := openSession(t, s, b, 9)
	for _, c := range []struct {
		except bijou.SignInID
		closed int
	}{{kept.ID, 3}, {kept.ID, 0}, {others.ID, 1}} {
		n, err := s.CloseSessions(t.Context(), a.ID, "", c.except)
		must(t, "close sessions", err)
		wantSame(t, "sessions closed but "+string(c.except), n, c.closed)
	}
	wantNoSession(t, s, kept.TokenHash, noon)
	wantSession(t, s, others.TokenHash, noon, others)
}

func sessionPassword(t *testing.T, s SignIns) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	kept, others := openSession(t, s, a, 1), openSession(t, s, b, 2)
	openSession(t, s, a, 3)
	must(t, "set password", s.SetPassword(t.Context(), a.ID, "new hash", kept.ID))
	wantSession(t, s, kept.TokenHash, noon, kept)
	wantSession(t, s, others.TokenHash, noon, others)
	wantNoSession(t, s, "hash-3", noon)
	must(t, "set password", s.SetPassword(t.Context(), a.ID, "newer hash", ""))
	wantNoSession(t, s, kept.TokenHash, noon)
}

func sessionDeleted(t *testing.T, s SignIns) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	openSession(t, s, a, 1)
	others := openSession(t, s, b, 2)
	must(t, "delete account", s.DeleteAccount(t.Context(), a.ID))
	wantNoSession(t, s, "hash-1", noon)
	wantSession(t, s, others.TokenHash, noon, others)
}

func sessionBound(t *testing.T, s SignIns) {
	a, b := createAccount(t, s, 1), createAccount(t, s, 2)
	others := openSession(t, s, b, 9999)
	for n := range bijou.MaxSessions + 2 {
		openSession(t, s, a, n)
	}
	all, err := s.Sessions(t.Context(), a.ID, noon)
	must(t, "sessions", err)
	if len(all) != bijou.MaxSessions || all[len(all)-1].ID != "sgn_2" {
		t.Errorf("after %d sign-ins %d are kept, the least lately seen is %s; want %d and sgn_2", bijou.MaxSessions+2, len(all), all[len(all)-1].ID, bijou.MaxSessions)
	}
	wantSession(t, s, others.TokenHash, noon, others)
}

func sessionRotated(t *testing.T, s SignIns) {
	want := openSession(t, s, createAccount(t, s, 1), 1)
	at := noon.Add(time.Minute)
	must(t, "rotate session", s.RotateSession(t.Context(), "hash-1", "hash-2", at, noon))
	want.TokenHash, want.OldHash, want.Issued = "hash-2", "hash-1", at
	for _, token := range []string{"hash-1", "hash-2"} {
		wantSession(t, s, token, noon.Add(50*time.Minute), want)
	}
	until := noon.Add(2 * time.Minute)
	before := memberSession(account(1), 1, time.Hour)
	before.OldUntil = noon
	must(t, "note the session as it was before", s.NoteSession(t.Context(), before))
	want.Seen, want.OldUntil = at, until
	must(t, "note session", s.NoteSession(t.Context(), want))
	wantSession(t, s, "hash-1", until.Add(-time.Millisecond), want)
	wantNoSession(t, s, "hash-1", until)
	wantSession(t, s, "hash-2", until, want)
	wantKind(t, "rotate a token that has ended", s.RotateSession(t.Context(), "hash-1", "hash-3", until, until), bijou.Conflict)
	wantKind(t, "rotate an unknown token", s.RotateSession(t.Context(), "unknown", "hash-3", until, until), bijou.Conflict)
	must(t, "rotate again", s.RotateSession(t.Context(), "hash-2", "hash-3", until, noon))
	wantNoSession(t, s, "hash-1", noon)
	wantNoSession(t, s, "hash-3", want.Expires) // the sign-in itself is not longer
}

func sessionRotatedTogether(t *testing.T, s SignIns) {
	openSession(t, s, createAccount(t, s, 1), 1)
	var rotated atomic.Int32
	together(8, func(i int) {
		if s.RotateSession(t.Context(), "hash-1", fmt.Sprintf("new-%d", i), noon, noon) == nil {
			rotated.Add(1)
		}
	})
	if rotated.Load() != 1 {
		t.Errorf("%d of 8 rotated the token, want 1", rotated.Load())
	}
}

func sessionRotatedLost(t *testing.T, s SignIns) {
	want := openSession(t, s, createAccount(t, s, 1), 1)
	must(t, "rotate session", s.RotateSession(t.Context(), "hash-1", "lost", noon, noon))
	wantKind(t, "rotate again at once", s.RotateSession(t.Context(), "hash-1", "hash-2", noon.Add(time.Second), noon), bijou.Conflict)
	at := noon.Add(time.Minute)
	must(t, "rotate again later", s.RotateSession(t.Context(), "hash-1", "hash-2", at, at))
	want.TokenHash, want.OldHash, want.Issued = "hash-2", "hash-1", at
	wantSession(t, s, "hash-1", noon, want)
	wantNoSession(t, s, "lost", noon)
}

func sessionProfile(t *testing.T, s SignIns) {
	a := createAccount(t, s, 1)
	first, second := openSession(t, s, a, 1), openSession(t, s, a, 2)
	must(t, "choose profile", s.ChooseProfile(t.Context(), first.ID, "prf_7"))
	first.Profile = "prf_7"
	wantSession(t, s, first.TokenHash, noon, first)
	wantSession(t, s, second.TokenHash, noon, second)
	wantKind(t, "choose for an unknown sign-in", s.ChooseProfile(t.Context(), "sgn_none", "prf_7"), bijou.NotFound)
}
