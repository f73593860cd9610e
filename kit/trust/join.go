package trust

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"bijou"
)

// A join token is text that a person carries: the prefix, the authority's fingerprint, and a secret, both in hexadecimal with a dot between.
const joinPrefix = "bijou-join-"

const (
	// maxTokens bounds the tokens that have not ended, used ones included.
	maxTokens = 1000
	// maxTokensFile bounds their file, in bytes: far more than maxTokens of them need.
	maxTokensFile = 1 << 20
)

// Tokens are what lets machines join: each once, and for a while. Their file has hashes alone, and each change replaces it whole and is on disk
// before it is answered. It belongs to one process.
//
// A token is used up by a public key and a member's name, and not by an answer: the mark is on disk before a certificate is made, so a kill in
// between, or an answer that is lost on the way, strands nobody. The machine, whose key was on its disk before it asked (Identity.Request), asks
// again with the same token until that ends, and gets a certificate of the same name for the same key. All others are refused from the mark on.
type Tokens struct {
	path string
	mu   sync.Mutex
}

// joinToken is what is kept of a token.
type joinToken struct {
	Hash    string    `json:"hash"` // of the secret
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	Key     string    `json:"key,omitempty"`  // hash of the request's key that used it
	Name    string    `json:"name,omitempty"` // of the member that it let join
}

// check refuses what Create and Redeem do not write.
func (x joinToken) check() error {
	hashes := []string{x.Hash}
	if x.Key != "" {
		hashes = append(hashes, x.Key)
	}
	for _, h := range hashes {
		if !is256Bits(h) {
			return fmt.Errorf("%q is no hash", h[:min(len(h), 80)])
		}
	}
	if x.Name != "" && (!strings.HasPrefix(x.Name, x.Role+"/") || checkMember(x.Name) != nil) {
		return fmt.Errorf("%q is no member with role %s", x.Name[:min(len(x.Name), 80)], x.Role[:min(len(x.Role), 80)])
	}
	return checkMember(x.Role + "/x")
}

// is256Bits tells whether the text is 32 bytes in hexadecimal of small letters.
func is256Bits(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == text
}

// NewTokens returns the tokens kept in the file.
func NewTokens(path string) *Tokens { return &Tokens{path: path} }

