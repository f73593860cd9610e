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

// AccountQuery asks for a page of accounts, ordered by the time they were made, newest first.
type AccountQuery struct {
	Email  string // accounts whose address holds this text only, where set
	Before string // Next of the page before; empty for the first page
	Limit  int    // at most this many, 1 to 500
}

// AccountPage is one page of accounts.
type AccountPage struct {
	Accounts []Account `json:"accounts"`
	Next     string    `json:"next,omitempty" doc:"Asks for the next page; absent on the last."`
}

// AccountStore keeps accounts and their passwords' hashes.
type AccountStore interface {
	// CreateAccount fails with Conflict where another account has the e-mail address.
	CreateAccount(ctx context.Context, a Account, passwordHash string) error
	// Account fails with NotFound for an unknown account.
	Account(ctx context.Context, id AccountID) (Account, error)
	// Credentials returns the account with this e-mail address and its password's hash, empty where it has no password. It fails with NotFound
	// where there is no such account.
	Credentials(ctx context.Context, email string) (Account, string, error)
	// Accounts returns a page of accounts. It fails with Invalid for a Before that no page gave.
	Accounts(ctx context.Context, q AccountQuery) (AccountPage, error)
	// SetPassword replaces the password's hash, ends every sign-in of the account but keep, and takes its reset links back, all or nothing.
	// It fails with NotFound for an unknown account.
	SetPassword(ctx context.Context, id AccountID, passwordHash string, keep SignInID) error
	// DeleteAccount removes the account, its sign-ins, its reset links and its identities. It fails with NotFound for an unknown account.
	DeleteAccount(ctx context.Context, id AccountID) error
}

// PINStore keeps the hashes of the PINs that guard profiles.
type PINStore interface {
	// SetPIN replaces the hash of the account's PIN; an empty one removes it. It fails with NotFound for an unknown account.
	SetPIN(ctx context.Context, id AccountID, pinHash string) error
	// PIN returns the hash, empty where the account has no PIN. It fails with NotFound for an unknown account.
	PIN(ctx context.Context, id AccountID) (string, error)
}

// Reset is a link by which a forgotten password is replaced, once. The store knows the hash of its token alone.
type Reset struct {
	TokenHash string
	Account   AccountID
	Expires   time.Time
}

// ResetRequest is somebody's wish for such a link, kept until the link is sent or nobody has the address.
type ResetRequest struct {
	Email string
	Asked time.Time
	Next  time.Time // when sending is tried again
	Tries int       // how often it has been tried
}

// MaxResetRequests bounds the wishes that wait.
const MaxResetRequests = 1000

// ResetStore keeps reset links, and the wishes for them that still wait.
type ResetStore interface {
	// RequestReset keeps r. A second wish for the same address changes nothing. It fails with Exhausted where MaxResetRequests wait.
	RequestReset(ctx context.Context, r ResetRequest) error
	// ResetRequests returns at most limit wishes whose Next is not after now, longest due first.
	ResetRequests(ctx context.Context, now time.Time, limit int) ([]ResetRequest, error)
	// PostponeReset keeps Next and Tries of a wish. One that is not kept stays away.
	PostponeReset(ctx context.Context, r ResetRequest) error
	// FinishReset forgets the wish for the address.
	FinishReset(ctx context.Context, email string) error
	// PutReset keeps a link, in place of the account's earlier ones. It fails with NotFound for an unknown account.
	PutReset(ctx context.Context, r Reset) error
	// Reset returns the link's account. It fails with NotFound for a link that is unknown, used, replaced, or expired at now.
	Reset(ctx context.Context, tokenHash string, now time.Time) (Account, error)
	// UseReset does what SetPassword does, keeping no sign-in, and fails as Reset does. Of many who use a link at once one succeeds.
	UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error
}
