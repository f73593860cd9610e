package members_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/members"
	"bijou/service/members/signon"
	"bijou/test/harness"

	"github.com/google/go-cmp/cmp"
)

// knownBy has the room know a provider.
func knownBy(t *testing.T, p *people, sign string) *harness.Provider {
	provider := harness.NewProvider(t)
	provider.Now = p.now
	c := members.DefaultConfig()
	c.SignUp = sign
	c.OIDC.Issuer, c.OIDC.ClientID, c.OIDC.ClientSecret = provider.URL, "bijou", "s3cret"
	p.signOn = signon.New(signon.Deps{Config: c.OIDC.Provider(), Redirect: provider.Redirect, Now: func() time.Time { return p.now }})
	p.configure(c)
	p.api = rpc.Handler(rpc.Deps{}, p.Routes()...)
	return provider
}

func withProvider(t *testing.T, p *people) { knownBy(t, p, "open") }

func providerDown(t *testing.T, p *people) { knownBy(t, p, "open").Down = true }

// goThere goes to the provider and comes back.
func (p *people) goThere(t *testing.T, provider *harness.Provider) members.SignOnCode {
	t.Helper()
	provider.Now = p.now
	var begun members.SignOnBegun
	p.decode(t, p.ask(t, p.guest, "POST", "/api/v1/signons", struct{}{}), http.StatusOK, &begun)
	state, code := provider.Authorize(begun.Address)
	return members.SignOnCode{State: state, Code: code, Binding: begun.Binding}
}

func (p *people) signsOn(t *testing.T, provider *harness.Provider) *httptest.ResponseRecorder {
	t.Helper()
	return p.ask(t, p.guest, "POST", "/api/v1/signons/returns", members.SignOnReturn{SignOnCode: p.goThere(t, provider), Device: "Firefox"})
}

