package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/test/engines"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

func TestWhatTheDriverMeetsHasAKindAndNoPassword(t *testing.T) {
	s, err := Open("cassandra://bob:s3cret@one/bijou")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		err  error
		want bijou.Kind
	}{
		{errors.New("gocql: unable to create session: Provided username bob and/or password are incorrect"), bijou.Denied},
		{errors.New("gocql: unable to create session: unsupported protocol version"), bijou.Unsupported},
		{gocql.ErrNoConnections, bijou.Unavailable},
		{gocql.ErrTimeoutNoResponse, bijou.Unavailable},
		{context.DeadlineExceeded, bijou.Unavailable},
		{fmt.Errorf("no such title: %w", bijou.NotFound), bijou.NotFound},
	} {
		got := s.failure(context.Background(), "find position", c.err)
		if bijou.KindOf(got) != c.want || bijou.Sentence(got) == got.Error() || strings.Contains(got.Error(), "s3cret") {
			t.Errorf("%v: got %v, want a sentence of kind %q without the password", c.err, got, c.want)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if got := s.failure(gone, "find position", context.Canceled); got != context.Canceled {
		t.Errorf("a caller who left: got %v, want %v", got, context.Canceled)
	}
}

func TestAClusterThatIsAwayIsUnavailableAndAClosedStoreTakesNothing(t *testing.T) {
	port := engines.FreePort(t, "127.0.0.1")
	s, err := Open(fmt.Sprintf("cassandra://bob:s3cret@127.0.0.1:%d/bijou", port))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	calls := map[string]func() error{
		"check":         func() error { return s.Check(ctx) },
		"version":       func() error { _, err := s.Version(ctx); return err },
		"save position": func() error { return s.SavePosition(ctx, bijou.Position{}) },
	}
	check := func(what string, err error) {
		if !errors.Is(err, bijou.Unavailable) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: got error %v, want one of kind unavailable that names the host and no password", what, err)
		}
	}
	for what, call := range calls {
		check(what, call())
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	check("check of a closed store", s.Check(ctx))
}

func TestTheSchemaIsAdditive(t *testing.T) {
	all, err := steps()
	if err != nil || len(all) == 0 {
		t.Fatalf("steps: got %d, %v", len(all), err)
	}
	for version, statements := range all {
		if len(statements) == 0 {
			t.Errorf("version %d has no statement", version+1)
		}
		for _, statement := range statements {
			if !strings.Contains(statement, "CREATE TABLE IF NOT EXISTS $.") && !strings.Contains(statement, " ADD IF NOT EXISTS ") {
				t.Errorf("version %d: %s\nwant what can be done twice and takes nothing away", version+1, statement)
			}
			if strings.Contains(statement, "CREATE TABLE") && (tableName.FindString(statement) == "" || !strings.Contains(statement, "ID = @id")) {
				t.Errorf("version %d: %s\nwant a table with an identifier that does not depend on who makes it", version+1, statement)
			}
			if !strings.Contains(statement, "-- Bound: ") {
				t.Errorf("version %d: %s\nwant a comment that says how large a partition becomes", version+1, statement)
			}
		}
	}
}

func TestATableHasOneIdentifierWhoeverMakesIt(t *testing.T) {
	seen := map[string]bool{}
	for _, of := range [][2]string{{"bijou", "lists"}, {"bijou", "owners"}, {"other", "lists"}, {"bijou", "lists"}} {
		id := tableID(of[0], of[1])
		if _, err := gocql.ParseUUID(id); err != nil {
			t.Error(err)
		}
		seen[id] = true
	}
	if len(seen) != 3 {
		t.Errorf("three tables have the identifiers %v", seen)
	}
}
