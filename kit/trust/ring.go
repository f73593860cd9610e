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
// are in use. Each is a file whose name is the time from which on it signs and, once another is to follow it, the time at which the last of
// its grants is of no use any more: FROM.pem or FROM-UNTIL.pem, in seconds since 1970.
type Ring struct {
	dir  string
	mu   sync.RWMutex
	keys []ringKey // by the time from which on they sign; never empty
}

type ringKey struct {
	from, until time.Time // until is zero for the last key, and where a kill came before it was written
	key         ed25519.PrivateKey
}

const ringSuffix = ".pem"

// name returns what the key's file is called.
func (k ringKey) name() string {
	name := strconv.FormatInt(k.from.Unix(), 10)
	if !k.until.IsZero() {
		name += "-" + strconv.FormatInt(k.until.Unix(), 10)
	}
	return name + ringSuffix
}

// ended tells whether no grant of the key is in use.
func (k ringKey) ended(now time.Time) bool { return !k.until.IsZero() && !now.Before(k.until) }

// parseRingName returns the key, but for the key itself, whose file has the name.
func parseRingName(name string) (k ringKey, ok bool) {
	text, isKey := strings.CutSuffix(name, ringSuffix)
	text, until, followed := strings.Cut(text, "-")
	from, err := strconv.ParseInt(text, 10, 64)
	k.from = time.Unix(from, 0)
	if followed && err == nil {
		var sec int64
		sec, err = strconv.ParseInt(until, 10, 64)
		k.until = time.Unix(sec, 0)
	}
	return k, isKey && err == nil && k.name() == name // a name of another spelling would not be found again
}

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
		k, ok := parseRingName(e.Name())
		if !ok {
			continue // not a key of the ring
		}
		if k.key, err = SigningKey(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
		r.keys = append(r.keys, k)
	}
	slices.SortFunc(r.keys, func(a, b ringKey) int { return a.from.Compare(b.from) })
	if len(r.keys) == 0 {
		return r, r.add(now)
	}
	return r, nil
}

// add makes a key that signs from the time on.
func (r *Ring) add(from time.Time) error {
	k := ringKey{from: from.Truncate(time.Second)}
	key, err := SigningKey(filepath.Join(r.dir, k.name()))
	if err != nil {
		return err
	}
	k.key = key
	r.keys = append(r.keys, k)
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

// Public returns the public keys of all keys that the ring has: also of those that Rotate has yet to remove. InUse leaves these out.
func (r *Ring) Public() [][]byte { return r.public(func(ringKey) bool { return true }) }

// InUse returns the public keys, 32 bytes each, that grants are checked with at the time: of the key that signs, of one about to, and of those
// before them whose grants may still be in use. A key that another follows leaves it by itself, without another rotation.
func (r *Ring) InUse(now time.Time) [][]byte {
	return r.public(func(k ringKey) bool { return !k.ended(now) })
}

func (r *Ring) public(of func(ringKey) bool) (keys [][]byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i, k := range r.keys {
		if last := i == len(r.keys)-1; last || of(k) { // the last one signs, whatever its file is called
			public, _ := k.key.Public().(ed25519.PublicKey) // an Ed25519 key has no other
			keys = append(keys, public)
		}
	}
	return keys
}

// Rotate makes a new key that signs after delay, so that whoever checks grants has learnt it before, has each older one end when another has
// followed it for keep, and removes those that have ended. It fails with Conflict where a key is about to sign already. A kill within it leaves
// at most an older key in use until the next rotation.
func (r *Ring) Rotate(now time.Time, delay, keep time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.keys[len(r.keys)-1].from; last.After(now) || !now.Add(delay).Truncate(time.Second).After(last) {
		return fmt.Errorf("the newest key signs from %s on: wait until after that: %w", last.UTC().Format(time.RFC3339), bijou.Conflict)
	}
	if err := r.add(now.Add(delay)); err != nil {
		return err
	}
	for i := range r.keys[:len(r.keys)-1] {
		// The one that signed until now may have been given an end before, by a key that is lost.
		if r.keys[i].until.IsZero() || i == len(r.keys)-2 {
			if err := r.end(i, r.keys[i+1].from.Add(keep)); err != nil {
				return err
			}
		}
	}
	return r.removeEnded(now)
}

// end writes down when the key ends, where no later time is written.
func (r *Ring) end(i int, until time.Time) error {
	k := r.keys[i]
	if !until.After(k.until) {
		return nil
	}
	k.until = until.Add(time.Second - 1).Truncate(time.Second) // never early
	from, to := filepath.Join(r.dir, r.keys[i].name()), filepath.Join(r.dir, k.name())
	if err := errors.Join(os.Rename(from, to), syncDir(r.dir)); err != nil {
		return fmt.Errorf("a new key is made, but the old one %s cannot be given an end (%v): rotate again later: %w", from, err, bijou.Unavailable)
	}
	r.keys[i] = k
	return nil
}

// removeEnded removes the keys that have ended; never the last.
func (r *Ring) removeEnded(now time.Time) error {
	for i := 0; i < len(r.keys)-1; {
		if !r.keys[i].ended(now) {
			i++
			continue
		}
		file := filepath.Join(r.dir, r.keys[i].name())
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("old key %s cannot be removed (%v): remove it: %w", file, err, bijou.Unavailable)
		}
		r.keys = slices.Delete(r.keys, i, i+1)
	}
	return nil
}
