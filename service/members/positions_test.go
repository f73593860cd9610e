package members_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bijou"
	"bijou/service/members"

	"pgregory.net/rapid"
)

// memoryLog implements bijou.LogStore as far as the room reads it.
type memoryLog struct {
	bijou.LogStore
	mu        sync.Mutex
	records   [][]bijou.Record
	committed []int64
	more      chan struct{} // closed and replaced at each append
	failReads int           // the next reads fail
	away      bool          // how many partitions there are is not told
	reads     []time.Time
}

func newLog(partitions int) *memoryLog {
	return &memoryLog{records: make([][]bijou.Record, partitions), committed: make([]int64, partitions), more: make(chan struct{})}
}

// add appends the facts to the partition.
func (l *memoryLog) add(t *testing.T, partition int, facts ...bijou.Fact) {
	t.Helper()
	for _, f := range facts {
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		l.addRaw(partition, b)
	}
}

func (l *memoryLog) addRaw(partition int, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[partition] = append(l.records[partition], bijou.Record{Offset: int64(len(l.records[partition])), Value: value})
	close(l.more)
	l.more = make(chan struct{})
}

// Partitions implements bijou.LogStore.
func (l *memoryLog) Partitions(context.Context, string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return 0, fmt.Errorf("the log does not answer: %w", bijou.Unavailable)
	}
	return len(l.records), nil
}

