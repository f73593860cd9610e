package watch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/kit/run"
	"bijou/kit/watch"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line is what the log says about one request.
type line struct {
	Level, Msg, Request, Method, Path, Pattern, Error string
	Status                                            int
	Bytes                                             int64
	Duration                                          *float64 `json:"duration_ms"`
	Cut, Left                                         bool
}

// logged sends the request through Requests and returns the one line that comes of it, and the answer.
func logged(t *testing.T, r *http.Request, next http.HandlerFunc) (line, *httptest.ResponseRecorder) {
	t.Helper()
	var log bytes.Buffer
	h := watch.Requests(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), next)
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		h.ServeHTTP(w, r)
	}()
	var l line
	if err := json.Unmarshal(log.Bytes(), &l); err != nil {
		t.Fatalf("got log %q, want one line: %v", log.String(), err)
	}
	return l, w
}

func TestARequestIsOneLine(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /films/{id}", func(w http.ResponseWriter, r *http.Request) {
		if watch.RequestIDOf(r.Context()) != "abc-1" {
			t.Errorf("got request %q in the context, want abc-1", watch.RequestIDOf(r.Context()))
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "hello")
	})
	r := httptest.NewRequest("POST", "/films/7?password=swordfish", nil)
	r.Header.Set(watch.RequestIDHeader, "abc-1")
	got, w := logged(t, r, mux.ServeHTTP)
	if got.Duration == nil || *got.Duration < 0 {
		t.Errorf("got no duration: %+v", got)
	}
	got.Duration = nil
	want := line{Level: "INFO", Msg: "request", Request: "abc-1", Method: "POST", Path: "/films/7", Pattern: "/films/{id}", Status: 201, Bytes: 5}
	if got != want || w.Header().Get(watch.RequestIDHeader) != "abc-1" {
		t.Errorf("got %+v, answered with identifier %q, want %+v", got, w.Header().Get(watch.RequestIDHeader), want)
	}
}

func TestARequestThatIsCutOffIsOneLineToo(t *testing.T) {
	got, _ := logged(t, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})
	if !got.Cut || got.Status != 200 || got.Bytes != 4 {
		t.Errorf("got %+v, want a line that says it was cut after 4 bytes", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got, _ = logged(t, httptest.NewRequest("GET", "/", nil).WithContext(ctx), func(http.ResponseWriter, *http.Request) { cancel() })
	if !got.Left {
		t.Errorf("got %+v, want a line that says the client left", got)
	}
}

func TestAnErrorThatWasLeftIsInTheRequestsLine(t *testing.T) {
	got, _ := logged(t, httptest.NewRequest("GET", "/livez", nil), func(w http.ResponseWriter, r *http.Request) {
		if !watch.Note(r.Context(), errors.New("first")) || !watch.Note(r.Context(), errors.New("second")) {
			t.Error("Note says that nobody writes the line")
		}
		w.WriteHeader(500)
	})
	if got.Level != "ERROR" || got.Error != "first" || got.Status != 500 {
		t.Errorf("got %+v, want the first error at error level", got)
	}
	if watch.Note(t.Context(), errors.New("x")) {
		t.Error("Note says that somebody writes a line where there is no request")
	}
}

func TestWhatMachinesAskAgainAndAgainIsForDebuggingOnly(t *testing.T) {
	for path, want := range map[string]string{"/g/tok/v/1.m4s": "DEBUG", "/role/events/log/records": "DEBUG", "/livez": "DEBUG", "/readyz": "DEBUG", "/metrics": "DEBUG", "/api/v1/me": "INFO", "/": "INFO", "/livezz": "INFO"} {
		if got, _ := logged(t, httptest.NewRequest("GET", path, nil), func(http.ResponseWriter, *http.Request) {}); got.Level != want {
			t.Errorf("%s: got level %s, want %s", path, got.Level, want)
		}
	}
}

func TestAGrantIsCutOutOfAPath(t *testing.T) {
	for path, want := range map[string]string{
		"/g/abcdefghijkl/ast_1/v720/1.m4s":       "/g/abcdefgh…/ast_1/v720/1.m4s",
		"/api/v1/plays/abcdefghijkl/master.m3u8": "/api/v1/plays/abcdefgh…/master.m3u8",
		"/api/v1/plays/renewals":                 "/api/v1/plays/renewals",
		"/g/abcdefghijkl":                        "/g/abcdefgh…",
		"/g/":                                    "/g/",
		"/films/abcdefghijkl":                    "/films/abcdefghijkl",
		"/x/g/abcdefghijkl/g/mnopqrstuvwx":       "/x/g/abcdefgh…/g/mnopqrst…",
		"/g/1234567ä890":                         "/g/1234567…",
		"":                                       "",
	} {
		if got := watch.PublicPath(path); got != want {
			t.Errorf("PublicPath(%q): got %q, want %q", path, got, want)
		}
		if got, _ := logged(t, &http.Request{Method: "GET", URL: httptest.NewRequest("GET", "/", nil).URL.JoinPath(path), Header: http.Header{}}, func(http.ResponseWriter, *http.Request) {}); strings.Contains(got.Path, "ijkl") && strings.Contains(want, "…") {
			t.Errorf("%s is logged as %s, want the grant cut", path, got.Path)
		}
	}
}

func TestWhatAClientSendsCannotForgeALine(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.URL.Path = "GET\n"+strings.Repeat("X", 100), "/\n{}"+strings.Repeat("y", 1000)
	r.Header.Set(watch.RequestIDHeader, "a\nb")
	got, w := logged(t, r, func(http.ResponseWriter, *http.Request) {}) // one line, or logged fails
	if len(got.Path) > 210 || len(got.Method) > 30 || len(got.Request) != 26 || got.Request != w.Header().Get(watch.RequestIDHeader) {
		t.Errorf("got %+v, want everything clipped and a fresh identifier", got)
	}
}

// parts is a process whose parts stand where a test says.
type parts struct {
	ready bool
	list  []run.PartState
	needs []watch.Need
}

func (p *parts) Ready() bool             { return p.ready }
func (p *parts) States() []run.PartState { return p.list }

func TestHealthIsToldToMachines(t *testing.T) {
	var _ watch.Health = run.New()
	p := &parts{list: []run.PartState{{Name: "members", State: "ready"}, {Name: "door", State: "starting"}}}
	needs := func() []watch.Need { return p.needs }
	metrics := watch.NewMetrics("1.2", "abc\xff")
	watch.WatchNeeds(metrics, needs)
	h := watch.Pages(p, metrics, needs)
	check := func(verb, target string, status int, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(verb, target, nil))
		if got := w.Body.String(); w.Code != status || !strings.Contains(got, want) {
			t.Errorf("%s %s: got %d %.300q, want %d with %q", verb, target, w.Code, got, status, want)
		}
		if strings.HasSuffix(target, "z") && status != 405 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be cached: %v", verb, target, w.Header())
		}
	}
	check("GET", "/livez", 200, "alive\n")
	check("GET", "/readyz", 503, "not ready\n")
	check("GET", "/readyz?verbose", 503, "members: ready\ndoor: starting\nnot ready\n")
	p.ready = true
	check("GET", "/readyz", 200, "ready\n")
	check("HEAD", "/readyz", 200, "")
	check("POST", "/readyz", 405, "")
	check("GET", "/metrics", 200, `bijou_build_info{commit="abc?",go_version="go`)
	check("GET", "/metrics", 200, "go_goroutines ")
	p.needs = []watch.Need{{Name: "store facts", State: "away since noon", Degraded: true}, {Name: "store titles", State: "ok"}}
	check("GET", "/readyz", 200, "ready, degraded\n")
	check("GET", "/readyz?verbose", 200, "door: starting\nstore facts: away since noon\nstore titles: ok\nready, degraded\n")
	check("GET", "/metrics", 200, `bijou_need_up{need="store facts"} 0`)
	check("GET", "/metrics", 200, `bijou_need_up{need="store titles"} 1`)
}

