// Package members is the room of accounts: who may sign in, who is watching, what each viewer keeps, and how far each has come in each title.
package members

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"bijou"
	"bijou/kit/trust"
	"bijou/service/members/signon"

	"golang.org/x/sync/errgroup"
)

// Config is the room's section of the configuration.
type Config struct {
	SessionDays int    `yaml:"session_days" doc:"How long a sign-in lasts, in days."`
	SignUp      string `yaml:"sign_up" doc:"Whether people may make accounts by themselves: open, or closed, when operators make them (bijou account add)."`
	Mail        Mail   `yaml:"mail"`
	OIDC        OIDC   `yaml:"oidc"`
}

// Mail says how members are written to.
type Mail struct {
	From     string `yaml:"from" doc:"Address that mail comes from."`
	SMTP     string `yaml:"smtp" doc:"Mail server, host:port, that delivers mail. Where nothing is said, each message is a file in outbox/ of the data directory."`
	Security string `yaml:"security" doc:"How the way to the mail server is protected: starttls, tls (from the first byte, mostly port 465), or none, for a server on this machine."`
	User     string `yaml:"user" doc:"Name to sign in to the mail server by; empty: nobody signs in."`
	Password string `yaml:"password" secret:"true" doc:"Password to sign in to the mail server by."`
}

// The two words of Config.SignUp.
const (
	signUpOpen   = "open"
	signUpClosed = "closed"
)

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config {
	return Config{SessionDays: 30, SignUp: signUpOpen, Mail: Mail{From: "bijou@localhost", Security: "starttls"}}
}

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	if c.SessionDays < 1 || c.SessionDays > 3650 {
		return fmt.Errorf("session_days is %d: it must be 1 to 3650 days: %w", c.SessionDays, bijou.Invalid)
	}
	if c.SignUp != signUpOpen && c.SignUp != signUpClosed {
		return fmt.Errorf("sign_up is %q: it must be open or closed: %w", c.SignUp, bijou.Invalid)
	}
	return nil
}

// Check refuses, as Invalid, what no mail can be sent by.
func (m Mail) Check() error {
	if _, err := bijou.NormalEmail(m.From); err != nil {
		return fmt.Errorf("from is %q: write an e-mail address, such as bijou@example.org: %w", m.From, bijou.Invalid)
	}
	if _, _, err := net.SplitHostPort(m.SMTP); m.SMTP != "" && err != nil {
		return fmt.Errorf("smtp is %q: write host:port, such as mail.example.org:587: %w", m.SMTP, bijou.Invalid)
	}
	switch m.Security {
	case "starttls", "tls":
		return nil
	case "none":
		if m.User != "" {
			return fmt.Errorf("security is none and user is set: a password is not sent unprotected: say starttls or tls: %w", bijou.Invalid)
		}
		return nil
	}
	return fmt.Errorf("security is %q: it must be starttls, tls or none: %w", m.Security, bijou.Invalid)
}

// AccountStores keep what has to be right at once: accounts, their sign-ins, identities, PINs and reset links.
type AccountStores interface {
	bijou.AccountStore
	bijou.SessionStore
	bijou.IdentityStore
	bijou.PINStore
	bijou.ResetStore
}

// ProfileStores keep what grows with watching: profiles, their lists and positions.
type ProfileStores interface {
	bijou.ProfileStore
	bijou.ListStore
	bijou.PositionStore
}

// Deps are what the room works with.
type Deps struct {
	Accounts AccountStores
	Profiles ProfileStores
	Titles   bijou.Titles   // what can be listed
	Facts    bijou.LogStore // topic bijou.TopicFacts is read for positions
	Mail     bijou.Mailer
	SignOn   *signon.Provider // nil where there is none
	Address  string           // that links begin with, such as https://tv.example.org
	Log      *slog.Logger
	Now      func() time.Time
	Config   Config
}

// Service keeps accounts, and reads the players' facts for positions.
type Service struct {
	Deps
	passwords *trust.Passwords
	tries     *tries
	wished    chan struct{} // holds one where a reset link was asked for
}

// New assembles the room.
func New(d Deps) *Service {
	return &Service{Deps: d, passwords: trust.NewPasswords(2), tries: newTries(), wished: make(chan struct{}, 1)}
}

// Run reads facts and sends reset links until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	ready()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.consumeAll(ctx) })
	g.Go(func() error { return s.sendResets(ctx) })
	return g.Wait()
}
