package contract

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// ProfileStore checks what bijou.ProfileStore promises. open returns a store that holds nothing.
func ProfileStore(t *testing.T, open func(t *testing.T) bijou.ProfileStore) {
	run(t, open, "AnAccountsProfilesComeOldestFirst", profileOrder)
	run(t, open, "AnIdentifierIsTakenOnce", profileConflict)
	run(t, open, "AnAccountHasAtMostFiveProfilesHoweverManyComeAtOnce", profileBound)
	run(t, open, "AProfileIsRenamedByItsOwnAccountAlone", profileUpdated)
	run(t, open, "ADeletedProfileIsGoneAndTheLastOneStays", profileDeleted)
	run(t, open, "OfTwoLastProfilesThatAreDeletedAtOnceOneStays", profileDeletedTogether)
	run(t, open, "AllProfilesOfAnAccountGoAtOnce", profileDeletedAll)
}

func profile(n int, a bijou.AccountID) bijou.Profile {
	return bijou.Profile{
		ID: bijou.ProfileID(fmt.Sprintf("prf_%d", n)), Account: a, Name: fmt.Sprintf("Zoë №%d", n), Children: n%2 == 1,
		Created: noon.Add(time.Duration(n) * time.Minute),
	}
}

func profileOrder(t *testing.T, s bijou.ProfileStore) {
	for _, n := range []int{3, 1, 4, 2} {
		must(t, "create profile", s.CreateProfile(t.Context(), profile(n, "acc_1")))
	}
	must(t, "create profile", s.CreateProfile(t.Context(), profile(5, "acc_2")))
	for id, want := range map[bijou.AccountID][]bijou.Profile{
		"acc_1": {profile(1, "acc_1"), profile(2, "acc_1"), profile(3, "acc_1"), profile(4, "acc_1")},
		"acc_2": {profile(5, "acc_2")},
		"acc_3": nil,
	} {
		got, err := s.Profiles(t.Context(), id)
		must(t, "profiles", err)
		wantSame(t, "profiles of "+string(id), got, want)
	}
}

func profileConflict(t *testing.T, s bijou.ProfileStore) {
	must(t, "create profile", s.CreateProfile(t.Context(), profile(1, "acc_1")))
	again := profile(1, "acc_2")
	again.Name = "somebody else"
	wantKind(t, "create a profile whose identifier is taken", s.CreateProfile(t.Context(), again), bijou.Conflict)
	got, err := s.Profiles(t.Context(), "acc_1")
	must(t, "profiles", err)
	wantSame(t, "profiles of the first", got, []bijou.Profile{profile(1, "acc_1")})
	got, err = s.Profiles(t.Context(), "acc_2")
	must(t, "profiles", err)
	wantSame(t, "profiles of the second", got, nil)
}

func createProfile(t *testing.T, s bijou.ProfileStore, n int, a bijou.AccountID) bijou.Profile {
	t.Helper()
	p := profile(n, a)
	must(t, "create profile", s.CreateProfile(t.Context(), p))
	return p
}

func wantProfiles(t *testing.T, s bijou.ProfileStore, what string, a bijou.AccountID, want ...bijou.Profile) {
	t.Helper()
	got, err := s.Profiles(t.Context(), a)
	must(t, "profiles", err)
	wantSame(t, what, got, want)
}

func profileBound(t *testing.T, s bijou.ProfileStore) {
	var made, refused atomic.Int32
	together(12, func(i int) {
		switch err := s.CreateProfile(t.Context(), profile(i, "acc_1")); {
		case err == nil:
			made.Add(1)
		case errors.Is(err, bijou.Exhausted):
			refused.Add(1)
		default:
			t.Errorf("create profile: got error %v, want none or exhausted", err)
		}
	})
	if made.Load() != bijou.MaxProfiles || refused.Load() != 12-bijou.MaxProfiles {
		t.Errorf("of 12 profiles %d were made and %d refused, want %d and the rest", made.Load(), refused.Load(), bijou.MaxProfiles)
	}
	createProfile(t, s, 20, "acc_2")
}

func profileUpdated(t *testing.T, s bijou.ProfileStore) {
	p, other := createProfile(t, s, 1, "acc_1"), createProfile(t, s, 2, "acc_2")
	changed := p
	changed.Name, changed.Children = "Ann", !p.Children
	must(t, "update profile", s.UpdateProfile(t.Context(), changed))
	wantProfiles(t, s, "profiles after a change", "acc_1", changed)
	other.Account = "acc_1"
	wantKind(t, "update another account's profile", s.UpdateProfile(t.Context(), other), bijou.NotFound)
	wantProfiles(t, s, "another's profiles", "acc_2", profile(2, "acc_2"))
}

func profileDeleted(t *testing.T, s bijou.ProfileStore) {
	first, second := createProfile(t, s, 1, "acc_1"), createProfile(t, s, 2, "acc_1")
	other := createProfile(t, s, 3, "acc_2")
	wantKind(t, "delete another account's profile", s.DeleteProfile(t.Context(), "acc_1", other.ID), bijou.NotFound)
	must(t, "delete profile", s.DeleteProfile(t.Context(), "acc_1", first.ID))
	wantKind(t, "delete it again", s.DeleteProfile(t.Context(), "acc_1", first.ID), bijou.NotFound)
	wantKind(t, "delete the last one", s.DeleteProfile(t.Context(), "acc_1", second.ID), bijou.Conflict)
	wantProfiles(t, s, "profiles that are left", "acc_1", second)
	wantProfiles(t, s, "another's profiles", "acc_2", other)
}

func profileDeletedTogether(t *testing.T, s bijou.ProfileStore) {
	createProfile(t, s, 0, "acc_1")
	createProfile(t, s, 1, "acc_1")
	var gone atomic.Int32
	together(2, func(i int) {
		if s.DeleteProfile(t.Context(), "acc_1", profile(i, "acc_1").ID) == nil {
			gone.Add(1)
		}
	})
	left, err := s.Profiles(t.Context(), "acc_1")
	must(t, "profiles", err)
	if gone.Load() != 1 || len(left) != 1 {
		t.Errorf("%d of two profiles were deleted at once and %d are left, want 1 and 1", gone.Load(), len(left))
	}
}

func profileDeletedAll(t *testing.T, s bijou.ProfileStore) {
	createProfile(t, s, 1, "acc_1")
	createProfile(t, s, 2, "acc_1")
	other := createProfile(t, s, 3, "acc_2")
	for range 2 {
		must(t, "delete profiles", s.DeleteProfiles(t.Context(), "acc_1"))
		wantProfiles(t, s, "profiles after their end", "acc_1")
	}
	wantProfiles(t, s, "another's profiles", "acc_2", other)
}
