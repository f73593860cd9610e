package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
)

func TestACallAnswersTheSameHereAndThere(t *testing.T) {
	everywhere(t, func(t *testing.T, s shelf) {
		want, _ := here{}.Book(t.Context(), "a/b c?ä%")
		got, err := s.Book(asOperator(), "a/b c?ä%")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Book: got error %v and a difference (-want +got):\n%s", err, diff)
		}
		in := NewBook{Name: "Ülüs", Pages: 3, Tags: []string{"x", "y"}, Kind: "atlas", First: &Chapter{"one", []Chapter{{"two", []Chapter{}}}}}
		want, _ = here{}.Add(t.Context(), in)
		got, err = s.Add(asOperator(), in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Add: got error %v and a difference (-want +got):\n%s", err, diff)
		}
		if err := s.Remove(asOperator(), "x"); err != nil {
			t.Errorf("Remove: got %v, want no error", err)
		}
	})
}

func TestAFailureKeepsItsSentenceAndItsKindHereAndThere(t *testing.T) {
	everywhere(t, func(t *testing.T, s shelf) {
		for _, k := range []bijou.Kind{bijou.NotFound, bijou.Conflict, bijou.Invalid, bijou.Denied, bijou.Exhausted, bijou.Unavailable, bijou.Unsupported, bijou.Corrupt} {
			id := "fail-" + string(k)
			want := fail(id).Error()
			_, call := s.Book(asOperator(), id)
			_, upload := s.Text(asOperator(), id, strings.NewReader("text"))
			_, document := s.Cover(asOperator(), id)
			stream := s.Pages(asOperator(), id, func(Page) error { return nil })
			for form, err := range map[string]error{"call": call, "upload": upload, "document": document, "stream": stream} {
				if err == nil || err.Error() != want || !errors.Is(err, k) || bijou.KindOf(err) != k {
					t.Errorf("%s of %s: got %v of kind %q, want %s", form, id, err, bijou.KindOf(err), want)
				}
			}
		}
	})
}

func TestADefectSaysNothingOfItselfOutsideTheService(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, getBook.Serve(func(context.Context, OneBook) (Book, error) { return Book{}, errors.New("password is swordfish") }))
	_, err := getBook.Do(t.Context(), client(t, h), OneBook{"x"})
	if err == nil || strings.Contains(err.Error(), "swordfish") || !strings.HasPrefix(err.Error(), "internal error, request ") || bijou.KindOf(err) != "" {
		t.Errorf("got %v, want an internal error that names the request and has no kind", err)
	}
}

