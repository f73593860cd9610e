package members

import (
	"context"
	"net/http"
	"time"

	"bijou"
	"bijou/kit/rpc"
)

// CookieName is the browser's session cookie.
const CookieName = rpc.SessionCookie

// cookiePath keeps the cookie away from segments, which carry none.
const cookiePath = "/api/"

// Session is an open sign-in.
type Session struct {
	Account bijou.Account `json:"account"`
	Profile bijou.Profile `json:"profile"`
	Expires time.Time     `json:"expires"`
	Token   string        `json:"token,omitempty" doc:"Send as Authorization: Bearer; absent where a cookie was asked for."`

	cookie string
}

// ResponseHeader sets the cookie, where one was asked for.
func (s Session) ResponseHeader() http.Header {
	if s.cookie == "" {
		return nil
	}
	return setCookie(s.cookie, s.Expires)
}

// SignedOut is the answer to the end of a session.
type SignedOut struct{}

// ResponseHeader removes the cookie.
func (SignedOut) ResponseHeader() http.Header { return setCookie("", time.Unix(1, 0)) }

func setCookie(value string, expires time.Time) http.Header {
	c := http.Cookie{Name: CookieName, Value: value, Path: cookiePath, Expires: expires, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	return http.Header{"Set-Cookie": {c.String()}}
}

// Me says who the caller is.
type Me struct {
	Guest   bool           `json:"guest"`
	Account *bijou.Account `json:"account,omitempty"`
	Profile *bijou.Profile `json:"profile,omitempty"`
}

// PositionsQuery asks for positions.
type PositionsQuery struct {
	Limit int `query:"limit" minimum:"1" maximum:"200" doc:"At most this many; 50 where absent."`
}

// PositionList is a list of positions, latest first.
type PositionList struct {
	Positions []bijou.Position `json:"positions"`
}

// BringPosition is a position that was reached as a guest.
type BringPosition struct {
	Title      bijou.TitleID `json:"title"`
	PositionMS int64         `json:"position_ms" minimum:"0" maximum:"604800000"`
	RuntimeMS  int64         `json:"runtime_ms" minimum:"0" maximum:"604800000"`
}

// LastPositionQuery asks for one profile's position in one title.
type LastPositionQuery struct {
	Profile bijou.ProfileID `path:"profile"`
	Title   bijou.TitleID   `path:"title"`
}

// TokenQuery asks who a session token belongs to.
type TokenQuery struct {
	Token string `json:"token"`
}

var (
	signUp        = rpc.Call[SignUp, Session]{Verb: "POST", Path: "/api/v1/accounts", Summary: "Sign up", Status: http.StatusCreated}
	signIn        = rpc.Call[SignIn, Session]{Verb: "POST", Path: "/api/v1/sessions", Summary: "Sign in", Status: http.StatusCreated}
	signOut       = rpc.Call[struct{}, SignedOut]{Verb: "DELETE", Path: "/api/v1/session", Summary: "Sign out", Status: http.StatusNoContent}
	me            = rpc.Call[struct{}, Me]{Verb: "GET", Path: "/api/v1/me", Summary: "Who am I"}
	positions     = rpc.Call[PositionsQuery, PositionList]{Verb: "GET", Path: "/api/v1/positions", Summary: "What can be watched on", Needs: rpc.Member}
	bringPosition = rpc.Call[BringPosition, struct{}]{Verb: "POST", Path: "/api/v1/positions", Summary: "Bring a guest's position along", Needs: rpc.Member}
	authenticate  = rpc.Call[TokenQuery, bijou.Caller]{Verb: "POST", Path: "/role/members/authenticate", Summary: "Whose token is this", Needs: rpc.Internal, Idempotent: true}
	lastPosition  = rpc.Call[LastPositionQuery, bijou.Position]{Verb: "GET", Path: "/role/members/positions/{profile}/{title}", Summary: "Where did the profile stop", Needs: rpc.Internal}
)

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		signUp.Serve(s.SignUp), signIn.Serve(s.SignIn), signOut.Serve(s.SignOut), me.Serve(s.Me),
		positions.Serve(s.Positions), bringPosition.Serve(s.BringPosition),
		authenticate.Serve(func(ctx context.Context, in TokenQuery) (bijou.Caller, error) { return s.Authenticate(ctx, in.Token) }),
		lastPosition.Serve(func(ctx context.Context, in LastPositionQuery) (bijou.Position, error) {
			return s.LastPosition(ctx, in.Profile, in.Title)
		}),
	}
}

// Client is the room in another process.
type Client struct{ c *rpc.Client }

// NewClient returns the room behind c.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// Authenticate implements bijou.Sessions.
func (c *Client) Authenticate(ctx context.Context, token string) (bijou.Caller, error) {
	return authenticate.Do(ctx, c.c, TokenQuery{token})
}

// LastPosition implements bijou.Positions.
func (c *Client) LastPosition(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	return lastPosition.Do(ctx, c.c, LastPositionQuery{profile, title})
}
