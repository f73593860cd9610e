package system_test

import (
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bijou/test/harness"

	"github.com/emersion/go-smtp"
	_ "modernc.org/sqlite"
)

// profiles is what a test reads of an account's profiles.
type profiles struct {
	Profiles []struct {
		ID, Name string
		Children bool
	}
}

func TestAServiceThatIsKilledKeepsWhatAMemberDid(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random := harness.Seed(t)
		sv, film := library(t, shape, harness.Options{})
		member := sv.SignUp(t, "ada@example.org")
		word, last := "correct horse", 0
		for round := range 3 {
			var all profiles
			member.Call(t, "GET", "/api/v1/profiles", nil, http.StatusOK, &all)
			path := "/api/v1/profiles/" + all.Profiles[0].ID
			kill := time.AfterFunc(time.Duration(random.Int64N(int64(300*time.Millisecond))), func() {
				if err := sv.Signal(syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			})
			for {
				body := fmt.Sprintf(`{"name":"Ada %d","children":false}`, last+1)
				a, err := member.Try("PUT", path, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})
				if err != nil {
					break // the kill
				}
				if a.Status != http.StatusOK {
					t.Fatalf("rename: status %d: %s", a.Status, a.Body)
				}
				last++
			}
			kill.Stop()
			sv.Wait(t)
			sv = sv.Restart(t, harness.Options{})
			member = member.As(sv)
			member.Call(t, "GET", "/api/v1/profiles", nil, http.StatusOK, &all)
			if got := all.Profiles[0].Name; got != fmt.Sprintf("Ada %d", last) && got != fmt.Sprintf("Ada %d", last+1) {
				t.Errorf("round %d: the profile is %q, want Ada %d or the next", round, got, last)
			}
			if _, err := fmt.Sscanf(all.Profiles[0].Name, "Ada %d", &last); err != nil {
				t.Fatal(err)
			}
			// Each of these is acknowledged, and the next thing that happens is a kill.
			fresh := fmt.Sprintf("password of round %d", round)
			for what, do := range map[string]func(){
				"list": func() { member.Call(t, "PUT", "/api/v1/list/"+film.ID, nil, http.StatusNoContent, nil) },
				"password": func() {
					member.Call(t, "PUT", "/api/v1/account/password", map[string]string{"old": word, "new": fresh}, http.StatusNoContent, nil)
					word = fresh
				},
				"reset": func() {
					sv.Guest().Call(t, "POST", "/api/v1/password-resets", map[string]string{"email": "ada@example.org"}, http.StatusNoContent, nil)
				},
			} {
				do()
				sv.Kill(t)
				sv = sv.Restart(t, harness.Options{})
				member = member.As(sv)
				t.Logf("round %d: killed after %s", round, what)
			}
			if a := member.Get(t, "/api/v1/list"); !strings.Contains(string(a), film.ID) {
				t.Errorf("round %d: the list is %s, want %s on it", round, a, film.ID)
			}
			sv.Guest().Call(t, "POST", "/api/v1/sessions", map[string]string{"email": "ada@example.org", "password": word}, http.StatusCreated, nil)
			harness.Eventually(t, "the mail that was asked for", func() bool { return len(mails(t, sv)) > round })
			member.Call(t, "DELETE", "/api/v1/list/"+film.ID, nil, http.StatusNoContent, nil)
		}
		lastLinkWorksOnce(t, sv, member)
	})
}

// lastLinkWorksOnce uses the link of the last mail between kills.
func lastLinkWorksOnce(t *testing.T, sv *harness.Service, member harness.Client) {
	t.Helper()
	all := mails(t, sv)
	text, err := os.ReadFile(all[len(all)-1])
	if err != nil {
		t.Fatal(err)
	}
	use := map[string]string{"token": tokenOf(t, string(text)), "password": "the last password"}
	for _, want := range []int{http.StatusCreated, http.StatusNotFound} {
		sv.Kill(t)
		sv = sv.Restart(t, harness.Options{})
		sv.Guest().Call(t, "POST", "/api/v1/password-resets/uses", use, want, nil)
	}
	sv.Guest().Call(t, "POST", "/api/v1/sessions", map[string]string{"email": "ada@example.org", "password": "the last password"}, http.StatusCreated, nil)
	if a := member.As(sv).Do(t, "GET", "/api/v1/profiles", nil); a.Status != http.StatusUnauthorized {
		t.Errorf("an earlier sign-in after the reset: status %d, want 401", a.Status)
	}
}

