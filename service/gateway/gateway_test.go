package gateway_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/gateway"

	"github.com/google/go-cmp/cmp"
)

const operatorToken = "operator-token-of-more-than-32-characters"

// sessions knows one member by one token.
type sessions struct{}

var member = bijou.Caller{Account: "acc_1", Profile: "prf_1", Session: "sgn_1"}

// Authenticate implements bijou.Sessions.
func (sessions) Authenticate(_ context.Context, token string) (bijou.Caller, error) {
	switch token {
	case "member":
		return member, nil
	case "stale", "replaced":
		c := member
		c.Stale = true
		return c, nil
	case "down":
		return bijou.Caller{}, fmt.Errorf("members do not answer: %w", bijou.Unavailable)
	}
	return bijou.Caller{}, fmt.Errorf("the sign-in has ended: %w", bijou.Denied)
}

// operators knows one operator by two tokens.
type operators struct{}

// AuthenticateOperator implements bijou.Operators.
func (operators) AuthenticateOperator(_ context.Context, token string, kind bijou.OperatorTokenKind) (bijou.Caller, error) {
	switch {
	case token == "operator" && kind == bijou.TokenSession, token == "bijou_op_1" && kind == bijou.TokenProgram:
		return ada, nil
	case token == "down":
		return bijou.Caller{}, fmt.Errorf("members do not answer: %w", bijou.Unavailable)
	}
	return bijou.Caller{}, fmt.Errorf("the token has ended: %w", bijou.Denied)
}

var ada = bijou.Caller{Operator: "opr_1", OperatorName: "ada", Role: bijou.RoleOperator, OperatorToken: "tok_1"}
var later = time.Date(2026, 12, 24, 20, 0, 0, 0, time.UTC)

// Rotate implements bijou.Sessions.
func (sessions) Rotate(_ context.Context, token string) (bijou.RenewedToken, error) {
	if token == "stale" {
		return bijou.RenewedToken{Token: "fresh", Expires: later}, nil
	}
	return bijou.RenewedToken{}, fmt.Errorf("the token was replaced a moment ago: %w", bijou.Conflict)
}

func newCookie(token string, expires time.Time, secure bool) *http.Cookie {
	return &http.Cookie{Name: "bijou_session", Value: token, Expires: expires, Secure: secure}
}

// heard is what the rooms behind the door are told.
type heard struct {
	calls  int
	caller bijou.Caller
	header http.Header
}

// page is a page of the site, long enough to be worth compressing.
var page = "<!doctype html><title>Bijou</title>" + strings.Repeat("<p>film</p>", 100)

func newDoor(t *testing.T) (*gateway.Service, *heard) {
	t.Helper()
	h := &heard{}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.calls++
		h.header = r.Header.Clone()
		h.caller = bijou.Caller{}
		if err := json.Unmarshal([]byte(r.Header.Get(rpc.CallerHeader)), &h.caller); err != nil {
			t.Errorf("the room is told %q: %v", r.Header.Get(rpc.CallerHeader), err)
		}
		if r.URL.Path == "/api/v1/cached" {
			w.Header().Set("Cache-Control", "public, max-age=60")
		}
		fmt.Fprint(w, "room")
	})
	return gateway.New(gateway.Deps{
		Sessions: sessions{}, Operators: operators{}, API: api, OpenAPI: []byte(`{"openapi":"3.1.0"}`), OperatorToken: operatorToken, SessionCookie: "bijou_session",
		NewCookie: newCookie, Collector: "/api/v1/cmcd", Config: gateway.Config{TrustedProxies: []string{"198.51.100.0/24", "2001:db8::/32"}},
		Site: fstest.MapFS{
			"index.html":           {Data: []byte(page)},
			"favicon.svg":          {Data: []byte("<svg/>")},
			"assets/app-1a2b3c.js": {Data: []byte(strings.Repeat("let a = 1;", 100))},
			"assets/noise.bin":     {Data: []byte{0, 1, 2}},
		},
	}), h
}

