package recovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bijou"
	"bijou/test/contract"

	"github.com/google/go-cmp/cmp"
)

func TestADirectoryThatHoldsAnythingIsLeftAlone(t *testing.T) {
	b := backedUp(t, small)
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"a directory with a file": dir, "a file": mine} {
		_, err := Restore(t.Context(), bytes.NewReader(b), target, believe)
		wantKind(t, name, err, bijou.Conflict)
	}
	// Also one that comes to hold something while the backup is unpacked.
	late := filepath.Join(t.TempDir(), "late")
	_, err := Restore(t.Context(), bytes.NewReader(b), late, func(context.Context, string) (Proof, error) {
		return Proof{}, errors.Join(os.Mkdir(late, 0o700), os.WriteFile(filepath.Join(late, "mine"), nil, 0o600))
	})
	if err == nil || bijou.KindOf(err) == "" {
		t.Errorf("a directory that came to hold something: got %v, want a refusal", err)
	}
	if entries, err := os.ReadDir(late); err != nil || len(entries) != 1 {
		t.Errorf("it holds %v (%v), want what it held", entries, err)
	}
	if got, err := os.ReadFile(mine); err != nil || string(got) != "mine" {
		t.Errorf("the file is %q (%v)", got, err)
	}
}

func TestASiteThatIsNotProvenIsNotRestored(t *testing.T) {
	dir := t.TempDir()
	_, err := Restore(t.Context(), bytes.NewReader(backedUp(t, small)), filepath.Join(dir, "new"), func(_ context.Context, at string) (Proof, error) {
		if diff := cmp.Diff(small, tree(t, at)); diff != "" {
			t.Errorf("what is to be proven (-want +got):\n%s", diff)
		}
		return Proof{}, fmt.Errorf("a store is damaged: %w", bijou.Corrupt)
	})
	wantKind(t, "restore", err, bijou.Corrupt)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left (%v), want nothing", entries, err)
	}
	_, err = Verify(t.Context(), bytes.NewReader(backedUp(t, small)), dir, func(context.Context, string) (Proof, error) {
		return Proof{}, fmt.Errorf("a store is damaged: %w", bijou.Corrupt)
	})
	wantKind(t, "verify", err, bijou.Corrupt)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left (%v), want nothing", entries, err)
	}
}

func TestTwoDoNotRestoreInOnePlace(t *testing.T) {
	b, dir := backedUp(t, small), filepath.Join(t.TempDir(), "new")
	_, err := Restore(t.Context(), bytes.NewReader(b), dir, func(context.Context, string) (Proof, error) {
		_, err := Restore(t.Context(), bytes.NewReader(b), dir, believe)
		wantKind(t, "the second", err, bijou.Conflict)
		return Proof{}, nil
	})
	if err != nil {
		t.Errorf("the first: %v", err)
	}
}

func TestARestoreThatIsKilledLeavesTheWholeSiteOrNone(t *testing.T) {
	big := site{}
	for n := range 20 {
		big[fmt.Sprintf("blobs/%d/%d", n%5, n)] = strings.Repeat(fmt.Sprint(n), 2000+n)
	}
	b := backedUp(t, big)
	contract.Kill(t, 2, func(t *testing.T, dir string, ack func(string)) {
		for n := 0; ; n++ {
			target := filepath.Join(dir, fmt.Sprint(n))
			if _, err := os.Stat(target); err == nil {
				continue
			}
			if _, err := Restore(t.Context(), bytes.NewReader(b), target, believe); err != nil {
				t.Fatal(err)
			}
			ack(fmt.Sprint(n))
		}
	}, func(t *testing.T, dir string, acked []string) {
		for _, n := range acked {
			if _, err := os.Stat(filepath.Join(dir, n)); err != nil {
				t.Errorf("restored site %s: %v", n, err)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), besideSuffix) {
				continue
			}
			if diff := cmp.Diff(big, tree(t, filepath.Join(dir, e.Name()))); diff != "" {
				t.Errorf("site %s (-want +got):\n%s", e.Name(), diff)
			}
		}
	})
}

func TestABackupsFileIsWholeOrNotThereAfterAKill(t *testing.T) {
	const size = 200_000
	contract.Kill(t, 2, func(t *testing.T, dir string, ack func(string)) {
		for n := 0; ; n++ {
			out, err := Create(filepath.Join(dir, fmt.Sprint(n)))
			if errors.Is(err, bijou.Conflict) {
				continue
			}
			if err == nil {
				_, err = io.CopyN(out, zeros{}, size)
			}
			if err == nil {
				err = out.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			ack(fmt.Sprint(n))
		}
	}, func(t *testing.T, dir string, acked []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		whole := map[string]bool{}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), partSuffix) {
				continue
			}
			info, err := e.Info()
			if err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
				t.Errorf("file %s has %d bytes and mode %o (%v), want %d and 600", e.Name(), info.Size(), info.Mode(), err, size)
			}
			whole[e.Name()] = true
		}
		for _, n := range acked {
			if !whole[n] {
				t.Errorf("file %s is gone", n)
			}
		}
	})
}

func TestAFileThatIsNotCompletedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "site.tar")
	out, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(path)
	wantKind(t, "two at once", err, bijou.Conflict)
	if err := out.Discard(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left (%v), want nothing", entries, err)
	}
}

func TestAnEncryptedBackupOpensByItsPassphraseAlone(t *testing.T) {
	whole := backedUp(t, small)
	var sealed bytes.Buffer
	w, err := seal(&sealed, "correct horse", 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(whole); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	open := func(b []byte, phrase string) (err error) {
		r, err := Unseal(bytes.NewReader(b), phrase)
		if err == nil {
			_, err = Check(t.Context(), r)
		}
		return err
	}
	b := sealed.Bytes()
	if bytes.Contains(b, []byte("a secret")) || bytes.Contains(b, []byte("manifest")) {
		t.Error("what is encrypted can be read")
	}
	if err := errors.Join(open(b, "correct horse"), open(whole, ""), open(whole, "not needed")); err != nil {
		t.Errorf("opened rightly: %v", err)
	}
	wantKind(t, "no passphrase", open(b, ""), bijou.Invalid)
	wantKind(t, "another passphrase", open(b, "another one"), bijou.Denied)
	wantKind(t, "cut off", open(b[:len(b)-100], "correct horse"), bijou.Corrupt)
	wantKind(t, "head alone", open(b[:40], "correct horse"), bijou.Corrupt)
	b[len(b)/2] ^= 1
	wantKind(t, "flipped", open(b, "correct horse"), bijou.Corrupt)
}

func TestAPassphraseIsOneLineOfItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "phrase")
	for content, want := range map[string]string{"correct horse\n": "correct horse", "correct horse": "correct horse", " spaces stay \r\n": " spaces stay ", "längeres": "längeres",
		"": "", "short\n": "", "two\nlines of it\n": "", strings.Repeat("x", 1025): "", "with\x00zero": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Passphrase(path)
		if want == "" {
			wantKind(t, fmt.Sprintf("%.20q", content), err, bijou.Invalid)
		} else if got != want || err != nil {
			t.Errorf("%q: got %q (%v), want %q", content, got, err, want)
		}
	}
}
