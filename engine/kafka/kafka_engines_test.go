//go:build engines

package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
	"bijou/test/engines"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// addressVariable tells a test binary that it is the child which is to be killed, and where its log is.
const addressVariable = "BIJOU_TEST_KAFKA"

func TestAgainstApacheKafka(t *testing.T) {
	const kill = "TheServiceIsKilled"
	if address := os.Getenv(addressVariable); address != "" {
		t.Run(kill, func(t *testing.T) { killWhoAppends(t, address) })
		return
	}
	server := engines.Kafka(t, t.TempDir())
	stores := 0
	address := func() string {
		stores++
		return fmt.Sprintf("kafka://%s?partitions=3&prefix=store%d.", server.Address, stores)
	}
	t.Run("ItKeepsTheContractOfLogStore", func(t *testing.T) {
		contract.LogStore(t, func(t *testing.T) bijou.LogStore { return openLog(t, address(), Options{}) })
	})
	t.Run("CheckAndSignIn", func(t *testing.T) { checkSignIn(t, server) })
	t.Run("TheServersHaveTheTopicAsItIsConfigured", func(t *testing.T) { checkSettings(t, address()) })
	t.Run("WhatComesLateFromAnEpochBeforeIsRefused", func(t *testing.T) { refuseLate(t, address()) })
	t.Run(kill, func(t *testing.T) {
		t.Setenv(addressVariable, address())
		killWhoAppends(t, os.Getenv(addressVariable))
	})
	t.Run("ItLosesAndReordersNothingUnderFaults", func(t *testing.T) { logHistory(t, server, address()) })
	t.Run("ConnectionsAreReset", func(t *testing.T) { resetUnderAppends(t, address()) })
	t.Run("TheServerIsKilledAndStartedAgain", func(t *testing.T) { killUnderAppends(t, server, address()) })
	t.Run("TheServerPausesForLongerThanAnybodyWaits", func(t *testing.T) { pauseUnderAppends(t, server, address()) })
	t.Run("TheServerPausesAndAnswersInTime", func(t *testing.T) { pauseShortly(t, server, address()) })
	t.Run("TheServerIsAwayAtFirst", func(t *testing.T) { awayAtFirst(t, server, address()) })
}

func checkSignIn(t *testing.T, server engines.KafkaServer) {
	for password, want := range map[string]bijou.Kind{engines.KafkaPassword: "", "another": bijou.Denied} {
		l := openLog(t, fmt.Sprintf("kafka://%s:%s@%s?prefix=signin.", engines.KafkaUser, password, server.SignIn), Options{})
		err := l.Check(t.Context())
		if bijou.KindOf(err) != want {
			t.Errorf("sign in with the password %q: got %v, want kind %q", password, err, want)
		}
		if want != "" {
			continue
		}
		mustAppend(t, l, text("signed in"))
		wantValues(t, l, 0, "signed in")
		if v, err := l.Version(t.Context()); err != nil || !strings.Contains(v, "v4.") {
			t.Errorf("version: got %q and %v, want one of 4", v, err)
		}
	}
}

func checkSettings(t *testing.T, address string) {
	for _, c := range []struct {
		retain bijou.Retention
		want   map[string]string
	}{
		{bijou.Retention{Bytes: 3 << 30, Age: 20 * time.Hour}, map[string]string{
			"retention.bytes": "1073741824", "retention.ms": "72000000", "segment.ms": "7200000", "max.message.bytes": "17825792",
			"message.timestamp.type": "LogAppendTime",
		}},
		{bijou.Retention{Age: time.Hour}, map[string]string{"retention.bytes": "-1", "retention.ms": "3600000", "segment.ms": "360000"}},
	} {
		l := openLog(t, address, Options{Retain: c.retain})
		if _, err := l.Partitions(t.Context(), "facts"); err != nil {
			t.Fatal(err)
		}
		// A server hears of a change a moment after it was made.
		engines.Until(t, "the topic's settings", time.Minute, func() error {
			all, err := l.admin.DescribeTopicConfigs(t.Context(), l.address.prefix+"facts")
			if err != nil {
				return err
			}
			for _, x := range all[0].Configs {
				if want, ok := c.want[x.Key]; ok && *x.Value != want {
					return fmt.Errorf("got %s=%s, want %s", x.Key, *x.Value, want)
				}
			}
			return nil
		})
	}
}

// Whoever gave an append up relies on this: it cannot come after the next one.
func refuseLate(t *testing.T, address string) {
	l := openLog(t, address, Options{})
	mustAppend(t, l, text("0"))
	p, err := l.partition(t.Context(), "facts", 0)
	if err != nil {
		t.Fatal(err)
	}
	late := &partition{topic: p.topic, n: p.n, producer: p.producer}
	late.buffer = appendRecords(appendHeader(nil, 1, time.Now()), 0, text("late"))
	sealBatch(late.buffer, late.producer)
	p.producer.renew()
	mustAppend(t, l, text("1"))
	if first, err := late.request(t.Context()); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("an append of the epoch before: got offset %d and error %v, want it refused", first, err)
	}
	mustAppend(t, l, text("2"))
	wantValues(t, l, 0, "0", "1", "2")
}

