package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/guard"
	"bijou/kit/watch"
)

const (
	// tries is how often a call that may be repeated is made in all.
	tries = 2
	// maxAnswer bounds a JSON answer or a document, in bytes.
	maxAnswer = 64 << 20
	// maxUnasked bounds the body of an upload that is sent without asking first whether it is welcome, in bytes: that asking takes a round trip.
	maxUnasked = 1 << 20
	// maxProblem bounds what is read of an answer that tells of a failure, in bytes.
	maxProblem = 64 << 10
)

// Client reaches the methods of another process.
type Client struct {
	base    string
	token   string
	http    *http.Client
	trusted bool
	plans   sync.Map // of *plan by planKey: made on the first call
}

type planKey struct {
	in         reflect.Type
	verb, path string
}

// Option changes a Client.
type Option func(*Client)

// WithToken sends the member's or an operator's token with each request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithHTTP makes the client use h.
func WithHTTP(h *http.Client) Option { return func(c *Client) { c.http = h } }

// Trusted sends the context's caller with each request: for calls between roles, which believe each other.
func Trusted() Option { return func(c *Client) { c.trusted = true } }

// NewClient returns a client of the methods at base, such as http://127.0.0.1:8080.
func NewClient(base string, opts ...Option) *Client {
	c := &Client{base: strings.TrimRight(base, "/")}
	for _, o := range opts {
		o(c)
	}
	if c.http == nil {
		c.http = &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxIdleConnsPerHost: 32,
				IdleConnTimeout:     60 * time.Second,
				TLSHandshakeTimeout: 5 * time.Second,
				// How long an upload waits to hear that it is welcome before it sends its body all the same.
				ExpectContinueTimeout: 5 * time.Second,
				ForceAttemptHTTP2:     true,
			},
			// A method's answer is never somewhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return c
}

// Close ends the connections that are kept for later calls. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// retry makes a call, and makes it again on Unavailable where that does no harm.
func (c *Client) retry(ctx context.Context, repeatable bool, f func(context.Context) error) error {
	p := guard.Policy{Tries: 1}
	if repeatable {
		p = guard.Policy{Tries: tries, Backoff: 50 * time.Millisecond}
	}
	return guard.Do(ctx, p, f)
}

func (c *Client) plan(verb, path string, in reflect.Type) (*plan, error) {
	key := planKey{in, verb, path}
	if p, ok := c.plans.Load(key); ok {
		return p.(*plan), nil
	}
	p, err := newPlan(verb, path, in)
	if err != nil {
		return nil, fmt.Errorf("%s %s is declared wrongly: %w", verb, path, err)
	}
	c.plans.Store(key, p)
	return p, nil
}

