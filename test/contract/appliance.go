package contract

import (
	"slices"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

// ApplianceStore checks an engine against bijou.ApplianceStore.
func ApplianceStore(t *testing.T, open func(t *testing.T) bijou.ApplianceStore) {
	t.Run("nobody has spoken of any appliance at first", func(t *testing.T) {
		got, err := open(t).WantedAppliances(t.Context())
		if err != nil || got == nil || len(got) != 0 {
			t.Errorf("got %v, %v, want an empty map", got, err)
		}
	})
	t.Run("the last word on an appliance counts", func(t *testing.T) {
		s := open(t)
		for _, w := range []struct {
			id    bijou.ApplianceID
			state bijou.ApplianceState
		}{{"apl_a", bijou.ApplianceDraining}, {"apl_b", bijou.AppliancePaused}, {"apl_a", bijou.ApplianceServing}} {
			must(t, "want", s.WantAppliance(t.Context(), w.id, w.state))
		}
		got, err := s.WantedAppliances(t.Context())
		must(t, "list", err)
		want := map[bijou.ApplianceID]bijou.ApplianceState{"apl_a": bijou.ApplianceServing, "apl_b": bijou.AppliancePaused}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// RevocationStore checks an engine against bijou.RevocationStore.
func RevocationStore(t *testing.T, open func(t *testing.T) bijou.RevocationStore) {
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	t.Run("a revocation is in force until its end, in order of session", func(t *testing.T) {
		s := open(t)
		a := bijou.Revocation{Session: "ply_a", Until: begin.Add(time.Hour)}
		b := bijou.Revocation{Session: "ply_b", Until: begin.Add(2 * time.Hour)}
		must(t, "revoke", s.Revoke(t.Context(), b))
		must(t, "revoke", s.Revoke(t.Context(), a))
		for now, want := range map[time.Time][]bijou.Revocation{
			begin: {a, b}, begin.Add(time.Hour - time.Microsecond): {a, b}, begin.Add(time.Hour): {b}, begin.Add(2 * time.Hour): nil,
		} {
			got, err := s.Revocations(t.Context(), now)
			must(t, "list", err)
			if len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
				t.Errorf("at %s: got %v, want %v", now, got, want)
			}
			for _, r := range []bijou.Revocation{a, b, {Session: "ply_c"}} {
				in := slices.ContainsFunc(want, func(w bijou.Revocation) bool { return w.Session == r.Session })
				if revoked, err := s.Revoked(t.Context(), r.Session, now); err != nil || revoked != in {
					t.Errorf("%s at %s: revoked is %v (%v), want %v", r.Session, now, revoked, err, in)
				}
			}
		}
	})
	t.Run("of two of one session the later end holds", func(t *testing.T) {
		s := open(t)
		for _, hours := range []int{2, 3, 1} {
			must(t, "revoke", s.Revoke(t.Context(), bijou.Revocation{Session: "ply_a", Until: begin.Add(time.Duration(hours) * time.Hour)}))
		}
		got, err := s.Revocations(t.Context(), begin)
		must(t, "list", err)
		if len(got) != 1 || !got[0].Until.Equal(begin.Add(3*time.Hour)) {
			t.Errorf("got %v, want one that ends after three hours", got)
		}
	})
}