// Read implements bijou.LogStore.
func (l *memoryLog) Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]bijou.Record, error) {
	for {
		l.mu.Lock()
		l.reads = append(l.reads, time.Now())
		if l.failReads > 0 {
			l.failReads--
			l.mu.Unlock()
			return nil, fmt.Errorf("the log does not answer: %w", bijou.Unavailable)
		}
		all, more := l.records[partition], l.more
		l.mu.Unlock()
		if topic != bijou.TopicFacts {
			return nil, fmt.Errorf("topic %q: %w", topic, bijou.NotFound)
		}
		if from < int64(len(all)) {
			return slices.Clone(all[from:min(int64(len(all)), from+int64(limit))]), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Commit implements bijou.LogStore.
func (l *memoryLog) Commit(_ context.Context, group, topic string, partition int, next int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if group != "members" || topic != bijou.TopicFacts {
		return fmt.Errorf("group %q of topic %q: %w", group, topic, bijou.NotFound)
	}
	l.committed[partition] = next
	return nil
}

// Committed implements bijou.LogStore.
func (l *memoryLog) Committed(_ context.Context, _, _ string, partition int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed[partition], nil
}

// memoryPositions implements bijou.ProfileStore as far as the room saves positions.
type memoryPositions struct {
	members.ProfileStores
	mu    sync.Mutex
	kept  map[bijou.TitleID]bijou.Position // of prf_1
	saves []bijou.Position
	fails int // the next saves fail
}

// SavePosition implements bijou.PositionStore.
func (m *memoryPositions) SavePosition(_ context.Context, p bijou.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails > 0 {
		m.fails--
		return fmt.Errorf("the store does not answer: %w", bijou.Unavailable)
	}
	m.saves = append(m.saves, p)
	if old, ok := m.kept[p.Title]; !ok || p.Newer(old) {
		m.kept[p.Title] = p
	}
	return nil
}

// failNext makes the next n saves fail.
func (m *memoryPositions) failNext(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = n
}

func (m *memoryPositions) position(title bijou.TitleID) bijou.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[title]
}

// noAccounts is a store of accounts in which nobody waits for a reset link.
type noAccounts struct{ members.AccountStores }

// ResetRequests implements bijou.ResetStore.
func (noAccounts) ResetRequests(context.Context, time.Time, int) ([]bijou.ResetRequest, error) {
	return nil, nil
}

// reader runs the room over a log until the test ends.
type reader struct {
	log       *memoryLog
	positions *memoryPositions
	out       *bytes.Buffer // what the room logs; read it after stop
	stop      func() error
}

func startReader(t *testing.T, l *memoryLog, p *memoryPositions) *reader {
	t.Helper()
	r := &reader{log: l, positions: p, out: new(bytes.Buffer)}
	room := members.New(members.Deps{Accounts: noAccounts{}, Profiles: p, Facts: l, Log: slog.New(slog.NewTextHandler(r.out, nil)), Now: time.Now, Config: members.DefaultConfig()})
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- room.Run(ctx, func() { close(ready) }) }()
	<-ready
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	return r
}

func newPositions() *memoryPositions {
	return &memoryPositions{kept: map[bijou.TitleID]bijou.Position{}}
}

// at is a fact of prf_1 in viewing session of ttl_1.
func at(kind bijou.FactKind, session bijou.SessionID, seq, positionMS int64, taken time.Time) bijou.Fact {
	return bijou.Fact{Kind: kind, Session: session, Seq: seq, Title: "ttl_1", PositionMS: positionMS, RuntimeMS: 100_000, At: taken, Profile: "prf_1"}
}

func TestPositionsComeOfTheFactsThatTellOfOne(t *testing.T) {
	for kind, want := range map[bijou.FactKind]bool{
		bijou.FactStart: false, bijou.FactFirstFrame: false, bijou.FactError: false, bijou.FactHeartbeat: true, bijou.FactPause: true,
		bijou.FactSeek: true, bijou.FactStall: true, bijou.FactRate: true, bijou.FactEnd: true,
	} {
		f := at(kind, "ply_1", 3, 42_000, begin)
		p, ok := members.PositionOf(f)
		if ok != want {
			t.Errorf("PositionOf(%s) = %+v, %v; want one: %v", kind, p, ok, want)
		}
		if told := (bijou.Position{Profile: "prf_1", Title: "ttl_1", PositionMS: 42_000, RuntimeMS: 100_000, Session: "ply_1", Seq: 3, At: begin}); ok && p != told {
			t.Errorf("PositionOf(%s) = %+v, want %+v", kind, p, told)
		}
		f.PositionMS = 0
		if _, ok := members.PositionOf(f); ok && (kind == bijou.FactEnd || kind == bijou.FactPause) {
			t.Errorf("PositionOf(%s before the first picture) tells of one", kind)
		}
		f.Profile = ""
		if p, ok := members.PositionOf(f); ok {
			t.Errorf("PositionOf(%s of a guest) = %+v, want none", kind, p)
		}
	}
}

func TestFactsOutOfOrderAndTwiceLeaveTheLatestPosition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// Two viewings, one after the other, each with facts 1 to n.
		n := rapid.Int64Range(1, 6).Draw(rt, "n")
		var facts []bijou.Fact
		for v, session := range []bijou.SessionID{"ply_1", "ply_2"} {
			for seq := int64(1); seq <= n; seq++ {
				facts = append(facts, at(bijou.FactHeartbeat, session, seq, int64(v)*50_000+seq, begin.Add(time.Duration(v)*time.Hour)))
			}
		}
		want := facts[len(facts)-1]
		facts = append(facts, facts...) // each twice
		facts = rapid.Permutation(facts).Draw(rt, "order")
		synctest.Test(t, func(t *testing.T) {
			r := startReader(t, newLog(1), newPositions())
			r.log.add(t, 0, facts...)
			synctest.Wait()
			if err := r.stop(); err != nil {
				t.Errorf("Run = %v", err)
			}
			if got := r.positions.kept["ttl_1"]; got.Session != want.Session || got.Seq != want.Seq || got.PositionMS != want.PositionMS {
				t.Errorf("after %+v\nposition %+v, want that of %+v", facts, got, want)
			}
			if r.log.committed[0] != int64(len(facts)) {
				t.Errorf("committed %d of %d facts", r.log.committed[0], len(facts))
			}
		})
	})
}