// mails are the messages in the service's outbox, oldest first.
func mails(t *testing.T, sv *harness.Service) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(sv.DataDir, "outbox", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var resetLink = regexp.MustCompile(`(http\S+)/reset-password#(\S+)`)

func tokenOf(t *testing.T, mail string) string {
	t.Helper()
	found := resetLink.FindStringSubmatch(mail)
	if found == nil {
		t.Fatalf("no link in %q", mail)
	}
	return found[2]
}

func TestALateReportBringsNothingOfADeletedAccountBack(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		member, witness := sv.SignUp(t, "ada@example.org"), sv.SignUp(t, "bob@example.org")
		p := member.StartPlay(t, film.ID)
		p.Report(t, "heartbeat", 1000)
		member.Call(t, "POST", "/api/v1/account/deletions", map[string]string{"password": "correct horse"}, http.StatusNoContent, nil)
		// Facts of another member, taken in later, are read later.
		later := witness.StartPlay(t, film.ID)
		later.Report(t, "heartbeat", 2000)
		harness.Eventually(t, "the later position", func() bool { return witness.StartPlay(t, film.ID).PositionMS == 2000 })
		sv.SignUp(t, "ada@example.org").Call(t, "GET", "/api/v1/positions", nil, http.StatusOK, nil)
		if left := sv.CLI(t, "account", "list", "--output", "json"); strings.Count(left.Out, `"email"`) != 2 {
			t.Errorf("accounts are %s, want bob and the new ada", left.Out)
		}
	})
}

// letterbox is a mail server. It implements smtp.Backend and smtp.Session.
type letterbox struct {
	mu   sync.Mutex
	to   string
	text string
}

func (l *letterbox) NewSession(*smtp.Conn) (smtp.Session, error) { return l, nil }
func (l *letterbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (l *letterbox) Reset()                                      {}
func (l *letterbox) Logout() error                               { return nil }

func (l *letterbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
	return nil
}

func (l *letterbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = strings.ReplaceAll(string(b), "=\r\n", "") // quoted-printable breaks long lines
	return err
}

func TestAResetLinkGoesByTheMailServerUnderTheConfiguredAddress(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		box := &letterbox{}
		server := smtp.NewServer(box)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		defer func() { l.Close(); server.Close(); <-done }()
		sv := shape.Start(t, harness.Options{Env: []string{
			"BIJOU_MEMBERS_MAIL_SMTP=" + l.Addr().String(), "BIJOU_MEMBERS_MAIL_SECURITY=none", "BIJOU_ADDRESS=https://tv.example.org",
		}})
		sv.SignUp(t, "ada@example.org")
		sv.Guest().Call(t, "POST", "/api/v1/password-resets", map[string]string{"email": "ada@example.org"}, http.StatusNoContent, nil)
		harness.Eventually(t, "the mail", func() bool {
			box.mu.Lock()
			defer box.mu.Unlock()
			return box.text != ""
		})
		box.mu.Lock()
		defer box.mu.Unlock()
		found := resetLink.FindStringSubmatch(box.text)
		if box.to != "ada@example.org" || found == nil || found[1] != "https://tv.example.org" {
			t.Fatalf("the mail to %s is %s, want one with a link below https://tv.example.org", box.to, box.text)
		}
		sv.Guest().Call(t, "POST", "/api/v1/password-resets/uses", map[string]string{"token": found[2], "password": "a better password"}, http.StatusCreated, nil)
		if len(mails(t, sv)) != 0 {
			t.Errorf("the outbox holds %v beside the mail server, want nothing", mails(t, sv))
		}
	})
}