// load returns the tokens that have not ended.
func (t *Tokens) load(now time.Time) ([]joinToken, error) {
	raw, err := readUpTo(t.path, maxTokensFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := parseTokens(raw)
	if err != nil {
		return nil, fmt.Errorf("join tokens in %s cannot be read (%v): remove the file, and make new tokens: %w", t.path, err, bijou.Corrupt)
	}
	return slices.DeleteFunc(all, func(x joinToken) bool { return !now.Before(x.Expires) }), nil
}

func parseTokens(raw []byte) (all []joinToken, err error) {
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	for _, x := range all {
		if err := x.check(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (t *Tokens) save(all []joinToken) error {
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return replace(t.path, raw)
}

// Create returns a token by which one machine may join with the role within the term. It fails with
// Exhausted where too many have not ended, and with Invalid for a role or a term that is none.
func (t *Tokens) Create(authority *Authority, role string, now time.Time, term time.Duration) (string, error) {
	if err := checkMember(role + "/x"); err != nil {
		return "", err
	}
	if term <= 0 {
		return "", fmt.Errorf("a join token of %s could never be used: give it a time: %w", term, bijou.Invalid)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := t.load(now)
	if err != nil {
		return "", err
	}
	if len(all) >= maxTokens {
		return "", fmt.Errorf("%d join tokens have not ended yet: let some end first: %w", len(all), bijou.Exhausted)
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
// since the answer may have been lost. It fails with Denied for a token that is unknown, ended, or used by another, and with Invalid for a request
// that no certificate could be made of, which uses nothing up. Admit binds the token to the member's name too.
func (t *Tokens) Redeem(secret, request string, now time.Time) (role string, err error) {
	csr, err := parseRequest(request)
	if err != nil {
		return "", err
	}
	return t.redeem(secret, csr, "", now)
}

// redeem marks the token as used by the request's key, and by the member with the identifier where that is not empty.
func (t *Tokens) redeem(secret string, csr *x509.CertificateRequest, id string, now time.Time) (role string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := t.load(now)
	if err != nil {
		return "", err
	}
	key, hash := HashToken(string(csr.RawSubjectPublicKeyInfo)), HashToken(secret)
	at := slices.IndexFunc(all, func(x joinToken) bool { return x.Hash == hash })
	if at < 0 {
		return "", fmt.Errorf("the join token is unknown or has ended: make another with bijou token create: %w", bijou.Denied)
	}
	x := &all[at]
	marked := *x
	marked.Key = key
	if id != "" {
		marked.Name = x.Role + "/" + id
		if err := checkMember(marked.Name); err != nil {
			return "", err
		}
	}
	switch {
	case x.Key != "" && x.Key != key:
		return "", fmt.Errorf("the join token was used already: make another with bijou token create: %w", bijou.Denied)
	case x.Name != "" && x.Name != marked.Name:
		return "", fmt.Errorf("the join token let %s join and nobody else: make another with bijou token create: %w", x.Name, bijou.Denied)
	case *x == marked:
		return x.Role, nil // on disk already
	}
	*x = marked
	return x.Role, t.save(all)
}

// JoinRequest is what a machine sends that wants to join.
type JoinRequest struct {
	Secret  string `json:"secret" maxLength:"200" doc:"Of its join token, as ParseJoin returns it."`
	Request string `json:"request" maxLength:"10000" doc:"Certificate request (PEM), as Identity.Request returns it."`
	ID      string `json:"id" maxLength:"80" doc:"Its identifier, such as apl_x: what follows the token's role in its name."`
}

// JoinAnswer is what a machine gets that joins or renews: what Identity.Accept takes.
type JoinAnswer struct {
	Certificate string `json:"certificate" doc:"PEM."`
	Authority   string `json:"authority" doc:"PEM."`
}

// Admit lets the machine join that has a token. Asked again with the same token, key and identifier it answers again, since the answer may have
// been lost. It fails as Redeem does, with Denied for another identifier than the first time, and with Invalid for one that is none.
func (a *Authority) Admit(tokens *Tokens, in JoinRequest, now time.Time) (JoinAnswer, error) {
	csr, err := parseRequest(in.Request)
	if err != nil {
		return JoinAnswer{}, err
	}
	if err := checkMember("role/" + in.ID); err != nil {
		return JoinAnswer{}, fmt.Errorf("the identifier %q that came with a join token: %w", in.ID[:min(len(in.ID), 80)], err)
	}
	role, err := tokens.redeem(in.Secret, csr, in.ID, now)
	if err != nil {
		return JoinAnswer{}, err
	}
	return a.Renew(role+"/"+in.ID, in.Request, now)
}

// Renew gives the member a new certificate under the name that it has, as Peer returns it. It fails with Denied for nobody's name, and as Sign does.
func (a *Authority) Renew(peer, request string, now time.Time) (JoinAnswer, error) {
	if peer == "" {
		return JoinAnswer{}, fmt.Errorf("only members renew: join first: %w", bijou.Denied)
	}
	cert, err := a.Sign(request, peer, now)
	if err != nil {
		return JoinAnswer{}, err
	}
	return JoinAnswer{cert, a.Certificate()}, nil
}

// ParseJoin reads a join token. It fails with Invalid for any other text.
func ParseJoin(text string) (authority, secret string, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	authority, secret, dot := strings.Cut(rest, ".")
	if !ok || !dot || !is256Bits(authority) || !is256Bits(secret) {
		return "", "", fmt.Errorf("this is no join token: it begins with %s and is made by bijou token create: %w", joinPrefix, bijou.Invalid)
	}
	return authority, secret, nil
}
