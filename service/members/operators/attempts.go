package operators

import (
	"fmt"
	"sync"
	"time"

	"bijou"
)

const (
	// window is the time in which wrong passwords are counted.
	window = 15 * time.Minute
	// maxHere is how many wrong passwords one address may send for one name within the window.
	maxHere = 10
	// maxAnywhere is how many may be sent for one name from all addresses.
	maxAnywhere = 100
	// maxNoted is how many wrong passwords a minute are noted in the audit log, so that nobody can fill it from outside.
	maxNoted = 10
	// maxCounted bounds what is counted at once.
	maxCounted = 20_000
)

// attempts counts wrong passwords.
type attempts struct {
	mu     sync.Mutex
	counts map[string]count
}

type count struct {
	n     int
	since time.Time
}

func newAttempts() *attempts { return &attempts{counts: map[string]count{}} }

// check refuses, as Exhausted, who has sent too many wrong passwords.
func (a *attempts) check(name, address string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, most := a.counts[hereKey(name, address)], maxHere
	if c.n < most || now.Sub(c.since) >= window {
		c, most = a.counts[nameKey(name)], maxAnywhere
	}
	if c.n < most || now.Sub(c.since) >= window {
		return nil
	}
	return fmt.Errorf("too many wrong passwords for this name: try again after %s: %w", c.since.Add(window).UTC().Format("15:04 MST"), bijou.Exhausted)
}

// failed counts a wrong password, and tells whether it is to be noted in the audit log.
func (a *attempts) failed(name, address string, now time.Time) (note bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.counts) >= maxCounted {
		for key, c := range a.counts {
			if now.Sub(c.since) >= window {
				delete(a.counts, key)
			}
		}
	}
	a.add(hereKey(name, address), window, now)
	a.add(nameKey(name), window, now)
	return a.add("noted", time.Minute, now) <= maxNoted
}

// add counts one more, and returns how many there are. Where there is no room for another key, it is not counted: the password's hash costs enough.
func (a *attempts) add(key string, within time.Duration, now time.Time) int {
	c, ok := a.counts[key]
	if now.Sub(c.since) >= within {
		c = count{since: now}
	}
	c.n++
	if ok || len(a.counts) < maxCounted {
		a.counts[key] = c
	}
	return c.n
}

func hereKey(name, address string) string { return "here " + address + " " + name }
func nameKey(name string) string          { return "name " + name }