func TestTheCookieIsSecureBehindAProxyThatSpeaksHTTPS(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		sv.SignUp(t, "ada@example.org")
		for protocol, want := range map[string]bool{"https": true, "http": false} {
			body := strings.NewReader(`{"email":"ada@example.org","password":"correct horse","cookie":true}`)
			a, err := sv.Guest().Try("POST", "/api/v1/sessions", body, http.Header{"Content-Type": {"application/json"}, "X-Forwarded-Proto": {protocol}})
			if err != nil || strings.Contains(a.Header.Get("Set-Cookie"), "; Secure") != want {
				t.Errorf("sign-in over %s: cookie %q, %v; want it secure: %v", protocol, a.Header.Get("Set-Cookie"), err, want)
			}
		}
	})
}

func TestTheCommandLineKeepsAccounts(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{Env: []string{"BIJOU_MEMBERS_SIGN_UP=closed"}})
		sv.Guest().Call(t, "POST", "/api/v1/accounts", map[string]string{"email": "ada@example.org", "password": "correct horse"}, http.StatusUnauthorized, nil)
		link := sv.CLI(t, "account", "add", "Ada@example.org")
		sv.Guest().Call(t, "POST", "/api/v1/password-resets/uses", map[string]string{"token": tokenOf(t, link.Out), "password": "a better password"}, http.StatusCreated, nil)
		if got := sv.CLI(t, "account", "list", "ADA@example.org"); !strings.Contains(got.Out, "ada@example.org") {
			t.Errorf("account list says %q", got.Out)
		}
		again := sv.CLI(t, "account", "reset", "ada@example.org")
		if !strings.HasPrefix(again.Out, sv.Address+"/reset-password#") {
			t.Errorf("account reset prints %q, want a link below %s", again.Out, sv.Address)
		}
		if got := sv.CLI(t, "account", "remove", "ada@example.org"); !strings.Contains(got.Out, "removed  ada@example.org") {
			t.Errorf("account remove says %q", got.Out)
		}
		sv.Guest().Call(t, "POST", "/api/v1/password-resets/uses", map[string]string{"token": tokenOf(t, again.Out), "password": "a better password"}, http.StatusNotFound, nil)
		for _, args := range [][]string{{"account", "reset", "ada@example.org"}, {"account", "remove", "acc_none"}, {"account", "add", "ada"}} {
			if got := sv.CLI(t, args...); got.Status != 1 || got.Out != "" || strings.Count(strings.TrimSpace(got.Err), "\n") != 0 {
				t.Errorf("bijou %v: status %d, %q, %q; want 1 and one line that says why", args, got.Status, got.Out, got.Err)
			}
		}
	})
}

func TestABrowsersTokenOfADayIsReplacedByItsNextRequest(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		sv.SignUp(t, "ada@example.org")
		body := strings.NewReader(`{"email":"ada@example.org","password":"correct horse","cookie":true}`)
		a, err := sv.Guest().Try("POST", "/api/v1/sessions", body, http.Header{"Content-Type": {"application/json"}})
		if err != nil || a.Status != http.StatusCreated {
			t.Fatalf("sign-in: %d %s, %v", a.Status, a.Body, err)
		}
		old, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
		ask := func(cookie string) (given string) {
			t.Helper()
			a, err := sv.Guest().Try("GET", "/api/v1/me", nil, http.Header{"Cookie": {cookie}})
			if err != nil || !strings.Contains(string(a.Body), "ada@example.org") {
				t.Fatalf("who am I by %.20s…: %d %s, %v", cookie, a.Status, a.Body, err)
			}
			given, _, _ = strings.Cut(a.Header.Get("Set-Cookie"), ";")
			return given
		}
		if got := ask(old); got != "" {
			t.Errorf("a fresh token is replaced by %q", got)
		}
		sv.Stop(t)
		// As if it had been given out a day before.
		db, err := sql.Open("sqlite", filepath.Join(sv.DataDir, "sqlite", "members.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`UPDATE sessions SET issued_us = issued_us - ?`, (24 * time.Hour).Microseconds()); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		sv = sv.Restart(t, harness.Options{})
		fresh := ask(old)
		if !strings.HasPrefix(fresh, "bijou_session=") || fresh == old {
			t.Fatalf("a token of a day is replaced by %q, want another", fresh)
		}
		for _, cookie := range []string{old, fresh, old} { // the old one holds a minute for what was on its way
			if got := ask(cookie); got != "" {
				t.Errorf("a request right after it is given %q, want nothing", got)
			}
		}
	})
}
