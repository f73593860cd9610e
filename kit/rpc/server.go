package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"bijou"
	"bijou/kit/watch"

	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what a handler works with.
type Deps struct {
	Log     *slog.Logger          // nil: nothing is logged
	Metrics prometheus.Registerer // nil: nothing is counted. Several handlers may share one.
	Audit   Auditor               // nil: nothing is audited
}

// server answers the routes of one handler.
type server struct {
	log     *slog.Logger
	audit   Auditor
	mux     *http.ServeMux
	count   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// Handler answers the routes. An address that none has is a 404, a verb that the address does not know a 405, both as problems. It trusts
// CallerHeader, so it must be reached through the gateway, or from roles alone.
func Handler(d Deps, routes ...Route) http.Handler {
	s := &server{log: d.Log, audit: d.Audit, mux: http.NewServeMux()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.count = register(d.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bijou_rpc_requests_total", Help: "Requests answered, by HTTP method, path pattern and status code; 499 where the client left.",
	}, []string{"method", "path", "code"}))
	s.seconds = register(d.Metrics, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "bijou_rpc_duration_seconds", Help: "Time to the end of the answer, by HTTP method and path pattern.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9), // 0.5 ms to 33 s
	}, []string{"method", "path"}))
	for _, r := range routes {
		s.mux.Handle(r.Pattern(), routed{s, r})
	}
	return s
}

// routed answers the requests of one route.
type routed struct {
	s *server
	r Route
}

func (h routed) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h.s.answer(w, req, h.r.path, func(w *response, req *http.Request) error {
		if h.s.audit != nil && h.r.Audited() {
			w.audit = &auditing{to: h.s.audit, route: h.r}
		}
		return w.audit.refused(req, h.r.run(w, req))
	})
}

// knows tells whether a route answers the request. What ServeMux would redirect is not known: no method's answer is somewhere else.
func (s *server) knows(r *http.Request) bool {
	h, _ := s.mux.Handler(r)
	_, ok := h.(routed)
	return ok
}

// register adds the metric, or returns the one that another handler added before.
func register[C prometheus.Collector](to prometheus.Registerer, c C) C {
	if to == nil {
		return c
	}
	err := to.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if there, ok := already.ExistingCollector.(C); ok {
			return there
		}
	}
	if err != nil {
		panic(fmt.Sprintf("rpc: register metrics: %v", err)) // two metrics of one name: a defect of the program, seen when it starts
	}
	return c
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.knows(r) {
		s.mux.ServeHTTP(w, r)
		return
	}
	s.answer(w, r, "other", s.unknown)
}

// unknown refuses a request that no route answers.
func (s *server) unknown(w *response, r *http.Request) error {
	var allow []string
	for _, verb := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if s.knows(&http.Request{Method: verb, URL: r.URL, Host: r.Host}) {
			allow = append(allow, verb)
		}
	}
	if len(allow) == 0 {
		return fmt.Errorf("nothing has the address %s: %w", clip(watch.PublicPath(r.URL.Path), 200), bijou.NotFound)
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	return &wrongVerb{r.Method, r.URL.Path, allow}
}

// wrongVerb is answered with 405, as RFC 9110 section 15.5.6 has it; its kind is Invalid.
type wrongVerb struct {
	verb, path string
	allow      []string
}

func (e *wrongVerb) Error() string {
	return fmt.Sprintf("%s cannot be asked with %s: use %s: %s", clip(watch.PublicPath(e.path), 200), clip(e.verb, 20), strings.Join(e.allow, " or "), bijou.Invalid)
}

func (e *wrongVerb) Unwrap() error { return bijou.Invalid }

// answer does what every request needs: an identifier, a caller, numbers, and an end in good order whatever work does.
func (s *server) answer(rw http.ResponseWriter, r *http.Request, pattern string, work func(*response, *http.Request) error) {
	begin := time.Now()
	id := watch.RequestID(rw, r)
	w := &response{Recorder: watch.Record(rw)}
	ctx := watch.WithRequestID(r.Context(), id)
	r = r.WithContext(ctx)
	defer func() {
		method := r.Method
		if pattern == "other" && !strings.Contains(" GET HEAD POST PUT PATCH DELETE ", " "+method+" ") {
			method = "other" // a client can invent methods without end
		}
		s.count.WithLabelValues(method, pattern, strconv.Itoa(w.code())).Inc()
		s.seconds.WithLabelValues(method, pattern).Observe(time.Since(begin).Seconds())
	}()
	caller, err := callerOf(r)
	if err == nil {
		r = r.WithContext(bijou.WithCaller(ctx, caller))
		err = s.survive(w, r, work)
	}
	if err != nil {
		s.fail(w, r, err, id)
	}
}

