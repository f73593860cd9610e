package bijou

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Blob describes stored bytes.
type Blob struct {
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// BlobStore keeps bytes under keys. What is read under a key is what one Put wrote there, whole.
type BlobStore interface {
	// Put stores all of r under the key, replacing what was there. Until it returns nil, readers see what was there before;
	// after that the bytes survive a kill. It fails with Invalid where CheckKey does and with Exhausted when space ends; r's own error is passed on.
	Put(ctx context.Context, key string, r io.Reader) (Blob, error)
	// Get reads length bytes from offset; a negative length reads to the end. It fails with NotFound for an unknown key
	// and with Invalid for a range that begins beyond the end. The reader of a whole blob that lies on this machine is an io.ReadSeeker.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Blob, error)
	// Stat fails with NotFound for an unknown key.
	Stat(ctx context.Context, key string) (Blob, error)
	// List returns at most limit blobs whose keys begin with prefix and follow after, in order of key.
	List(ctx context.Context, prefix, after string, limit int) ([]Blob, error)
	// Delete removes the blob. An unknown key is not an error.
	Delete(ctx context.Context, key string) error
}

// MaxKey bounds a blob's key, in bytes.
const MaxKey = 512

// CheckKey refuses, as Invalid, a key that is not slash-separated names of letters, digits, dot, hyphen and underscore,
// none of which begins with a dot or is longer than 255 bytes: such a key is a safe path everywhere.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("blob key of %d bytes: it must have 1 to %d: %w", len(key), MaxKey, Invalid)
	}
	for name := range strings.SplitSeq(key, "/") {
		if name == "" || name[0] == '.' || len(name) > 255 { // 255 is what file systems take
			return fmt.Errorf("blob key %q: no part may be empty, begin with a dot or have more than 255 bytes: %w", clip(key, 80), Invalid)
		}
		for _, c := range []byte(name) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
				return fmt.Errorf("blob key %q: only letters, digits, dot, hyphen, underscore and slash may stand in it: %w", clip(key, 80), Invalid)
			}
		}
	}
	return nil
}
