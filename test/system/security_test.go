package system_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bijou/test/harness"
)

func TestAGrantOpensItsOwnFilmWhileItLastsAndNothingElse(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		const term = 10 * time.Second
		sv, film := library(t, shape, harness.Options{Env: []string{"BIJOU_PLAYBACK_GRANT_TERM=" + term.String()}})
		other := sv.Add(t, harness.Film(t, filmSeconds), "--name", "another")
		begin := time.Now()
		p := sv.Guest().StartPlay(t, film.ID)
		var file string
		for _, track := range p.TracksOfHLS(t) {
			file = track.Segments[0]
		}
		status := func(path string) int {
			t.Helper()
			return p.Do(t, "GET", path, nil).Status
		}
		if got := status(file); got != http.StatusOK {
			t.Fatalf("GET of a segment: status %d, want 200", got)
		}
		middle := len(p.Grant) / 2
		changed := p.Grant[:middle] + string("AB"[(p.Grant[middle]&1)^1]) + p.Grant[middle+1:]
		if changed == p.Grant {
			changed = p.Grant[:middle] + "C" + p.Grant[middle+1:]
		}
		for name, path := range map[string]string{
			"changed": strings.Replace(file, p.Grant, changed, 1),
			"cut":     strings.Replace(file, p.Grant, p.Grant[:len(p.Grant)-4], 1),
			"other":   strings.Replace(file, p.Asset, other.Asset, 1),
			"none":    strings.Replace(file, p.Grant, "x", 1),
		} {
			if got := status(path); got != http.StatusForbidden {
				t.Errorf("grant %s: status %d, want 403", name, got)
			}
		}
		if got := status(strings.Replace(p.HLS, p.Grant, changed, 1)); !refused(got) {
			t.Errorf("manifest under a changed grant: status %d, want 401 or 403", got)
		}
		harness.Eventually(t, "end of the grant", func() bool { return status(file) == http.StatusForbidden })
		if took := time.Since(begin); took < term-2*time.Second {
			t.Errorf("the grant ended after %s, want %s", took, term)
		}
		if got := status(p.DASH); !refused(got) {
			t.Errorf("manifest after the end of the grant: status %d, want 401 or 403", got)
		}
		// The player renews silently, and the same viewing goes on.
		old := *p
		p.Call(t, "POST", "/api/v1/plays/renewals", map[string]string{"grant": p.Grant}, http.StatusOK, &p.Play)
		if p.Session != old.Session || p.Grant == old.Grant {
			t.Errorf("renewed viewing %s under grant %s, want viewing %s under another grant", p.Session, p.Grant, old.Session)
		}
		if got := status(strings.Replace(file, old.Grant, p.Grant, 1)); got != http.StatusOK {
			t.Errorf("GET under the renewed grant: status %d, want 200", got)
		}
		if got := p.Do(t, "POST", "/api/v1/plays/renewals", map[string]string{"grant": changed}).Status; !refused(got) {
			t.Errorf("renewal of a changed grant: status %d, want 401 or 403", got)
		}
	})
}

