package members_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/members"
)

// refusal is a request that is refused, and how.
type refusal struct {
	what   string
	route  string // as declared
	path   string // where the route's wildcards are filled
	body   any
	before func(t *testing.T, p *people) // what was done before
	who    func(p *people) bijou.Caller  // nil: ada
	status int
	kind   string
	words  string
}

// people is a room with those who ask.
type people struct {
	*house
	api                  http.Handler
	ada, guest, operator bijou.Caller
}

func newPeople(t *testing.T) *people {
	t.Helper()
	p := &people{house: newHouse(t), guest: bijou.Caller{Client: "192.0.2.9"}, operator: bijou.Caller{Operator: "opr_1", Role: bijou.RoleOperator}}
	p.api = rpc.Handler(rpc.Deps{}, p.Routes()...)
	p.ada = bijou.CallerOf(p.as(t, p.signUp(t, "ada@example.org").Token))
	return p
}

// ask asks the room as the caller and returns the answer.
func (p *people) ask(t *testing.T, c bijou.Caller, verb, path string, body any) *httptest.ResponseRecorder {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		b = nil
	}
	caller, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(verb, path, bytes.NewReader(b))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(rpc.CallerHeader, string(caller))
	rec := httptest.NewRecorder()
	p.api.ServeHTTP(rec, r)
	return rec
}

// do is ask for what must not be refused.
func (p *people) do(t *testing.T, c bijou.Caller, verb, path string, body any) *httptest.ResponseRecorder {
	t.Helper()
	rec := p.ask(t, c, verb, path, body)
	if rec.Code >= 300 {
		t.Fatalf("%s %s = %d %s", verb, path, rec.Code, rec.Body)
	}
	return rec
}

// problem checks that the answer is a refusal as RFC 9457 has it, in one sentence.
func problem(t *testing.T, what string, rec *httptest.ResponseRecorder, status int, kind, words string) {
	t.Helper()
	var p rpc.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Errorf("%s: answer %d %s is no problem: %v", what, rec.Code, rec.Body, err)
		return
	}
	oneSentence := p.Detail != "" && !strings.ContainsAny(p.Detail, "\n\r") && !strings.Contains(p.Detail, "bijou/") && !strings.HasSuffix(p.Detail, kind)
	if rec.Code != status || p.Status != status || p.Type != "urn:bijou:"+strings.ReplaceAll(kind, " ", "-") || !strings.Contains(p.Detail, words) || !oneSentence {
		t.Errorf("%s: answer %d %s; want %d of kind %q, in one sentence with %q", what, rec.Code, rec.Body, status, kind, words)
	}
	if rec.Header().Get("Content-Type") != rpc.ProblemType {
		t.Errorf("%s: the answer is %q, want %q", what, rec.Header().Get("Content-Type"), rpc.ProblemType)
	}
	if status == http.StatusTooManyRequests {
		after, err := strconv.Atoi(rec.Header().Get("Retry-After"))
		if err != nil || after < 1 || after > 6*3600 {
			t.Errorf("%s: Retry-After is %q, want seconds", what, rec.Header().Get("Retry-After"))
		}
	}
}

// withPIN sets the PIN 1234.
func withPIN(t *testing.T, p *people) {
	p.do(t, p.ada, "PUT", "/api/v1/account/pin", members.SetPIN{Password: password, PIN: "1234"})
}

// asGuest, asOperator and asChild are who asks beside ada.
func asGuest(p *people) bijou.Caller { return p.guest }

func asOperator(p *people) bijou.Caller { return p.operator }

func asChild(p *people) bijou.Caller {
	c := p.ada
	c.Children = true
	return c
}

func asNobody(p *people) bijou.Caller {
	c := p.ada
	c.Profile, c.Children = "", true
	return c
}

// often repeats a request that is refused until the next one is refused for its number.
func often(n int, verb, path string, body any, who func(*people) bijou.Caller) func(*testing.T, *people) {
	return func(t *testing.T, p *people) {
		for range n {
			p.ask(t, who(p), verb, path, body)
		}
	}
}

func asAda(p *people) bijou.Caller { return p.ada }

var (
	wrongSignIn = members.SignIn{Email: "ada@example.org", Password: "wrong password"}
	strongWord  = "a better password"
	childWish   = members.MakeProfile{Name: "Kim", Children: true}
)

