// Package rpc makes of one declaration of a remote method its HTTP handler, its client and its entry in the OpenAPI document.
//
// A method is declared once, as a value: Call (JSON in, JSON out), Upload (raw bytes in), Stream (server-sent events out),
// Document (bytes that are not JSON out) or Download (such bytes of any length). Method declares one of a store's contract. Serve joins it to the
// function that does the work, and Do calls that function from another process. A failure keeps its sentence and its kind on the way: what errors.Is
// holds of at the server, it holds of at the client.
//
// Fields of In that are tagged `path:"…"` or `query:"…"` travel in the address, all others in a JSON body. The tags minimum, maximum,
// minLength, maxLength, minItems, maxItems, pattern, enum, format and required are written into the OpenAPI document and enforced.
//
// A method that needs an operator's role and is not read with GET is noted in the audit log, with what is in its address and with the
// fields of its body that are tagged `audit:"true"`.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"bijou"
	"bijou/kit/watch"
)

// Headers that roles exchange. The gateway removes them from what comes from outside.
const (
	CallerHeader    = "Bijou-Caller"        // JSON of bijou.Caller
	TimeoutHeader   = "Bijou-Timeout-Ms"    // how long the client waits for the answer, in milliseconds
	RequestIDHeader = watch.RequestIDHeader // names the request in logs and answers
)

// DefaultTimeout is how long a Call may take where it does not say.
const DefaultTimeout = 10 * time.Second

// MaxBody bounds a JSON body, in bytes, where its method does not say.
const MaxBody = 1 << 20

// Permission says who may call a method.
type Permission int

// Who may call a method.
const (
	Anyone        Permission = iota // guests too
	Member                          // who has signed in
	Viewer                          // who runs the service, in any role: reads what viewers of films do not see
	Operator                        // who has the role operator: titles, appliances, grants
	Administrator                   // who has the role administrator: users, tokens, keys, settings
	Internal                        // other roles of the cluster only; the gateway does not offer it
)

// role returns the role that the permission asks for, or the empty role where it asks for none.
func (p Permission) role() bijou.OperatorRole {
	switch p {
	case Viewer:
		return bijou.RoleViewer
	case Operator:
		return bijou.RoleOperator
	case Administrator:
		return bijou.RoleAdministrator
	}
	return ""
}

// Call declares a remote method: In becomes Out.
type Call[In, Out any] struct {
	Verb    string // GET, POST, …
	Path    string // such as /api/v1/titles/{id}/plays, as net/http's ServeMux has it
	Name    string // of the operation in the OpenAPI document; empty means one made of verb and path, such as postTitlePlays
	Summary string // a few words for the OpenAPI document
	Needs   Permission
	Status  int // of success; 0 means 200, or 204 where Out is struct{}. An answer with 204 has no body.
	// Timeout bounds the call on both sides, tries included; 0 means DefaultTimeout.
	Timeout time.Duration
	// Idempotent says that the call may be made twice, so that the client tries again on Unavailable. GET, HEAD, PUT and DELETE are anyway.
	Idempotent bool
	// MaxBody bounds the JSON body, in bytes; 0 means the constant MaxBody.
	MaxBody int64
	// Beacon accepts a JSON body that is announced as text/plain, as navigator.sendBeacon does (Beacon, W3C, section 4.2).
	Beacon bool
	// Refused is told of each request that is refused before the function is asked, because its address or body cannot be read; nil: nobody is told.
	Refused func(error)
}

// Serve joins the declaration to the function that does the work.
func (c Call[In, Out]) Serve(f func(context.Context, In) (Out, error)) Route {
	r := Route{
		verb: c.Verb, path: c.Path, name: c.Name, summary: c.Summary, needs: c.Needs, kind: callRoute, fill: newEmptier(reflect.TypeFor[Out]()),
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), status: c.status(), timeout: c.timeout(), beacon: c.Beacon, maxBody: c.MaxBody,
	}
	return r.with(func(p *plan, w *response, req *http.Request) error {
		var in In
		if err := p.decode(w, req, reflect.ValueOf(&in).Elem()); err != nil {
			if c.Refused != nil {
				c.Refused(err)
			}
			return err
		}
		out, err := act(w, req, in, func() (Out, error) { return f(req.Context(), in) })
		if err != nil {
			return err
		}
		return w.json(r, out)
	})
}

// Do calls the method at the other end.
func (c Call[In, Out]) Do(ctx context.Context, cl *Client, in In) (Out, error) {
	var out Out
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	err := cl.retry(ctx, c.Idempotent || idempotent(c.Verb), func(ctx context.Context) error {
		req, err := cl.request(ctx, c.Verb, c.Path, reflect.ValueOf(in))
		if err != nil {
			return err
		}
		return cl.json(req, &out)
	})
	return out, err
}

func (c Call[In, Out]) status() int { return successStatus[Out](c.Status) }

func (c Call[In, Out]) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return DefaultTimeout
}

func successStatus[Out any](declared int) int {
	switch {
	case declared != 0:
		return declared
	case reflect.TypeFor[Out]() == reflect.TypeFor[struct{}]():
		return http.StatusNoContent
	}
	return http.StatusOK
}