// ask sends a request. headers are names and values in turn.
func ask(h http.Handler, verb, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(verb, "http://bijou.example"+path, nil)
	r.RemoteAddr = "192.0.2.9:4711"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestTheDoorFindsOutWhoAsks(t *testing.T) {
	door, room := newDoor(t)
	guest, operator := bijou.Caller{}, bijou.LocalCaller
	check := func(name string, want bijou.Caller, headers ...string) {
		t.Helper()
		want.Address, want.Host = "192.0.2.9", "bijou.example"
		room.calls = 0
		rec := ask(door, "GET", "/api/v1/me", headers...)
		if rec.Code != http.StatusOK || room.calls != 1 {
			t.Fatalf("%s: answer %d %s", name, rec.Code, rec.Body)
		}
		if diff := cmp.Diff(want, room.caller); diff != "" {
			t.Errorf("%s: the room hears of (-want +got):\n%s", name, diff)
		}
	}
	check("nothing said", guest)
	check("cookie", member, "Cookie", "bijou_session=member")
	check("cookie among others", member, "Cookie", "a=b; bijou_session=member; c=d")
	check("ended cookie", guest, "Cookie", "bijou_session=old")
	check("empty cookie", guest, "Cookie", "bijou_session=")
	check("another's cookie", guest, "Cookie", "session=member")
	check("the operator's token as cookie", guest, "Cookie", "bijou_session="+operatorToken)
	check("member's token", member, "Authorization", "Bearer member")
	check("scheme in lower case", member, "Authorization", "bearer member")
	check("operator's token", operator, "Authorization", "Bearer "+operatorToken)
	check("token before cookie", operator, "Authorization", "Bearer "+operatorToken, "Cookie", "bijou_session=member")
	check("operator's cookie", ada, "Cookie", "bijou_operator=operator")
	both := member
	both.Operator, both.OperatorName, both.Role, both.OperatorToken = ada.Operator, ada.OperatorName, ada.Role, ada.OperatorToken
	check("member's and operator's cookie", both, "Cookie", "bijou_session=member; bijou_operator=operator")
	check("member's and ended operator's cookie", member, "Cookie", "bijou_session=member; bijou_operator=old")
	check("a program's token in a cookie", guest, "Cookie", "bijou_operator=bijou_op_1")
	check("an operator's token in a member's cookie", guest, "Cookie", "bijou_session=operator")
	check("a program's token", ada, "Authorization", "Bearer bijou_op_1")
	check("another scheme", guest, "Authorization", "Basic bWVtYmVyOg==")
}

func TestAnOldTokenIsReplacedByTheNextRequestWithACookie(t *testing.T) {
	door, room := newDoor(t)
	check := func(name string, want []string, headers ...string) {
		t.Helper()
		rec := ask(door, "GET", "/api/v1/me", headers...)
		if rec.Code != http.StatusOK || room.caller.Account != member.Account {
			t.Errorf("%s: answer %d for %+v", name, rec.Code, room.caller)
		}
		if diff := cmp.Diff(want, rec.Header().Values("Set-Cookie")); diff != "" {
			t.Errorf("%s: cookies (-want +got):\n%s", name, diff)
		}
	}
	fresh := newCookie("fresh", later, false).String()
	check("an old token", []string{fresh}, "Cookie", "bijou_session=stale")
	check("a token that another request replaced", nil, "Cookie", "bijou_session=replaced")
	check("a token that is not old", nil, "Cookie", "bijou_session=member")
	check("a program's token", nil, "Authorization", "Bearer stale")
}

func TestAProxyThatIsTrustedSaysWhoTheClientIsAndWhetherItSpokeHTTPS(t *testing.T) {
	door, room := newDoor(t)
	check := func(name, peer, address string, secure bool, headers ...string) {
		t.Helper()
		r := httptest.NewRequest("GET", "http://bijou.example/api/v1/me", nil)
		r.RemoteAddr = peer
		r.Header.Set("Cookie", "bijou_session=stale")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		rec := httptest.NewRecorder()
		door.ServeHTTP(rec, r)
		if room.caller.Address != address || room.caller.Secure != secure {
			t.Errorf("%s: the room hears of %s, secure: %v; want %s, %v", name, room.caller.Address, room.caller.Secure, address, secure)
		}
		if got := rec.Result().Cookies()[0].Secure; got != secure {
			t.Errorf("%s: the cookie is secure: %v, want %v", name, got, secure)
		}
	}
	const proxy, stranger = "198.51.100.7:443", "192.0.2.9:4711"
	check("a stranger's word", stranger, "192.0.2.9", false, "X-Forwarded-For", "203.0.113.5", "X-Forwarded-Proto", "https")
	check("a proxy that says nothing", proxy, "198.51.100.7", false)
	check("a proxy", proxy, "203.0.113.5", true, "X-Forwarded-For", "203.0.113.5", "X-Forwarded-Proto", "https")
	check("a proxy of IPv6", "[2001:db8::1]:443", "2001:dead::5", true, "X-Forwarded-For", "2001:dead::5", "X-Forwarded-Proto", "HTTPS")
	check("a proxy that spoke HTTP", proxy, "203.0.113.5", false, "X-Forwarded-For", "203.0.113.5", "X-Forwarded-Proto", "http")
	check("an entry that the client made up", proxy, "203.0.113.5", false, "X-Forwarded-For", "192.0.2.77, 203.0.113.5")
	check("a header that the client made up", proxy, "203.0.113.5", false, "X-Forwarded-For", "192.0.2.77", "X-Forwarded-For", "203.0.113.5")
	check("a protocol that the client made up", proxy, "203.0.113.5", false, "X-Forwarded-For", "203.0.113.5", "X-Forwarded-Proto", "https", "X-Forwarded-Proto", "http")
	check("two proxies", proxy, "203.0.113.5", true, "X-Forwarded-For", "203.0.113.5, 198.51.100.9", "X-Forwarded-Proto", "https")
	check("an entry that is no address", proxy, "198.51.100.9", false, "X-Forwarded-For", "unknown, 198.51.100.9")
	check("no entry that is an address", proxy, "198.51.100.7", false, "X-Forwarded-For", "<script>")
}

func TestTrustedProxiesAreNetworks(t *testing.T) {
	if err := gateway.DefaultConfig().Check(); err != nil {
		t.Errorf("default: %v", err)
	}
	for _, network := range []string{"198.51.100.7", "all", "", "198.51.100.0/33"} {
		if err := (gateway.Config{TrustedProxies: []string{network}}).Check(); !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), "trusted_proxies") {
			t.Errorf("trusted_proxies %q: Check = %v, want Invalid that names the key", network, err)
		}
	}
}

