package rpc_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou/kit/rpc"
)

// asMember is the header that the gateway sets for a member who is an operator too.
var asMember = []string{rpc.CallerHeader, `{"account":"acc_1","operator":"opr_1","role":"administrator"}`}

func TestABodyThatDoesNotFitIsRefusedInWordsThatNameTheField(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	deep := strings.Repeat(`{"name":"c","next":[`, 40) + strings.Repeat("]}", 40)
	for _, c := range []struct {
		body, want string
		status     int
	}{
		{`{"name":"Emma"}`, `"name":"Emma"`, 201},
		{`{"name":"Emma","first":{"name":"I","next":[{"name":"II","next":[]}]}}`, `"chapter"`, 201},
		{`{"nane":"Emma"}`, "field nane is unknown: did you mean name?", 400},
		{`{"Name":"Emma"}`, "field Name is unknown: did you mean name?", 400},
		{`{"name":"a","zebra":1}`, "field zebra is unknown: the fields are first, kind, name, pages, tags", 400},
		{`{"name":"a","first":{"name":"x","next":[{"nam":"y"}]}}`, "field first.next[0].nam is unknown: did you mean name?", 400},
		{`{"name":"a","name":"b"}`, "field name is given twice", 400},
		{`{"pages":1}`, "name is missing", 400},
		{``, "name is missing", 400},
		{`{"name":""}`, "name must have at least 1 characters", 400},
		{`{"name":"` + strings.Repeat("x", 41) + `"}`, "name must have at most 40 characters", 400},
		{`{"name":"a","pages":-1}`, "pages must be at least 0", 400},
		{`{"name":"a","pages":10000}`, "pages must be at most 9999", 400},
		{`{"name":"a","pages":1.5}`, "pages must be a whole number", 400},
		{`{"name":"a","pages":"1"}`, "pages must be a whole number", 400},
		{`{"name":"a","pages":1e999}`, "pages: a value cannot be read", 400},
		{`{"name":7}`, "name must be a text", 400},
		{`{"name":null}`, "name must be a text", 400},
		{`{"name":"a","tags":["1","2","3","4"]}`, "tags must have at most 3 entries", 400},
		{`{"name":"a","tags":[1]}`, "tags[0] must be a text", 400},
		{`{"name":"a","tags":null}`, `"tags":[]`, 201}, // what may be absent may be null
		{`{"name":"a","kind":"poem"}`, `kind must be one of`, 400},
		{`{"name":"","pages":-1,"kind":"poem","tags":7}`, "and 1 more", 400},
		{`[]`, "the body must be an object", 400},
		{`null`, "the body must be an object", 400},
		{`{"name":"a"`, "the body is not JSON", 400},
		{`{"name":"a"} {}`, "the body is not JSON", 400},
		{`{"name":"a","first":` + deep + `}`, "more than 64 deep", 400},
		{`{"name":"` + strings.Repeat("x", rpc.MaxBody) + `"}`, fmt.Sprintf("the body is larger than %d bytes", rpc.MaxBody), 400},
	} {
		r := ask(h, "POST", "/api/v1/books", c.body, append([]string{"Content-Type", "application/json; charset=utf-8"}, asMember...)...)
		if got := text(t, r); r.StatusCode != c.status || !strings.Contains(got, c.want) {
			t.Errorf("body %.90s: got %d %s, want %d with %s", c.body, r.StatusCode, got, c.status, c.want)
		}
	}
}

func TestAPasswordIsNotRepeatedWhereItIsRefused(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	secret := strings.Repeat("swordfish", 10)
	r := ask(h, "POST", "/api/v1/books", `{"name":"`+secret+`"}`, append([]string{"Content-Type", "application/json"}, asMember...)...)
	if got := text(t, r); r.StatusCode != 400 || strings.Contains(got, "swordfish") {
		t.Errorf("got %d %s, want 400 without the value", r.StatusCode, got)
	}
}

func TestABodyMustBeAnnouncedAsWhatItIs(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	for _, c := range []struct {
		path, media string
		want        int
	}{
		{"/api/v1/books", "application/json", 201}, {"/api/v1/books", "text/plain", 415}, {"/api/v1/books", "", 415},
		{"/api/v1/books", "application/x-www-form-urlencoded", 415}, {"/api/v1/books", "application/json;;;", 415},
		{"/api/v1/reports", "application/json", 204}, {"/api/v1/reports", "text/plain;charset=UTF-8", 204}, {"/api/v1/reports", "text/html", 415},
	} {
		r := ask(h, "POST", c.path, `{"name":"Emma"}`, append([]string{"Content-Type", c.media}, asMember...)...)
		if r.StatusCode != c.want {
			t.Errorf("POST %s as %q: got %d %s, want %d", c.path, c.media, r.StatusCode, text(t, r), c.want)
		}
	}
}

