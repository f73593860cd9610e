package guard_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/kit/guard"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyWhatIsUnavailableIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		tries int
		err   error
		want  int
	}{
		{0, bijou.Unavailable, 1}, {1, bijou.Unavailable, 1}, {3, bijou.Unavailable, 3},
		{3, fmt.Errorf("a neighbour: %w", bijou.Unavailable), 3},
		{3, nil, 1}, {3, bijou.NotFound, 1}, {3, bijou.Exhausted, 1}, {3, errors.New("defect"), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := 0
			err := guard.Do(t.Context(), guard.Policy{Tries: c.tries, Backoff: time.Second}, func(context.Context) error { got++; return c.err })
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("%d tries allowed, failure %v: got %d tries and %v, want %d", c.tries, c.err, got, err, c.want)
			}
		})
	}
}

func TestTheWaitDoublesAndHalfOfItIsChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		err := guard.Do(t.Context(), guard.Policy{Tries: 12, Backoff: time.Second}, func(context.Context) error {
			at = append(at, time.Now())
			return bijou.Unavailable
		})
		if !errors.Is(err, bijou.Unavailable) || len(at) != 12 {
			t.Fatalf("got %v after %d tries, want unavailable after 12", err, len(at))
		}
		want := time.Second
		for i := 1; i < len(at); i++ {
			if got := at[i].Sub(at[i-1]); got < want/2 || got > want {
				t.Errorf("before try %d: got %s, want %s to %s", i+1, got, want/2, want)
			}
			want = min(2*want, time.Minute)
		}
	})
}

func TestASuccessAfterAFailureIsASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := guard.Do(t.Context(), guard.Policy{Tries: 5, Backoff: time.Second}, func(context.Context) error {
			if tries++; tries < 3 {
				return bijou.Unavailable
			}
			return nil
		})
		if err != nil || tries != 3 {
			t.Errorf("got %v after %d tries, want success after 3", err, tries)
		}
	})
}

func TestATryThatTakesTooLongIsUnavailableAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		err := guard.Do(t.Context(), guard.Policy{Timeout: 2 * time.Second, Tries: 2}, func(ctx context.Context) error {
			tries++
			<-ctx.Done()
			return ctx.Err()
		})
		if tries != 2 || !errors.Is(err, bijou.Unavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 4*time.Second {
			t.Errorf("got %v after %d tries and %s, want unavailable after 2 and 4s", err, tries, time.Since(began))
		}
	})
}

func TestAFailureThatHasAKindKeepsItPastTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := guard.Do(t.Context(), guard.Policy{Timeout: time.Second, Tries: 2}, func(ctx context.Context) error {
			tries++
			<-ctx.Done()
			return fmt.Errorf("gave up (%w): %w", ctx.Err(), bijou.Conflict)
		})
		if bijou.KindOf(err) != bijou.Conflict || tries != 1 {
			t.Errorf("got %v after %d tries, want conflict after 1", err, tries)
		}
	})
}

func TestNothingIsTriedAgainOnceTheCallersTimeIsUp(t *testing.T) {
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"a deadline within the wait": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 10*time.Second)
		},
		"a caller who leaves within the wait": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
		"a caller who left": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := end(t.Context())
			defer cancel()
			began, tries := time.Now(), 0
			err := guard.Do(ctx, guard.Policy{Tries: 3, Backoff: time.Minute}, func(context.Context) error { tries++; return bijou.Unavailable })
			if tries != 1 || !errors.Is(err, bijou.Unavailable) || time.Since(began) > time.Second {
				t.Errorf("%s: got %v after %d tries and %s, want the failure itself at once", name, err, tries, time.Since(began))
			}
		})
	}
}
