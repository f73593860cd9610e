package trust

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"bijou"
)

func TestANewKeySignsOnlyOnceItsTimeHasComeAndOldOnesAreKeptAWhile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grants")
	begin := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	r, err := OpenRing(dir, begin)
	if err != nil {
		t.Fatal(err)
	}
	first := r.Signing(begin)
	if err := r.Rotate(begin, time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	if !r.Signing(begin.Add(59 * time.Second)).Equal(first) {
		t.Error("the new key signs before its time")
	}
	second := r.Signing(begin.Add(time.Minute))
	if second.Equal(first) || len(r.Public()) != 2 {
		t.Errorf("after a minute: %d public keys, and the old key signs: %v", len(r.Public()), second.Equal(first))
	}
	if err := r.Rotate(begin.Add(30*time.Second), time.Minute, time.Hour); !errors.Is(err, bijou.Conflict) {
		t.Errorf("rotated twice at once: got %v, want Conflict", err)
	}
	again, err := OpenRing(dir, begin.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !again.Signing(begin.Add(time.Hour)).Equal(second) || !bytes.Equal(bytes.Join(again.Public(), nil), bytes.Join(r.Public(), nil)) {
		t.Error("after a restart the ring is another")
	}
	if err := again.Rotate(begin.Add(2*time.Hour), time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := again.Public(); len(got) != 2 || bytes.Equal(got[0], first.Public().(ed25519.PublicKey)) {
		t.Errorf("long after: got %d keys, want the first one gone", len(got))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.pem")); len(left) != 2 {
		t.Errorf("files: got %v, want two", left)
	}
}

func TestADamagedKeyOfTheRingIsSaidSo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "1.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRing(dir, time.Unix(5, 0)); !errors.Is(err, bijou.Corrupt) {
		t.Errorf("got %v, want Corrupt", err)
	}
}

func TestAKeyThatAnotherFollowsIsInUseForItsTimeAndNoLonger(t *testing.T) {
	dir := t.TempDir()
	begin := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	r, err := OpenRing(dir, begin)
	if err != nil {
		t.Fatal(err)
	}
	first := r.Public()[0]
	if err := r.Rotate(begin.Add(time.Hour), time.Minute, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	again, err := OpenRing(dir, begin.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]*Ring{"the ring": r, "the ring after a restart": again} {
		for _, c := range []struct {
			after time.Duration // the rotation
			want  int
		}{{0, 2}, {11*time.Minute - 1, 2}, {11 * time.Minute, 1}, {1000 * time.Hour, 1}} {
			got := r.InUse(begin.Add(time.Hour + c.after))
			if len(got) != c.want || c.want == 1 && bytes.Equal(got[0], first) {
				t.Errorf("%s, %s after the rotation: got %d keys in use, want %d, the last one among them", what, c.after, len(got), c.want)
			}
		}
	}
}

func TestAKeyWhoseEndAKillKeptFromBeingWrittenIsKeptUntilTheNextRotation(t *testing.T) {
	dir := t.TempDir()
	begin := time.Unix(1_000_000, 0)
	for _, name := range []string{"1000000.pem", "1000060.pem"} { // as Rotate leaves them between its two steps
		if _, err := SigningKey(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenRing(dir, begin)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.InUse(begin.Add(24 * time.Hour)); len(got) != 2 {
		t.Errorf("before: got %d keys in use, want both", len(got))
	}
	if err := r.Rotate(begin.Add(25*time.Hour), time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := r.InUse(begin.Add(25 * time.Hour)); len(got) != 2 {
		t.Errorf("after: got %d keys in use, want the one that signs and the one about to", len(got))
	}
}

// A ring whose newest key was lost signs with the one before, whose file has an end already: that end must not hold for grants signed since.
func TestAKeyThatHadToSignAgainIsKeptForItsNewGrants(t *testing.T) {
	dir := t.TempDir()
	begin := time.Unix(1_000_000, 0)
	if _, err := SigningKey(filepath.Join(dir, "1000000-1000100.pem")); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRing(dir, begin)
	if err != nil {
		t.Fatal(err)
	}
	now := begin.Add(time.Hour)
	if got := r.InUse(now); len(got) != 1 {
		t.Fatalf("alone: got %d keys in use, want it", len(got))
	}
	if err := r.Rotate(now, time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := r.InUse(now.Add(30 * time.Minute)); len(got) != 2 {
		t.Errorf("half an hour after the rotation: got %d keys in use, want both", len(got))
	}
}

func TestARotationNeverGivesOutTheSameKeyAgain(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	r, err := OpenRing(t.TempDir(), begin)
	if err != nil {
		t.Fatal(err)
	}
	for _, delay := range []time.Duration{0, time.Second - 1, -time.Hour} {
		if err := r.Rotate(begin, delay, time.Hour); !errors.Is(err, bijou.Conflict) || len(r.Public()) != 1 {
			t.Errorf("rotated in the second of the key before, delay %s: got %v and %d keys, want Conflict and one", delay, err, len(r.Public()))
		}
	}
}

func TestOnlyFilesNamedAsTheRingNamesThemAreItsKeys(t *testing.T) {
	for _, c := range []struct {
		name string
		want bool
	}{
		{"1.pem", true}, {"1-2.pem", true}, {"-5.pem", false}, {"01.pem", false}, {"+1.pem", false}, {"1-.pem", false}, {"1-02.pem", false}, {"1-2-3.pem", false},
		{"1", false}, {"1.pem.bak", false}, {".pem", false}, {"99999999999999999999.pem", false}, {".secret-1.pem", false},
	} {
		if k, got := parseRingName(c.name); got != c.want {
			t.Errorf("%q: got %v, %v, want %v", c.name, k, got, c.want)
		}
	}
}

func FuzzRingName(f *testing.F) {
	for _, seed := range []string{"1.pem", "1-2.pem", "-1.pem", "1-.pem", "9223372036854775807-9223372036854775807.pem", "-62135596800-1.pem", "1--62135596800.pem"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if k, ok := parseRingName(name); ok && k.name() != name {
			t.Errorf("%q is read as a key whose file is %q", name, k.name())
		}
	})
}

func TestARingIsUsedByManyWhileItRotates(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	r, err := OpenRing(t.TempDir(), begin)
	if err != nil {
		t.Fatal(err)
	}
	const turns = 20
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range turns * 20 {
				now := begin.Add(time.Duration(i/20) * time.Hour)
				key := r.Signing(now)
				if !slices.ContainsFunc(r.Public(), func(k []byte) bool { return key.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(k)) }) {
					// A rotation may have come between the two; then the key is not the one that signs any more.
					if r.Signing(now).Equal(key) {
						t.Errorf("turn %d: the key that signs is not among the public ones", i)
					}
				}
			}
		})
	}
	for i := range turns {
		if err := r.Rotate(begin.Add(time.Duration(i+1)*time.Hour), time.Second, 90*time.Minute); err != nil {
			t.Errorf("turn %d: %v", i, err)
		}
	}
	wg.Wait()
	if got := len(r.Public()); got != 3 {
		t.Errorf("got %d keys, want the one that signs, the one about to, and one kept", got)
	}
}
