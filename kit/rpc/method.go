package rpc

import "context"

// Method declares one method of a store's contract, for processes that do not open the store themselves: for other roles alone. Its arguments
// travel in their order, by the names a to d, as JSON shows them: what is tagged json:"-" does not.
//
// Tell1 to Tell4 are methods that answer nothing but an error, Ask1 to Ask3 those that answer one thing more. So a contract's method is served as
// it stands, tell.Serve(store.SetPassword), and asked with the same arguments.
type Method struct {
	Path string
	// Again says that a call whose answer was lost may be made again: the second one changes nothing more, and answers the same.
	Again bool
}

type (
	// Tell1 is a method with one argument.
	Tell1[A any] Method
	// Tell2 is a method with two arguments.
	Tell2[A, B any] Method
	// Tell3 is a method with three arguments.
	Tell3[A, B, C any] Method
	// Tell4 is a method with four arguments.
	Tell4[A, B, C, D any] Method
	// Ask1 is a method with one argument, and an answer.
	Ask1[A, Out any] Method
	// Ask2 is a method with two arguments, and an answer.
	Ask2[A, B, Out any] Method
	// Ask3 is a method with three arguments, and an answer.
	Ask3[A, B, C, Out any] Method
)

// The arguments of a method as they travel.
type (
	args1[A any] struct {
		A A `json:"a"`
	}
	args2[A, B any] struct {
		A A `json:"a"`
		B B `json:"b"`
	}
	args3[A, B, C any] struct {
		A A `json:"a"`
		B B `json:"b"`
		C C `json:"c"`
	}
	args4[A, B, C, D any] struct {
		A A `json:"a"`
		B B `json:"b"`
		C C `json:"c"`
		D D `json:"d"`
	}
)

// call is the method as a Call.
func call[In, Out any](m Method) Call[In, Out] {
	return Call[In, Out]{Verb: "POST", Path: m.Path, Needs: Internal, Idempotent: m.Again}
}

// tells serves a method that answers nothing.
func tells[In any](m Method, f func(context.Context, In) error) Route {
	return call[In, struct{}](m).Serve(func(ctx context.Context, in In) (struct{}, error) { return struct{}{}, f(ctx, in) })
}

// tell calls a method that answers nothing.
func tell[In any](ctx context.Context, m Method, cl *Client, in In) error {
	_, err := call[In, struct{}](m).Do(ctx, cl, in)
	return err
}

// Serve joins the declaration to the store's method.
func (m Tell1[A]) Serve(f func(context.Context, A) error) Route {
	return tells(Method(m), func(ctx context.Context, in args1[A]) error { return f(ctx, in.A) })
}

// Do calls the method at the other end.
func (m Tell1[A]) Do(ctx context.Context, cl *Client, a A) error {
	return tell(ctx, Method(m), cl, args1[A]{a})
}

// Serve joins the declaration to the store's method.
func (m Tell2[A, B]) Serve(f func(context.Context, A, B) error) Route {
	return tells(Method(m), func(ctx context.Context, in args2[A, B]) error { return f(ctx, in.A, in.B) })
}

// Do calls the method at the other end.
func (m Tell2[A, B]) Do(ctx context.Context, cl *Client, a A, b B) error {
	return tell(ctx, Method(m), cl, args2[A, B]{a, b})
}

// Serve joins the declaration to the store's method.
func (m Tell3[A, B, C]) Serve(f func(context.Context, A, B, C) error) Route {
	return tells(Method(m), func(ctx context.Context, in args3[A, B, C]) error { return f(ctx, in.A, in.B, in.C) })
}

// Do calls the method at the other end.
func (m Tell3[A, B, C]) Do(ctx context.Context, cl *Client, a A, b B, c C) error {
	return tell(ctx, Method(m), cl, args3[A, B, C]{a, b, c})
}

// Serve joins the declaration to the store's method.
func (m Tell4[A, B, C, D]) Serve(f func(context.Context, A, B, C, D) error) Route {
	return tells(Method(m), func(ctx context.Context, in args4[A, B, C, D]) error { return f(ctx, in.A, in.B, in.C, in.D) })
}

// Do calls the method at the other end.
func (m Tell4[A, B, C, D]) Do(ctx context.Context, cl *Client, a A, b B, c C, d D) error {
	return tell(ctx, Method(m), cl, args4[A, B, C, D]{a, b, c, d})
}

// Serve joins the declaration to the store's method.
func (m Ask1[A, Out]) Serve(f func(context.Context, A) (Out, error)) Route {
	return call[args1[A], Out](Method(m)).Serve(func(ctx context.Context, in args1[A]) (Out, error) { return f(ctx, in.A) })
}

// Do calls the method at the other end.
func (m Ask1[A, Out]) Do(ctx context.Context, cl *Client, a A) (Out, error) {
	return call[args1[A], Out](Method(m)).Do(ctx, cl, args1[A]{a})
}

// Serve joins the declaration to the store's method.
func (m Ask2[A, B, Out]) Serve(f func(context.Context, A, B) (Out, error)) Route {
	return call[args2[A, B], Out](Method(m)).Serve(func(ctx context.Context, in args2[A, B]) (Out, error) { return f(ctx, in.A, in.B) })
}

// Do calls the method at the other end.
func (m Ask2[A, B, Out]) Do(ctx context.Context, cl *Client, a A, b B) (Out, error) {
	return call[args2[A, B], Out](Method(m)).Do(ctx, cl, args2[A, B]{a, b})
}

// Serve joins the declaration to the store's method.
func (m Ask3[A, B, C, Out]) Serve(f func(context.Context, A, B, C) (Out, error)) Route {
	return call[args3[A, B, C], Out](Method(m)).Serve(func(ctx context.Context, in args3[A, B, C]) (Out, error) { return f(ctx, in.A, in.B, in.C) })
}

// Do calls the method at the other end.
func (m Ask3[A, B, C, Out]) Do(ctx context.Context, cl *Client, a A, b B, c C) (Out, error) {
	return call[args3[A, B, C], Out](Method(m)).Do(ctx, cl, args3[A, B, C]{a, b, c})
}
