package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"bijou"
)

const (
	// authorityTerm is how long an authority lasts, and memberTerm a member's certificate, which is renewed when a third of it is left.
	authorityTerm = 10 * 365 * 24 * time.Hour
	memberTerm    = 30 * 24 * time.Hour
	// clockSkew is how much a member's clock may be behind.
	clockSkew = time.Hour
	// nameScheme begins the URI by which a certificate names its member, such as bijou://member/appliance/apl_x.
	nameScheme = "bijou"
	nameHost   = "member"
)

// Authority signs the certificates by which the members of a cluster know each other.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

const (
	certType = "CERTIFICATE"
	csrType  = "CERTIFICATE REQUEST"
)

// OpenAuthority reads the authority from the file (PEM, key and certificate), and makes it on first use. It fails with Denied where others can
// read the file, with Corrupt where it holds no authority, and with Invalid where that has ended.
func OpenAuthority(path string, now time.Time) (*Authority, error) {
	b, err := secret(path, func() ([]byte, error) { return newAuthority(now) })
	if err != nil {
		return nil, err
	}
	key, certs, err := parsePair(b)
	if err != nil || len(certs) != 1 || !certs[0].IsCA || !key.PublicKey.Equal(certs[0].PublicKey) || certs[0].CheckSignatureFrom(certs[0]) != nil {
		return nil, fmt.Errorf("authority file %s holds no authority: put it back from a backup, or remove it and all members join anew: %w", path, bijou.Corrupt)
	}
	if end := certs[0].NotAfter; now.After(end) {
		return nil, fmt.Errorf("authority in %s ended on %s: remove the file, and all members join anew: %w", path, end.UTC().Format(time.DateOnly), bijou.Invalid)
	}
	return &Authority{certs[0], key}, nil
}

func newAuthority(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Bijou cluster authority"}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityTerm),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pairPEM(key, der)
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return new(big.Int).SetBytes(b[:])
}

// pairPEM returns a key and certificates as PEM.
func pairPEM(key *ecdsa.PrivateKey, certs ...[]byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	out := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certType, Bytes: c})...)
	}
	return out, err
}

// parsePair reads what pairPEM wrote.
func parsePair(raw []byte) (key *ecdsa.PrivateKey, certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		switch block.Type {
		case pemType:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			key, _ = k.(*ecdsa.PrivateKey)
		case certType:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			if _, ok := c.PublicKey.(*ecdsa.PublicKey); !ok {
				return nil, nil, errors.New("a certificate is not of an ECDSA key")
			}
			certs = append(certs, c)
		}
	}
	if key == nil {
		return nil, nil, errors.New("there is no key")
	}
	return key, certs, nil
}

// Fingerprint returns the SHA-256 of the authority's certificate in hexadecimal: by it a joining member knows whom it speaks to.
func (a *Authority) Fingerprint() string { return fingerprint(a.cert) }

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Certificate returns the authority's certificate as PEM.
func (a *Authority) Certificate() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: certType, Bytes: a.cert.Raw}))
}

// Sign returns a certificate (PEM) for the public key of the request, in which the member has the given name whatever the request says. It fails
// with Invalid for a request that was not signed by its own key, or a name that is none.
func (a *Authority) Sign(request, name string, now time.Time) (string, error) {
	if err := checkMember(name); err != nil {
		return "", err
	}
	csr, err := parseRequest(request)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", name, err)
	}
	t := memberTemplate(name, now)
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter // it would not hold for longer
	}
	if !t.NotAfter.After(now) {
		return "", fmt.Errorf("sign %s: the authority ended on %s: make another, and all members join anew: %w", name, a.cert.NotAfter.UTC().Format(time.DateOnly), bijou.Invalid)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, csr.PublicKey, a.key)
	if err != nil {
		return "", fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: certType, Bytes: der})), nil
}

// maxRequest bounds a certificate request, in bytes of PEM: one of a P-256 key has about 400.
const maxRequest = 10_000

