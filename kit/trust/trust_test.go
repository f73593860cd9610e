package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bijou"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(victimEnv); what != "" {
		victims[what](os.Args[1:])
	}
	goleak.VerifyTestMain(m)
}

// get asks for the secret of either sort and returns it as text.
var get = map[string]func(path string) (string, error){
	"token": Token,
	"key": func(path string) (string, error) {
		k, err := SigningKey(path)
		return string(k), err
	},
}

func TestASecretIsMadeOnceForItsOwnerAlone(t *testing.T) {
	for sort, get := range get {
		dir := t.TempDir()
		path := filepath.Join(dir, "secret")
		first, err := get(path)
		if err != nil {
			t.Fatalf("%s: %v", sort, err)
		}
		again, err := get(path)
		if err != nil || again != first || len(first) < 32 {
			t.Errorf("%s: got another one the second time, or a short one of %d bytes (%v)", sort, len(first), err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: got mode %v, %v, want 0600", sort, info.Mode(), err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: got %d files, %v, want no left-overs", sort, len(entries), err)
		}
		other, err := get(filepath.Join(dir, "other"))
		if err != nil || other == first {
			t.Errorf("%s: got the same secret for another file (%v)", sort, err)
		}
	}
}

func TestASecretThatOthersCanReadIsRefused(t *testing.T) {
	for sort, get := range get {
		path := filepath.Join(t.TempDir(), "secret")
		if _, err := get(path); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644, 0o601} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			_, err := get(path)
			if !errors.Is(err, bijou.Denied) || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("%s of mode %o: got %v, want denied and the command that mends it", sort, mode, err)
			}
		}
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		if _, err := get(path); err != nil {
			t.Errorf("%s of mode 0400: got %v, want it read", sort, err)
		}
	}
}

func TestASecretThatIsNoneIsCorrupt(t *testing.T) {
	whole := map[string][]byte{"token": []byte(NewToken() + "\n"), "key": key(t)}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{
		"nothing": nil, "zeroes": make([]byte, 100), "binary": []byte(strings.Repeat("\xff\x00", 40)), "two words": []byte(strings.Repeat("word ", 20)),
		"another sort of key": pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}),
		"another sort of PEM": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}
	for sort, get := range get {
		path := filepath.Join(t.TempDir(), "secret")
		try := func(name string, b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := get(path); !errors.Is(err, bijou.Corrupt) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: got %v, want corrupt, and the file named", sort, name, err)
			}
			if kept, err := os.ReadFile(path); err != nil || string(kept) != string(b) {
				t.Errorf("%s, %s: the file was changed (%v)", sort, name, err)
			}
		}
		for name, b := range bad {
			try(name, b)
		}
		try("half of one", whole[sort][:len(whole[sort])/2])
	}
}

func key(t testing.TB) []byte {
	t.Helper()
	b, err := freshKey()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAllWhoAskAtOnceGetTheSameSecret(t *testing.T) {
	for sort, get := range get {
		path := filepath.Join(t.TempDir(), "secret")
		const askers = 16
		got, errs := make([]string, askers), make([]error, askers)
		var wg sync.WaitGroup
		gun := make(chan struct{})
		for i := range askers {
			wg.Go(func() {
				<-gun
				got[i], errs[i] = get(path)
			})
		}
		close(gun)
		wg.Wait()
		for i := range askers {
			if errs[i] != nil || got[i] != got[0] {
				t.Errorf("%s, asker %d: got another secret than asker 0 (%v)", sort, i, errs[i])
			}
		}
	}
}

// A process that lost the race must not replace what the winner made; this asks for the losing order itself.
func TestASecretThatAppearsMeanwhileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	b, err := secret(path, func() ([]byte, error) {
		return []byte("loser"), os.WriteFile(path, []byte("winner"), 0o600)
	})
	if err != nil || string(b) != "winner" {
		t.Errorf("got %q, %v, want winner", b, err)
	}
}

func TestAPlaceWhereNoSecretCanBeIsNamed(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		path string
		want bijou.Kind
	}{
		"a folder":             {dir, bijou.Invalid},
		"a folder that is not": {filepath.Join(dir, "missing", "secret"), bijou.Unavailable},
	} {
		for sort, get := range get {
			if _, err := get(c.path); bijou.KindOf(err) != c.want || !strings.Contains(err.Error(), c.path) {
				t.Errorf("%s at %s: got %v, want %s, and the path named", sort, name, err, c.want)
			}
		}
	}
}

func TestAKeySignsWhatItsPublicHalfChecks(t *testing.T) {
	k, err := SigningKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	public := k.Public().(ed25519.PublicKey)
	if !ed25519.Verify(public, []byte("x"), ed25519.Sign(k, []byte("x"))) {
		t.Error("the signature does not hold")
	}
}

func TestTokensAreLongAndNeverTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		token := NewToken()
		if seen[token] || len(token) != 43 || strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Fatalf("got %q, want 43 characters that fit into an address, never twice", token)
		}
		seen[token] = true
	}
	if got, want := HashToken("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("HashToken(abc): got %s, want %s (FIPS 180-2, appendix B.1)", got, want)
	}
}

func FuzzTokenFile(f *testing.F) {
	for _, seed := range []string{"", "short\n", NewToken() + "\n", " " + NewToken() + "\r\n", strings.Repeat("a b", 20), strings.Repeat("é", 40)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		token, ok := parseToken(b)
		if !ok {
			return
		}
		if len(token) < minToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("file %q: got token %q, which does not fit into a header", b, token)
		}
		if again, ok := parseToken([]byte(token + "\n")); !ok || again != token {
			t.Errorf("token %q: got %q, %v when read again", token, again, ok)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	whole := key(f)
	for _, seed := range [][]byte{nil, whole, whole[:50], []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), append([]byte("junk\n"), whole...)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, ok := parseKey(b)
		if ok && len(k) != ed25519.PrivateKeySize {
			t.Errorf("file %q: got a key of %d bytes", b, len(k))
		}
	})
}
