package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Client asks a service over HTTP, as any program may.
type Client struct {
	Base  string // http://host:port
	Token string // of a member or an operator; none for a guest
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Detail returns the sentence of a failure's answer (RFC 9457).
func (a Answer) Detail() string { return a.Text("detail") }

// Text returns a text of the answer's JSON object, or nothing.
func (a Answer) Text(key string) string {
	var all map[string]any
	if json.Unmarshal(a.Body, &all) != nil {
		return ""
	}
	s, _ := all[key].(string)
	return s
}

var web = &http.Client{Timeout: Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// Try sends a request and returns the answer, or the failure to get one.
func (c Client) Try(method, path string, body io.Reader, header http.Header) (Answer, error) {
	if !strings.HasPrefix(path, "http://") {
		path = c.Base + path
	}
	r, err := http.NewRequest(method, path, body)
	if err != nil {
		return Answer{}, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := web.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, res.Header, b}, err
}

// Do sends a request with v as JSON, or without a body where v is nil, and returns the answer.
func (c Client) Do(t testing.TB, method, path string, v any) Answer {
	t.Helper()
	var body io.Reader
	header := http.Header{}
	if v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(b)
		header.Set("Content-Type", "application/json")
	}
	a, err := c.Try(method, path, body, header)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Call is as Do, wants the status, and reads the answer into out where that is not nil.
func (c Client) Call(t testing.TB, method, path string, v any, status int, out any) {
	t.Helper()
	a := c.Do(t, method, path, v)
	if a.Status != status {
		t.Fatalf("%s %s with %+v: status %d, want %d: %s", method, path, v, a.Status, status, a.Body)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, a.Body)
	}
}

// Get fetches what must be there.
func (c Client) Get(t testing.TB, path string) []byte {
	t.Helper()
	a := c.Do(t, "GET", path, nil)
	if a.Status != http.StatusOK {
		t.Fatalf("GET %s: status %d: %s", path, a.Status, a.Body)
	}
	return a.Body
}

// Title is what a test reads of a title.
type Title struct {
	ID, Name, State, Reason, Asset string
	RuntimeMS                      int64 `json:"runtime_ms"`
	Width, Height                  int
}

// Play is what a test reads of a viewing.
type Play struct {
	Session, Title, Asset, Grant, HLS, DASH string
	PositionMS                              int64 `json:"position_ms"`
	RuntimeMS                               int64 `json:"runtime_ms"`
}

// Guest returns a client that has not signed in.
func (s *Service) Guest() Client { return Client{Base: s.Address} }

// Operator returns a client with the operator's token.
func (s *Service) Operator(t testing.TB) Client {
	t.Helper()
	return Client{Base: s.Address, Token: strings.TrimSpace(string(readFile(t, s.DataDir, "operator.token")))}
}

// As returns the client of the same person at another service, such as the one after a restart.
func (c Client) As(s *Service) Client { return Client{Base: s.Address, Token: c.Token} }

// SignUp makes an account and returns its client.
func (s *Service) SignUp(t testing.TB, email string) Client {
	t.Helper()
	var session struct{ Token string }
	s.Guest().Call(t, "POST", "/api/v1/accounts", map[string]any{"email": email, "password": "correct horse"}, http.StatusCreated, &session)
	return Client{Base: s.Address, Token: session.Token}
}

// Titles returns the titles that viewers see.
func (c Client) Titles(t testing.TB) []Title {
	t.Helper()
	var page struct{ Titles []Title }
	c.Call(t, "GET", "/api/v1/titles?limit=500", nil, http.StatusOK, &page)
	return page.Titles
}

// AllTitles returns the titles that an operator sees.
func (c Client) AllTitles(t testing.TB) []Title {
	t.Helper()
	var page struct{ Titles []Title }
	c.Call(t, "GET", "/api/v1/studio/titles?limit=500", nil, http.StatusOK, &page)
	return page.Titles
}

// Add has the film added by the command line and returns its title.
func (s *Service) Add(t testing.TB, args ...string) Title {
	t.Helper()
	r := s.CLI(t, append([]string{"--output", "json", "title", "add"}, args...)...)
	if r.Status != 0 {
		t.Fatalf("title add %v: status %d: %s", args, r.Status, r.Err)
	}
	var title Title
	if err := json.Unmarshal([]byte(r.Out), &title); err != nil {
		t.Fatalf("title add %v says %s: %v", args, r.Out, err)
	}
	return title
}

// Eventually asks until the answer is yes. The service says when something is acknowledged, and not when a reader of its log has caught up.
func Eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	end := time.Now().Add(Patience)
	for !yes() {
		if time.Now().After(end) {
			t.Fatalf("after %s not yet: %s", Patience, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