func TestAListIsNeverNull(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	for target, want := range map[string]string{
		"/api/v1/shelves/a/books": "[]\n",
		"/api/v1/books/x":         `"tags":["old"]`,
	} {
		if got := text(t, ask(h, "GET", target, "")); !strings.Contains(got, want) {
			t.Errorf("GET %s: got %s, want %s in it", target, got, want)
		}
	}
	kept := Book{Chapter: &Chapter{Next: []Chapter{{}}}}
	call := rpc.Call[struct{}, map[string]Book]{Verb: "GET", Path: "/x"}
	h = rpc.Handler(rpc.Deps{}, call.Serve(func(context.Context, struct{}) (map[string]Book, error) { return map[string]Book{"b": kept}, nil }))
	want := `{"b":{"id":"","name":"","pages":0,"tags":[],"chapter":{"name":"","next":[{"name":"","next":[]}]}}}` + "\n"
	if got := text(t, ask(h, "GET", "/x", "")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if kept.Tags != nil || kept.Chapter.Next[0].Next != nil {
		t.Errorf("got %+v, want what the room returned left as it was", kept)
	}
}

type Cookie struct{}

func (Cookie) ResponseHeader() http.Header { return http.Header{"Set-Cookie": {"a=b", "c=d"}} }

func TestAnAnswerMayBringHeadersOfItsOwn(t *testing.T) {
	call := rpc.Call[struct{}, Cookie]{Verb: "POST", Path: "/x", Status: http.StatusNoContent}
	h := rpc.Handler(rpc.Deps{}, call.Serve(func(context.Context, struct{}) (Cookie, error) { return Cookie{}, nil }))
	r := ask(h, "POST", "/x", "")
	if got := r.Header["Set-Cookie"]; r.StatusCode != 204 || !cmp.Equal(got, []string{"a=b", "c=d"}) || text(t, r) != "" {
		t.Errorf("got %d with cookies %q, want 204 without a body and with cookies a=b and c=d", r.StatusCode, got)
	}
}

func TestWhoMayCallIsChecked(t *testing.T) {
	serve := func(p rpc.Permission) http.Handler {
		call := rpc.Call[struct{}, struct{}]{Verb: "GET", Path: "/x", Needs: p}
		return rpc.Handler(rpc.Deps{}, call.Serve(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }))
	}
	guest, member, both := "", `{"account":"acc_1"}`, `{"account":"acc_1","role":"operator"}`
	viewer, op, admin, odd := `{"role":"viewer"}`, `{"role":"operator"}`, `{"role":"administrator"}`, `{"role":"king"}`
	for _, c := range []struct {
		needs  rpc.Permission
		caller string
		want   int
	}{
		{rpc.Anyone, guest, 204}, {rpc.Anyone, member, 204}, {rpc.Anyone, op, 204},
		{rpc.Member, guest, 401}, {rpc.Member, member, 204}, {rpc.Member, op, 403}, {rpc.Member, both, 204},
		{rpc.Viewer, guest, 401}, {rpc.Viewer, member, 403}, {rpc.Viewer, viewer, 204}, {rpc.Viewer, op, 204}, {rpc.Viewer, admin, 204}, {rpc.Viewer, odd, 403},
		{rpc.Operator, guest, 401}, {rpc.Operator, member, 403}, {rpc.Operator, viewer, 403}, {rpc.Operator, op, 204}, {rpc.Operator, both, 204},
		{rpc.Operator, admin, 204}, {rpc.Operator, odd, 403},
		{rpc.Administrator, guest, 401}, {rpc.Administrator, member, 403}, {rpc.Administrator, viewer, 403}, {rpc.Administrator, op, 403},
		{rpc.Administrator, admin, 204}, {rpc.Administrator, odd, 403},
		{rpc.Internal, guest, 204},
		{rpc.Anyone, "no JSON", 400},
	} {
		var header []string
		if c.caller != "" {
			header = []string{rpc.CallerHeader, c.caller}
		}
		r := ask(serve(c.needs), "GET", "/x", "", header...)
		if r.StatusCode != c.want {
			t.Errorf("needs %v, caller %q: got %d %s, want %d", c.needs, c.caller, r.StatusCode, text(t, r), c.want)
		}
		if (r.StatusCode == 401) != (r.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("needs %v, caller %q: got %d and WWW-Authenticate %q", c.needs, c.caller, r.StatusCode, r.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestAClientTellsWhoAsksOnlyWhereItIsTrusted(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, routes(here{})...)
	got, err := whose.Do(asOperator(), client(t, h), OneBook{"x"})
	if err != nil || got != operator {
		t.Errorf("between roles: got %+v, %v, want %+v", got, err, operator)
	}
	var seen http.Header
	note := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		h.ServeHTTP(w, r)
	})
	stranger := client(t, note)
	c := rpc.NewClient(base(t, note), rpc.WithToken("tok"))
	defer c.Close()
	got, err = whose.Do(asOperator(), c, OneBook{"x"})
	if err != nil || got != (bijou.Caller{}) || seen.Get(rpc.CallerHeader) != "" {
		t.Errorf("from outside: got %+v, %v and header %q, want a guest", got, err, seen.Get(rpc.CallerHeader))
	}
	if seen.Get("Authorization") != "Bearer tok" {
		t.Errorf("got Authorization %q, want Bearer tok", seen.Get("Authorization"))
	}
	if _, err := whose.Do(t.Context(), stranger, OneBook{"x"}); err != nil || seen.Get("Authorization") != "" {
		t.Errorf("got Authorization %q, %v, want none without a token", seen.Get("Authorization"), err)
	}
}

func TestTheClientsDeadlineBoundsTheWorkAtTheServer(t *testing.T) {
	var left time.Duration
	h := rpc.Handler(rpc.Deps{}, getBook.Serve(func(ctx context.Context, _ OneBook) (Book, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return Book{}, nil
	}))
	for header, most := range map[string]time.Duration{
		"3000": 3 * time.Second, "": rpc.DefaultTimeout, "no number": rpc.DefaultTimeout, "-1": rpc.DefaultTimeout, "0": rpc.DefaultTimeout,
		"99999999999999999999": rpc.DefaultTimeout, "2147483647": rpc.DefaultTimeout,
	} {
		ask(h, "GET", "/api/v1/books/x", "", rpc.TimeoutHeader, header)
		if left <= 0 || left > most || most == rpc.DefaultTimeout && left < 4*time.Second {
			t.Errorf("%s: %q: got %s left, want at most %s", rpc.TimeoutHeader, header, left, most)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := getBook.Do(ctx, client(t, h), OneBook{"x"}); err != nil || left <= 0 || left > 2*time.Second {
		t.Errorf("a client that waits 2s: got %s left and %v, want at most 2s", left, err)
	}
}

func TestWorkThatOutlastsItsDeadlineIsUnavailable(t *testing.T) {
	call := rpc.Call[OneBook, Book]{Verb: "GET", Path: "/x/{id}", Timeout: time.Millisecond}
	h := rpc.Handler(rpc.Deps{}, call.Serve(func(ctx context.Context, _ OneBook) (Book, error) {
		<-ctx.Done()
		return Book{}, ctx.Err()
	}))
	r := ask(h, "GET", "/x/1", "")
	if body := text(t, r); r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" || !strings.Contains(body, "took longer") {
		t.Errorf("got %d, Retry-After %q, %s, want 503 that says it took longer than the time given", r.StatusCode, r.Header.Get("Retry-After"), body)
	}
	_, err := call.Do(t.Context(), client(t, h), OneBook{"1"})
	if !errors.Is(err, bijou.Unavailable) {
		t.Errorf("at the client: got %v, want unavailable", err)
	}
}

func TestACallIsRepeatedOnlyWhereThatDoesNoHarm(t *testing.T) {
	for _, c := range []struct {
		verb       string
		idempotent bool
		fail       bijou.Kind
		want       int
	}{
		{"GET", false, bijou.Unavailable, 2}, {"PUT", false, bijou.Unavailable, 2}, {"DELETE", false, bijou.Unavailable, 2},
		{"POST", false, bijou.Unavailable, 1}, {"PATCH", false, bijou.Unavailable, 1}, {"POST", true, bijou.Unavailable, 2},
		{"GET", false, bijou.NotFound, 1}, {"GET", false, bijou.Exhausted, 1},
	} {
		call := rpc.Call[struct{}, struct{}]{Verb: c.verb, Path: "/x", Idempotent: c.idempotent}
		got := 0
		h := rpc.Handler(rpc.Deps{}, call.Serve(func(context.Context, struct{}) (struct{}, error) {
			got++
			return struct{}{}, c.fail
		}))
		_, err := call.Do(t.Context(), client(t, h), struct{}{})
		if got != c.want || !errors.Is(err, c.fail) {
			t.Errorf("%s, idempotent %v, fails with %s: got %d tries and %v, want %d", c.verb, c.idempotent, c.fail, got, err, c.want)
		}
	}
}

func TestASecondTryCanSucceed(t *testing.T) {
	got := 0
	h := rpc.Handler(rpc.Deps{}, getBook.Serve(func(_ context.Context, in OneBook) (Book, error) {
		if got++; got == 1 {
			return Book{}, bijou.Unavailable
		}
		return Book{ID: in.ID}, nil
	}))
	b, err := getBook.Do(t.Context(), client(t, h), OneBook{"x"})
	if err != nil || b.ID != "x" || got != 2 {
		t.Errorf("got %+v, %v after %d tries, want book x after 2", b, err, got)
	}
}

func TestAnUploadArrivesWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, s shelf) {
		for _, size := range []int{0, 1, maxText} {
			got, err := s.Text(asOperator(), "x", bytes.NewReader(make([]byte, size)))
			if err != nil || got.Bytes != int64(size) {
				t.Errorf("%d bytes: got %+v, %v", size, got, err)
			}
		}
	})
	s := there{client(t, rpc.Handler(rpc.Deps{}, routes(here{})...))}
	got, err := s.Text(asOperator(), "x", bytes.NewReader(make([]byte, 700)))
	if want := (Received{700, 700}); err != nil || got != want {
		t.Errorf("a body that tells its size: got %+v, %v, want %+v", got, err, want)
	}
	got, err = s.Text(asOperator(), "x", iotest.OneByteReader(strings.NewReader("seven b")))
	if want := (Received{7, -1}); err != nil || got != want {
		t.Errorf("a body that does not tell its size: got %+v, %v, want %+v", got, err, want)
	}
}

