//go:build engines

package mysql_test

import (
	"database/sql"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/mysql"
	"bijou/test/engines"

	driver "github.com/go-sql-driver/mysql"
)

// raw opens the database at the address beside the engine.
func raw(t *testing.T, address string) *sql.DB {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := driver.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	c.Passwd, _ = u.User.Password()
	link, err := driver.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(link)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func execute(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func wantKind(t *testing.T, what string, err error, want bijou.Kind) {
	t.Helper()
	if bijou.KindOf(err) != want || err != nil && strings.Contains(err.Error(), "p@ss") {
		t.Errorf("%s: got %v, want kind %q and no password", what, err, want)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func schemasMade(t *testing.T, s *engines.Server) {
	address := fresh(t, s, "")
	var all sync.WaitGroup
	for range 6 { // as six processes that start at once
		d := opened(t, address)
		d.Studio()
		all.Go(func() {
			if err := d.Check(t.Context()); err != nil {
				t.Errorf("check: %v", err)
			}
			if _, err := d.Members().Account(t.Context(), "acc_1"); bijou.KindOf(err) != bijou.NotFound {
				t.Errorf("account: got %v, want not found", err)
			}
		})
	}
	all.Wait()
	db := raw(t, address)
	var versions, tables int
	must(t, "versions", db.QueryRow(`SELECT (SELECT COUNT(*) FROM bijou_members_version WHERE version_id = 1) + (SELECT COUNT(*) FROM bijou_studio_version WHERE version_id = 1)`).Scan(&versions))
	must(t, "tables", db.QueryRow(`SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ('titles', 'operators', 'wanted')`).Scan(&tables))
	if versions != 2 || tables != 0 {
		t.Errorf("two schemas, six processes: got %d migrations run and %d tables of other schemas, want 2 and none", versions, tables)
	}
}

func newerSchema(t *testing.T, s *engines.Server) {
	address := fresh(t, s, "")
	must(t, "create account", opened(t, address).Members().CreateAccount(t.Context(), account(1), "hash"))
	db := raw(t, address)
	for version, want := range map[string]bijou.Kind{"2": "", "3": bijou.Unsupported} {
		execute(t, db, `INSERT INTO bijou_members_version (version_id, is_applied) VALUES (`+version+`, TRUE)`)
		d := opened(t, address)
		_, err := d.Members().Account(t.Context(), account(1).ID)
		wantKind(t, "account in a schema of version "+version, err, want)
		wantKind(t, "check of a schema of version "+version, d.Check(t.Context()), want)
		execute(t, db, `DELETE FROM bijou_members_version WHERE version_id = `+version)
	}
}

func cutMigration(t *testing.T, s *engines.Server) {
	address := fresh(t, s, "")
	d := opened(t, address)
	d.Members()
	must(t, "check", d.Check(t.Context()))
	db := raw(t, address) // as if the process had died before the last table was made
	execute(t, db, `DROP TABLE positions`)
	execute(t, db, `DELETE FROM bijou_members_version WHERE version_id = 1`)
	m := opened(t, address).Members()
	must(t, "create profile", m.CreateProfile(t.Context(), bijou.Profile{ID: "prf_1", Account: "acc_1", Name: "Ada", Created: noon}))
	must(t, "save position", m.SavePosition(t.Context(), bijou.Position{Profile: "prf_1", Title: "ttl_1", Session: "ply_1", Seq: 1, At: noon}))
	_, err := m.Position(t.Context(), "prf_1", "ttl_1")
	must(t, "position", err)
}

func checkSays(t *testing.T, s *engines.Server) {
	address := fresh(t, s, "")
	d := opened(t, address)
	d.Steering()
	must(t, "check", d.Check(t.Context()))
	if v, err := d.Version(t.Context()); err != nil || !strings.Contains(v, "SQL 8.") && !strings.Contains(v, "MariaDB 10.") {
		t.Errorf("version: got %q, %v", v, err)
	}
	check := func(what, address string, want bijou.Kind) {
		t.Helper()
		d, err := mysql.Open(address)
		must(t, "open", err)
		defer d.Close()
		wantKind(t, what, d.Check(t.Context()), want)
	}
	check("a wrong password", strings.Replace(address, "p%40ss", "p%40ssw0rd", 1), bijou.Denied)
	check("an unknown database", address+"_none", bijou.Unavailable)
	check("TLS that the server does not have, or whose certificate nobody signed", address+"?tls=true", bijou.Unavailable)
	db := raw(t, address)
	execute(t, db, `SET GLOBAL read_only = ON`)
	check("a server that takes no changes", address, bijou.Unavailable)
	execute(t, db, `SET GLOBAL read_only = OFF`)
	check("the same again", address, "")
}

func exactly(t *testing.T, s *engines.Server) {
	m := opened(t, fresh(t, s, "")).Members()
	issuer := "https://id.example.org"
	for n, subject := range []string{"ada", "Ada", "ada ", "adä", "ada\x00"} {
		must(t, "create identified", m.CreateIdentified(t.Context(), account(n), bijou.Identity{Issuer: issuer, Subject: subject}))
	}
	for n, subject := range []string{"ada", "Ada", "ada ", "adä", "ada\x00"} {
		if a, err := m.Identified(t.Context(), bijou.Identity{Issuer: issuer, Subject: subject}); err != nil || a.ID != account(n).ID {
			t.Errorf("subject %q: got %s, %v, want %s", subject, a.ID, err, account(n).ID)
		}
	}
	long := account(9)
	long.Email = strings.Repeat("a", 400) + "@example.org"
	wantKind(t, "an address that does not fit", m.CreateAccount(t.Context(), long, ""), bijou.Invalid)
	_, _, err := m.Credentials(t.Context(), "\xff@example.org")
	if k := bijou.KindOf(err); k != bijou.NotFound && k != bijou.Invalid {
		t.Errorf("an address that is not UTF-8: got %v, want it not found or invalid", err)
	}
	at := time.Date(2031, time.March, 30, 1, 30, 0, 123456000, time.FixedZone("", 7200))
	a := bijou.Account{ID: "acc_time", Email: "time@example.org", Created: at}
	must(t, "create account", m.CreateAccount(t.Context(), a, ""))
	if got, err := m.Account(t.Context(), a.ID); err != nil || !got.Created.Equal(at) || got.Created.Location() != time.UTC {
		t.Errorf("a time: got %v, %v, want %v in UTC", got.Created, err, at)
	}
}
