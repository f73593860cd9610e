package operators_test

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
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/engine/sqlite"
	"bijou/kit/rpc"
	"bijou/service/members/operators"

	"github.com/google/go-cmp/cmp"
)

const password = "four words are enough"

// house is the room on its real store, behind its real door, with a clock that the test moves.
type house struct {
	*operators.Service
	t     *testing.T
	store *sqlite.Operators
	h     http.Handler
	now   time.Time
}

func newHouse(t *testing.T, change ...func(*operators.Deps)) *house {
	t.Helper()
	store, err := sqlite.OpenOperators(t.Context(), filepath.Join(t.TempDir(), "operators.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h := &house{t: t, store: store, now: time.Date(2031, 3, 4, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return h.now }
	config, log := operators.DefaultConfig(), slog.New(slog.DiscardHandler)
	d := operators.Deps{
		Operators: store, Tokens: store, Secret: "secret of this machine", Now: now, Config: config,
		Audit: operators.NewAudit(operators.AuditDeps{Store: store, Config: config, Now: now, Log: log}),
	}
	for _, f := range change {
		f(&d)
	}
	h.Service = operators.New(d)
	h.h = rpc.Handler(rpc.Deps{Audit: d.Audit}, h.Routes()...)
	return h
}

// ask sends a request as the caller, and returns the answer and its body.
func (h *house) ask(as bijou.Caller, method, body string) (*http.Response, string) {
	h.t.Helper()
	verb, path, _ := strings.Cut(method, " ")
	r := httptest.NewRequest(verb, path, bytes.NewBufferString(body))
	caller, err := json.Marshal(as)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set(rpc.CallerHeader, string(caller))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

// want asks, wants the status, and reads the answer into out.
func (h *house) want(as bijou.Caller, method, body string, status int, out any) *http.Response {
	h.t.Helper()
	res, text := h.ask(as, method, body)
	if res.StatusCode != status {
		h.t.Fatalf("%s %s: got %d %s, want %d", method, body, res.StatusCode, text, status)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			h.t.Fatalf("%s: %v in %s", method, err, text)
		}
	}
	return res
}

// add makes an operator with a password, and returns them as a caller with a session.
func (h *house) add(name string, role bijou.OperatorRole) (bijou.Caller, string) {
	h.t.Helper()
	var in operators.Invitation
	h.want(bijou.LocalCaller, "POST /api/v1/operators", fmt.Sprintf(`{"name":%q,"role":%q}`, name, role), 201, &in)
	res := h.want(bijou.Caller{}, "POST /api/v1/operate/passwords", fmt.Sprintf(`{"token":%q,"password":%q}`, in.Token, password), 201, nil)
	return h.session(res)
}

// session returns the caller of the session that the answer opened, and its token.
func (h *house) session(res *http.Response) (bijou.Caller, string) {
	h.t.Helper()
	cookies := res.Cookies()
	if len(cookies) != 1 || cookies[0].Name != rpc.OperatorCookie || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/api/" {
		h.t.Fatalf("cookies are %v, want one operator's that no script reads and no other site sends", cookies)
	}
	c, err := h.AuthenticateOperator(h.t.Context(), cookies[0].Value, bijou.TokenSession)
	if err != nil {
		h.t.Fatal(err)
	}
	return c, cookies[0].Value
}

// denied wants the token not to stand for anybody.
func (h *house) denied(what, token string, kind bijou.OperatorTokenKind) {
	h.t.Helper()
	if c, err := h.AuthenticateOperator(h.t.Context(), token, kind); !errors.Is(err, bijou.Denied) {
		h.t.Errorf("%s: the token stands for %+v, %v; want Denied", what, c, err)
	}
}

// log returns the audit log, oldest first, in a line an action.
func (h *house) log() (lines []string) {
	h.t.Helper()
	page, err := h.Actions(h.t.Context(), operators.ActionsQuery{Limit: 1000})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, a := range page.Actions {
		lines = append([]string{strings.TrimSpace(fmt.Sprintf("%s %s %v %s %s", a.Name, a.Method, a.On, a.Outcome, a.Says))}, lines...)
	}
	return lines
}

func TestTheFirstAdministratorMakesTheirUserOnce(t *testing.T) {
	h := newHouse(t)
	first, err := h.First(t.Context())
	if err != nil || first == nil || first.Operator != nil || first.Page != "/operate/welcome#"+first.Token || !first.Expires.Equal(h.now.Add(24*time.Hour)) {
		t.Fatalf("first = %+v, %v", first, err)
	}
	h.now = h.now.Add(23 * time.Hour)
	again, err := h.First(t.Context())
	if err != nil || again.Token != first.Token || !again.Expires.Equal(first.Expires) {
		t.Errorf("a start later the token is %+v, %v; want the same", again, err)
	}
	var seen operators.Invited
	h.want(bijou.Caller{}, "POST /api/v1/operate/invitations", fmt.Sprintf(`{"token":%q}`, first.Token), 200, &seen)
	if seen.Name != "" || seen.Role != bijou.RoleAdministrator {
		t.Errorf("the invitation is for %+v", seen)
	}
	var me operators.OperatorMe
	if h.want(bijou.Caller{}, "GET /api/v1/operate/session", "", 200, &me); !me.First {
		t.Errorf("me = %+v, want no administrator yet", me)
	}
	accept := func(name string) string {
		return fmt.Sprintf(`{"token":%q,"name":%q,"password":%q}`, first.Token, name, password)
	}
	ada, _ := h.session(h.want(bijou.Caller{}, "POST /api/v1/operate/passwords", accept(" Ada "), 201, nil))
	if ada.OperatorName != "ada" || ada.Role != bijou.RoleAdministrator {
		t.Errorf("the first administrator is %+v", ada)
	}
	if res, text := h.ask(bijou.Caller{}, "POST /api/v1/operate/passwords", accept("eve")); res.StatusCode != 401 || !strings.Contains(text, "was used") {
		t.Errorf("the token a second time: %d %s", res.StatusCode, text)
	}
	if got, err := h.First(t.Context()); got != nil || err != nil {
		t.Errorf("with an administrator, first = %+v, %v; want nothing", got, err)
	}
	var check struct{ First bool }
	if h.want(bijou.Caller{}, "GET /api/v1/operate/session", "", 200, &check); check.First {
		t.Error("there is an administrator, and the page says that there is none")
	}
}

func TestTheFirstInvitationEndsByItselfAndWithAnAdministrator(t *testing.T) {
	h := newHouse(t)
	first, err := h.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(24 * time.Hour)
	if _, err := h.Invited(t.Context(), operators.InvitationToken{Token: first.Token}); !errors.Is(err, bijou.Denied) {
		t.Errorf("after its end the token is answered with %v", err)
	}
	second, err := h.First(t.Context())
	if err != nil || second.Token == first.Token {
		t.Fatalf("after its end there is %+v, %v; want another", second, err)
	}
	h.add("op", bijou.RoleOperator)
	if third, err := h.First(t.Context()); err != nil || third.Token != second.Token {
		t.Errorf("an operator is there, and first is %+v, %v; want it as before", third, err)
	}
	h.add("ada", bijou.RoleAdministrator)
	if _, err := h.Invited(t.Context(), operators.InvitationToken{Token: second.Token}); !errors.Is(err, bijou.Denied) {
		t.Errorf("an administrator was added by hand, and the token is answered with %v", err)
	}
}

func TestASessionEndsWithTheRoleTheUserAndItsTime(t *testing.T) {
	h := newHouse(t)
	h.add("zoe", bijou.RoleAdministrator)
	_, session := h.add("ada", bijou.RoleViewer)
	var token operators.ProgramToken
	h.want(bijou.LocalCaller, "POST /api/v1/operators/ada/tokens", `{"for_ms":3600000,"note":"ci"}`, 201, &token)
	program, err := h.AuthenticateOperator(t.Context(), token.Token, bijou.TokenProgram)
	if err != nil || program.OperatorName != "ada" || program.Role != bijou.RoleViewer {
		t.Errorf("the program's token stands for %+v, %v", program, err)
	}
	h.denied("a session as a program", session, bijou.TokenProgram)
	h.denied("a program as a session", token.Token, bijou.TokenSession)

	h.want(bijou.LocalCaller, "PUT /api/v1/operators/ada/role", `{"role":"operator"}`, 204, nil)
	h.denied("session after another role", session, bijou.TokenSession)
	if program, err = h.AuthenticateOperator(t.Context(), token.Token, bijou.TokenProgram); err != nil || program.Role != bijou.RoleOperator {
		t.Errorf("the program's token stands for %+v, %v; want the role of now", program, err)
	}
	signIn := fmt.Sprintf(`{"name":" ADA ","password":%q}`, password)
	_, session = h.session(h.want(bijou.Caller{}, "POST /api/v1/operate/session", signIn, 201, nil))
	h.now = h.now.Add(12 * time.Hour)
	h.denied("session after its time", session, bijou.TokenSession)
	h.denied("program after its time", token.Token, bijou.TokenProgram)

	ada, session := h.session(h.want(bijou.Caller{}, "POST /api/v1/operate/session", signIn, 201, nil))
	res := h.want(ada, "DELETE /api/v1/operate/session", "", 204, nil)
	if c := res.Cookies(); len(c) != 1 || c[0].Value != "" || c[0].Expires.After(time.Unix(2, 0)) {
		t.Errorf("signing out leaves cookies %v", c)
	}
	h.denied("session that was signed out", session, bijou.TokenSession)
	h.want(bijou.Caller{}, "DELETE /api/v1/operate/session", "", 204, nil) // a guest has none, which is fine

	_, session = h.session(h.want(bijou.Caller{}, "POST /api/v1/operate/session", signIn, 201, nil))
	h.want(bijou.LocalCaller, "POST /api/v1/operators/ada/tokens", `{"for_ms":3600000}`, 201, &token)
	h.want(bijou.LocalCaller, "DELETE /api/v1/operators/ada/tokens/"+string(token.ID), "", 204, nil)
	h.denied("program's token that was ended", token.Token, bijou.TokenProgram)
	h.want(bijou.LocalCaller, "DELETE /api/v1/operators/ada", "", 204, nil)
	h.denied("session of who was removed", session, bijou.TokenSession)
}

func TestANewPasswordComesByAOneTimeAddress(t *testing.T) {
	h := newHouse(t)
	_, session := h.add("ada", bijou.RoleAdministrator)
	var first, second operators.Invitation
	h.want(bijou.LocalCaller, "POST /api/v1/operators/ada/invitations", "", 201, &first)
	h.want(bijou.LocalCaller, "POST /api/v1/operators/ada/invitations", "", 201, &second)
	if _, err := h.AuthenticateOperator(t.Context(), session, bijou.TokenSession); err != nil {
		t.Errorf("an invitation that nobody used ends the session: %v", err)
	}
	body := func(token, password string) string { return fmt.Sprintf(`{"token":%q,"password":%q}`, token, password) }
	if res, _ := h.ask(bijou.Caller{}, "POST /api/v1/operate/passwords", body(first.Token, "another good password")); res.StatusCode != 401 {
		t.Errorf("the invitation that another took the place of: %d", res.StatusCode)
	}
	h.want(bijou.Caller{}, "POST /api/v1/operate/passwords", body(second.Token, "another good password"), 201, nil)
	h.denied("session before the new password", session, bijou.TokenSession)
	if res, _ := h.ask(bijou.Caller{}, "POST /api/v1/operate/session", fmt.Sprintf(`{"name":"ada","password":%q}`, password)); res.StatusCode != 401 {
		t.Errorf("the old password: %d", res.StatusCode)
	}
	h.want(bijou.Caller{}, "POST /api/v1/operate/session", `{"name":"ada","password":"another good password"}`, 201, nil)
}

// refusal is a request, and how it is refused.
type refusal struct {
	as     bijou.Caller
	method string
	body   string
	status int
	says   string
}

// Each method, each way in which it is refused, and the sentence that says so.
func TestEveryMethodRefusesInOneSentence(t *testing.T) {
	h := newHouse(t)
	admin, _ := h.add("zoe", bijou.RoleAdministrator)
	viewer, _ := h.add("ada", bijou.RoleViewer)
	operator, _ := h.add("op", bijou.RoleOperator)
	if err := h.store.CreateOperator(t.Context(), bijou.Operator{ID: "opr_s", Name: "sam", Role: bijou.RoleViewer, SignOn: "https://id.example.org 1", Created: h.now}); err != nil {
		t.Fatal(err)
	}
	var ended, live operators.Invitation
	h.want(admin, "POST /api/v1/operators", `{"name":"late","role":"viewer"}`, 201, &ended)
	h.now = h.now.Add(24 * time.Hour)
	h.want(admin, "POST /api/v1/operators", `{"name":"new","role":"viewer"}`, 201, &live)
	for _, c := range append(append(byRole(viewer, operator), byContent(admin)...), bySecret(ended.Token, live.Token)...) {
		res, text := h.ask(c.as, c.method, c.body)
		var p rpc.Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || res.StatusCode != c.status || res.Header.Get("Content-Type") != rpc.ProblemType ||
			!strings.Contains(p.Detail, c.says) || p.Status != c.status || strings.Contains(p.Detail, "\n") {
			t.Errorf("%s %s as %q: got %d %s, want %d and %q", c.method, c.body, c.as.OperatorName, res.StatusCode, text, c.status, c.says)
		}
	}
	list, err := h.List(t.Context())
	names := map[string]bijou.OperatorRole{}
	for _, o := range list.Operators {
		names[o.Name] = o.Role
	}
	want := map[string]bijou.OperatorRole{"zoe": "administrator", "ada": "viewer", "op": "operator", "late": "viewer", "new": "viewer", "sam": "viewer"}
	if diff := cmp.Diff(want, names); err != nil || diff != "" {
		t.Errorf("what was refused changed something (-want +got):\n%s", diff)
	}
}

// byRole are the refusals of who may not ask at all.
func byRole(viewer, operator bijou.Caller) (all []refusal) {
	guest, member := bijou.Caller{}, bijou.Caller{Account: "acc_1", Profile: "prf_1"}
	for _, method := range []string{"GET /api/v1/operators", "GET /api/v1/operators/ada/tokens", "GET /api/v1/audit", "GET /api/v1/audit/verification"} {
		all = append(all, refusal{guest, method, "", 401, "this needs the role viewer: sign in at /operate, or send an operator's token"},
			refusal{member, method, "", 403, "this needs the role viewer"})
	}
	for method, body := range map[string]string{
		"POST /api/v1/operators": `{"name":"x","role":"viewer"}`, "PUT /api/v1/operators/ada/role": `{"role":"administrator"}`, "DELETE /api/v1/operators/ada": "",
		"POST /api/v1/operators/ada/invitations": "", "POST /api/v1/operators/ada/tokens": `{"for_ms":3600000}`, "DELETE /api/v1/operators/ada/tokens/tok_1": "",
	} {
		all = append(all, refusal{guest, method, body, 401, "this needs the role administrator: sign in at /operate"},
			refusal{member, method, body, 403, "this needs the role administrator"},
			refusal{viewer, method, body, 403, "this needs the role administrator, and ada has the role viewer: ask an administrator"},
			refusal{operator, method, body, 403, "this needs the role administrator, and op has the role operator: ask an administrator"})
	}
	return all
}

// byContent are the refusals of what makes no sense.
func byContent(admin bijou.Caller) []refusal {
	return []refusal{
		{admin, "POST /api/v1/operators", `{"name":"ada","role":"viewer"}`, 409, "there is an operator ada already"},
		{admin, "POST /api/v1/operators", `{"name":"ADA","role":"viewer"}`, 409, "there is an operator ada already"},
		{admin, "POST /api/v1/operators", `{"name":"local","role":"viewer"}`, 400, "is not a name for an operator"},
		{admin, "POST /api/v1/operators", `{"name":"a b","role":"viewer"}`, 400, "is not a name for an operator"},
		{admin, "POST /api/v1/operators", `{"name":"-a","role":"viewer"}`, 400, "is not a name for an operator"},
		{admin, "POST /api/v1/operators", `{"name":"","role":"viewer"}`, 400, "is not a name for an operator"},
		{admin, "POST /api/v1/operators", `{"name":"x","role":"king"}`, 400, "role"},
		{admin, "POST /api/v1/operators", `{"name":"x"}`, 400, "role"},
		{admin, "PUT /api/v1/operators/nobody/role", `{"role":"viewer"}`, 404, `there is no operator "nobody"`},
		{admin, "PUT /api/v1/operators/zoe/role", `{"role":"operator"}`, 409, "zoe is the last administrator: make another one first"},
		{admin, "PUT /api/v1/operators/sam/role", `{"role":"operator"}`, 409, "sam has their role from id.example.org: change it there"},
		{admin, "PUT /api/v1/operators/ada/role", `{"role":"king"}`, 400, "role"},
		{admin, "DELETE /api/v1/operators/nobody", "", 404, `there is no operator "nobody"`},
		{admin, "DELETE /api/v1/operators/zoe", "", 409, "zoe is the last administrator"},
		{admin, "POST /api/v1/operators/nobody/invitations", "", 404, `there is no operator "nobody"`},
		{admin, "POST /api/v1/operators/sam/invitations", "", 409, "sam signs on through id.example.org and has no password here"},
		{admin, "GET /api/v1/operators/nobody/tokens", "", 404, `there is no operator "nobody"`},
		{admin, "POST /api/v1/operators/nobody/tokens", `{"for_ms":3600000}`, 404, `there is no operator "nobody"`},
		{admin, "POST /api/v1/operators/ada/tokens", `{"for_ms":1}`, 400, "for_ms"},
		{admin, "POST /api/v1/operators/ada/tokens", `{"for_ms":99999999999}`, 400, "for_ms"},
		{admin, "DELETE /api/v1/operators/nobody/tokens/tok_1", "", 404, `there is no operator "nobody"`},
		{admin, "DELETE /api/v1/operators/ada/tokens/tok_none", "", 404, "ada has no token tok_none"},
		{admin, "GET /api/v1/audit?since=yesterday", "", 400, `since is "yesterday"`},
		{admin, "GET /api/v1/audit?limit=5000", "", 400, "limit"},
	}
}

// bySecret are the refusals of strangers.
func bySecret(ended, live string) []refusal {
	guest := bijou.Caller{}
	welcome := func(token, password string) string { return fmt.Sprintf(`{"token":%q,"password":%q}`, token, password) }
	return []refusal{
		{guest, "POST /api/v1/operate/session", `{"name":"nobody","password":"x"}`, 401, "the name or the password is wrong"},
		{guest, "POST /api/v1/operate/session", `{"name":"ada","password":"wrong"}`, 401, "the name or the password is wrong"},
		{guest, "POST /api/v1/operate/session", `{"name":"ada","password":""}`, 401, "the name or the password is wrong"},
		{guest, "POST /api/v1/operate/session", `{"name":"new","password":""}`, 401, "the name or the password is wrong"},
		{guest, "POST /api/v1/operate/session", `{"name":"sam","password":""}`, 401, "the name or the password is wrong"},
		{guest, "POST /api/v1/operate/session", `{"name":"local","password":""}`, 401, "the name or the password is wrong"},
		{guest, "POST /api/v1/operate/session", `{`, 400, "not JSON"},
		{guest, "POST /api/v1/operate/invitations", `{"token":"x"}`, 401, "this one-time address is unknown, was used, or has ended"},
		{guest, "POST /api/v1/operate/invitations", fmt.Sprintf(`{"token":%q}`, ended), 401, "has ended"},
		{guest, "POST /api/v1/operate/passwords", welcome("x", password), 401, "this one-time address is unknown"},
		{guest, "POST /api/v1/operate/passwords", welcome(ended, password), 401, "has ended"},
		{guest, "POST /api/v1/operate/passwords", welcome(live, "short"), 400, "the password has 5 characters: use at least 15"},
		{guest, "POST /api/v1/operate/signons", "", 404, "there is no sign-on provider here"},
		{guest, "POST /api/v1/operate/signons/returns", `{"state":"x","binding":"y"}`, 404, "there is no sign-on provider here"},
	}
}

func TestSignInsArePartOfTheAuditLogAndSecretsAreNot(t *testing.T) {
	h := newHouse(t)
	ada, session := h.add("ada", bijou.RoleAdministrator)
	h.ask(bijou.Caller{Address: "127.0.0.1", Client: "192.0.2.7"}, "POST /api/v1/operate/session", `{"name":"ada","password":"wrong s3cret"}`)
	h.ask(bijou.Caller{}, "POST /api/v1/operate/session", `{"name":"nobody","password":"wrong s3cret"}`)
	h.want(bijou.Caller{}, "POST /api/v1/operate/session", fmt.Sprintf(`{"name":"ada","password":%q}`, password), 201, nil)
	var token operators.ProgramToken
	h.want(ada, "POST /api/v1/operators/ada/tokens", `{"for_ms":3600000,"note":"ci"}`, 201, &token)
	h.want(ada, "DELETE /api/v1/operate/session", "", 204, nil)
	got := h.log()
	want := []string{
		"local POST /api/v1/operators map[name:ada role:administrator] ok",
		"ada POST /api/v1/operate/passwords map[name:ada] ok",
		"ada POST /api/v1/operate/session map[] ok",
		"ada POST /api/v1/operate/session map[name:ada] refused the name or the password is wrong",
		"POST /api/v1/operate/session map[name:nobody] refused the name or the password is wrong",
		"ada POST /api/v1/operate/session map[] ok",
		"ada POST /api/v1/operators/{name}/tokens map[for_ms:3600000 name:ada note:ci] ok",
		"ada DELETE /api/v1/operate/session map[] ok",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	for _, secret := range []string{password, "s3cret", session, token.Token} {
		if strings.Contains(strings.Join(got, "\n"), secret) {
			t.Errorf("the audit log holds %q", secret)
		}
	}
	page, err := h.Actions(t.Context(), operators.ActionsQuery{User: "ada", Limit: 2})
	if err != nil || len(page.Actions) != 2 || page.Next == 0 {
		t.Fatalf("page = %+v, %v; want two and another page", page, err)
	}
	seen := len(page.Actions)
	for page.Next != 0 {
		if page, err = h.Actions(t.Context(), operators.ActionsQuery{User: "ada", Limit: 2, Before: page.Next}); err != nil {
			t.Fatal(err)
		}
		seen += len(page.Actions)
	}
	if seen != 6 {
		t.Errorf("the pages hold %d actions of ada, want 6", seen)
	}
}

func TestManyWrongPasswordsEndTheTriesAndDoNotFillTheLog(t *testing.T) {
	h := newHouse(t)
	h.add("ada", bijou.RoleAdministrator)
	before := len(h.log())
	try := func(address, name, password string) int {
		res, _ := h.ask(bijou.Caller{Address: "127.0.0.1", Client: address}, "POST /api/v1/operate/session", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password))
		return res.StatusCode
	}
	for n := range 10 {
		if got := try("192.0.2.1", "ada", "wrong"); got != 401 {
			t.Fatalf("try %d: %d", n, got)
		}
	}
	for n := range 3 {
		if got := try("192.0.2.1", "nobody", "wrong"); got != 401 {
			t.Fatalf("try %d for another name: %d", n, got)
		}
	}
	if got := try("192.0.2.1", "ada", password); got != 429 {
		t.Errorf("the right password after ten wrong ones: %d, want 429", got)
	}
	if got := try("192.0.2.2", "ada", password); got != 201 {
		t.Errorf("the right password from elsewhere: %d, want 201", got)
	}
	if n := len(h.log()) - before; n != 11 {
		t.Errorf("%d actions were noted, want ten wrong passwords and one sign-in", n)
	}
	h.now = h.now.Add(15 * time.Minute)
	if got := try("192.0.2.1", "ada", password); got != 201 {
		t.Errorf("a quarter of an hour later: %d, want 201", got)
	}
}

func TestManyTriesAtOnceAreAsManyAsOneAfterAnother(t *testing.T) {
	h := newHouse(t)
	h.add("ada", bijou.RoleAdministrator)
	var refused, wrong atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch res, _ := h.ask(bijou.Caller{Address: "127.0.0.1", Client: "192.0.2.1"}, "POST /api/v1/operate/session", `{"name":"ada","password":"wrong"}`); res.StatusCode {
			case http.StatusUnauthorized:
				wrong.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if wrong.Load() != 10 || refused.Load() != 40 {
		t.Errorf("of 50 wrong passwords at once %d were looked at and %d refused, want 10 and 40", wrong.Load(), refused.Load())
	}
}

// full is a store of the audit log whose disk is full.
type full struct{ bijou.AuditStore }

func (full) BeginAction(context.Context, bijou.Action) (int64, error) {
	return 0, fmt.Errorf("the disk is full: %w", bijou.Exhausted)
}

func TestNobodySignsInWhereItCannotBeNoted(t *testing.T) {
	h := newHouse(t)
	ada, _ := h.add("ada", bijou.RoleAdministrator)
	var in operators.Invitation
	h.want(ada, "POST /api/v1/operators", `{"name":"bob","role":"viewer"}`, 201, &in)
	h.Audit.Store = full{h.store}
	for method, body := range map[string]string{
		"POST /api/v1/operate/session":   fmt.Sprintf(`{"name":"ada","password":%q}`, password),
		"POST /api/v1/operate/passwords": fmt.Sprintf(`{"token":%q,"password":%q}`, in.Token, password),
		"POST /api/v1/operators":         `{"name":"eve","role":"administrator"}`,
		"DELETE /api/v1/operate/session": "",
	} {
		if res, text := h.ask(ada, method, body); res.StatusCode != 429 || !strings.Contains(text, "nothing was done, since it cannot be noted in the audit log") {
			t.Errorf("%s: got %d %s, want 429", method, res.StatusCode, text)
		}
	}
	h.Audit.Store = h.store
	h.want(bijou.Caller{}, "POST /api/v1/operate/passwords", fmt.Sprintf(`{"token":%q,"password":%q}`, in.Token, password), 201, nil)
	if all, err := h.List(t.Context()); err != nil || len(all.Operators) != 2 {
		t.Errorf("operators are %+v, %v; want ada and bob", all, err)
	}
}

func TestTheAuditLogKeepsToItsBounds(t *testing.T) {
	h := newHouse(t)
	h.add("ada", bijou.RoleAdministrator)
	h.now = h.now.Add(401 * 24 * time.Hour)
	for range 1000 {
		if _, err := h.Audit.Begin(t.Context(), bijou.Action{Name: "new"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range h.log() {
		if !strings.HasPrefix(line, "new") {
			t.Errorf("after 401 days the log still holds %q", line)
		}
	}
	if c, err := h.Verify(t.Context()); err != nil || c.Altered != 0 {
		t.Errorf("the log is %+v, %v; want it whole", c, err)
	}
}

func TestAConfigurationThatTheRoomCannotWorkWithIsRefused(t *testing.T) {
	for name, change := range map[string]func(*operators.Config){
		"session_for":      func(c *operators.Config) { c.SessionFor = 0 },
		"invitation_for":   func(c *operators.Config) { c.InvitationFor = 365 * 24 * time.Hour },
		"audit_retain_for": func(c *operators.Config) { c.AuditRetainFor = time.Hour },
		"audit_retain is":  func(c *operators.Config) { c.AuditRetain = 1 },
		`"staff"`:          func(c *operators.Config) { c.Roles = []string{"staff"} },
		`"staff=king"`:     func(c *operators.Config) { c.Roles = []string{"staff=king"} },
		`"=viewer"`:        func(c *operators.Config) { c.Roles = []string{"=viewer"} },
	} {
		c := operators.DefaultConfig()
		change(&c)
		if err := c.Check(); !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want Invalid", name, err)
		}
	}
	c := operators.DefaultConfig()
	c.Roles = []string{"staff=viewer", "@example.org=operator", "ada@example.org=administrator", "a=b=viewer"}
	if err := c.Check(); err != nil {
		t.Errorf("got %v, want it allowed", err)
	}
}
