package appliance

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/wire/grant"
)

// maxOpened bounds the grants whose signature is remembered as good: some 300 bytes each, and a viewer has one.
const maxOpened = 1 << 16

// gate decides who may have which file. Checking a signature takes some 50 µs, so one that holds is remembered; what can change (the time,
// the keys, what was taken back, what is gone) is asked every time.
type gate struct {
	rules  atomic.Pointer[rules]
	mu     sync.RWMutex
	opened map[string]bijou.Grant // by token, under the present keys
}

// rules are what the service last ordered. They are replaced as a whole.
type rules struct {
	keys    grant.Keys
	raw     [][]byte
	revoked map[bijou.SessionID]time.Time
	gone    map[bijou.AssetID]bool
}

func newGate() *gate {
	g := &gate{opened: map[string]bijou.Grant{}}
	g.rules.Store(&rules{})
	return g
}

// set puts new rules in force. Assets that were gone stay so, since identifiers are not used twice.
func (g *gate) set(keys [][]byte, revoked []bijou.Revocation, gone []bijou.AssetID) {
	old := g.rules.Load()
	next := &rules{raw: keys, revoked: map[bijou.SessionID]time.Time{}, gone: old.gone}
	var public []ed25519.PublicKey
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize {
			public = append(public, ed25519.PublicKey(k))
		}
	}
	next.keys = grant.NewKeys(public...)
	for _, r := range revoked {
		next.revoked[r.Session] = r.Until
	}
	if len(gone) > 0 {
		next.gone = make(map[bijou.AssetID]bool, len(old.gone)+len(gone))
		for id := range old.gone {
			next.gone[id] = true
		}
		for _, id := range gone {
			next.gone[id] = true
		}
	}
	g.rules.Store(next)
	if !sameKeys(old.raw, keys) {
		g.mu.Lock()
		clear(g.opened)
		g.mu.Unlock()
	}
}

func sameKeys(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if string(a[i]) != string(b[i]) {
			return false
		}
	}
	return true
}

// admit refuses, as Denied, a request whose grant is forged, has ended, was taken back, or is for another asset or network.
func (g *gate) admit(token string, asset bijou.AssetID, from netip.Addr, now time.Time) (bijou.Grant, error) {
	r := g.rules.Load()
	opened, err := g.open(token, r)
	if err != nil {
		return opened, err
	}
	if err := grant.Check(opened, asset, from, now); err != nil {
		return opened, err
	}
	if until, ok := r.revoked[opened.Session]; ok && now.Before(until) {
		return opened, fmt.Errorf("grant refused: it was taken back: %w", bijou.Denied)
	}
	if r.gone[asset] {
		return opened, fmt.Errorf("grant refused: the title was removed: %w", bijou.Denied)
	}
	return opened, nil
}

func (g *gate) open(token string, r *rules) (bijou.Grant, error) {
	g.mu.RLock()
	opened, ok := g.opened[token]
	g.mu.RUnlock()
	if ok {
		return opened, nil
	}
	opened, err := grant.Open(token, r.keys)
	if err != nil {
		return opened, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rules.Load() != r {
		return opened, nil // the keys may have changed in between: not remembered
	}
	for t := range g.opened {
		if len(g.opened) < maxOpened {
			break
		}
		delete(g.opened, t) // any: who is still there is opened anew
	}
	g.opened[token] = opened
	return opened, nil
}
