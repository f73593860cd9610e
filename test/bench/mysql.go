package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/engine/mysql"
	"bijou/engine/sqlite"
	"bijou/test/engines"
)

const (
	storeRuns = 5 // of which the median counts
	storeTime = time.Second
)

// store is an engine that keeps accounts and work.
type store struct {
	name     string
	accounts bijou.AccountStore
	work     bijou.WorkStore
	server   int // its process, or 0 where it has none
}

// doing is what is measured: f does it once, as one of several callers.
type doing struct {
	name string
	f    func(ctx context.Context, s store, caller, n int) error
}

var doings = []doing{
	{"a lease taken and returned", func(ctx context.Context, s store, caller, _ int) error {
		worker := strconv.Itoa(caller)
		w, err := s.work.Lease(ctx, worker, time.Minute, time.Now())
		if err != nil {
			return err
		}
		return s.work.Finish(ctx, w.ID, worker, bijou.WorkEnd{State: bijou.WorkWaiting})
	}},
	{"an account made", func(ctx context.Context, s store, _, _ int) error {
		id := bijou.NewID[bijou.AccountID](bijou.AccountPrefix)
		return s.accounts.CreateAccount(ctx, bijou.Account{ID: id, Email: string(id) + "@example.org", Created: time.Now()}, "hash")
	}},
	{"an account read", func(ctx context.Context, s store, _, n int) error {
		_, err := s.accounts.Account(ctx, bijou.AccountID("acc_"+strconv.Itoa(n%storeRows)))
		return err
	}},
}

// storeRows is how many accounts can be read, and how much work waits.
const storeRows = 200

// transactions measures accounts and leases on SQLite, MySQL and MariaDB in turn.
func transactions(ctx context.Context, b *bench, r *report) (err error) {
	owner := &engines.Alone{}
	defer owner.Close()
	defer func() {
		if failure, ok := recover().(engines.Failure); ok {
			err = errors.New(string(failure))
		}
	}()
	stores, err := b.transactionStores(ctx, owner)
	if err != nil {
		return err
	}
	r.line("Every change is on disk before it is acknowledged (MySQL with its binary log, as it comes). The runs of the stores alternate. Processor time is that of the")
	r.line("program and of the server together, the system's part included. A lease that is taken and returned is two changes.\n")
	r.line("| | at once | store | a second (median, least to most) | a CPU-second (median, least to most) | ratio to SQLite, a CPU-second | 99 %% within |")
	r.line("|---|---|---|---|---|---|---|")
	for _, d := range doings {
		for _, callers := range []int{1, 8} {
			perSecond, perCPU, late := make([][]float64, len(stores)), make([][]float64, len(stores)), make([][]float64, len(stores))
			for range storeRuns {
				for i, s := range stores {
					second, cpu, p99, err := d.measure(ctx, s, callers)
					if err != nil {
						return fmt.Errorf("%s on %s: %w", d.name, s.name, err)
					}
					perSecond[i], perCPU[i], late[i] = append(perSecond[i], second), append(perCPU[i], cpu), append(late[i], p99)
				}
			}
			peer, _, _ := spread(perCPU[0])
			for i, s := range stores {
				second, least, most := spread(perSecond[i])
				cpu, leastCPU, mostCPU := spread(perCPU[i])
				p99, _, _ := spread(late[i])
				r.line("| %s | %d | %s | %s, %s to %s | %s, %s to %s | %.2f | %.1f ms |", d.name, callers, s.name, thousands(second), thousands(least), thousands(most),
					thousands(cpu), thousands(leastCPU), thousands(mostCPU), cpu/peer, p99)
			}
		}
	}
	return nil
}

// measure does it for a while by so many callers at once. It returns how often a second and a CPU-second, and within how many milliseconds 99 of 100.
func (d doing) measure(ctx context.Context, s store, callers int) (perSecond, perCPU, p99 float64, err error) {
	before, err := s.cpu()
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	var mu sync.Mutex
	var took []float64
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			var own []float64
			var failure error
			for n := caller; failure == nil && time.Since(begin) < storeTime; n += callers {
				from := time.Now()
				failure = d.f(ctx, s, caller, n)
				own = append(own, time.Since(from).Seconds()*1000)
			}
			mu.Lock()
			took, err = append(took, own...), errors.Join(err, failure)
			mu.Unlock()
		})
	}
	wg.Wait()
	seconds := time.Since(begin).Seconds()
	after, cpuErr := s.cpu()
	if err := errors.Join(err, cpuErr); err != nil {
		return 0, 0, 0, err
	}
	slices.Sort(took)
	n := float64(len(took))
	return n / seconds, n / (after - before).Seconds(), took[len(took)*99/100], nil
}

// cpu returns the processor time that this program and the store's server have taken.
func (s store) cpu() (time.Duration, error) {
	own, err := cpuTime()
	if err != nil || s.server == 0 {
		return own, err
	}
	server, _, err := usage(s.server)
	return own + server, err
}

// transactionStores starts what is measured, and puts into each what can be read and leased.
func (b *bench) transactionStores(ctx context.Context, owner *engines.Alone) (stores []store, err error) {
	members, err := sqlite.OpenMembers(ctx, filepath.Join(b.dir, "members.db"))
	if err != nil {
		return nil, err
	}
	owner.Cleanup(func() { _ = members.Close() }) // the directory goes too
	studio, err := sqlite.OpenStudio(ctx, filepath.Join(b.dir, "studio.db"))
	if err != nil {
		return nil, err
	}
	owner.Cleanup(func() { _ = studio.Close() })
	stores = append(stores, store{name: "SQLite", accounts: members, work: studio})
	for _, start := range []func(engines.T) *engines.Server{engines.MySQL, engines.MariaDB} {
		s, err := serverStore(ctx, owner, start(owner))
		if err != nil {
			return nil, err
		}
		stores = append(stores, s)
	}
	for _, s := range stores {
		var work []bijou.Work
		for n := range storeRows {
			id := strconv.Itoa(n)
			if err := s.accounts.CreateAccount(ctx, bijou.Account{ID: bijou.AccountID("acc_" + id), Email: id + "@example.org", Created: time.Now()}, "hash"); err != nil {
				return nil, err
			}
			work = append(work, bijou.Work{ID: bijou.JobID("job_" + id), Asset: "ast_1", Title: "ttl_1", Step: id, Version: 1, Created: time.Now()})
		}
		if err := s.work.Enqueue(ctx, work); err != nil {
			return nil, err
		}
	}
	return stores, nil
}

func serverStore(ctx context.Context, owner *engines.Alone, server *engines.Server) (store, error) {
	d, err := mysql.Open(engines.MySQLDatabase(owner, server, "bench", ""))
	if err != nil {
		return store{}, err
	}
	owner.Cleanup(func() { _ = d.Close() }) // its server goes too
	name, err := d.Version(ctx)
	if err != nil {
		return store{}, err
	}
	text, err := os.ReadFile(filepath.Join(server.Dir, "pid"))
	if err != nil {
		return store{}, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return store{name: name, accounts: d.Members(), work: d.Studio(), server: pid}, err
}
