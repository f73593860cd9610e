package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/watch"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestADocumentIsServedInRangesAndRevalidated(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	for _, c := range []struct {
		name, value string
		status      int
		body        string
	}{
		{"Accept", "*/*", 200, "\x89PNG picture"},
		{"Range", "bytes=1-3", 206, "PNG"},
		{"Range", "bytes=-4", 206, "ture"},
		{"Range", "bytes=99-", 416, ""},
		{"If-None-Match", `"v1"`, 304, ""},
		{"If-None-Match", `"v2"`, 200, "\x89PNG picture"},
	} {
		r := ask(h, "GET", "/api/v1/books/x/cover", "", c.name, c.value)
		got := text(t, r)
		if r.StatusCode != c.status || c.status < 400 && got != c.body {
			t.Errorf("%s: %s: got %d %q, want %d %q", c.name, c.value, r.StatusCode, got, c.status, c.body)
		}
		if c.status == 200 && (r.Header.Get("Content-Type") != "image/png" || r.Header.Get("Cache-Control") != "public, max-age=60" || r.Header.Get("ETag") != `"v1"`) {
			t.Errorf("got header %v, want type, cache control and tag of the body", r.Header)
		}
	}
}

// closing is a reader that notes its end.
type closing struct {
	*strings.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestADocumentsReaderIsClosedAndItsTagQuoted(t *testing.T) {
	body := &closing{Reader: strings.NewReader("words")}
	h := rpc.Handler(rpc.Deps{}, index.Serve(func(context.Context, struct{}) (rpc.Body, error) {
		return rpc.Body{Reader: body, ETag: "v1"}, nil
	}))
	r := ask(h, "GET", "/api/v1/index.txt", "", "If-None-Match", `"v1"`)
	if r.StatusCode != 304 || body.closed != 1 {
		t.Errorf("got %d and closed %d times, want 304 and once", r.StatusCode, body.closed)
	}
	b, err := index.Do(t.Context(), client(t, h), struct{}{})
	want := rpc.Body{ContentType: "text/plain", ETag: `"v1"`, Bytes: []byte("words")}
	if diff := cmp.Diff(want, b); err != nil || diff != "" {
		t.Errorf("got error %v and a difference (-want +got):\n%s", err, diff)
	}
}

func TestAPanicEndsOneRequestAndIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	h := rpc.Handler(rpc.Deps{Log: slog.New(slog.NewJSONHandler(&log, nil))},
		getBook.Serve(func(context.Context, OneBook) (Book, error) { panic("swordfish") }),
		pages.Serve(func(_ context.Context, _ OneBook, send func(Page) error) error {
			return errors.Join(send(Page{1, "one"}), outOfRange())
		}))
	r := ask(h, "GET", "/api/v1/books/x", "")
	if got := text(t, r); r.StatusCode != 500 || strings.Contains(got, "swordfish") || !strings.Contains(got, r.Header.Get(rpc.RequestIDHeader)) {
		t.Errorf("got %d %s, want 500 that names the request alone", r.StatusCode, got)
	}
	var line struct{ Msg, Request, Error, Stack string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("got log %s, want one line: %v", log.String(), err)
	}
	if line.Error != "panic: swordfish" || line.Request != r.Header.Get(rpc.RequestIDHeader) || !strings.Contains(line.Stack, "server_test.go") {
		t.Errorf("got %+v, want the panic, the request and the stack", line)
	}
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("a panic within a stream: got %v, want the connection cut", p)
			}
		}()
		ask(h, "GET", "/api/v1/books/x/pages", "")
	}()
}

func outOfRange() error {
	list := []error{}
	return list[len(list)] // out of range
}

func TestAFailureOfTheServiceIsInTheRequestsOneLine(t *testing.T) {
	for kind, want := range map[bijou.Kind]string{bijou.Unavailable: "ERROR", bijou.Corrupt: "ERROR", "": "ERROR", bijou.NotFound: "INFO", bijou.Unsupported: "INFO"} {
		var log bytes.Buffer
		l := slog.New(slog.NewJSONHandler(&log, nil))
		h := watch.Requests(l, rpc.Handler(rpc.Deps{Log: l}, getBook.Serve(func(context.Context, OneBook) (Book, error) {
			if kind == "" {
				return Book{}, errors.New("defect")
			}
			return Book{}, kind
		})))
		ask(h, "GET", "/api/v1/books/x", "")
		var line struct{ Level, Msg, Error string }
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != want || (line.Error != "") != (want == "ERROR") {
			t.Errorf("kind %q: got log %s (%v), want one line of level %s", kind, log.String(), err, want)
		}
	}
}

