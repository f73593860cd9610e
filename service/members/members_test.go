package members_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/sqlite"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/service/members"
	"bijou/service/members/signon"

	"github.com/google/go-cmp/cmp"
)

var begin = time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)

const password = "correct horse"

// house is the room over an embedded store.
type house struct {
	*members.Service
	store  *sqlite.Members
	titles shelf
	mail   *post
	logged *bytes.Buffer
	now    time.Time
	signOn *signon.Provider
}

// shelf is what can be watched.
type shelf map[bijou.TitleID]bijou.Title

// PublishedTitle implements bijou.Titles.
func (s shelf) PublishedTitle(_ context.Context, id bijou.TitleID) (bijou.Title, error) {
	if t, ok := s[id]; ok {
		return t, nil
	}
	return bijou.Title{}, fmt.Errorf("no title %s is in the catalogue: %w", id, bijou.NotFound)
}

// post keeps what was sent. It implements bijou.Mailer.
type post struct {
	mu    sync.Mutex
	sent  []bijou.Message
	fails []error // what the next messages come to
}

// Send implements bijou.Mailer.
func (p *post) Send(_ context.Context, m bijou.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fails) > 0 {
		err := p.fails[0]
		p.fails = p.fails[1:]
		return err
	}
	p.sent = append(p.sent, m)
	return m.Check()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	store, err := sqlite.OpenMembers(t.Context(), filepath.Join(t.TempDir(), "members.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	h := &house{store: store, now: begin, titles: shelf{"ttl_1": {ID: "ttl_1"}, "ttl_2": {ID: "ttl_2"}}, mail: &post{}, logged: new(bytes.Buffer)}
	h.configure(members.DefaultConfig())
	return h
}

// configure opens the room anew.
func (h *house) configure(c members.Config) {
	h.Service = members.New(members.Deps{
		Accounts: h.store, Profiles: h.store, Titles: h.titles, Facts: newLog(1), Mail: h.mail, SignOn: h.signOn, Address: "http://127.0.0.1:8080",
		Log: slog.New(slog.NewTextHandler(h.logged, nil)), Now: func() time.Time { return h.now }, Config: c,
	})
}

// as is the context of who holds the token.
func (h *house) as(t *testing.T, token string) context.Context {
	t.Helper()
	c, err := h.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatalf("Authenticate = %v", err)
	}
	c.Client = "192.0.2.1"
	return bijou.WithCaller(t.Context(), c)
}

// signUp makes an account with the address.
func (h *house) signUp(t *testing.T, email string) members.Session {
	t.Helper()
	s, err := h.SignUp(t.Context(), members.SignUp{Email: email, Password: password})
	if err != nil {
		t.Fatalf("SignUp(%s) = %v", email, err)
	}
	return s
}