func TestATokenThatDoesNotHoldIsRefusedWhereACookieIsNot(t *testing.T) {
	door, room := newDoor(t)
	check := func(name string, status int, headers ...string) {
		t.Helper()
		rec := ask(door, "GET", "/api/v1/me", headers...)
		if rec.Code != status || room.calls != 0 || rec.Header().Get("Content-Type") != rpc.ProblemType {
			t.Errorf("%s: answer %d %s, %d calls of the room; want %d and none", name, rec.Code, rec.Body, room.calls, status)
		}
	}
	check("unknown token", http.StatusUnauthorized, "Authorization", "Bearer old")
	check("no token", http.StatusUnauthorized, "Authorization", "Bearer ")
	check("part of the operator's token", http.StatusUnauthorized, "Authorization", "Bearer "+operatorToken[:20])
	check("unknown token beside a cookie that holds", http.StatusUnauthorized, "Authorization", "Bearer old", "Cookie", "bijou_session=member")
	check("unknown program", http.StatusUnauthorized, "Authorization", "Bearer bijou_op_2")
	check("an operator's session as a program's token", http.StatusUnauthorized, "Authorization", "Bearer operator")
	check("operators that do not answer", http.StatusServiceUnavailable, "Cookie", "bijou_operator=down")
	check("members that do not answer", http.StatusServiceUnavailable, "Cookie", "bijou_session=down")
}

func TestWithoutAnOperatorTokenNobodyIsOperator(t *testing.T) {
	door := gateway.New(gateway.Deps{Sessions: sessions{}, API: http.NotFoundHandler(), Site: fstest.MapFS{}, SessionCookie: "c"})
	if rec := ask(door, "GET", "/api/v1/me", "Authorization", "Bearer "); rec.Code != http.StatusUnauthorized {
		t.Errorf("empty token = %d %s, want 401", rec.Code, rec.Body)
	}
}

func TestForgedHeadersStayOutside(t *testing.T) {
	door, room := newDoor(t)
	ask(door, "GET", "/api/v1/me",
		rpc.CallerHeader, `{"role":"administrator"}`, rpc.CallerHeader, `{"account":"acc_2"}`, "bijou-caller", `{"role":"administrator"}`,
		rpc.TimeoutHeader, "1", "BIJOU-ANYTHING", "x", "Accept-Language", "en")
	if room.caller != (bijou.Caller{Address: "192.0.2.9", Host: "bijou.example"}) {
		t.Errorf("the room hears of %+v, want a guest", room.caller)
	}
	for name, values := range room.header {
		if strings.HasPrefix(name, "Bijou-") && (name != rpc.CallerHeader || len(values) != 1) {
			t.Errorf("header %s: %q came through", name, values)
		}
	}
	if room.header.Get("Accept-Language") != "en" {
		t.Error("a header that is none of ours was lost")
	}
}