func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func TestNoPathLeadsOutOfWhatIsServed(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		p := sv.Guest().StartPlay(t, film.ID)
		base := "/g/" + p.Grant + "/" + p.Asset + "/"
		secret, err := os.ReadFile(filepath.Join(sv.DataDir, "operator.token"))
		if err != nil {
			t.Fatal(err)
		}
		if status, body := raw(t, sv, "GET "+base+"v180/1.m4s HTTP/1.1\r\nHost: bijou\r\nConnection: close\r\n\r\n"); status != http.StatusOK || len(body) < 1000 {
			t.Fatalf("GET of a segment: status %d and %d bytes, want 200 and some thousand", status, len(body))
		}
		up := func(dots, slash string) string { return strings.Repeat(dots+slash, 3) }
		for _, path := range []string{
			base + "asset.json", base, base + "v180", base + "v180/", base + ".incoming", base + "v180/1.m4s/",
			base + up("..", "/") + "operator.token", base + up("%2e%2e", "/") + "operator.token", base + up("..", "%2f") + "operator.token",
			base + up("%2e%2e", "%2f") + "operator.token", base + up("..", `\`) + "operator.token", base + up("..", "%5c") + "operator.token",
			base + up("%252e%252e", "%252f") + "operator.token", base + "v180/..%00/operator.token", base + "v180//1.m4s",
			"/../operator.token", "/..%2foperator.token", "/%2e%2e/%2e%2e/operator.token", "/assets/../../operator.token", "/operator.token",
			"/g/", "/g/x", "/g/x/y/z.mp4", "//" + base, "/api/v1/titles/..%2f..%2foperator.token", "/api/v1/titles/%2e%2e/poster",
			"/role/members/positions/x/y", "/role/members/authenticate",
		} {
			status, body := raw(t, sv, "GET "+path+" HTTP/1.1\r\nHost: bijou\r\nConnection: close\r\n\r\n")
			page := status == http.StatusOK && strings.Contains(strings.ToLower(body), "<!doctype html") // the site answers its own routes with its page
			if status < 300 && !page || status >= 500 || strings.Contains(body, strings.TrimSpace(string(secret))) {
				t.Errorf("GET %s: status %d: %.200q", path, status, body)
			}
		}
		operator := sv.Operator(t)
		for _, name := range []string{"../film.mp4", "..", "/etc/passwd", `..\film.mp4`, "a%0Ab.mp4", "a%00.mp4", "%1b[2J.mp4", "", strings.Repeat("x", 300)} {
			a, err := operator.Try("POST", "/api/v1/studio/sources?name="+strings.ReplaceAll(name, "/", "%2F"), strings.NewReader("x"), nil)
			if err != nil || a.Status != http.StatusBadRequest || a.Detail() == "" || strings.ContainsAny(a.Detail(), "\n\x1b\x00") {
				t.Errorf("hand in a file named %q: status %d, %v: %s; want 400 and a sentence", name, a.Status, err, a.Body)
			}
		}
		checkNoHalves(t, sv, 0)
	})
}

// raw sends bytes as they are and returns the answer's status and body.
func raw(t *testing.T, sv *harness.Service, request string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(sv.Address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	// The service may answer and close before it has read all.
	_, sendErr := io.WriteString(c, request)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.100q: %v (sent: %v)", request, err, sendErr)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body) // as much as came before it was closed
	return res.StatusCode, string(b)
}

func TestOnlyOperatorsRunTheService(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		member, guest, operator := sv.SignUp(t, "ada@example.org"), sv.Guest(), sv.Operator(t)
		forged := http.Header{
			"Bijou-Caller": {`{"operator":"opr_1","role":"administrator","account":"acc_1","profile":"prf_1"}`}, "bijou-caller": {`{"role":"administrator"}`},
			"Bijou-Operator": {"true"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-User": {"operator"},
		}
		for _, call := range operatorCalls(t, operator, film.ID) {
			for who, c := range map[string]harness.Client{
				"guest": guest, "member": member, "liar": {Base: sv.Address, Token: "op_forged"}, "program": {Base: sv.Address, Token: "bijou_op_forged"},
			} {
				a, err := c.Try(call.method, call.path, strings.NewReader("{}"), http.Header{"Content-Type": {"application/json"}})
				if err != nil || !refused(a.Status) {
					t.Errorf("%s: %v: status %d, %v: %s; want 401 or 403", who, call, a.Status, err, a.Body)
				}
			}
			h := forged.Clone()
			h.Set("Content-Type", "application/json")
			if a, err := guest.Try(call.method, call.path, strings.NewReader("{}"), h); err != nil || !refused(a.Status) {
				t.Errorf("a guest with forged headers: %v: status %d, %v: %s; want 401 or 403", call, a.Status, err, a.Body)
			}
		}
		a, err := guest.Try("GET", "/api/v1/me", nil, forged)
		var me struct{ Guest bool }
		if err != nil || json.Unmarshal(a.Body, &me) != nil || !me.Guest {
			t.Errorf("a guest with forged headers is %s, %v", a.Body, err)
		}
		if got := operator.AllTitles(t); len(got) != 1 || got[0].ID != film.ID {
			t.Errorf("titles are %+v, want %s alone as before", got, film.ID)
		}
	})
}

// operatorCall is a method that needs an operator's role.
type operatorCall struct{ method, path, role string }

// operatorCalls returns the methods that need an operator's role, as the service's own document names them.
func operatorCalls(t *testing.T, c harness.Client, title string) (calls []operatorCall) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string
		}
	}
	c.Call(t, "GET", "/api/v1/openapi.json", nil, http.StatusOK, &doc)
	wildcard := strings.NewReplacer("{id}", title, "{name}", "ada", "{session}", "ply_x")
	for path, verbs := range doc.Paths {
		for verb, call := range verbs {
			if len(call.Security) > 0 && len(call.Security[0]["bearer"]) > 0 {
				calls = append(calls, operatorCall{strings.ToUpper(verb), wildcard.Replace(path) + "?name=x.mp4", call.Security[0]["bearer"][0]})
			}
		}
	}
	if len(calls) < 20 {
		t.Fatalf("the document names %v, want the methods of the studio, of appliances, grants, operators and the audit log at least", calls)
	}
	return calls
}

func TestARequestFromAnotherSiteChangesNothing(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		body := `{"email":"ada@example.org","password":"correct horse"}`
		for name, h := range map[string]http.Header{
			"browser": {"Sec-Fetch-Site": {"cross-site"}}, "sibling": {"Sec-Fetch-Site": {"same-site"}}, "old browser": {"Origin": {"http://evil.example"}},
		} {
			h.Set("Content-Type", "application/json")
			if a, err := sv.Guest().Try("POST", "/api/v1/accounts", strings.NewReader(body), h); err != nil || !refused(a.Status) {
				t.Errorf("%s: status %d, %v: %s; want 401 or 403", name, a.Status, err, a.Body)
			}
		}
		h := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {sv.Address}, "Content-Type": {"application/json"}}
		if a, err := sv.Guest().Try("POST", "/api/v1/accounts", strings.NewReader(body), h); err != nil || a.Status != http.StatusCreated {
			t.Errorf("the same from the service's own page: status %d, %v: %s; want 201", a.Status, err, a.Body)
		}
	})
}

func TestStrangersWhoSendMuchOrSlowlyAreCutOff(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		// The service listens at this machine's own address alone.
		own := false
		for _, l := range harness.Listeners(t, sv.PID()) {
			own = own || "http://"+l.String() == sv.Address
			if !l.Addr().IsLoopback() {
				t.Errorf("the process listens at %s, which others reach", l)
			}
		}
		if !own {
			t.Errorf("the process does not listen at %s", sv.Address)
		}
		// A header that never ends.
		c, err := net.Dial("tcp", strings.TrimPrefix(sv.Address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /api/v1/titles HTTP/1.1\r\nHost: bijou\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		begin, closed := time.Now(), make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c)
			closed <- err
		}()
		if status, body := raw(t, sv, "GET / HTTP/1.1\r\nHost: bijou\r\nX-Huge: "+strings.Repeat("x", 100<<10)+"\r\n\r\n"); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 100 KiB: status %d: %.100q; want 431", status, body)
		}
		huge := fmt.Sprintf(`{"email":"ada@example.org","password":%q}`, strings.Repeat("x", 4<<20))
		a, err := sv.Guest().Try("POST", "/api/v1/accounts", strings.NewReader(huge), http.Header{"Content-Type": {"application/json"}})
		if err != nil || a.Status != http.StatusRequestEntityTooLarge && a.Status != http.StatusBadRequest {
			t.Errorf("a body of 4 MiB: status %d, %v: %.200s; want 413 or 400", a.Status, err, a.Body)
		}
		select {
		case err := <-closed:
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("a header that never ends: %v after %s, want the connection closed", err, time.Since(begin))
			}
		case <-time.After(20 * time.Second):
			t.Error("a header that never ends is waited for longer than 20 s")
		}
		// It is there for everyone else.
		sv.Guest().Titles(t)
	})
}

func TestWhatIsKeptIsForTheServicesOwnUser(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		p := sv.SignUp(t, "ada@example.org").StartPlay(t, film.ID)
		p.Report(t, "heartbeat", 1000)
		files := 0
		err := filepath.WalkDir(sv.DataDir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			files++
			want := fs.FileMode(0o600)
			if d.IsDir() {
				want = 0o700
			}
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s has mode %o, want %o", path, got, want)
			}
			return nil
		})
		if err != nil || files < 20 {
			t.Errorf("%d files seen, %v", files, err)
		}
		if strings.Contains(sv.Log(), p.Grant) || strings.Contains(sv.Log(), p.Token) || strings.Contains(sv.Log(), "correct horse") {
			t.Error("the log holds a grant, a token or a password")
		}
	})
}

func TestAHundredPlaysAndUploadsLeaveNoGoroutineBehind(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		member, operator := sv.SignUp(t, "ada@example.org"), sv.Operator(t)
		round := func() {
			p := member.StartPlay(t, film.ID)
			p.Report(t, "start", 0)
			for _, track := range p.TracksOfHLS(t) {
				p.Fetch(t, track, filepath.Join(t.TempDir(), "track"))
			}
			p.Report(t, "end", 1000)
			// A source that is no film: it comes in and is refused.
			if _, err := addBytes(operator, "This is not a film.", "text.mp4"); err == nil {
				t.Fatal("a text was taken for a film")
			}
		}
		round()
		before := harness.Metric(t, sv.Guest(), "go_goroutines")
		for range 100 {
			round()
		}
		harness.CloseIdle()
		const slack = 5 // connections that are just closing, and the one that asks
		harness.Eventually(t, fmt.Sprintf("at most %v goroutines", before+slack), func() bool {
			return harness.Metric(t, sv.Guest(), "go_goroutines") <= before+slack
		})
	})
}