// request returns the request for in, with its JSON body where it has one.
func (c *Client) request(ctx context.Context, verb, path string, in reflect.Value) (*http.Request, error) {
	p, err := c.plan(verb, path, in.Type())
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if len(p.body) > 0 {
		raw, err := p.encodeBody(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := c.newRequest(ctx, p, in, body)
	if err == nil && body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// uploadRequest returns the request for in with body as it is.
func (c *Client) uploadRequest(ctx context.Context, verb, path string, in reflect.Value, body *source) (*http.Request, error) {
	p, err := c.plan(verb, path, in.Type())
	if err != nil {
		return nil, err
	}
	req, err := c.newRequest(ctx, p, in, io.NopCloser(body)) // whoever opened the body closes it
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	n := remaining(body.Reader)
	if n < 0 || n > maxUnasked {
		req.Header.Set("Expect", "100-continue") // a refusal comes before the body is sent
	}
	if n > 0 {
		req.ContentLength = n
	} else if n == 0 {
		req.Body = http.NoBody
	} else {
		req.ContentLength = -1
	}
	return req, nil
}

// source is the body of an upload. It remembers how reading it failed, since the transport tells that as if the far side had.
type source struct {
	io.Reader
	mu  sync.Mutex // the transport reads in a goroutine of its own
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = err
	}
	return n, err
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// remaining returns how many bytes are left to read of body, or -1 where it does not tell.
func remaining(body io.Reader) int64 {
	switch b := body.(type) {
	case interface{ Len() int }: // bytes.Reader, bytes.Buffer, strings.Reader
		return int64(b.Len())
	case io.Seeker:
		at, err := b.Seek(0, io.SeekCurrent)
		if err != nil {
			return -1
		}
		end, err := b.Seek(0, io.SeekEnd)
		if err != nil {
			return -1
		}
		if _, err := b.Seek(at, io.SeekStart); err != nil || end < at {
			return -1
		}
		return end - at
	}
	return -1
}

func (c *Client) newRequest(ctx context.Context, p *plan, in reflect.Value, body io.Reader) (*http.Request, error) {
	address, err := p.url(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, p.verb, c.base+address, body)
	if err != nil {
		return nil, fmt.Errorf("%s%s is no address (%v): %w", c.base, address, err, bijou.Invalid)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if id := watch.RequestIDOf(ctx); id != "" {
		req.Header.Set(RequestIDHeader, id)
	}
	if c.trusted {
		caller, err := json.Marshal(bijou.CallerOf(ctx))
		if err != nil {
			return nil, err
		}
		req.Header.Set(CallerHeader, string(caller))
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := max(1, time.Until(deadline).Milliseconds())
		req.Header.Set(TimeoutHeader, strconv.FormatInt(left, 10))
	}
	return req, nil
}

// url returns the path and the query for in.
func (p *plan) url(in reflect.Value) (string, error) {
	query := url.Values{}
	path := strings.TrimSuffix(p.path, "{$}")
	for _, a := range p.address {
		field := in.FieldByIndex(a.index)
		text := formatScalar(field)
		if a.query {
			if a.required || !field.IsZero() {
				query.Set(a.name, text)
			}
			continue
		}
		part, err := a.escape(text)
		if err != nil {
			return "", err
		}
		old := "{" + a.name + "}"
		if a.rest {
			old = "{" + a.name + "...}"
		}
		path = strings.Replace(path, old, part, 1)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path, nil
}

// escape makes a path segment of text, or several where the wildcard takes slashes. A segment that another address would come of is refused.
func (a addressField) escape(text string) (string, error) {
	parts := []string{text}
	if a.rest {
		parts = strings.Split(text, "/")
	}
	for i, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%s is %q: it must be a name: %w", a.name, clip(text, 80), bijou.Invalid)
		}
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/"), nil
}

// encodeBody returns the JSON of the fields of in that travel in the body.
func (p *plan) encodeBody(in reflect.Value) ([]byte, error) {
	raw, err := json.Marshal(p.empty.fill(in.Interface()))
	if err != nil {
		return nil, fmt.Errorf("write the input of %s %s as JSON: %w", p.verb, p.path, err)
	}
	if len(p.address) == 0 {
		return raw, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("write the input of %s %s as JSON: %w", p.verb, p.path, err)
	}
	for _, a := range p.address {
		delete(fields, a.member)
	}
	return json.Marshal(fields)
}

// send makes the request and returns its answer, or the failure that it tells of.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(req, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil, c.unreached(req, err)
	}
	var p Problem
	if json.Unmarshal(raw, &p) != nil || !strings.HasPrefix(p.Type, problemPrefix) {
		return nil, c.stranger(resp)
	}
	return nil, p.remote()
}

// unreached says that no answer came. Where the caller's own context ended, errors.Is holds of its error too.
func (c *Client) unreached(req *http.Request, err error) error {
	switch ctxErr := req.Context().Err(); {
	case errors.Is(ctxErr, context.Canceled):
		return fmt.Errorf("%s: %w", name(req), ctxErr)
	case ctxErr != nil || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer %s in time (%w): %w", c.base, name(req), context.DeadlineExceeded, bijou.Unavailable)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // without the address, which may hold a grant
	}
	return fmt.Errorf("no answer from %s (%w): %w", c.base, err, bijou.Unavailable)
}

// name names the request in a message, without the rights that may stand in its path.
func name(req *http.Request) string { return req.Method + " " + watch.PublicPath(req.URL.Path) }

// stranger says that what answered is no part of the service, such as a proxy on the way.
func (c *Client) stranger(resp *http.Response) error {
	kind := bijou.Unavailable
	if resp.StatusCode < 500 {
		kind = bijou.Unsupported
	}
	return fmt.Errorf("%s answered %s and no reason: check that a Bijou service of this version is there: %w", c.base, resp.Status, kind)
}

// json makes the request and reads the JSON answer into out, which stays as it is where there is none.
func (c *Client) json(req *http.Request, out any) error {
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	raw, err := c.readAll(req, resp)
	if err != nil {
		return err
	}
	return unmarshalAnswer(req, raw, out)
}

func (c *Client) readAll(req *http.Request, resp *http.Response) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreached(req, err)
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("%s answered more than %d bytes: %w", name(req), maxAnswer, bijou.Exhausted)
	}
	return raw, nil
}

// unmarshalAnswer ignores fields it does not know: the other process may be newer.
func unmarshalAnswer(req *http.Request, raw []byte, out any) error {
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s answered what is no %T (%v): %w", name(req), out, err, bijou.Unsupported)
	}
	return nil
}

// document makes the request and returns the bytes that answer it.
func (c *Client) document(req *http.Request) (Body, error) {
	resp, err := c.send(req)
	if err != nil {
		return Body{}, err
	}
	defer resp.Body.Close()
	raw, err := c.readAll(req, resp)
	if err != nil {
		return Body{}, err
	}
	h := resp.Header
	return Body{ContentType: h.Get("Content-Type"), CacheControl: h.Get("Cache-Control"), ETag: h.Get("ETag"), Bytes: raw}, nil
}

// errStreamEnd ends the reading of a stream that is complete.
var errStreamEnd = errors.New("end of stream")

// events makes the request and hands the data of each event to each.
func (c *Client) events(req *http.Request, each func(data []byte) error) error {
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var ours error // what each or the far side said, as opposed to a broken connection
	err = readEvents(resp.Body, func(name string, data []byte) error {
		switch name {
		case "end":
			return errStreamEnd
		case "error":
			var p Problem
			if ours = unmarshalAnswer(req, data, &p); ours == nil {
				ours = p.remote()
			}
		case "":
			ours = each(data)
		}
		return ours
	})
	switch {
	case ours != nil:
		return ours
	case err == errStreamEnd:
		return nil
	}
	return c.unreached(req, err)
}