func TestALogIsWrittenFromItsLevelOn(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		var b bytes.Buffer
		log, err := watch.NewLog(&b, level)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("x")
		log.Info("x")
		log.Warn("x")
		log.Error("x")
		if got := strings.Count(b.String(), `"msg":"x"`); got != want {
			t.Errorf("level %s: got %d lines of JSON, want %d:\n%s", level, got, want, b.String())
		}
	}
	for _, level := range []string{"", "INFO", "loud"} {
		if _, err := watch.NewLog(os.Stderr, level); !errors.Is(err, bijou.Invalid) {
			t.Errorf("level %q: got %v, want invalid", level, err)
		}
	}
}

func TestARecorderLeavesTheWaysToTheRealWriterOpen(t *testing.T) {
	w := httptest.NewRecorder()
	rec := watch.Record(w)
	if rec.Begun() || rec.Status() != 200 {
		t.Errorf("before: got begun %v, status %d", rec.Begun(), rec.Status())
	}
	rec.WriteHeader(404)
	rec.WriteHeader(200) // net/http ignores the second, and so must the record
	n, err := rec.ReadFrom(strings.NewReader("12345"))
	if n != 5 || err != nil || rec.Status() != 404 || rec.Bytes() != 5 {
		t.Errorf("got %d, %v, status %d, %d bytes, want 404 and 5", n, err, rec.Status(), rec.Bytes())
	}
	c := http.NewResponseController(rec)
	if err := c.Flush(); err != nil || !w.Flushed {
		t.Errorf("Flush: got %v, flushed %v", err, w.Flushed)
	}
	if err := c.SetWriteDeadline(time.Time{}); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("SetWriteDeadline of a writer that has none: got %v", err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := watch.Record(w)
		rec.WriteHeader(http.StatusEarlyHints)
		if rec.Begun() {
			t.Error("103 was taken for the answer")
		}
		err := http.NewResponseController(rec).SetWriteDeadline(time.Now().Add(time.Hour))
		if _, ok := w.(io.ReaderFrom); err != nil || !ok {
			t.Errorf("got %v, io.ReaderFrom %v from a real connection", err, ok)
		}
		rec.ReadFrom(strings.NewReader("body"))
	}))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); string(b) != "body" || err != nil {
		t.Errorf("got %q, %v, want body", b, err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}
