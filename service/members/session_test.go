package members_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/members"
)

// signIn opens another session of ada's.
func (p *people) signIn(t *testing.T, device, address string) (token string, c bijou.Caller) {
	t.Helper()
	ctx := bijou.WithCaller(t.Context(), bijou.Caller{Address: address})
	s, err := p.SignIn(ctx, members.SignIn{Email: "ada@example.org", Password: password, Device: device})
	if err != nil {
		t.Fatalf("SignIn = %v", err)
	}
	c, err = p.Authenticate(t.Context(), s.Token)
	if err != nil {
		t.Fatal(err)
	}
	return s.Token, c
}

func (p *people) holds(t *testing.T, what, token string, want bool) {
	t.Helper()
	if _, err := p.Authenticate(t.Context(), token); (err == nil) != want {
		t.Errorf("%s: Authenticate = %v, want it to hold: %v", what, err, want)
	}
}

func TestAMemberSeesAndEndsSignIns(t *testing.T) {
	p := newPeople(t)
	p.now = begin.Add(time.Minute)
	phone, onPhone := p.signIn(t, "Telephone", "2001:db8::7")
	tv, onTV := p.signIn(t, "Television", "192.0.2.3")
	p.now = begin.Add(time.Hour)
	p.holds(t, "the telephone", phone, true)
	list, err := p.SignIns(bijou.WithCaller(t.Context(), onTV), struct{}{})
	if err != nil || len(list.Sessions) != 3 {
		t.Fatalf("SignIns = %+v, %v; want three", list, err)
	}
	first := list.Sessions[0]
	if first.ID != onPhone.Session || first.Device != "Telephone" || first.Address != "2001:db8::7" || !first.Seen.Equal(p.now) || !first.Created.Equal(begin.Add(time.Minute)) || first.Current {
		t.Errorf("the first sign-in is %+v, want the telephone, seen now", first)
	}
	if i := slices.IndexFunc(list.Sessions, func(s members.ListedSignIn) bool { return s.Current }); list.Sessions[i].ID != onTV.Session {
		t.Errorf("the current sign-in is %+v, want that of the television", list.Sessions[i])
	}
	for _, secret := range []string{phone, tv, "hash", "$argon2"} {
		if answer := p.do(t, onTV, "GET", "/api/v1/sessions", nil).Body.String(); strings.Contains(answer, secret) {
			t.Errorf("the list of sign-ins holds %q: %s", secret, answer)
		}
	}
	p.do(t, onTV, "DELETE", "/api/v1/sessions/"+string(onPhone.Session), nil)
	p.holds(t, "the telephone after its end", phone, false)
	p.holds(t, "the television", tv, true)
	phone, _ = p.signIn(t, "Telephone", "192.0.2.4")
	if got := p.do(t, onTV, "POST", "/api/v1/sessions/ends", members.EndSignIns{}).Body.String(); !strings.Contains(got, `"ended":2`) {
		t.Errorf("all others end: %s, want two", got)
	}
	p.holds(t, "the telephone", phone, false)
	p.holds(t, "the television", tv, true)
	p.do(t, onTV, "POST", "/api/v1/sessions/ends", members.EndSignIns{Everywhere: true})
	p.holds(t, "the television after the end everywhere", tv, false)
}

func TestATokenIsReplacedAfterADayAndTheOldOneHoldsAMinuteFromTheFirstUseOfTheNew(t *testing.T) {
	p := newPeople(t)
	old, c := p.signIn(t, "Telephone", "192.0.2.3")
	check := func(what, token string, want, stale bool) {
		t.Helper()
		got, err := p.Authenticate(t.Context(), token)
		if (err == nil) != want || got.Stale != stale || err == nil && got.Session != c.Session {
			t.Errorf("%s: Authenticate = %+v, %v; want it to hold: %v, stale: %v, of %s", what, got, err, want, stale, c.Session)
		}
	}
	rotate := func(token string) string {
		t.Helper()
		r, err := p.Rotate(t.Context(), token)
		if err != nil || !r.Expires.Equal(begin.AddDate(0, 0, 30)) {
			t.Fatalf("Rotate = %+v, %v", r, err)
		}
		return r.Token
	}
	p.now = begin.Add(24*time.Hour - time.Second)
	check("before a day", old, true, false)
	p.now = begin.Add(24 * time.Hour)
	check("after a day", old, true, true)
	lost := rotate(old)
	if _, err := p.Rotate(t.Context(), old); !errors.Is(err, bijou.Conflict) {
		t.Errorf("Rotate by a request beside it = %v, want Conflict", err)
	}
	check("beside it", old, true, false)
	p.now = p.now.Add(10 * time.Minute)
	check("where the answer was lost", old, true, true)
	fresh := rotate(old)
	check("the token that was lost", lost, false, false)
	check("the newer one", fresh, true, false)
	check("the old one", old, true, false)
	p.now = p.now.Add(time.Minute - time.Microsecond)
	check("the old one within a minute", old, true, false)
	p.now = p.now.Add(time.Microsecond)
	check("the old one after a minute", old, false, false)
	check("the newer one", fresh, true, false)
	p.now = begin.AddDate(0, 0, 30)
	check("at the end of the sign-in", fresh, false, false)
}

