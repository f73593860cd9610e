package sqlite

import (
	"errors"
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

var (
	begin = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
	steps = rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, -time.Second, -time.Hour, 87_600 * time.Hour, -87_600 * time.Hour})
)

// Whether a reset link or a sign-in holds is a matter of its end and of the time of who asks, whatever was asked before.
func TestWhatExpiresDoesSoByTheTimeOfWhoAsks(t *testing.T) {
	m := opened(t, OpenMembers, newFile(t))
	a := bijou.Account{ID: "acc_1", Email: "ada@example.org", Created: begin}
	end := begin.Add(time.Hour)
	for _, err := range []error{
		m.CreateAccount(t.Context(), a, "hash"),
		m.PutReset(t.Context(), bijou.Reset{TokenHash: "link", Account: a.ID, Expires: end}),
		m.OpenSession(t.Context(), bijou.MemberSession{ID: "sgn_1", Account: a.ID, TokenHash: "token", Created: begin, Seen: begin, Issued: begin, Expires: end}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		now := begin
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			now = now.Add(steps.Draw(rt, "step"))
			_, reset := m.Reset(t.Context(), "link", now)
			_, session := m.Session(t.Context(), "token", now)
			want := !now.Before(end)
			if errors.Is(reset, bijou.NotFound) != want || errors.Is(session, bijou.NotFound) != want {
				rt.Fatalf("at %s: got errors %v and %v, want not found: %v", now, reset, session, want)
			}
			if want {
				if err := m.UseReset(t.Context(), "link", "hash", now); !errors.Is(err, bijou.NotFound) {
					rt.Fatalf("at %s: the link is used after its end: %v", now, err)
				}
			}
		}
	})
}

// A lease is one worker's until its end, by the time of who asks next, and nothing waits for ever.
func TestLeasesEndByTheTimeOfWhoAsks(t *testing.T) {
	n := 0
	s := opened(t, OpenStudio, newFile(t))
	rapid.Check(t, func(rt *rapid.T) {
		n++
		id := bijou.NewID[bijou.JobID](bijou.JobPrefix)
		w := bijou.Work{ID: id, Asset: bijou.AssetID(id), Title: "ttl_1", Step: "video", Version: 1, Created: begin}
		if err := s.Enqueue(t.Context(), []bijou.Work{w}); err != nil {
			rt.Fatal(err)
		}
		defer s.Forget(t.Context(), "ttl_1")
		now, until := begin, time.Time{}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			now = now.Add(steps.Draw(rt, "step"))
			got, err := s.Lease(t.Context(), "ada", time.Minute, now)
			if free := !now.Before(until); (err == nil) != free {
				rt.Fatalf("lease at %s of work leased until %s: got %s and error %v, want it given: %v", now, until, got.ID, err, free)
			}
			if err == nil {
				until = now.Add(time.Minute)
			}
		}
	})
}
