package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"bijou"
)

// fileFailure returns err as the room's: a sentence with the file, the fix and the kind. What has a kind already passes through.
func fileFailure(verb, path string, err error) error {
	if bijou.KindOf(err) != "" {
		return err
	}
	cause := err
	var pe *fs.PathError
	var le *os.LinkError
	if errors.As(err, &pe) {
		cause = pe.Err
	} else if errors.As(err, &le) {
		cause = le.Err
	}
	fix, kind := "check its name and the rights", bijou.Invalid
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		fix, kind = "free space on that disk", bijou.Exhausted
	case errors.Is(err, syscall.EIO):
		fix, kind = "see to that disk", bijou.Unavailable
	}
	return fmt.Errorf("cannot %s %s (%v): %s: %w", verb, path, cause, fix, kind)
}