func TestAProgramReplacesItsTokenByACall(t *testing.T) {
	p := newPeople(t)
	token, _ := p.signIn(t, "Program", "192.0.2.3")
	rec := p.do(t, p.guest, "POST", "/api/v1/session/renewals", members.OldToken{Token: token})
	if !strings.Contains(rec.Body.String(), `"token":"`) || strings.Contains(rec.Body.String(), token) {
		t.Errorf("renewal = %s, want another token", rec.Body)
	}
	problem(t, "a second renewal at once", p.ask(t, p.guest, "POST", "/api/v1/session/renewals", members.OldToken{Token: token}), 409, "conflict", "use the newer one")
}

func TestANewPasswordEndsAllOtherSignIns(t *testing.T) {
	p := newPeople(t)
	mine, c := p.signIn(t, "Telephone", "192.0.2.3")
	other, _ := p.signIn(t, "Television", "192.0.2.3")
	p.do(t, c, "PUT", "/api/v1/account/password", members.ChangePassword{Old: password, New: strongWord})
	p.holds(t, "the one that changed it", mine, true)
	p.holds(t, "another", other, false)
	for word, want := range map[string]int{password: http.StatusUnauthorized, strongWord: http.StatusCreated} {
		if rec := p.ask(t, p.guest, "POST", "/api/v1/sessions", members.SignIn{Email: "ada@example.org", Password: word}); rec.Code != want {
			t.Errorf("sign-in by %q = %d %s, want %d", word, rec.Code, rec.Body, want)
		}
	}
}

// try signs in from an address and returns the answer's status.
func (p *people) try(t *testing.T, email, word, address string) int {
	t.Helper()
	return p.ask(t, bijou.Caller{Address: address}, "POST", "/api/v1/sessions", members.SignIn{Email: email, Password: word}).Code
}

func TestWrongPasswordsSlowStrangersDownAndNotTheMember(t *testing.T) {
	p := newPeople(t)
	p.signIn(t, "Telephone", "192.0.2.3") // the member's own address
	stranger := func(n int) string { return fmt.Sprintf("203.0.113.%d", n) }
	for n := range 5 {
		if got := p.try(t, "ada@example.org", "wrong password", stranger(n)); got != http.StatusUnauthorized {
			t.Fatalf("try %d by a stranger = %d, want 401", n+1, got)
		}
	}
	check := func(what, word, address string, want int) {
		t.Helper()
		if got := p.try(t, "ada@example.org", word, address); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("a sixth try from anywhere, even by the right password", password, stranger(9), http.StatusTooManyRequests)
	check("the member at her own address", password, "192.0.2.3", http.StatusCreated)
	p.now = p.now.Add(30 * time.Second)
	check("after the wait", "wrong password", stranger(6), http.StatusUnauthorized)
	p.now = p.now.Add(59 * time.Second)
	check("within twice the wait", password, stranger(7), http.StatusTooManyRequests)
	// However long they go on, the wait has a bound, and a reset link works all the while.
	for range 20 {
		p.now = p.now.Add(15 * time.Minute)
		check("a patient stranger", "wrong password", stranger(8), http.StatusUnauthorized)
	}
	p.now = p.now.Add(15 * time.Minute)
	check("the member elsewhere, after the longest wait", password, "198.51.100.7", http.StatusCreated)
	check("a stranger afterwards", "wrong password", stranger(8), http.StatusUnauthorized)
}

func TestWrongPasswordsSlowTheirAddressDownWhateverTheAccount(t *testing.T) {
	p := newPeople(t)
	for n := range 30 {
		if got := p.try(t, fmt.Sprintf("viewer%d@example.org", n), "wrong password", fmt.Sprintf("2001:db8::%x", n)); got != http.StatusUnauthorized {
			t.Fatalf("try %d = %d, want 401", n+1, got)
		}
	}
	if got := p.try(t, "ada@example.org", password, "2001:db8::ffff"); got != http.StatusTooManyRequests {
		t.Errorf("a try more from the same household = %d, want 429", got)
	}
	if got := p.try(t, "ada@example.org", password, "2001:db8:0:1::1"); got != http.StatusCreated {
		t.Errorf("a try from another = %d, want 201", got)
	}
}

func TestManyRightPasswordsAreNotCounted(t *testing.T) {
	p := newPeople(t)
	for n := range 12 {
		if got := p.try(t, "ada@example.org", password, "192.0.2.3"); got != http.StatusCreated {
			t.Fatalf("sign-in %d = %d, want 201", n+1, got)
		}
	}
}

func TestTheCookieGoesOverHTTPSAloneWhereHTTPSWasSpoken(t *testing.T) {
	p := newPeople(t)
	for _, secure := range []bool{true, false} {
		rec := p.do(t, bijou.Caller{Secure: secure}, "POST", "/api/v1/sessions", members.SignIn{Email: "ada@example.org", Password: password, Cookie: true})
		if c := rec.Result().Cookies()[0]; c.Secure != secure || c.Name != rpc.SessionCookie || !c.HttpOnly {
			t.Errorf("by HTTPS: %v: cookie %v", secure, c)
		}
		rec = p.do(t, bijou.Caller{Secure: secure}, "DELETE", "/api/v1/session", nil)
		if c := rec.Result().Cookies()[0]; c.Secure != secure || c.Value != "" {
			t.Errorf("sign-out by HTTPS: %v: cookie %v", secure, c)
		}
	}
}
