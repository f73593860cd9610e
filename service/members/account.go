package members

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bijou"
	"bijou/kit/trust"
)

// Me tells who the caller is.
func (s *Service) Me(ctx context.Context, _ struct{}) (Me, error) {
	c := bijou.CallerOf(ctx)
	if c.Account == "" {
		return Me{Guest: true, SignUp: s.Config.SignUp, SignOn: s.provider()}, nil
	}
	account, err := s.Accounts.Account(ctx, c.Account)
	if err != nil {
		return Me{}, err
	}
	me := Me{Account: &account, SignUp: s.Config.SignUp, SignOn: s.provider()}
	if me.Password, err = s.hasPassword(ctx, account); err != nil {
		return Me{}, err
	}
	if me.Connected, err = s.connected(ctx, account.ID); err != nil {
		return Me{}, err
	}
	profiles, err := s.Profiles.Profiles(ctx, c.Account)
	for _, p := range profiles {
		if p.ID == c.Profile {
			me.Profile = &p
		}
	}
	return me, err
}

// confirm asks for the caller's password again, or that who has none signed on a moment ago. It fails with Denied for a wrong one, and with Exhausted
// after too many.
func (s *Service) confirm(ctx context.Context, password string) (bijou.Account, error) {
	account, err := s.Accounts.Account(ctx, bijou.CallerOf(ctx).Account)
	if err != nil {
		return bijou.Account{}, err
	}
	_, hash, err := s.Accounts.Credentials(ctx, account.Email)
	if err != nil {
		return bijou.Account{}, err
	}
	if hash == "" {
		return account, s.fresh(ctx, account)
	}
	key := "member " + string(account.ID)
	if wait := s.tries.take(key, byMember, s.Now()); wait > 0 {
		return bijou.Account{}, tooOften("too many wrong passwords", wait)
	}
	ok, err := s.passwords.Verify(ctx, password, hash)
	if err != nil {
		return bijou.Account{}, err
	}
	if !ok {
		return bijou.Account{}, fmt.Errorf("the password is wrong: type the one that you sign in with: %w", bijou.Denied)
	}
	s.tries.clear(key)
	return account, nil
}

// ChangePassword replaces the caller's password and ends the account's other sign-ins.
func (s *Service) ChangePassword(ctx context.Context, in ChangePassword) (struct{}, error) {
	account, err := s.confirm(ctx, in.Old)
	if err != nil {
		return struct{}{}, err
	}
	if err := checkPassword(in.New, account.Email); err != nil {
		return struct{}{}, err
	}
	hash, err := s.passwords.Hash(ctx, in.New)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.Accounts.SetPassword(ctx, account.ID, hash, bijou.CallerOf(ctx).Session)
}

// exportPositions bounds the positions of one profile in an export: more than a catalogue has titles.
const exportPositions = 1 << 20

// Export returns all that is kept of the caller's account.
func (s *Service) Export(ctx context.Context, _ struct{}) (Export, error) {
	if err := s.grownUp(ctx); err != nil {
		return Export{}, err
	}
	id := bijou.CallerOf(ctx).Account
	out := Export{At: s.Now().UTC()}
	var err error
	if out.Account, err = s.Accounts.Account(ctx, id); err != nil {
		return Export{}, err
	}
	pin, err := s.Accounts.PIN(ctx, id)
	if err != nil {
		return Export{}, err
	}
	out.PIN = pin != ""
	identities, err := s.Accounts.Identities(ctx, id)
	if err != nil {
		return Export{}, err
	}
	out.Identities = append([]bijou.Identity{}, identities...) // a list, where there is none
	if out.Sessions, err = s.Accounts.Sessions(ctx, id, out.At); err != nil {
		return Export{}, err
	}
	profiles, err := s.Profiles.Profiles(ctx, id)
	if err != nil {
		return Export{}, err
	}
	for _, p := range profiles {
		list, err := s.Profiles.List(ctx, p.ID, "", bijou.MaxList)
		if err != nil {
			return Export{}, err
		}
		positions, err := s.Profiles.Positions(ctx, p.ID, exportPositions)
		if err != nil {
			return Export{}, err
		}
		out.Profiles = append(out.Profiles, ExportedProfile{Profile: p, List: list.Entries, Positions: positions})
	}
	return out, nil
}

// Leave deletes the caller's account and all that is kept of it.
func (s *Service) Leave(ctx context.Context, in Leave) (SignedOut, error) {
	account, err := s.confirm(ctx, in.Password)
	if err != nil {
		return SignedOut{}, err
	}
	return SignedOut{secure: bijou.CallerOf(ctx).Secure}, s.delete(ctx, account.ID)
}

// delete removes the account and all that is kept of it. The profiles go first: should a kill come in between, the account is there to be
// deleted again. They go once more at the end, for a sign-in may have made one meanwhile.
func (s *Service) delete(ctx context.Context, id bijou.AccountID) error {
	if err := s.Profiles.DeleteProfiles(ctx, id); err != nil {
		return err
	}
	if err := s.Accounts.DeleteAccount(ctx, id); err != nil {
		return err
	}
	return s.Profiles.DeleteProfiles(ctx, id)
}

// FindAccounts returns a page of accounts, for operators.
func (s *Service) FindAccounts(ctx context.Context, in AccountsQuery) (bijou.AccountPage, error) {
	limit := in.Limit
	if limit == 0 {
		limit = 100
	}
	page, err := s.Accounts.Accounts(ctx, bijou.AccountQuery{Email: strings.ToLower(strings.TrimSpace(in.Email)), Before: in.Before, Limit: limit})
	if page.Accounts == nil {
		page.Accounts = []bijou.Account{}
	}
	return page, err
}

// AddAccount makes an account for somebody, for operators: its password is set by the link that is answered.
func (s *Service) AddAccount(ctx context.Context, in AddAccount) (ResetLink, error) {
	email, err := mailable(in.Email)
	if err != nil {
		return ResetLink{}, err
	}
	account, err := s.create(ctx, in.Email, email, trust.NewToken()) // which nobody knows
	if err != nil {
		return ResetLink{}, err
	}
	return s.link(ctx, account)
}

// RemoveAccount deletes an account and all that is kept of it, for operators.
func (s *Service) RemoveAccount(ctx context.Context, in OneAccount) (struct{}, error) {
	account, err := s.known(ctx, in.ID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.delete(ctx, account.ID)
}

// MakeResetLink makes a link by which an account's password is set, for operators.
func (s *Service) MakeResetLink(ctx context.Context, in OneAccount) (ResetLink, error) {
	account, err := s.known(ctx, in.ID)
	if err != nil {
		return ResetLink{}, err
	}
	return s.link(ctx, account)
}

func (s *Service) known(ctx context.Context, id bijou.AccountID) (bijou.Account, error) {
	if err := bijou.CheckID(id, bijou.AccountPrefix); err != nil {
		return bijou.Account{}, err
	}
	account, err := s.Accounts.Account(ctx, id)
	if errors.Is(err, bijou.NotFound) {
		return account, fmt.Errorf("no account has the identifier %s: %w", id, bijou.NotFound)
	}
	return account, err
}
