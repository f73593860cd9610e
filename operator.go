package bijou

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// OperatorRole is what someone who runs the service may do. Each role may do what those before it may.
type OperatorRole string

// The roles.
const (
	RoleViewer        OperatorRole = "viewer"        // reads everything, changes nothing
	RoleOperator      OperatorRole = "operator"      // runs the service: titles, appliances, grants
	RoleAdministrator OperatorRole = "administrator" // users, tokens, keys, settings
)

// OperatorRoles are all roles, least first.
var OperatorRoles = []OperatorRole{RoleViewer, RoleOperator, RoleAdministrator}

// Includes tells whether the role may do what the other may. No role at all includes nothing.
func (r OperatorRole) Includes(other OperatorRole) bool {
	has := slices.Index(OperatorRoles, r)
	return has >= 0 && has >= slices.Index(OperatorRoles, other)
}

// Check refuses, as Invalid, what is no role.
func (r OperatorRole) Check() error {
	if !slices.Contains(OperatorRoles, r) {
		return fmt.Errorf("%q is no role: use viewer, operator or administrator: %w", clip(string(r), 80), Invalid)
	}
	return nil
}

// Operator is someone who runs the service.
type Operator struct {
	ID       OperatorID   `json:"id"`
	Name     string       `json:"name"`
	Role     OperatorRole `json:"role"`
	SignOn   string       `json:"sign_on,omitempty" doc:"Who this is at the sign-on provider: its address, a space, and its name for the person. Absent for who signs in with a password."`
	Password bool         `json:"password" doc:"Whether a password is set."`
	Created  time.Time    `json:"created"`
}

// LocalOperator is who holds DATA/operator.token: the command line on the service's own machine.
const (
	LocalOperator     OperatorID = "local"
	LocalOperatorName            = "local"
)

// LocalCaller is the caller who holds DATA/operator.token.
var LocalCaller = Caller{Operator: LocalOperator, OperatorName: LocalOperatorName, Role: RoleAdministrator}

// NormalOperatorName returns the name as operators are found by it: trimmed and in lower case. It fails with Invalid where it is no name.
func NormalOperatorName(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "" || len(s) > 128 || s == LocalOperatorName || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_@+") != "" || strings.Trim(s[:1], ".-_@+") == "" {
		return "", fmt.Errorf("%q is not a name for an operator: use letters, digits and . - _ @ +, such as ada or ada@example.org, and not %s: %w",
			clip(s, 80), LocalOperatorName, Invalid)
	}
	return s, nil
}

// OperatorTokenKind says what a token is for.
type OperatorTokenKind string

// What tokens are for.
const (
	TokenSession    OperatorTokenKind = "session"    // a browser's sign-in
	TokenProgram    OperatorTokenKind = "program"    // a program that acts for an operator
	TokenInvitation OperatorTokenKind = "invitation" // lets one person set a password, once
)

// ProgramTokenPrefix begins a program's token, so that people and programs that look for secrets know what they found.
const ProgramTokenPrefix = "bijou_op_"

// OperatorToken is a secret that stands for an operator. The store knows its hash alone.
type OperatorToken struct {
	ID       TokenID           `json:"id"`
	Hash     string            `json:"-"` // SHA-256 of the token, in hexadecimal
	Kind     OperatorTokenKind `json:"kind"`
	Operator OperatorID        `json:"operator"` // empty for the invitation of the first administrator
	Note     string            `json:"note,omitempty" doc:"What it is for."`
	Created  time.Time         `json:"created"`
	Expires  time.Time         `json:"expires"`
}

// OperatorStore keeps operators and their passwords' hashes.
type OperatorStore interface {
	// CreateOperator fails with Conflict where another operator has the name or the sign-on.
	CreateOperator(ctx context.Context, o Operator) error
	// Operator fails with NotFound for an unknown operator.
	Operator(ctx context.Context, id OperatorID) (Operator, error)
	// Operators returns all, by name.
	Operators(ctx context.Context) ([]Operator, error)
	// OperatorPassword returns the password's hash, or nothing where none is set. It fails with NotFound for an unknown operator.
	OperatorPassword(ctx context.Context, id OperatorID) (string, error)
	// SetOperatorRole changes the role and ends the operator's sessions, both or none. It fails with NotFound for an unknown operator.
	SetOperatorRole(ctx context.Context, id OperatorID, role OperatorRole) error
	// RemoveOperator removes the operator and all their tokens. It fails with NotFound for an unknown operator.
	RemoveOperator(ctx context.Context, id OperatorID) error
	// AcceptInvitation uses an invitation up and sets the password of whom it invites, which ends their sessions. One that invites nobody yet
	// creates o. It returns the operator. It fails with NotFound for an invitation that is unknown, used, or expired at now, and with Conflict
	// where another has o's name; then the invitation can still be used.
	AcceptInvitation(ctx context.Context, tokenHash string, now time.Time, o Operator, passwordHash string) (Operator, error)
}

// OperatorTokenStore keeps what stands for operators.
type OperatorTokenStore interface {
	// AddOperatorToken keeps a token; an invitation takes the place of the one before it for the same person. Tokens that have ended when it was
	// created are removed. It fails with NotFound for an unknown operator.
	AddOperatorToken(ctx context.Context, t OperatorToken) error
	// OperatorToken returns the token with the hash. It fails with NotFound where it is unknown, or expired at now.
	OperatorToken(ctx context.Context, hash string, now time.Time) (OperatorToken, error)
	// OperatorTokens returns the tokens of one operator that hold at now, oldest first. The empty identifier asks for the first administrator's.
	OperatorTokens(ctx context.Context, id OperatorID, now time.Time) ([]OperatorToken, error)
	// RemoveOperatorToken ends a token. Ending one that does not exist does nothing.
	RemoveOperatorToken(ctx context.Context, id TokenID) error
}

// Operators knows whom a token stands for. The members room offers it.
type Operators interface {
	// AuthenticateOperator returns the caller whom a token of the kind stands for. It fails with Denied for one that is unknown, expired, or of
	// another kind.
	AuthenticateOperator(ctx context.Context, token string, kind OperatorTokenKind) (Caller, error)
}
