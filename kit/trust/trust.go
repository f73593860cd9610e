// Package trust keeps what proves who is who: signing keys and tokens, in files that only their owner can read.
package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"bijou"
)

// NewToken returns 256 random bits as text that fits into headers and addresses.
func NewToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// HashToken returns what a store keeps of a token: its SHA-256 in hexadecimal. A token has 256 random bits, so no salt is needed.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Token returns the token kept in the file, and makes one on first use. It fails with Denied where others can read the file or this user
// cannot, and with Corrupt where it holds no token.
func Token(path string) (string, error) {
	b, err := secret(path, func() ([]byte, error) { return []byte(NewToken() + "\n"), nil })
	if err != nil {
		return "", err
	}
	token, ok := parseToken(b)
	if !ok {
		return "", fmt.Errorf("token file %s holds no token of %d characters or more: remove it, and a new one is made: %w", path, minToken, bijou.Corrupt)
	}
	return token, nil
}

// minToken is how long a token is at least, in characters: 192 bits in base64.
const minToken = 32

// parseToken returns the one word that the file consists of.
func parseToken(b []byte) (string, bool) {
	token := strings.TrimSpace(string(b))
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return token, len(token) >= minToken
}

const pemType = "PRIVATE KEY" // PKCS #8 (RFC 5958)

// SigningKey returns the Ed25519 key kept in the file (PEM), and makes one on first use. It fails with Denied where others can read the file
// or this user cannot, and with Corrupt where it holds no such key.
func SigningKey(path string) (ed25519.PrivateKey, error) {
	b, err := secret(path, freshKey)
	if err != nil {
		return nil, err
	}
	key, ok := parseKey(b)
	if !ok {
		return nil, fmt.Errorf("key file %s holds no Ed25519 key: put it back from a backup, or remove it and a new one is made: %w", path, bijou.Corrupt)
	}
	return key, nil
}

func freshKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), err
}

func parseKey(b []byte) (ed25519.PrivateKey, bool) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, false
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, false
	}
	key, ok := parsed.(ed25519.PrivateKey)
	return key, ok
}

// maxSecret bounds a secret file, in bytes.
const maxSecret = 64 << 10

// secret reads the file, or makes it whole with what fresh returns. Of several that make it at once, all get what the first one made.
func secret(path string, fresh func() ([]byte, error)) ([]byte, error) {
	b, err := read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = fresh(); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	if err := write(path, b); err != nil {
		return nil, err
	}
	return read(path)
}

// read returns what the file of a secret holds, where nobody but its owner can.
func read(path string) ([]byte, error) { return readUpTo(path, maxSecret) }

// readUpTo is as read, and fails with Corrupt for a file of more bytes than anybody wrote there.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("secret file %s is no file: move away what is there: %w", path, bijou.Invalid)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("secret file %s can be read by others: type chmod 600 %s: %w", path, path, bijou.Denied)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case int64(len(b)) > most:
		return nil, fmt.Errorf("secret file %s has more than %d bytes, which nobody wrote: put it back from a backup: %w", path, most, bijou.Corrupt)
	}
	return b, nil
}

func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("secret file %s cannot be read by this user: become the user who owns it: %w", path, bijou.Denied)
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the sentence names the file already
	}
	return fmt.Errorf("secret file %s cannot be read (%w): %w", path, err, bijou.Unavailable)
}

// write makes the file appear whole or not at all. Where it exists by now, it stays as it is.
func write(path string, b []byte) error {
	// A link, as opposed to a rename, never replaces what another process made meanwhile.
	return place(path, b, func(from, to string) error {
		if err := os.Link(from, to); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// replace makes the file appear whole, in place of what was there.
func replace(path string, b []byte) error { return place(path, b, os.Rename) }

// place writes a file beside the path, has it on disk, and gives it the path's name by the given way.
func place(path string, b []byte, name func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	defer func() {
		switch {
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
			err = fmt.Errorf("secret file %s cannot be written (%w): make room on the disk: %w", path, err, bijou.Exhausted)
		case errors.Is(err, fs.ErrPermission):
			err = fmt.Errorf("secret file %s cannot be written by this user: become the user who owns %s: %w", path, dir, bijou.Denied)
		case err != nil:
			err = fmt.Errorf("secret file %s cannot be written (%w): %w", path, err, bijou.Unavailable)
		}
	}()
	f, err := os.CreateTemp(dir, ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // the file goes on under its own name; a left-over is harmless
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := name(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in the folder survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
