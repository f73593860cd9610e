package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests' own room: a shelf of books, with one method of each form.
type (
	Book struct {
		ID      string    `json:"id"`
		Name    string    `json:"name" doc:"As printed on the cover."`
		Pages   int       `json:"pages"`
		Tags    []string  `json:"tags"`
		Added   time.Time `json:"added,omitzero"`
		Chapter *Chapter  `json:"chapter,omitempty" doc:"The first one."`
	}
	Chapter struct {
		Name string    `json:"name"`
		Next []Chapter `json:"next"`
	}
	OneBook struct {
		ID string `path:"id" doc:"Which book."`
	}
	BookQuery struct {
		Shelf string `path:"shelf"`
		Limit int    `query:"limit" minimum:"1" maximum:"50" doc:"At most this many; 10 where absent."`
		Lent  bool   `query:"lent"`
		After string `query:"after" maxLength:"10"`
	}
	NewBook struct {
		Name  string   `json:"name" minLength:"1" maxLength:"40"`
		Pages int      `json:"pages,omitempty" minimum:"0" maximum:"9999"`
		Tags  []string `json:"tags,omitempty" maxItems:"3"`
		Kind  string   `json:"kind,omitempty" enum:"novel,atlas"`
		First *Chapter `json:"first,omitempty"`
	}
	Edit struct {
		ID   string `path:"id"`
		Name string `json:"name"`
	}
	Received struct {
		Bytes     int64 `json:"bytes"`
		Announced int64 `json:"announced"`
	}
	Page struct {
		Number int    `json:"number"`
		Text   string `json:"text"`
	}
)

const maxText = 1000

var (
	getBook = rpc.Call[OneBook, Book]{Verb: "GET", Path: "/api/v1/books/{id}", Summary: "One book"}
	list    = rpc.Call[BookQuery, []Book]{Verb: "GET", Path: "/api/v1/shelves/{shelf}/books", Summary: "The books of a shelf"}
	addBook = rpc.Call[NewBook, Book]{Verb: "POST", Path: "/api/v1/books", Name: "addBook", Summary: "Add a book", Needs: rpc.Member, Status: http.StatusCreated}
	edit    = rpc.Call[Edit, Book]{Verb: "PATCH", Path: "/api/v1/books/{id}", Summary: "Change a book", Needs: rpc.Operator}
	remove  = rpc.Call[OneBook, struct{}]{Verb: "DELETE", Path: "/api/v1/books/{id}", Summary: "Remove a book", Needs: rpc.Operator}
	report  = rpc.Call[NewBook, struct{}]{Verb: "POST", Path: "/api/v1/reports", Summary: "Report a book", Beacon: true}
	setText = rpc.Upload[OneBook, Received]{Verb: "PUT", Path: "/api/v1/books/{id}/text", Summary: "Hand in the text", Needs: rpc.Operator, MaxBytes: maxText}
	pages   = rpc.Stream[OneBook, Page]{Verb: "GET", Path: "/api/v1/books/{id}/pages", Summary: "Page after page"}
	cover   = rpc.Document[OneBook]{Verb: "GET", Path: "/api/v1/books/{id}/cover", Summary: "The cover", ContentType: "image/png"}
	index   = rpc.Document[struct{}]{Verb: "GET", Path: "/api/v1/index.txt", Summary: "All words", ContentType: "text/plain"}
	file    = rpc.Document[OneBook]{Verb: "GET", Path: "/api/v1/files/{id...}", Summary: "A file", ContentType: "application/dash+xml"}
	whose   = rpc.Call[OneBook, bijou.Caller]{Verb: "GET", Path: "/role/shelf/whose/{id}", Summary: "Who asks", Needs: rpc.Internal}
)

// shelf is what the room offers, here and there.
type shelf interface {
	Book(ctx context.Context, id string) (Book, error)
	Add(ctx context.Context, b NewBook) (Book, error)
	Remove(ctx context.Context, id string) error
	Text(ctx context.Context, id string, r io.Reader) (Received, error)
	Pages(ctx context.Context, id string, each func(Page) error) error
	Cover(ctx context.Context, id string) (rpc.Body, error)
}

// here is the shelf in this process. Books whose identifier begins with "fail-" fail with the kind that follows.
type here struct{}

func fail(id string) error {
	for _, k := range []bijou.Kind{bijou.NotFound, bijou.Conflict, bijou.Invalid, bijou.Denied, bijou.Exhausted, bijou.Unavailable, bijou.Unsupported, bijou.Corrupt} {
		if id == "fail-"+string(k) {
			return fmt.Errorf("book %q: this „book“ <fails>: for a test: %w", id, k)
		}
	}
	return nil
}

func (here) Book(_ context.Context, id string) (Book, error) {
	return Book{ID: id, Name: "Emma & Söhne", Pages: 474, Tags: []string{"old"}, Added: time.Date(1815, 12, 23, 1, 2, 3, 4, time.UTC)}, fail(id)
}

func (here) Add(_ context.Context, b NewBook) (Book, error) {
	return Book{ID: "new", Name: b.Name, Pages: b.Pages, Tags: append([]string{}, b.Tags...), Chapter: b.First}, nil
}

