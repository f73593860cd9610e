package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bijou"
	"bijou/kit/rpc"
)

// Lines asks for so many lines.
type Lines struct {
	ID    string `path:"id"`
	Lines int    `query:"lines" maximum:"100000"`
}

var lines = rpc.Download[Lines]{Verb: "GET", Path: "/api/v1/books/{id}/lines", Summary: "Lines", ContentType: "application/x-lines", Needs: rpc.Operator}

// serveLines writes the lines, and fails after them where the book's name says so.
func serveLines(_ context.Context, in Lines, to io.Writer) error {
	for range in.Lines {
		if _, err := io.WriteString(to, "A line.\n"); err != nil {
			return err
		}
	}
	return fail(in.ID)
}

func TestADownloadBringsAllThatWasWritten(t *testing.T) {
	c := client(t, rpc.Handler(rpc.Deps{}, lines.Serve(serveLines)))
	for _, n := range []int{0, 1, 50_000} {
		r, err := lines.Do(asOperator(), c, Lines{"x", n})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(b) != strings.Repeat("A line.\n", n) {
			t.Errorf("%d lines: got %d bytes (%v)", n, len(b), err)
		}
	}
}

func TestADownloadThatFailsAfterItsFirstByteBreaksOff(t *testing.T) {
	c := client(t, rpc.Handler(rpc.Deps{}, lines.Serve(serveLines)))
	r, err := lines.Do(asOperator(), c, Lines{"fail-exhausted", 50_000})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err = io.Copy(io.Discard, r); bijou.KindOf(err) != bijou.Unavailable || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("got %v, want it broken off, as Unavailable", err)
	}
}

func TestADownloadThatFailsBeforeItsFirstByteIsAnOrdinaryFailure(t *testing.T) {
	c := client(t, rpc.Handler(rpc.Deps{}, lines.Serve(serveLines)))
	for path, want := range map[string]bijou.Kind{"fail-exhausted": bijou.Exhausted, "fail-conflict": bijou.Conflict} {
		if _, err := lines.Do(asOperator(), c, Lines{path, 0}); bijou.KindOf(err) != want {
			t.Errorf("%s: got %v, want kind %q", path, err, want)
		}
	}
	if _, err := lines.Do(asOperator(), c, Lines{"x", 1_000_000}); bijou.KindOf(err) != bijou.Invalid {
		t.Errorf("too many lines: got %v, want Invalid", err)
	}
}

func TestWhoLeavesADownloadEndsIt(t *testing.T) {
	ended := make(chan error, 1)
	c := client(t, rpc.Handler(rpc.Deps{}, lines.Serve(func(_ context.Context, _ Lines, to io.Writer) error {
		for {
			if _, err := io.WriteString(to, "A line.\n"); err != nil {
				ended <- err
				return err
			}
		}
	})))
	ctx, cancel := context.WithCancel(asOperator())
	r, err := lines.Do(ctx, c, Lines{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the writer is told %v, want Canceled", err)
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("the reader is told %v, want Canceled", err)
	}
}

func TestTheHeadOfADownloadIsAnsweredWithoutIt(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, lines.Serve(func(context.Context, Lines, io.Writer) error { return errors.New("it was made") }))
	r := httptest.NewRequest("HEAD", "/api/v1/books/x/lines", nil)
	r.Header.Set(rpc.CallerHeader, `{"operator":"opr_1","role":"operator"}`)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-lines" || w.Body.Len() != 0 {
		t.Errorf("got %d %v and %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}

func TestTheDocumentSaysThatADownloadIsBytes(t *testing.T) {
	b, err := rpc.OpenAPI("x", "1", lines.Serve(serveLines))
	want := `"content":{"application/x-lines":{"schema":{"contentMediaType":"application/octet-stream","format":"binary","type":"string"}}}`
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(b)), ""), want) {
		t.Errorf("the document is (%v)\n%s\nwant in it\n%s", err, b, want)
	}
}