func TestAnUploadThatIsTooLargeIsRefused(t *testing.T) {
	s := there{client(t, rpc.Handler(rpc.Deps{}, routes(here{})...))}
	body := make([]byte, maxText+1)
	for name, r := range map[string]io.Reader{"announced": bytes.NewReader(body), "not announced": iotest.OneByteReader(bytes.NewReader(body))} {
		_, err := s.Text(asOperator(), "x", r)
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), "larger than 1000 bytes") {
			t.Errorf("%s: got %v, want invalid, larger than 1000 bytes", name, err)
		}
	}
}

func TestAnUploadThatAnnouncesTooMuchDoesNotReachTheRoom(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, setText.Serve(func(context.Context, OneBook, io.Reader) (Received, error) {
		t.Error("the room was asked")
		return Received{}, nil
	}))
	_, err := there{client(t, h)}.Text(asOperator(), "x", bytes.NewReader(make([]byte, maxText+1)))
	if !errors.Is(err, bijou.Invalid) {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestAnUploadThatBreaksOffIsTakenForNoWholeOne(t *testing.T) {
	heard := make(chan error, 1)
	h := rpc.Handler(rpc.Deps{}, setText.Serve(func(_ context.Context, _ OneBook, r io.Reader) (Received, error) {
		_, err := io.ReadAll(r)
		heard <- err
		return Received{}, err
	}))
	broken := errors.New("the disk is on fire")
	_, err := there{client(t, h)}.Text(asOperator(), "x", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, bijou.Unavailable) {
		t.Errorf("at the client: got %v, want the reader's own error alone", err)
	}
	if err := <-heard; !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), "broke off after 4 bytes") {
		t.Errorf("at the server: got %v, want unavailable, broke off after 4 bytes", err)
	}
}