func TestWhoSignsUpIsSignedInAsTheirFirstProfile(t *testing.T) {
	h := newHouse(t)
	s, err := h.SignUp(t.Context(), members.SignUp{Email: "  Ada@Example.org ", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	if s.Account.Email != "ada@example.org" || s.Profile.Name != "ada" || s.Profile.Account != s.Account.ID || !s.Expires.Equal(begin.AddDate(0, 0, 30)) {
		t.Errorf("SignUp = %+v", s)
	}
	if err := errors.Join(bijou.CheckID(s.Account.ID, bijou.AccountPrefix), bijou.CheckID(s.Profile.ID, bijou.ProfilePrefix)); err != nil {
		t.Error(err)
	}
	got, err := h.Authenticate(t.Context(), s.Token)
	want := bijou.Caller{Account: s.Account.ID, Profile: s.Profile.ID, Session: got.Session}
	if err != nil || got != want || bijou.CheckID(got.Session, bijou.SignInPrefix) != nil {
		t.Errorf("Authenticate = %+v, %v; want %+v", got, err, want)
	}
	me, err := h.Me(bijou.WithCaller(t.Context(), got), struct{}{})
	if err != nil || me.Guest || me.Account == nil || me.Account.Email != "ada@example.org" || me.Profile == nil || me.Profile.ID != s.Profile.ID {
		t.Errorf("Me = %+v, %v", me, err)
	}
	if me, err := h.Me(t.Context(), struct{}{}); err != nil || !me.Guest || me.Account != nil {
		t.Errorf("Me of a guest = %+v, %v", me, err)
	}
}

func TestASignUpIsRefusedInWordsThatSayWhy(t *testing.T) {
	h := newHouse(t)
	h.signUp(t, "ada@example.org")
	check := func(email, password string, kind bijou.Kind, word string) {
		t.Helper()
		s, err := h.SignUp(t.Context(), members.SignUp{Email: email, Password: password})
		if !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), word) || s.Token != "" {
			t.Errorf("SignUp(%q, %q) = %+v, %v; want %s with %q in it", email, password, s, err, kind, word)
		}
	}
	check("ada@example.org", password, bijou.Conflict, "sign in instead")
	check("ADA@example.ORG ", password, bijou.Conflict, "the address ADA@example.ORG has an account already: sign in instead")
	check("ada@example", password, bijou.Invalid, "no domain")
	check("ada@.org", password, bijou.Invalid, "e-mail")
	check("ada", password, bijou.Invalid, `"ada"`)
	check("", password, bijou.Invalid, "e-mail")
	check("ada@example.org\nBcc: eve@example.org", password, bijou.Invalid, "e-mail")
	check("Ada <ada@example.com>", password, bijou.Invalid, "e-mail")
	check("bob@example.org", "1234567", bijou.Invalid, "7 characters")
	check("bob@example.org", "äöüßéèê", bijou.Invalid, "7 characters")
	check("bob@example.org", "", bijou.Invalid, "0 characters")
	check("bob@example.org", "          ", bijou.Invalid, "over and over")
	check("bob@example.org", "ßßßßßßßßßß", bijou.Invalid, "over and over")
	check("bob@example.org", "BijouBijou", bijou.Invalid, "over and over")
	check("bob@example.org", "Bob@Example.org", bijou.Invalid, "the e-mail address")
	check("bobandjim@example.org", "bobandjim", bijou.Invalid, "the e-mail address")
	check("bob@example.org", "Password1", bijou.Invalid, "guessed first")
	check("bob@example.org", " trustno1 ", bijou.Invalid, "guessed first")
	if _, _, err := h.store.Credentials(t.Context(), "bob@example.org"); !errors.Is(err, bijou.NotFound) {
		t.Errorf("a refused sign-up left an account: %v", err)
	}
}

func TestAWrongPasswordAndAnUnknownAddressAreTheSameWords(t *testing.T) {
	h := newHouse(t)
	up := h.signUp(t, "ada@example.org")
	in, err := h.SignIn(t.Context(), members.SignIn{Email: "ADA@example.org", Password: password})
	if err != nil || in.Account != up.Account || in.Profile != up.Profile || in.Token == up.Token || in.Token == "" {
		t.Fatalf("SignIn = %+v, %v; want another session of %+v", in, err, up)
	}
	_, wrong := h.SignIn(t.Context(), members.SignIn{Email: "ada@example.org", Password: "correct house"})
	_, unknown := h.SignIn(t.Context(), members.SignIn{Email: "eve@example.org", Password: password})
	if !errors.Is(wrong, bijou.Denied) || !errors.Is(unknown, bijou.Denied) || wrong.Error() != unknown.Error() {
		t.Errorf("a wrong password is %q and an unknown address %q, want the same refusal", wrong, unknown)
	}
}

