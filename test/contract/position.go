package contract

import (
	"fmt"
	"testing"
	"time"

	"bijou"
)

// PositionKeeper is a store of profiles that keeps their positions too.
type PositionKeeper interface {
	bijou.ProfileStore
	bijou.PositionStore
}

// PositionStore checks what bijou.PositionStore promises. open returns a store that holds nothing.
func PositionStore(t *testing.T, open func(t *testing.T) PositionKeeper) {
	watched := func(t *testing.T) PositionKeeper {
		s := open(t)
		createProfile(t, s, 1, "acc_1")
		createProfile(t, s, 2, "acc_1")
		return s
	}
	run(t, watched, "APositionIsWhatWasSaved", positionSaved)
	run(t, watched, "OnlyANewerPositionReplacesTheOneKept", positionNewer)
	run(t, watched, "AProfileThatHasNotBegunATitleHasNoPosition", positionUnknown)
	run(t, watched, "PositionsComeLatestFirstUpToTheLimit", positionList)
	run(t, watched, "OfManyReportsAtOnceTheNewestStays", positionTogether)
	run(t, watched, "PositionsGoWithTheirProfileAndALateReportBringsNoneBack", positionDeleted)
}

func position(profile, title, session string, seq int64, at time.Duration) bijou.Position {
	return bijou.Position{
		Profile: bijou.ProfileID(profile), Title: bijou.TitleID(title), PositionMS: 1000 * seq, RuntimeMS: 90 * 60 * 1000,
		Session: bijou.SessionID(session), Seq: seq, At: noon.Add(at),
	}
}

func wantPosition(t *testing.T, s PositionKeeper, want bijou.Position) {
	t.Helper()
	got, err := s.Position(t.Context(), want.Profile, want.Title)
	must(t, "position", err)
	wantSame(t, fmt.Sprintf("position of %s in %s", want.Profile, want.Title), got, want)
}

func positionSaved(t *testing.T, s PositionKeeper) {
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

func positionNewer(t *testing.T, s PositionKeeper) {
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

func positionUnknown(t *testing.T, s PositionKeeper) {
	must(t, "save position", s.SavePosition(t.Context(), position("prf_1", "ttl_1", "ply_1", 1, 0)))
	for _, c := range [][2]string{{"prf_1", "ttl_2"}, {"prf_2", "ttl_1"}} {
		_, err := s.Position(t.Context(), bijou.ProfileID(c[0]), bijou.TitleID(c[1]))
		wantKind(t, fmt.Sprintf("position of %s in %s", c[0], c[1]), err, bijou.NotFound)
	}
}

func positionList(t *testing.T, s PositionKeeper) {
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

func positionTogether(t *testing.T, s PositionKeeper) {
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

func positionDeleted(t *testing.T, s PositionKeeper) {
	kept := position("prf_2", "ttl_1", "ply_2", 1, 0)
	must(t, "save position", s.SavePosition(t.Context(), position("prf_1", "ttl_1", "ply_1", 1, 0)))
	must(t, "save position", s.SavePosition(t.Context(), kept))
	must(t, "delete profile", s.DeleteProfile(t.Context(), "acc_1", "prf_1"))
	must(t, "save a late report", s.SavePosition(t.Context(), position("prf_1", "ttl_1", "ply_1", 2, time.Second)))
	_, err := s.Position(t.Context(), "prf_1", "ttl_1")
	wantKind(t, "position of a deleted profile", err, bijou.NotFound)
	wantPosition(t, s, kept)
	must(t, "delete profiles", s.DeleteProfiles(t.Context(), "acc_1"))
	must(t, "save a late report", s.SavePosition(t.Context(), position("prf_2", "ttl_1", "ply_2", 2, time.Second)))
	got, err := s.Positions(t.Context(), "prf_2", 10)
	must(t, "positions", err)
	wantSame(t, "positions of a deleted account", got, nil)
}
