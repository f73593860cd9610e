package recovery

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"bijou"

	"filippo.io/age"
)

// ageMagic begins every file that age has encrypted (age-encryption.org/v1).
var ageMagic = []byte("age-encryption.org/v1\n")

// Passphrase reads the passphrase from a file: its one line. It fails with Invalid for one of fewer than eight characters.
func Passphrase(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fileFailure("read", path, err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len([]rune(string(b))) < 8 || bytes.ContainsAny(b, "\r\n\x00") || len(b) > 1024 {
		return "", fmt.Errorf("passphrase file %s: write one line of 8 to 1024 characters: %w", path, bijou.Invalid)
	}
	return string(b), nil
}

// sealWork is the work that a guess at a passphrase costs, as the program age has it: a second, as the logarithm of scrypt's N.
const sealWork = 18

// Seal returns a writer that encrypts to w by the passphrase, as the program age does. It has to be closed.
func Seal(w io.Writer, passphrase string) (io.WriteCloser, error) {
	return seal(w, passphrase, sealWork)
}

func seal(w io.Writer, passphrase string, work int) (io.WriteCloser, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("the passphrase cannot be used (%v): choose another: %w", err, bijou.Invalid)
	}
	to.SetWorkFactor(work)
	return age.Encrypt(w, to)
}

// Unseal returns what r holds: decrypted by the passphrase where it is encrypted, else as it is. It fails with Invalid where it is encrypted and
// there is no passphrase, and with Denied where that is another one.
func Unseal(r io.Reader, passphrase string) (io.Reader, error) {
	buf := bufio.NewReaderSize(r, 64<<10)
	head, err := buf.Peek(len(ageMagic))
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.Equal(head, ageMagic) {
		return buf, nil
	}
	if passphrase == "" {
		return nil, fmt.Errorf("it is encrypted: name the file with its passphrase with --passphrase-file: %w", bijou.Invalid)
	}
	by, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("the passphrase cannot be used (%v): %w", err, bijou.Invalid)
	}
	plain, err := age.Decrypt(buf, by)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, fmt.Errorf("it was encrypted with another passphrase: %w", bijou.Denied)
	}
	if err != nil {
		return nil, errSeal
	}
	return unsealed{plain}, nil
}

var errSeal = fmt.Errorf("its encryption is damaged: %w", bijou.Corrupt)

// unsealed is what was decrypted.
type unsealed struct{ r io.Reader }

// Read implements io.Reader.
func (u unsealed) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, errCutOff
	}
	return n, errSeal
}
