package sqlite

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

// Catalog implements bijou.TitleStore on one file.
type Catalog struct{ d *db }

// OpenCatalog opens the file as OpenMembers does.
func OpenCatalog(ctx context.Context, path string) (*Catalog, error) {
	d, err := open(ctx, path, "catalog")
	if err != nil {
		return nil, err
	}
	c := &Catalog{d}
	if err := c.fillWords(ctx); err != nil {
		_ = d.close() // the first failure is the one that counts
		return nil, err
	}
	return c, nil
}

// fillWords writes what a search looks into for titles that an earlier version of the program kept.
func (c *Catalog) fillWords(ctx context.Context) error {
	return c.d.tx(ctx, "prepare search", func(tx *sql.Tx) error {
		rs, err := tx.QueryContext(ctx, `SELECT document FROM titles WHERE id NOT IN (SELECT title FROM words)`)
		if err != nil {
			return err
		}
		defer rs.Close()
		var missing []bijou.Title
		for rs.Next() {
			var document string
			if err := rs.Scan(&document); err != nil {
				return err
			}
			t, err := c.parse(document)
			if err != nil {
				return err
			}
			missing = append(missing, t)
		}
		if err := rs.Err(); err != nil {
			return err
		}
		for _, t := range missing {
			if err := putWords(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
}

func putWords(ctx context.Context, tx *sql.Tx, t bijou.Title) error {
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO words (title, words) VALUES (?, ?)`, t.ID, wordsOf(t))
	return err
}

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

// fold returns the text without what people leave out when they search: case, accents and forms of the same letter.
func fold(text string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(r)
		}
	}
	return cases.Fold().String(b.String())
}

// ReadCatalog opens the file for reading alone, beside whoever has it open. It fails with Unavailable where it is not there. What lists and
// shows titles stands in every version of the file.
func ReadCatalog(ctx context.Context, path string) (*Catalog, error) {
	d, err := openToRead(ctx, path, "catalog")
	if err != nil {
		return nil, err
	}
	return &Catalog{d}, nil
}

// Close lets go of the file.
func (c *Catalog) Close() error { return c.d.close() }

// PutTitle implements bijou.TitleStore.
func (c *Catalog) PutTitle(ctx context.Context, t bijou.Title) error {
	if err := t.Check(); err != nil {
		return err
	}
	document, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("title %s: %w", t.ID, err)
	}
	return c.d.tx(ctx, "keep title", func(tx *sql.Tx) error {
		if t.Parent != "" {
			var one int
			err := tx.QueryRowContext(ctx, `SELECT 1 FROM titles WHERE id = ?`, t.Parent).Scan(&one)
			if errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("title %q: there is no parent %s: %w", t.Name, t.Parent, bijou.NotFound)
			}
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO titles (id, parent, state, added_us, document) VALUES (?, ?, ?, ?, ?)`,
			t.ID, t.Parent, t.State, micros(t.Added), string(document))
		if err != nil {
			return err
		}
		return putWords(ctx, tx, t)
	})
}

// Title implements bijou.TitleStore.
func (c *Catalog) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	var document string
	err := c.d.row(ctx, func(scan func(...any) error) error { return scan(&document) }, `SELECT document FROM titles WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return bijou.Title{}, fmt.Errorf("there is no title %s: %w", id, bijou.NotFound)
	}
	if err != nil {
		return bijou.Title{}, c.d.failure("find title", err)
	}
	return c.parse(document)
}

func (c *Catalog) parse(document string) (t bijou.Title, err error) {
	if err := json.Unmarshal([]byte(document), &t); err != nil {
		return t, fmt.Errorf("a title in database %s cannot be read (%v): put the file back from a backup: %w", c.d.path, err, bijou.Corrupt)
	}
	return t, nil
}

// Titles implements bijou.TitleStore.
func (c *Catalog) Titles(ctx context.Context, q bijou.TitleQuery) (bijou.TitlePage, error) {
	if q.Limit < 1 || q.Limit > 500 {
		return bijou.TitlePage{}, fmt.Errorf("a page has 1 to 500 titles, and %d were asked for: %w", q.Limit, bijou.Invalid)
	}
	where, args := []string{"1"}, []any{}
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
		where = append(where, "id IN (SELECT title FROM words WHERE instr(words, ?) > 0"+strings.Repeat(" AND instr(words, ?) > 0", len(words)-1)+")")
		for _, word := range words {
			args = append(args, word)
		}
	}
	if q.Before != "" {
		at, id, err := parseCursor(q.Before, bijou.TitlePrefix)
		if err != nil {
			return bijou.TitlePage{}, err
		}
		where, args = append(where, "(added_us, id) < (?, ?)"), append(args, at, id)
	}
	var times []int64
	titles, err := rows(ctx, c.d, c.d.read, func(scan func(...any) error, t *bijou.Title) (err error) {
		var at int64
		var document string
		if err = scan(&at, &document); err == nil {
			times = append(times, at)
			*t, err = c.parse(document)
		}
		return err
	}, `SELECT added_us, document FROM titles WHERE `+strings.Join(where, " AND ")+` ORDER BY added_us DESC, id DESC LIMIT ?`, append(args, q.Limit+1)...)
	if err != nil {
		return bijou.TitlePage{}, c.d.failure("list titles", err)
	}
	page := bijou.TitlePage{Titles: titles}
	if len(titles) > q.Limit {
		page.Titles = titles[:q.Limit]
		page.Next = cursor(times[q.Limit-1], titles[q.Limit-1].ID)
	}
	return page, nil
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
	return c.d.tx(ctx, "remove title", func(tx *sql.Tx) error {
		var children int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM titles WHERE parent = ?`, id).Scan(&children); err != nil {
			return err
		}
		if children > 0 {
			return fmt.Errorf("title %s is not empty (seasons or episodes in it: %d): remove those first: %w", id, children, bijou.Conflict)
		}
		parent, err := dropTitle(ctx, tx, id)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("there is no title %s: %w", id, bijou.NotFound)
		}
		for err == nil && parent != "" {
			parent, err = dropTitle(ctx, tx, parent)
		}
		if errors.Is(err, sql.ErrNoRows) { // it still holds others
			return nil
		}
		return err
	})
}

// dropTitle deletes a title that holds no other and returns its parent. It fails with sql.ErrNoRows where there is no such title.
func dropTitle(ctx context.Context, tx *sql.Tx, id bijou.TitleID) (parent bijou.TitleID, err error) {
	err = tx.QueryRowContext(ctx, `DELETE FROM titles WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM titles WHERE parent = ?1) RETURNING parent`, id).Scan(&parent)
	return parent, err
}