func idempotent(verb string) bool {
	switch verb {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Upload declares a remote method whose request body is raw bytes; all of In travels in the address. It has no timeout of its own.
type Upload[In, Out any] struct {
	Verb, Path, Name, Summary string // as in Call
	Needs                     Permission
	Status                    int   // as in Call
	MaxBytes                  int64 // refuse more than this; 0 means no bound
}

// Serve joins the declaration to the function that does the work. SizeOf tells the size of its reader, where the client told.
// The reader fails with Invalid beyond MaxBytes and with Unavailable where the client went away.
func (c Upload[In, Out]) Serve(f func(context.Context, In, io.Reader) (Out, error)) Route {
	r := Route{
		verb: c.Verb, path: c.Path, name: c.Name, summary: c.Summary, needs: c.Needs, kind: uploadRoute, fill: newEmptier(reflect.TypeFor[Out]()),
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), status: successStatus[Out](c.Status),
	}
	return r.with(func(p *plan, w *response, req *http.Request) error {
		var in In
		if err := p.decodeAddress(req, reflect.ValueOf(&in).Elem()); err != nil {
			return err
		}
		body, err := uploadBody(w, req, c.MaxBytes)
		if err != nil {
			return err
		}
		out, err := act(w, req, in, func() (Out, error) { return f(req.Context(), in, body) })
		if err != nil {
			body.drain()
			return err
		}
		return w.json(r, out)
	})
}

// Do calls the method at the other end with all that body holds. It is tried once. An error of body itself is passed on.
func (c Upload[In, Out]) Do(ctx context.Context, cl *Client, in In, body io.Reader) (Out, error) {
	var out Out
	source := &source{Reader: body}
	req, err := cl.uploadRequest(ctx, c.Verb, c.Path, reflect.ValueOf(in), source)
	if err != nil {
		return out, err
	}
	err = cl.json(req, &out)
	if own := source.failure(); own != nil && errors.Is(err, bijou.Unavailable) {
		return out, fmt.Errorf("read what is to be sent: %w", own)
	}
	return out, err
}

// Stream declares a remote method that answers with events, one after another, until it ends or the client goes (server-sent events,
// HTML standard section 9.2). It has no timeout of its own. Each event is the JSON of an Event; an event named "end" says that all
// have been sent, and an event named "error", with a Problem, that there will be no more.
type Stream[In, Event any] struct {
	Verb, Path, Name, Summary string // as in Call
	Needs                     Permission
}

// Serve joins the declaration to the function that does the work: it calls send for each event, from one goroutine at a time, and returns at the end.
func (c Stream[In, Event]) Serve(f func(ctx context.Context, in In, send func(Event) error) error) Route {
	r := Route{
		verb: c.Verb, path: c.Path, name: c.Name, summary: c.Summary, needs: c.Needs, kind: streamRoute, fill: newEmptier(reflect.TypeFor[Event]()),
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Event](), status: http.StatusOK,
	}
	return r.with(func(p *plan, w *response, req *http.Request) error {
		var in In
		if err := p.decode(w, req, reflect.ValueOf(&in).Elem()); err != nil {
			return err
		}
		_, err := act(w, req, in, func() (struct{}, error) {
			return struct{}{}, w.stream(req, r.fill, func(ctx context.Context, s *eventWriter) error {
				return f(ctx, in, func(e Event) error { return s.send(e) })
			})
		})
		return err
	})
}

// Do calls the method at the other end and hands each event to each, until the stream ends, fails, or each fails.
// A stream that breaks off fails with Unavailable.
func (c Stream[In, Event]) Do(ctx context.Context, cl *Client, in In, each func(Event) error) error {
	req, err := cl.request(ctx, c.Verb, c.Path, reflect.ValueOf(in))
	if err != nil {
		return err
	}
	return cl.events(req, func(data []byte) error {
		var e Event
		if err := unmarshalAnswer(req, data, &e); err != nil {
			return err
		}
		return each(e)
	})
}

// Document declares a remote method that answers with bytes that are not JSON, such as a manifest or a picture.
// HEAD, ranges and If-None-Match are answered where the Body carries an ETag.
type Document[In any] struct {
	Verb, Path, Name, Summary string // as in Call
	Needs                     Permission
	ContentType               string
	Also                      []int // the statuses that a Body may have beside 200
}

// Body is what a Document answers: Reader, which is closed at the end where it is an io.Closer, or else Bytes.
type Body struct {
	Status       int    // 0 means 200; another, which the declaration names in Also, is sent with Bytes as they are
	ContentType  string // empty means the declaration's
	CacheControl string // empty means that nothing is said
	ETag         string // as in RFC 9110 section 8.8.3; quotes are put around it where it has none; empty means none
	Reader       io.ReadSeeker
	Bytes        []byte
}

// Serve joins the declaration to the function that does the work.
func (c Document[In]) Serve(f func(context.Context, In) (Body, error)) Route {
	r := Route{
		verb: c.Verb, path: c.Path, name: c.Name, summary: c.Summary, needs: c.Needs, kind: documentRoute, contentType: c.ContentType, also: c.Also,
		in: reflect.TypeFor[In](), status: http.StatusOK,
	}
	return r.with(func(p *plan, w *response, req *http.Request) error {
		var in In
		if err := p.decode(w, req, reflect.ValueOf(&in).Elem()); err != nil {
			return err
		}
		body, err := act(w, req, in, func() (Body, error) { return f(req.Context(), in) })
		if err != nil {
			return err
		}
		if body.ContentType == "" {
			body.ContentType = c.ContentType
		}
		return w.document(req, body)
	})
}

// Do calls the method at the other end and returns all of the document, in Bytes.
func (c Document[In]) Do(ctx context.Context, cl *Client, in In) (Body, error) {
	var body Body
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	err := cl.retry(ctx, idempotent(c.Verb), func(ctx context.Context) error {
		req, err := cl.request(ctx, c.Verb, c.Path, reflect.ValueOf(in))
		if err != nil {
			return err
		}
		body, err = cl.document(req)
		return err
	})
	return body, err
}