// refusals are all the reasons for which the room says no, by method.
func refusals() []refusal {
	const up, in, pw, pin, leave = "POST /api/v1/accounts", "POST /api/v1/sessions", "PUT /api/v1/account/password", "PUT /api/v1/account/pin", "POST /api/v1/account/deletions"
	return []refusal{
		{what: "a taken address", route: up, body: members.SignUp{Email: "Ada@Example.org", Password: strongWord}, who: asGuest, status: 409, kind: "conflict", words: "the address Ada@Example.org has an account already"},
		{what: "no address", route: up, body: members.SignUp{Email: "ada", Password: strongWord}, who: asGuest, status: 400, kind: "invalid", words: "is not an e-mail address"},
		{what: "a domain without a dot", route: up, body: members.SignUp{Email: "a@b", Password: strongWord}, who: asGuest, status: 400, kind: "invalid", words: "ends in no domain"},
		{what: "a short password", route: up, body: members.SignUp{Email: "bob@example.org", Password: "short"}, who: asGuest, status: 400, kind: "invalid", words: "at least 8 characters"},
		{what: "a common password", route: up, body: members.SignUp{Email: "bob@example.org", Password: "password1"}, who: asGuest, status: 400, kind: "invalid", words: "guessed first"},
		{what: "a password of one character", route: up, body: members.SignUp{Email: "bob@example.org", Password: "zzzzzzzzz"}, who: asGuest, status: 400, kind: "invalid", words: "over and over"},
		{what: "the address as password", route: up, body: members.SignUp{Email: "bob@example.org", Password: "bob@example.org"}, who: asGuest, status: 400, kind: "invalid", words: "is the e-mail address"},
		{what: "sign-up closed", route: up, body: members.SignUp{Email: "bob@example.org", Password: strongWord}, who: asGuest, before: closeSignUp, status: 401, kind: "denied", words: "ask who runs this service"},

		{what: "a wrong password", route: in, body: wrongSignIn, who: asGuest, status: 401, kind: "denied", words: "the e-mail address or the password is wrong"},
		{what: "an unknown address", route: in, body: members.SignIn{Email: "eve@example.org", Password: password}, who: asGuest, status: 401, kind: "denied", words: "the e-mail address or the password is wrong"},
		{what: "no address", route: in, body: members.SignIn{Email: "eve", Password: password}, who: asGuest, status: 400, kind: "invalid", words: "is not an e-mail address"},
		{what: "too many wrong passwords", route: in, body: wrongSignIn, who: asGuest, before: often(5, "POST", "/api/v1/sessions", wrongSignIn, asGuest), status: 429, kind: "exhausted", words: "too many wrong passwords: try again in 30 seconds"},

		{what: "an unknown token", route: "POST /api/v1/session/renewals", body: members.OldToken{Token: "unknown"}, who: asGuest, status: 401, kind: "denied", words: "sign in again"},
		{what: "what is no identifier", route: "DELETE /api/v1/sessions/{id}", path: "/api/v1/sessions/x", status: 400, kind: "invalid", words: "is not an identifier"},
		{what: "another's sign-in", route: "DELETE /api/v1/sessions/{id}", path: "/api/v1/sessions/sgn_none", status: 404, kind: "not found", words: "you have no sign-in sgn_none"},
		{what: "a guarded child", route: "DELETE /api/v1/sessions/{id}", path: "/api/v1/sessions/sgn_none", before: withPIN, who: asChild, status: 403, kind: "denied", words: "a children's profile is watching"},
		{what: "a guarded child", route: "POST /api/v1/sessions/ends", body: members.EndSignIns{}, before: withPIN, who: asChild, status: 403, kind: "denied", words: "a children's profile is watching"},

		{what: "no provider", route: "POST /api/v1/signons", who: asGuest, status: 404, kind: "not found", words: "there is no sign-on provider here"},
		{what: "a provider that is down", route: "POST /api/v1/signons", before: providerDown, who: asGuest, status: 503, kind: "unavailable", words: "sign in with a password, or try again later"},
		{what: "no provider", route: "POST /api/v1/signons/returns", body: members.SignOnReturn{}, who: asGuest, status: 404, kind: "not found", words: "there is no sign-on provider here"},
		{what: "a sign-on of another browser", route: "POST /api/v1/signons/returns", body: members.SignOnReturn{}, before: withProvider, who: asGuest, status: 401, kind: "denied", words: "not begun in this browser"},
		{what: "no provider", route: "POST /api/v1/account/signons", body: members.ConnectSignOn{Password: password}, status: 404, kind: "not found", words: "there is no sign-on provider here"},
		{what: "a wrong password", route: "POST /api/v1/account/signons", body: members.ConnectSignOn{Password: "wrong password"}, before: withProvider, status: 403, kind: "denied", words: "the password is wrong"},
		{what: "a sign-on of another browser", route: "POST /api/v1/account/signons", body: members.ConnectSignOn{Password: password}, before: withProvider, status: 403, kind: "denied", words: "not begun in this browser"},
		{what: "no provider", route: "POST /api/v1/account/signons/ends", body: members.DisconnectSignOn{Password: password}, status: 404, kind: "not found", words: "there is no sign-on provider here"},
		{what: "a wrong password", route: "POST /api/v1/account/signons/ends", body: members.DisconnectSignOn{Password: "wrong password"}, before: withProvider, status: 403, kind: "denied", words: "the password is wrong"},
		{what: "an account that is not connected", route: "POST /api/v1/account/signons/ends", body: members.DisconnectSignOn{Password: password}, before: withProvider, status: 404, kind: "not found", words: "is not connected with 127.0.0.1:"},

		{what: "no address", route: "POST /api/v1/password-resets", body: members.AskReset{Email: "ada"}, who: asGuest, status: 400, kind: "invalid", words: "is not an e-mail address"},
		{what: "too many wishes", route: "POST /api/v1/password-resets", body: members.AskReset{Email: "ada@example.org"}, who: asGuest, before: often(3, "POST", "/api/v1/password-resets", members.AskReset{Email: "ada@example.org"}, asGuest), status: 429, kind: "exhausted", words: "too many links were asked for: try again in 10 minutes"},
		{what: "too many wishes for an unknown address", route: "POST /api/v1/password-resets", body: members.AskReset{Email: "eve@example.org"}, who: asGuest, before: often(3, "POST", "/api/v1/password-resets", members.AskReset{Email: "eve@example.org"}, asGuest), status: 429, kind: "exhausted", words: "too many links were asked for: try again in 10 minutes"},
		{what: "an unknown link", route: "POST /api/v1/password-resets/uses", body: members.UseReset{Token: "unknown", Password: strongWord}, who: asGuest, status: 404, kind: "not found", words: "the link was used already or is too old"},
		{what: "a short password", route: "POST /api/v1/password-resets/uses", body: members.UseReset{Token: "unknown", Password: "short"}, who: asGuest, status: 400, kind: "invalid", words: "at least 8 characters"},

		{what: "a wrong password", route: pw, body: members.ChangePassword{Old: "wrong password", New: strongWord}, status: 403, kind: "denied", words: "the password is wrong"},
		{what: "a common password", route: pw, body: members.ChangePassword{Old: password, New: "password1"}, status: 400, kind: "invalid", words: "guessed first"},
		{what: "too many wrong passwords", route: pw, body: members.ChangePassword{Old: password, New: strongWord}, before: often(5, "PUT", "/api/v1/account/password", members.ChangePassword{Old: "wrong password", New: strongWord}, asAda), status: 429, kind: "exhausted", words: "too many wrong passwords"},
		{what: "a wrong password", route: pin, body: members.SetPIN{Password: "wrong password", PIN: "1234"}, status: 403, kind: "denied", words: "the password is wrong"},
		{what: "a PIN of letters", route: pin, body: members.SetPIN{Password: password, PIN: "abcd"}, status: 400, kind: "invalid", words: "pin"},
		{what: "a PIN of three digits", route: pin, body: members.SetPIN{Password: password, PIN: "123"}, status: 400, kind: "invalid", words: "pin"},
		{what: "a guarded child", route: "GET /api/v1/account/export", before: withPIN, who: asChild, status: 403, kind: "denied", words: "a children's profile is watching"},
		{what: "a wrong password", route: leave, body: members.Leave{Password: "wrong password"}, status: 403, kind: "denied", words: "the password is wrong"},

		{what: "no name", route: "POST /api/v1/profiles", body: members.MakeProfile{Name: " "}, status: 400, kind: "invalid", words: "the name is empty"},
		{what: "a name of two lines", route: "POST /api/v1/profiles", body: members.MakeProfile{Name: "a\nb"}, status: 400, kind: "invalid", words: "control character"},
		{what: "a long name", route: "POST /api/v1/profiles", body: members.MakeProfile{Name: strings.Repeat("ß", 40)}, status: 400, kind: "invalid", words: "at most 60"},
		{what: "a sixth profile", route: "POST /api/v1/profiles", body: childWish, before: often(4, "POST", "/api/v1/profiles", childWish, asAda), status: 429, kind: "exhausted", words: "has 5 profiles, which is the most"},
		{what: "no PIN", route: "POST /api/v1/profiles", body: childWish, before: withPIN, status: 403, kind: "denied", words: "asks for the PIN"},
		{what: "a wrong PIN", route: "POST /api/v1/profiles", body: members.MakeProfile{Name: "Kim", PIN: "4321"}, before: withPIN, status: 403, kind: "denied", words: "the PIN is wrong"},
		{what: "what is no identifier", route: "PUT /api/v1/profiles/{id}", path: "/api/v1/profiles/x", body: map[string]any{"name": "Ann", "children": false}, status: 400, kind: "invalid", words: "is not an identifier"},
		{what: "another's profile", route: "PUT /api/v1/profiles/{id}", path: "/api/v1/profiles/prf_none", body: map[string]any{"name": "Ann", "children": false}, status: 404, kind: "not found", words: "you have no profile prf_none"},
		{what: "no name", route: "PUT /api/v1/profiles/{id}", path: "/api/v1/profiles/prf_none", body: map[string]any{"name": "", "children": false}, status: 400, kind: "invalid", words: "the name is empty"},
		{what: "another's profile", route: "POST /api/v1/profiles/{id}/deletions", path: "/api/v1/profiles/prf_none/deletions", body: map[string]any{}, status: 404, kind: "not found", words: "you have no profile prf_none"},
		{what: "another's profile", route: "PUT /api/v1/session/profile", body: members.ChooseProfile{Profile: "prf_none"}, status: 404, kind: "not found", words: "you have no profile prf_none"},

		{what: "nobody watching", route: "GET /api/v1/list", who: asNobody, status: 409, kind: "conflict", words: "choose a profile first"},
		{what: "a place that is none", route: "GET /api/v1/list", path: "/api/v1/list?before=x", status: 400, kind: "invalid", words: "is no page's next"},
		{what: "nobody watching", route: "PUT /api/v1/list/{title}", path: "/api/v1/list/ttl_1", who: asNobody, status: 409, kind: "conflict", words: "choose a profile first"},
		{what: "an unknown title", route: "PUT /api/v1/list/{title}", path: "/api/v1/list/ttl_9", status: 404, kind: "not found", words: "no title ttl_9"},
		{what: "a full list", route: "PUT /api/v1/list/{title}", path: "/api/v1/list/ttl_1", before: fullList, status: 429, kind: "exhausted", words: "holds 500 titles"},
		{what: "nobody watching", route: "DELETE /api/v1/list/{title}", path: "/api/v1/list/ttl_1", who: asNobody, status: 409, kind: "conflict", words: "choose a profile first"},
		{what: "what is no identifier", route: "DELETE /api/v1/list/{title}", path: "/api/v1/list/x", status: 400, kind: "invalid", words: "is not an identifier"},
		{what: "too many at once", route: "GET /api/v1/positions", path: "/api/v1/positions?limit=201", status: 400, kind: "invalid", words: "limit must be at most 200"},
		{what: "nobody watching", route: "POST /api/v1/positions", body: members.BringPosition{Title: "ttl_1"}, who: asNobody, status: 409, kind: "conflict", words: "choose a profile first"},
		{what: "a title that is not there", route: "POST /api/v1/positions", body: members.BringPosition{Title: "ttl_gone"}, status: 404, kind: "not found"},
		{what: "a place behind the end", route: "POST /api/v1/positions", body: members.BringPosition{Title: "ttl_1", PositionMS: 9, RuntimeMS: 5}, status: 400, kind: "invalid", words: "beyond the runtime"},
		{what: "what is no title", route: "POST /api/v1/positions", body: members.BringPosition{Title: "x"}, status: 400, kind: "invalid", words: "is not an identifier"},
	}
}

