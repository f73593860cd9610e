package cassandra

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// inTurn is a policy that names its hosts in order, those of oslo as local.
type inTurn struct {
	gocql.HostSelectionPolicy
	hosts []*gocql.HostInfo
}

type picked struct{ host *gocql.HostInfo }

func (p picked) Info() *gocql.HostInfo { return p.host }
func (p picked) Mark(error)            {}

func (p inTurn) IsLocal(host *gocql.HostInfo) bool { return host.DataCenter() == "oslo" }

func (p inTurn) Pick(gocql.ExecutableStatement) gocql.NextHost {
	left := p.hosts
	return func() gocql.SelectedHost {
		if len(left) == 0 {
			return nil
		}
		host := left[0]
		left = left[1:]
		return picked{host}
	}
}

func TestANodeThatDidNotAnswerIsAskedLastForAWhileAndOneElsewhereNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts []*gocql.HostInfo
		for i, dc := range []string{"oslo", "oslo", "rome", "oslo"} {
			host, err := gocql.NewTestHostInfoFromRow(map[string]any{
				"host_id": gocql.UUID{byte(i + 1)}, "data_center": dc, "rpc_address": net.IPv4(10, 0, 0, byte(i+1)), "tokens": []string{"0"}, "rack": "r",
			})
			if err != nil {
				t.Fatal(err)
			}
			hosts = append(hosts, host)
		}
		w := &willing{HostSelectionPolicy: inTurn{hosts: hosts}, slow: map[string]time.Time{}}
		check := func(when string, want ...int) {
			t.Helper()
			var got []int
			next := w.Pick(nil)
			for host := next(); host != nil; host = next() {
				got = append(got, slices.Index(hosts, host.Info()))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got the nodes %v, want %v", when, got, want)
			}
		}
		asked := func(n int, took time.Duration, err error) {
			now := time.Now()
			w.ObserveQuery(t.Context(), gocql.ObservedQuery{Host: hosts[n], Start: now.Add(-took), End: now, Err: err})
		}
		check("at first", 0, 1, 3)
		asked(0, time.Second, nil)
		asked(0, time.Millisecond, context.Canceled)
		asked(0, time.Second, gocql.ErrNotFound)
		check("after answers, and a caller who left", 0, 1, 3)
		asked(0, speculateAfter, context.Canceled)
		check("after another was faster", 1, 3, 0)
		time.Sleep(slowFor / 2)
		now := time.Now()
		w.ObserveBatch(t.Context(), gocql.ObservedBatch{Host: hosts[3], Start: now.Add(-answerTime), End: now, Err: gocql.ErrTimeoutNoResponse})
		check("after two did not answer", 1, 0, 3)
		time.Sleep(slowFor/2 + 1)
		check("when the first has had its time", 0, 1, 3)
		time.Sleep(slowFor)
		check("when both have", 0, 1, 3)
	})
}
