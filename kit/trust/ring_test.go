package trust

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
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
