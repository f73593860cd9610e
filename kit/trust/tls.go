package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"bijou"
)

// pair returns the identity as TLS presents it. It fails with Denied for one that has not joined.
func (i *Identity) pair() (*tls.Certificate, error) {
	if i == nil || i.cert == nil {
		return nil, fmt.Errorf("this machine has no certificate: join first: %w", bijou.Denied)
	}
	return &tls.Certificate{Certificate: [][]byte{i.cert.Raw, i.authority.Raw}, PrivateKey: i.key, Leaf: i.cert}, nil
}

// known refuses, as Denied, a certificate that a member of the identity's cluster would not show.
func (i *Identity) known(c *x509.Certificate, role string, use x509.ExtKeyUsage) error {
	if _, err := i.pair(); err != nil {
		return err
	}
	return verify(c, i.authority, role, use)
}

// ServerTLS returns the configuration of a server that knows its members: who presents a certificate has to be one of them; who presents none may
// ask to join, and Peer tells the two apart. The identity is asked for at each handshake, so a renewed one holds for connections made later.
func ServerTLS(identity func() *Identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return identity().pair() },
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) == 0 {
				return nil
			}
			return identity().known(c.PeerCertificates[0], "", x509.ExtKeyUsageClientAuth)
		},
	}
}

// ClientTLS returns the configuration of a member that calls another with the role, such as service. Members are known by authority and name, not by
// host, since they move.
func ClientTLS(identity func() *Identity, role string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return identity().pair() },
		InsecureSkipVerify:   true, // the host's name proves nothing here: VerifyConnection asks for what does
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) == 0 {
				return fmt.Errorf("the other side shows no certificate: %w", bijou.Denied)
			}
			return identity().known(c.PeerCertificates[0], role, x509.ExtKeyUsageServerAuth)
		},
	}
}

// JoinTLS returns the configuration of one who has no certificate yet, and knows the authority by its fingerprint.
func JoinTLS(authority string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // as above
		VerifyConnection: func(c tls.ConnectionState) error {
			for _, ca := range c.PeerCertificates {
				if fingerprint(ca) == authority {
					return verify(c.PeerCertificates[0], ca, "service", x509.ExtKeyUsageServerAuth)
				}
			}
			return fmt.Errorf("the server is of another cluster than the token: check the address: %w", bijou.Denied)
		},
	}
}

// verify refuses, as Denied, a certificate that the authority did not sign, or whose member has another role.
func verify(c, authority *x509.Certificate, role string, use x509.ExtKeyUsage) error {
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
		return fmt.Errorf("the certificate does not hold (%v): %w", err, bijou.Denied)
	}
	name := memberOf(c)
	if name == "" || role != "" && !strings.HasPrefix(name, role+"/") {
		return fmt.Errorf("the certificate is of %q and not of a member with role %s: %w", name, role, bijou.Denied)
	}
	return nil
}

// Peer returns the name of the member at the other end of a connection, which ServerTLS has verified; nothing for one without a certificate.
func Peer(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	return memberOf(state.PeerCertificates[0])
}