func TestAPasswordWhoseHashWasStoredLongAgoStillSignsIn(t *testing.T) {
	h := newHouse(t)
	const stored = "$argon2id$v=19$m=19456,t=2,p=1$KmP52zTpjoVbQzDsztSQAw$wqNZ26Hnn5d3aQp8fRX/Uk99SZBlX9NMbVczu9exwF4" // as the first version wrote it
	if err := h.store.CreateAccount(t.Context(), bijou.Account{ID: "acc_1", Email: "ada@example.org", Created: begin}, stored); err != nil {
		t.Fatal(err)
	}
	if s, err := h.SignIn(t.Context(), members.SignIn{Email: "ada@example.org", Password: password}); err != nil || s.Account.ID != "acc_1" {
		t.Errorf("SignIn = %+v, %v; want acc_1", s, err)
	}
	if _, err := h.SignIn(t.Context(), members.SignIn{Email: "ada@example.org", Password: "correct Horse"}); !errors.Is(err, bijou.Denied) {
		t.Errorf("SignIn with another password = %v, want Denied", err)
	}
}

func TestASignInEndsWithItsSignOutOrItsTime(t *testing.T) {
	h := newHouse(t)
	first, second := h.signUp(t, "ada@example.org"), members.Session{}
	second, err := h.SignIn(t.Context(), members.SignIn{Email: "ada@example.org", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, token string, want bool) bijou.Caller {
		t.Helper()
		c, err := h.Authenticate(t.Context(), token)
		if (err == nil) != want || err != nil && !errors.Is(err, bijou.Denied) {
			t.Errorf("%s: Authenticate = %+v, %v; want it to hold: %v", name, c, err, want)
		}
		return c
	}
	caller := check("first sign-in", first.Token, true)
	check("no token", "", false)
	check("the hash of a token", trust.HashToken(first.Token), false)
	if _, err := h.SignOut(bijou.WithCaller(t.Context(), caller), struct{}{}); err != nil {
		t.Fatalf("SignOut = %v", err)
	}
	check("after the sign-out", first.Token, false)
	check("on the other device", second.Token, true)
	for range 2 {
		if _, err := h.SignOut(t.Context(), struct{}{}); err != nil {
			t.Errorf("SignOut of a guest = %v", err)
		}
	}
	h.now = second.Expires.Add(-time.Microsecond)
	check("before its end", second.Token, true)
	h.now = second.Expires
	check("at its end", second.Token, false)
}

func TestAKillBetweenAccountAndProfileIsMendedByTheNextSignIn(t *testing.T) {
	h := newHouse(t)
	other := h.signUp(t, "bob@example.org")
	_, hash, err := h.store.Credentials(t.Context(), other.Account.Email)
	if err != nil {
		t.Fatal(err)
	}
	alone := bijou.Account{ID: "acc_alone", Email: "ada@example.org", Created: begin}
	if err := h.store.CreateAccount(t.Context(), alone, hash); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := h.SignIn(t.Context(), members.SignIn{Email: "ada@example.org", Password: password})
		if err != nil || s.Profile.Account != "acc_alone" {
			t.Fatalf("SignIn = %+v, %v", s, err)
		}
	}
	if ps, err := h.store.Profiles(t.Context(), "acc_alone"); err != nil || len(ps) != 1 {
		t.Errorf("the account has profiles %+v, %v; want one", ps, err)
	}
}