func (here) Remove(_ context.Context, id string) error { return fail(id) }

func (here) Text(_ context.Context, id string, r io.Reader) (Received, error) {
	size := rpc.SizeOf(r)
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return Received{}, fmt.Errorf("text of %s: %w", id, err)
	}
	return Received{Bytes: n, Announced: size}, fail(id)
}

func (here) Pages(_ context.Context, id string, each func(Page) error) error {
	for n := range 3 {
		if err := each(Page{n + 1, "line\nline"}); err != nil {
			return err
		}
	}
	return fail(id)
}

func (here) Cover(_ context.Context, id string) (rpc.Body, error) {
	return rpc.Body{ContentType: "image/png", CacheControl: "public, max-age=60", ETag: `"v1"`, Bytes: []byte("\x89PNG picture")}, fail(id)
}

// routes serves any shelf: the one here, or a client of one elsewhere.
func routes(s shelf) []rpc.Route {
	return []rpc.Route{
		getBook.Serve(func(ctx context.Context, in OneBook) (Book, error) { return s.Book(ctx, in.ID) }),
		list.Serve(func(ctx context.Context, in BookQuery) ([]Book, error) { return nil, nil }),
		addBook.Serve(s.Add),
		edit.Serve(func(ctx context.Context, in Edit) (Book, error) { return Book{ID: in.ID, Name: in.Name}, nil }),
		remove.Serve(func(ctx context.Context, in OneBook) (struct{}, error) { return struct{}{}, s.Remove(ctx, in.ID) }),
		report.Serve(func(context.Context, NewBook) (struct{}, error) { return struct{}{}, nil }),
		setText.Serve(func(ctx context.Context, in OneBook, r io.Reader) (Received, error) { return s.Text(ctx, in.ID, r) }),
		pages.Serve(func(ctx context.Context, in OneBook, send func(Page) error) error { return s.Pages(ctx, in.ID, send) }),
		cover.Serve(func(ctx context.Context, in OneBook) (rpc.Body, error) { return s.Cover(ctx, in.ID) }),
		index.Serve(func(context.Context, struct{}) (rpc.Body, error) { return rpc.Body{Bytes: []byte("a b c")}, nil }),
		file.Serve(func(ctx context.Context, in OneBook) (rpc.Body, error) { return rpc.Body{Bytes: []byte(in.ID)}, nil }),
		whose.Serve(func(ctx context.Context, in OneBook) (bijou.Caller, error) { return bijou.CallerOf(ctx), nil }),
	}
}

// there is a shelf in another process.
type there struct{ c *rpc.Client }

func (t there) Book(ctx context.Context, id string) (Book, error) {
	return getBook.Do(ctx, t.c, OneBook{id})
}

func (t there) Add(ctx context.Context, b NewBook) (Book, error) { return addBook.Do(ctx, t.c, b) }

func (t there) Remove(ctx context.Context, id string) error {
	_, err := remove.Do(ctx, t.c, OneBook{id})
	return err
}

func (t there) Text(ctx context.Context, id string, r io.Reader) (Received, error) {
	return setText.Do(ctx, t.c, OneBook{id}, r)
}

func (t there) Pages(ctx context.Context, id string, each func(Page) error) error {
	return pages.Do(ctx, t.c, OneBook{id}, each)
}

func (t there) Cover(ctx context.Context, id string) (rpc.Body, error) {
	return cover.Do(ctx, t.c, OneBook{id})
}

// client returns a client of a process that answers with h.
func client(t *testing.T, h http.Handler, opts ...rpc.Option) *rpc.Client {
	t.Helper()
	address := base(t, h)
	c := rpc.NewClient(address, append([]rpc.Option{rpc.Trusted()}, opts...)...)
	t.Cleanup(c.Close) // before the server, which waits for its connections
	return c
}

// base returns the address of a process that answers with h.
func base(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// operator is a member who runs the service too, so that no method refuses it.
var operator = bijou.Caller{Account: "acc_1", Profile: "prf_1", Operator: "opr_1", OperatorName: "ada", Role: bijou.RoleAdministrator, Address: "127.0.0.1", Client: "192.0.2.7"}

func asOperator() context.Context { return bijou.WithCaller(context.Background(), operator) }

// everywhere runs the test on the shelf here, in another process, and behind two processes.
func everywhere(t *testing.T, test func(t *testing.T, s shelf)) {
	t.Run("here", func(t *testing.T) { test(t, here{}) })
	t.Run("there", func(t *testing.T) {
		test(t, there{client(t, rpc.Handler(rpc.Deps{}, routes(here{})...))})
	})
	t.Run("two hops away", func(t *testing.T) {
		last := there{client(t, rpc.Handler(rpc.Deps{}, routes(here{})...))}
		test(t, there{client(t, rpc.Handler(rpc.Deps{}, routes(last)...))})
	})
}

// ask sends a request to the handler and returns its answer.
func ask(h http.Handler, verb, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(verb, target, bytes.NewBufferString(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
