package operators_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bijou"
	"bijou/service/members/operators"
	"bijou/service/members/signon"
	"bijou/test/harness"
)

// signOnHouse is a house with a provider.
func signOnHouse(t *testing.T, roles ...string) (*house, *harness.Provider) {
	t.Helper()
	p := harness.NewProvider(t)
	h := newHouse(t, func(d *operators.Deps) {
		d.Config.Roles = roles
		d.Config.OIDC.Issuer, d.Config.OIDC.ClientID, d.Config.OIDC.ClientSecret = p.URL, "bijou", "s3cret"
		d.SignOn = signon.New(signon.Deps{Config: d.Config.OIDC, Redirect: p.Redirect, Now: d.Now})
	})
	p.Now = h.now
	return h, p
}

// signOn goes to the provider and comes back, and returns the status and the answer.
func (h *house) signOn(p *harness.Provider) (int, operators.OperatorSession, string) {
	h.t.Helper()
	var started operators.SignOnStarted
	h.want(bijou.Caller{}, "POST /api/v1/operate/signons", "", 200, &started)
	state, code := p.Authorize(started.Address)
	res, text := h.ask(bijou.Caller{Address: "127.0.0.1", Client: "192.0.2.7"}, "POST /api/v1/operate/signons/returns", fmt.Sprintf(`{"state":%q,"code":%q,"binding":%q}`, state, code, started.Binding))
	var s operators.OperatorSession
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, s, text
}

func TestRolesComeFromGroupsAddressesAndDomains(t *testing.T) {
	for name, c := range map[string]struct {
		rules  []string
		claims map[string]any
		want   bijou.OperatorRole
	}{
		"a group":                          {[]string{"staff=viewer"}, nil, "viewer"},
		"the greatest of several":          {[]string{"admins=administrator", "staff=viewer", "@example.org=operator"}, nil, "administrator"},
		"an address":                       {[]string{"ada@example.org=operator"}, nil, "operator"},
		"an address in other case":         {[]string{"Ada@Example.org=operator"}, nil, "operator"},
		"a domain":                         {[]string{"@example.org=operator"}, nil, "operator"},
		"another domain":                   {[]string{"@example.com=operator"}, nil, ""},
		"the end of a domain":              {[]string{"@example.org=operator"}, map[string]any{"email": "ada@evil-example.org"}, ""},
		"a part of a domain":               {[]string{"@example.org=operator"}, map[string]any{"email": "ada@sub.example.org"}, ""},
		"an unverified address":            {[]string{"ada@example.org=operator", "@example.org=operator"}, map[string]any{"email_verified": false}, ""},
		"a group that looks like a domain": {[]string{"@example.org=operator"}, map[string]any{"email": nil, "groups": []string{"@example.org", ""}}, ""},
		"nothing":                          {nil, nil, ""},
		"a name that another chose":        {[]string{"root=administrator"}, map[string]any{"preferred_username": "root", "groups": nil}, ""},
	} {
		h, p := signOnHouse(t, c.rules...)
		p.Claims = c.claims
		status, s, text := h.signOn(p)
		switch {
		case c.want == "" && (status != 401 || !strings.Contains(text, "nothing gives you a role here")):
			t.Errorf("%s: got %d %s, want 401", name, status, text)
		case c.want != "" && (status != 201 || s.Operator.Role != c.want || s.Operator.SignOn != p.URL+" 4711"):
			t.Errorf("%s: got %d %s, want the role %s", name, status, text, c.want)
		}
	}
}

func TestWhoSignsOnAgainIsTheSameAndHasTheRoleOfNow(t *testing.T) {
	h, p := signOnHouse(t, "staff=viewer", "admins=administrator")
	status, first, text := h.signOn(p)
	if status != 201 || first.Operator.Name != "ada@example.org" || first.Operator.Role != bijou.RoleAdministrator || first.Operator.Password {
		t.Fatalf("first: %d %s", status, text)
	}
	if in, err := h.First(t.Context()); in != nil || err != nil {
		t.Errorf("an administrator signed on, and the first administrator is still asked for: %+v, %v", in, err)
	}
	p.Claims = map[string]any{"groups": []string{"staff"}, "email": "ada.lovelace@example.org"}
	status, again, text := h.signOn(p)
	if status != 201 || again.Operator.ID != first.Operator.ID || again.Operator.Role != bijou.RoleViewer || again.Operator.Name != "ada@example.org" {
		t.Errorf("again: %d %s, want the same person as a viewer", status, text)
	}
	p.Claims = map[string]any{"groups": nil}
	if status, _, text := h.signOn(p); status != 401 {
		t.Errorf("without a group: %d %s, want 401", status, text)
	}
	want := []string{
		"ada@example.org POST /api/v1/operate/signons/returns map[] ok", "ada@example.org POST /api/v1/operate/signons/returns map[] ok",
		"POST /api/v1/operate/signons/returns map[email:ada@example.org subject:4711] refused the sign-on provider knows you, but nothing gives you a role here: ask an administrator",
	}
	if got := strings.Join(h.log(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("audit log is\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTheProviderTakesNobodysName(t *testing.T) {
	h, p := signOnHouse(t, "staff=administrator")
	h.add("ada@example.org", bijou.RoleViewer)
	if status, _, text := h.signOn(p); status != 409 || !strings.Contains(text, "there is an operator ada@example.org already") {
		t.Errorf("sign-on with the name of who has a password: %d %s, want 409", status, text)
	}
	p.Claims = map[string]any{"email": nil, "preferred_username": "Грета"}
	if status, s, text := h.signOn(p); status != 201 || s.Operator.Name != "4711" {
		t.Errorf("sign-on without an address and with a name in other letters: %d %s, want the provider's own name", status, text)
	}
}

func TestPasswordsGoOnWhereTheProviderIsDown(t *testing.T) {
	h, p := signOnHouse(t, "staff=viewer")
	h.add("root", bijou.RoleAdministrator)
	p.Down = true
	res, text := h.ask(bijou.Caller{}, "POST /api/v1/operate/signons", "")
	if res.StatusCode != 503 || !strings.Contains(text, "does not answer as it should") || !strings.Contains(text, "sign in with a password") {
		t.Errorf("sign-on: %d %s, want 503 and what to do", res.StatusCode, text)
	}
	h.want(bijou.Caller{}, "POST /api/v1/operate/session", fmt.Sprintf(`{"name":"root","password":%q}`, password), 201, nil)
	var me operators.OperatorMe
	if h.want(bijou.Caller{}, "GET /api/v1/operate/session", "", 200, &me); me.SignOn == "" || !strings.HasSuffix(p.URL, me.SignOn) {
		t.Errorf("me = %+v, want the provider's host", me)
	}
}