func killWhoAppends(t *testing.T, address string) {
	contract.Kill(t, 3, func(t *testing.T, _ string, ack func(string)) {
		l := openLog(t, address, Options{})
		for n := 0; ; n++ {
			first := mustAppend(t, l, text(fmt.Sprint(n, " 0"), fmt.Sprint(n, " 1")))
			if err := l.Commit(t.Context(), "group", "facts", 0, first+2); err != nil {
				t.Fatal(err)
			}
			ack(fmt.Sprintf("%d %d", n, first))
		}
	}, func(t *testing.T, _ string, acked []string) {
		l := openLog(t, address, Options{})
		var n, first, newest int64
		for _, line := range acked {
			if _, err := fmt.Sscan(line, &n, &first); err != nil {
				t.Fatal(err)
			}
			wantValues(t, l, first, fmt.Sprint(n, " 0"), fmt.Sprint(n, " 1"))
			newest = max(newest, first+2)
		}
		if next, err := l.Committed(t.Context(), "group", "facts", 0); err != nil || next < newest {
			t.Errorf("committed: got %d and %v, want %d at least", next, err, newest)
		}
		wantValues(t, l, mustAppend(t, l, text("the end")), "the end")
	})
}

// game is writers that append without end, each one append after another, readers who follow, and what was acknowledged.
type game struct {
	t    *testing.T
	log  *Log
	stop chan struct{}
	all  sync.WaitGroup

	mu     sync.Mutex
	news   *sync.Cond
	acked  map[string]int64 // offset of the first record, by append
	failed map[string]bool
	read   [gamePartitions][]string // values, by offset
}

const gameWriters, gamePartitions, gameBatch = 6, 3, 3

// play begins a game. Each append waits at most so long.
func play(t *testing.T, l *Log, term time.Duration) *game {
	g := &game{t: t, log: l, stop: make(chan struct{}), acked: map[string]int64{}, failed: map[string]bool{}}
	g.news = sync.NewCond(&g.mu)
	for w := range gameWriters {
		g.all.Go(func() { g.write(w, term) })
	}
	for p := range gamePartitions {
		go g.follow(p)
	}
	return g
}

func (g *game) write(w int, term time.Duration) {
	for n := 0; ; n++ {
		select {
		case <-g.stop:
			return
		default:
		}
		name := fmt.Sprintf("%d %d", w, n)
		var rs []bijou.Record
		for j := range gameBatch {
			rs = append(rs, bijou.Record{Key: fmt.Append(nil, w), Value: fmt.Appendf(nil, "%s %d %s", name, j, strings.Repeat("x", n*37%900))})
		}
		ctx, cancel := context.WithTimeout(context.Background(), term)
		first, err := g.log.Append(ctx, "facts", w%gamePartitions, rs)
		cancel()
		g.mu.Lock()
		if err == nil {
			g.acked[name] = first
		} else if g.failed[name] = true; !errors.Is(err, bijou.Unavailable) {
			g.t.Errorf("append %s: got error %v, want one of kind %q", name, err, bijou.Unavailable)
		}
		g.news.Broadcast()
		g.mu.Unlock()
	}
}

// follow reads a partition from its start, until the log is closed. A reader whose read failed reads again from there.
func (g *game) follow(p int) {
	for {
		g.mu.Lock()
		next := len(g.read[p])
		g.mu.Unlock()
		rs, err := g.log.Read(context.Background(), "facts", p, int64(next), 100)
		if g.log.ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, bijou.Unavailable) {
			g.t.Errorf("read partition %d from %d: got error %v, want none or one of kind %q", p, next, err, bijou.Unavailable)
		}
		g.mu.Lock()
		for _, r := range rs {
			if r.Offset != int64(len(g.read[p])) {
				g.t.Errorf("read partition %d: got offset %d, want %d", p, r.Offset, len(g.read[p]))
			}
			g.read[p] = append(g.read[p], string(r.Value))
		}
		g.news.Broadcast()
		g.mu.Unlock()
	}
}

// await waits until so many appends more are acknowledged, or have failed.
func (g *game) await(acked, failed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for acked, failed = acked+len(g.acked), failed+len(g.failed); len(g.acked) < acked || len(g.failed) < failed; {
		g.news.Wait()
	}
}

// end stops the writers, has the readers come to the end, and checks what is there.
func (g *game) end() {
	close(g.stop)
	g.all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range gamePartitions {
		g.mu.Unlock()
		last, err := g.log.Append(context.Background(), "facts", p, text("the end"))
		g.mu.Lock()
		if err != nil {
			g.t.Fatalf("append at the end: %v", err)
		}
		for int64(len(g.read[p])) <= last {
			g.news.Wait()
		}
	}
	g.t.Logf("%d appends acknowledged, %d not", len(g.acked), len(g.failed))
	at := map[string]int64{}
	for p, values := range g.read {
		g.checkOrder(p, values[:len(values)-1], at)
	}
	for name, offset := range g.acked {
		if got, ok := at[name]; !ok || got != offset {
			g.t.Errorf("append %s was acknowledged at offset %d: got it at %d (there: %v)", name, offset, got, ok)
		}
	}
}