// operatorRefusals are those of the methods by which operators keep accounts.
func operatorRefusals() []refusal {
	return []refusal{
		{what: "a place that is none", route: "GET /api/v1/accounts", path: "/api/v1/accounts?before=x", who: asOperator, status: 400, kind: "invalid", words: "is no page's next"},
		{what: "a taken address", route: "POST /api/v1/accounts/invitations", body: members.AddAccount{Email: "ada@example.org"}, who: asOperator, status: 409, kind: "conflict", words: "has an account already"},
		{what: "no address", route: "POST /api/v1/accounts/invitations", body: members.AddAccount{Email: "ada"}, who: asOperator, status: 400, kind: "invalid", words: "is not an e-mail address"},
		{what: "an unknown account", route: "DELETE /api/v1/accounts/{id}", path: "/api/v1/accounts/acc_none", who: asOperator, status: 404, kind: "not found", words: "no account has the identifier acc_none"},
		{what: "what is no identifier", route: "DELETE /api/v1/accounts/{id}", path: "/api/v1/accounts/x", who: asOperator, status: 400, kind: "invalid", words: "is not an identifier"},
		{what: "an unknown account", route: "POST /api/v1/accounts/{id}/resets", path: "/api/v1/accounts/acc_none/resets", who: asOperator, status: 404, kind: "not found", words: "no account has the identifier acc_none"},
	}
}

