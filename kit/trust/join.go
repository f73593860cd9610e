package trust

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"bijou"
)

// A join token is text that a person carries: the prefix, the authority's fingerprint, and a secret, both in hexadecimal with a dot between.
const joinPrefix = "bijou-join-"

// maxTokens bounds the tokens that wait to be used.
const maxTokens = 1000

// Tokens are what lets machines join: each once, and for a while.
type Tokens struct {
	path string
	mu   sync.Mutex
}

// joinToken is what is kept of a token.
type joinToken struct {
	Hash    string    `json:"hash"` // of the secret
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	Key     string    `json:"key,omitempty"` // hash of the request's key that used it
}

// NewTokens returns the tokens kept in the file.
func NewTokens(path string) *Tokens { return &Tokens{path: path} }

func (t *Tokens) load(now time.Time) ([]joinToken, error) {
	raw, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all, alive []joinToken
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("join tokens in %s cannot be read (%v): remove the file, and make new tokens: %w", t.path, err, bijou.Corrupt)
	}
	for _, x := range all {
		if now.Before(x.Expires) {
			alive = append(alive, x)
		}
	}
	return alive, nil
}

func (t *Tokens) save(all []joinToken) error {
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return replace(t.path, raw)
}

// Create returns a token by which one machine may join with the role within the term. It fails with Exhausted where too many wait.
func (t *Tokens) Create(authority *Authority, role string, now time.Time, term time.Duration) (string, error) {
	if err := checkMember(role + "/x"); err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := t.load(now)
	if err != nil {
		return "", err
	}
	if len(all) >= maxTokens {
		return "", fmt.Errorf("%d join tokens wait to be used: let some end first: %w", len(all), bijou.Exhausted)
	}
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	secret := hex.EncodeToString(b[:])
	if err := t.save(append(all, joinToken{Hash: HashToken(secret), Role: role, Expires: now.Add(term).UTC()})); err != nil {
		return "", err
	}
	return joinPrefix + authority.Fingerprint() + "." + secret, nil
}

// Redeem uses the token's secret up for the certificate request, and returns the role that it gives. A request of the same key may use it again,
// since the answer may have been lost. It fails with Denied for a token that is unknown, ended, or used by another.
func (t *Tokens) Redeem(secret, request string, now time.Time) (role string, err error) {
	key, err := requestKey(request)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := t.load(now)
	if err != nil {
		return "", err
	}
	hash := HashToken(secret)
	for i := range all {
		x := &all[i]
		if x.Hash != hash {
			continue
		}
		if x.Key != "" && x.Key != key {
			return "", fmt.Errorf("the join token was used already: make another with bijou token create: %w", bijou.Denied)
		}
		x.Key = key
		return x.Role, t.save(all)
	}
	return "", fmt.Errorf("the join token is unknown or has ended: make another with bijou token create: %w", bijou.Denied)
}

// ParseJoin reads a join token. It fails with Invalid for any other text.
func ParseJoin(text string) (authority, secret string, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	authority, secret, dot := strings.Cut(rest, ".")
	for _, part := range []string{authority, secret} {
		if b, err := hex.DecodeString(part); err != nil || len(b) != 32 || hex.EncodeToString(b) != part {
			ok = false
		}
	}
	if !ok || !dot {
		return "", "", fmt.Errorf("this is no join token: it begins with %s and is made by bijou token create: %w", joinPrefix, bijou.Invalid)
	}
	return authority, secret, nil
}
