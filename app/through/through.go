// Package through makes the calls of stores through whatever is put between: each wrapper keeps the contract of what it wraps, and every one of
// its calls is made by one function, which may measure it, bound it, or make it fail.
package through

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/watch"
)

// Form says how a method may be called.
type Form uint8

// The forms of methods.
const (
	// Again is the form of a method that may be called again where its answer was lost: the second call changes nothing more, and answers the same.
	Again Form = 1 << iota
	// Long is the form of a method that takes as long as there is work, such as a whole film.
	Long
	// Waits is the form of a method that waits for somebody else.
	Waits

	// Once is the form of all others.
	Once Form = 0
)

// Method is a method of a store's contract.
type Method struct {
	Store, Name string
	Form        Form
}

// By makes a call of a method. A call that it makes again, or not at all, is so for who asked too.
type By func(ctx context.Context, m Method, call func(context.Context) error) error

// On is a store whose calls are made by By.
type On[S any] struct {
	Store S
	By    By
}

// Chain returns what makes calls by all of them, the first outermost.
func Chain(all ...By) By {
	if len(all) == 1 {
		return all[0]
	}
	first, rest := all[0], Chain(all[1:]...)
	return func(ctx context.Context, m Method, call func(context.Context) error) error {
		return first(ctx, m, func(ctx context.Context) error { return rest(ctx, m, call) })
	}
}

// ask makes a call that answers something.
func ask[A any](ctx context.Context, by By, m Method, f func(context.Context) (A, error)) (A, error) {
	a, _, err := ask2(ctx, by, m, func(ctx context.Context) (a A, _ struct{}, err error) {
		a, err = f(ctx)
		return
	})
	return a, err
}

// ask2 makes a call that answers two things. A call that fails answers nothing.
func ask2[A, B any](ctx context.Context, by By, m Method, f func(context.Context) (A, B, error)) (a A, b B, err error) {
	err = by(ctx, m, func(ctx context.Context) (err error) {
		a, b, err = f(ctx)
		return err
	})
	if err != nil {
		var noA A
		var noB B
		return noA, noB, err
	}
	return a, b, nil
}

// Measure returns what notes how calls ended, and how long they took.
func Measure(to *watch.Stores, now func() time.Time) By {
	return func(ctx context.Context, m Method, call func(context.Context) error) error {
		begin := now()
		err := call(ctx)
		end := now()
		to.Called(m.Store, m.Name, end, end.Sub(begin), m.Form&Waits != 0, err)
		return err
	}
}

// Inside has viewers not told where what does not answer is.
func Inside(ctx context.Context, _ Method, call func(context.Context) error) error {
	err := call(ctx)
	if errors.Is(err, bijou.Unavailable) {
		return rpc.Inner(err)
	}
	return err
}

// Deadline returns what bounds calls whose caller did not: each fails with Unavailable after the time, unless it is long or waits by its nature.
func Deadline(after time.Duration) By {
	return func(ctx context.Context, m Method, call func(context.Context) error) error {
		if _, bound := ctx.Deadline(); bound || m.Form&(Long|Waits) != 0 {
			return call(ctx)
		}
		own, cancel := context.WithTimeout(ctx, after)
		defer cancel()
		err := call(own)
		if err != nil && bijou.KindOf(err) == "" && ctx.Err() == nil && errors.Is(own.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%s.%s did not answer within %s (%w): see that the disk or the server which keeps it is well: %w", m.Store, m.Name, after, err, bijou.Unavailable)
		}
		return err
	}
}