// survive makes an error of a panic, so that one request's defect does not end the process.
func (s *server) survive(w *response, r *http.Request, work func(*response, *http.Request) error) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err = &panicError{p, debug.Stack()}
		}
	}()
	return work(w, r)
}

// panicError is a panic of the code that answers a request. It has no kind.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// fail answers with the failure, and sees that what is not sent is logged once.
func (s *server) fail(w *response, r *http.Request, err error, id string) {
	if gone(r, err) {
		w.left = true
		// Nobody reads this, unless it was the service that ended the request.
		err = fmt.Errorf("the request was given up before its answer was there: %w", bijou.Unavailable)
	}
	p := problemOf(err, bijou.CallerOf(r.Context()), id)
	if graveStatus(p.Status) && !w.left {
		s.report(r, err, id)
	}
	switch {
	case w.told: // the stream has ended in good order
	case w.Begun():
		panic(http.ErrAbortHandler) // half an answer is out: cut the connection, so that nobody takes it for the whole
	default:
		writeProblem(w, p)
	}
}

// report logs what an operator must hear of: in the request's own line where there will be one. A panic's stack needs a line in any case.
func (s *server) report(r *http.Request, err error, id string) {
	attrs := []any{"request", id, "method", r.Method, "pattern", r.Pattern, "error", err}
	if p, ok := errors.AsType[*panicError](err); ok {
		s.log.ErrorContext(r.Context(), "request panicked", append(attrs, "stack", string(p.stack))...)
		return
	}
	if !watch.Note(r.Context(), err) {
		s.log.ErrorContext(r.Context(), "request failed", attrs...)
	}
}

// callerOf returns who the gateway says asks.
func callerOf(r *http.Request) (bijou.Caller, error) {
	var c bijou.Caller
	if text := r.Header.Get(CallerHeader); text != "" {
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return bijou.Caller{}, fmt.Errorf("header %s is not a caller's JSON (%v): %w", CallerHeader, err, bijou.Invalid)
		}
	}
	return c, nil
}

// run checks the caller's right, sets the deadline, and does the work.
func (r Route) run(w *response, req *http.Request) error {
	if err := allowed(r.needs, bijou.CallerOf(req.Context())); err != nil {
		return err
	}
	if limit := r.limit(req); limit > 0 {
		ctx, cancel := context.WithTimeout(req.Context(), limit)
		defer cancel()
		req = req.WithContext(ctx)
	}
	return settle(req.Context(), r.serve(w, req))
}

// limit returns how long the request may take: the route's timeout or what the client waits, whichever is shorter; 0 where neither is set.
func (r Route) limit(req *http.Request) time.Duration {
	limit := r.timeout
	ms, err := strconv.ParseInt(req.Header.Get(TimeoutHeader), 10, 32)
	if err != nil || ms <= 0 {
		return limit // no header, or none that means anything: the route's own bound holds
	}
	if asked := time.Duration(ms) * time.Millisecond; limit == 0 || asked < limit {
		return asked
	}
	return limit
}

func allowed(needs Permission, c bijou.Caller) error {
	switch {
	case needs == Member && c.Account == "" && c.Role != "":
		return fmt.Errorf("this is a member's own: sign in as a member: %w", bijou.Denied)
	case needs == Member && c.Account == "":
		return fmt.Errorf("sign in first: %w", bijou.Denied)
	}
	role := needs.role()
	switch {
	case role == "" || c.Role.Includes(role):
		return nil
	case c.Role == "":
		return fmt.Errorf("this needs the role %s: sign in at /operate, or send an operator's token: %w", role, bijou.Denied)
	}
	return fmt.Errorf("this needs the role %s, and %s has the role %s: ask an administrator: %w", role, c.OperatorName, c.Role, bijou.Denied)
}

