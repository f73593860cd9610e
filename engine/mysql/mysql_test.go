package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bijou"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnAddressIsReadAsItIsWritten(t *testing.T) {
	for _, c := range []struct{ address, user, password, addr, database, tls string }{
		{"mysql://ada:secret@db.example.org:3307/bijou", "ada", "secret", "db.example.org:3307", "bijou", ""},
		{"mysql://ada:secret@db.example.org/bijou", "ada", "secret", "db.example.org:3306", "bijou", ""},
		{"mysql://ada@127.0.0.1/my-site_2", "ada", "", "127.0.0.1:3306", "my-site_2", ""},
		{"mysql://a%40b:p%40ss%2Fw%3Ard%3F@[2001:db8::1]:3306/b", "a@b", "p@ss/w:rd?", "[2001:db8::1]:3306", "b", ""},
		{"mysql://ada:secret@db/bijou?tls=true", "ada", "secret", "db:3306", "bijou", "true"},
		{"mysql://ada:secret@db/bijou?tls=false", "ada", "secret", "db:3306", "bijou", "false"},
	} {
		got, err := parse(c.address)
		if err != nil {
			t.Errorf("%s: got error %v", c.address, err)
			continue
		}
		if got.User != c.user || got.Passwd != c.password || got.Addr != c.addr || got.DBName != c.database || got.TLSConfig != c.tls {
			t.Errorf("%s: got user %q, password %q, server %q, database %q, tls %q", c.address, got.User, got.Passwd, got.Addr, got.DBName, got.TLSConfig)
		}
	}
}

func TestAnAddressThatNobodyCanReadIsInvalidAndItsPasswordNotRepeated(t *testing.T) {
	for _, address := range []string{
		"", "mysql", "mysql:", "mysql://", "mysql:ada:hunter2@db/bijou", "postgres://ada:hunter2@db/bijou", "mysql://ada:hunter2@db", "mysql://ada:hunter2@db/",
		"mysql://ada:hunter2@/bijou", "mysql://db/bijou", "mysql://:hunter2@db/bijou", "mysql://ada:hunter2@db/bijou/more", "mysql://ada:hunter2@db/bij;ou",
		"mysql://ada:hunter2@db/bijou?charset=latin1", "mysql://ada:hunter2@db/bijou?tls", "mysql://ada:hunter2@db/bijou?tls=maybe", "mysql://ada:hunter2@db/bijou?tls=true&tls=false",
		"mysql://ada:hunter2@db/bijou#part", "mysql://ada:hunter2%zz@db/bijou", "mysql://ada:hunter2/@db/bijou", "mysql://ada:hunter2@db:port/bijou", "mysql://ada:hunter2@db/bijou?%zz",
	} {
		_, err := Open(address)
		if bijou.KindOf(err) != bijou.Invalid {
			t.Errorf("%s: got %v, want it refused as invalid", address, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the refusal tells the password: %v", address, err)
		}
	}
}

func FuzzAnAddressIsReadOrRefusedWithoutItsPassword(f *testing.F) {
	f.Add("ada", "hunter22", "db.example.org:3306", "bijou", "tls=true")
	f.Add("ada", "p@ss/w:rd?", "[::1]", "b", "")
	f.Fuzz(func(t *testing.T, user, password, host, database, query string) {
		d, err := Open("mysql://" + user + ":" + password + "@" + host + "/" + database + "?" + query)
		if err == nil {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if bijou.KindOf(err) != bijou.Invalid {
			t.Errorf("got %v, want it invalid", err)
		}
		if len(password) > 7 && !strings.Contains(query, password) && !strings.Contains(example, password) && strings.Contains(err.Error(), password) {
			t.Errorf("the refusal tells the password: %v", err)
		}
	})
}

func FuzzAPlaceInAListIsReadAsWrittenOrInvalid(f *testing.F) {
	f.Add(cursor(1, bijou.TitleID("ttl_1")))
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		at, id, err := parseCursor(text, bijou.TitlePrefix)
		if err != nil {
			if bijou.KindOf(err) != bijou.Invalid {
				t.Errorf("%q: got %v, want it invalid", text, err)
			}
			return
		}
		again, same, err := parseCursor(cursor(at, bijou.TitleID(id)), bijou.TitlePrefix)
		if err != nil || again != at || same != id {
			t.Errorf("%q: got %d %s, and of its own text %d %s (%v)", text, at, id, again, same, err)
		}
	})
}

