//go:build engines

package cassandra

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
	"bijou/test/engines"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// TestCassandra runs against three nodes that keep three copies.
func TestCassandra(t *testing.T) {
	c := engines.StartCassandra(t, t.TempDir(), 3)
	t.Run("ProfileStore", func(t *testing.T) {
		contract.ProfileStore(t, func(t *testing.T) bijou.ProfileStore { return emptied(t, c, "contract") })
	})
	t.Run("ListStore", func(t *testing.T) {
		contract.ListStore(t, func(t *testing.T) contract.ListKeeper { return emptied(t, c, "contract") })
	})
	t.Run("PositionStore", func(t *testing.T) {
		contract.PositionStore(t, func(t *testing.T) contract.PositionKeeper { return emptied(t, c, "contract") })
	})
	t.Run("ADeletionThatStoppedHalfWayIsTakenUp", func(t *testing.T) { deletionTakenUp(t, emptied(t, c, "contract")) })
	t.Run("PositionsAreFoundOverYearsAndPages", func(t *testing.T) { positionsOverYears(t, emptied(t, c, "contract")) })
	t.Run("SeveralThatStartAtOnceMakeOneSchemaAndCheckSaysWhatIsWrong", func(t *testing.T) { schemas(t, c) })
	t.Run("PositionsNeverGoBackThoughANodeIsKilledOrPaused", func(t *testing.T) { positionHistory(t, c) })
	t.Run("UnderFaults", func(t *testing.T) { faults(t, c) })
}

// opened opens a store, and closes it with the test.
func opened(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(address)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// checked waits for the schema: on a machine that has much else to do it takes longer to make than one call has.
func checked(t *testing.T, s *Store) {
	t.Helper()
	engines.Until(t, "the schema is there", time.Minute, func() error { return s.Check(t.Context()) })
}

// emptied returns a store of the keyspace that holds nothing. The schema of a keyspace takes seconds to make, and its tables a moment to empty.
func emptied(t *testing.T, c *engines.Cassandra, keyspace string) *Store {
	t.Helper()
	s := opened(t, c.Address(keyspace))
	checked(t, s)
	patient := s.cluster()
	patient.Timeout = time.Minute
	db, err := gocql.NewSession(*patient)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"profiles", "owners", "lists", "positions", "days", "months"} {
		if err := db.Query(s.named("TRUNCATE $." + table)).ExecContext(t.Context()); err != nil {
			t.Fatalf("empty %s: %v", table, err)
		}
	}
	return s
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: got error %q, want none", what, err)
	}
}

func wantKind(t *testing.T, what string, err error, kind bijou.Kind, says string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: got error %v, want one of kind %q that says %q", what, err, kind, says)
	}
}

func someProfile(id, account string) bijou.Profile {
	return bijou.Profile{ID: bijou.ProfileID(id), Account: bijou.AccountID(account), Name: id, Created: time.UnixMicro(1_900_000_000_000_000).UTC()}
}

// deletionTakenUp does the first step of a deletion, as a program that ends there does.
func deletionTakenUp(t *testing.T, s *Store) {
	for _, id := range []string{"prf_1", "prf_2", "prf_3"} {
		must(t, "create profile", s.CreateProfile(t.Context(), someProfile(id, "acc_1")))
		must(t, "add to list", s.AddToList(t.Context(), bijou.ListEntry{Profile: bijou.ProfileID(id), Title: "ttl_1", Added: time.UnixMicro(1)}))
		must(t, "save position", s.SavePosition(t.Context(), bijou.Position{Profile: bijou.ProfileID(id), Title: "ttl_1", Session: "ply_1", Seq: 1, At: time.UnixMicro(1)}))
	}
	must(t, "begin to delete", s.alter(t.Context(), "test", "acc_1", func(household) ([]statement, error) {
		return []statement{leave("acc_1", "prf_1")}, nil
	}))
	profiles, err := s.Profiles(t.Context(), "acc_1")
	must(t, "profiles", err)
	if len(profiles) != 2 {
		t.Errorf("got %d profiles while one leaves, want 2", len(profiles))
	}
	wantKind(t, "add to the list of one that leaves", s.AddToList(t.Context(), bijou.ListEntry{Profile: "prf_1", Title: "ttl_2", Added: time.UnixMicro(1)}), bijou.NotFound, "prf_1")
	wantKind(t, "delete it again", s.DeleteProfile(t.Context(), "acc_1", "prf_1"), bijou.NotFound, "prf_1")
	_, err = s.Position(t.Context(), "prf_1", "ttl_1")
	wantKind(t, "position after that", err, bijou.NotFound, "prf_1")
	page, err := s.List(t.Context(), "prf_1", "", 10)
	must(t, "list", err)
	if len(page.Entries) != 0 {
		t.Errorf("list after that: got %+v, want none", page.Entries)
	}
	wantKind(t, "create one of the same name elsewhere", s.CreateProfile(t.Context(), someProfile("prf_1", "acc_2")), bijou.Conflict, "taken")
	if _, err := s.Position(t.Context(), "prf_2", "ttl_1"); err != nil {
		t.Errorf("another's position: %v", err)
	}
}

