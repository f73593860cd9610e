package operators

import (
	"context"
	"net/http"
	"time"

	"bijou"
	"bijou/kit/rpc"
)

// OperatorList is everyone who runs the service, by name.
type OperatorList struct {
	Operators []bijou.Operator `json:"operators"`
}

// NewOperator asks for an operator who will sign in with a password.
type NewOperator struct {
	Name string             `json:"name" audit:"true" maxLength:"128" doc:"To sign in with: letters, digits and . - _ @ +."`
	Role bijou.OperatorRole `json:"role" audit:"true" enum:"viewer,operator,administrator"`
}

// OneOperator names an operator.
type OneOperator struct {
	Name string `path:"name" maxLength:"128"`
}

// NewRole gives an operator a role.
type NewRole struct {
	Name string             `path:"name" maxLength:"128"`
	Role bijou.OperatorRole `json:"role" audit:"true" enum:"viewer,operator,administrator"`
}

// Invitation lets one person set a password, once.
type Invitation struct {
	Operator *bijou.Operator `json:"operator,omitempty" doc:"Absent for the first administrator, who chooses a name."`
	Token    string          `json:"token"`
	Page     string          `json:"page" doc:"Where the person sets the password; without a host where the service does not know how people reach it."`
	Expires  time.Time       `json:"expires"`
}

// NewProgramToken asks for a token by which a program acts for an operator.
type NewProgramToken struct {
	Name  string `path:"name" maxLength:"128"`
	Note  string `json:"note,omitempty" audit:"true" maxLength:"200" doc:"What it is for."`
	ForMS int64  `json:"for_ms" audit:"true" minimum:"1000" maximum:"63072000000" doc:"How long it can be used, in milliseconds: at most two years."`
}

// ProgramToken is a token by which a program acts for an operator. It is told once.
type ProgramToken struct {
	ID      bijou.TokenID `json:"id"`
	Token   string        `json:"token" doc:"Send as Authorization: Bearer. It has the operator's role at each time."`
	Expires time.Time     `json:"expires"`
}

// TokenList is what stands for an operator, oldest first. The tokens themselves are not known any more.
type TokenList struct {
	Tokens []bijou.OperatorToken `json:"tokens"`
}

// OneToken names a token of an operator.
type OneToken struct {
	Name string        `path:"name" maxLength:"128"`
	ID   bijou.TokenID `path:"id"`
}

// OperatorSignIn asks for a session.
type OperatorSignIn struct {
	Name     string `json:"name" maxLength:"128"`
	Password string `json:"password" maxLength:"1024"`
}

// OperatorSession is an open sign-in, which the browser carries as a cookie.
type OperatorSession struct {
	Operator bijou.Operator `json:"operator"`
	Expires  time.Time      `json:"expires"`

	cookie *http.Cookie
}

// ResponseHeader sets the cookie.
func (s OperatorSession) ResponseHeader() http.Header { return setCookie(s.cookie) }

// OperatorSignedOut is the answer to the end of a session.
type OperatorSignedOut struct{ cookie *http.Cookie }

// ResponseHeader removes the cookie.
func (s OperatorSignedOut) ResponseHeader() http.Header { return setCookie(s.cookie) }

func setCookie(c *http.Cookie) http.Header { return http.Header{"Set-Cookie": {c.String()}} }

// OperatorMe says who runs the service from this browser, and how people can sign in.
type OperatorMe struct {
	Name   string             `json:"name,omitempty" doc:"Absent for who has not signed in."`
	Role   bijou.OperatorRole `json:"role,omitempty"`
	SignOn string             `json:"sign_on,omitempty" doc:"Host of the sign-on provider; absent where there is none."`
	First  bool               `json:"first" doc:"Whether there is no administrator yet: the service prints an address for the first one when it starts."`
}

// InvitationToken shows an invitation.
type InvitationToken struct {
	Token string `json:"token" maxLength:"100"`
}

// Invited says whom an invitation is for.
type Invited struct {
	Name    string             `json:"name,omitempty" doc:"Absent for the first administrator, who chooses one."`
	Role    bijou.OperatorRole `json:"role"`
	Expires time.Time          `json:"expires"`
}

