package system_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bijou/test/harness"
)

// asJSON is the header of what is sent as such.
var asJSON = http.Header{"Content-Type": {"application/json"}}

// disturb kills and pauses a service that listens at a fixed address, in the order of the seed, each twice: whenever so much more was done. It returns the
// service that runs in the end.
func disturb(t *testing.T, random *rand.Rand, sv *harness.Service, o harness.Options, done *atomic.Int64) *harness.Service {
	t.Helper()
	for _, n := range random.Perm(4) {
		moment := done.Load() + 5 + random.Int64N(15)
		harness.Eventually(t, "progress between two faults", func() bool { return done.Load() >= moment })
		if n%2 == 0 {
			t.Logf("killed after %d", done.Load())
			sv.Kill(t)
			sv = sv.Restart(t, o)
			continue
		}
		pause := time.Duration(100+random.IntN(500)) * time.Millisecond
		t.Logf("paused for %s after %d", pause, done.Load())
		for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
			if err := sv.Signal(signal); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
		}
	}
	return sv
}

// wish is what was asked of one address: sign-ups with a password each.
type wish struct {
	email     string
	mu        sync.Mutex
	got       []string // passwords of the sign-ups that were acknowledged
	unknown   []string // of those that nobody knows of
	refused   int
	passwords int
}

func TestOfManyWhoSignUpWithOneAddressOneHasItHoweverTheServiceIsDisturbed(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		const tries = 4 // of each address, which meet
		random, o := harness.Seed(t), harness.Options{Args: []string{"--listen", freeAddress(t), "--set", "log_level=error"}}
		sv := shape.Start(t, o)
		guest := sv.Guest()
		var mu sync.Mutex
		var wishes []*wish
		next := func(n int64) *wish {
			mu.Lock()
			defer mu.Unlock()
			for int64(len(wishes)) <= n/tries {
				wishes = append(wishes, &wish{email: fmt.Sprintf("viewer%d@example.org", len(wishes))})
			}
			return wishes[n/tries]
		}
		var begun, done atomic.Int64
		var over atomic.Bool
		var all sync.WaitGroup
		for range tries {
			all.Go(func() {
				for !over.Load() {
					if next(begun.Add(1)-1).signUp(t, guest) {
						done.Add(1)
					} else {
						time.Sleep(50 * time.Millisecond)
					}
				}
			})
		}
		sv = disturb(t, random, sv, o, &done)
		over.Store(true)
		all.Wait()
		t.Logf("%d sign-ups with %d addresses, %d of them answered", begun.Load(), len(wishes), done.Load())
		for _, w := range wishes {
			w.check(t, sv.Guest())
		}
	})
}

// signUp asks for the address, and tells whether that was answered.
func (w *wish) signUp(t *testing.T, guest harness.Client) bool {
	w.mu.Lock()
	w.passwords++
	password := fmt.Sprintf("correct horse %d", w.passwords)
	w.mu.Unlock()
	a, err := guest.Try("POST", "/api/v1/accounts", strings.NewReader(fmt.Sprintf(`{"email":%q,"password":%q}`, w.email, password)), asJSON)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.unknown = append(w.unknown, password)
	case a.Status == http.StatusCreated:
		w.got = append(w.got, password)
	case a.Status == http.StatusConflict:
		w.refused++
	default:
		t.Errorf("sign up %s: status %d: %s", w.email, a.Status, a.Body)
	}
	return err == nil
}

// check wants one sign-up to have succeeded, and its password to be the one that signs in; where none was acknowledged it may be one that nobody knows of.
func (w *wish) check(t *testing.T, guest harness.Client) {
	t.Helper()
	if len(w.got) > 1 || len(w.got) == 0 && w.refused > 0 && len(w.unknown) == 0 {
		t.Errorf("%s: %d sign-ups were acknowledged, %d refused, of %d nobody knows", w.email, len(w.got), w.refused, len(w.unknown))
	}
	holds := 0
	for _, password := range append(w.got, w.unknown...) {
		a := guest.Do(t, "POST", "/api/v1/sessions", map[string]any{"email": w.email, "password": password})
		if a.Status == http.StatusCreated {
			holds++
		} else if len(w.got) > 0 && password == w.got[0] {
			t.Errorf("%s: who was given the account cannot sign in: status %d: %s", w.email, a.Status, a.Body)
		}
		if len(w.got) > 0 {
			break // wrong passwords are bounded
		}
	}
	if holds != 1 && (len(w.got) > 0 || w.refused > 0) {
		t.Errorf("%s: %d passwords sign in, want 1; %d sign-ups were acknowledged, %d refused, of %d nobody knows", w.email, holds, len(w.got), w.refused, len(w.unknown))
	}
}

// watcher is a member who reports from one title and looks where it stands.
type watcher struct {
	name   string
	member harness.Client
	player *harness.Player
	acked  int64 // the position that was acknowledged last
	seen   int64 // that was read last
}

func TestPositionsNeverGoBackHoweverTheServiceIsDisturbed(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random, o := harness.Seed(t), harness.Options{Args: []string{"--listen", freeAddress(t), "--set", "log_level=error"}}
		sv, film := library(t, shape, o)
		var watchers []*watcher
		for n := range 4 {
			name := fmt.Sprintf("viewer%d@example.org", n)
			member := sv.SignUp(t, name)
			watchers = append(watchers, &watcher{name: name, member: member, player: member.StartPlay(t, film.ID)})
		}
		var done atomic.Int64
		var over atomic.Bool
		var all sync.WaitGroup
		for _, w := range watchers {
			all.Go(func() {
				for at := int64(1); !over.Load(); at++ {
					if a, err := w.player.TryReport("heartbeat", at); err == nil && a.Status == http.StatusAccepted {
						w.acked = at
						done.Add(1)
					}
					w.look(t)
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		disturb(t, random, sv, o, &done)
		over.Store(true)
		all.Wait()
		for _, w := range watchers {
			harness.Eventually(t, fmt.Sprintf("position %d of %s, which was acknowledged", w.acked, w.name), func() bool {
				w.look(t)
				return w.seen >= w.acked
			})
		}
		t.Logf("%d reports were acknowledged", done.Load())
	})
}

// look reads the position, which may be none yet.
func (w *watcher) look(t *testing.T) {
	t.Helper()
	a, err := w.member.Try("GET", "/api/v1/positions", nil, nil)
	if err != nil {
		return // it is killed
	}
	var list struct {
		Positions []struct {
			PositionMS int64 `json:"position_ms"`
		}
	}
	if err := json.Unmarshal(a.Body, &list); err != nil || a.Status != http.StatusOK {
		t.Errorf("positions of %s: status %d: %s", w.name, a.Status, a.Body)
		return
	}
	at := int64(0)
	if len(list.Positions) > 0 {
		at = list.Positions[0].PositionMS
	}
	if at < w.seen {
		t.Errorf("the position of %s went back from %d to %d", w.name, w.seen, at)
	}
	w.seen = at
}
