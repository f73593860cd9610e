package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bijou"
)

// Ring is the keys that grants are signed with: one signs, one may be about to, and those before them are kept as long as grants of theirs
// are in use. Each is a file whose name is the time from which on it signs.
type Ring struct {
	dir  string
	mu   sync.RWMutex
	keys []ringKey // by the time from which on they sign
}

type ringKey struct {
	from time.Time
	key  ed25519.PrivateKey
}

const ringSuffix = ".pem"

// OpenRing reads the keys in the folder, and makes the first one where there is none. It fails as SigningKey does.
func OpenRing(dir string, now time.Time) (*Ring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("key folder %s cannot be made (%v): %w", dir, err, bijou.Unavailable)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("key folder %s cannot be read (%v): %w", dir, err, bijou.Unavailable)
	}
	r := &Ring{dir: dir}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ringSuffix)
		sec, err := strconv.ParseInt(name, 10, 64)
		if !ok || err != nil {
			continue // not a key of the ring
		}
		key, err := SigningKey(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, ringKey{time.Unix(sec, 0), key})
	}
	slices.SortFunc(r.keys, func(a, b ringKey) int { return a.from.Compare(b.from) })
	if len(r.keys) == 0 {
		return r, r.add(now)
	}
	return r, nil
}

func (r *Ring) file(from time.Time) string {
	return filepath.Join(r.dir, strconv.FormatInt(from.Unix(), 10)+ringSuffix)
}

// add makes a key that signs from the time on.
func (r *Ring) add(from time.Time) error {
	key, err := SigningKey(r.file(from))
	if err != nil {
		return err
	}
	r.keys = append(r.keys, ringKey{from.Truncate(time.Second), key})
	return nil
}

// Signing returns the key that signs at the time: the latest whose time has come, or the first.
func (r *Ring) Signing(now time.Time) ed25519.PrivateKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range slices.Backward(r.keys) {
		if !k.from.After(now) {
			return k.key
		}
	}
	return r.keys[0].key
}

// Public returns the public keys that grants are checked with: all of the ring's, those about to sign included.
func (r *Ring) Public() (keys [][]byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		public, _ := k.key.Public().(ed25519.PublicKey) // an Ed25519 key has no other
		keys = append(keys, public)
	}
	return keys
}

// Rotate makes a new key that signs after delay, so that whoever checks grants has learnt it before, and removes keys that another has followed
// for longer than keep. It fails with Conflict where a key is about to sign already.
func (r *Ring) Rotate(now time.Time, delay, keep time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.keys[len(r.keys)-1].from; last.After(now) {
		return fmt.Errorf("a new key signs from %s on: wait until then: %w", last.UTC().Format(time.RFC3339), bijou.Conflict)
	}
	if err := r.add(now.Add(delay)); err != nil {
		return err
	}
	for len(r.keys) > 2 && now.Sub(r.keys[1].from) > keep {
		if err := os.Remove(r.file(r.keys[0].from)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("old key %s cannot be removed (%v): %w", r.file(r.keys[0].from), err, bijou.Unavailable)
		}
		r.keys = r.keys[1:]
	}
	return nil
}
