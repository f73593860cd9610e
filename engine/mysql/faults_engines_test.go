//go:build engines

package mysql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/engine/mysql"
	"bijou/test/engines"
)

var noon = time.Date(2031, time.March, 4, 12, 0, 0, 123456000, time.UTC)

func account(n int) bijou.Account {
	return bijou.Account{ID: bijou.AccountID(fmt.Sprintf("acc_%d", n)), Email: fmt.Sprintf("viewer%d@example.org", n), Created: noon.Add(time.Duration(n) * time.Second)}
}

// stores are all stores of one database.
type stores struct {
	members   *mysql.Members
	catalog   *mysql.Catalog
	studio    *mysql.Studio
	operators *mysql.Operators
}

func storesOf(d *mysql.Database) stores {
	return stores{d.Members(), d.Catalog(), d.Studio(), d.Operators()}
}

// write writes a little of everything, by a writer of its own number.
func (s stores) write(ctx context.Context, writer, n int) error {
	a := account(writer*1_000_000 + n)
	if err := s.members.CreateAccount(ctx, a, "hash of "+a.Email); err != nil {
		return err
	}
	profile := bijou.ProfileID(fmt.Sprintf("prf_%d", writer))
	if n == 0 {
		if err := s.members.CreateProfile(ctx, bijou.Profile{ID: profile, Account: a.ID, Name: "Ada", Created: noon}); err != nil {
			return err
		}
	}
	if err := s.members.SavePosition(ctx, bijou.Position{Profile: profile, Title: "ttl_1", Session: "ply_1", Seq: int64(n), At: noon}); err != nil {
		return err
	}
	title := bijou.Title{ID: bijou.TitleID(fmt.Sprintf("ttl_%d", writer)), Kind: bijou.Film, Name: fmt.Sprint("Film ", n), State: bijou.Draft, Added: noon, Updated: noon}
	if err := s.catalog.PutTitle(ctx, title); err != nil {
		return err
	}
	seq, err := s.operators.BeginAction(ctx, bijou.Action{At: noon, Method: "POST", Name: "ada"})
	if err != nil {
		return err
	}
	if err := s.operators.EndAction(ctx, seq, noon, bijou.OutcomeOK, ""); err != nil {
		return err
	}
	return s.work(ctx, writer, n)
}

// work enqueues a piece of work, and leases and finishes the oldest, whoever enqueued it.
func (s stores) work(ctx context.Context, writer, n int) error {
	w := bijou.Work{ID: bijou.JobID(fmt.Sprintf("job_%d_%d", writer, n)), Asset: "ast_1", Title: "ttl_1", Step: fmt.Sprint(writer, " ", n), Version: 1, Created: noon}
	if err := s.studio.Enqueue(ctx, []bijou.Work{w}); err != nil {
		return err
	}
	name := fmt.Sprint("worker ", writer)
	got, err := s.studio.Lease(ctx, name, time.Hour, noon)
	if err != nil {
		return err
	}
	return s.studio.Finish(ctx, got.ID, name, bijou.WorkEnd{State: bijou.WorkDone, Output: json.RawMessage(`{}`)})
}

const writers = 4

// serverKilled kills the server while writers write, and starts it again. The writers notice nothing but that it takes longer.
func serverKilled(t *testing.T, s *engines.Server) {
	all := storesOf(opened(t, fresh(t, s, "")))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var acked [writers]int
	for range 3 {
		wrote, stop := make(chan struct{}), make(chan struct{})
		var done sync.WaitGroup
		for writer := range writers {
			done.Go(func() {
				for {
					if err := all.write(t.Context(), writer, acked[writer]); err != nil {
						t.Errorf("write %d of writer %d: %v", acked[writer], writer, err)
						return
					}
					acked[writer]++
					select {
					case <-stop:
						return
					case wrote <- struct{}{}:
					}
				}
			})
		}
		finished := make(chan struct{})
		go func() { done.Wait(); close(finished) }()
		await := func(n int) {
			for range n {
				select {
				case <-wrote:
				case <-finished:
				}
			}
		}
		await(1 + random.IntN(40))
		s.Kill(t)
		s.Start(t)
		await(10)
		close(stop)
		<-finished
		if wantAll(t, all, acked); t.Failed() {
			return
		}
	}
}

// wantAll wants all that was acknowledged to be there, once.
func wantAll(t *testing.T, s stores, acked [writers]int) {
	t.Helper()
	ctx, total := t.Context(), 0
	for writer, n := range acked {
		total += n
		for i := range n {
			a := account(writer*1_000_000 + i)
			if got, hash, err := s.members.Credentials(ctx, a.Email); err != nil || got != a || hash != "hash of "+a.Email {
				t.Errorf("account %d of writer %d: got %+v, %v", i, writer, got, err)
			}
		}
		p, err := s.members.Position(ctx, bijou.ProfileID(fmt.Sprintf("prf_%d", writer)), "ttl_1")
		if err != nil || p.Seq != int64(n-1) {
			t.Errorf("position of writer %d: got report %d, %v, want %d", writer, p.Seq, err, n-1)
		}
		title, err := s.catalog.Title(ctx, bijou.TitleID(fmt.Sprintf("ttl_%d", writer)))
		if err != nil || title.Name != fmt.Sprint("Film ", n-1) {
			t.Errorf("title of writer %d: got %q, %v, want that of round %d", writer, title.Name, err, n-1)
		}
	}
	work, err := s.studio.WorkOf(ctx, "ttl_1")
	must(t, "work", err)
	left := slices.DeleteFunc(work, func(w bijou.Work) bool { return w.State == bijou.WorkDone && w.Attempt == 1 })
	if len(left) > 0 {
		t.Errorf("work that is not done by its first lease: %+v", left)
	}
	check, err := s.operators.VerifyActions(ctx)
	if err != nil || check.Altered != 0 || check.Lines != int64(2*total) {
		t.Errorf("audit log: got %+v, %v, want %d lines", check, err, 2*total)
	}
}

func serverPaused(t *testing.T, s *engines.Server) {
	all := storesOf(opened(t, fresh(t, s, "")))
	must(t, "write", all.write(t.Context(), 0, 0))
	var acked [writers]int
	var begun, done sync.WaitGroup
	var paused atomic.Bool
	acked[0] = 1
	for writer := range writers {
		begun.Add(1)
		done.Go(func() {
			for said := false; !said; acked[writer]++ {
				if said = paused.Load(); said {
					begun.Done()
				}
				if err := all.write(t.Context(), writer, acked[writer]); err != nil {
					t.Errorf("write of writer %d: %v", writer, err)
				}
			}
		})
	}
	s.Pause(t)
	paused.Store(true)
	// Longer than one try lasts: what the server has of the writers' tries is given up by them, and found when it goes on.
	late, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	_, err := all.members.Account(late, account(0).ID)
	wantKind(t, "account from a server that is paused", err, bijou.Unavailable)
	s.Resume(t)
	begun.Wait()
	done.Wait()
	_, err = all.members.Account(t.Context(), account(0).ID)
	must(t, "account after it goes on", err)
	wantAll(t, all, acked)
}
