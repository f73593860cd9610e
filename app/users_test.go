package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/service/members/operators"
	"bijou/service/studio"
)

// noAudit is an audit log that cannot be written.
type noAudit struct{ asked []string }

func (n *noAudit) Begin(_ context.Context, a bijou.Action) (int64, error) {
	n.asked = append(n.asked, a.Method)
	return 0, fmt.Errorf("the disk is full: %w", bijou.Exhausted)
}

func (n *noAudit) End(context.Context, int64, bijou.Outcome, string) error { panic("nothing began") }

// Whatever room a method is of, and whoever adds the next one: a change that needs a role is noted, or it is not done.
func TestEveryMethodByWhichAnOperatorChangesSomethingIsAudited(t *testing.T) {
	p, _ := library(t)
	var err error
	if p.ring, err = trust.OpenRing(p.data.file("keys", "grants"), time.Now()); err != nil {
		t.Fatal(err)
	}
	r := p.allRooms()
	audit := &noAudit{}
	api := p.api(r, audit)
	wildcard := regexp.MustCompile(`\{[^}]*\}`)
	var want []string
	for _, route := range public(p.routes(r)) {
		needsRole := slices.Contains([]rpc.Permission{rpc.Viewer, rpc.Operator, rpc.Administrator}, route.Needs())
		if !needsRole || route.Verb() == "GET" {
			continue
		}
		want = append(want, route.Pattern())
		for _, body := range []string{"{}", "no JSON"} {
			audit.asked = nil
			req := httptest.NewRequest(route.Verb(), wildcard.ReplaceAllString(route.Path(), "x"), strings.NewReader(body))
			req.Header.Set("Content-Type", "application/json")
			caller, err := json.Marshal(bijou.LocalCaller)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(rpc.CallerHeader, string(caller))
			w := httptest.NewRecorder()
			api.ServeHTTP(w, req)
			if w.Code != 429 || !strings.Contains(w.Body.String(), "nothing was done, since it cannot be noted in the audit log") || !slices.Equal(audit.asked, []string{route.Pattern()}) {
				t.Errorf("%s with %s: got %d %s, noted %q; want it refused since it cannot be noted", route.Pattern(), body, w.Code, w.Body, audit.asked)
			}
		}
	}
	if len(want) < 12 {
		t.Errorf("only %q need a role and change something: this test looks in the wrong place", want)
	}
}

func TestWhatTheCommandLineDoesToADirectoryIsAuditedAsLocal(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	if _, err := s.AddSource(t.Context(), "film.mp4", strings.NewReader("no film")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddTitle(t.Context(), studio.AddTitle{Source: "src_none", Name: "Nothing"}); err == nil {
		t.Fatal("a title of no source was added")
	}
	if err := s.RemoveTitle(t.Context(), "ttl_none"); err == nil {
		t.Fatal("a title that is not there was removed")
	}
	s.Close()
	u, err := OpenUsers(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Add(t.Context(), operators.NewOperator{Name: "ada", Role: bijou.RoleViewer}); err != nil {
		t.Fatal(err)
	}
	page, err := u.Actions(t.Context(), operators.ActionsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range page.Actions {
		got = append(got, fmt.Sprintf("%s %s %s %v %s", a.Operator, a.Address, a.Method, a.On, a.Outcome))
	}
	want := []string{
		"local  POST /api/v1/operators map[name:ada role:viewer] ok",
		"local  DELETE /api/v1/studio/titles/{id} map[id:ttl_none] failed",
		"local  POST /api/v1/studio/titles map[name:Nothing source:src_none] failed",
		"local  POST /api/v1/studio/sources map[name:film.mp4] ok",
	}
	if !slices.Equal(got, want) {
		t.Errorf("audit log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheDoctorMissesAnAdministrator(t *testing.T) {
	c := testConfig(t)
	check := func(what string, c Config, state, says string) {
		t.Helper()
		if f := checkAdministrator(t.Context(), c); f.State != state || !strings.Contains(f.Says, says) || (f.Fix == "") != (state == FindingOK) {
			t.Errorf("%s: the doctor says %+v, want %s with %q", what, f, state, says)
		}
	}
	exposed := c
	exposed.Listen = "0.0.0.0:8080"
	check("no directory yet", c, FindingOK, "the first start prints an address")
	check("no directory, and others will reach it", exposed, FindingWarning, "there is none yet, and other machines reach the service")
	d := mustOpen(t, c.DataDir, "title")
	if err := d.settled(); err != nil {
		t.Fatal(err)
	}
	d.close()
	check("a fresh directory", c, FindingWarning, "there is none yet")
	u, err := OpenUsers(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	check("a directory in use", c, FindingWarning, "is held by bijou user")
	for name, role := range map[string]bijou.OperatorRole{"ada": bijou.RoleAdministrator, "op": bijou.RoleOperator} {
		if _, err := u.Add(t.Context(), operators.NewOperator{Name: name, Role: role}); err != nil {
			t.Fatal(err)
		}
	}
	u.Close()
	check("an administrator", exposed, FindingOK, "1, seen with")
}

func TestWhereASignOnComesBackToIsConfigured(t *testing.T) {
	for name, c := range map[string]struct {
		sets []string
		says string
	}{
		"no address":                  {[]string{"operators.oidc.issuer=https://id.example.org", "operators.oidc.client_id=bijou"}, "address is not"},
		"an address":                  {[]string{"operators.oidc.issuer=https://id.example.org", "operators.oidc.client_id=bijou", "address=https://tv.example.org"}, ""},
		"a path":                      {[]string{"address=https://tv.example.org/tv"}, "write how people reach the service"},
		"no scheme":                   {[]string{"address=tv.example.org"}, "write how people reach the service"},
		"another scheme":              {[]string{"address=ftp://tv.example.org"}, "write how people reach the service"},
		"no client":                   {[]string{"operators.oidc.issuer=https://id.example.org", "address=https://tv.example.org"}, "client_id is empty"},
		"members' no address":         {[]string{"members.oidc.issuer=https://id.example.org", "members.oidc.client_id=bijou"}, "members.oidc.issuer is set and address is not"},
		"members' address":            {[]string{"members.oidc.issuer=https://id.example.org", "members.oidc.client_id=bijou", "address=https://tv.example.org"}, ""},
		"members' no client":          {[]string{"members.oidc.issuer=https://id.example.org", "address=https://tv.example.org"}, "client_id is empty"},
		"members' issuer without TLS": {[]string{"members.oidc.issuer=http://id.example.org", "members.oidc.client_id=bijou", "address=https://tv.example.org"}, "write the provider's address"},
		"an odd rule":                 {[]string{"operators.roles=[staff]"}, "write GROUP=ROLE"},
		"a slash at the end":          {[]string{"address=https://tv.example.org/"}, ""},
	} {
		_, _, err := LoadConfig("", nil, append(c.sets, "data_dir=/tmp"))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
}