func TestAMethodThatNobodyAnswersIsUnavailable(t *testing.T) {
	srv := base(t, http.NotFoundHandler())
	for name, c := range map[string]struct {
		address string
		want    bijou.Kind
	}{
		"no service":         {"http://127.0.0.1:1", bijou.Unavailable},
		"some other service": {srv, bijou.Unsupported},
		"no address":         {"http://a b", bijou.Invalid},
	} {
		cl := rpc.NewClient(c.address)
		_, err := getBook.Do(t.Context(), cl, OneBook{"x"})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		cl.Close()
	}
}

func TestACallerWhoLeavesLearnsNothingButThat(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := rpc.Handler(rpc.Deps{}, getBook.Serve(func(ctx context.Context, _ OneBook) (Book, error) {
		cancel()
		<-ctx.Done()
		return Book{}, ctx.Err()
	}))
	_, err := getBook.Do(ctx, client(t, h), OneBook{"x"})
	if !errors.Is(err, context.Canceled) || bijou.KindOf(err) != "" {
		t.Errorf("got %v, want context canceled and no kind", err)
	}
}

func TestAnAnswerThatIsNoneIsRefused(t *testing.T) {
	for body, want := range map[string]bijou.Kind{"<html>": bijou.Unsupported, `{"pages":"many"}`: bijou.Unsupported, `{"name":"a","later":1}`: ""} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
		_, err := getBook.Do(t.Context(), client(t, h), OneBook{"x"})
		if bijou.KindOf(err) != want || want == "" && err != nil {
			t.Errorf("answer %s: got %v, want kind %q", body, err, want)
		}
	}
}

