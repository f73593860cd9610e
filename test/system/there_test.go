package system_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/trust"
	"bijou/service/events"
	"bijou/service/members"
	"bijou/test/contract"
	"bijou/test/harness"
)

// asMember returns a client of the service's other door, over mutual TLS, by which a member with the name asks.
func asMember(t *testing.T, sv *harness.Service, name string) *rpc.Client {
	t.Helper()
	authority, err := trust.OpenAuthority(filepath.Join(sv.DataDir, "keys", "authority.pem"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	identity, err := authority.Member(t.TempDir(), name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trust.ClientTLS(func() *trust.Identity { return identity }, "service"), MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	return rpc.NewClient(strings.Replace(sv.Address, "http://", "https://", 1), rpc.WithHTTP(&http.Client{Transport: transport}))
}

// topicsOf is a log whose topics are all its own.
type topicsOf struct {
	log    bijou.LogStore
	prefix string
}

// own returns the topic's name among all. One that is no name stays none.
func (l topicsOf) own(topic string) string {
	if bijou.CheckLogName("topic", topic) != nil {
		return topic
	}
	return l.prefix + topic
}

// Append implements bijou.LogStore.
func (l topicsOf) Append(ctx context.Context, topic string, partition int, records []bijou.Record) (int64, error) {
	return l.log.Append(ctx, l.own(topic), partition, records)
}

// Read implements bijou.LogStore.
func (l topicsOf) Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]bijou.Record, error) {
	return l.log.Read(ctx, l.own(topic), partition, from, limit)
}

// Commit implements bijou.LogStore.
func (l topicsOf) Commit(ctx context.Context, group, topic string, partition int, next int64) error {
	return l.log.Commit(ctx, group, l.own(topic), partition, next)
}

// Committed implements bijou.LogStore.
func (l topicsOf) Committed(ctx context.Context, group, topic string, partition int) (int64, error) {
	return l.log.Committed(ctx, group, l.own(topic), partition)
}

// Partitions implements bijou.LogStore.
func (l topicsOf) Partitions(ctx context.Context, topic string) (int, error) {
	return l.log.Partitions(ctx, l.own(topic))
}

func TestStoresKeepTheirContractsAtTheDoorOfTheCluster(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		client := asMember(t, sv, "service/there")
		accounts, log := members.NewStoreClient(client), events.NewClient(client)
		t.Run("AccountStore", func(t *testing.T) {
			contract.AccountStore(t, func(t *testing.T) bijou.AccountStore {
				all, err := accounts.Accounts(t.Context(), bijou.AccountQuery{Limit: 100})
				for _, a := range all.Accounts {
					err = errors.Join(err, accounts.DeleteAccount(t.Context(), a.ID))
				}
				if err != nil {
					t.Fatal(err)
				}
				return accounts
			})
		})
		logs := 0
		t.Run("LogStore", func(t *testing.T) {
			contract.LogStore(t, func(*testing.T) bijou.LogStore {
				logs++
				return topicsOf{log, fmt.Sprintf("there%d-", logs)}
			})
		})
	})
}

func TestStoresAreShutToWhoIsNoProcessOfTheService(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv := shape.Start(t, harness.Options{})
		anyone := rpc.NewClient(sv.Address)
		stranger := &http.Transport{TLSClientConfig: trust.JoinTLS(fingerprint(t, sv))}
		t.Cleanup(func() {
			anyone.Close()
			stranger.CloseIdleConnections()
		})
		for who, c := range map[string]struct {
			client *rpc.Client
			want   bijou.Kind
		}{
			"an appliance":    {asMember(t, sv, "appliance/apl_box"), bijou.Denied},
			"somebody":        {asMember(t, sv, "services/evil"), bijou.Denied},
			"no certificate":  {rpc.NewClient(strings.Replace(sv.Address, "http://", "https://", 1), rpc.WithHTTP(&http.Client{Transport: stranger})), bijou.Denied},
			"anyone in clear": {anyone, bijou.Unsupported},
		} {
			accounts, log := members.NewStoreClient(c.client), events.NewClient(c.client)
			_, hash, credentials := accounts.Credentials(t.Context(), "ada@example.org")
			_, session := accounts.Session(t.Context(), "hash", time.Now())
			_, read := log.Read(t.Context(), bijou.TopicFacts, 0, 0, 1)
			_, appended := log.Append(t.Context(), bijou.TopicFacts, 0, []bijou.Record{{Value: []byte("forged")}})
			for what, err := range map[string]error{"credentials": credentials, "session": session, "read": read, "append": appended} {
				if !errors.Is(err, c.want) || hash != "" {
					t.Errorf("%s of %s: got %v, want %q", what, who, err, c.want)
				}
			}
		}
	})
}

