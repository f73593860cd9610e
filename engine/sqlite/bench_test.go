package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bijou"
)

// The statements that every request and every fact of a player runs.
func BenchmarkSession(b *testing.B) {
	m := opened(b, OpenMembers, newFile(b))
	now := time.Now()
	for _, err := range []error{
		m.CreateAccount(b.Context(), bijou.Account{ID: "acc_1", Email: "ada@example.org", Created: now}, "hash"),
		m.OpenSession(b.Context(), bijou.MemberSession{TokenHash: "t", Account: "acc_1", Created: now, Expires: now.Add(time.Hour)}),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := m.Session(b.Context(), "t", now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSavePosition(b *testing.B) {
	m := opened(b, OpenMembers, newFile(b))
	for n := range 100 {
		p := bijou.Profile{ID: bijou.ProfileID(fmt.Sprintf("prf_%d", n)), Account: bijou.AccountID(fmt.Sprintf("acc_%d", n))}
		if err := m.CreateProfile(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	seq := int64(0)
	for b.Loop() {
		seq++
		p := bijou.Position{Profile: bijou.ProfileID(fmt.Sprintf("prf_%d", seq%100)), Title: "ttl_1", Session: "ply_1", Seq: seq, At: time.Now()}
		if err := m.SavePosition(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaseBehindMuchFinishedWork(b *testing.B) {
	s := opened(b, OpenStudio, newFile(b))
	var ws []bijou.Work
	for n := range 20_000 {
		ws = append(ws, bijou.Work{ID: bijou.JobID(fmt.Sprintf("job_%d", n)), Asset: "ast_1", Title: "ttl_1", Step: fmt.Sprint(n), Version: 1})
	}
	if err := s.Enqueue(b.Context(), ws); err != nil {
		b.Fatal(err)
	}
	if _, err := s.d.write.Exec(`UPDATE work SET state = 'done' WHERE seq < 20000`); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	for b.Loop() {
		now = now.Add(time.Hour)
		if _, err := s.Lease(b.Context(), "ada", time.Minute, now); err != nil {
			b.Fatal(err)
		}
	}
}

// What a viewer who types into the search field asks for, of a large library: words that no title has, so that all are looked at.
func BenchmarkSearchAmongTenThousandTitles(b *testing.B) {
	c := opened(b, OpenCatalog, newFile(b))
	now := time.Now()
	for n := range 10_000 {
		t := bijou.Title{
			ID: bijou.TitleID(fmt.Sprintf("ttl_%d", n)), Kind: bijou.Film, Name: fmt.Sprintf("Film number %d", n), State: bijou.Published, Added: now, Updated: now,
			Synopsis: strings.Repeat("Somebody does something somewhere. ", 15), Genres: []string{"Drama", "Comedy"}, Year: 1900 + n%120,
		}
		if err := c.PutTitle(b.Context(), t); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		page, err := c.Titles(b.Context(), bijou.TitleQuery{State: bijou.Published, Words: "nobody does", Limit: 100})
		if err != nil || len(page.Titles) != 0 {
			b.Fatal(page, err)
		}
	}
}