func (p *people) decode(t *testing.T, rec *httptest.ResponseRecorder, status int, into any) {
	t.Helper()
	if rec.Code != status {
		t.Fatalf("answer %d %s, want %d", rec.Code, rec.Body, status)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

// who is the caller that holds the session.
func (p *people) who(t *testing.T, s members.Session) bijou.Caller {
	t.Helper()
	return bijou.CallerOf(p.as(t, s.Token))
}

// grace has another address than ada, whose account the room has.
var grace = map[string]any{"email": "Grace@Example.org", "sub": "0815"}

func TestWhoSignsOnForTheFirstTimeIsAMemberAndIsTheSameTheNextTime(t *testing.T) {
	p := newPeople(t)
	provider := knownBy(t, p, "open")
	provider.Claims = grace
	var first, again members.Session
	p.decode(t, p.signsOn(t, provider), http.StatusCreated, &first)
	if first.Account.Email != "grace@example.org" || first.Profile.Name != "grace" || first.Token == "" {
		t.Errorf("first sign-on = %+v, want grace's account and profile", first)
	}
	var me members.Me
	p.decode(t, p.ask(t, p.who(t, first), "GET", "/api/v1/me", nil), http.StatusOK, &me)
	if me.Guest || me.Password || !me.Connected || me.SignOn == "" || !strings.HasSuffix(provider.URL, me.SignOn) {
		t.Errorf("me = %+v, want a member without a password who signs on by the provider", me)
	}
	provider.Claims = map[string]any{"email": "grace.hopper@example.org", "sub": "0815"}
	p.decode(t, p.signsOn(t, provider), http.StatusCreated, &again)
	if again.Account != first.Account || again.Profile.ID != first.Profile.ID {
		t.Errorf("with another address: %+v, want %+v", again.Account, first.Account)
	}
	provider.Claims = map[string]any{"email": "grace2@example.org", "sub": "0816"}
	p.decode(t, p.signsOn(t, provider), http.StatusCreated, &again)
	if again.Account.ID == first.Account.ID {
		t.Error("another person at the provider has the account of the first")
	}
	problem(t, "sign-in by a password that is none", p.ask(t, p.guest, "POST", "/api/v1/sessions", members.SignIn{Email: "grace@example.org"}), 401, "denied", "the e-mail address or the password is wrong")
}

func TestWhoSignsOnInManyWindowsAtOnceHasOneAccount(t *testing.T) {
	p := newPeople(t)
	provider := knownBy(t, p, "open")
	provider.Claims = grace
	var windows sync.WaitGroup
	answers := make([]*httptest.ResponseRecorder, 4)
	for i := range answers {
		back := members.SignOnReturn{SignOnCode: p.goThere(t, provider)}
		windows.Go(func() { answers[i] = p.ask(t, p.guest, "POST", "/api/v1/signons/returns", back) })
	}
	windows.Wait()
	for _, rec := range answers {
		var s members.Session
		if p.decode(t, rec, http.StatusCreated, &s); s.Account.Email != "grace@example.org" {
			t.Errorf("sign-on opens %+v, want grace's account", s.Account)
		}
	}
	if all, err := p.store.Accounts(t.Context(), bijou.AccountQuery{Email: "grace", Limit: 10}); err != nil || len(all.Accounts) != 1 {
		t.Errorf("%d accounts of grace, %v; want one", len(all.Accounts), err)
	}
}

func TestASignOnIsRefusedInWordsThatSayWhatIsPossible(t *testing.T) {
	for name, c := range map[string]struct {
		sign   string
		claims map[string]any
		status int
		kind   string
		words  string
	}{
		"the address of who has a password":          {"open", map[string]any{"email": "ADA@example.org"}, 409, "conflict", "sign in with its password, then connect"},
		"the same where sign-up is closed":           {"closed", nil, 409, "conflict", "sign in with its password, then connect"},
		"a new person where sign-up is closed":       {"closed", grace, 401, "denied", "nobody can sign up here by themselves"},
		"an address that nobody verified":            {"open", map[string]any{"email_verified": false}, 401, "denied", "has verified no e-mail address of yours"},
		"no address":                                 {"open", map[string]any{"email": nil}, 401, "denied", "has verified no e-mail address of yours"},
		"an address that no mail reaches":            {"open", map[string]any{"email": "grace@host"}, 400, "invalid", "ends in no domain"},
		"a token for another service":                {"open", map[string]any{"aud": "another"}, 401, "denied", "does not hold"},
		"who has an account, in a token of the past": {"open", map[string]any{"exp": int64(1)}, 401, "denied", "does not hold"},
	} {
		p := newPeople(t)
		provider := knownBy(t, p, c.sign)
		provider.Claims = c.claims
		problem(t, name, p.signsOn(t, provider), c.status, c.kind, c.words)
		if all, err := p.store.Accounts(t.Context(), bijou.AccountQuery{Limit: 10}); err != nil || len(all.Accounts) != 1 {
			t.Errorf("%s: %d accounts, %v; want ada's alone", name, len(all.Accounts), err)
		}
	}
}

func TestAMemberConnectsAndDisconnectsTheProvider(t *testing.T) {
	p := newPeople(t)
	provider := knownBy(t, p, "closed")
	code := p.goThere(t, provider)
	const path = "/api/v1/account/signons"
	problem(t, "connect by a wrong password", p.ask(t, p.ada, "POST", path, members.ConnectSignOn{SignOnCode: code, Password: "wrong"}), 403, "denied", "the password is wrong")
	p.decode(t, p.ask(t, p.ada, "POST", path, members.ConnectSignOn{SignOnCode: code, Password: password}), http.StatusNoContent, nil)
	problem(t, "connect by a code that was used", p.ask(t, p.ada, "POST", path, members.ConnectSignOn{SignOnCode: code, Password: password}), 403, "denied", "not begun in this browser")
	var s members.Session
	p.decode(t, p.signsOn(t, provider), http.StatusCreated, &s)
	if s.Account.ID != p.ada.Account {
		t.Errorf("sign-on opens %+v, want ada's account", s.Account)
	}
	provider.Claims = grace
	problem(t, "connect with somebody else too", p.ask(t, p.ada, "POST", path, members.ConnectSignOn{SignOnCode: p.goThere(t, provider), Password: password}), 409, "conflict", "disconnect that first")
	bob := p.who(t, p.register(t, "bob@example.org"))
	provider.Claims = nil
	problem(t, "connect another account with the same person", p.ask(t, bob, "POST", path, members.ConnectSignOn{SignOnCode: p.goThere(t, provider), Password: password}), 409, "conflict", "has another account here")

	var out members.Export
	p.decode(t, p.ask(t, p.ada, "GET", "/api/v1/account/export", nil), http.StatusOK, &out)
	if diff := cmp.Diff([]bijou.Identity{{Issuer: provider.URL, Subject: "4711"}}, out.Identities); diff != "" {
		t.Errorf("identities of the export (-want +got):\n%s", diff)
	}
	p.decode(t, p.ask(t, p.ada, "POST", path+"/ends", members.DisconnectSignOn{Password: password}), http.StatusNoContent, nil)
	problem(t, "sign-on after that", p.signsOn(t, provider), 409, "conflict", "sign in with its password")
}

// register makes an account as an operator's link would.
func (p *people) register(t *testing.T, email string) members.Session {
	t.Helper()
	link, err := p.AddAccount(t.Context(), members.AddAccount{Email: email})
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(link.Link, "#")
	s, err := p.UseReset(t.Context(), members.UseReset{Token: token, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhoHasNoPasswordSignsOnAgainWhereOneIsAskedFor(t *testing.T) {
	p := newPeople(t)
	provider := knownBy(t, p, "open")
	provider.Claims = grace
	sign := func() bijou.Caller {
		t.Helper()
		var s members.Session
		p.decode(t, p.signsOn(t, provider), http.StatusCreated, &s)
		return p.who(t, s)
	}
	old := sign()
	problem(t, "disconnect", p.ask(t, old, "POST", "/api/v1/account/signons/ends", members.DisconnectSignOn{}), 409, "conflict", "set a password first")
	p.now = p.now.Add(10*time.Minute + time.Second)
	for _, word := range []string{"", password} {
		const again = "this account has no password: sign out, sign on again, and do this within 10 minutes"
		problem(t, "PIN later", p.ask(t, old, "PUT", "/api/v1/account/pin", members.SetPIN{Password: word, PIN: "1234"}), 403, "denied", again)
		problem(t, "deletion later", p.ask(t, old, "POST", "/api/v1/account/deletions", members.Leave{Password: word}), 403, "denied", again)
		problem(t, "password later", p.ask(t, old, "PUT", "/api/v1/account/password", members.ChangePassword{Old: word, New: strongWord}), 403, "denied", again)
	}
	fresh := sign()
	problem(t, "PIN by the old sign-in", p.ask(t, old, "PUT", "/api/v1/account/pin", members.SetPIN{PIN: "1234"}), 403, "denied", "sign on again")
	p.decode(t, p.ask(t, fresh, "PUT", "/api/v1/account/pin", members.SetPIN{PIN: "1234"}), http.StatusNoContent, nil)
	p.decode(t, p.ask(t, fresh, "PUT", "/api/v1/account/password", members.ChangePassword{New: strongWord}), http.StatusNoContent, nil)
	problem(t, "PIN without the password that there is now", p.ask(t, fresh, "PUT", "/api/v1/account/pin", members.SetPIN{}), 403, "denied", "the password is wrong")
	p.decode(t, p.ask(t, p.guest, "POST", "/api/v1/sessions", members.SignIn{Email: "grace@example.org", Password: strongWord}), http.StatusCreated, nil)
	var me members.Me
	if p.decode(t, p.ask(t, fresh, "GET", "/api/v1/me", nil), http.StatusOK, &me); !me.Password || !me.Connected {
		t.Errorf("me = %+v, want one with a password, connected still", me)
	}

	// Deletion takes the identity along: the same person begins anew.
	p.decode(t, p.ask(t, fresh, "POST", "/api/v1/account/deletions", members.Leave{Password: strongWord}), http.StatusNoContent, nil)
	if anew := sign(); anew.Account == fresh.Account || anew.Account == "" {
		t.Errorf("sign-on after the deletion opens %s, want a new account", anew.Account)
	}
	p.decode(t, p.ask(t, sign(), "POST", "/api/v1/account/deletions", members.Leave{}), http.StatusNoContent, nil)
}
