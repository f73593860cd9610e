package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/engine/cassandra"
	"bijou/engine/sqlite"
	"bijou/test/engines"
)

const (
	profileCallers = 16 // at the same time
	profileRuns    = 3  // of which the median counts, the engines by turns
	profileTime    = 4 * time.Second
	households     = 200
	watchedTitles  = 60 // of each first profile, before anything is measured
)

// profileStores is what both engines keep.
type profileStores interface {
	bijou.ProfileStore
	bijou.PositionStore
}

// profileCall is one kind of call. The caller and the number of the call tell it apart from all others.
type profileCall struct {
	name string
	call func(ctx context.Context, s profileStores, run, caller, n int) error
}

var profileCalls = []profileCall{
	{"profiles of an account", func(ctx context.Context, s profileStores, _, caller, n int) error {
		_, err := s.Profiles(ctx, householdID(caller*31+n))
		return err
	}},
	{"next position of a viewing", func(ctx context.Context, s profileStores, run, caller, n int) error {
		return s.SavePosition(ctx, viewed(caller, "ttl_film", fmt.Sprint("ply_", run, caller), run, n))
	}},
	{"first position of a viewing", func(ctx context.Context, s profileStores, run, caller, n int) error {
		return s.SavePosition(ctx, viewed(caller, fmt.Sprint("ttl_", n%watchedTitles), fmt.Sprint("ply_", run, caller, n), run, n))
	}},
	{"position in a title", func(ctx context.Context, s profileStores, _, caller, n int) error {
		_, err := s.Position(ctx, profileID(caller), bijou.TitleID(fmt.Sprint("ttl_", n%watchedTitles)))
		return err
	}},
	{"the latest 50 positions", func(ctx context.Context, s profileStores, _, caller, _ int) error {
		_, err := s.Positions(ctx, profileID(caller), 50)
		return err
	}},
}

func householdID(n int) bijou.AccountID { return bijou.AccountID(fmt.Sprint("acc_", n%households)) }

func profileID(n int) bijou.ProfileID { return bijou.ProfileID(fmt.Sprint("prf_", n%households)) }

// viewed is a report of the caller's profile, later than all of its runs before.
func viewed(caller int, title, session string, run, n int) bijou.Position {
	at := time.Date(2031, time.March, 4, run, 0, 0, n*1000, time.UTC)
	return bijou.Position{Profile: profileID(caller), Title: bijou.TitleID(title), Session: bijou.SessionID(session), Seq: int64(n + 1), PositionMS: int64(n), RuntimeMS: 7_200_000, At: at}
}

// cassandraNodes measures profiles and positions on SQLite and on three nodes of Cassandra, by the same calls.
func cassandraNodes(ctx context.Context, b *bench, r *report) (err error) {
	servers := &engines.Alone{}
	defer func() {
		servers.Close()
		if failure, ok := recover().(engines.Failure); ok {
			err = errors.New(string(failure))
		}
	}()
	cluster := engines.StartCassandra(servers, filepath.Join(b.dir, "cassandra"), 3)
	remote, err := cassandra.Open(cluster.Address("bench"))
	if err != nil {
		return err
	}
	defer remote.Close()
	if err := remote.Check(ctx); err != nil {
		return err
	}
	local, err := sqlite.OpenMembers(ctx, filepath.Join(b.dir, "profiles.db"))
	if err != nil {
		return err
	}
	defer local.Close()
	stores := []struct {
		name string
		profileStores
	}{{"SQLite", local}, {"Cassandra, 3 nodes", remote}}
	for _, s := range stores {
		if err := fillProfiles(ctx, s); err != nil {
			return err
		}
	}
	version, err := remote.Version(ctx)
	if err != nil {
		return err
	}
	r.line("%s, three copies, `LOCAL_QUORUM`, all nodes and the client on this one machine: a cluster has a machine for each. %d callers at once, the engines by turns, the median of %d runs of %s. "+
		"The processor time is the client's: with SQLite that is all there is, with Cassandra the nodes' comes on top.\n", version, profileCallers, profileRuns, profileTime)
	r.line("| call | engine | a second (least to most) | p50 | p99 | client's processor time a call |")
	r.line("|---|---|---|---|---|---|")
	for kind, c := range profileCalls {
		results := make([][]pace, len(stores))
		for run := range profileRuns {
			for i, s := range stores {
				p, err := measurePace(ctx, s, c, kind*profileRuns+run)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", c.name, s.name, err)
				}
				results[i] = append(results[i], p)
			}
		}
		for i, s := range stores {
			rate, least, most := spread(of(results[i], func(p pace) float64 { return p.rate }))
			p50, _, _ := spread(of(results[i], func(p pace) float64 { return p.p50 }))
			p99, _, _ := spread(of(results[i], func(p pace) float64 { return p.p99 }))
			cpu, _, _ := spread(of(results[i], func(p pace) float64 { return p.cpu }))
			r.line("| %s | %s | %s (%s to %s) | %.2f ms | %.2f ms | %.0f µs |", c.name, s.name, thousands(rate), thousands(least), thousands(most), p50, p99, cpu)
		}
	}
	return nil
}

// fillProfiles makes the profiles, and what they watched.
func fillProfiles(ctx context.Context, s profileStores) error {
	begin := time.Date(2031, time.January, 1, 20, 0, 0, 0, time.UTC)
	for n := range households {
		if err := s.CreateProfile(ctx, bijou.Profile{ID: profileID(n), Account: householdID(n), Name: "Ada", Created: begin}); err != nil {
			return err
		}
	}
	for caller := range profileCallers {
		for n := range watchedTitles {
			p := viewed(caller, fmt.Sprint("ttl_", n), fmt.Sprint("ply_before", n), 0, n)
			p.At = begin.Add(time.Duration(n) * 20 * time.Hour)
			if err := s.SavePosition(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// pace is how fast calls were: a second in all, milliseconds each, and microseconds of this process's processor time.
type pace struct{ rate, p50, p99, cpu float64 }

func of(all []pace, value func(pace) float64) (out []float64) {
	for _, p := range all {
		out = append(out, value(p))
	}
	return out
}

// measurePace has the callers call for a while.
func measurePace(ctx context.Context, s profileStores, c profileCall, run int) (pace, error) {
	before, err := cpuTime()
	if err != nil {
		return pace{}, err
	}
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	took := make([][]float64, profileCallers)
	begin := time.Now()
	for caller := range profileCallers {
		wg.Go(func() {
			for n := 0; time.Since(begin) < profileTime && failed.Load() == nil; n++ {
				began := time.Now()
				if err := c.call(ctx, s, run+1, caller, n); err != nil {
					failed.Store(&err)
				}
				took[caller] = append(took[caller], time.Since(began).Seconds()*1000)
			}
		})
	}
	wg.Wait()
	wall := time.Since(begin).Seconds()
	after, err := cpuTime()
	if f := failed.Load(); f != nil {
		err = errors.Join(err, *f)
	}
	if err != nil {
		return pace{}, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	n := len(all)
	return pace{float64(n) / wall, all[n/2], all[n*99/100], (after - before).Seconds() * 1e6 / float64(n)}, nil
}
