package bijou

import "context"

// Caller is who asks. The gateway finds out; rooms read it from the context.
type Caller struct {
	Account  AccountID `json:"account,omitempty"`
	Profile  ProfileID `json:"profile,omitempty"`
	Children bool      `json:"children,omitempty"` // the profile sees titles for children only
	Session  SignInID  `json:"session,omitempty"`  // which sign-in
	Stale    bool      `json:"stale,omitempty"`    // the token is old enough to be replaced
	Address  string    `json:"address,omitempty"`  // IP address of the client, without port
	Host     string    `json:"host,omitempty"`     // by which the client reached the service, without port
	Secure   bool      `json:"secure,omitempty"`   // the client reached the service by HTTPS

	// Who runs the service has a role, beside being a member or not.
	Operator      OperatorID   `json:"operator,omitempty"`
	OperatorName  string       `json:"operator_name,omitempty"`
	Role          OperatorRole `json:"role,omitempty"`
	OperatorToken TokenID      `json:"operator_token,omitempty"` // by which they are known
}

// Guest tells whether the caller has not signed in.
func (c Caller) Guest() bool { return c.Account == "" && c.Role == "" }

type callerKey struct{}

// WithCaller returns a context that says who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who asks: a guest where nobody said.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
