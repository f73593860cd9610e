package operators

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/service/members/signon"
)

// minPassword is how long an operator's password is at least, in characters (NIST SP 800-63B-4, section 3.1.1.2, for a password that is used alone).
const minPassword = 15

// Who says who runs the service from this browser, and how people can sign in.
func (s *Service) Who(ctx context.Context, _ struct{}) (OperatorMe, error) {
	c := bijou.CallerOf(ctx)
	me := OperatorMe{Name: c.OperatorName, Role: c.Role}
	if s.SignOn != nil {
		me.SignOn = signon.HostOf(s.SignOn.Config.Issuer)
	}
	n, err := s.administrators(ctx)
	me.First = n == 0
	return me, err
}

// SignIn opens a session. It fails with Denied, in the same words and after the same work, for an unknown name and a wrong password, and with
// Exhausted after many wrong ones.
func (s *Service) SignIn(ctx context.Context, in OperatorSignIn) (OperatorSession, error) {
	name, address := strings.ToLower(strings.TrimSpace(in.Name)), bijou.CallerOf(ctx).Client
	if err := s.attempts.begin(name, address, s.Now()); err != nil {
		return OperatorSession{}, err
	}
	o, hash, err := s.credentials(ctx, name)
	if err != nil {
		return OperatorSession{}, err
	}
	ok, err := s.passwords.Verify(ctx, in.Password, hash)
	if err != nil {
		return OperatorSession{}, err
	}
	if !ok || o.ID == "" {
		action := s.action(ctx, signInMethod, o)
		action.On = map[string]string{"name": clip(name)}
		return s.refuse(ctx, action, fmt.Errorf("the name or the password is wrong: %w", bijou.Denied))
	}
	s.attempts.succeeded(name, address)
	return s.open(ctx, signInMethod, o)
}

// refuse notes that a stranger is refused, unless many were in this minute: nobody shall fill the log from outside.
func (s *Service) refuse(ctx context.Context, x bijou.Action, err error) (OperatorSession, error) {
	if !s.attempts.mayNote(s.Now()) {
		return OperatorSession{}, err
	}
	return rpc.Act(ctx, s.Audit, x, func() (OperatorSession, error) { return OperatorSession{}, err })
}

// clip bounds what a stranger can have noted.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// credentials returns the operator with the name and their password's hash, or nobody and a hash that no password has.
func (s *Service) credentials(ctx context.Context, name string) (bijou.Operator, string, error) {
	o, err := s.find(ctx, name)
	if errors.Is(err, bijou.NotFound) {
		return bijou.Operator{}, trust.NobodysHash, nil
	}
	if err != nil {
		return o, "", err
	}
	hash, err := s.Operators.OperatorPassword(ctx, o.ID)
	if errors.Is(err, bijou.NotFound) || err == nil && hash == "" {
		return bijou.Operator{}, trust.NobodysHash, nil
	}
	return o, hash, err
}

// What the room notes by itself, since who does it has no role before.
const (
	signInMethod  = "POST /api/v1/operate/session"
	signOutMethod = "DELETE /api/v1/operate/session"
	acceptMethod  = "POST /api/v1/operate/passwords"
	signOnMethod  = "POST /api/v1/operate/signons/returns"
)

func (s *Service) action(ctx context.Context, method string, o bijou.Operator) bijou.Action {
	return bijou.Action{Operator: o.ID, Name: o.Name, Role: o.Role, Address: bijou.CallerOf(ctx).Client, Method: method}
}

// open notes the sign-in and opens a session.
func (s *Service) open(ctx context.Context, method string, o bijou.Operator) (OperatorSession, error) {
	return rpc.Act(ctx, s.Audit, s.action(ctx, method, o), func() (OperatorSession, error) {
		token := trust.NewToken()
		kept := s.token(o.ID, bijou.TokenSession, token, s.Config.SessionFor)
		err := s.Tokens.AddOperatorToken(ctx, kept)
		return OperatorSession{Operator: o, Expires: kept.Expires, cookie: s.cookie(token, kept.Expires)}, err
	})
}

// SignOut ends the session, or the program's token, that the request carries. Who carries none has nothing to end.
func (s *Service) SignOut(ctx context.Context, _ struct{}) (OperatorSignedOut, error) {
	out := OperatorSignedOut{s.cookie("", time.Unix(1, 0))}
	c := bijou.CallerOf(ctx)
	if c.OperatorToken == "" {
		return out, nil
	}
	o := bijou.Operator{ID: c.Operator, Name: c.OperatorName, Role: c.Role}
	return rpc.Act(ctx, s.Audit, s.action(ctx, signOutMethod, o), func() (OperatorSignedOut, error) {
		return out, s.Tokens.RemoveOperatorToken(ctx, c.OperatorToken)
	})
}

