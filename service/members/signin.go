package members

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bijou"
	"bijou/kit/trust"
)

// SignUp is the request to make an account.
type SignUp struct {
	Email    string `json:"email" maxLength:"254" doc:"Address to sign in with."`
	Password string `json:"password" minLength:"8" maxLength:"1024"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Set the session as a cookie and leave the token out of the answer: for browsers."`
	Device   string `json:"device,omitempty" maxLength:"80" doc:"What the device calls itself in the list of sign-ins, such as Firefox on Linux."`
}

// SignIn is the request to open a session.
type SignIn struct {
	Email    string `json:"email" maxLength:"254"`
	Password string `json:"password" maxLength:"1024"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Set the session as a cookie and leave the token out of the answer: for browsers."`
	Device   string `json:"device,omitempty" maxLength:"80" doc:"What the device calls itself in the list of sign-ins, such as Firefox on Linux."`
}

// SignUp makes an account with one profile and signs it in. It fails with Denied where sign-up is closed, with Conflict where the address
// has an account, and with Invalid for an address that no mail reaches or a password that others would guess.
func (s *Service) SignUp(ctx context.Context, in SignUp) (Session, error) {
	if s.Config.SignUp == signUpClosed {
		return Session{}, fmt.Errorf("nobody can sign up here by themselves: ask who runs this service for an account: %w", bijou.Denied)
	}
	email, err := mailable(in.Email)
	if err != nil {
		return Session{}, err
	}
	if err := checkPassword(in.Password, email); err != nil {
		return Session{}, err
	}
	account, err := s.create(ctx, in.Email, email, in.Password)
	if err != nil {
		return Session{}, err
	}
	return s.open(ctx, account, in.Cookie, in.Device)
}

// mailable is bijou.NormalEmail for a new account: the address must be one that mail can reach, so its domain has a dot, or is localhost.
func mailable(typed string) (string, error) {
	email, err := bijou.NormalEmail(typed)
	if err != nil {
		return "", err
	}
	_, domain, _ := strings.Cut(email, "@")
	if name, last, ok := strings.Cut(domain, "."); domain != "localhost" && (!ok || name == "" || last == "") {
		return "", fmt.Errorf("%q ends in no domain that mail reaches: type an address such as ada@example.org: %w", strings.TrimSpace(typed), bijou.Invalid)
	}
	return email, nil
}

// create makes the account of an address, as it was typed and as it is found by.
func (s *Service) create(ctx context.Context, typed, email, password string) (bijou.Account, error) {
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return bijou.Account{}, err
	}
	account := bijou.Account{ID: bijou.NewID[bijou.AccountID](bijou.AccountPrefix), Email: email, Created: s.Now().UTC()}
	err = s.Accounts.CreateAccount(ctx, account, hash)
	if errors.Is(err, bijou.Conflict) {
		return bijou.Account{}, fmt.Errorf("the address %s has an account already: sign in instead: %w", strings.TrimSpace(typed), bijou.Conflict)
	}
	return account, err
}

// SignIn opens a session. It fails with Denied, in the same words and after the same work, for an unknown address and a wrong password,
// and with Exhausted after too many of them.
func (s *Service) SignIn(ctx context.Context, in SignIn) (Session, error) {
	email, err := bijou.NormalEmail(in.Email)
	if err != nil {
		return Session{}, err
	}
	account, hash, err := s.Accounts.Credentials(ctx, email)
	unknown := errors.Is(err, bijou.NotFound) || err == nil && hash == "" // who has no password signs on by the provider
	if unknown {
		hash = trust.NobodysHash
	} else if err != nil {
		return Session{}, err
	}
	from, whose, err := s.tryPassword(ctx, email, account.ID)
	if err != nil {
		return Session{}, err
	}
	ok, err := s.passwords.Verify(ctx, in.Password, hash)
	if err != nil {
		return Session{}, err
	}
	if !ok || unknown {
		return Session{}, fmt.Errorf("the e-mail address or the password is wrong: %w", bijou.Denied)
	}
	s.tries.giveBack(from)
	s.tries.clear(whose)
	return s.open(ctx, account, in.Cookie, in.Device)
}

