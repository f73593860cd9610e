package bijou

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// Identifiers are opaque and stable: a prefix that tells a person what it names, and 80 random bits. Nothing is read out of them.
type (
	TitleID   string // "ttl_…"
	AssetID   string // "ast_…": one encode of a title's source
	SourceID  string // "src_…": a film as it was handed in
	JobID     string // "job_…"
	AccountID string // "acc_…"
	ProfileID string // "prf_…"
	SignInID  string // "sgn_…": one device's sign-in
	SessionID string // "ply_…": one viewing of one title

	ApplianceID string // "apl_…": one box

	OperatorID string // "opr_…": someone who runs the service
	TokenID    string // "tok_…": a token that stands for an operator
)

// The prefixes of identifiers.
const (
	TitlePrefix   = "ttl_"
	AssetPrefix   = "ast_"
	SourcePrefix  = "src_"
	JobPrefix     = "job_"
	AccountPrefix = "acc_"
	ProfilePrefix = "prf_"
	SignInPrefix  = "sgn_"
	SessionPrefix = "ply_"

	AppliancePrefix = "apl_"

	OperatorPrefix = "opr_"
	TokenPrefix    = "tok_"
)

var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a fresh identifier with the prefix: 80 bits from the system's random source, 16 letters and digits.
func NewID[T ~string](prefix string) T {
	var b [10]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return T(prefix + idText.EncodeToString(b[:]))
}

// CheckID refuses, as Invalid, an identifier that does not begin with the prefix or holds anything but lower-case letters and digits after it.
func CheckID[T ~string](id T, prefix string) error {
	rest, ok := strings.CutPrefix(string(id), prefix)
	if !ok || rest == "" || len(rest) > 64 || strings.Trim(rest, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return fmt.Errorf("%q is not an identifier that begins with %s: %w", clip(string(id), 80), prefix, Invalid)
	}
	return nil
}

// clip shortens s for a message to n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
