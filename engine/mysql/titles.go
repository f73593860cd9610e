package mysql

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"bijou"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Catalog implements bijou.TitleStore.
type Catalog struct{ s *schema }

// Catalog returns the store of titles.
func (d *Database) Catalog() *Catalog { return &Catalog{d.schema("catalog")} }

// wordsOf returns what a search for a title looks into. A season is found by its series.
func wordsOf(t bijou.Title) string {
	if t.Kind == bijou.Season {
		return ""
	}
	parts := append([]string{t.Name, t.Synopsis, t.Credit}, t.Genres...)
	if t.Year > 0 {
		parts = append(parts, strconv.Itoa(t.Year))
	}
	return fold(strings.Join(parts, "\n"))
}

// fold returns the text without what people leave out when they search: case, accents and forms of the same letter. It is UTF-8 whatever it
// is made of.
func fold(text string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(r)
		}
	}
	return cases.Fold().String(b.String())
}

// PutTitle implements bijou.TitleStore.
func (c *Catalog) PutTitle(ctx context.Context, v bijou.Title) error {
	if err := v.Check(); err != nil {
		return err
	}
	document, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("title %s: %w", v.ID, err)
	}
	return c.s.tx(ctx, "keep title", func(t *tx) error {
		if v.Parent != "" { // which stays meanwhile
			err := t.find(fmt.Errorf("title %q: there is no parent %s: %w", v.Name, v.Parent, bijou.NotFound), `SELECT 1 FROM titles WHERE id = ? LOCK IN SHARE MODE`, v.Parent)
			if err != nil {
				return err
			}
		}
		_, err := t.exec(`INSERT INTO titles (id, parent, state, added_us, document) VALUES (?, ?, ?, ?, ?)
			ON DUPLICATE KEY UPDATE parent = VALUES(parent), state = VALUES(state), added_us = VALUES(added_us), document = VALUES(document)`,
			v.ID, v.Parent, v.State, micros(v.Added), string(document))
		if err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO words (title, words) VALUES (?, ?) ON DUPLICATE KEY UPDATE words = VALUES(words)`, v.ID, wordsOf(v))
		return err
	})
}

// Title implements bijou.TitleStore.
func (c *Catalog) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	var document string
	err := c.s.row(ctx, "find title", into(&document), `SELECT document FROM titles WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return bijou.Title{}, noTitle(id)
	}
	if err != nil {
		return bijou.Title{}, err
	}
	return c.parse(document)
}

func noTitle(id bijou.TitleID) error {
	return fmt.Errorf("there is no title %s: %w", id, bijou.NotFound)
}

func (c *Catalog) parse(document string) (t bijou.Title, err error) {
	if err := json.Unmarshal([]byte(document), &t); err != nil {
		return t, fmt.Errorf("a title in database %s cannot be read (%v): put the database back from a backup: %w", c.s.where, err, bijou.Corrupt)
	}
	return t, nil
}

// Titles implements bijou.TitleStore.
func (c *Catalog) Titles(ctx context.Context, q bijou.TitleQuery) (bijou.TitlePage, error) {
	if q.Limit < 1 || q.Limit > 500 {
		return bijou.TitlePage{}, fmt.Errorf("a page has 1 to 500 titles, and %d were asked for: %w", q.Limit, bijou.Invalid)
	}
	where, args := []string{"TRUE"}, []any{}
	if q.State != "" {
		where, args = append(where, "state = ?"), append(args, q.State)
	}
	if q.Parent != "" {
		where, args = append(where, "parent = ?"), append(args, q.Parent)
	}
	if q.Top {
		where = append(where, "parent = ''")
	}
	if words := strings.Fields(fold(q.Words)); len(words) > 0 {
		where = append(where, "id IN (SELECT title FROM words WHERE INSTR(words, ?) > 0"+strings.Repeat(" AND INSTR(words, ?) > 0", len(words)-1)+")")
		for _, word := range words {
			args = append(args, word)
		}
	}
	if q.Before != "" {
		at, id, err := parseCursor(q.Before, bijou.TitlePrefix)
		if err != nil {
			return bijou.TitlePage{}, err
		}
		where, args = append(where, before("added_us", "id")), append(args, at, at, id)
	}
	type row struct {
		at    int64
		title bijou.Title
	}
	found, err := rows(ctx, c.s, "list titles", func(scan func(...any) error, r *row) (err error) {
		var document string
		if err = scan(&r.at, &document); err == nil {
			r.title, err = c.parse(document)
		}
		return err
	}, `SELECT added_us, document FROM titles WHERE `+strings.Join(where, " AND ")+` ORDER BY added_us DESC, id DESC LIMIT ?`, append(args, q.Limit+1)...)
	if err != nil {
		return bijou.TitlePage{}, err
	}
	var page bijou.TitlePage
	for i, r := range found {
		if i == q.Limit {
			page.Next = cursor(found[i-1].at, found[i-1].title.ID)
			break
		}
		page.Titles = append(page.Titles, r.title)
	}
	return page, nil
}

// before is the condition for what stands behind a place in a list, latest first. Its arguments are the time, the time again, and the identifier.
// Servers find the place by the index, which they do not for a comparison of pairs.
func before(time, id string) string {
	return fmt.Sprintf("%[1]s <= ? AND (%[1]s < ? OR %[2]s < ?)", time, id)
}

// cursor names a place in a list that is ordered by time and identifier. It is opaque to callers.
func cursor[ID ~string](addedMicros int64, id ID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(addedMicros, 10) + " " + string(id)))
}

func parseCursor(s, prefix string) (addedMicros int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	at, id, ok := strings.Cut(string(b), " ")
	n, numErr := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || numErr != nil || bijou.CheckID(id, prefix) != nil {
		return 0, "", fmt.Errorf("%.40q is no page's next: leave it out for the first page: %w", s, bijou.Invalid)
	}
	return n, id, nil
}

// RemoveTitle implements bijou.TitleStore.
func (c *Catalog) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	removed := false
	return c.s.tx(ctx, "remove title", func(t *tx) error {
		parent, children, err := lockTitle(t, id)
		switch {
		case errors.Is(err, sql.ErrNoRows) && removed: // by an earlier try, which was committed
			return nil
		case errors.Is(err, sql.ErrNoRows):
			return noTitle(id)
		case err != nil:
			return err
		case children > 0:
			return fmt.Errorf("title %s is not empty (seasons or episodes in it: %d): remove those first: %w", id, children, bijou.Conflict)
		}
		for gone := id; ; {
			if _, err := t.exec(`DELETE FROM titles WHERE id = ?`, gone); err != nil {
				return err
			}
			removed = true
			if gone = parent; gone == "" {
				return nil
			}
			parent, children, err = lockTitle(t, gone)
			if errors.Is(err, sql.ErrNoRows) || err == nil && children > 0 { // it still holds others
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// lockTitle locks a title, so that it gets no more children, and returns its parent and how many children it has.
func lockTitle(t *tx, id bijou.TitleID) (parent bijou.TitleID, children int, err error) {
	if err := t.scan(into(&parent), `SELECT parent FROM titles WHERE id = ? FOR UPDATE`, id); err != nil {
		return "", 0, err
	}
	err = t.scan(into(&children), `SELECT COUNT(*) FROM titles WHERE parent = ?`, id)
	return parent, children, err
}
