package app

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/app/through"
	"bijou/kit/run"
	"bijou/kit/watch"
)

func TestAStoreThatDoesNotAnswerIsSeenByPeopleAndByTheDoctor(t *testing.T) {
	now := time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
	metrics := watch.NewMetrics("", "")
	seen := watch.NewStores(metrics)
	measure := through.Measure(seen, func() time.Time { return now })
	call := func(store string, err error) {
		t.Helper()
		if got := measure(t.Context(), through.Method{Store: store, Name: "Any"}, func(context.Context) error { return err }); !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
		now = now.Add(time.Minute)
	}
	server := func() []watch.Need {
		return []watch.Need{{Name: "store titles", State: "away since noon", Degraded: true}}
	}
	check := func(wantParts string, want Finding) {
		t.Helper()
		group := run.New()
		w := httptest.NewRecorder()
		watch.Pages(health{group, seen}, metrics, server).ServeHTTP(w, httptest.NewRequest("GET", "/readyz?verbose", nil))
		if got := w.Body.String(); !strings.HasPrefix(got, wantParts) {
			t.Errorf("the page says\n%s\nwant\n%s", got, wantParts)
		}
		if got := storesOf("stores", w.Body.String()); got != want {
			t.Errorf("the doctor says %+v, want %+v", got, want)
		}
	}
	call("LogStore", nil)
	call("TitleStore", fmt.Errorf("no such title: %w", bijou.NotFound))
	check("store LogStore: answers, last 2031-03-04T12:00:00Z\nstore TitleStore: answers, last 2031-03-04T12:01:00Z\n",
		Finding{"stores", FindingOK, "2 were asked, and each answers", ""})
	call("TitleStore", fmt.Errorf("the server is away: %w", bijou.Unavailable))
	call("TitleStore", fmt.Errorf("the server is away: %w", bijou.Unavailable))
	away := "unavailable since 2031-03-04T12:02:00Z, last answered 2031-03-04T12:01:00Z"
	check("store LogStore: answers, last 2031-03-04T12:00:00Z\nstore TitleStore: "+away+"\n",
		Finding{"stores", FindingFailure, "TitleStore is " + away, "see that the disk or the server which keeps each is well: the service's log says what fails"})
	call("TitleStore", nil)
	check("store LogStore: answers, last 2031-03-04T12:00:00Z\nstore TitleStore: answers, last 2031-03-04T12:04:00Z, last unavailable 2031-03-04T12:03:00Z\n",
		Finding{"stores", FindingOK, "2 were asked, and each answers", ""})
}

func TestAStoreThatHangsIsUnavailableAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, seen := time.Now(), watch.NewStores(watch.NewMetrics("", ""))
		err := between(seen)(t.Context(), through.Method{Store: "TitleStore", Name: "Title"}, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(begin); !errors.Is(err, bijou.Unavailable) || took != 10*time.Second {
			t.Errorf("got %v after %s, want unavailable after ten seconds", err, took)
		}
		if all := seen.Health(); len(all) != 1 || all[0].Since.IsZero() {
			t.Errorf("the stores are %+v, want one that does not answer", all)
		}
	})
}