// First returns the invitation by which the first administrator makes their user, the same until it is used or ends. It returns nothing where
// there is an administrator.
func (s *Service) First(ctx context.Context) (*Invitation, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	n, err := s.administrators(ctx)
	if err != nil || n > 0 {
		return nil, err
	}
	all, err := s.Tokens.OperatorTokens(ctx, "", s.Now())
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if token := s.firstToken(t.ID); trust.HashToken(token) == t.Hash {
			return &Invitation{Token: token, Page: s.Address + welcomePage + token, Expires: t.Expires}, nil
		}
	}
	kept := s.token("", bijou.TokenInvitation, "", s.Config.InvitationFor)
	token := s.firstToken(kept.ID)
	kept.Hash = trust.HashToken(token)
	return &Invitation{Token: token, Page: s.Address + welcomePage + token, Expires: kept.Expires}, s.Tokens.AddOperatorToken(ctx, kept)
}

// firstToken returns the first administrator's token, which is made of a secret so that it can be told again though only its hash is kept.
func (s *Service) firstToken(id bijou.TokenID) string {
	m := hmac.New(sha256.New, []byte(s.Secret))
	m.Write([]byte("first administrator " + id)) // a hash never fails
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// endFirst ends the first administrator's invitation once there is one.
func (s *Service) endFirst(ctx context.Context, role bijou.OperatorRole) error {
	if role != bijou.RoleAdministrator {
		return nil
	}
	all, err := s.Tokens.OperatorTokens(ctx, "", s.Now())
	for _, t := range all {
		err = errors.Join(err, s.Tokens.RemoveOperatorToken(ctx, t.ID))
	}
	return err
}

// badInvitation is what whoever has an invitation that does not hold is told.
func badInvitation() error {
	return fmt.Errorf("this one-time address is unknown, was used, or has ended: ask an administrator for another: %w", bijou.Denied)
}

// Invited says whom an invitation is for. It fails with Denied for one that is unknown, used or ended.
func (s *Service) Invited(ctx context.Context, in InvitationToken) (Invited, error) {
	t, err := s.Tokens.OperatorToken(ctx, trust.HashToken(in.Token), s.Now())
	if errors.Is(err, bijou.NotFound) || err == nil && t.Kind != bijou.TokenInvitation {
		return Invited{}, badInvitation()
	}
	if err != nil {
		return Invited{}, err
	}
	if t.Operator == "" {
		return Invited{Role: bijou.RoleAdministrator, Expires: t.Expires}, nil
	}
	o, err := s.Operators.Operator(ctx, t.Operator)
	if errors.Is(err, bijou.NotFound) {
		return Invited{}, badInvitation()
	}
	return Invited{Name: o.Name, Role: o.Role, Expires: t.Expires}, err
}

// Accept uses an invitation up: it sets the password, makes the first administrator where the invitation is theirs, and opens a session. It fails
// with Denied for an invitation that is unknown, used or ended, and with Invalid for a password that is too short, or what is no name.
func (s *Service) Accept(ctx context.Context, in Acceptance) (OperatorSession, error) {
	who, err := s.Invited(ctx, InvitationToken{Token: in.Token}) // before the password is hashed, which costs much
	if err != nil {
		return OperatorSession{}, err
	}
	first := bijou.Operator{ID: bijou.NewID[bijou.OperatorID](bijou.OperatorPrefix), Role: who.Role, Created: s.Now().UTC()}
	if who.Name == "" {
		if first.Name, err = bijou.NormalOperatorName(in.Name); err != nil {
			return OperatorSession{}, err
		}
	}
	if n := utf8.RuneCountInString(in.Password); n < minPassword {
		return OperatorSession{}, fmt.Errorf("the password has %d characters: use at least %d, such as four words: %w", n, minPassword, bijou.Invalid)
	}
	hash, err := s.passwords.Hash(ctx, in.Password)
	if err != nil {
		return OperatorSession{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	action := s.action(ctx, acceptMethod, bijou.Operator{Name: who.Name, Role: who.Role})
	action.On = map[string]string{"name": first.Name + who.Name}
	o, err := rpc.Act(ctx, s.Audit, action, func() (bijou.Operator, error) {
		o, err := s.Operators.AcceptInvitation(ctx, trust.HashToken(in.Token), s.Now(), first, hash)
		if errors.Is(err, bijou.NotFound) {
			err = badInvitation()
		}
		return o, err
	})
	if err != nil {
		return OperatorSession{}, err
	}
	return s.open(ctx, signInMethod, o)
}

func (s *Service) noSignOn() error {
	return fmt.Errorf("there is no sign-on provider here: sign in with name and password, or set operators.oidc.issuer: %w", bijou.NotFound)
}

// BeginSignOn sends the browser to the sign-on provider. It fails with NotFound where there is none, and with Unavailable where it does not answer.
func (s *Service) BeginSignOn(ctx context.Context, _ struct{}) (SignOnStarted, error) {
	if s.SignOn == nil {
		return SignOnStarted{}, s.noSignOn()
	}
	started, err := s.SignOn.Start(ctx)
	if err != nil {
		return SignOnStarted{}, err
	}
	return SignOnStarted(started), nil
}

// FinishSignOn opens a session for who comes back from the provider. It fails with Denied where the sign-on does not hold or the person has no role.
func (s *Service) FinishSignOn(ctx context.Context, in SignOnReturn) (OperatorSession, error) {
	if s.SignOn == nil {
		return OperatorSession{}, s.noSignOn()
	}
	who, err := s.SignOn.Finish(ctx, signon.Return{State: in.State, Code: in.Code, Error: in.Error, Binding: in.Binding})
	if err != nil {
		return OperatorSession{}, err
	}
	o, err := s.operatorOf(ctx, who)
	if err != nil {
		action := s.action(ctx, signOnMethod, bijou.Operator{})
		action.On = map[string]string{"subject": clip(who.Subject), "email": clip(who.Email)}
		return s.refuse(ctx, action, err)
	}
	return s.open(ctx, signOnMethod, o)
}

// operatorOf returns the operator whom the provider speaks of, made or given the role that they have there now.
func (s *Service) operatorOf(ctx context.Context, who signon.Person) (bijou.Operator, error) {
	role := roleOf(s.Config.Roles, who)
	if role == "" {
		return bijou.Operator{}, fmt.Errorf("the sign-on provider knows you, but nothing gives you a role here: ask an administrator: %w", bijou.Denied)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	key := who.Issuer + " " + who.Subject
	all, err := s.Operators.Operators(ctx)
	if err != nil {
		return bijou.Operator{}, err
	}
	for _, o := range all {
		if o.SignOn != key {
			continue
		}
		if o.Role != role {
			if err := s.Operators.SetOperatorRole(ctx, o.ID, role); err != nil {
				return o, err
			}
			o.Role = role
		}
		return o, s.endFirst(ctx, role)
	}
	for _, name := range []string{who.Email, who.Name, who.Subject} {
		if name, err = bijou.NormalOperatorName(name); err == nil {
			return s.create(ctx, bijou.Operator{Name: name, Role: role, SignOn: key})
		}
	}
	return bijou.Operator{}, err
}

// roleOf returns the greatest role that the rules give, or the empty role.
func roleOf(rules []string, who signon.Person) (role bijou.OperatorRole) {
	email := strings.ToLower(who.Email)
	_, domain, _ := strings.Cut(email, "@")
	for _, text := range rules {
		whom, r, err := parseRule(text)
		if err != nil || role.Includes(r) { // Check has refused what is no rule
			continue
		}
		fits := false
		switch lower := strings.ToLower(whom); {
		case strings.HasPrefix(whom, "@"):
			fits = domain != "" && lower == "@"+domain
		case strings.Contains(whom, "@"):
			fits = lower == email
		default:
			for _, g := range who.Groups {
				fits = fits || g == whom
			}
		}
		if fits {
			role = r
		}
	}
	return role
}

// parseRule reads WHOM=ROLE.
func parseRule(text string) (whom string, role bijou.OperatorRole, err error) {
	i := strings.LastIndexByte(text, '=')
	if i > 0 {
		whom, role = strings.TrimSpace(text[:i]), bijou.OperatorRole(strings.TrimSpace(text[i+1:]))
	}
	if whom == "" || role.Check() != nil {
		return "", "", fmt.Errorf("roles has %q: write GROUP=ROLE, ADDRESS=ROLE or @DOMAIN=ROLE, with viewer, operator or administrator for ROLE: %w", text, bijou.Invalid)
	}
	return whom, role, nil
}
