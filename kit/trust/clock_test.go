package trust

import (
	"crypto/ed25519"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// steps are how clocks of these tests move: on, and sometimes by years, forth or back.
var steps = rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 20 * 24 * time.Hour, -time.Hour, 3 * 365 * 24 * time.Hour, -3 * 365 * 24 * time.Hour})

var begin = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)

func TestWhateverTheClockSaysTheKeyThatSignsIsInUse(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		now := begin
		r, err := OpenRing(filepath.Join(dir, time.Duration(n).String()), now)
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			now = now.Add(steps.Draw(rt, "step"))
			if rapid.Bool().Draw(rt, "rotate") {
				_ = r.Rotate(now, time.Minute, 24*time.Hour) // a clock that went back has to wait
			}
			key := r.Signing(now).Public().(ed25519.PublicKey)
			if !slices.ContainsFunc(r.InUse(now), func(k []byte) bool { return key.Equal(ed25519.PublicKey(k)) }) {
				rt.Fatalf("grants signed at %s are refused", now)
			}
		}
	})
}

func TestACertificateOfAClockThatWasAheadIsMadeAnew(t *testing.T) {
	a, err := OpenAuthority(filepath.Join(t.TempDir(), "authority.pem"), begin)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		now := begin
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			if now = now.Add(steps.Draw(rt, "step")); now.Before(begin) || now.After(begin.Add(authorityTerm-memberTerm)) {
				now = begin
			}
			i, err := a.Member(dir, "service/up", now)
			if err != nil {
				rt.Fatal(err)
			}
			if !i.Joined(now) || i.Early(now) || !now.Before(i.RenewAt()) {
				rt.Fatalf("at %s the certificate holds from %s to %s", now, i.cert.NotBefore, i.cert.NotAfter)
			}
		}
	})
	kept, err := a.Member(dir, "service/up", begin)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := a.Member(dir, "service/up", begin.Add(-20*365*24*time.Hour)); err != nil || !i.cert.Equal(kept.cert) {
		t.Errorf("a machine that does not know the time yet makes another certificate (error %v)", err)
	}
}

func TestAJoinTokenHoldsAsLongAsItWasSaidByTheClockOfWhoAsks(t *testing.T) {
	a, err := OpenAuthority(filepath.Join(t.TempDir(), "authority.pem"), begin)
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokens(filepath.Join(t.TempDir(), "tokens.json"))
	token, err := tokens.Create(a, "appliance", begin, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := ParseJoin(token)
	if err != nil {
		t.Fatal(err)
	}
	request := requestOf(t, stranger(t))
	rapid.Check(t, func(rt *rapid.T) {
		now := begin.Add(steps.Draw(rt, "step"))
		_, err := tokens.Redeem(secret, request, now)
		if holds := now.Before(begin.Add(time.Hour)); (err == nil) != holds {
			rt.Fatalf("at %s: got error %v, want none: %v", now, err, holds)
		}
	})
	later := begin.Add(2 * time.Hour)
	if _, err := tokens.Create(a, "appliance", later, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Redeem(secret, request, begin); err == nil {
		t.Error("a token that had ended, and was swept away, holds again once the clock went back")
	}
}
