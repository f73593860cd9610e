package members

import (
	"context"
	"net/http"
	"time"

	"bijou"
	"bijou/kit/rpc"
)

// cookiePath keeps the cookie away from segments, which carry none.
const cookiePath = "/api/"

// Cookie returns the browser's session cookie. One that goes over HTTPS alone is given to whom HTTPS was spoken with.
func Cookie(token string, expires time.Time, secure bool) *http.Cookie {
	return &http.Cookie{
		Name: rpc.SessionCookie, Value: token, Path: cookiePath, Expires: expires, Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func setCookie(token string, expires time.Time, secure bool) http.Header {
	return http.Header{"Set-Cookie": {Cookie(token, expires, secure).String()}}
}

// Session is an open sign-in.
type Session struct {
	Account bijou.Account `json:"account"`
	Profile bijou.Profile `json:"profile"`
	Expires time.Time     `json:"expires"`
	Token   string        `json:"token,omitempty" doc:"Send as Authorization: Bearer; absent where a cookie was asked for."`

	cookie string
	secure bool
}

// ResponseHeader sets the cookie, where one was asked for.
func (s Session) ResponseHeader() http.Header {
	if s.cookie == "" {
		return nil
	}
	return setCookie(s.cookie, s.Expires, s.secure)
}

// SignedOut is the answer to the end of a session.
type SignedOut struct{ secure bool }

// ResponseHeader removes the cookie.
func (s SignedOut) ResponseHeader() http.Header { return setCookie("", time.Unix(1, 0), s.secure) }

// OldToken is a token that is to be replaced.
type OldToken struct {
	Token string `json:"token" maxLength:"200"`
}

// Me says who the caller is.
type Me struct {
	Guest   bool           `json:"guest"`
	Account *bijou.Account `json:"account,omitempty"`
	Profile *bijou.Profile `json:"profile,omitempty" doc:"Absent where the profile was deleted: then another is to be chosen."`
	SignUp  string         `json:"sign_up" enum:"open,closed" doc:"Whether people may make accounts by themselves."`

	SignOn    string `json:"sign_on,omitempty" doc:"Host of the sign-on provider; absent where there is none."`
	Password  bool   `json:"password,omitempty" doc:"Whether the account has a password. Where it has none, a sign-on of the last ten minutes counts wherever one is asked for."`
	Connected bool   `json:"connected,omitempty" doc:"Whether the account signs on by the provider."`
}

// SignOnBegun says where the browser goes.
type SignOnBegun struct {
	Address string    `json:"address"`
	Binding string    `json:"binding" doc:"Keep it in the browser and send it at the end: who was lured to the end alone has none."`
	Expires time.Time `json:"expires"`
}

// SignOnCode is what the browser came back with from the sign-on provider.
type SignOnCode struct {
	State   string `json:"state" maxLength:"200"`
	Code    string `json:"code,omitempty" maxLength:"4096"`
	Error   string `json:"error,omitempty" maxLength:"200" doc:"What the provider says in place of a code."`
	Binding string `json:"binding" maxLength:"200"`
}

// SignOnReturn signs on with what the browser came back with.
type SignOnReturn struct {
	SignOnCode
	Cookie bool   `json:"cookie,omitempty" doc:"Set the session as a cookie and leave the token out of the answer: for browsers."`
	Device string `json:"device,omitempty" maxLength:"80" doc:"What the device calls itself in the list of sign-ins, such as Firefox on Linux."`
}

// ConnectSignOn connects the account with whom the provider knows.
type ConnectSignOn struct {
	SignOnCode
	Password string `json:"password" maxLength:"1024"`
}

// DisconnectSignOn ends that.
type DisconnectSignOn struct {
	Password string `json:"password" maxLength:"1024"`
}

// ListedSignIn is a sign-in as its member sees it.
type ListedSignIn struct {
	bijou.MemberSession
	Current bool `json:"current" doc:"The one that asks."`
}

// SignInList is the account's sign-ins, latest seen first.
type SignInList struct {
	Sessions []ListedSignIn `json:"sessions"`
}

// OneSignIn names a sign-in.
type OneSignIn struct {
	ID bijou.SignInID `path:"id"`
}

// EndSignIns says which sign-ins are to end.
type EndSignIns struct {
	Everywhere bool `json:"everywhere,omitempty" doc:"The one that asks too."`
}

// Ended says how many sign-ins ended.
type Ended struct {
	Ended int `json:"ended"`
}

// ChangePassword is a new password in place of the old one.
type ChangePassword struct {
	Old string `json:"old" maxLength:"1024"`
	New string `json:"new" minLength:"8" maxLength:"1024"`
}

// AskReset is somebody's wish for a link by which the account's password is set.
type AskReset struct {
	Email string `json:"email" maxLength:"254"`
}

// UseReset sets a password by a link.
type UseReset struct {
	Token    string `json:"token" maxLength:"200" doc:"What stands behind the # of the link."`
	Password string `json:"password" minLength:"8" maxLength:"1024"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Set the session as a cookie and leave the token out of the answer: for browsers."`
	Device   string `json:"device,omitempty" maxLength:"80" doc:"What the device calls itself in the list of sign-ins, such as Firefox on Linux."`
}

// Leave deletes the caller's account.
type Leave struct {
	Password string `json:"password" maxLength:"1024"`
}

// Export is all that is kept of an account.
type Export struct {
	At         time.Time             `json:"at"`
	Account    bijou.Account         `json:"account"`
	PIN        bool                  `json:"pin" doc:"Whether a PIN is set. The PIN itself is not kept, nor is the password."`
	Identities []bijou.Identity      `json:"identities" doc:"By which the member signs on."`
	Sessions   []bijou.MemberSession `json:"sessions"`
	Profiles   []ExportedProfile     `json:"profiles"`
}

// ExportedProfile is all that is kept of a profile.
type ExportedProfile struct {
	bijou.Profile
	List      []bijou.ListEntry `json:"list"`
	Positions []bijou.Position  `json:"positions"`
}

// ResponseHeader makes a file of the document.
func (Export) ResponseHeader() http.Header {
	return http.Header{"Content-Disposition": {`attachment; filename="bijou-account.json"`}}
}

// AccountsQuery asks for a page of accounts.
type AccountsQuery struct {
	Email  string `query:"email" maxLength:"254" doc:"A part of the address."`
	Before string `query:"before" doc:"Next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" doc:"At most this many; 100 where absent."`
}

// AddAccount makes an account for somebody.
type AddAccount struct {
	Email string `json:"email" maxLength:"254"`
}

// OneAccount names an account.
type OneAccount struct {
	ID bijou.AccountID `path:"id"`
}

// ResetLink is a link by which an account's password is set, once.
type ResetLink struct {
	Account bijou.Account `json:"account"`
	Link    string        `json:"link"`
	Expires time.Time     `json:"expires"`
}

// ProfileList is the account's profiles, oldest first.
type ProfileList struct {
	Profiles []bijou.Profile `json:"profiles"`
	PIN      bool            `json:"pin" doc:"A PIN guards the profiles that are not for children, and every change of them."`
}

// MakeProfile makes a profile.
type MakeProfile struct {
	Name     string `json:"name" maxLength:"60"`
	Children bool   `json:"children,omitempty" doc:"Sees titles for children only."`
	PIN      string `json:"pin,omitempty" maxLength:"4" doc:"Asked for where one is set."`
}

// ChangeProfile changes a profile.
type ChangeProfile struct {
	ID       bijou.ProfileID `path:"id"`
	Name     string          `json:"name" maxLength:"60"`
	Children bool            `json:"children" doc:"Sees titles for children only."`
	PIN      string          `json:"pin,omitempty" maxLength:"4" doc:"Asked for where one is set."`
}

// RemoveProfile deletes a profile.
type RemoveProfile struct {
	ID  bijou.ProfileID `path:"id"`
	PIN string          `json:"pin,omitempty" maxLength:"4" doc:"Asked for where one is set."`
}

// ChooseProfile says who is watching.
type ChooseProfile struct {
	Profile bijou.ProfileID `json:"profile"`
	PIN     string          `json:"pin,omitempty" maxLength:"4" doc:"Asked for where one is set and the profile is not a children's."`
}

// SetPIN sets or removes the account's PIN.
type SetPIN struct {
	Password string `json:"password" maxLength:"1024"`
	PIN      string `json:"pin,omitempty" pattern:"^([0-9]{4})?$" maxLength:"4" doc:"Four digits; absent: the PIN is removed."`
}

// ListQuery asks for a page of the profile's own list.
type ListQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" doc:"At most this many; 100 where absent. A list holds 500."`
	Before string `query:"before" doc:"Next of the page before."`
}

// OneListed names a title of the profile's own list.
type OneListed struct {
	Title bijou.TitleID `path:"title"`
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
	signUp       = rpc.Call[SignUp, Session]{Verb: "POST", Path: "/api/v1/accounts", Summary: "Sign up", Status: http.StatusCreated}
	signIn       = rpc.Call[SignIn, Session]{Verb: "POST", Path: "/api/v1/sessions", Summary: "Sign in", Status: http.StatusCreated}
	signOut      = rpc.Call[struct{}, SignedOut]{Verb: "DELETE", Path: "/api/v1/session", Summary: "Sign out", Status: http.StatusNoContent}
	renewSession = rpc.Call[OldToken, bijou.RenewedToken]{Verb: "POST", Path: "/api/v1/session/renewals", Summary: "Replace a session's token; the old one holds a minute from the first use of the new"}
	signIns      = rpc.Call[struct{}, SignInList]{Verb: "GET", Path: "/api/v1/sessions", Summary: "One's sign-ins", Needs: rpc.Member}
	endSignIn    = rpc.Call[OneSignIn, struct{}]{Verb: "DELETE", Path: "/api/v1/sessions/{id}", Name: "endSession", Summary: "End one sign-in", Needs: rpc.Member}
	endSignIns   = rpc.Call[EndSignIns, Ended]{Verb: "POST", Path: "/api/v1/sessions/ends", Name: "endSessions", Summary: "End one's sign-ins everywhere, or everywhere else", Needs: rpc.Member}

	beginSignOn      = rpc.Call[struct{}, SignOnBegun]{Verb: "POST", Path: "/api/v1/signons", Name: "beginMemberSignOn", Summary: "Begin to sign on through the provider", Timeout: signOnTime}
	finishSignOn     = rpc.Call[SignOnReturn, Session]{Verb: "POST", Path: "/api/v1/signons/returns", Name: "finishMemberSignOn", Summary: "Come back from the provider; the first time makes the account", Status: http.StatusCreated, Timeout: signOnTime}
	connectSignOn    = rpc.Call[ConnectSignOn, struct{}]{Verb: "POST", Path: "/api/v1/account/signons", Name: "connectSignOn", Summary: "Connect one's account with whom the provider knows", Needs: rpc.Member, Timeout: signOnTime}
	disconnectSignOn = rpc.Call[DisconnectSignOn, struct{}]{Verb: "POST", Path: "/api/v1/account/signons/ends", Name: "disconnectSignOn", Summary: "End that one's account signs on by the provider", Needs: rpc.Member}

	askReset = rpc.Call[AskReset, struct{}]{Verb: "POST", Path: "/api/v1/password-resets", Summary: "Have a link sent by which a forgotten password is set anew"}
	useReset = rpc.Call[UseReset, Session]{Verb: "POST", Path: "/api/v1/password-resets/uses", Name: "usePasswordReset", Summary: "Set a password by such a link, and sign in", Status: http.StatusCreated}

	me             = rpc.Call[struct{}, Me]{Verb: "GET", Path: "/api/v1/me", Summary: "Who am I"}
	changePassword = rpc.Call[ChangePassword, struct{}]{Verb: "PUT", Path: "/api/v1/account/password", Summary: "Change one's password; every other sign-in ends", Needs: rpc.Member}
	setPIN         = rpc.Call[SetPIN, struct{}]{Verb: "PUT", Path: "/api/v1/account/pin", Summary: "Set or remove the PIN that guards profiles", Needs: rpc.Member}
	export         = rpc.Call[struct{}, Export]{Verb: "GET", Path: "/api/v1/account/export", Summary: "All that is kept of one's account", Needs: rpc.Member}
	leave          = rpc.Call[Leave, SignedOut]{Verb: "POST", Path: "/api/v1/account/deletions", Name: "deleteOwnAccount", Summary: "Delete one's account and all that is kept of it", Needs: rpc.Member, Status: http.StatusNoContent}

	listProfiles  = rpc.Call[struct{}, ProfileList]{Verb: "GET", Path: "/api/v1/profiles", Summary: "One's profiles", Needs: rpc.Member}
	makeProfile   = rpc.Call[MakeProfile, bijou.Profile]{Verb: "POST", Path: "/api/v1/profiles", Summary: "Make a profile", Needs: rpc.Member, Status: http.StatusCreated}
	changeProfile = rpc.Call[ChangeProfile, bijou.Profile]{Verb: "PUT", Path: "/api/v1/profiles/{id}", Summary: "Rename a profile, or change its flag", Needs: rpc.Member}
	removeProfile = rpc.Call[RemoveProfile, struct{}]{Verb: "POST", Path: "/api/v1/profiles/{id}/deletions", Name: "deleteProfile", Summary: "Delete a profile, its list and its positions", Needs: rpc.Member}
	chooseProfile = rpc.Call[ChooseProfile, bijou.Profile]{Verb: "PUT", Path: "/api/v1/session/profile", Summary: "Say who is watching", Needs: rpc.Member}

	readList       = rpc.Call[ListQuery, bijou.ListPage]{Verb: "GET", Path: "/api/v1/list", Summary: "What the profile wants to see later, latest first", Needs: rpc.Member}
	addToList      = rpc.Call[OneListed, struct{}]{Verb: "PUT", Path: "/api/v1/list/{title}", Summary: "Put a title on the list", Needs: rpc.Member}
	removeFromList = rpc.Call[OneListed, struct{}]{Verb: "DELETE", Path: "/api/v1/list/{title}", Summary: "Take a title off the list", Needs: rpc.Member}

	positions     = rpc.Call[PositionsQuery, PositionList]{Verb: "GET", Path: "/api/v1/positions", Summary: "What can be watched on", Needs: rpc.Member}
	bringPosition = rpc.Call[BringPosition, struct{}]{Verb: "POST", Path: "/api/v1/positions", Summary: "Bring a guest's position along", Needs: rpc.Member}

	findAccounts  = rpc.Call[AccountsQuery, bijou.AccountPage]{Verb: "GET", Path: "/api/v1/accounts", Summary: "Accounts, newest first", Needs: rpc.Operator}
	addAccount    = rpc.Call[AddAccount, ResetLink]{Verb: "POST", Path: "/api/v1/accounts/invitations", Name: "addAccount", Summary: "Make an account for somebody, who sets its password by the link", Needs: rpc.Operator, Status: http.StatusCreated}
	removeAccount = rpc.Call[OneAccount, struct{}]{Verb: "DELETE", Path: "/api/v1/accounts/{id}", Name: "deleteAccount", Summary: "Delete an account and all that is kept of it", Needs: rpc.Operator}
	makeResetLink = rpc.Call[OneAccount, ResetLink]{Verb: "POST", Path: "/api/v1/accounts/{id}/resets", Summary: "Make a link by which an account's password is set", Needs: rpc.Operator, Status: http.StatusCreated}

	authenticate = rpc.Call[TokenQuery, bijou.Caller]{Verb: "POST", Path: "/role/members/authenticate", Summary: "Whose token is this", Needs: rpc.Internal, Idempotent: true}
	rotate       = rpc.Call[TokenQuery, bijou.RenewedToken]{Verb: "POST", Path: "/role/members/rotate", Summary: "Replace this token", Needs: rpc.Internal}
	lastPosition = rpc.Call[LastPositionQuery, bijou.Position]{Verb: "GET", Path: "/role/members/positions/{profile}/{title}", Summary: "Where did the profile stop", Needs: rpc.Internal}
)

// signOnTime is longer than a provider may take twice.
const signOnTime = 25 * time.Second

// Routes are the room's methods as served.
func (s *Service) Routes() []rpc.Route {
	return []rpc.Route{
		signUp.Serve(s.SignUp), signIn.Serve(s.SignIn), signOut.Serve(s.SignOut), signIns.Serve(s.SignIns), endSignIn.Serve(s.EndSignIn),
		endSignIns.Serve(s.EndSignIns), askReset.Serve(s.AskReset), useReset.Serve(s.UseReset), me.Serve(s.Me), changePassword.Serve(s.ChangePassword),
		setPIN.Serve(s.SetPIN), export.Serve(s.Export), leave.Serve(s.Leave), listProfiles.Serve(s.ListProfiles), makeProfile.Serve(s.MakeProfile),
		changeProfile.Serve(s.ChangeProfile), removeProfile.Serve(s.RemoveProfile), chooseProfile.Serve(s.ChooseProfile), readList.Serve(s.ReadList),
		addToList.Serve(s.AddToList), removeFromList.Serve(s.RemoveFromList), positions.Serve(s.Positions), bringPosition.Serve(s.BringPosition),
		findAccounts.Serve(s.FindAccounts), addAccount.Serve(s.AddAccount), removeAccount.Serve(s.RemoveAccount), makeResetLink.Serve(s.MakeResetLink),
		beginSignOn.Serve(s.BeginSignOn), finishSignOn.Serve(s.FinishSignOn), connectSignOn.Serve(s.ConnectSignOn), disconnectSignOn.Serve(s.DisconnectSignOn),
		renewSession.Serve(func(ctx context.Context, in OldToken) (bijou.RenewedToken, error) { return s.Rotate(ctx, in.Token) }),
		rotate.Serve(func(ctx context.Context, in TokenQuery) (bijou.RenewedToken, error) { return s.Rotate(ctx, in.Token) }),
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

// Rotate implements bijou.Sessions.
func (c *Client) Rotate(ctx context.Context, token string) (bijou.RenewedToken, error) {
	return rotate.Do(ctx, c.c, TokenQuery{token})
}

// LastPosition implements bijou.Positions.
func (c *Client) LastPosition(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	return lastPosition.Do(ctx, c.c, LastPositionQuery{profile, title})
}

// FindAccounts is as Service.FindAccounts.
func (c *Client) FindAccounts(ctx context.Context, in AccountsQuery) (bijou.AccountPage, error) {
	return findAccounts.Do(ctx, c.c, in)
}

// AddAccount is as Service.AddAccount.
func (c *Client) AddAccount(ctx context.Context, in AddAccount) (ResetLink, error) {
	return addAccount.Do(ctx, c.c, in)
}

// RemoveAccount is as Service.RemoveAccount.
func (c *Client) RemoveAccount(ctx context.Context, id bijou.AccountID) error {
	_, err := removeAccount.Do(ctx, c.c, OneAccount{id})
	return err
}

// MakeResetLink is as Service.MakeResetLink.
func (c *Client) MakeResetLink(ctx context.Context, id bijou.AccountID) (ResetLink, error) {
	return makeResetLink.Do(ctx, c.c, OneAccount{id})
}
