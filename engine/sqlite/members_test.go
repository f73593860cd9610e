package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"bijou"
	"bijou/test/contract"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

// firstMembers makes a file as the first version of the schema had it.
func firstMembers(t *testing.T) string {
	t.Helper()
	first, err := migrations.ReadFile("migrations/members/0001_members.sql")
	check(t, "read", err)
	d := &db{path: newFile(t), prepared: map[statement]*sql.Stmt{}}
	check(t, "connect", d.connect(""))
	p, err := goose.NewProvider(goose.DialectSQLite3, d.write, fstest.MapFS{"0001_members.sql": {Data: first}})
	check(t, "goose", err)
	_, err = p.Up(t.Context())
	check(t, "up", err)
	at := micros(noon)
	for _, statement := range []string{
		`INSERT INTO accounts VALUES ('acc_1', 'ada@example.org', 'hash', ?)`,
		`INSERT INTO sessions VALUES ('token', 'acc_1', 'prf_1', ?, 9000000000000000)`,
		`INSERT INTO sessions VALUES ('other', 'acc_1', 'prf_1', ?, 9000000000000000)`,
		`INSERT INTO profiles VALUES ('prf_1', 'acc_1', 'ada', 0, ?)`,
		`INSERT INTO positions VALUES ('prf_1', 'ttl_1', 42000, 100000, 'ply_1', 3, ?)`,
	} {
		_, err := d.write.Exec(statement, at)
		check(t, statement, err)
	}
	check(t, "close", d.close())
	return d.path
}

func TestAFileOfTheFirstVersionOpensWithAllThatItHolds(t *testing.T) {
	path := firstMembers(t)
	m := opened(t, OpenMembers, path)
	a, hash, err := m.Credentials(t.Context(), "ada@example.org")
	if want := (bijou.Account{ID: "acc_1", Email: "ada@example.org", Created: noon}); err != nil || a != want || hash != "hash" {
		t.Errorf("account: got %+v, %q, %v; want %+v", a, hash, err, want)
	}
	all, err := m.Sessions(t.Context(), "acc_1", noon)
	if err != nil || len(all) != 2 || all[0].ID == all[1].ID {
		t.Fatalf("sessions: got %+v, %v; want two of different names", all, err)
	}
	s, err := m.Session(t.Context(), "token", noon)
	check(t, "session", err)
	want := bijou.MemberSession{
		ID: s.ID, Account: "acc_1", Profile: "prf_1", Created: noon, Seen: noon, Issued: noon, Expires: fromMicros(9000000000000000), TokenHash: "token",
	}
	if diff := cmp.Diff(want, s); diff != "" || bijou.CheckID(s.ID, bijou.SignInPrefix) != nil {
		t.Errorf("session %s (-want +got):\n%s", s.ID, diff)
	}
	if p, err := m.Position(t.Context(), "prf_1", "ttl_1"); err != nil || p.PositionMS != 42000 {
		t.Errorf("position: got %+v, %v", p, err)
	}
	check(t, "list a title", m.AddToList(t.Context(), bijou.ListEntry{Profile: "prf_1", Title: "ttl_1", Added: noon}))
	if pin, err := m.PIN(t.Context(), "acc_1"); err != nil || pin != "" {
		t.Errorf("PIN: got %q, %v; want none", pin, err)
	}
	x := bijou.Identity{Issuer: "https://id.example.org", Subject: "4711"}
	check(t, "connect", m.Connect(t.Context(), "acc_1", x))
	if got, err := m.Identified(t.Context(), x); err != nil || got != a {
		t.Errorf("identified: got %+v, %v; want %+v", got, err, a)
	}
	check(t, "open another session", m.OpenSession(t.Context(), bijou.MemberSession{ID: "sgn_new", TokenHash: "new", Account: "acc_1", Created: noon, Expires: noon.Add(time.Hour)}))
}

// member is the n-th member of the kill test, and all that belongs to them.
type member struct {
	account bijou.Account
	session bijou.MemberSession
	profile bijou.Profile
	entry   bijou.ListEntry
	wish    bijou.ResetRequest
	// By which the member signs on, and another who has no password.
	identity, others bijou.Identity
	other            bijou.Account
	reset            bijou.Reset
}