func closeSignUp(t *testing.T, p *people) {
	c := members.DefaultConfig()
	c.SignUp = "closed"
	p.configure(c)
	p.api = rpc.Handler(rpc.Deps{}, p.Routes()...)
}

func fullList(t *testing.T, p *people) {
	for n := range bijou.MaxList {
		if err := p.store.AddToList(t.Context(), bijou.ListEntry{Profile: p.ada.Profile, Title: bijou.TitleID(fmt.Sprintf("ttl_x%d", n)), Added: begin}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryRefusalSaysWhyInOneSentenceAndByItsKind(t *testing.T) {
	all := newPeople(t) // of those before which nothing was done
	for _, r := range append(refusals(), operatorRefusals()...) {
		p := all
		if r.before != nil {
			p = newPeople(t)
			r.before(t, p)
		}
		verb, path, _ := strings.Cut(r.route, " ")
		if r.path != "" {
			path = r.path
		}
		who := asAda
		if r.who != nil {
			who = r.who
		}
		problem(t, r.route+" of "+r.what, p.ask(t, who(p), verb, path, r.body), r.status, r.kind, r.words)
	}
}

func TestEveryPublicMethodHasItsRefusalsAndAsksForItsRight(t *testing.T) {
	told := map[string]bool{ // what refuses nothing of its own
		"GET /api/v1/me": true, "DELETE /api/v1/session": true, "GET /api/v1/sessions": true, "GET /api/v1/profiles": true,
	}
	for _, r := range append(refusals(), operatorRefusals()...) {
		told[r.route] = true
	}
	p := newPeople(t)
	for _, r := range p.Routes() {
		if !r.Public() {
			continue
		}
		if !told[r.Pattern()] {
			t.Errorf("%s has no refusals in the table", r.Pattern())
		}
		delete(told, r.Pattern())
		path := strings.NewReplacer("{id}", "x_1", "{title}", "ttl_1").Replace(r.Path())
		switch r.Needs() {
		case rpc.Member:
			problem(t, r.Pattern()+" by a guest", p.ask(t, p.guest, r.Verb(), path, struct{}{}), 401, "denied", "sign in first")
			problem(t, r.Pattern()+" by an operator", p.ask(t, p.operator, r.Verb(), path, struct{}{}), 403, "denied", "sign in as a member")
		case rpc.Operator:
			problem(t, r.Pattern()+" by a guest", p.ask(t, p.guest, r.Verb(), path, struct{}{}), 401, "denied", "needs the role operator")
			problem(t, r.Pattern()+" by a member", p.ask(t, p.ada, r.Verb(), path, struct{}{}), 403, "denied", "needs the role operator")
		}
	}
	if len(told) > 0 {
		t.Errorf("the table names methods that are none: %v", slices.Sorted(maps.Keys(told)))
	}
}