func TestAGuestsPositionIsBroughtAlongUnlessTheMemberHasOne(t *testing.T) {
	h := newHouse(t)
	s := h.signUp(t, "ada@example.org")
	ctx := bijou.WithCaller(t.Context(), bijou.Caller{Account: s.Account.ID, Profile: s.Profile.ID})
	bring := members.BringPosition{Title: "ttl_1", PositionMS: 42_000, RuntimeMS: 100_000}
	check := func(name string, want int64) {
		t.Helper()
		if _, err := h.BringPosition(ctx, bring); err != nil {
			t.Fatalf("%s: BringPosition = %v", name, err)
		}
		if p, err := h.LastPosition(ctx, s.Profile.ID, "ttl_1"); err != nil || p.PositionMS != want {
			t.Errorf("%s: position %+v, %v; want %d ms", name, p, err, want)
		}
	}
	check("a title not begun", 42_000)
	h.now = begin.Add(time.Hour)
	bring.PositionMS = 7
	check("a title begun", 42_000)
	bring.Title = "../x"
	if _, err := h.BringPosition(ctx, bring); !errors.Is(err, bijou.Invalid) {
		t.Errorf("BringPosition of no title = %v, want Invalid", err)
	}
	if _, err := h.BringPosition(bijou.WithCaller(t.Context(), bijou.Caller{Account: s.Account.ID}), members.BringPosition{Title: "ttl_1"}); !errors.Is(err, bijou.Conflict) {
		t.Errorf("BringPosition where no profile is chosen = %v, want Conflict", err)
	}
	list, err := h.Positions(ctx, members.PositionsQuery{})
	if err != nil || len(list.Positions) != 1 || list.Positions[0].Title != "ttl_1" {
		t.Errorf("Positions = %+v, %v", list, err)
	}
	if list, err := h.Positions(t.Context(), members.PositionsQuery{Limit: 1}); err != nil || list.Positions == nil || len(list.Positions) != 0 {
		t.Errorf("Positions of nobody = %+v, %v; want an empty list", list, err)
	}
}

func TestTheConfigurationIsCheckedInWordsThatNameTheKey(t *testing.T) {
	if err := members.DefaultConfig().Check(); err != nil {
		t.Errorf("default: %v", err)
	}
	check := func(key string, change func(c *members.Config)) {
		t.Helper()
		c := members.DefaultConfig()
		change(&c)
		if err := errors.Join(c.Check(), c.Mail.Check()); !errors.Is(err, bijou.Invalid) || !strings.Contains(fmt.Sprint(err), key) {
			t.Errorf("%+v: Check = %v, want Invalid that names %s", c, err, key)
		}
	}
	for _, days := range []int{0, -1, 3651} {
		check("session_days", func(c *members.Config) { c.SessionDays = days })
	}
	check("sign_up", func(c *members.Config) { c.SignUp = "" })
	check("smtp", func(c *members.Config) { c.Mail.SMTP = "mail.example.org" })
	check("from", func(c *members.Config) { c.Mail.From = "bijou" })
	check("security", func(c *members.Config) { c.Mail.Security = "ssl" })
	check("security", func(c *members.Config) { c.Mail.Security, c.Mail.User = "none", "bijou" })
	good := members.DefaultConfig()
	good.SignUp, good.Mail.SMTP, good.Mail.User = "closed", "mail.example.org:465", "bijou"
	if err := errors.Join(good.Check(), good.Mail.Check()); err != nil {
		t.Errorf("Check of %+v = %v", good, err)
	}
}

// contracts are what other rooms ask of this one.
type contracts interface {
	bijou.Sessions
	bijou.Positions
}

func TestTheRoomIsTheSameHereAndThere(t *testing.T) {
	h := newHouse(t)
	s := h.signUp(t, "ada@example.org")
	want := bijou.Position{Profile: s.Profile.ID, Title: "ttl_1", PositionMS: 42_000, RuntimeMS: 100_000, Session: "ply_1", Seq: 3, At: begin}
	if err := h.store.SavePosition(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, h.Routes()...))
	defer server.Close()
	client := rpc.NewClient(server.URL, rpc.Trusted())
	defer client.Close()
	for name, room := range map[string]contracts{"here": h.Service, "there": members.NewClient(client)} {
		caller := bijou.CallerOf(h.as(t, s.Token))
		caller.Client = ""
		if got, err := room.Authenticate(t.Context(), s.Token); err != nil || got != caller {
			t.Errorf("%s: Authenticate = %+v, %v; want %+v", name, got, err, caller)
		}
		for _, token := range []string{"unknown", "", s.Token + "x"} {
			if got, err := room.Authenticate(t.Context(), token); !errors.Is(err, bijou.Denied) || got != (bijou.Caller{}) || !strings.Contains(fmt.Sprint(err), "sign in again") {
				t.Errorf("%s: Authenticate(%q) = %+v, %v; want Denied", name, token, got, err)
			}
		}
		got, err := room.LastPosition(t.Context(), s.Profile.ID, "ttl_1")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: LastPosition: %v (-want +got):\n%s", name, err, diff)
		}
		if _, err := room.LastPosition(t.Context(), s.Profile.ID, "ttl_2"); !errors.Is(err, bijou.NotFound) {
			t.Errorf("%s: LastPosition of a title not begun = %v, want NotFound", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := room.LastPosition(ctx, s.Profile.ID, "ttl_1"); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: LastPosition for who has gone = %v, want context.Canceled", name, err)
		}
	}
}