// counts returns the requests that were counted, by method, path and code.
func counts(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if f.GetName() == "bijou_rpc_requests_total" {
				got[strings.Join(labels, " ")] = m.GetCounter().GetValue()
			} else {
				got["seconds "+strings.Join(labels, " ")] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return got
}

func TestRequestsAreCountedByPatternAndNotByAddress(t *testing.T) {
	metrics := prometheus.NewRegistry()
	rooms := routes(here{})
	a := rpc.Handler(rpc.Deps{Metrics: metrics}, rooms[:1]...)
	b := rpc.Handler(rpc.Deps{Metrics: metrics}, rooms[1:]...) // two handlers share the metrics
	ask(a, "GET", "/api/v1/books/1", "")
	ask(a, "GET", "/api/v1/books/2", "")
	ask(a, "GET", "/api/v1/books/fail-conflict", "")
	ask(a, "BREW", "/api/v1/books/2", "")
	ask(a, "GET", "/wp-admin/1", "")
	ask(b, "GET", "/wp-admin/2", "")
	left, cancel := context.WithCancel(t.Context())
	leaving := rpc.Handler(rpc.Deps{Metrics: metrics}, list.Serve(func(ctx context.Context, _ BookQuery) ([]Book, error) {
		cancel()
		return nil, ctx.Err()
	}))
	leaving.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v1/shelves/a/books", nil).WithContext(left))
	want := map[string]float64{
		"200 GET /api/v1/books/{id}": 2, "409 GET /api/v1/books/{id}": 1, "405 other other": 1, "404 GET other": 2,
		"499 GET /api/v1/shelves/{shelf}/books": 1,
		"seconds GET /api/v1/books/{id}":        3, "seconds other other": 1, "seconds GET other": 2, "seconds GET /api/v1/shelves/{shelf}/books": 1,
	}
	if diff := cmp.Diff(want, counts(t, metrics)); diff != "" {
		t.Errorf("got other counts (-want +got):\n%s", diff)
	}
}

func TestAServiceThatStopsSaysSoToThoseWhoWait(t *testing.T) {
	for _, cause := range []error{nil, bijou.Remote("the service is stopping: try again in a moment", bijou.Unavailable)} {
		ctx, stop := context.WithCancelCause(t.Context())
		h := rpc.Handler(rpc.Deps{}, getBook.Serve(func(ctx context.Context, _ OneBook) (Book, error) {
			stop(cause)
			return Book{}, ctx.Err()
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/books/x", nil).WithContext(ctx))
		if w.Code != 503 || (cause != nil) != strings.Contains(w.Body.String(), "is stopping") {
			t.Errorf("cause %v: got %d %s, want 503 with the cause's words", cause, w.Code, w.Body)
		}
	}
}

func TestARequestKeepsItsIdentifierOnItsWay(t *testing.T) {
	var seen []string
	note := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Header.Get(rpc.RequestIDHeader))
			h.ServeHTTP(w, r)
		})
	}
	last := there{client(t, note(rpc.Handler(rpc.Deps{}, routes(here{})...)))}
	first := rpc.Handler(rpc.Deps{}, routes(last)...)
	r := ask(first, "GET", "/api/v1/books/x", "", rpc.RequestIDHeader, "my-request.1")
	if got := r.Header.Get(rpc.RequestIDHeader); got != "my-request.1" || !cmp.Equal(seen, []string{"my-request.1"}) {
		t.Errorf("got %q and %q further on, want my-request.1 both times", got, seen)
	}
	for _, bad := range []string{"", "a b", "\x00", strings.Repeat("x", 65)} {
		r := ask(first, "GET", "/api/v1/books/x", "", rpc.RequestIDHeader, bad)
		if got := r.Header.Get(rpc.RequestIDHeader); got == bad || len(got) != 26 {
			t.Errorf("identifier %q from outside: got %q, want a new one of 26 characters", bad, got)
		}
	}
}

func TestTheGatewaysOwnProblemsLookLikeAllOthers(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "5")
	r := httptest.NewRequest("GET", "/", nil)
	rpc.WriteProblem(w, r, errors.Join(bijou.Denied))
	if w.Code != 401 || w.Header().Get("Content-Type") != rpc.ProblemType || w.Header().Get("Content-Length") != "" {
		t.Errorf("a guest: got %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	rpc.WriteProblem(w, r, errors.New("secret of the house"))
	if got := w.Body.String(); w.Code != 500 || strings.Contains(got, "secret") {
		t.Errorf("a defect: got %d %s, want 500 without the words", w.Code, got)
	}
}

func TestOnlyWhoRunsTheServiceIsToldWhatBehindItDoesNotAnswer(t *testing.T) {
	err := rpc.Inner(fmt.Errorf("the database at 192.0.2.7 does not answer: start it: %w", bijou.Unavailable))
	for caller, want := range map[bijou.Caller]bool{{}: false, {Account: "acc_1"}: false, {Operator: "opr_1", Role: bijou.RoleViewer}: true} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		rpc.WriteProblem(w, r.WithContext(bijou.WithCaller(r.Context(), caller)), err)
		if got := w.Body.String(); w.Code != 503 || strings.Contains(got, "192.0.2.7") != want || !want && !strings.Contains(got, "try again in a moment") {
			t.Errorf("%+v is told %d %s", caller, w.Code, got)
		}
	}
}