func TestEveryPartitionIsReadAndWhatIsNoFactPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReader(t, newLog(3), newPositions())
		for p := range 3 {
			f := at(bijou.FactPause, "ply_1", 1, int64(p+1), begin)
			f.Title = bijou.TitleID(fmt.Sprintf("ttl_%d", p))
			r.log.addRaw(p, []byte("{"))
			r.log.addRaw(p, nil)
			r.log.addRaw(p, []byte(`{"kind":"pause","session":"ply_1","seq":0,"title":"ttl_9","profile":"prf_1"}`))
			r.log.add(t, p, at(bijou.FactStart, "ply_1", 1, 99, begin), f)
		}
		synctest.Wait()
		if err := r.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if len(r.positions.kept) != 3 || len(r.positions.saves) != 3 {
			t.Errorf("positions %+v after %d saves, want one of each partition", r.positions.kept, len(r.positions.saves))
		}
		if got := strings.Count(r.out.String(), "record is no fact"); got != 9 {
			t.Errorf("%d records are said to be no facts, want 9:\n%s", got, r.out)
		}
		if !slices.Equal(r.log.committed, []int64{5, 5, 5}) {
			t.Errorf("committed %v, want all 5 of each partition", r.log.committed)
		}
	})
}

func TestAStoreThatFailsIsTriedAgainAndNoPositionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPositions()
		p.failNext(3)
		r := startReader(t, newLog(1), p)
		check := func(when string, seq, committed int64) {
			t.Helper()
			synctest.Wait()
			next, err := r.log.Committed(t.Context(), "members", bijou.TopicFacts, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.position("ttl_1"); got.Seq != seq || next != committed {
				t.Errorf("%s: position %+v and %d facts committed, want that of fact %d, and %d", when, got, next, seq, committed)
			}
		}
		r.log.add(t, 0, at(bijou.FactPause, "ply_1", 1, 1_000, begin), at(bijou.FactPause, "ply_1", 2, 2_000, begin))
		time.Sleep(7*time.Second - time.Nanosecond) // 1 + 2 + 4 seconds of waiting, on the test's own clock
		check("before the store is back", 0, 0)
		time.Sleep(time.Nanosecond)
		check("when the store is back", 2, 2)

		// A store that worked in between is tried soon again: the waits do not go on from where they were.
		p.failNext(1)
		r.log.add(t, 0, at(bijou.FactPause, "ply_1", 3, 3_000, begin))
		time.Sleep(time.Second)
		check("a second after the next failure", 3, 3)
		if err := r.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := strings.Count(r.out.String(), "positions wait"); got != 4 {
			t.Errorf("%d failures logged, want 4:\n%s", got, r.out)
		}
	})
}

func TestTheWaitForALogThatIsAwayHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(1)
		l.failReads = 9
		r := startReader(t, l, newPositions())
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if err := r.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		var waits []time.Duration
		for i := 1; i < len(l.reads); i++ {
			waits = append(waits, l.reads[i].Sub(l.reads[i-1]))
		}
		want := []time.Duration{1, 2, 4, 8, 16, 30, 30, 30, 30}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(waits, want) {
			t.Errorf("the log was asked again after %v, want %v", waits, want)
		}
	})
}

func TestARestartGoesOnWhereTheRoomStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newLog(1), newPositions()
		first := startReader(t, l, p)
		l.add(t, 0, at(bijou.FactPause, "ply_1", 1, 1_000, begin))
		synctest.Wait()
		if err := first.stop(); err != nil {
			t.Fatalf("Run = %v", err)
		}
		l.add(t, 0, at(bijou.FactPause, "ply_1", 2, 2_000, begin)) // while nobody reads
		second := startReader(t, l, p)
		synctest.Wait()
		if err := second.stop(); err != nil {
			t.Fatalf("Run = %v", err)
		}
		if len(p.saves) != 2 || p.kept["ttl_1"].Seq != 2 {
			t.Errorf("saves %+v, want each fact once", p.saves)
		}
	})
}

func TestALogThatIsAwayAtTheStartIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newLog(1), newPositions()
		l.away = true
		r := startReader(t, l, p) // which waits until the room is ready
		l.add(t, 0, at(bijou.FactPause, "ply_1", 1, 1_000, begin))
		time.Sleep(10 * time.Second)
		l.mu.Lock()
		l.away = false
		l.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := r.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if p.kept["ttl_1"].Seq != 1 {
			t.Errorf("saves %+v, want the fact that came meanwhile", p.saves)
		}
	})
}
