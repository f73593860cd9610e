package trust

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"bijou"
)

func TestAPasswordHasItsOwnHashAndNoOther(t *testing.T) {
	s := NewPasswords(2)
	first, err := s.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Hash(t.Context(), "correct horse")
	if err != nil || first == second || strings.Contains(first, "horse") {
		t.Errorf("the same password twice has hashes %q and %q, %v; want two that differ", first, second, err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(first, want) {
		t.Errorf("hash %q does not begin with %q", first, want)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horse ": false, "Correct horse": false, "": false} {
		for _, hash := range []string{first, second} {
			if got, err := s.Verify(t.Context(), password, hash); err != nil || got != want {
				t.Errorf("verify(%q, %q) = %v, %v; want %v", password, hash, got, err, want)
			}
		}
	}
}

func TestWhoIsUnknownCostsAsMuchAsAWrongPassword(t *testing.T) {
	nobody, err := parsePasswordHash(NobodysHash)
	if err != nil {
		t.Fatalf("parsePasswordHash(%q) = %v", NobodysHash, err)
	}
	if nobody.passes != argonPasses || nobody.kib != argonKiB || nobody.lanes != argonLanes || len(nobody.sum) != argonHashLen || len(nobody.salt) != argonSalt {
		t.Errorf("nobody's hash costs %+v, want what a password's does", nobody)
	}
}

func TestADamagedHashIsCorruptAndTakesNoMemory(t *testing.T) {
	s := NewPasswords(2)
	const salt, sum = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, hash := range []string{
		"", "$", "plain", "$argon2id$v=19$m=19456,t=2,p=1$" + salt, "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
		"$argon2id$v=18$m=19456,t=2,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=4294967295,p=1$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=2,p=256$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=2$" + salt + "$" + sum, "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$!$" + sum,
		"$argon2id$v=19$m=19456,t=2,p=1x$" + salt + "$" + sum, "x$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
	} {
		if ok, err := s.Verify(t.Context(), "password", hash); ok || !errors.Is(err, bijou.Corrupt) {
			t.Errorf("verify of %q = %v, %v; want Corrupt", hash, ok, err)
		}
	}
}

func FuzzParsePasswordHash(f *testing.F) {
	f.Add(NobodysHash)
	f.Add("$argon2id$v=19$m=8,t=1,p=255$$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, hash string) {
		h, err := parsePasswordHash(hash)
		if err != nil {
			if !errors.Is(err, bijou.Corrupt) {
				t.Fatalf("parsePasswordHash(%q) = %v, want Corrupt", hash, err)
			}
			return
		}
		if h.kib > 1<<20 || h.passes > 100 || h.passes < 1 || h.lanes < 1 || len(h.sum) < 16 || len(h.sum) > 128 {
			t.Fatalf("parsePasswordHash(%q) = %+v, beyond its bounds", hash, h)
		}
	})
}

func TestWhoWaitsTooLongForASlotIsToldToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewPasswords(2)
		for range cap(s.slots) {
			s.slots <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := s.Hash(ctx, "password")
			failed <- err
		}()
		synctest.Wait() // it stands in the queue
		cancel()
		if err := <-failed; !errors.Is(err, bijou.Exhausted) {
			t.Errorf("hash without a slot = %v, want Exhausted", err)
		}
	})
}
