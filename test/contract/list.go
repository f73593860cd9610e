package contract

import (
	"fmt"
	"testing"
	"time"

	"bijou"
)

// ListKeeper is a store of profiles that keeps their lists too.
type ListKeeper interface {
	bijou.ProfileStore
	bijou.ListStore
}

// ListStore checks what bijou.ListStore promises. open returns a store that holds nothing.
func ListStore(t *testing.T, open func(t *testing.T) ListKeeper) {
	owned := func(t *testing.T) ListKeeper {
		s := open(t)
		createProfile(t, s, 1, "acc_1")
		createProfile(t, s, 2, "acc_1")
		return s
	}
	run(t, owned, "AListComesLatestFirstPageByPage", listPages)
	run(t, owned, "ATitleIsListedOnceAndStaysWhereItIs", listTwice)
	run(t, owned, "ATitleThatIsRemovedIsGoneFromItsListAlone", listRemoved)
	run(t, owned, "AListIsBounded", listBound)
	run(t, owned, "AListNeedsAProfileAndGoesWithIt", listProfile)
}

func listed(profile string, n int) bijou.ListEntry {
	return bijou.ListEntry{Profile: bijou.ProfileID(profile), Title: bijou.TitleID(fmt.Sprintf("ttl_%d", n)), Added: noon.Add(time.Duration(n/2) * time.Second)}
}

func addToList(t *testing.T, s ListKeeper, e bijou.ListEntry) bijou.ListEntry {
	t.Helper()
	must(t, "add to list", s.AddToList(t.Context(), e))
	return e
}

func wantList(t *testing.T, s ListKeeper, what, profile string, want ...bijou.ListEntry) {
	t.Helper()
	page, err := s.List(t.Context(), bijou.ProfileID(profile), "", bijou.MaxList)
	must(t, "list", err)
	wantSame(t, what, page, bijou.ListPage{Entries: want})
}

func listPages(t *testing.T, s ListKeeper) {
	var want []bijou.ListEntry
	for n := range 7 { // two of each moment
		want = append([]bijou.ListEntry{addToList(t, s, listed("prf_1", n))}, want...)
	}
	addToList(t, s, listed("prf_2", 3))
	for _, limit := range []int{1, 2, 3, 7, 8} {
		var got []bijou.ListEntry
		before := ""
		for {
			page, err := s.List(t.Context(), "prf_1", before, limit)
			must(t, "list", err)
			got = append(got, page.Entries...)
			if before = page.Next; before == "" {
				break
			}
		}
		wantSame(t, fmt.Sprintf("list in pages of %d", limit), got, want)
	}
	_, err := s.List(t.Context(), "prf_1", "nowhere", 1)
	wantKind(t, "a place that no page gave", err, bijou.Invalid)
}

func listTwice(t *testing.T, s ListKeeper) {
	first, second := addToList(t, s, listed("prf_1", 1)), addToList(t, s, listed("prf_1", 5))
	again := first
	again.Added = noon.Add(time.Hour)
	addToList(t, s, again)
	wantList(t, s, "list after the same title twice", "prf_1", second, first)
}

func listRemoved(t *testing.T, s ListKeeper) {
	addToList(t, s, listed("prf_1", 1))
	left, other := addToList(t, s, listed("prf_1", 2)), addToList(t, s, listed("prf_2", 1))
	for range 2 {
		must(t, "remove from list", s.RemoveFromList(t.Context(), "prf_1", "ttl_1"))
		wantList(t, s, "list without the title", "prf_1", left)
	}
	wantList(t, s, "another's list", "prf_2", other)
}

func listBound(t *testing.T, s ListKeeper) {
	for n := range bijou.MaxList {
		addToList(t, s, listed("prf_1", n))
	}
	wantKind(t, "add one too many", s.AddToList(t.Context(), listed("prf_1", bijou.MaxList)), bijou.Exhausted)
	addToList(t, s, listed("prf_1", 0))
	must(t, "remove from list", s.RemoveFromList(t.Context(), "prf_1", "ttl_0"))
	addToList(t, s, listed("prf_1", bijou.MaxList))
}

func listProfile(t *testing.T, s ListKeeper) {
	wantKind(t, "add to nobody's list", s.AddToList(t.Context(), listed("prf_none", 1)), bijou.NotFound)
	addToList(t, s, listed("prf_1", 1))
	must(t, "delete profile", s.DeleteProfile(t.Context(), "acc_1", "prf_1"))
	wantList(t, s, "list of a deleted profile", "prf_1")
	addToList(t, s, listed("prf_2", 1))
	must(t, "delete profiles", s.DeleteProfiles(t.Context(), "acc_1"))
	wantList(t, s, "list of a deleted account", "prf_2")
}
