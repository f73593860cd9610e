// Package operators is the part of the members room that knows who runs the service: who they are, what each may do, and what they did.
package operators

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/service/members/signon"
)

// Config is the room's section of the configuration.
type Config struct {
	SessionFor     time.Duration `yaml:"session_for" doc:"How long an operator's sign-in lasts."`
	InvitationFor  time.Duration `yaml:"invitation_for" doc:"How long a one-time address to set a password can be used, the first administrator's too."`
	AuditRetainFor time.Duration `yaml:"audit_retain_for" doc:"How long an entry of the audit log is kept."`
	AuditRetain    conf.Size     `yaml:"audit_retain" doc:"Bound of the audit log; what is oldest goes first."`
	OIDC           signon.Config `yaml:"oidc"`
	Roles          []string      `yaml:"roles" doc:"Roles of who signs on through the provider: GROUP=ROLE, ADDRESS=ROLE or @DOMAIN=ROLE, such as staff=viewer or ada@example.org=administrator. The greatest counts; who has none may not sign on."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config {
	return Config{SessionFor: 12 * time.Hour, InvitationFor: 24 * time.Hour, AuditRetainFor: 400 * 24 * time.Hour, AuditRetain: 100 << 20, OIDC: signon.DefaultConfig()}
}

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	var wrong conf.Errors
	for _, d := range []struct {
		name        string
		got         time.Duration
		least, most time.Duration
	}{
		{"session_for", c.SessionFor, time.Minute, 30 * 24 * time.Hour},
		{"invitation_for", c.InvitationFor, time.Minute, 30 * 24 * time.Hour},
		{"audit_retain_for", c.AuditRetainFor, 24 * time.Hour, 100 * 365 * 24 * time.Hour},
	} {
		wrong.Add(d.got >= d.least && d.got <= d.most, "%s is %s: it must be %s to %s", d.name, d.got, d.least, d.most)
	}
	wrong.Add(c.AuditRetain >= 1<<20, "audit_retain is %d bytes: it must be at least 1MiB", c.AuditRetain)
	for _, r := range c.Roles {
		_, _, err := parseRule(r)
		wrong.Note(err)
	}
	return wrong.Err()
}

// Deps are what the room works with.
type Deps struct {
	Operators bijou.OperatorStore
	Tokens    bijou.OperatorTokenStore
	Audit     *Audit
	SignOn    *signon.Provider // nil where there is none
	Secret    string           // from which the first administrator's invitation is made; whoever has it is an administrator already
	Address   string           // by which people reach the service, such as https://tv.example.org; empty where it is not known
	Now       func() time.Time
	Config    Config
}

// Service keeps operators.
type Service struct {
	Deps
	passwords *trust.Passwords
	attempts  *attempts
	changing  sync.Mutex // held while something rests on how many administrators there are
}

// New assembles the room.
func New(d Deps) *Service {
	return &Service{Deps: d, passwords: trust.NewPasswords(2), attempts: newAttempts()}
}

// Bounds of what is kept.
const (
	maxOperators = 1000
	maxTokens    = 100 // of one operator
)

// List returns everyone who runs the service.
func (s *Service) List(ctx context.Context) (OperatorList, error) {
	all, err := s.Operators.Operators(ctx)
	return OperatorList{Operators: all}, err
}

// find returns the operator with the name. It fails with NotFound where there is none.
func (s *Service) find(ctx context.Context, name string) (bijou.Operator, error) {
	all, err := s.Operators.Operators(ctx)
	if err != nil {
		return bijou.Operator{}, err
	}
	name = strings.ToLower(strings.TrimSpace(name))
	for _, o := range all {
		if o.Name == name {
			return o, nil
		}
	}
	return bijou.Operator{}, fmt.Errorf("there is no operator %q: see them with: bijou user list: %w", name, bijou.NotFound)
}

// Add makes an operator, and an invitation by which they set a password. It fails with Conflict where the name is taken, and with Invalid for what
// is no name.
func (s *Service) Add(ctx context.Context, in NewOperator) (Invitation, error) {
	name, err := bijou.NormalOperatorName(in.Name)
	if err == nil {
		err = in.Role.Check()
	}
	if err != nil {
		return Invitation{}, err
	}
	o, err := s.create(ctx, bijou.Operator{Name: name, Role: in.Role})
	if err != nil {
		return Invitation{}, err
	}
	return s.invitation(ctx, o)
}

// create makes an operator of o's name and role.
func (s *Service) create(ctx context.Context, o bijou.Operator) (bijou.Operator, error) {
	all, err := s.Operators.Operators(ctx)
	if err != nil {
		return o, err
	}
	if len(all) >= maxOperators {
		return o, fmt.Errorf("there are %d operators, as many as there may be: remove some first: %w", len(all), bijou.Exhausted)
	}
	o.ID, o.Created = bijou.NewID[bijou.OperatorID](bijou.OperatorPrefix), s.Now().UTC()
	if err := s.Operators.CreateOperator(ctx, o); err != nil {
		return o, err
	}
	return o, s.endFirst(ctx, o.Role)
}

// Invite makes an invitation by which an operator sets a new password; the one before it ends. It fails with NotFound for an unknown name, and
// with Conflict for who signs on through the provider.
func (s *Service) Invite(ctx context.Context, in OneOperator) (Invitation, error) {
	o, err := s.find(ctx, in.Name)
	if err != nil {
		return Invitation{}, err
	}
	if o.SignOn != "" {
		return Invitation{}, fmt.Errorf("%s signs on through %s and has no password here: %w", o.Name, issuerOf(o), bijou.Conflict)
	}
	return s.invitation(ctx, o)
}

// welcomePage is where a person uses an invitation. The token stands behind #, where no server and no log sees it.
const welcomePage = "/operate/welcome#"

func (s *Service) invitation(ctx context.Context, o bijou.Operator) (Invitation, error) {
	token := trust.NewToken()
	kept := s.token(o.ID, bijou.TokenInvitation, token, s.Config.InvitationFor)
	err := s.Tokens.AddOperatorToken(ctx, kept)
	return Invitation{Operator: &o, Token: token, Page: s.Address + welcomePage + token, Expires: kept.Expires}, err
}

// token returns what is kept of a fresh token.
func (s *Service) token(of bijou.OperatorID, kind bijou.OperatorTokenKind, token string, term time.Duration) bijou.OperatorToken {
	now := s.Now().UTC()
	return bijou.OperatorToken{
		ID: bijou.NewID[bijou.TokenID](bijou.TokenPrefix), Hash: trust.HashToken(token), Kind: kind, Operator: of, Created: now, Expires: now.Add(term),
	}
}

// SetRole gives an operator a role, and ends their sessions. It fails with NotFound for an unknown name, with Conflict for the last administrator,
// and for who has their role from the provider.
func (s *Service) SetRole(ctx context.Context, in NewRole) error {
	if err := in.Role.Check(); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	o, err := s.find(ctx, in.Name)
	if err != nil {
		return err
	}
	if o.SignOn != "" {
		return fmt.Errorf("%s has their role from %s: change it there, or in operators.roles: %w", o.Name, issuerOf(o), bijou.Conflict)
	}
	if in.Role != bijou.RoleAdministrator {
		if err := s.notLast(ctx, o); err != nil {
			return err
		}
	}
	if err := s.Operators.SetOperatorRole(ctx, o.ID, in.Role); err != nil {
		return err
	}
	return s.endFirst(ctx, in.Role)
}

// Remove removes an operator with all that stands for them. It fails with NotFound for an unknown name, and with Conflict for the last administrator.
func (s *Service) Remove(ctx context.Context, in OneOperator) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	o, err := s.find(ctx, in.Name)
	if err == nil {
		err = s.notLast(ctx, o)
	}
	if err != nil {
		return err
	}
	return s.Operators.RemoveOperator(ctx, o.ID)
}

// notLast fails with Conflict where o is the only administrator.
func (s *Service) notLast(ctx context.Context, o bijou.Operator) error {
	if o.Role != bijou.RoleAdministrator {
		return nil
	}
	n, err := s.administrators(ctx)
	if err == nil && n == 1 {
		err = fmt.Errorf("%s is the last administrator: make another one first: %w", o.Name, bijou.Conflict)
	}
	return err
}

func (s *Service) administrators(ctx context.Context) (n int, err error) {
	all, err := s.Operators.Operators(ctx)
	for _, o := range all {
		if o.Role == bijou.RoleAdministrator {
			n++
		}
	}
	return n, err
}

// TokensOf lists what stands for an operator. It fails with NotFound for an unknown name.
func (s *Service) TokensOf(ctx context.Context, in OneOperator) (TokenList, error) {
	o, err := s.find(ctx, in.Name)
	if err != nil {
		return TokenList{}, err
	}
	all, err := s.Tokens.OperatorTokens(ctx, o.ID, s.Now())
	return TokenList{Tokens: all}, err
}

// AddToken makes a token by which a program acts for an operator. It fails with NotFound for an unknown name.
func (s *Service) AddToken(ctx context.Context, in NewProgramToken) (ProgramToken, error) {
	all, err := s.TokensOf(ctx, OneOperator{Name: in.Name})
	if err != nil {
		return ProgramToken{}, err
	}
	programs := 0
	for _, t := range all.Tokens {
		if t.Kind == bijou.TokenProgram {
			programs++
		}
	}
	if programs >= maxTokens {
		return ProgramToken{}, fmt.Errorf("%s has %d tokens, as many as there may be: end some first: %w", in.Name, programs, bijou.Exhausted)
	}
	o, err := s.find(ctx, in.Name)
	if err != nil {
		return ProgramToken{}, err
	}
	token := bijou.ProgramTokenPrefix + trust.NewToken()
	kept := s.token(o.ID, bijou.TokenProgram, token, time.Duration(in.ForMS)*time.Millisecond)
	kept.Note = in.Note
	return ProgramToken{ID: kept.ID, Token: token, Expires: kept.Expires}, s.Tokens.AddOperatorToken(ctx, kept)
}

// EndToken ends a token. It fails with NotFound where the operator has none of the identifier.
func (s *Service) EndToken(ctx context.Context, in OneToken) error {
	all, err := s.TokensOf(ctx, OneOperator{Name: in.Name})
	if err != nil {
		return err
	}
	for _, t := range all.Tokens {
		if t.ID == in.ID {
			return s.Tokens.RemoveOperatorToken(ctx, t.ID)
		}
	}
	return fmt.Errorf("%s has no token %s: see them with: bijou user token list %s: %w", in.Name, in.ID, in.Name, bijou.NotFound)
}

// AuthenticateOperator implements bijou.Operators.
func (s *Service) AuthenticateOperator(ctx context.Context, token string, kind bijou.OperatorTokenKind) (bijou.Caller, error) {
	denied := fmt.Errorf("the operator's token is unknown or has ended: sign in again, or ask an administrator for another: %w", bijou.Denied)
	t, err := s.Tokens.OperatorToken(ctx, trust.HashToken(token), s.Now())
	if errors.Is(err, bijou.NotFound) || err == nil && (t.Kind != kind || t.Operator == "") {
		return bijou.Caller{}, denied
	}
	if err != nil {
		return bijou.Caller{}, err
	}
	o, err := s.Operators.Operator(ctx, t.Operator)
	if errors.Is(err, bijou.NotFound) {
		return bijou.Caller{}, denied
	}
	return bijou.Caller{Operator: o.ID, OperatorName: o.Name, Role: o.Role, OperatorToken: t.ID}, err
}

// issuerOf returns the host of the provider through which the operator signs on.
func issuerOf(o bijou.Operator) string {
	issuer, _, _ := strings.Cut(o.SignOn, " ")
	return signon.HostOf(issuer)
}

func (s *Service) cookie(value string, expires time.Time) *http.Cookie {
	return &http.Cookie{Name: rpc.OperatorCookie, Value: value, Path: "/api/", Expires: expires, HttpOnly: true, Secure: strings.HasPrefix(s.Address, "https://"), SameSite: http.SameSiteStrictMode}
}