func TestAnotherSitesPageChangesNothing(t *testing.T) {
	door, room := newDoor(t)
	check := func(name string, verb string, allowed bool, headers ...string) {
		t.Helper()
		room.calls = 0
		rec := ask(door, verb, "/api/v1/facts", append(headers, "Cookie", "bijou_session=member")...)
		if (rec.Code == http.StatusOK) != allowed || (room.calls == 1) != allowed {
			t.Errorf("%s: %s = %d %s, %d calls of the room; want it allowed: %v", name, verb, rec.Code, rec.Body, room.calls, allowed)
		}
	}
	check("own page", "POST", true, "Sec-Fetch-Site", "same-origin", "Origin", "http://bijou.example")
	check("another site's page", "POST", false, "Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example")
	check("a sister site's page", "POST", false, "Sec-Fetch-Site", "same-site", "Origin", "http://evil.bijou.example")
	check("an old browser on another site", "POST", false, "Origin", "http://evil.example")
	check("a page without an origin", "POST", false, "Origin", "null")
	check("another site's page", "DELETE", false, "Sec-Fetch-Site", "cross-site")
	check("a link on another site", "GET", true, "Sec-Fetch-Site", "cross-site")
	check("a program", "POST", true)
}

func TestAnswersOfRoomsAreKeptByNobodyUnlessTheRoomSaysSo(t *testing.T) {
	door, _ := newDoor(t)
	for path, want := range map[string]string{"/api/v1/me": "no-store", "/api/v1/cached": "public, max-age=60"} {
		if got := ask(door, "GET", path).Header().Get("Cache-Control"); got != want {
			t.Errorf("GET %s has Cache-Control %q, want %q", path, got, want)
		}
	}
}

func TestTheDoorGivesTheOpenAPIDocument(t *testing.T) {
	door, room := newDoor(t)
	rec := ask(door, "GET", "/api/v1/openapi.json")
	if rec.Code != http.StatusOK || rec.Body.String() != `{"openapi":"3.1.0"}` || rec.Header().Get("Content-Type") != "application/json" || room.calls != 0 {
		t.Errorf("GET = %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	door, _ := newDoor(t)
	for _, path := range []string{"/", "/assets/none.js", "/api/v1/me", "/api/v1/openapi.json"} {
		h := ask(door, "GET", path).Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("GET %s has headers %v", path, h)
		}
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(h.Get("Content-Security-Policy"), part) {
				t.Errorf("GET %s has no %q in its policy %q", path, part, h.Get("Content-Security-Policy"))
			}
		}
	}
}

func TestAnAddressWithoutAFileIsAPageOfTheSite(t *testing.T) {
	door, room := newDoor(t)
	check := func(path string, status int, body, cache string) {
		t.Helper()
		rec := ask(door, "GET", path)
		if rec.Code != status || !strings.HasPrefix(rec.Body.String(), body) || rec.Header().Get("Cache-Control") != cache {
			t.Errorf("GET %s = %d %q %q, want %d %q %q", path, rec.Code, rec.Body, rec.Header().Get("Cache-Control"), status, body, cache)
		}
	}
	check("/", http.StatusOK, "<!doctype", "no-cache")
	check("/index.html", http.StatusOK, "<!doctype", "no-cache")
	check("/titles/ttl_1", http.StatusOK, "<!doctype", "no-cache")
	check("/assets", http.StatusOK, "<!doctype", "no-cache")
	check("/../../titles", http.StatusOK, "<!doctype", "no-cache")
	check("/favicon.svg", http.StatusOK, "<svg/>", "no-cache")
	check("/assets/app-1a2b3c.js", http.StatusOK, "let a", "public, max-age=31536000, immutable")
	check("/assets/app-old.js", http.StatusNotFound, "no page", "")
	check("/../../etc/passwd.txt", http.StatusNotFound, "no page", "")
	check("/titles/..", http.StatusOK, "<!doctype", "no-cache")
	if room.calls != 0 {
		t.Errorf("pages were asked of the rooms %d times", room.calls)
	}
	for _, verb := range []string{"POST", "DELETE", "OPTIONS"} {
		if rec := ask(door, verb, "/"); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s / = %d %v, want 405", verb, rec.Code, rec.Header())
		}
	}
}