func TestABrowserSignsInByCookieAndAProgramByToken(t *testing.T) {
	h := newHouse(t)
	api := rpc.Handler(rpc.Deps{}, h.Routes()...)
	do := func(verb, path string, in any, c bijou.Caller) *httptest.ResponseRecorder {
		t.Helper()
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		caller, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(verb, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(rpc.CallerHeader, string(caller))
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, r)
		return rec
	}
	rec := do("POST", "/api/v1/accounts", members.SignUp{Email: "ada@example.org", Password: password, Cookie: true}, bijou.Caller{})
	cookies := rec.Result().Cookies()
	if rec.Code != http.StatusCreated || len(cookies) != 1 || strings.Contains(rec.Body.String(), `"token"`) {
		t.Fatalf("sign-up by cookie = %d %s with cookies %v", rec.Code, rec.Body, cookies)
	}
	c := cookies[0]
	if c.Name != rpc.SessionCookie || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/api/" || !c.Expires.Equal(begin.AddDate(0, 0, 30)) {
		t.Errorf("the cookie is %v", c)
	}
	caller, err := h.Authenticate(t.Context(), c.Value)
	if err != nil {
		t.Fatalf("the cookie's token: %v", err)
	}

	rec = do("POST", "/api/v1/sessions", members.SignIn{Email: "ada@example.org", Password: password}, bijou.Caller{})
	var in members.Session
	if err := json.Unmarshal(rec.Body.Bytes(), &in); err != nil || rec.Code != http.StatusCreated || in.Token == "" || len(rec.Result().Cookies()) != 0 {
		t.Errorf("sign-in by token = %d %s with cookies %v", rec.Code, rec.Body, rec.Result().Cookies())
	}
	if rec := do("POST", "/api/v1/sessions", members.SignIn{Email: "ada@example.org", Password: "correct house"}, bijou.Caller{}); rec.Code != http.StatusUnauthorized {
		t.Errorf("wrong password = %d %s, want 401", rec.Code, rec.Body)
	}
	if rec := do("POST", "/api/v1/accounts", members.SignUp{Email: "ada@example.org", Password: password}, bijou.Caller{}); rec.Code != http.StatusConflict {
		t.Errorf("second sign-up = %d %s, want 409", rec.Code, rec.Body)
	}
	if rec := do("GET", "/api/v1/positions", struct{}{}, bijou.Caller{}); rec.Code != http.StatusUnauthorized {
		t.Errorf("a guest's positions = %d %s, want 401", rec.Code, rec.Body)
	}

	rec = do("DELETE", "/api/v1/session", struct{}{}, caller)
	cookies = rec.Result().Cookies()
	if rec.Code != http.StatusNoContent || len(cookies) != 1 || cookies[0].Value != "" || cookies[0].Path != "/api/" || !cookies[0].Expires.Before(begin) {
		t.Errorf("sign-out = %d with cookies %v, want the cookie removed", rec.Code, cookies)
	}
	if _, err := h.Authenticate(t.Context(), c.Value); !errors.Is(err, bijou.Denied) {
		t.Errorf("after the sign-out: Authenticate = %v, want Denied", err)
	}
}
