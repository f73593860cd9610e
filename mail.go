package bijou

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Message is one e-mail in plain text.
type Message struct {
	From    string // address alone
	To      string // address alone
	Subject string // one line
	Text    string
	At      time.Time
}

// MaxMessage bounds a message's text, in bytes.
const MaxMessage = 64 << 10

// Check refuses, as Invalid, a message that no mail can carry: one without addresses, or with a line break where none may be.
func (m Message) Check() error {
	for what, address := range map[string]string{"sender": m.From, "recipient": m.To} {
		if normal, err := NormalEmail(address); err != nil || !strings.EqualFold(normal, address) {
			return fmt.Errorf("the message's %s %q is not an e-mail address: %w", what, clip(address, 80), Invalid)
		}
	}
	switch {
	case m.Subject == "" || len(m.Subject) > 200 || strings.ContainsFunc(m.Subject, unicode.IsControl) || !utf8.ValidString(m.Subject):
		return fmt.Errorf("the message's subject %q is not one line of 1 to 200 bytes: %w", clip(m.Subject, 80), Invalid)
	case m.Text == "" || len(m.Text) > MaxMessage || !utf8.ValidString(m.Text):
		return fmt.Errorf("the message's text has %d bytes: it must be UTF-8 of 1 to %d bytes: %w", len(m.Text), MaxMessage, Invalid)
	}
	return nil
}

// Mailer delivers e-mail.
type Mailer interface {
	// Send hands a message on. When it returns, the message is on disk, or with the server that delivers it. It fails with Invalid for a
	// message that fails its Check or that its recipient's side refuses for good, and with Unavailable or Denied where the way there is closed:
	// then the same message may be sent again.
	Send(ctx context.Context, m Message) error
}