func memberNo(n int) member {
	a := bijou.Account{ID: bijou.AccountID(fmt.Sprintf("acc_%d", n)), Email: fmt.Sprintf("viewer%d@example.org", n), Created: noon}
	p := bijou.Profile{ID: bijou.ProfileID(fmt.Sprintf("prf_%d", n)), Account: a.ID, Name: "Ada", Created: noon}
	return member{
		account: a, profile: p, entry: bijou.ListEntry{Profile: p.ID, Title: "ttl_1", Added: noon}, wish: bijou.ResetRequest{Email: a.Email, Asked: noon, Next: noon},
		session:  bijou.MemberSession{ID: bijou.SignInID(fmt.Sprintf("sgn_%d", n)), TokenHash: fmt.Sprintf("token-%d", n), Account: a.ID, Profile: p.ID, Created: noon, Expires: noon.Add(time.Hour)},
		identity: bijou.Identity{Issuer: "https://id.example.org", Subject: fmt.Sprint(n)}, others: bijou.Identity{Issuer: "https://id.example.org", Subject: fmt.Sprintf("other-%d", n)},
		other: bijou.Account{ID: bijou.AccountID(fmt.Sprintf("acc_other%d", n)), Email: fmt.Sprintf("other%d@example.org", n), Created: noon},
		reset: bijou.Reset{TokenHash: fmt.Sprintf("link-%d", n), Account: a.ID, Expires: noon.Add(time.Hour)},
	}
}

func TestWhatAMemberDidOutlivesAKill(t *testing.T) {
	contract.Kill(t, 4, func(t *testing.T, dir string, ack func(string)) {
		m := opened(t, OpenMembers, filepath.Join(dir, "members.db"))
		for n := 0; ; n++ {
			who := memberNo(n)
			if _, err := m.Session(t.Context(), who.session.TokenHash+"-new", noon); err == nil {
				continue
			}
			if err := m.CreateAccount(t.Context(), who.account, "old hash"); err != nil && !errors.Is(err, bijou.Conflict) {
				t.Fatal(err)
			}
			if err := m.CreateProfile(t.Context(), who.profile); err != nil && !errors.Is(err, bijou.Conflict) {
				t.Fatal(err)
			}
			check(t, "list", m.AddToList(t.Context(), who.entry))
			check(t, "connect", m.Connect(t.Context(), who.account.ID, who.identity))
			if err := m.CreateIdentified(t.Context(), who.other, who.others); err != nil && !errors.Is(err, bijou.Conflict) {
				t.Fatal(err)
			}
			check(t, "set password", m.SetPassword(t.Context(), who.account.ID, "new hash", ""))
			check(t, "set PIN", m.SetPIN(t.Context(), who.account.ID, "PIN"))
			check(t, "request reset", m.RequestReset(t.Context(), who.wish))
			check(t, "put reset", m.PutReset(t.Context(), who.reset))
			check(t, "open session", m.OpenSession(t.Context(), who.session))
			check(t, "rotate session", m.RotateSession(t.Context(), who.session.TokenHash, who.session.TokenHash+"-new", noon, noon))
			ack(fmt.Sprint(n))
		}
	}, func(t *testing.T, dir string, acked []string) {
		m := opened(t, OpenMembers, filepath.Join(dir, "members.db"))
		defer m.Close()
		for _, n := range contract.Numbered(t, acked) {
			who := memberNo(n)
			_, hash, err := m.Credentials(t.Context(), who.account.Email)
			profiles, profilesErr := m.Profiles(t.Context(), who.account.ID)
			list, listErr := m.List(t.Context(), who.profile.ID, "", 10)
			pin, pinErr := m.PIN(t.Context(), who.account.ID)
			reset, resetErr := m.Reset(t.Context(), who.reset.TokenHash, noon)
			session, sessionErr := m.Session(t.Context(), who.session.TokenHash+"-new", noon)
			identified, identifiedErr := m.Identified(t.Context(), who.identity)
			other, otherErr := m.Identified(t.Context(), who.others)
			if err := errors.Join(identifiedErr, otherErr); err != nil || identified != who.account || other != who.other {
				t.Errorf("member %d: identities of %+v and %+v (%v)", n, identified, other, err)
			}
			if err := errors.Join(err, profilesErr, listErr, pinErr, resetErr, sessionErr); err != nil || hash != "new hash" || len(profiles) != 1 ||
				len(list.Entries) != 1 || pin != "PIN" || reset != who.account || session.ID != who.session.ID {
				t.Errorf("member %d: hash %q, profiles %+v, list %+v, PIN %q, reset of %+v, session %+v (%v)", n, hash, profiles, list, pin, reset, session, err)
			}
		}
	})
}
