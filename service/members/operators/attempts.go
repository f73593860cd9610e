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
	// maxNoted is how many refusals of strangers a minute are noted in the audit log, so that nobody can fill it from outside.
	maxNoted = 10
	// maxCounted bounds what is counted at once.
	maxCounted = 20_000
)

// attempts counts tries to sign in that did not succeed.
type attempts struct {
	mu     sync.Mutex
	counts map[string]count
}

type count struct {
	n     int
	since time.Time
}

// at returns the count as it is at the time. Where the clock was set back, its window begins now: nobody is kept out for longer than a window.
func (c count) at(now time.Time) count {
	if c.since.After(now) {
		c.since = now
	}
	return c
}

func newAttempts() *attempts { return &attempts{counts: map[string]count{}} }

// begin counts a try before the password is looked at, so that many at once are as many as one after another. It refuses, as Exhausted, who has
// sent too many wrong passwords.
func (a *attempts) begin(name, address string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range []struct {
		key  string
		most int
	}{{hereKey(name, address), maxHere}, {nameKey(name), maxAnywhere}} {
		c, known := a.counts[l.key]
		if c = c.at(now); known {
			a.counts[l.key] = c
		}
		if c.n >= l.most && now.Sub(c.since) < window {
			return fmt.Errorf("too many wrong passwords for this name: try again after %s: %w", c.since.Add(window).UTC().Format("15:04 MST"), bijou.Exhausted)
		}
	}
	if len(a.counts) >= maxCounted {
		for key, c := range a.counts {
			if a.counts[key] = c.at(now); now.Sub(c.since) >= window {
				delete(a.counts, key)
			}
		}
	}
	a.add(hereKey(name, address), window, now)
	a.add(nameKey(name), window, now)
	return nil
}

// succeeded takes a try back whose password was right, and the wrong ones from the same address with it.
func (a *attempts) succeeded(name, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.counts, hereKey(name, address))
	if c, ok := a.counts[nameKey(name)]; ok && c.n > 0 {
		c.n--
		a.counts[nameKey(name)] = c
	}
}

// mayNote counts what strangers are refused, and tells whether one more is to be noted in the audit log.
func (a *attempts) mayNote(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.add("noted", time.Minute, now) <= maxNoted
}

// add counts one more, and returns how many there are. Where there is no room for another key, it is not counted: the password's hash costs enough.
func (a *attempts) add(key string, within time.Duration, now time.Time) int {
	c, ok := a.counts[key]
	c = c.at(now)
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