func TestAnAddressThatDoesNotFitIsRefusedInWordsThatNameTheParameter(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	for query, want := range map[string]string{
		"?limit=5&lent=true&after=x":  "[]",
		"?limit=":                     "limit must be a whole number",
		"?limit=x":                    "limit must be a whole number",
		"?limit=0":                    "limit must be at least 1",
		"?limit=51":                   "limit must be at most 50",
		"?limit=99999999999999999999": "limit is out of range",
		"?lent=perhaps":               "lent must be true or false",
		"?after=12345678901":          "after must have at most 10 characters",
		"?after=%zz":                  "the query of the address cannot be read",
	} {
		r := ask(h, "GET", "/api/v1/shelves/a/books"+query, "")
		if got := text(t, r); !strings.Contains(got, want) || (r.StatusCode == 200) != (want == "[]") {
			t.Errorf("%s: got %d %s, want %s", query, r.StatusCode, got, want)
		}
	}
}

func TestWhatNobodyAnswersIsAProblemToo(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	for _, c := range []struct {
		verb, path, allow string
		want              int
	}{
		{"GET", "/", "", 404}, {"GET", "/api/v1/nothing", "", 404}, {"GET", "/api/v1/books/x/", "", 404},
		{"GET", "/api/v1//books/x", "", 404}, {"GET", "/api/v1/a/../books/x", "", 404}, {"GET", "/api/v1/files", "", 404},
		{"PUT", "/api/v1/books/x", "GET, HEAD, PATCH, DELETE", 405}, {"GET", "/api/v1/books", "POST", 405},
		{"OPTIONS", "/api/v1/books", "POST", 405}, {"BREW", "/api/v1/books/x", "GET, HEAD, PATCH, DELETE", 405},
	} {
		r := ask(h, c.verb, c.path, "")
		if got := r.Header.Get("Allow"); r.StatusCode != c.want || got != c.allow || r.Header.Get("Content-Type") != rpc.ProblemType {
			t.Errorf("%s %s: got %d, Allow %q, %s, want %d, Allow %q, a problem", c.verb, c.path, r.StatusCode, got, r.Header.Get("Content-Type"), c.want, c.allow)
		}
	}
	r := ask(h, "GET", "/g/abcdefghijklmnop/x", "")
	if got := text(t, r); strings.Contains(got, "ijklmnop") || !strings.Contains(got, "/g/abcdefgh") {
		t.Errorf("got %s, want the grant cut short", got)
	}
}

func TestHeadIsAnsweredWhereGetIs(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	for _, path := range []string{"/api/v1/books/x", "/api/v1/books/x/cover"} {
		get, head := ask(h, "GET", path, ""), ask(h, "HEAD", path, "")
		if head.StatusCode != http.StatusOK || head.Header.Get("Content-Length") != get.Header.Get("Content-Length") || get.Header.Get("Content-Length") == "" {
			t.Errorf("HEAD %s: got %d, length %q, want 200 and %q", path, head.StatusCode, head.Header.Get("Content-Length"), get.Header.Get("Content-Length"))
		}
	}
}

// stalled is a connection whose client sends nothing: a read waits for its deadline.
type stalled struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *stalled) SetReadDeadline(d time.Time) error { s.deadline = d; return nil }

func (s *stalled) Read([]byte) (int, error) {
	<-time.After(time.Until(s.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestAClientThatSendsNothingIsNotWaitedForForEver(t *testing.T) {
	for _, c := range []struct {
		verb, path string
		most       time.Duration
	}{{"POST", "/api/v1/books", 30 * time.Second}, {"PUT", "/api/v1/books/x/text", time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			conn := &stalled{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequest(c.verb, c.path, conn)
			r.Header.Set(asMember[0], asMember[1])
			began := time.Now()
			rpc.Handler(rpc.Deps{}, routes(here{})...).ServeHTTP(conn, r)
			if took := time.Since(began); took != c.most || conn.Code != 503 || !conn.deadline.IsZero() {
				t.Errorf("%s %s: got %d after %s, deadline %s, want 503 after %s and no deadline left behind", c.verb, c.path, conn.Code, took, conn.deadline, c.most)
			}
		})
	}
}
