package bijou

import (
	"context"
	"time"
)

// MemberSession is one device's sign-in. The store knows hashes of its tokens alone: the SHA-256, in hexadecimal.
type MemberSession struct {
	ID        SignInID  `json:"id"`
	Account   AccountID `json:"account"`
	Profile   ProfileID `json:"profile"` // who is watching
	Created   time.Time `json:"created"`
	Seen      time.Time `json:"seen" doc:"When it was last used, to a quarter of an hour."`
	Expires   time.Time `json:"expires"`
	Device    string    `json:"device,omitempty" doc:"What the device called itself, such as Firefox on Linux."`
	Address   string    `json:"address,omitempty" doc:"IP address that it was opened from."`
	TokenHash string    `json:"-"`
	Issued    time.Time `json:"-"` // when that token was given out
	// The token before it, which holds until its end: no end is set until the newer one has been used, since the answer that brought
	// the newer one may have been lost.
	OldHash  string    `json:"-"`
	OldUntil time.Time `json:"-"`
}

// SessionStore keeps sign-ins.
type SessionStore interface {
	// OpenSession keeps a sign-in. It fails with NotFound for an unknown account. The account's sign-ins beyond MaxSessions go, least lately seen first.
	OpenSession(ctx context.Context, s MemberSession) error
	// Session returns the sign-in that a token belongs to, by its TokenHash or its OldHash while that holds. It fails with NotFound
	// for a token that is unknown, closed, or expired at now.
	Session(ctx context.Context, tokenHash string, now time.Time) (MemberSession, error)
	// Sessions returns the account's sign-ins that hold at now, latest seen first.
	Sessions(ctx context.Context, id AccountID, now time.Time) ([]MemberSession, error)
	// NoteSession keeps when s was Seen, and when its old token ends, unless it has a newer token by now. One that is not kept stays away.
	NoteSession(ctx context.Context, s MemberSession) error
	// RotateSession gives the sign-in whose token is from another one, issued at now; from becomes its old token, without an end. It fails
	// with Conflict where from is not the newest token (any more), unless the newer one was never used and was issued before lost.
	RotateSession(ctx context.Context, from, to string, now, lost time.Time) error
	// ChooseProfile changes who watches by this sign-in. It fails with NotFound for an unknown sign-in.
	ChooseProfile(ctx context.Context, id SignInID, profile ProfileID) error
	// CloseSessions ends the sign-in only, or where that is empty all of the account's but except. It returns how many ended.
	CloseSessions(ctx context.Context, account AccountID, only, except SignInID) (int, error)
}

// MaxSessions bounds an account's sign-ins.
const MaxSessions = 100

// Sessions knows who a token belongs to. The members room offers it.
type Sessions interface {
	// Authenticate returns the caller whom a session token belongs to. It fails with Denied for a token that is unknown or expired.
	Authenticate(ctx context.Context, token string) (Caller, error)
	// Rotate replaces a token whose caller is Stale, and says when the sign-in ends. It fails with Conflict where that was just done.
	Rotate(ctx context.Context, token string) (RenewedToken, error)
}

// RenewedToken is a token in place of another.
type RenewedToken struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}
