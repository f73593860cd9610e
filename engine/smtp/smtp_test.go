package smtp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const user, password = "bijou", "a password of the tests"

// server is an SMTP server in this process.
type server struct {
	*smtp.Server
	address string
	mu      sync.Mutex
	got     []bijou.Message
	refuse  map[string]*smtp.SMTPError // by the recipient or the sender
	hang    chan struct{}              // where set, the server says nothing to a recipient until it is closed
}

// NewSession implements smtp.Backend.
func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }

type session struct {
	*server
	signedIn bool
	from, to string
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, word string) error {
		if name != user || word != password {
			return smtp.ErrAuthFailed
		}
		s.signedIn = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.signedIn {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return s.verdict(from)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.hang != nil {
		<-s.hang
	}
	s.to = to
	return s.verdict(to)
}

func (s *session) verdict(address string) error {
	if e := s.refuse[address]; e != nil {
		return e
	}
	return nil
}

// Data reads the message as a mail program does.
func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err
	}
	at, err := m.Header.Date()
	if err != nil {
		return err
	}
	body := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	words := strings.ReplaceAll(string(text), "\r\n", "\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, bijou.Message{From: s.from, To: s.to, Subject: subject, At: at.UTC(), Text: words})
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (s *server) arrived(*testing.T) []bijou.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// certificate is one for 127.0.0.1, and who vouches for it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// start runs a server until the test ends, and returns the way to it.
func start(t *testing.T, security Security) (*server, Options) {
	t.Helper()
	s := &server{refuse: map[string]*smtp.SMTPError{}}
	s.Server = smtp.NewServer(s)
	cert, roots := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	switch security {
	case TLS:
		l = tls.NewListener(l, config)
	case STARTTLS:
		s.TLSConfig = config
	case None:
		s.AllowInsecureAuth = true
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		// The server may not know its listener yet, and then does not close it.
		if err := errors.Join(l.Close(), s.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close the mail server: %v", err)
		}
		<-done
	})
	return s, Options{Address: s.address, Security: security, User: user, Password: password, Roots: roots}
}

func TestTheSenderKeepsTheContractOfMailer(t *testing.T) {
	for _, security := range []Security{STARTTLS, TLS} {
		t.Run(string(security), func(t *testing.T) {
			contract.Mailer(t, func(t *testing.T) contract.Post {
				s, o := start(t, security)
				return contract.Post{Mailer: New(o), Arrived: s.arrived}
			})
		})
	}
}

func message() bijou.Message {
	return bijou.Message{From: "bijou@example.org", To: "ada@example.org", Subject: "Hello", Text: "Hello\n", At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
}

// wantKind sends the message and wants it refused, in words that name the server.
func wantKind(t *testing.T, what string, s *server, o Options, want bijou.Kind) {
	t.Helper()
	err := New(o).Send(t.Context(), message())
	if !errors.Is(err, want) || !strings.Contains(err.Error(), o.Address) {
		t.Errorf("%s: Send = %v, want one of kind %q that names %s", what, err, want, o.Address)
	}
	if s != nil && len(s.arrived(t)) != 0 {
		t.Errorf("%s: the message arrived all the same", what)
	}
}

func TestNothingIsSentOverAWayThatIsNotProtectedAsItWasSaid(t *testing.T) {
	plain, o := start(t, None) // offers no STARTTLS
	o.Security = STARTTLS
	wantKind(t, "a server without STARTTLS", plain, o, bijou.Unavailable)
	s, o := start(t, STARTTLS)
	o.Roots = x509.NewCertPool()
	wantKind(t, "a certificate that nobody vouches for", s, o, bijou.Unavailable)
	s, o = start(t, TLS)
	o.Roots = x509.NewCertPool()
	wantKind(t, "a certificate that nobody vouches for", s, o, bijou.Unavailable)
}

func TestWhatAServerRefusesIsToldByItsKind(t *testing.T) {
	for what, c := range map[string]struct {
		address string
		answer  smtp.SMTPError
		kind    bijou.Kind
	}{
		"an unknown recipient":       {"ada@example.org", smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}, bijou.Invalid},
		"a recipient who must wait":  {"ada@example.org", smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "greylisted"}, bijou.Unavailable},
		"a sender who may not":       {"bijou@example.org", smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "not yours"}, bijou.Denied},
		"a sender who sent too much": {"bijou@example.org", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "too much"}, bijou.Unavailable},
	} {
		s, o := start(t, STARTTLS)
		s.refuse[c.address] = &c.answer
		wantKind(t, what, s, o, c.kind)
	}
	s, o := start(t, STARTTLS)
	o.Password = "wrong"
	wantKind(t, "a wrong password", s, o, bijou.Unavailable)
}

func TestAServerThatIsAwayOrNoServerAtAllIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Address: l.Addr().String(), Security: STARTTLS}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "a server that is away", nil, o, bijou.Unavailable)
	o.Address = "nowhere"
	wantKind(t, "no address", nil, o, bijou.Invalid)
}

func TestWhoLeavesAServerThatSaysNothingIsNotHeld(t *testing.T) {
	s, o := start(t, STARTTLS)
	s.hang = make(chan struct{})
	defer close(s.hang)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- New(o).Send(ctx, message()) }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Send = %v, want context.Canceled", err)
	}
}