// Acceptance uses an invitation up.
type Acceptance struct {
	Token    string `json:"token" maxLength:"100"`
	Name     string `json:"name,omitempty" maxLength:"128" doc:"Of the first administrator; not read where the invitation names the person."`
	Password string `json:"password" maxLength:"1024"`
}

// SignOnStarted says where the browser goes.
type SignOnStarted struct {
	Address string    `json:"address"`
	Binding string    `json:"binding" doc:"Keep it in the browser and send it at the end: who was lured to the end alone has none."`
	Expires time.Time `json:"expires"`
}

// SignOnReturn is what the browser came back with.
type SignOnReturn struct {
	State   string `json:"state" maxLength:"200"`
	Code    string `json:"code,omitempty" maxLength:"4096"`
	Error   string `json:"error,omitempty" maxLength:"200" doc:"What the provider says in place of a code."`
	Binding string `json:"binding" maxLength:"200"`
}

// ActionsQuery asks for a page of the audit log.
type ActionsQuery struct {
	Since  string `query:"since" maxLength:"40" doc:"Not before this time, as RFC 3339 has it."`
	User   string `query:"user" maxLength:"128" doc:"Of this operator alone."`
	Before int64  `query:"before" minimum:"0" doc:"Next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"At most this many; 100 where absent."`
}

// ActionPage is a page of the audit log, latest first.
type ActionPage struct {
	Actions []bijou.Action `json:"actions"`
	Next    int64          `json:"next,omitempty" doc:"Before of the next page; absent on the last one."`
}

var (
	listAll    = rpc.Call[struct{}, OperatorList]{Verb: "GET", Path: "/api/v1/operators", Summary: "Who runs the service", Needs: rpc.Viewer}
	add        = rpc.Call[NewOperator, Invitation]{Verb: "POST", Path: "/api/v1/operators", Summary: "Add someone who runs the service", Needs: rpc.Administrator, Status: http.StatusCreated}
	setRole    = rpc.Call[NewRole, struct{}]{Verb: "PUT", Path: "/api/v1/operators/{name}/role", Summary: "Give someone a role", Needs: rpc.Administrator}
	remove     = rpc.Call[OneOperator, struct{}]{Verb: "DELETE", Path: "/api/v1/operators/{name}", Summary: "Remove someone who runs the service", Needs: rpc.Administrator}
	invite     = rpc.Call[OneOperator, Invitation]{Verb: "POST", Path: "/api/v1/operators/{name}/invitations", Summary: "Let someone set a new password, once", Needs: rpc.Administrator, Status: http.StatusCreated}
	tokens     = rpc.Call[OneOperator, TokenList]{Verb: "GET", Path: "/api/v1/operators/{name}/tokens", Summary: "What stands for someone who runs the service", Needs: rpc.Viewer}
	addToken   = rpc.Call[NewProgramToken, ProgramToken]{Verb: "POST", Path: "/api/v1/operators/{name}/tokens", Summary: "Make a token by which a program acts for someone", Needs: rpc.Administrator, Status: http.StatusCreated}
	endToken   = rpc.Call[OneToken, struct{}]{Verb: "DELETE", Path: "/api/v1/operators/{name}/tokens/{id}", Summary: "End a token", Needs: rpc.Administrator}
	who        = rpc.Call[struct{}, OperatorMe]{Verb: "GET", Path: "/api/v1/operate/session", Summary: "Who runs the service from this browser"}
	signIn     = rpc.Call[OperatorSignIn, OperatorSession]{Verb: "POST", Path: "/api/v1/operate/session", Summary: "Sign in to run the service", Status: http.StatusCreated}
	signOut    = rpc.Call[struct{}, OperatorSignedOut]{Verb: "DELETE", Path: "/api/v1/operate/session", Summary: "Sign out from running the service", Status: http.StatusNoContent}
	invited    = rpc.Call[InvitationToken, Invited]{Verb: "POST", Path: "/api/v1/operate/invitations", Name: "readInvitation", Summary: "Whom an invitation is for"}
	accept     = rpc.Call[Acceptance, OperatorSession]{Verb: "POST", Path: "/api/v1/operate/passwords", Name: "acceptInvitation", Summary: "Set a password by an invitation", Status: http.StatusCreated}
	signOn     = rpc.Call[struct{}, SignOnStarted]{Verb: "POST", Path: "/api/v1/operate/signons", Name: "beginSignOn", Summary: "Begin to sign on through the provider", Timeout: signOnTime}
	finishSign = rpc.Call[SignOnReturn, OperatorSession]{Verb: "POST", Path: "/api/v1/operate/signons/returns", Name: "finishSignOn", Summary: "Come back from the provider", Status: http.StatusCreated, Timeout: signOnTime}
	actions    = rpc.Call[ActionsQuery, ActionPage]{Verb: "GET", Path: "/api/v1/audit", Summary: "What operators did, latest first", Needs: rpc.Viewer}
	verify     = rpc.Call[struct{}, bijou.AuditCheck]{Verb: "GET", Path: "/api/v1/audit/verification", Summary: "Is the audit log what was written", Needs: rpc.Viewer, Timeout: time.Minute}
)