func TestAClientNeverAsksForAnotherAddressThanItMeans(t *testing.T) {
	c := rpc.NewClient("http://127.0.0.1:1")
	for _, id := range []string{"", ".", ".."} {
		_, err := getBook.Do(t.Context(), c, OneBook{id})
		if !errors.Is(err, bijou.Invalid) {
			t.Errorf("id %q: got %v, want invalid", id, err)
		}
		_, err = file.Do(t.Context(), c, OneBook{"a/" + id + "/b"})
		if !errors.Is(err, bijou.Invalid) {
			t.Errorf("id a/%s/b: got %v, want invalid", id, err)
		}
	}
}

func TestAWildcardMayTakeSlashes(t *testing.T) {
	b, err := file.Do(t.Context(), client(t, rpc.Handler(rpc.Deps{}, routes(here{})...)), OneBook{"a/b c/d%"})
	if err != nil || string(b.Bytes) != "a/b c/d%" {
		t.Errorf("got %q, %v, want a/b c/d%%", b.Bytes, err)
	}
}

func TestAProblemIsWhatItsStandardSays(t *testing.T) {
	r := ask(rpc.Handler(rpc.Deps{}, routes(here{})...), "GET", "/api/v1/books/fail-not%20found", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(text(t, r)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "urn:bijou:not-found", "title": "not found", "status": 404.0,
		"detail": `book "fail-not found": this „book“ <fails>: for a test`,
	}
	if diff := cmp.Diff(want, got); diff != "" || r.Header.Get("Content-Type") != rpc.ProblemType || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v with header %v (-want +got):\n%s", got, r.Header, diff)
	}
}

func TestADeclarationThatContradictsItselfPanicsAtTheStart(t *testing.T) {
	type noField struct{}
	type noWildcard struct {
		ID string `path:"id"`
	}
	type body struct {
		Name string `json:"name"`
	}
	type number struct {
		N float64 `query:"n"`
	}
	nothing := struct{}{}
	for name, f := range map[string]func(){
		"wildcard without field": func() {
			rpc.Call[noField, struct{}]{Verb: "GET", Path: "/{id}"}.Serve(func(context.Context, noField) (struct{}, error) { return nothing, nil })
		},
		"field without wildcard": func() {
			rpc.Call[noWildcard, struct{}]{Verb: "GET", Path: "/x"}.Serve(func(context.Context, noWildcard) (struct{}, error) { return nothing, nil })
		},
		"GET with a body": func() {
			rpc.Call[body, struct{}]{Verb: "GET", Path: "/x"}.Serve(func(context.Context, body) (struct{}, error) { return nothing, nil })
		},
		"upload with another body": func() {
			rpc.Upload[body, struct{}]{Verb: "PUT", Path: "/x"}.Serve(func(context.Context, body, io.Reader) (struct{}, error) { return nothing, nil })
		},
		"fraction in the address": func() {
			rpc.Call[number, struct{}]{Verb: "GET", Path: "/x"}.Serve(func(context.Context, number) (struct{}, error) { return nothing, nil })
		},
		"path without slash": func() {
			rpc.Call[noField, struct{}]{Verb: "GET", Path: "x"}.Serve(func(context.Context, noField) (struct{}, error) { return nothing, nil })
		},
	} {
		func() {
			defer func() {
				if p := recover(); p == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestAFailureThatSaysHowLongToWaitSaysSoHereAndThere(t *testing.T) {
	call := rpc.Call[struct{}, struct{}]{Verb: "POST", Path: "/wait", Summary: "Wait"}
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, call.Serve(func(context.Context, struct{}) (struct{}, error) {
		return struct{}{}, bijou.After(fmt.Errorf("too many tries: %w", bijou.Exhausted), 90*time.Second+time.Millisecond)
	})))
	defer server.Close()
	r, err := http.Post(server.URL+"/wait", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := text(t, r); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "91" || !strings.Contains(body, `"retry_after":91`) {
		t.Errorf("got %d, Retry-After %q, %s, want 429 and 91 seconds", r.StatusCode, r.Header.Get("Retry-After"), body)
	}
	client := rpc.NewClient(server.URL)
	defer client.Close()
	_, err = call.Do(t.Context(), client, struct{}{})
	if !errors.Is(err, bijou.Exhausted) || bijou.WaitOf(err) != 91*time.Second || bijou.Sentence(err) != "too many tries" {
		t.Errorf("there: got %v that asks for %s, want the same refusal and 91 seconds", err, bijou.WaitOf(err))
	}
}