func fingerprint(t *testing.T, sv *harness.Service) string {
	t.Helper()
	authority, err := trust.OpenAuthority(filepath.Join(sv.DataDir, "keys", "authority.pem"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return authority.Fingerprint()
}

// persist does work until it is done, or can never be: a service that is away comes back.
func persist(t *testing.T, work func() error) error {
	t.Helper()
	for end := time.Now().Add(harness.Patience); ; {
		err := work()
		if !errors.Is(err, bijou.Unavailable) || time.Now().After(end) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestAClientOfStoresGoesOnWhenTheServiceIsKilled(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random, sv := harness.Seed(t), shape.Start(t, harness.Options{})
		client := asMember(t, sv, "service/there")
		accounts, log := members.NewStoreClient(client), topicsOf{events.NewClient(client), "killed-"}
		listen := strings.TrimPrefix(sv.Address, "http://")
		stop, done := make(chan struct{}), make(chan map[int64]string, 1)
		made := make(chan int, 1)
		var appends, creates atomic.Int64
		go func() { done <- appendOn(t, log, stop, &appends) }()
		go func() { made <- createOn(t, accounts, stop, &creates) }()
		goOn := func() {
			a, c := appends.Load()+1+random.Int64N(100), creates.Load()+1+random.Int64N(50)
			harness.Eventually(t, "the client goes on", func() bool { return appends.Load() >= a && creates.Load() >= c })
		}
		for range 3 {
			goOn()
			sv.Kill(t)
			sv = sv.Restart(t, harness.Options{Args: []string{"--listen", listen}})
		}
		goOn()
		close(stop)
		acked, n := <-done, <-made
		wantAppended(t, log, acked)
		for i := range n {
			a, hash, err := accounts.Credentials(t.Context(), address(i))
			if err != nil || a.ID != accountID(i) || hash != "hash "+strconv.Itoa(i) {
				t.Errorf("account %d of %d that were acknowledged: got %+v, %q (%v)", i, n, a, hash, err)
			}
		}
		t.Logf("%d appends and %d accounts around three kills", len(acked), n)
	})
}

// appendOn appends a record after another until stop, counts them, and returns those that were acknowledged, by offset.
func appendOn(t *testing.T, log bijou.LogStore, stop <-chan struct{}, done *atomic.Int64) map[int64]string {
	acked := map[int64]string{}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return acked
		default:
		}
		value := strconv.Itoa(n)
		err := persist(t, func() error {
			first, err := log.Append(context.Background(), "facts", 0, []bijou.Record{{Value: []byte(value)}})
			if err == nil {
				acked[first] = value
			}
			return err
		})
		if err != nil {
			t.Errorf("append %d: %v", n, err)
			return acked
		}
		done.Add(1)
	}
}

func wantAppended(t *testing.T, log bijou.LogStore, acked map[int64]string) {
	t.Helper()
	var last, next int64
	for offset := range acked {
		last = max(last, offset)
	}
	found := 0
	for next <= last {
		records, err := log.Read(t.Context(), "facts", 0, next, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if value, ok := acked[r.Offset]; ok && value == string(r.Value) {
				found++
			}
			next = r.Offset + 1
		}
	}
	if found != len(acked) {
		t.Errorf("%d of %d acknowledged records are where they were said to be", found, len(acked))
	}
}

func address(n int) string { return fmt.Sprintf("viewer%d@example.org", n) }

func accountID(n int) bijou.AccountID { return bijou.AccountID(fmt.Sprintf("acc_%d", n)) }

// createOn makes an account after another until stop, counts them, and returns how many were acknowledged. An account whose answer was lost is a conflict.
func createOn(t *testing.T, accounts bijou.AccountStore, stop <-chan struct{}, done *atomic.Int64) int {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return n
		default:
		}
		err := persist(t, func() error {
			return accounts.CreateAccount(context.Background(), bijou.Account{ID: accountID(n), Email: address(n), Created: time.Now().UTC()}, "hash "+strconv.Itoa(n))
		})
		if err != nil && !errors.Is(err, bijou.Conflict) {
			t.Errorf("create account %d: %v", n, err)
			return n
		}
		done.Add(1)
	}
}