// tryPassword counts a try at an account's password, and returns by which keys. It fails with Exhausted where there were too many.
func (s *Service) tryPassword(ctx context.Context, email string, id bijou.AccountID) (from, whose string, err error) {
	now, address := s.Now(), neighbourhood(bijou.CallerOf(ctx).Client)
	from, whose = "address "+address, "account "+email
	sessions, err := s.Accounts.Sessions(ctx, id, now)
	if err != nil {
		return "", "", err
	}
	for _, kept := range sessions {
		if kept.Address != "" && neighbourhood(kept.Address) == address {
			whose += " from " + address
			break
		}
	}
	for _, c := range []struct {
		key string
		rule
	}{{from, byAddress}, {whose, byAccount}} {
		if wait := s.tries.take(c.key, c.rule, now); wait > 0 {
			return "", "", tooOften("too many wrong passwords", wait)
		}
	}
	return from, whose, nil
}

// open signs the account in as its first profile, and makes that profile where a kill came between account and profile.
func (s *Service) open(ctx context.Context, account bijou.Account, cookie bool, device string) (Session, error) {
	profile, err := s.firstProfile(ctx, account)
	if err != nil {
		return Session{}, err
	}
	caller := bijou.CallerOf(ctx)
	token, now := trust.NewToken(), s.Now().UTC()
	kept := bijou.MemberSession{
		ID: bijou.NewID[bijou.SignInID](bijou.SignInPrefix), TokenHash: trust.HashToken(token), Account: account.ID, Profile: profile.ID, Device: device,
		Address: caller.Client, Created: now, Seen: now, Issued: now, Expires: now.AddDate(0, 0, s.Config.SessionDays),
	}
	if err := s.Accounts.OpenSession(ctx, kept); err != nil {
		return Session{}, err
	}
	out := Session{Account: account, Profile: profile, Expires: kept.Expires, Token: token, secure: caller.Secure}
	if cookie {
		out.Token, out.cookie = "", token
	}
	return out, nil
}

func (s *Service) firstProfile(ctx context.Context, account bijou.Account) (bijou.Profile, error) {
	profiles, err := s.Profiles.Profiles(ctx, account.ID)
	if err != nil {
		return bijou.Profile{}, err
	}
	if len(profiles) > 0 {
		return profiles[0], nil
	}
	name, _, _ := strings.Cut(account.Email, "@")
	p := bijou.Profile{ID: bijou.NewID[bijou.ProfileID](bijou.ProfilePrefix), Account: account.ID, Name: name, Created: s.Now().UTC()}
	return p, s.Profiles.CreateProfile(ctx, p)
}

// SignOut ends the caller's session. A guest has none, which is fine.
func (s *Service) SignOut(ctx context.Context, _ struct{}) (SignedOut, error) {
	c := bijou.CallerOf(ctx)
	if c.Session == "" {
		return SignedOut{secure: c.Secure}, nil
	}
	_, err := s.Accounts.CloseSessions(ctx, c.Account, c.Session, "")
	return SignedOut{secure: c.Secure}, err
}

const (
	// rotateAfter is how old a token is when the next request by cookie replaces it.
	rotateAfter = 24 * time.Hour
	// overlap is how long the token before holds once the newer one has been used: for requests that were on their way.
	overlap = time.Minute
	// seenEvery is how exact the time is at which a sign-in was last used: it costs a write.
	seenEvery = 15 * time.Minute
)

// Authenticate implements bijou.Sessions. A sign-in whose profile is gone belongs to nobody until one is chosen, and sees what children see.
func (s *Service) Authenticate(ctx context.Context, token string) (bijou.Caller, error) {
	hash, now := trust.HashToken(token), s.Now()
	kept, err := s.Accounts.Session(ctx, hash, now)
	if errors.Is(err, bijou.NotFound) {
		return bijou.Caller{}, signInEnded()
	}
	if err != nil {
		return bijou.Caller{}, err
	}
	profiles, err := s.Profiles.Profiles(ctx, kept.Account)
	if err != nil {
		return bijou.Caller{}, err
	}
	caller := bijou.Caller{Account: kept.Account, Children: true, Session: kept.ID, Stale: stale(kept, hash, now)}
	for _, p := range profiles {
		if p.ID == kept.Profile {
			caller.Profile, caller.Children = p.ID, p.Children
		}
	}
	if used, changed := noteUse(kept, hash, now); changed {
		if err := s.Accounts.NoteSession(ctx, used); err != nil && ctx.Err() == nil {
			s.Log.Warn("sign-in is not noted as seen", "session", kept.ID, "error", err) // it holds all the same
		}
	}
	return caller, nil
}

