package members_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/service/members"
)

// run runs the room until the test ends.
func (h *house) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.Run(ctx, func() { close(ready) }) }()
	<-ready
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

// deliver runs the room until nothing that is due waits any more.
func (h *house) deliver(t *testing.T) {
	t.Helper()
	stop := h.run(t)
	defer stop()
	for {
		due, err := h.store.ResetRequests(t.Context(), h.now, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			return
		}
	}
}

func (h *house) ask(t *testing.T, email string) {
	t.Helper()
	if _, err := h.AskReset(t.Context(), members.AskReset{Email: email}); err != nil {
		t.Fatalf("AskReset(%s) = %v", email, err)
	}
}

var linkForm = regexp.MustCompile(`(\S+)/reset-password#(\S+)`)

// lastLink returns what the last mail's link begins with, and its token.
func (h *house) lastLink(t *testing.T, mails int) (base, token string) {
	t.Helper()
	h.mail.mu.Lock()
	defer h.mail.mu.Unlock()
	if len(h.mail.sent) != mails {
		t.Fatalf("%d mails were sent, want %d", len(h.mail.sent), mails)
	}
	m := h.mail.sent[mails-1]
	found := linkForm.FindStringSubmatch(m.Text)
	if found == nil || m.To != "ada@example.org" || m.From != "bijou@localhost" {
		t.Fatalf("the mail is %+v, want one with a link", m)
	}
	return found[1], found[2]
}

func TestAForgottenPasswordIsSetAnewByALinkThatWorksOnce(t *testing.T) {
	p := newPeople(t)
	old, _ := p.signIn(t, "Telephone", "192.0.2.3")
	ask := p.do(t, p.guest, "POST", "/api/v1/password-resets", members.AskReset{Email: " Ada@Example.org "})
	unknown := p.do(t, p.guest, "POST", "/api/v1/password-resets", members.AskReset{Email: "eve@example.org"})
	if ask.Code != unknown.Code || ask.Body.String() != unknown.Body.String() {
		t.Errorf("a known address is answered %d %q and an unknown one %d %q, want the same", ask.Code, ask.Body, unknown.Code, unknown.Body)
	}
	p.deliver(t)
	base, token := p.lastLink(t, 1)
	if base != "http://127.0.0.1:8080" {
		t.Errorf("the link begins with %s, want the address that the service listens at", base)
	}
	weak := p.ask(t, p.guest, "POST", "/api/v1/password-resets/uses", members.UseReset{Token: token, Password: "ada@example.org"})
	problem(t, "a weak password", weak, 400, "invalid", "is the e-mail address")
	rec := p.do(t, p.guest, "POST", "/api/v1/password-resets/uses", members.UseReset{Token: token, Password: strongWord})
	var s members.Session
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil || s.Account.Email != "ada@example.org" {
		t.Fatalf("use of the link = %s", rec.Body)
	}
	p.holds(t, "the sign-in that it opened", s.Token, true)
	p.holds(t, "an earlier one", old, false)
	again := p.ask(t, p.guest, "POST", "/api/v1/password-resets/uses", members.UseReset{Token: token, Password: strongWord})
	problem(t, "the link again", again, 404, "not found", "was used already")
	if got := p.try(t, "ada@example.org", strongWord, "192.0.2.3"); got != http.StatusCreated {
		t.Errorf("sign-in by the new password = %d, want 201", got)
	}
}

func TestAResetLinkLastsAnHour(t *testing.T) {
	p := newPeople(t)
	p.house.ask(t, "ada@example.org")
	p.deliver(t)
	_, token := p.lastLink(t, 1)
	p.now = begin.Add(time.Hour)
	rec := p.ask(t, p.guest, "POST", "/api/v1/password-resets/uses", members.UseReset{Token: token, Password: strongWord})
	problem(t, "the link after an hour", rec, 404, "not found", "too old")
}

func TestTheLinkBeginsWithTheConfiguredAddressWhateverTheBrowserNames(t *testing.T) {
	h := newHouse(t)
	h.signUp(t, "ada@example.org")
	ctx := bijou.WithCaller(t.Context(), bijou.Caller{Host: "evil.example"})
	if _, err := h.AskReset(ctx, members.AskReset{Email: "ada@example.org"}); err != nil {
		t.Fatal(err)
	}
	h.deliver(t)
	if base, _ := h.lastLink(t, 1); base != "http://127.0.0.1:8080" {
		t.Errorf("the link begins with %s, want the configured address", base)
	}
}

