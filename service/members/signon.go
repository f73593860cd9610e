package members

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bijou"
	"bijou/service/members/signon"
)

// OIDC says by which OpenID Connect provider members can sign on.
type OIDC struct {
	Issuer       string `yaml:"issuer" doc:"Address of the OpenID Connect provider that members can sign on by, such as https://id.example.org; empty means none."`
	ClientID     string `yaml:"client_id" doc:"What the provider calls this service."`
	ClientSecret string `yaml:"client_secret" secret:"true" doc:"The service's secret at the provider; empty where it has none."`
}

// Provider is the configuration as the protocol has it: groups say nothing of members.
func (o OIDC) Provider() signon.Config {
	return signon.Config{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret}
}

// Check refuses, as Invalid, what no provider has.
func (o OIDC) Check() error { return o.Provider().Check() }

// freshSignOn is how long a sign-on counts in place of the password for who has none.
const freshSignOn = 10 * time.Minute

func noSignOn() error {
	return fmt.Errorf("there is no sign-on provider here: sign in with e-mail address and password, or set members.oidc.issuer: %w", bijou.NotFound)
}

// BeginSignOn sends the browser to the sign-on provider. It fails with NotFound where there is none, and with Unavailable where it does not answer.
func (s *Service) BeginSignOn(ctx context.Context, _ struct{}) (SignOnBegun, error) {
	if s.SignOn == nil {
		return SignOnBegun{}, noSignOn()
	}
	started, err := s.SignOn.Start(ctx)
	return SignOnBegun(started), err
}

// FinishSignOn opens a session for who comes back from the provider, and makes their account the first time. It fails with Denied where the sign-on
// does not hold, the provider has verified no address, or sign-up is closed; and with Conflict where the address has an account that the provider's
// word does not open: whoever made it need not be who has the address.
func (s *Service) FinishSignOn(ctx context.Context, in SignOnReturn) (Session, error) {
	who, err := s.signedOn(ctx, in.SignOnCode)
	if err != nil {
		return Session{}, err
	}
	account, err := s.memberOf(ctx, who)
	if err != nil {
		return Session{}, err
	}
	return s.open(ctx, account, in.Cookie, in.Device)
}

// signedOn returns whom the provider speaks of.
func (s *Service) signedOn(ctx context.Context, in SignOnCode) (signon.Person, error) {
	if s.SignOn == nil {
		return signon.Person{}, noSignOn()
	}
	return s.SignOn.Finish(ctx, signon.Return(in))
}

// memberOf returns the account of who signed on, made where there is none.
func (s *Service) memberOf(ctx context.Context, who signon.Person) (bijou.Account, error) {
	x := bijou.Identity{Issuer: who.Issuer, Subject: who.Subject}
	account, err := s.Accounts.Identified(ctx, x)
	if !errors.Is(err, bijou.NotFound) {
		return account, err
	}
	if who.Email == "" {
		return account, fmt.Errorf("%s has verified no e-mail address of yours, and an account needs one: have it verified there, then sign on again: %w", s.provider(), bijou.Denied)
	}
	email, err := mailable(who.Email)
	if err != nil {
		return account, err
	}
	switch _, _, err := s.Accounts.Credentials(ctx, email); {
	case err == nil:
		return s.sameOrTaken(ctx, x, email)
	case !errors.Is(err, bijou.NotFound):
		return account, err
	}
	if s.Config.SignUp == signUpClosed {
		return account, fmt.Errorf("%s knows you, but nobody can sign up here by themselves: ask who runs this service for an account, then connect it on the account page: %w", s.provider(), bijou.Denied)
	}
	account = bijou.Account{ID: bijou.NewID[bijou.AccountID](bijou.AccountPrefix), Email: email, Created: s.Now().UTC()}
	err = s.Accounts.CreateIdentified(ctx, account, x)
	if !errors.Is(err, bijou.Conflict) {
		return account, err
	}
	return s.sameOrTaken(ctx, x, email)
}