// parseRequest reads a certificate request (PEM) that its own key signed. Of what it says only the key counts. It fails with Invalid for any other text.
func parseRequest(text string) (*x509.CertificateRequest, error) {
	if len(text) > maxRequest {
		return nil, fmt.Errorf("the certificate request has %d bytes, more than %d: %w", len(text), maxRequest, bijou.Invalid)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != csrType {
		return nil, fmt.Errorf("the certificate request is no PEM: %w", bijou.Invalid)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate request does not hold (%v): %w", err, bijou.Invalid)
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("the certificate request is not of an ECDSA key on P-256: %w", bijou.Invalid)
	}
	return csr, nil
}

func memberTemplate(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(memberTerm),
		URIs: []*url.URL{{Scheme: nameScheme, Host: nameHost, Path: "/" + name}}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}

// checkMember refuses, as Invalid, what is no name of a member: role/identifier, in small letters, digits, hyphen and underscore.
func checkMember(name string) error {
	role, id, ok := strings.Cut(name, "/")
	if !ok || role == "" || id == "" || len(name) > 100 || strings.Trim(role+id, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return fmt.Errorf("%q is no name of a member, such as appliance/apl_x: %w", name[:min(len(name), 80)], bijou.Invalid)
	}
	return nil
}

// memberOf returns the name of the member whose certificate it is, or nothing.
func memberOf(c *x509.Certificate) string {
	for _, u := range c.URIs {
		if name := strings.TrimPrefix(u.Path, "/"); u.Scheme == nameScheme && u.Host == nameHost && checkMember(name) == nil {
			return name
		}
	}
	return ""
}

// Identity is a member's key, its certificate, and its authority's.
type Identity struct {
	path      string
	key       *ecdsa.PrivateKey
	cert      *x509.Certificate // nil until it has joined
	authority *x509.Certificate
}

// OpenIdentity reads the identity from the file, or makes a key for one that has not joined yet. It fails with Denied where others can read the
// file, and with Corrupt where it holds no identity.
func OpenIdentity(path string) (*Identity, error) {
	raw, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return &Identity{path: path, key: key}, err
	}
	if err != nil {
		return nil, err
	}
	key, certs, err := parsePair(raw)
	if err == nil && len(certs) == 0 {
		return &Identity{path: path, key: key}, nil // its join broke off
	}
	if err != nil || len(certs) != 2 || checkIdentity(key, certs[0], certs[1]) != nil {
		return nil, fmt.Errorf("identity file %s cannot be read: remove it and join anew with a new token: %w", path, bijou.Corrupt)
	}
	return &Identity{path: path, key: key, cert: certs[0], authority: certs[1]}, nil
}

// checkIdentity tells what keeps the certificate from being a member's of the authority, for the key.
func checkIdentity(key *ecdsa.PrivateKey, cert, authority *x509.Certificate) error {
	switch {
	case !key.PublicKey.Equal(cert.PublicKey):
		return errors.New("it is of another key")
	case cert.CheckSignatureFrom(authority) != nil:
		return errors.New("it is of another authority")
	case cert.IsCA || memberOf(cert) == "":
		return errors.New("it is not a member's")
	}
	return nil
}

// Joined tells whether the member has a certificate that holds at the time.
func (i *Identity) Joined(now time.Time) bool { return i.cert != nil && now.Before(i.cert.NotAfter) }

// Early tells whether the certificate holds only later: it was made by a clock that was ahead, or this one is behind.
func (i *Identity) Early(now time.Time) bool { return i.cert != nil && now.Before(i.cert.NotBefore) }

// Name returns the member's name, or nothing where it has not joined.
func (i *Identity) Name() string {
	if i.cert == nil {
		return ""
	}
	return memberOf(i.cert)
}

// RenewAt returns when the certificate is to be renewed: when a third of its term is left. It is the zero time for one that has not joined.
func (i *Identity) RenewAt() time.Time {
	if i.cert == nil {
		return time.Time{}
	}
	return i.cert.NotAfter.Add(-i.cert.NotAfter.Sub(i.cert.NotBefore.Add(clockSkew)) / 3)
}

// Request returns a certificate request (PEM) for the identity's key. The key is on disk before that, so that a join whose answer is lost can be
// asked for again.
func (i *Identity) Request() (string, error) {
	if i.cert == nil {
		raw, err := pairPEM(i.key)
		if err != nil {
			return "", err
		}
		if err := replace(i.path, raw); err != nil {
			return "", err
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, i.key)
	return string(pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: der})), err
}

// Accept keeps the certificate that the authority signed, and returns the identity that has it. It fails with Invalid where that is not of this key,
// not of the authority, or no member's.
func (i *Identity) Accept(cert, authority string) (*Identity, error) {
	c, errC := parseCert(cert)
	a, errA := parseCert(authority)
	if err := errors.Join(errC, errA); err != nil {
		return nil, fmt.Errorf("the certificates that came cannot be read (%v): %w", err, bijou.Invalid)
	}
	if err := checkIdentity(i.key, c, a); err != nil {
		return nil, fmt.Errorf("the certificate that came cannot be kept (%v): %w", err, bijou.Invalid)
	}
	raw, err := pairPEM(i.key, c.Raw, a.Raw)
	if err != nil {
		return nil, err
	}
	return &Identity{path: i.path, key: i.key, cert: c, authority: a}, replace(i.path, raw)
}

func parseCert(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != certType {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Member makes an identity that the authority signs itself, for a member on the authority's own machine.
func (a *Authority) Member(dir, name string, now time.Time) (*Identity, error) {
	i, err := OpenIdentity(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".pem"))
	if err != nil {
		return nil, err
	}
	early := i.Early(now) && !now.Before(a.cert.NotBefore) // a clock behind the authority's own beginning is the one that is wrong
	if i.Joined(now) && now.Before(i.RenewAt()) && i.authority.Equal(a.cert) && !early {
		return i, nil
	}
	request, err := i.Request()
	if err != nil {
		return nil, err
	}
	cert, err := a.Sign(request, name, now)
	if err != nil {
		return nil, err
	}
	return i.Accept(cert, a.Certificate())
}