func FuzzAVersionOfAServerIsReadOrTooOld(f *testing.F) {
	f.Add("8.0.33")
	f.Add("10.11.19-MariaDB-0+deb12u1")
	f.Fuzz(func(t *testing.T, text string) {
		if v := parseVersion(text); v.major <= 0 && !v.tooOld() {
			t.Errorf("%q is read as %s, and not too old", text, v)
		}
	})
}

func TestServersThatAreTooOldAreKnown(t *testing.T) {
	for text, want := range map[string]struct {
		name   string
		tooOld bool
	}{
		"8.0.33":                     {"MySQL 8.0.33", false},
		"8.0.11-log":                 {"MySQL 8.0.11", false},
		"8.4.6":                      {"MySQL 8.4.6", false},
		"9.1.0-commercial":           {"MySQL 9.1.0", false},
		"5.7.44":                     {"MySQL 5.7.44", true},
		"8.0.4-rc":                   {"MySQL 8.0.4", true},
		"10.11.19-MariaDB-0+deb12u1": {"MariaDB 10.11.19", false},
		"5.5.5-10.6.1-MariaDB":       {"MariaDB 10.6.1", false},
		"10.5.29-MariaDB":            {"MariaDB 10.5.29", true},
		"something":                  {"MySQL 0.0.0", true},
	} {
		if v := parseVersion(text); v.String() != want.name || v.tooOld() != want.tooOld {
			t.Errorf("%s: got %s, too old %v, want %+v", text, v, v.tooOld(), want)
		}
	}
}

func TestAServersErrorsHaveKindsAndThoseThatPassAreTriedAgain(t *testing.T) {
	d := newDatabase(t, "127.0.0.1:1")
	for _, c := range []struct {
		err    error
		kind   bijou.Kind
		passes bool
	}{
		{&mysql.MySQLError{Number: 1213, Message: "Deadlock found"}, bijou.Unavailable, true},
		{&mysql.MySQLError{Number: 1205, Message: "Lock wait timeout exceeded"}, bijou.Unavailable, true},
		{&mysql.MySQLError{Number: 1040, Message: "Too many connections"}, bijou.Unavailable, true},
		{&mysql.MySQLError{Number: 1053, Message: "Server shutdown in progress"}, bijou.Unavailable, true},
		{&mysql.MySQLError{Number: 1290, Message: "The MySQL server is running with the --read-only option"}, bijou.Unavailable, true},
		{&mysql.MySQLError{Number: 1045, Message: "Access denied for user"}, bijou.Denied, false},
		{&mysql.MySQLError{Number: 1142, Message: "INSERT command denied"}, bijou.Denied, false},
		{&mysql.MySQLError{Number: 1049, Message: "Unknown database"}, bijou.Unavailable, false},
		{&mysql.MySQLError{Number: 1062, Message: "Duplicate entry"}, bijou.Conflict, false},
		{&mysql.MySQLError{Number: 1114, Message: "The table is full"}, bijou.Exhausted, false},
		{&mysql.MySQLError{Number: 1026, Message: `Error writing file 'binlog' (errno: 28 - No space left on device)`}, bijou.Exhausted, false},
		{&mysql.MySQLError{Number: 1030, Message: `Got error 28 from storage engine`}, bijou.Exhausted, false},
		{&mysql.MySQLError{Number: 1406, Message: "Data too long for column"}, bijou.Invalid, false},
		{&mysql.MySQLError{Number: 1034, Message: "Incorrect key file"}, bijou.Corrupt, false},
		{&mysql.MySQLError{Number: 1064, Message: "You have an error in your SQL syntax"}, bijou.Unavailable, false},
		{driver.ErrBadConn, bijou.Unavailable, true},
		{mysql.ErrInvalidConn, bijou.Unavailable, true},
		{io.ErrUnexpectedEOF, bijou.Unavailable, true},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, bijou.Unavailable, true},
		{context.DeadlineExceeded, bijou.Unavailable, true},
	} {
		err := d.failure("do it", fmt.Errorf("meanwhile: %w", c.err))
		if bijou.KindOf(err) != c.kind || errors.As(err, new(passing)) != c.passes || bijou.Sentence(err) == err.Error() {
			t.Errorf("%v: got %q, want kind %q, passing %v", c.err, err, c.kind, c.passes)
		}
	}
	for _, err := range []error{nil, context.Canceled, sql.ErrNoRows, fmt.Errorf("no account: %w", bijou.NotFound)} {
		if got := d.failure("do it", err); got != err {
			t.Errorf("%v: got %v, want it as it was", err, got)
		}
	}
}