// sameOrTaken returns the account of the same person, who signed on in another window a moment ago, or says that the address is somebody's.
func (s *Service) sameOrTaken(ctx context.Context, x bijou.Identity, email string) (bijou.Account, error) {
	account, err := s.Accounts.Identified(ctx, x)
	if errors.Is(err, bijou.NotFound) {
		return account, s.taken(email)
	}
	return account, err
}

func (s *Service) taken(email string) error {
	return fmt.Errorf("the address %s has an account already: sign in with its password, then connect %s on the account page: %w", email, s.provider(), bijou.Conflict)
}

// provider is what people call the sign-on provider; nothing where there is none.
func (s *Service) provider() string {
	if s.SignOn == nil {
		return ""
	}
	return signon.HostOf(s.SignOn.Config.Issuer)
}

// ConnectSignOn lets the caller sign on by the provider from now on. It fails as FinishSignOn does, with Denied for a wrong password, and with Conflict
// where another account is connected with the same person, or this account with another.
func (s *Service) ConnectSignOn(ctx context.Context, in ConnectSignOn) (struct{}, error) {
	if s.SignOn == nil {
		return struct{}{}, noSignOn()
	}
	account, err := s.confirm(ctx, in.Password) // before the code is used, so that who mistypes can type again
	if err != nil {
		return struct{}{}, err
	}
	who, err := s.signedOn(ctx, in.SignOnCode)
	if err != nil {
		return struct{}{}, err
	}
	err = s.Accounts.Connect(ctx, account.ID, bijou.Identity{Issuer: who.Issuer, Subject: who.Subject})
	if errors.Is(err, bijou.Conflict) {
		err = fmt.Errorf("whom %s knows there has another account here, or this one is connected with somebody else: disconnect that first: %w", s.provider(), bijou.Conflict)
	}
	return struct{}{}, err
}

// DisconnectSignOn ends that the caller can sign on by the provider. It fails with Denied for a wrong password, with Conflict where the account has
// none, and with NotFound where it is not connected.
func (s *Service) DisconnectSignOn(ctx context.Context, in DisconnectSignOn) (struct{}, error) {
	if s.SignOn == nil {
		return struct{}{}, noSignOn()
	}
	account, err := s.Accounts.Account(ctx, bijou.CallerOf(ctx).Account)
	if err != nil {
		return struct{}{}, err
	}
	has, err := s.hasPassword(ctx, account)
	if err == nil && !has {
		err = fmt.Errorf("nobody could sign in to this account any more: set a password first: %w", bijou.Conflict)
	}
	if err != nil {
		return struct{}{}, err
	}
	if _, err := s.confirm(ctx, in.Password); err != nil {
		return struct{}{}, err
	}
	err = s.Accounts.Disconnect(ctx, account.ID, s.SignOn.Config.Issuer)
	if errors.Is(err, bijou.NotFound) {
		err = fmt.Errorf("this account is not connected with %s: %w", s.provider(), bijou.NotFound)
	}
	return struct{}{}, err
}

func (s *Service) hasPassword(ctx context.Context, account bijou.Account) (bool, error) {
	_, hash, err := s.Accounts.Credentials(ctx, account.Email)
	return hash != "", err
}

// connected tells whether the account signs on by the provider.
func (s *Service) connected(ctx context.Context, id bijou.AccountID) (bool, error) {
	if s.SignOn == nil {
		return false, nil
	}
	all, err := s.Accounts.Identities(ctx, id)
	for _, x := range all {
		if x.Issuer == s.SignOn.Config.Issuer {
			return true, nil
		}
	}
	return false, err
}

// fresh lets pass who signed on a moment ago, in place of a password that the account does not have. It fails with Denied where that was longer ago.
func (s *Service) fresh(ctx context.Context, account bijou.Account) error {
	now := s.Now()
	sessions, err := s.Accounts.Sessions(ctx, account.ID, now)
	if err != nil {
		return err
	}
	for _, kept := range sessions {
		if kept.ID == bijou.CallerOf(ctx).Session && now.Sub(kept.Created) <= freshSignOn {
			return nil
		}
	}
	return fmt.Errorf("this account has no password: sign out, sign on again, and do this within %d minutes: %w", int(freshSignOn.Minutes()), bijou.Denied)
}
