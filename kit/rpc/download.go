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
)

// Download declares a remote method that answers with bytes of any length, which are sent as they come about; all of In travels in the address.
// It has no timeout of its own. Where it fails before the first byte the answer is the failure; after that the answer breaks off.
type Download[In any] struct {
	Verb, Path, Name, Summary string // as in Call
	Needs                     Permission
	ContentType               string
}

// Serve joins the declaration to the function that does the work: what it writes is sent. A HEAD request does not call it.
func (c Download[In]) Serve(f func(context.Context, In, io.Writer) error) Route {
	r := Route{
		verb: c.Verb, path: c.Path, name: c.Name, summary: c.Summary, needs: c.Needs, kind: downloadRoute, contentType: c.ContentType,
		in: reflect.TypeFor[In](), status: http.StatusOK,
	}
	return r.with(func(p *plan, w *response, req *http.Request) error {
		var in In
		if err := p.decodeAddress(req, reflect.ValueOf(&in).Elem()); err != nil {
			return err
		}
		d := &download{w: w, ctl: http.NewResponseController(w), contentType: c.ContentType}
		if req.Method != http.MethodHead {
			if _, err := act(w, req, in, func() (struct{}, error) { return struct{}{}, f(req.Context(), in, d) }); err != nil {
				return err
			}
		}
		d.begin()
		_ = d.ctl.SetWriteDeadline(time.Time{}) // for the connection's next answer
		return nil
	})
}

// downloadSilence is how long the client of a download may take nothing.
const downloadSilence = time.Minute

// download sends what is written to it.
type download struct {
	w           *response
	ctl         *http.ResponseController
	contentType string
}

// Write implements io.Writer. It fails with context.Canceled where the client takes no more.
func (d *download) Write(b []byte) (int, error) {
	d.begin()
	// A writer without deadlines, as in a test, has no connection that could hang.
	_ = d.ctl.SetWriteDeadline(time.Now().Add(downloadSilence))
	n, err := d.w.Write(b)
	if err != nil {
		err = fmt.Errorf("the client takes no more (%v): %w", err, context.Canceled)
	}
	return n, err
}

func (d *download) begin() {
	if !d.w.Begun() {
		h := d.w.Header()
		h.Set("Content-Type", d.contentType)
		h.Set("Cache-Control", "no-store")
		d.w.WriteHeader(http.StatusOK)
	}
}

// Do calls the method at the other end. What it answers is read from what is returned, which has to be closed; reading fails with Unavailable
// where the answer breaks off.
func (c Download[In]) Do(ctx context.Context, cl *Client, in In) (io.ReadCloser, error) {
	req, err := cl.request(ctx, c.Verb, c.Path, reflect.ValueOf(in))
	if err != nil {
		return nil, err
	}
	resp, err := cl.send(req)
	if err != nil {
		return nil, err
	}
	return &downloaded{resp.Body, req}, nil
}

// downloaded is the answer's bytes.
type downloaded struct {
	io.ReadCloser
	req *http.Request
}

// Read implements io.Reader.
func (d *downloaded) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case errors.Is(d.req.Context().Err(), context.Canceled):
		return n, context.Canceled
	}
	return n, fmt.Errorf("%s broke off (%v): the log of the service says why: %w", name(d.req), err, bijou.Unavailable)
}
