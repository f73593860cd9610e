package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"bijou"
	"bijou/kit/rpc"
)

func TestAMethodIsAskedAgainOnlyWhereThatDoesNoHarm(t *testing.T) {
	for _, c := range []struct {
		again bool
		asked int
	}{{true, 2}, {false, 1}} {
		lost := 0
		join := rpc.Ask3[string, int, Chapter, string]{Path: "/role/shelf/join", Again: c.again}
		cl := client(t, rpc.Handler(rpc.Deps{}, join.Serve(func(_ context.Context, a string, b int, c Chapter) (string, error) {
			if lost++; lost == 1 {
				return "", fmt.Errorf("the shelf is being moved: %w", bijou.Unavailable)
			}
			return fmt.Sprint(a, b, c.Name), nil
		})))
		got, err := join.Do(t.Context(), cl, "a", 2, Chapter{Name: "c"})
		want := ""
		if c.again {
			want = "a2c"
		}
		if got != want || (err == nil) != c.again || lost != c.asked {
			t.Errorf("again %v: got %q (%v) after %d calls, want %q after %d", c.again, got, err, lost, want, c.asked)
		}
	}
}

func TestAMethodsArgumentsTravelInTheirOrder(t *testing.T) {
	swap := rpc.Tell4[int, int, string, string]{Path: "/role/shelf/swap"}
	cl := client(t, rpc.Handler(rpc.Deps{}, swap.Serve(func(_ context.Context, a, b int, c, d string) error {
		return fmt.Errorf("got %d %d %s %s: %w", a, b, c, d, bijou.Conflict)
	})))
	err := swap.Do(t.Context(), cl, 1, 2, "3", "4")
	if bijou.KindOf(err) != bijou.Conflict || bijou.Sentence(err) != "got 1 2 3 4" {
		t.Errorf("got %v, want the arguments in their order", err)
	}
	if swap.Serve(nil).Public() {
		t.Error("a store's method is offered to the world")
	}
}
