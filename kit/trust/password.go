package trust

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"bijou"

	"golang.org/x/crypto/argon2"
)

// The cost of a password's hash: argon2id with 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet, 2024; RFC 9106).
const (
	argonPasses  = 2
	argonKiB     = 19 * 1024
	argonLanes   = 1
	argonSalt    = 16 // bytes
	argonHashLen = 32 // bytes
)

// NobodysHash is what a password is compared with where there is no such person, so that this takes as long as a wrong password.
const NobodysHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

var passwordText = base64.RawStdEncoding.Strict()

// Passwords makes and checks hashes of passwords, a few at once.
type Passwords struct{ slots chan struct{} }

// NewPasswords returns one that hashes so many passwords at once: each takes 19 MiB.
func NewPasswords(atOnce int) *Passwords { return &Passwords{make(chan struct{}, atOnce)} }

// Hash returns the password's hash in the PHC string format. It waits for a slot, and fails with Exhausted where ctx ends before there is one.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, argonSalt)
	rand.Read(salt) // never fails: crypto/rand ends the process instead
	sum := argon2.IDKey([]byte(password), salt, argonPasses, argonKiB, argonLanes, argonHashLen)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonKiB, argonPasses, argonLanes,
		passwordText.EncodeToString(salt), passwordText.EncodeToString(sum)), nil
}

// Verify tells whether the password has the hash. It fails with Corrupt for a hash that cannot be read, and as Hash does.
func (p *Passwords) Verify(ctx context.Context, password, hash string) (bool, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	h, err := parsePasswordHash(hash)
	if err != nil {
		return false, err
	}
	sum := argon2.IDKey([]byte(password), h.salt, h.passes, h.kib, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1, nil
}

func (p *Passwords) slot(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("too many people sign in at this moment: try again: %w", bijou.Exhausted)
	}
}

type passwordHash struct {
	passes, kib uint32
	lanes       uint8
	salt, sum   []byte
}

func parsePasswordHash(s string) (h passwordHash, err error) {
	corrupt := fmt.Errorf("stored password hash cannot be read: %w", bijou.Corrupt)
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, corrupt
	}
	const costs = "m=%d,t=%d,p=%d"
	_, err = fmt.Sscanf(parts[3], costs, &h.kib, &h.passes, &h.lanes)
	if err != nil || fmt.Sprintf(costs, h.kib, h.passes, h.lanes) != parts[3] { // Sscanf takes what follows
		return h, corrupt
	}
	if h.salt, err = passwordText.DecodeString(parts[4]); err != nil {
		return h, corrupt
	}
	if h.sum, err = passwordText.DecodeString(parts[5]); err != nil {
		return h, corrupt
	}
	// The bounds keep a damaged row from taking all memory.
	if h.kib < 8 || h.kib > 1<<20 || h.passes < 1 || h.passes > 100 || h.lanes < 1 || len(h.sum) < 16 || len(h.sum) > 128 {
		return h, corrupt
	}
	return h, nil
}