func signInEnded() error {
	return fmt.Errorf("the sign-in is unknown or has ended: sign in again: %w", bijou.Denied)
}

// stale tells whether the token is due to be replaced: because of its age, or because the answer that brought the newer one never arrived.
func stale(kept bijou.MemberSession, hash string, now time.Time) bool {
	if kept.TokenHash == hash {
		return far(now.Sub(kept.Issued), rotateAfter)
	}
	return kept.OldUntil.IsZero() && now.Sub(kept.Issued) >= overlap
}

// far tells whether something is as long ago as that, or as far ahead: then it was noted by a clock that was wrong.
func far(ago, most time.Duration) bool { return ago >= most || ago <= -most }

// noteUse returns the sign-in as it is after its token was used, and whether that is worth a write.
func noteUse(kept bijou.MemberSession, hash string, now time.Time) (bijou.MemberSession, bool) {
	changed := false
	if far(now.Sub(kept.Seen), seenEvery) {
		kept.Seen, changed = now, true
	}
	if kept.TokenHash == hash && kept.OldHash != "" && (kept.OldUntil.IsZero() || kept.OldUntil.After(now.Add(2*overlap))) {
		kept.OldUntil, changed = now.Add(overlap), true
	}
	return kept, changed
}

// Rotate implements bijou.Sessions.
func (s *Service) Rotate(ctx context.Context, token string) (bijou.RenewedToken, error) {
	now := s.Now()
	kept, err := s.Accounts.Session(ctx, trust.HashToken(token), now)
	if errors.Is(err, bijou.NotFound) {
		return bijou.RenewedToken{}, signInEnded()
	}
	if err != nil {
		return bijou.RenewedToken{}, err
	}
	fresh := trust.NewToken()
	err = s.Accounts.RotateSession(ctx, trust.HashToken(token), trust.HashToken(fresh), now, now.Add(-overlap))
	if errors.Is(err, bijou.Conflict) {
		return bijou.RenewedToken{}, fmt.Errorf("the token was replaced a moment ago: use the newer one: %w", bijou.Conflict)
	}
	return bijou.RenewedToken{Token: fresh, Expires: kept.Expires}, err
}

// SignIns lists the caller's sign-ins, latest seen first.
func (s *Service) SignIns(ctx context.Context, _ struct{}) (SignInList, error) {
	c := bijou.CallerOf(ctx)
	all, err := s.Accounts.Sessions(ctx, c.Account, s.Now())
	if err != nil {
		return SignInList{}, err
	}
	list := SignInList{Sessions: []ListedSignIn{}}
	for _, kept := range all {
		list.Sessions = append(list.Sessions, ListedSignIn{MemberSession: kept, Current: kept.ID == c.Session})
	}
	return list, nil
}

// EndSignIn ends one of the caller's sign-ins. It fails with NotFound where the caller has no such one.
func (s *Service) EndSignIn(ctx context.Context, in OneSignIn) (struct{}, error) {
	if err := bijou.CheckID(in.ID, bijou.SignInPrefix); err != nil {
		return struct{}{}, err
	}
	if err := s.grownUp(ctx); err != nil {
		return struct{}{}, err
	}
	n, err := s.Accounts.CloseSessions(ctx, bijou.CallerOf(ctx).Account, in.ID, "")
	if err == nil && n == 0 {
		err = fmt.Errorf("you have no sign-in %s: it may have ended already: %w", in.ID, bijou.NotFound)
	}
	return struct{}{}, err
}

// EndSignIns ends the caller's sign-ins everywhere, or everywhere else.
func (s *Service) EndSignIns(ctx context.Context, in EndSignIns) (Ended, error) {
	if err := s.grownUp(ctx); err != nil {
		return Ended{}, err
	}
	c := bijou.CallerOf(ctx)
	except := c.Session
	if in.Everywhere {
		except = ""
	}
	n, err := s.Accounts.CloseSessions(ctx, c.Account, "", except)
	return Ended{Ended: n}, err
}