// response notes what was sent, and leaves the way to the real writer open.
type response struct {
	*watch.Recorder
	audit *auditing // nil where the method is not audited

	left bool // the client went before it had the answer
	told bool // a failure is on its way already, as a stream's last event
}

// underneath returns the writer that net/http gave, which does things for its own readers that wrappers hide.
func underneath(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

func (w *response) code() int {
	if w.left {
		return clientGone
	}
	return w.Status()
}

// json answers with out.
func (w *response) json(r Route, out any) error {
	var buf bytes.Buffer
	if r.status != http.StatusNoContent {
		if err := encodeJSON(&buf, r.fill.fill(out)); err != nil {
			return fmt.Errorf("write the answer of %s as JSON: %w", r.Pattern(), err)
		}
	}
	h := w.Header()
	if o, ok := out.(interface{ ResponseHeader() http.Header }); ok {
		for name, values := range o.ResponseHeader() {
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	if buf.Len() > 0 {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(buf.Len()))
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(buf.Bytes()) // the client may have gone; nobody is left to tell
	return nil
}

func encodeJSON(buf *bytes.Buffer, v any) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// document answers with body.
func (w *response) document(r *http.Request, body Body) error {
	content := body.Reader
	if content == nil {
		content = bytes.NewReader(body.Bytes)
	}
	if c, ok := content.(io.Closer); ok {
		defer c.Close()
	}
	h := w.Header()
	h.Set("Content-Type", body.ContentType)
	if body.CacheControl != "" {
		h.Set("Cache-Control", body.CacheControl)
	}
	if tag := body.ETag; tag != "" {
		if !strings.HasSuffix(tag, `"`) {
			tag = `"` + tag + `"`
		}
		h.Set("ETag", tag)
	}
	if body.Status != 0 && body.Status != http.StatusOK {
		w.WriteHeader(body.Status)
		_, _ = w.Write(body.Bytes) // the client may have gone; nobody is left to tell
		return nil
	}
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// uploadBody returns the request's body: it fails beyond limit with Invalid, and with Unavailable where it breaks off.
func uploadBody(w http.ResponseWriter, r *http.Request, limit int64) (*upload, error) {
	u := &upload{body: r.Body, size: r.ContentLength, limit: limit, ctl: http.NewResponseController(w)}
	if limit > 0 {
		if r.ContentLength > limit {
			return nil, u.tooLarge()
		}
		u.body = http.MaxBytesReader(underneath(w), r.Body, limit)
	}
	return u, nil
}

// upload is the body of an upload as the room reads it.
type upload struct {
	body              io.Reader
	size, read, limit int64
	ctl               *http.ResponseController
}

// uploadSilence is how long the client of an upload may send nothing.
const uploadSilence = time.Minute

func (u *upload) Read(b []byte) (int, error) {
	// A writer without deadlines, as in a test, has no connection that could hang.
	_ = u.ctl.SetReadDeadline(time.Now().Add(uploadSilence))
	n, err := u.body.Read(b)
	u.read += int64(n)
	if err != nil {
		_ = u.ctl.SetReadDeadline(time.Time{}) // net/http goes on reading, to learn when the client leaves
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return n, u.tooLarge()
	}
	return n, fmt.Errorf("the upload broke off after %d bytes (%v): %w", u.read, err, bijou.Unavailable)
}

// drainTime is how long what is left of an upload that failed is read on.
const drainTime = 3 * time.Second

// drain reads what is left, for a while: a client that is still sending when the connection ends does not get to read why it failed.
func (u *upload) drain() {
	_ = u.ctl.SetReadDeadline(time.Now().Add(drainTime)) // as in Read
	_, _ = io.Copy(io.Discard, u.body)                   // what it says cannot matter any more
	_ = u.ctl.SetReadDeadline(time.Time{})
}

func (u *upload) tooLarge() error {
	return fmt.Errorf("the upload is larger than %d bytes: send a smaller file: %w", u.limit, bijou.Invalid)
}

// Size returns the size that the client announced in bytes, -1 where it did not.
func (u *upload) Size() int64 { return u.size }

// SizeOf returns the size in bytes of what an Upload's function reads from, or -1 where the client did not tell it.
func SizeOf(r io.Reader) int64 {
	if s, ok := r.(interface{ Size() int64 }); ok {
		return s.Size()
	}
	return -1
}