func newDatabase(t *testing.T, server string) *Database {
	t.Helper()
	d, err := Open("mysql://ada:hunter2@" + server + "/bijou")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestAServerThatIsAwayIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	d := newDatabase(t, server)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, account := d.Members().Account(ctx, "acc_1")
	_, version := d.Version(ctx)
	for what, err := range map[string]error{"account": account, "version": version, "check": d.Check(t.Context())} {
		if bijou.KindOf(err) != bijou.Unavailable || !strings.Contains(err.Error(), "bijou at "+server) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want it unavailable, with the server named and the password not", what, err)
		}
	}
}

// calls makes one call, of which each try ends in the failure, and returns how many tries it made and how long it took.
func calls(ctx context.Context, d *Database, failure error) (tries int, took time.Duration, err error) {
	begin := time.Now()
	err = d.call(ctx, "call", func(context.Context) error { tries++; return failure })
	return tries, time.Since(begin), err
}

func TestACallWaitsForAServerThatIsAwayUntilThatHasLastedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase(t, "127.0.0.1:1")
		away := func(ctx context.Context, least, most int) {
			t.Helper()
			tries, took, err := calls(ctx, d, mysql.ErrInvalidConn)
			if bijou.KindOf(err) != bijou.Unavailable || tries < least || tries > most || took > callTime {
				t.Errorf("got %v after %d tries and %s, want unavailable after %d to %d within %s", err, tries, took, least, most, callTime)
			}
		}
		soon, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		away(soon, 4, 20)
		away(t.Context(), 20, 60) // that somebody had no time does not cost the next one's
		time.Sleep(time.Minute)
		away(t.Context(), 1, 1)
		if tries, _, err := calls(t.Context(), d, nil); err != nil || tries != 1 {
			t.Errorf("the server is back: got %v after %d tries", err, tries)
		}
		away(t.Context(), 20, 60)
	})
}

func TestADeadlockIsTriedAgainAndTheCallerMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase(t, "127.0.0.1:1")
		if tries, took, err := calls(t.Context(), d, &mysql.MySQLError{Number: 1213}); bijou.KindOf(err) != bijou.Unavailable || tries < 20 || took > callTime {
			t.Errorf("deadlocks for ever: got %v after %d tries and %s", err, tries, took)
		}
		if tries, _, err := calls(t.Context(), d, &mysql.MySQLError{Number: 1045}); bijou.KindOf(err) != bijou.Denied || tries != 1 {
			t.Errorf("a wrong password: got %v after %d tries, want denied after 1", err, tries)
		}
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if _, took, err := calls(ctx, d, mysql.ErrInvalidConn); took != time.Second || err == nil {
			t.Errorf("a caller who left after a second: got %v after %s", err, took)
		}
	})
}

func TestASearchIsUTF8WhateverIsSearchedFor(t *testing.T) {
	for in, want := range map[string]string{"Amélie": "amelie", "STRASSE": "strasse", "straße": "strasse", "ﬁlm": "film", "a\xffb": "a\uFFFDb"} {
		if got := fold(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
