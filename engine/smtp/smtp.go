// Package smtp sends e-mail by way of an SMTP server (RFC 5321), such as the one of the house or of a provider.
package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"bijou"

	"github.com/wneessen/go-mail"
	mailsmtp "github.com/wneessen/go-mail/smtp"
)

// Security says how the way to the server is protected.
type Security string

// The ways to protect it.
const (
	STARTTLS Security = "starttls" // begun in clear text and protected before anything is sent (RFC 3207); refused where the server cannot
	TLS      Security = "tls"      // protected from the first byte (RFC 8314)
	None     Security = "none"     // not at all: for a server on this machine
)

// Options say where the server is.
type Options struct {
	Address        string // host:port
	Security       Security
	User, Password string         // nobody signs in where User is empty
	Roots          *x509.CertPool // who may vouch for the server; nil: whom the system trusts
}

// Sender implements bijou.Mailer.
type Sender struct{ Options }

// New returns the way to the server, which is gone anew for each message.
func New(o Options) *Sender { return &Sender{o} }

// timeout bounds one message.
const timeout = 20 * time.Second

// Send implements bijou.Mailer.
func (s *Sender) Send(ctx context.Context, m bijou.Message) error {
	if err := errors.Join(ctx.Err(), m.Check()); err != nil {
		return err
	}
	letter, err := compose(m)
	if err != nil {
		return err
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return s.failure(ctx, err)
	}
	defer conn.Close()                                          // what the server took is its own; a goodbye that fails changes nothing
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // whoever waits on it hears of that as a failure of their own
	defer stop()
	if err := client.SendWithSMTPClient(conn, letter); err != nil {
		return s.failure(ctx, err)
	}
	goodbye(client, conn)
	return nil
}

// goodbye ends the conversation in good order. The message is delivered whatever comes of it.
func goodbye(client *mail.Client, conn *mailsmtp.Client) { _ = client.CloseWithSMTPClient(conn) }

// compose makes the letter that carries m.
func compose(m bijou.Message) (*mail.Msg, error) {
	letter := mail.NewMsg()
	if err := errors.Join(letter.From(m.From), letter.To(m.To)); err != nil {
		return nil, fmt.Errorf("the message to %s cannot be written (%v): %w", m.To, err, bijou.Invalid)
	}
	letter.Subject(m.Subject)
	letter.SetDateWithValue(m.At)
	letter.SetMessageID()
	letter.SetBodyString(mail.TypeTextPlain, m.Text)
	return letter, nil
}

func (s *Sender) client() (*mail.Client, error) {
	host, port, err := net.SplitHostPort(s.Address)
	number, numErr := strconv.Atoi(port)
	if err != nil || numErr != nil {
		return nil, fmt.Errorf("mail server %q is no host:port, such as mail.example.org:587: %w", s.Address, bijou.Invalid)
	}
	options := []mail.Option{
		mail.WithPort(number), mail.WithTimeout(timeout), mail.WithTLSConfig(&tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}),
	}
	switch s.Security {
	case TLS:
		options = append(options, mail.WithSSL())
	case None:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.User), mail.WithPassword(s.Password))
	}
	c, err := mail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail server %s cannot be used (%v): %w", s.Address, err, bijou.Invalid)
	}
	return c, nil
}

// failure says what went wrong: with the message, with the right to send, or with the way there.
func (s *Sender) failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var sent *mail.SendError
	if errors.As(err, &sent) && sent.ErrorCode() >= 500 {
		if sent.Reason == mail.ErrSMTPMailFrom {
			return fmt.Errorf("mail server %s does not let this service send (%v): see to members.mail.from and members.mail.user: %w", s.Address, err, bijou.Denied)
		}
		return fmt.Errorf("mail server %s refuses the message for good (%v): %w", s.Address, err, bijou.Invalid)
	}
	return fmt.Errorf("mail server %s did not take the message (%v): see to it and to members.mail: %w", s.Address, err, bijou.Unavailable)
}