func TestALinkThatCannotBeSentIsTriedAgainAndItsLossToldOnce(t *testing.T) {
	h := newHouse(t)
	h.signUp(t, "ada@example.org")
	away := fmt.Errorf("the mail server does not answer: %w", bijou.Unavailable)
	h.mail.fails = []error{away, away}
	h.ask(t, "ada@example.org")
	h.deliver(t)
	var waits []time.Duration
	for len(waits) < 2 {
		later, err := h.store.ResetRequests(t.Context(), h.now.Add(time.Hour), 10)
		if err != nil || len(later) != 1 {
			t.Fatalf("%d wishes wait, %v; want one", len(later), err)
		}
		waits = append(waits, later[0].Next.Sub(h.now))
		h.now = later[0].Next
		h.deliver(t)
	}
	if waits[0] != time.Minute || waits[1] != 2*time.Minute {
		t.Errorf("tried again after %v, want 1 and 2 minutes", waits)
	}
	h.lastLink(t, 1)
	if strings.Contains(h.logged.String(), "lost") {
		t.Errorf("a link that was sent is said to be lost:\n%s", h.logged)
	}

	h.now = h.now.Add(24 * time.Hour)
	h.mail.fails = []error{away, away, away, away, away, away, away, away}
	h.ask(t, "ada@example.org")
	for range 10 {
		h.deliver(t)
		h.now = h.now.Add(time.Hour)
	}
	if got := strings.Count(h.logged.String(), "reset link is lost"); got != 1 || len(h.mail.fails) != 1 {
		t.Errorf("a link that cannot be sent was tried %d times and its loss told %d times, want 7 and once:\n%s", 8-len(h.mail.fails), got, h.logged)
	}
	h.mail.fails = []error{fmt.Errorf("no such user: %w", bijou.Invalid)}
	h.ask(t, "ada@example.org")
	h.deliver(t)
	if got := strings.Count(h.logged.String(), "reset link is lost"); got != 2 {
		t.Errorf("a recipient that is refused for good is told %d times, want once more:\n%s", got-1, h.logged)
	}
	h.lastLink(t, 1)
}

func TestAnOperatorMakesAccountsAndLinksAndRemovesBoth(t *testing.T) {
	p := newPeople(t)
	closeSignUp(t, p)
	var link members.ResetLink
	rec := p.do(t, p.operator, "POST", "/api/v1/accounts/invitations", members.AddAccount{Email: "Bob@Example.org"})
	if err := json.Unmarshal(rec.Body.Bytes(), &link); err != nil || link.Account.Email != "bob@example.org" || !link.Expires.Equal(begin.Add(time.Hour)) {
		t.Fatalf("invitation = %s", rec.Body)
	}
	_, token, _ := strings.Cut(link.Link, "#")
	p.do(t, p.guest, "POST", "/api/v1/password-resets/uses", members.UseReset{Token: token, Password: strongWord})
	if got := p.try(t, "bob@example.org", strongWord, "192.0.2.3"); got != http.StatusCreated {
		t.Errorf("sign-in of who was invited = %d, want 201", got)
	}
	rec = p.do(t, p.operator, "GET", "/api/v1/accounts?email=bob&limit=1", nil)
	var page bijou.AccountPage
	if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || len(page.Accounts) != 1 || page.Accounts[0] != link.Account {
		t.Errorf("accounts of bob = %s", rec.Body)
	}
	rec = p.do(t, p.operator, "POST", "/api/v1/accounts/"+string(link.Account.ID)+"/resets", nil)
	var second members.ResetLink
	if err := json.Unmarshal(rec.Body.Bytes(), &second); err != nil || second.Link == link.Link {
		t.Errorf("another link = %s", rec.Body)
	}
	p.do(t, p.operator, "DELETE", "/api/v1/accounts/"+string(link.Account.ID), nil)
	if _, err := p.store.Account(t.Context(), link.Account.ID); !errors.Is(err, bijou.NotFound) {
		t.Errorf("a removed account: %v, want NotFound", err)
	}
	if left := p.do(t, p.operator, "GET", "/api/v1/accounts", nil).Body.String(); strings.Contains(left, "bob@") || !strings.Contains(left, "ada@") {
		t.Errorf("accounts that are left: %s", left)
	}
}

// brokenWishes is a store of accounts whose wishes for reset links cannot be read.
type brokenWishes struct{ noAccounts }

// ResetRequests implements bijou.ResetStore.
func (brokenWishes) ResetRequests(context.Context, time.Time, int) ([]bijou.ResetRequest, error) {
	return nil, fmt.Errorf("the store does not answer: %w", bijou.Unavailable)
}

func TestWishesThatCannotBeReadAreToldOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(bytes.Buffer)
		room := members.New(members.Deps{
			Accounts: brokenWishes{}, Profiles: newPositions(), Facts: newLog(1), Log: slog.New(slog.NewTextHandler(out, nil)), Now: time.Now,
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- room.Run(ctx, func() {}) }()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := strings.Count(out.String(), "reset links wait"); got != 1 {
			t.Errorf("the failure is told %d times in five minutes, want once:\n%s", got, out)
		}
	})
}