// positionsOverYears saves positions of many titles on many days, some again on a later day, and asks for the latest.
func positionsOverYears(t *testing.T, s *Store) {
	must(t, "create profile", s.CreateProfile(t.Context(), someProfile("prf_1", "acc_1")))
	begin := time.Date(2029, time.November, 28, 22, 0, 0, 0, time.UTC)
	const titles = 150
	last := map[bijou.TitleID]time.Time{}
	for n := range 2 * titles {
		title := bijou.TitleID("ttl_" + string(rune('a'+n%titles/26)) + string(rune('a'+n%titles%26)))
		if n >= titles && n%3 > 0 {
			continue // seen once
		}
		at := begin.Add(time.Duration(n) * 5 * time.Hour)
		last[title] = at
		must(t, "save position", s.SavePosition(t.Context(), bijou.Position{Profile: "prf_1", Title: title, Session: bijou.SessionID("ply_" + at.Format("20060102150405")), Seq: 1, At: at}))
	}
	all, err := s.Positions(t.Context(), "prf_1", 10*titles)
	must(t, "positions", err)
	if len(all) != titles {
		t.Fatalf("got %d positions, want %d", len(all), titles)
	}
	for i, p := range all {
		if !p.At.Equal(last[p.Title]) || i > 0 && p.At.After(all[i-1].At) {
			t.Errorf("position %d: got %+v, want it of %s and not later than the one before", i, p, last[p.Title])
		}
	}
	for _, limit := range []int{1, 7, 60, titles - 1} {
		some, err := s.Positions(t.Context(), "prf_1", limit)
		must(t, "positions", err)
		for i := range limit {
			if len(some) != limit || some[i] != all[i] {
				t.Fatalf("at most %d positions: got %d that differ from place %d on", limit, len(some), i)
			}
		}
	}
}

func schemas(t *testing.T, c *engines.Cassandra) {
	var all sync.WaitGroup
	for range 4 {
		s := opened(t, c.Address("started"))
		all.Go(func() { checked(t, s) })
	}
	all.Wait()
	s := opened(t, c.Address("started"))
	must(t, "create profile", s.CreateProfile(t.Context(), someProfile("prf_1", "acc_1")))
	version, err := s.Version(t.Context())
	must(t, "version", err)
	if !strings.HasPrefix(version, "Cassandra 5.0.") {
		t.Errorf("version: got %q, want Cassandra 5.0", version)
	}
	address := c.Address("started")
	for setting, want := range map[string]struct {
		kind bijou.Kind
		says string
	}{
		"rf=2":          {bijou.Invalid, "write rf=3"},
		"rf=3&dc=oslo":  {bijou.Invalid, "write dc=datacenter1"},
		"rf=3&tls=true": {bijou.Unavailable, "does not answer"}, // the nodes speak no TLS
	} {
		wantKind(t, "check with "+setting, opened(t, strings.Replace(address, "rf=3", setting, 1)).Check(t.Context()), want.kind, want.says)
	}
	wantKind(t, "more copies than nodes", opened(t, strings.Replace(c.Address("wide"), "rf=3", "rf=5", 1)).Check(t.Context()), bijou.Unavailable, "has 3 nodes")
	wantKind(t, "a new keyspace where there are no nodes", opened(t, c.Address("wide")+"&dc=oslo").Check(t.Context()), bijou.Invalid, "write dc=datacenter1")

	db, err := s.session(t.Context())
	must(t, "session", err)
	var holder *gocql.UUID
	must(t, "who holds the lock", s.ask(db, "SELECT holder FROM $.schema_versions WHERE name = ? LIMIT 1", schemaName).ScanContext(t.Context(), &holder))
	if holder != nil {
		t.Errorf("%s holds the lock of the schema that is made, want nobody", holder)
	}
	must(t, "note a version to come", s.change(t.Context(), db, "INSERT INTO $.schema_versions (name, version) VALUES (?, 999)", schemaName))
	wantKind(t, "check of a newer schema", opened(t, address).Check(t.Context()), bijou.Unsupported, "version 999")
	_, err = opened(t, address).Profiles(t.Context(), "acc_1")
	wantKind(t, "profiles of a newer schema", err, bijou.Unsupported, "version 999")
}
