package watch

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// RequestIDHeader carries a request's identifier, on the request between roles and on every answer.
const RequestIDHeader = "Bijou-Request-Id"

// maxRequestID bounds an identifier that comes from outside, in bytes.
const maxRequestID = 64

type requestIDKey struct{}

type noteKey struct{}

// note is where the rest of the process leaves what the request's line shall say.
type note struct {
	mu  sync.Mutex
	err error
}

// RequestID returns the request's identifier and sees that the answer carries it: the one that is set on the answer already,
// else the one that came with the request, else a new one of 26 letters and digits.
func RequestID(w http.ResponseWriter, r *http.Request) string {
	id := w.Header().Get(RequestIDHeader)
	if id == "" {
		id = r.Header.Get(RequestIDHeader)
	}
	if !plainID(id) {
		id = strings.ToLower(rand.Text())
	}
	w.Header().Set(RequestIDHeader, id)
	return id
}

// plainID tells whether an identifier can go into a log line as it is.
func plainID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// WithRequestID returns a context that knows the request it works for, so that calls made on its behalf carry the same identifier.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestIDOf returns the identifier of the request that ctx works for, or the empty string.
func RequestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Noting returns a context in which Note leaves its error, and what returns that.
func Noting(ctx context.Context) (context.Context, func() error) {
	n := &note{}
	return context.WithValue(ctx, noteKey{}, n), n.error
}

// Note leaves err for the one line that Requests writes about the request. It tells whether somebody will write that line;
// where not, the caller has to log err itself.
func Note(ctx context.Context, err error) bool {
	n, ok := ctx.Value(noteKey{}).(*note)
	if !ok {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.err = err
	}
	return true
}

func (n *note) error() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Requests writes one line about each request that next answers: at debug level for segments and for what machines ask again and again,
// at info level for all others, and at error level where somebody left an error with Note. Rights that stand in paths are cut short.
func Requests(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		id := RequestID(w, r)
		ctx, left := Noting(WithRequestID(r.Context(), id))
		r = r.WithContext(ctx)
		path := r.URL.Path // handlers such as http.StripPrefix change copies, others might not
		rec := Record(w)
		cut := true // until next returns: a panic ends the answer early
		defer func() {
			level, err := levelOf(path), left()
			attrs := []slog.Attr{
				slog.String("request", id), slog.String("method", clip(r.Method, 20)), slog.String("path", clip(PublicPath(path), 200)),
				slog.Int("status", rec.Status()), slog.Int64("bytes", rec.Bytes()),
				slog.Float64("duration_ms", float64(time.Since(begin).Microseconds())/1000),
			}
			if _, pattern, ok := strings.Cut(r.Pattern, " "); ok {
				attrs = append(attrs, slog.String("pattern", pattern))
			}
			if errors.Is(r.Context().Err(), context.Canceled) {
				attrs = append(attrs, slog.Bool("left", true)) // before it had the whole answer
			}
			if cut {
				attrs = append(attrs, slog.Bool("cut", true))
			}
			if err != nil {
				level = slog.LevelError
				attrs = append(attrs, slog.String("error", err.Error()))
			}
			log.LogAttrs(ctx, level, "request", attrs...)
		}()
		next.ServeHTTP(rec, r)
		cut = false
	})
}

func levelOf(path string) slog.Level {
	switch {
	case strings.HasPrefix(path, "/g/"), strings.HasPrefix(path, "/role/"), path == "/livez", path == "/readyz", path == "/metrics":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// shownGrant is how much of a grant a log shows, in bytes: enough to find a viewing's lines, too little to use.
const shownGrant = 8

// PublicPath returns the path with what follows /g/ and /plays/ cut to 8 characters: a grant stands there, which whoever reads it could use.
func PublicPath(path string) string {
	parts := strings.Split(path, "/")
	for i := 1; i < len(parts); i++ {
		if before := parts[i-1]; (before == "g" || before == "plays") && len(parts[i]) > shownGrant {
			parts[i] = strings.ToValidUTF8(parts[i][:shownGrant], "") + "…"
		}
	}
	return strings.Join(parts, "/")
}

// clip shortens s to about n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
