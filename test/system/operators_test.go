package system_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"bijou/test/harness"
)

var firstAddress = regexp.MustCompile(`(?m)^http://\S+/operate/welcome#(\S+)$`)

// firstToken returns the token of the address at which the service says that the first administrator makes their user.
func firstToken(t *testing.T, sv *harness.Service) (token string) {
	t.Helper()
	harness.Eventually(t, "address of the first administrator", func() bool {
		if m := firstAddress.FindStringSubmatch(sv.Said()); m != nil {
			token = m[1]
		}
		return token != ""
	})
	return token
}

const operatorPassword = "four words are enough"

func TestTheFirstAdministratorOutlivesKills(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		first := firstToken(t, sv)
		sv.Kill(t)
		sv = sv.Restart(t, harness.Options{})
		if again := firstToken(t, sv); again != first {
			t.Errorf("after a kill the address has the token %s, want %s as before", again, first)
		}
		if strings.Contains(sv.Log(), first) {
			t.Error("the token is in the log")
		}
		accept := map[string]any{"token": first, "name": "ada", "password": operatorPassword}
		a := sv.Guest().Do(t, "POST", "/api/v1/operate/passwords", accept)
		if a.Status != http.StatusCreated {
			t.Fatalf("accept: %d %s", a.Status, a.Body)
		}
		cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
		sv.Kill(t)

		sv = sv.Restart(t, harness.Options{})
		if sv.Guest().Do(t, "POST", "/api/v1/operate/passwords", accept).Status != http.StatusUnauthorized {
			t.Error("after a kill the token works a second time")
		}
		if strings.Contains(sv.Said(), "/operate/welcome") {
			t.Errorf("there is an administrator, and the service says %s", sv.Said())
		}
		ask := func(method, path string) harness.Answer {
			t.Helper()
			a, err := sv.Guest().Try(method, path, nil, http.Header{"Cookie": {cookie}})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		if a := ask("GET", "/api/v1/operators"); a.Status != http.StatusOK || !strings.Contains(string(a.Body), `"ada"`) {
			t.Errorf("after a kill the session is answered with %d %s", a.Status, a.Body)
		}
		if a := ask("GET", "/api/v1/audit?user=ada"); !strings.Contains(string(a.Body), "POST /api/v1/operate/session") {
			t.Errorf("after a kill the audit log is %s", a.Body)
		}
		if a := ask("DELETE", "/api/v1/studio/titles/ttl_x"); a.Status != http.StatusNotFound {
			t.Errorf("an administrator removes a title that is not there: %d %s", a.Status, a.Body)
		}
		sv.Guest().Call(t, "POST", "/api/v1/operate/session", map[string]any{"name": "ada", "password": operatorPassword}, http.StatusCreated, nil)
		if r := sv.CLI(t, "audit", "verify"); r.Status != 0 {
			t.Errorf("audit verify: %d %s", r.Status, r.Err)
		}
		// The local way in stays.
		if r := sv.CLI(t, "user", "role", "ada", "viewer"); r.Status == 0 || !strings.Contains(r.Err, "last administrator") {
			t.Errorf("user role: %d %s", r.Status, r.Err)
		}
	})
}

func TestAProgramsTokenAndARoleHoldAtTheBuiltService(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		for _, args := range [][]string{{"user", "add", "zoe", "--role", "administrator"}, {"user", "add", "ada", "--role", "viewer"}} {
			if r := sv.CLI(t, args...); r.Status != 0 {
				t.Fatalf("%v: %d %s", args, r.Status, r.Err)
			}
		}
		r := sv.CLI(t, "user", "token", "create", "ada")
		ada := harness.Client{Base: sv.Address, Token: strings.TrimSpace(r.Out)}
		calls := operatorCalls(t, sv.Operator(t), "ttl_x")
		for _, call := range calls {
			if call.method != "GET" && call.role == "viewer" {
				t.Errorf("%v changes something, and a viewer may", call)
			}
			if strings.Contains(call.path, "/progress?") || strings.Contains(call.path, "/live?") {
				continue // a stream that has no end
			}
			a := ada.Do(t, call.method, call.path, nil)
			if beyond := call.role != "viewer"; beyond != (a.Status == http.StatusForbidden) {
				t.Errorf("%v as a viewer: %d %s; want it refused: %v", call, a.Status, a.Body, beyond)
			}
		}
		sv.Kill(t)
		sv = sv.Restart(t, harness.Options{})
		ada = ada.As(sv)
		ada.Call(t, "GET", "/api/v1/operators", nil, http.StatusOK, nil)
		if r := sv.CLI(t, "user", "remove", "ada"); r.Status != 0 {
			t.Fatalf("remove: %s", r.Err)
		}
		if a := ada.Do(t, "GET", "/api/v1/operators", nil); a.Status != http.StatusUnauthorized {
			t.Errorf("the token of who was removed: %d %s", a.Status, a.Body)
		}
	})
}
