package contract

import (
	"fmt"
	"testing"
	"time"

	"bijou"
)

// ProfileStore checks what bijou.ProfileStore promises. open returns a store that holds nothing.
func ProfileStore(t *testing.T, open func(t *testing.T) bijou.ProfileStore) {
	run(t, open, "AnAccountsProfilesComeOldestFirst", profileOrder)
	run(t, open, "AnIdentifierIsTakenOnce", profileConflict)
	run(t, open, "APositionIsWhatWasSaved", positionSaved)
	run(t, open, "OnlyANewerPositionReplacesTheOneKept", positionNewer)
	run(t, open, "AProfileThatHasNotBegunATitleHasNoPosition", positionUnknown)
	run(t, open, "PositionsComeLatestFirstUpToTheLimit", positionList)
	run(t, open, "OfManyReportsAtOnceTheNewestStays", positionTogether)
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

func position(profile, title, session string, seq int64, at time.Duration) bijou.Position {
	return bijou.Position{
		Profile: bijou.ProfileID(profile), Title: bijou.TitleID(title), PositionMS: 1000 * seq, RuntimeMS: 90 * 60 * 1000,
		Session: bijou.SessionID(session), Seq: seq, At: noon.Add(at),
	}
}

func wantPosition(t *testing.T, s bijou.ProfileStore, want bijou.Position) {
	t.Helper()
	got, err := s.Position(t.Context(), want.Profile, want.Title)
	must(t, "position", err)
	wantSame(t, fmt.Sprintf("position of %s in %s", want.Profile, want.Title), got, want)
}

func positionSaved(t *testing.T, s bijou.ProfileStore) {
	all := []bijou.Position{
		position("prf_1", "ttl_1", "ply_1", 7, 0), position("prf_1", "ttl_2", "ply_2", 1, time.Second),
		position("prf_2", "ttl_1", "ply_3", 9, time.Minute), position("prf_2", "ttl_2", "ply_4", 2, time.Hour),
	}
	for _, p := range all {
		must(t, "save position", s.SavePosition(t.Context(), p))
		must(t, "save it again", s.SavePosition(t.Context(), p))
	}
	for _, p := range all {
		wantPosition(t, s, p)
	}
}

func positionNewer(t *testing.T, s bijou.ProfileStore) {
	kept := position("prf_1", "ttl_1", "ply_a", 5, 10*time.Second)
	must(t, "save position", s.SavePosition(t.Context(), kept))
	for _, c := range []struct {
		what     string
		session  string
		seq      int64
		at       time.Duration
		replaces bool
	}{
		{"an earlier report of the viewing", "ply_a", 4, 20 * time.Second, false},
		{"the same report, taken in again", "ply_a", 5, 30 * time.Second, false},
		{"a report of another viewing, taken in earlier", "ply_b", 99, 9 * time.Second, false},
		{"a report of another viewing, taken in at the same time", "ply_b", 99, 10 * time.Second, false},
		{"a later report of the viewing, taken in earlier", "ply_a", 6, 5 * time.Second, true},
		{"a report of another viewing, taken in later", "ply_b", 1, 11 * time.Second, true},
		{"a report of another viewing again, less than a millisecond later", "ply_a", 3, 11*time.Second + time.Microsecond, true},
		{"a report of another viewing, less than a microsecond earlier", "ply_c", 3, 11*time.Second + time.Microsecond - time.Nanosecond, false},
	} {
		p := position("prf_1", "ttl_1", c.session, c.seq, c.at)
		p.PositionMS = int64(c.at / time.Millisecond)
		must(t, "save "+c.what, s.SavePosition(t.Context(), p))
		if c.replaces {
			kept = p
		}
		got, err := s.Position(t.Context(), "prf_1", "ttl_1")
		must(t, "position", err)
		wantSame(t, "after "+c.what, got, kept)
	}
}

func positionUnknown(t *testing.T, s bijou.ProfileStore) {
	must(t, "save position", s.SavePosition(t.Context(), position("prf_1", "ttl_1", "ply_1", 1, 0)))
	for _, c := range [][2]string{{"prf_1", "ttl_2"}, {"prf_2", "ttl_1"}} {
		_, err := s.Position(t.Context(), bijou.ProfileID(c[0]), bijou.TitleID(c[1]))
		wantKind(t, fmt.Sprintf("position of %s in %s", c[0], c[1]), err, bijou.NotFound)
	}
}

func positionList(t *testing.T, s bijou.ProfileStore) {
	var want []bijou.Position
	for i := range 5 {
		want = append(want, position("prf_1", fmt.Sprintf("ttl_%d", i), "ply_1", 1, time.Duration(10-i)*time.Second))
	}
	for _, i := range []int{2, 0, 4, 1, 3} {
		must(t, "save position", s.SavePosition(t.Context(), want[i]))
	}
	must(t, "save position", s.SavePosition(t.Context(), position("prf_2", "ttl_0", "ply_2", 1, time.Hour)))
	for _, limit := range []int{0, 1, 3, 5, 100} {
		got, err := s.Positions(t.Context(), "prf_1", limit)
		must(t, "positions", err)
		wantSame(t, fmt.Sprintf("at most %d positions", limit), got, want[:min(limit, len(want))])
	}
	got, err := s.Positions(t.Context(), "prf_3", 10)
	must(t, "positions", err)
	wantSame(t, "positions of an unknown profile", got, nil)
}

func positionTogether(t *testing.T, s bijou.ProfileStore) {
	const reports = 40
	together(8, func(i int) {
		for n := i; n < reports; n += 8 {
			seq := int64(1 + (n*17)%reports)
			if err := s.SavePosition(t.Context(), position("prf_1", "ttl_1", "ply_1", seq, 0)); err != nil {
				t.Errorf("save position: %v", err)
			}
		}
	})
	wantPosition(t, s, position("prf_1", "ttl_1", "ply_1", reports, 0))
}
