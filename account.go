package bijou

import (
	"context"
	"fmt"
	"net/mail"
	"strings"
	"time"
)

// Account is a member of the service: who signs in.
type Account struct {
	ID      AccountID `json:"id"`
	Email   string    `json:"email"`
	Created time.Time `json:"created"`
}

// NormalEmail returns the address as accounts are found by it: trimmed and in lower case. It fails with Invalid where it is no address.
func NormalEmail(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 {
		return "", fmt.Errorf("%q is not an e-mail address: type one such as ada@example.org: %w", clip(s, 80), Invalid)
	}
	return s, nil
}

// MemberSession is one device's sign-in. The store knows the token's hash alone.
type MemberSession struct {
	TokenHash string    `json:"token_hash"` // SHA-256 of the token, in hexadecimal
	Account   AccountID `json:"account"`
	Profile   ProfileID `json:"profile"` // who is watching
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
}

// AccountStore keeps accounts, their passwords' hashes, and sign-ins.
type AccountStore interface {
	// CreateAccount fails with Conflict where another account has the e-mail address.
	CreateAccount(ctx context.Context, a Account, passwordHash string) error
	// Account fails with NotFound for an unknown account.
	Account(ctx context.Context, id AccountID) (Account, error)
	// Credentials returns the account with this e-mail address and its password's hash. It fails with NotFound where there is none.
	Credentials(ctx context.Context, email string) (Account, string, error)
	// OpenSession keeps a sign-in. It fails with NotFound for an unknown account.
	OpenSession(ctx context.Context, s MemberSession) error
	// Session fails with NotFound for a token that is unknown, closed, or expired at now.
	Session(ctx context.Context, tokenHash string, now time.Time) (MemberSession, error)
	// CloseSession ends a sign-in. Closing one that does not exist does nothing.
	CloseSession(ctx context.Context, tokenHash string) error
}

// Sessions knows who a token belongs to. The members room offers it.
type Sessions interface {
	// Authenticate returns the caller whom a session token belongs to. It fails with Denied for a token that is unknown or expired.
	Authenticate(ctx context.Context, token string) (Caller, error)
}