func TestPagesAreCompressedForWhoTakesIt(t *testing.T) {
	door, _ := newDoor(t)
	check := func(path, accept string, zipped bool, want string) {
		t.Helper()
		rec := ask(door, "GET", path, "Accept-Encoding", accept)
		if got := rec.Header().Get("Content-Encoding"); (got == "gzip") != zipped || rec.Header().Get("Vary") != "Accept-Encoding" {
			t.Fatalf("GET %s accepting %q has encoding %q and Vary %q, want gzip: %v", path, accept, got, rec.Header().Get("Vary"), zipped)
		}
		body := io.Reader(rec.Body)
		if zipped {
			if rec.Body.Len() >= len(want) {
				t.Errorf("GET %s: %d bytes were not made fewer than %d", path, rec.Body.Len(), len(want))
			}
			unzipped, err := gzip.NewReader(rec.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = unzipped
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != want {
			t.Errorf("GET %s accepting %q = %q, %v", path, accept, got, err)
		}
	}
	check("/", "gzip, deflate, br", true, page)
	check("/", "br;q=1.0, GZIP;q=0.5", true, page)
	check("/", "", false, page)
	check("/", "br", false, page)
	check("/", "gzip;q=0, identity", false, page)
	check("/", "gzip; q=0.000", false, page)
	check("/", "xgzip", false, page)
	check("/assets/noise.bin", "gzip", false, "\x00\x01\x02")
}

func TestAPageThatTheBrowserHasIsNotSentAgain(t *testing.T) {
	door, _ := newDoor(t)
	etag := ask(door, "GET", "/").Header().Get("ETag")
	other := ask(door, "GET", "/favicon.svg").Header().Get("ETag")
	if etag == "" || etag == other {
		t.Fatalf("two pages have ETags %q and %q", etag, other)
	}
	for _, accept := range []string{"", "gzip"} {
		if rec := ask(door, "GET", "/titles/ttl_1", "If-None-Match", etag, "Accept-Encoding", accept); rec.Code != http.StatusNotModified || rec.Body.Len() != 0 {
			t.Errorf("GET with the page's ETag, accepting %q = %d and %d bytes, want 304", accept, rec.Code, rec.Body.Len())
		}
	}
	if rec := ask(door, "GET", "/", "If-None-Match", other); rec.Code != http.StatusOK {
		t.Errorf("GET with another page's ETag = %d, want 200", rec.Code)
	}
}

func TestHeadTellsOfAPageAndSendsNothing(t *testing.T) {
	door, _ := newDoor(t)
	rec := ask(door, "HEAD", "/")
	if rec.Code != http.StatusOK || rec.Body.Len() != 0 || rec.Header().Get("Content-Length") != fmt.Sprint(len(page)) || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		t.Errorf("HEAD / = %d %v and %d bytes", rec.Code, rec.Header(), rec.Body.Len())
	}
	if rec := ask(door, "GET", "/", "Range", "bytes=0-8", "Accept-Encoding", "gzip"); rec.Code != http.StatusPartialContent || rec.Body.String() != "<!doctype" {
		t.Errorf("GET of a range = %d %q, want the page's own bytes", rec.Code, rec.Body)
	}
}

func TestTheHostByWhichTheServiceWasReachedIsToldWhereItIsOne(t *testing.T) {
	door, room := newDoor(t)
	for header, want := range map[string]string{
		"bijou.example": "bijou.example", "bijou.example:8080": "bijou.example", "127.0.0.1:80": "127.0.0.1", "[::1]:8080": "[::1]", "[2001:db8::1]": "[2001:db8::1]",
		"a b": "", "evil\"><script>": "", "x/../y": "", "host\r\nX: y": "", "": "",
	} {
		r := httptest.NewRequest("GET", "/api/v1/me", nil)
		r.Host = header
		door.ServeHTTP(httptest.NewRecorder(), r)
		if got := room.caller.Host; got != want {
			t.Errorf("Host %q: the room hears of %q, want %q", header, got, want)
		}
	}
}

func TestPlayersOfOtherSitesReportAsGuests(t *testing.T) {
	door, heard := newDoor(t)
	foreign := []string{"Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site", "Cookie", "bijou_session=member"}
	rec := ask(door, "OPTIONS", "/api/v1/cmcd", append(foreign, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")...)
	h := rec.Header()
	if rec.Code != http.StatusNoContent || heard.calls != 0 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Allow-Headers") != "Content-Type" {
		t.Errorf("whether it may report: answer %d, headers %v", rec.Code, h)
	}
	rec = ask(door, "POST", "/api/v1/cmcd", foreign...)
	if rec.Code != http.StatusOK || !heard.caller.Guest() || heard.header.Get("Cookie") != "" || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("its report: answer %d, caller %+v, cookie %q", rec.Code, heard.caller, heard.header.Get("Cookie"))
	}
	if rec = ask(door, "POST", "/api/v1/facts", foreign...); rec.Code != http.StatusUnauthorized || rec.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another address: answer %d, headers %v; want 401 and no word of other sites", rec.Code, rec.Header())
	}
	// The service's own page is who it is.
	if ask(door, "POST", "/api/v1/cmcd", "Sec-Fetch-Site", "same-origin", "Cookie", "bijou_session=member"); heard.caller.Profile != member.Profile {
		t.Errorf("a report of the service's own page: caller %+v", heard.caller)
	}
}
