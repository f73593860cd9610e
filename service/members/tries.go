package members

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"bijou"
)

// rule says how often something may be tried, and how long who tries more often waits: doubled from first to most.
type rule struct {
	free        int
	first, most time.Duration
}

// What is bounded. Wrong passwords count against the address that they come from; those for an account also against the account, apart for
// addresses from which it is signed in, so that no stranger keeps its member out.
var (
	byAddress   = rule{30, 10 * time.Second, 15 * time.Minute}
	byAccount   = rule{5, 30 * time.Second, 15 * time.Minute}
	byMember    = rule{5, 30 * time.Second, 15 * time.Minute} // who has signed in already
	byPIN       = rule{5, time.Minute, time.Hour}
	mailAddress = rule{20, time.Minute, time.Hour} // reset links asked for, from one address
	mailAccount = rule{3, 10 * time.Minute, 6 * time.Hour}
)

// trySlots is how many keys are kept apart. Two that fall into one slot share it, which slows an innocent down once in a long while; in
// return the memory is fixed whatever strangers send.
const trySlots = 1 << 16

// tries counts what was tried in vain, by key.
type tries struct {
	seed  maphash.Seed // which keys share a slot cannot be known from outside
	mu    sync.Mutex
	slots []trySlot
}

type trySlot struct {
	count       int32
	last, until int64 // nanoseconds since 1970
}

func newTries() *tries { return &tries{seed: maphash.MakeSeed(), slots: make([]trySlot, trySlots)} }

func (t *tries) slot(key string) *trySlot { return &t.slots[maphash.String(t.seed, key)%trySlots] }

// take counts a try in advance, so that many at once are counted too. Where there were too many it returns how long to wait instead.
func (t *tries) take(key string, r rule, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, at := t.slot(key), now.UnixNano()
	// A clock that was set back must keep nobody out for longer than the rule says.
	s.last, s.until = min(s.last, at), min(s.until, at+int64(r.most))
	if at < s.until {
		return time.Duration(s.until - at)
	}
	if at-s.last > int64(2*r.most) {
		s.count = 0
	}
	s.count++
	s.last = at
	if over := int(s.count) - r.free; over >= 0 {
		wait := r.most
		if over < 16 {
			wait = min(r.most, r.first<<over)
		}
		s.until = at + int64(wait)
	}
	return 0
}

// giveBack takes one try back that was not in vain.
func (t *tries) giveBack(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.slot(key); s.count > 0 {
		s.count--
		s.until = 0
	}
}

// clear forgets what was tried in vain.
func (t *tries) clear(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.slot(key) = trySlot{}
}

// tooOften refuses what was tried too often.
func tooOften(what string, wait time.Duration) error {
	wait = max(time.Second, wait.Round(time.Second))
	return bijou.After(fmt.Errorf("%s: try again in %s: %w", what, inWords(wait), bijou.Exhausted), wait)
}

// inWords says how long, for a person.
func inWords(d time.Duration) string {
	n, unit := int(d/time.Second), "second"
	if d >= 2*time.Minute {
		n, unit = int((d+time.Minute-1)/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// neighbourhood is the part of a client's address that one household holds: all of an IPv4 address, 64 bits of an IPv6 one.
func neighbourhood(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
