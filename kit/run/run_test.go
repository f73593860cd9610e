package run_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou/kit/run"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes what parts do, in order. Within a bubble one goroutine writes at a time: parts wait for each other.
type diary []string

// steady is a part that is ready after a second, and takes a second to stop.
func (d *diary) steady(name string) run.Part {
	return run.Part{Name: name, Run: func(ctx context.Context, ready func()) error {
		*d = append(*d, "start "+name)
		<-time.After(time.Second)
		*d = append(*d, "ready "+name)
		ready()
		ready() // saying it twice says it once
		<-ctx.Done()
		<-time.After(time.Second)
		*d = append(*d, "stop "+name)
		return ctx.Err()
	}}
}

// ends is a part that returns err after d, ready or not.
func ends(name string, ready bool, d time.Duration, err error) run.Part {
	return run.Part{Name: name, Run: func(ctx context.Context, say func()) error {
		if ready {
			say()
		}
		<-time.After(d)
		return err
	}}
}

// states writes where each part stands as one line.
func states(g *run.Group) string {
	var words []string
	for _, s := range g.States() {
		words = append(words, s.Name+" "+s.State)
	}
	return strings.Join(words, ", ")
}

// bubble runs the group until it ends by itself, and returns what it said.
func bubble(t *testing.T, check func(t *testing.T, g *run.Group, err error), parts ...run.Part) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := run.New(parts...)
		check(t, g, g.Run(t.Context(), func() {}))
	})
}

func TestPartsStartInOrderAndStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		g := run.New(d.steady("a"), d.steady("b"), d.steady("c"))
		ended := make(chan error, 1)
		check := func(when, want string, ready bool) {
			t.Helper()
			synctest.Wait()
			if got := states(g); got != want || g.Ready() != ready {
				t.Errorf("%s: got %s, ready %v, want %s, ready %v", when, got, g.Ready(), want, ready)
			}
		}
		check("before", "a pending, b pending, c pending", false)
		go func() { ended <- g.Run(ctx, func() { d = append(d, "all") }) }()
		check("at once", "a starting, b pending, c pending", false)
		<-time.After(1500 * time.Millisecond)
		check("after 1.5 s", "a ready, b starting, c pending", false)
		<-time.After(2 * time.Second)
		check("after 3.5 s", "a ready, b ready, c ready", true)
		cancel()
		check("while stopping", "a ready, b ready, c stopping", false)
		<-time.After(1500 * time.Millisecond)
		check("1.5 s later", "a ready, b stopping, c stopped", false)
		if err := <-ended; err != nil {
			t.Errorf("got %v, want no error", err)
		}
		check("at the end", "a stopped, b stopped, c stopped", false)
		want := diary{"start a", "ready a", "start b", "ready b", "start c", "ready c", "all", "stop c", "stop b", "stop a"}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("another order (-want +got):\n%s", diff)
		}
	})
}

func TestAGroupThatIsToldToStopBeforeAPartIsReadyStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		never := run.Part{Name: "never", Run: func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }}
		g := run.New(d.steady("a"), never, d.steady("c"))
		err := g.Run(ctx, func() { t.Error("allReady was called") })
		if got, want := states(g), "a stopped, never stopped, c pending"; err != nil || got != want {
			t.Errorf("got %s and %v, want %s", got, err, want)
		}
	})
}

func TestAGroupWhoseContextHasEndedStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var d diary
	g := run.New(d.steady("a"))
	if err := g.Run(ctx, func() { t.Error("allReady was called") }); err != nil || len(d) != 0 {
		t.Errorf("got %v and %q, want nothing", err, d)
	}
}

func TestAPartThatEndsStopsTheGroupAndIsNamed(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		part run.Part
		want string
	}{
		"with an error":            {ends("b", true, time.Minute, broken), "b: disk on fire"},
		"without one":              {ends("b", true, time.Minute, nil), "b stopped by itself"},
		"before it was ready":      {ends("b", false, time.Minute, broken), "b: disk on fire"},
		"before it was ready, nil": {ends("b", false, 0, nil), "b stopped by itself"},
		"with a panic":             {run.Part{Name: "b", Run: func(context.Context, func()) error { panic("oh") }}, "b: panic: oh\n"},
		"as if it was asked to":    {ends("b", true, time.Minute, context.Canceled), "b: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			bubble(t, func(t *testing.T, g *run.Group, err error) {
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(c.want, "fire") && !errors.Is(err, broken) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if got := states(g); !strings.HasPrefix(got, "a stopped, b failed, c ") || g.Ready() {
					t.Errorf("got %s, ready %v, want a stopped and b failed", got, g.Ready())
				}
			}, d.steady("a"), c.part, d.steady("c"))
		})
	}
}

func TestAPartThatEndsWhileALaterOneStartsStopsTheGroup(t *testing.T) {
	never := run.Part{Name: "never", Run: func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }}
	bubble(t, func(t *testing.T, g *run.Group, err error) {
		if got, want := states(g), "a failed, never stopped"; err == nil || err.Error() != "a: gone" || got != want {
			t.Errorf("got %s and %v, want %s and a: gone", got, err, want)
		}
	}, ends("a", true, time.Second, errors.New("gone")), never)
}

func TestOfTwoPartsThatEndAtOnceBothAreTold(t *testing.T) {
	bubble(t, func(t *testing.T, g *run.Group, err error) {
		if err == nil || !strings.Contains(err.Error(), "a: first") || !strings.Contains(err.Error(), "b: second") {
			t.Errorf("got %v, want both failures", err)
		}
		if got, want := states(g), "a failed, b failed"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}, ends("a", true, time.Minute, errors.New("first")), ends("b", true, time.Minute, errors.New("second")))
}

func TestAPartThatFailsWhileItStopsIsTold(t *testing.T) {
	bad := run.Part{Name: "bad", Run: func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return errors.New("could not save")
	}}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var d diary
		g := run.New(d.steady("a"), bad)
		err := g.Run(ctx, func() {})
		if got, want := states(g), "a stopped, bad failed"; err == nil || err.Error() != "bad: could not save" || got != want {
			t.Errorf("got %s and %v, want %s and bad: could not save", got, err, want)
		}
	})
}

func TestAPartThatDoesNotStopIsLeftBehindAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		deaf := func(name string, grace time.Duration) run.Part {
			return run.Part{Name: name, Grace: grace, Run: func(_ context.Context, ready func()) error { ready(); <-release; return nil }}
		}
		var d diary
		g := run.New(d.steady("a"), deaf("deaf", 3*time.Second), deaf("default", 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := g.Run(ctx, func() {})
		began, _ := ctx.Deadline()
		if err == nil || err.Error() != "default did not stop within 10s\ndeaf did not stop within 3s" {
			t.Errorf("got %v, want both named with their grace", err)
		}
		if got, want := states(g), "a stopped, deaf stopping, default stopping"; got != want || time.Since(began) != 14*time.Second {
			t.Errorf("got %s after %s, want %s after 14s", got, time.Since(began), want)
		}
	})
}

func TestValuesOfTheContextReachTheParts(t *testing.T) {
	type key struct{}
	var got any
	part := run.Part{Name: "a", Run: func(ctx context.Context, _ func()) error { got = ctx.Value(key{}); return nil }}
	err := run.New(part).Run(context.WithValue(t.Context(), key{}, "value"), func() {})
	if got != "value" || err == nil {
		t.Errorf("got %v, %v, want the value, and the part named", got, err)
	}
}
