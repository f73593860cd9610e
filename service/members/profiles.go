package members

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bijou"
)

// ListProfiles returns the account's profiles, oldest first.
func (s *Service) ListProfiles(ctx context.Context, _ struct{}) (ProfileList, error) {
	c := bijou.CallerOf(ctx)
	profiles, err := s.Profiles.Profiles(ctx, c.Account)
	if err != nil {
		return ProfileList{}, err
	}
	pin, err := s.Accounts.PIN(ctx, c.Account)
	return ProfileList{Profiles: profiles, PIN: pin != ""}, err
}

// maxProfileName bounds a profile's name, in bytes.
const maxProfileName = 60

// profileName returns the name as it is kept.
func profileName(typed string) (string, error) {
	name := strings.TrimSpace(typed)
	if err := bijou.CheckName(name); err != nil {
		return "", err
	}
	if len(name) > maxProfileName {
		return "", fmt.Errorf("the name is %d bytes long: use at most %d: %w", len(name), maxProfileName, bijou.Invalid)
	}
	return name, nil
}

// MakeProfile makes a profile. It fails with Exhausted where there are five.
func (s *Service) MakeProfile(ctx context.Context, in MakeProfile) (bijou.Profile, error) {
	name, err := profileName(in.Name)
	if err != nil {
		return bijou.Profile{}, err
	}
	if err := s.guard(ctx, in.PIN); err != nil {
		return bijou.Profile{}, err
	}
	p := bijou.Profile{
		ID: bijou.NewID[bijou.ProfileID](bijou.ProfilePrefix), Account: bijou.CallerOf(ctx).Account, Name: name, Children: in.Children, Created: s.Now().UTC(),
	}
	return p, s.Profiles.CreateProfile(ctx, p)
}

// profile returns one of the caller's profiles.
func (s *Service) profile(ctx context.Context, id bijou.ProfileID) (bijou.Profile, error) {
	if err := bijou.CheckID(id, bijou.ProfilePrefix); err != nil {
		return bijou.Profile{}, err
	}
	profiles, err := s.Profiles.Profiles(ctx, bijou.CallerOf(ctx).Account)
	if err != nil {
		return bijou.Profile{}, err
	}
	for _, p := range profiles {
		if p.ID == id {
			return p, nil
		}
	}
	return bijou.Profile{}, fmt.Errorf("you have no profile %s: it may have been deleted: %w", id, bijou.NotFound)
}

// ChangeProfile renames a profile and says whether it is a children's.
func (s *Service) ChangeProfile(ctx context.Context, in ChangeProfile) (bijou.Profile, error) {
	name, err := profileName(in.Name)
	if err != nil {
		return bijou.Profile{}, err
	}
	p, err := s.profile(ctx, in.ID)
	if err != nil {
		return bijou.Profile{}, err
	}
	if err := s.guard(ctx, in.PIN); err != nil {
		return bijou.Profile{}, err
	}
	p.Name, p.Children = name, in.Children
	return p, s.Profiles.UpdateProfile(ctx, p)
}

// RemoveProfile deletes a profile, its list and its positions. It fails with Conflict for the last one.
func (s *Service) RemoveProfile(ctx context.Context, in RemoveProfile) (struct{}, error) {
	p, err := s.profile(ctx, in.ID)
	if err != nil {
		return struct{}{}, err
	}
	if err := s.guard(ctx, in.PIN); err != nil {
		return struct{}{}, err
	}
	err = s.Profiles.DeleteProfile(ctx, p.Account, p.ID)
	if errors.Is(err, bijou.Conflict) {
		err = fmt.Errorf("%q is your last profile: make another one first, or delete the account: %w", p.Name, bijou.Conflict)
	}
	return struct{}{}, err
}

// ChooseProfile changes who watches by this sign-in. Where a PIN is set, it is asked for before a profile that is not a children's.
func (s *Service) ChooseProfile(ctx context.Context, in ChooseProfile) (bijou.Profile, error) {
	c := bijou.CallerOf(ctx)
	p, err := s.profile(ctx, in.Profile)
	if err != nil {
		return bijou.Profile{}, err
	}
	if !p.Children && p.ID != c.Profile {
		if err := s.guard(ctx, in.PIN); err != nil {
			return bijou.Profile{}, err
		}
	}
	return p, s.Accounts.ChooseProfile(ctx, c.Session, p.ID)
}

// SetPIN sets or removes the account's PIN. It asks for the password, so that a forgotten PIN is no dead end.
func (s *Service) SetPIN(ctx context.Context, in SetPIN) (struct{}, error) {
	account, err := s.confirm(ctx, in.Password)
	if err != nil {
		return struct{}{}, err
	}
	hash := ""
	if in.PIN != "" {
		if hash, err = s.passwords.Hash(ctx, in.PIN); err != nil {
			return struct{}{}, err
		}
	}
	s.tries.clear("PIN " + string(account.ID))
	return struct{}{}, s.Accounts.SetPIN(ctx, account.ID, hash)
}

// guard asks for the PIN where the account has one. It fails with Denied for a wrong one, and with Exhausted after too many.
func (s *Service) guard(ctx context.Context, pin string) error {
	id := bijou.CallerOf(ctx).Account
	hash, err := s.Accounts.PIN(ctx, id)
	if err != nil || hash == "" {
		return err
	}
	if pin == "" {
		return fmt.Errorf("this asks for the PIN: type its four digits: %w", bijou.Denied)
	}
	key := "PIN " + string(id)
	if wait := s.tries.take(key, byPIN, s.Now()); wait > 0 {
		return tooOften("too many wrong PINs", wait)
	}
	ok, err := s.passwords.Verify(ctx, pin, hash)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the PIN is wrong: type its four digits: %w", bijou.Denied)
	}
	s.tries.clear(key)
	return nil
}

// grownUp refuses what concerns the whole account to a children's profile that a PIN keeps in its place.
func (s *Service) grownUp(ctx context.Context) error {
	c := bijou.CallerOf(ctx)
	if !c.Children {
		return nil
	}
	hash, err := s.Accounts.PIN(ctx, c.Account)
	if err == nil && hash != "" {
		err = fmt.Errorf("a children's profile is watching: choose another one by the PIN first: %w", bijou.Denied)
	}
	return err
}
