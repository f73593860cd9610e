package cassandra

import (
	"context"
	"errors"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// slowFor is how long a node that kept a caller waiting is asked after all others.
const slowFor = 5 * time.Second

// willing is the policy by which a node of the datacenter is chosen: one that has the row, and last of all those that lately did not answer. The driver
// notices a node that has stopped in its tracks only when the cluster does, after some ten seconds. Nodes elsewhere are not asked: two of three copies
// would be those that are there.
type willing struct {
	gocql.HostSelectionPolicy

	mu   sync.Mutex
	slow map[string]time.Time // until when, of each node by its identifier
}

func newWilling(dc string) *willing {
	return &willing{HostSelectionPolicy: gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(dc), gocql.ShuffleReplicas()), slow: map[string]time.Time{}}
}

// Pick returns the nodes to ask, in that order.
func (w *willing) Pick(q gocql.ExecutableStatement) gocql.NextHost {
	next := w.HostSelectionPolicy.Pick(q)
	var last []gocql.SelectedHost
	return func() gocql.SelectedHost {
		for host := next(); host != nil; host = next() {
			switch {
			case !w.IsLocal(host.Info()):
			case w.isSlow(host.Info()):
				last = append(last, host)
			default:
				return host
			}
		}
		if len(last) == 0 {
			return nil
		}
		host := last[0]
		last = last[1:]
		return host
	}
}

func (w *willing) isSlow(host *gocql.HostInfo) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	until, ok := w.slow[host.HostID()]
	if ok && time.Now().After(until) {
		delete(w.slow, host.HostID())
		return false
	}
	return ok
}

// note remembers a node that did not answer in time: it said nothing, or another was asked meanwhile and was faster.
func (w *willing) note(host *gocql.HostInfo, took time.Duration, err error) {
	if host != nil && took >= speculateAfter && (errors.Is(err, gocql.ErrTimeoutNoResponse) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		w.mu.Lock()
		w.slow[host.HostID()] = time.Now().Add(slowFor)
		w.mu.Unlock()
	}
}

// ObserveQuery hears of each node that was asked.
func (w *willing) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	w.note(q.Host, q.End.Sub(q.Start), q.Err)
}

// ObserveBatch hears of each node that was asked for several changes at once.
func (w *willing) ObserveBatch(_ context.Context, b gocql.ObservedBatch) {
	w.note(b.Host, b.End.Sub(b.Start), b.Err)
}
