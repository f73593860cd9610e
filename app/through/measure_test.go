package through_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/app/through"
	"bijou/kit/watch"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)

func TestCallsAreCountedByResultAndStoresAreKnownToAnswerOrNot(t *testing.T) {
	now, metrics := noon, watch.NewMetrics("", "")
	stores := watch.NewStores(metrics)
	measure := through.Measure(stores, func() time.Time { return now })
	check := func(store, method string, form through.Form, err error, want watch.StoreHealth) {
		t.Helper()
		now = now.Add(time.Second)
		got := measure(t.Context(), through.Method{Store: store, Name: method, Form: form}, func(context.Context) error {
			now = now.Add(time.Second)
			return err
		})
		if got != err {
			t.Errorf("%s: got %v, want the call's own error %v", method, got, err)
		}
		for _, h := range stores.Health() {
			if h.Store == store {
				if d := cmp.Diff(want, h); d != "" {
					t.Errorf("after %v: got (+), want (-):\n%s", err, d)
				}
			}
		}
	}
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	away := fmt.Errorf("the server is away: %w", bijou.Unavailable)
	check("TitleStore", "Title", through.Again, nil, watch.StoreHealth{Store: "TitleStore", Answered: at(2)})
	check("TitleStore", "Title", through.Again, fmt.Errorf("no such title: %w", bijou.NotFound), watch.StoreHealth{Store: "TitleStore", Answered: at(4)})
	check("TitleStore", "Title", through.Again, away, watch.StoreHealth{Store: "TitleStore", Answered: at(4), Failed: at(6), Since: at(6)})
	check("TitleStore", "Titles", through.Again, away, watch.StoreHealth{Store: "TitleStore", Answered: at(4), Failed: at(8), Since: at(6)})
	check("TitleStore", "Titles", through.Again, context.Canceled, watch.StoreHealth{Store: "TitleStore", Answered: at(4), Failed: at(8), Since: at(6)})
	check("TitleStore", "Titles", through.Again, errors.New("a defect"), watch.StoreHealth{Store: "TitleStore", Answered: at(4), Failed: at(8), Since: at(6)})
	check("TitleStore", "Titles", through.Again, nil, watch.StoreHealth{Store: "TitleStore", Answered: at(14), Failed: at(8)})
	check("LogStore", "Read", through.Waits, nil, watch.StoreHealth{Store: "LogStore", Answered: at(16)})
	wantCounted(t, metrics, "bijou_store_calls_total", "Read ok LogStore: 1", "Title not found TitleStore: 1", "Title ok TitleStore: 1", "Title unavailable TitleStore: 1",
		"Titles internal TitleStore: 1", "Titles left TitleStore: 1", "Titles ok TitleStore: 1", "Titles unavailable TitleStore: 1")
	wantCounted(t, metrics, "bijou_store_duration_seconds", "Read LogStore: 0", "Title TitleStore: 3", "Titles TitleStore: 4") // what waits is not timed
}

// wantCounted wants the numbers of a metric, each under its labels' values by the names' order.
func wantCounted(t *testing.T, metrics *watch.Metrics, name string, want ...string) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got = append(got, fmt.Sprintf("%s: %v", strings.Join(labels, " "), m.GetCounter().GetValue()+float64(m.GetHistogram().GetSampleCount())))
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: got (+), want (-):\n%s", name, d)
	}
}

func TestACallWithoutABoundGetsOne(t *testing.T) {
	for _, c := range []struct {
		form    through.Form
		given   time.Duration // the caller's own bound; none where 0
		takes   time.Duration
		bounded bool
	}{
		{through.Once, 0, 9 * time.Second, false},
		{through.Once, 0, 11 * time.Second, true},
		{through.Again, 0, time.Hour, true},
		{through.Again, 30 * time.Second, 20 * time.Second, false},
		{through.Long, 0, time.Hour, false},
		{through.Again | through.Waits, 0, time.Hour, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if c.given > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.given)
				defer cancel()
			}
			err := through.Deadline(10*time.Second)(ctx, through.Method{Store: "TitleStore", Name: "Title", Form: c.form}, func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(c.takes):
					return nil
				}
			})
			if !c.bounded && err != nil {
				t.Errorf("%+v: got %v, want no bound", c, err)
			}
			want := "TitleStore.Title did not answer within 10s (context deadline exceeded): see that the disk or the server which keeps it is well"
			if c.bounded && (!errors.Is(err, bijou.Unavailable) || bijou.Sentence(err) != want) {
				t.Errorf("%+v: got %v, want %q", c, err, want)
			}
		})
	}
}

// nothing is a store that does nothing.
type nothing struct{ bijou.PINStore }

// PIN implements bijou.PINStore.
func (nothing) PIN(context.Context, bijou.AccountID) (string, error) { return "", nil }

// What a call costs that does nothing: alone, measured, and measured with a bound that the caller has set, or has not.
func BenchmarkCall(b *testing.B) {
	by := through.Chain(through.Measure(watch.NewStores(watch.NewMetrics("", "")), time.Now), through.Deadline(10*time.Second))
	bound, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	for _, c := range []struct {
		name  string
		store bijou.PINStore
		ctx   context.Context
	}{
		{"bare", nothing{}, bound},
		{"through", through.PINStore{Store: nothing{}, By: by}, bound},
		{"through, without a bound", through.PINStore{Store: nothing{}, By: by}, b.Context()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.store.PIN(c.ctx, "acc_1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