// checkOrder checks that each append is there whole and once, and each writer's in the order of their writing. It notes where they are.
func (g *game) checkOrder(p int, values []string, at map[string]int64) {
	newest := map[int]int{}
	if len(values)%gameBatch != 0 {
		g.t.Errorf("partition %d: got %d records, want whole appends of %d", p, len(values), gameBatch)
		return
	}
	for i := 0; i < len(values); i += gameBatch {
		var w, n int
		if _, err := fmt.Sscan(values[i], &w, &n); err != nil {
			g.t.Fatalf("partition %d, offset %d: %q: %v", p, i, values[i], err)
		}
		name := fmt.Sprintf("%d %d", w, n)
		for j := range gameBatch {
			if !strings.HasPrefix(values[i+j], fmt.Sprintf("%s %d ", name, j)) {
				g.t.Errorf("partition %d, offset %d: got %.40q, want record %d of append %s", p, i+j, values[i+j], j, name)
			}
		}
		if _, ok := at[name]; ok {
			g.t.Errorf("append %s is there twice, at %d and %d", name, at[name], i)
		}
		if last, ok := newest[w]; ok && n < last {
			g.t.Errorf("append %s is at offset %d, after append %d of the same writer", name, i, last)
		}
		at[name], newest[w] = int64(i), n
	}
}

// closing closes the log and so ends the game's readers.
func closing(t *testing.T, g *game) {
	t.Helper()
	g.end()
	if err := g.log.Close(); err != nil {
		t.Fatal(err)
	}
}

const answered = 30 // appends that show that it goes on

func killUnderAppends(t *testing.T, server engines.KafkaServer, address string) {
	l := openLog(t, address, Options{})
	g := play(t, l, patience)
	for round := range int64(2) {
		g.await(answered, 0)
		if err := l.Commit(t.Context(), "group", "facts", 0, round+7); err != nil {
			t.Fatal(err)
		}
		server.Kill(t)
		server.Start(t)
		g.await(answered, 0)
		if next, err := l.Committed(t.Context(), "group", "facts", 0); err != nil || next != round+7 {
			t.Errorf("committed: got %d and %v, want %d", next, err, round+7)
		}
	}
	closing(t, g)
}

// What is sent to a server that does not answer may be read by it much later, on a connection that was given up long ago.
func pauseUnderAppends(t *testing.T, server engines.KafkaServer, address string) {
	g := play(t, openLog(t, address, Options{}), 500*time.Millisecond)
	for _, each := range []int{2, 15} { // the second time, for longer than a connection is given to answer
		g.await(answered, 0)
		server.Pause(t)
		g.await(0, each*gameWriters)
		server.Resume(t)
		g.await(answered, 0)
	}
	closing(t, g)
}

func pauseShortly(t *testing.T, server engines.KafkaServer, address string) {
	l := openLog(t, address, Options{})
	g := play(t, l, patience)
	g.await(answered, 0)
	server.Pause(t)
	short, cancel := context.WithTimeout(t.Context(), 4*time.Second) // longer than a connection is given to answer
	if _, err := l.Append(short, "facts", 0, text("0 -1 0 ", "0 -1 1 ", "0 -1 2 ")); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("append to a server that pauses: got %v, want unavailable", err)
	}
	cancel()
	server.Resume(t)
	g.await(answered, 0)
	closing(t, g)
	if len(g.failed) > 0 {
		t.Errorf("appends that failed: got %d, want none, since the server answered within their time", len(g.failed))
	}
}

// breakable makes connections that can be reset.
type breakable struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (b *breakable) dial(ctx context.Context, network, host string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, host)
	if err == nil {
		b.mu.Lock()
		b.conns = append(b.conns, c)
		b.mu.Unlock()
	}
	return c, err
}

// reset ends all connections, so that each side finds them gone.
func (b *breakable) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // one that is closed already has nothing to reset
		_ = c.Close()
	}
	b.conns = nil
}

func resetUnderAppends(t *testing.T, address string) {
	b := &breakable{}
	g := play(t, openLog(t, address, Options{}, kgo.Dialer(b.dial)), patience)
	for range 20 {
		g.await(answered/3, 0)
		b.reset()
	}
	g.await(answered, 0)
	closing(t, g)
	if len(g.failed) > 0 {
		t.Errorf("appends that failed: got %d, want none: the server was there", len(g.failed))
	}
}

func awayAtFirst(t *testing.T, server engines.KafkaServer, address string) {
	server.Kill(t)
	l := openLog(t, address, Options{})
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := l.Append(soon, "facts", 0, text("too early"))
	for what, err := range map[string]error{"append": err, "check": l.Check(soon)} {
		if !errors.Is(err, bijou.Unavailable) {
			t.Errorf("%s: got %v, want unavailable", what, err)
		}
	}
	server.Start(t)
	engines.Until(t, "an append to the server that came", time.Minute, func() error {
		_, err := l.Append(t.Context(), "facts", 0, text("in time"))
		return err
	})
	wantValues(t, l, 0, "in time")
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("check: got %v, want none", err)
	}
}
