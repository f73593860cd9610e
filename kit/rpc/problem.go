package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bijou"
	"bijou/kit/watch"
)

// ProblemType is the media type of a failure's answer (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is how a failure travels (RFC 9457).
type Problem struct {
	Type   string `json:"type" doc:"urn:bijou: and the kind of failure, such as urn:bijou:not-found."`
	Title  string `json:"title" doc:"The kind of failure in words."`
	Status int    `json:"status" doc:"The answer's HTTP status."`
	Detail string `json:"detail" doc:"What went wrong, in a sentence for a person."`
	Wait   int    `json:"retry_after,omitempty" doc:"After how many seconds the same request may succeed, where that is known."`
}

const problemPrefix = "urn:bijou:"

// retryAfter is what a caller who found a bound or an outage is told to wait where the failure does not say, in seconds.
const retryAfter = 1

// clientGone is the status in metrics and logs where nobody waited for the answer. It is never sent.
const clientGone = 499

// problemOf says what the failure looks like from outside. A failure without a kind is a defect of the service: its words stay inside.
func problemOf(err error, caller bijou.Caller, requestID string) Problem {
	kind := bijou.KindOf(err)
	p := Problem{
		Type: problemPrefix + strings.ReplaceAll(string(kind), " ", "-"), Title: string(kind),
		Status: statusOf(err, kind, caller), Detail: bijou.Sentence(err), Wait: int(math.Ceil(bijou.WaitOf(err).Seconds())),
	}
	if _, ok := errors.AsType[*innerError](err); ok && caller.Role == "" {
		p.Detail = "a part of the service that this needs does not answer: try again in a moment"
	}
	if kind == "" {
		p.Type, p.Title, p.Detail = problemPrefix+"internal", "internal error", "internal error, request "+requestID
	}
	return p
}

// innerError is a failure of something that only those who run the service need to know of.
type innerError struct{ error }

// Unwrap returns the failure itself.
func (e *innerError) Unwrap() error { return e.error }

// Inner marks a failure as that of something behind the service, such as a database: the log and who runs the service are told what it is and where;
// all others, that something does not answer.
func Inner(err error) error { return &innerError{err} }

func statusOf(err error, kind bijou.Kind, caller bijou.Caller) int {
	if _, ok := errors.AsType[*unsupportedMedia](err); ok {
		return http.StatusUnsupportedMediaType
	}
	if _, ok := errors.AsType[*wrongVerb](err); ok {
		return http.StatusMethodNotAllowed
	}
	switch kind {
	case bijou.NotFound:
		return http.StatusNotFound
	case bijou.Conflict:
		return http.StatusConflict
	case bijou.Invalid:
		return http.StatusBadRequest
	case bijou.Denied:
		if caller.Guest() {
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	case bijou.Exhausted:
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return http.StatusInsufficientStorage
		}
		return http.StatusTooManyRequests
	case bijou.Unavailable:
		return http.StatusServiceUnavailable
	case bijou.Unsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// settle gives a kind to what the request's own context caused: its deadline is Unavailable, and who cancels it with a cause that ends in a
// kind has said why.
func settle(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && bijou.KindOf(cause) != "" {
		return cause
	}
	if bijou.KindOf(err) == "" && errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the answer took longer than the time given for it: %w", bijou.Unavailable)
	}
	return err
}

// gone tells whether err is nothing but the request's own end: its client left, or the service stopped without a cause to tell.
func gone(r *http.Request, err error) bool {
	return bijou.KindOf(err) == "" && errors.Is(err, context.Canceled) && errors.Is(r.Context().Err(), context.Canceled)
}

// graveStatus tells whether an operator must hear of the failure: the service is at fault, and not what was asked of it.
func graveStatus(status int) bool { return status >= 500 && status != http.StatusNotImplemented }

// WriteProblem answers the request with the failure. What is the service's own fault is left for the request's line in the log
// (watch.Requests); the words of a failure without a kind are not sent.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	id := watch.RequestID(w, r)
	p := problemOf(err, bijou.CallerOf(r.Context()), id)
	if graveStatus(p.Status) {
		watch.Note(r.Context(), err)
	}
	writeProblem(w, p)
}

func writeProblem(w http.ResponseWriter, p Problem) {
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
		h.Del(name) // whatever was said of the answer that failed
	}
	h.Set("Content-Type", ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(cmp.Or(p.Wait, retryAfter)))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="bijou"`)
	}
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p) // the client may have gone; nobody is left to tell
}

// remote returns the failure that the problem tells of.
func (p Problem) remote() error {
	kind := bijou.ParseKind(strings.ReplaceAll(strings.TrimPrefix(p.Type, problemPrefix), "-", " "))
	err := bijou.Remote(p.Detail, kind)
	if p.Wait > 0 {
		return bijou.After(err, time.Duration(p.Wait)*time.Second)
	}
	return err
}
