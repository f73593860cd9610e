package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestAStreamBringsEveryEventAndThenItsEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, s shelf) {
		for id, want := range map[string]bijou.Kind{"x": "", "fail-exhausted": bijou.Exhausted} {
			var got []Page
			err := s.Pages(asOperator(), id, func(p Page) error { got = append(got, p); return nil })
			if diff := cmp.Diff([]Page{{1, "line\nline"}, {2, "line\nline"}, {3, "line\nline"}}, got); diff != "" || bijou.KindOf(err) != want || want == "" && err != nil {
				t.Errorf("pages of %s: got %v, want kind %q, and a difference (-want +got):\n%s", id, err, want, diff)
			}
		}
	})
}

func TestAReaderWhoHasEnoughEndsTheStream(t *testing.T) {
	everywhere(t, func(t *testing.T, s shelf) {
		enough := errors.New("enough")
		got := 0
		err := s.Pages(asOperator(), "x", func(Page) error { got++; return enough })
		if got != 1 || !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v after %d pages, want the reader's own error after 1", err, got)
		}
	})
}

func TestAStreamThatFailsBeforeItsFirstEventIsAnOrdinaryFailure(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, pages.Serve(func(_ context.Context, in OneBook, _ func(Page) error) error { return fail(in.ID) }))
	r := ask(h, "GET", "/api/v1/books/fail-not%20found/pages", "")
	if r.StatusCode != 404 || r.Header.Get("Content-Type") != rpc.ProblemType {
		t.Errorf("got %d %s, want 404 and a problem", r.StatusCode, r.Header.Get("Content-Type"))
	}
}

func TestAStreamWithoutItsEndHasBrokenOff(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "one page": "data: {\"number\":1}\n\n", "half a page": "data: {\"num"} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, sent) })
		err := pages.Do(t.Context(), client(t, h), OneBook{"x"}, func(Page) error { return nil })
		if !errors.Is(err, bijou.Unavailable) {
			t.Errorf("%s and no end: got %v, want unavailable", name, err)
		}
	}
}

func TestEventsOfALaterVersionArePassedOver(t *testing.T) {
	sent := ": hello\nid: 7\nevent: progress\ndata: {}\n\ndata: {\"number\":\ndata: 4}\n\nevent: end\ndata: {}\n\ndata: {\"number\":5}\n\n"
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, sent) })
	var got []Page
	err := pages.Do(t.Context(), client(t, h), OneBook{"x"}, func(p Page) error { got = append(got, p); return nil })
	if want := []Page{{Number: 4}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestASilentStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := rpc.Handler(rpc.Deps{}, pages.Serve(func(context.Context, OneBook, func(Page) error) error { <-release; return nil }))
		w := httptest.NewRecorder()
		go h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/books/x/pages", nil))
		<-time.After(46 * time.Second)
		synctest.Wait()
		if got := strings.Count(w.Body.String(), ": still here\n\n"); got != 3 || !w.Flushed {
			t.Errorf("after 46 s of silence: got %q, flushed %v, want 3 comments, sent at once", w.Body, w.Flushed)
		}
		close(release)
		synctest.Wait()
		if got := w.Body.String(); !strings.HasSuffix(got, "event: end\ndata: {}\n\n") || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("got %q as %s, want the end as an event", got, w.Header().Get("Content-Type"))
		}
	})
}

// stuck is a connection that takes so many writes and no more: the next one waits for its deadline.
type stuck struct {
	http.ResponseWriter
	takes    int
	deadline time.Time
}

func (s *stuck) SetWriteDeadline(d time.Time) error { s.deadline = d; return nil }

func (s *stuck) FlushError() error { return nil }

func (s *stuck) Write(b []byte) (int, error) {
	if s.takes--; s.takes >= 0 {
		return s.ResponseWriter.Write(b)
	}
	<-time.After(time.Until(s.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestAClientThatTakesNothingIsGivenUp(t *testing.T) {
	for name, work := range map[string]func(context.Context, func(Page) error) error{
		"work that sends": func(_ context.Context, send func(Page) error) error {
			for {
				if err := send(Page{}); err != nil {
					return err
				}
			}
		},
		"work that waits": func(ctx context.Context, send func(Page) error) error {
			if err := send(Page{}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			metrics := prometheus.NewRegistry()
			h := rpc.Handler(rpc.Deps{Metrics: metrics}, pages.Serve(func(ctx context.Context, _ OneBook, send func(Page) error) error { return work(ctx, send) }))
			began := time.Now()
			h.ServeHTTP(&stuck{ResponseWriter: httptest.NewRecorder(), takes: 1}, httptest.NewRequest("GET", "/api/v1/books/x/pages", nil))
			if took := time.Since(began); took > time.Minute {
				t.Errorf("%s: got an end after %s, want one within a minute", name, took)
			}
			if got := counts(t, metrics)["499 GET /api/v1/books/{id}/pages"]; got != 1 {
				t.Errorf("%s: got %v, want one request whose client left", name, counts(t, metrics))
			}
		})
	}
}

func TestAClientThatLeavesEndsTheWork(t *testing.T) {
	ended := make(chan struct{})
	h := rpc.Handler(rpc.Deps{}, pages.Serve(func(ctx context.Context, _ OneBook, send func(Page) error) error {
		defer close(ended)
		if err := send(Page{}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	err := pages.Do(ctx, client(t, h), OneBook{"x"}, func(Page) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) || bijou.KindOf(err) != "" {
		t.Errorf("got %v, want context canceled", err)
	}
	<-ended
}

func TestAStreamThatTheServiceEndsSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		cause error
		back  func(error) error
		want  string
	}{
		"with a cause":                        {bijou.Remote("the service is stopping", bijou.Unavailable), func(err error) error { return err }, "event: error\ndata: {\"type\":\"urn:bijou:unavailable\",\"title\":\"unavailable\",\"status\":503,\"detail\":\"the service is stopping\"}\n\n"},
		"with a cause that the work swallows": {bijou.Remote("the service is stopping", bijou.Unavailable), func(error) error { return nil }, "the service is stopping\"}\n\n"},
		"without one":                         {nil, func(error) error { return nil }, "\"text\":\"\"}\n\n"},
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		h := rpc.Handler(rpc.Deps{}, pages.Serve(func(ctx context.Context, _ OneBook, send func(Page) error) error {
			if err := send(Page{}); err != nil {
				return err
			}
			stop(c.cause)
			return c.back(ctx.Err())
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/books/x/pages", nil).WithContext(ctx))
		if got := w.Body.String(); !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: got %q, want it to end in %q", name, got, c.want)
		}
	}
}

func TestADefectWithinAStreamIsToldWithoutItsWords(t *testing.T) {
	h := rpc.Handler(rpc.Deps{}, pages.Serve(func(_ context.Context, _ OneBook, send func(Page) error) error {
		return errors.Join(send(Page{}), errors.New("secret of the house"))
	}))
	r := ask(h, "GET", "/api/v1/books/x/pages", "")
	if got := text(t, r); strings.Contains(got, "secret") || !strings.Contains(got, "event: error\ndata: {\"type\":\"urn:bijou:internal\"") {
		t.Errorf("got %q, want an error event without the words", got)
	}
}
