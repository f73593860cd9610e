package members

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"bijou"
)

func TestAPasswordHasItsOwnHashAndNoOther(t *testing.T) {
	s := New(Deps{})
	first, err := s.hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.hash(t.Context(), "correct horse")
	if err != nil || first == second || strings.Contains(first, "horse") {
		t.Errorf("the same password twice has hashes %q and %q, %v; want two that differ", first, second, err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(first, want) {
		t.Errorf("hash %q does not begin with %q", first, want)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horse ": false, "Correct horse": false, "": false} {
		for _, hash := range []string{first, second} {
			if got, err := s.verify(t.Context(), password, hash); err != nil || got != want {
				t.Errorf("verify(%q, %q) = %v, %v; want %v", password, hash, got, err, want)
			}
		}
	}
}

func TestAnUnknownAddressCostsAsMuchAsAWrongPassword(t *testing.T) {
	nobody, err := parseHash(nobodysHash)
	if err != nil {
		t.Fatalf("parseHash(%q) = %v", nobodysHash, err)
	}
	if nobody.passes != argonPasses || nobody.kib != argonKiB || nobody.lanes != argonLanes || len(nobody.sum) != argonHashLen || len(nobody.salt) != argonSalt {
		t.Errorf("nobody's hash costs %+v, want what a password's does", nobody)
	}
}

func TestADamagedHashIsCorruptAndTakesNoMemory(t *testing.T) {
	s := New(Deps{})
	const salt, sum = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, hash := range []string{
		"", "$", "plain", "$argon2id$v=19$m=19456,t=2,p=1$" + salt, "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
		"$argon2id$v=18$m=19456,t=2,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=4294967295,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=2,p=256$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=2$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$!$" + sum,
		"$argon2id$v=19$m=19456,t=2,p=1x$" + salt + "$" + sum, "x$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
	} {
		if ok, err := s.verify(t.Context(), "password", hash); ok || !errors.Is(err, bijou.Corrupt) {
			t.Errorf("verify of %q = %v, %v; want Corrupt", hash, ok, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(nobodysHash)
	f.Add("$argon2id$v=19$m=8,t=1,p=255$$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, hash string) {
		h, err := parseHash(hash)
		if err != nil {
			if !errors.Is(err, bijou.Corrupt) {
				t.Fatalf("parseHash(%q) = %v, want Corrupt", hash, err)
			}
			return
		}
		if h.kib > 1<<20 || h.passes > 100 || h.passes < 1 || h.lanes < 1 || len(h.sum) < 16 || len(h.sum) > 128 {
			t.Fatalf("parseHash(%q) = %+v, beyond its bounds", hash, h)
		}
	})
}

func TestWhoWaitsTooLongForASlotIsToldToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Deps{})
		for range cap(s.hashing) {
			s.hashing <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := s.hash(ctx, "password")
			failed <- err
		}()
		synctest.Wait() // it stands in the queue
		cancel()
		if err := <-failed; !errors.Is(err, bijou.Exhausted) {
			t.Errorf("hash without a slot = %v, want Exhausted", err)
		}
	})
}