// signOnTime is longer than a provider may take twice.
const signOnTime = 25 * time.Second

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		listAll.Serve(func(ctx context.Context, _ struct{}) (OperatorList, error) { return s.List(ctx) }),
		add.Serve(s.Add), setRole.Serve(nothing(s.SetRole)), remove.Serve(nothing(s.Remove)), invite.Serve(s.Invite),
		tokens.Serve(s.TokensOf), addToken.Serve(s.AddToken), endToken.Serve(nothing(s.EndToken)),
		who.Serve(s.Who), signIn.Serve(s.SignIn), signOut.Serve(s.SignOut), invited.Serve(s.Invited), accept.Serve(s.Accept),
		signOn.Serve(s.BeginSignOn), finishSign.Serve(s.FinishSignOn),
		actions.Serve(s.Actions), verify.Serve(func(ctx context.Context, _ struct{}) (bijou.AuditCheck, error) { return s.Verify(ctx) }),
	}
}

// nothing serves a method that answers with nothing.
func nothing[In any](f func(context.Context, In) error) func(context.Context, In) (struct{}, error) {
	return func(ctx context.Context, in In) (struct{}, error) { return struct{}{}, f(ctx, in) }
}

// Client is the room in another process, for who manages it.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// List returns everyone who runs the service.
func (c *Client) List(ctx context.Context) (OperatorList, error) {
	return listAll.Do(ctx, c.c, struct{}{})
}

// Add makes an operator, and an invitation by which they set a password.
func (c *Client) Add(ctx context.Context, in NewOperator) (Invitation, error) {
	return add.Do(ctx, c.c, in)
}

// SetRole gives an operator a role, and ends their sessions.
func (c *Client) SetRole(ctx context.Context, in NewRole) error {
	_, err := setRole.Do(ctx, c.c, in)
	return err
}

// Remove removes an operator with all that stands for them.
func (c *Client) Remove(ctx context.Context, in OneOperator) error {
	_, err := remove.Do(ctx, c.c, in)
	return err
}

// Invite makes an invitation by which an operator sets a new password.
func (c *Client) Invite(ctx context.Context, in OneOperator) (Invitation, error) {
	return invite.Do(ctx, c.c, in)
}

// TokensOf lists what stands for an operator.
func (c *Client) TokensOf(ctx context.Context, in OneOperator) (TokenList, error) {
	return tokens.Do(ctx, c.c, in)
}

// AddToken makes a token by which a program acts for an operator.
func (c *Client) AddToken(ctx context.Context, in NewProgramToken) (ProgramToken, error) {
	return addToken.Do(ctx, c.c, in)
}

// EndToken ends a token.
func (c *Client) EndToken(ctx context.Context, in OneToken) error {
	_, err := endToken.Do(ctx, c.c, in)
	return err
}

// Actions returns a page of the audit log.
func (c *Client) Actions(ctx context.Context, in ActionsQuery) (ActionPage, error) {
	return actions.Do(ctx, c.c, in)
}

// Verify reads the whole audit log and finds the first line that is not what was written.
func (c *Client) Verify(ctx context.Context) (bijou.AuditCheck, error) {
	return verify.Do(ctx, c.c, struct{}{})
}
