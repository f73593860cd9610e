package members

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

// nobodysHash is compared with when an address is unknown, so that this takes as long as a wrong password.
const nobodysHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

var b64 = base64.RawStdEncoding.Strict()

// hash returns the password's hash in the PHC string format. It waits for a slot, so that many sign-ups at once do not take all memory.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	release, err := s.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, argonPasses, argonKiB, argonLanes, argonHashLen)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonKiB, argonPasses, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// verify tells whether the password has the hash. It fails with Corrupt for a hash that cannot be read.
func (s *Service) verify(ctx context.Context, password, hash string) (bool, error) {
	release, err := s.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	h, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	sum := argon2.IDKey([]byte(password), h.salt, h.passes, h.kib, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1, nil
}

func (s *Service) slot(ctx context.Context) (release func(), err error) {
	select {
	case s.hashing <- struct{}{}:
		return func() { <-s.hashing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("too many people sign in at this moment: try again: %w", bijou.Exhausted)
	}
}

type passwordHash struct {
	passes, kib uint32
	lanes       uint8
	salt, sum   []byte
}

func parseHash(s string) (h passwordHash, err error) {
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
	if h.salt, err = b64.DecodeString(parts[4]); err != nil {
		return h, corrupt
	}
	if h.sum, err = b64.DecodeString(parts[5]); err != nil {
		return h, corrupt
	}
	// The bounds keep a damaged row from taking all memory.
	if h.kib < 8 || h.kib > 1<<20 || h.passes < 1 || h.passes > 100 || h.lanes < 1 || len(h.sum) < 16 || len(h.sum) > 128 {
		return h, corrupt
	}
	return h, nil
}
