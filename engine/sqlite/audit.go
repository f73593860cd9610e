package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"bijou"
)

// line is what a line of the audit log says: the beginning of an action, or the end of the one that it names.
type line struct {
	bijou.Action
	Ends int64 `json:"ends,omitempty"`
}

// BeginAction implements bijou.AuditStore.
func (o *Operators) BeginAction(ctx context.Context, a bijou.Action) (seq int64, err error) {
	a.Outcome, a.Says = "", ""
	err = o.d.tx(ctx, "write the audit log", func(tx *sql.Tx) error {
		seq, err = appendLine(ctx, tx, line{Action: a})
		return err
	})
	return seq, err
}

// EndAction implements bijou.AuditStore.
func (o *Operators) EndAction(ctx context.Context, seq int64, at time.Time, outcome bijou.Outcome, says string) error {
	return o.d.tx(ctx, "write the audit log", func(tx *sql.Tx) error {
		var begun, ended int
		err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM audit WHERE seq = ?1 AND action IS NULL), (SELECT count(*) FROM audit WHERE action = ?1)`, seq).Scan(&begun, &ended)
		switch {
		case err != nil:
			return err
		case ended > 0:
			return fmt.Errorf("action %d has ended already: %w", seq, bijou.Conflict)
		case begun == 0:
			return fmt.Errorf("no action has the number %d: %w", seq, bijou.NotFound)
		}
		_, err = appendLine(ctx, tx, line{Action: bijou.Action{At: at, Outcome: outcome, Says: says}, Ends: seq})
		return err
	})
}

// appendLine adds a line behind the last one, and returns its number.
func appendLine(ctx context.Context, tx *sql.Tx, l line) (int64, error) {
	var before []byte
	err := tx.QueryRowContext(ctx, `SELECT seq, hash FROM (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)
		UNION ALL SELECT seq, hash FROM audit_begin ORDER BY seq DESC LIMIT 1`).Scan(&l.Seq, &before)
	if err != nil {
		return 0, err
	}
	l.Seq++
	l.At = l.At.UTC().Truncate(time.Microsecond)
	body, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (seq, action, at_us, name, body, size, hash) VALUES (?, NULLIF(?, 0), ?, ?, ?, ?, ?)`,
		l.Seq, l.Ends, micros(l.At), l.Name, string(body), len(body), chain(before, body))
	return l.Seq, err
}

// chain returns the hash of a line: of the hash before it and its body.
func chain(before, body []byte) []byte {
	h := sha256.New()
	h.Write(before) // a hash never fails
	h.Write(body)
	return h.Sum(nil)
}

// Actions implements bijou.AuditStore.
func (o *Operators) Actions(ctx context.Context, q bijou.ActionQuery) ([]bijou.Action, error) {
	since := int64(0)
	if !q.Since.IsZero() {
		since = micros(q.Since)
	}
	all, err := rows(ctx, o.d, o.d.read, func(scan func(...any) error, a *bijou.Action) error {
		var body string
		var end sql.NullString
		if err := scan(&body, &end); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(body), a); err != nil {
			return unreadable(err)
		}
		if !end.Valid {
			return nil
		}
		var e line
		if err := json.Unmarshal([]byte(end.String), &e); err != nil {
			return unreadable(err)
		}
		a.Outcome, a.Says = e.Outcome, e.Says
		return nil
	}, `SELECT a.body, e.body FROM audit a LEFT JOIN audit e ON e.action = a.seq
		WHERE a.action IS NULL AND a.at_us >= ?1 AND (?2 = '' OR a.name = ?2) AND (?3 = 0 OR a.seq < ?3) ORDER BY a.seq DESC LIMIT ?4`,
		since, q.Name, q.Before, max(q.Limit, 0))
	if err != nil {
		return nil, o.d.failure("read the audit log", err)
	}
	return all, nil
}

func unreadable(err error) error {
	return fmt.Errorf("a line of the audit log cannot be read (%v): put operators.db back from a backup: %w", err, bijou.Corrupt)
}

// VerifyActions implements bijou.AuditStore.
func (o *Operators) VerifyActions(ctx context.Context) (c bijou.AuditCheck, err error) {
	tx, err := o.d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, o.d.failure("check the audit log", err)
	}
	defer tx.Rollback() // nothing was changed
	var before []byte
	if err := tx.QueryRowContext(ctx, `SELECT seq, hash FROM audit_begin`).Scan(&c.Last, &before); err != nil {
		return c, o.d.failure("check the audit log", err)
	}
	rs, err := tx.QueryContext(ctx, `SELECT seq, COALESCE(action, 0), at_us, name, body, hash FROM audit ORDER BY seq`)
	if err != nil {
		return c, o.d.failure("check the audit log", err)
	}
	defer rs.Close()
	for rs.Next() {
		var seq, ends, at int64
		var name string
		var body, hash []byte
		if err := rs.Scan(&seq, &ends, &at, &name, &body, &hash); err != nil {
			return c, o.d.failure("check the audit log", err)
		}
		var l line
		same := json.Unmarshal(body, &l) == nil && l.Seq == seq && l.Ends == ends && micros(l.At) == at && l.Name == name
		if !same || seq != c.Last+1 || !bytes.Equal(hash, chain(before, body)) {
			c.Altered = c.Last + 1
			return c, nil
		}
		if c.Lines == 0 {
			c.First = seq
		}
		c.Last, c.Lines, before = seq, c.Lines+1, hash
	}
	c.Hash = fmt.Sprintf("%x", before)
	if err := rs.Err(); err != nil {
		return c, o.d.failure("check the audit log", err)
	}
	return c, nil
}

// PruneActions implements bijou.AuditStore.
func (o *Operators) PruneActions(ctx context.Context, before time.Time, maxBytes int64) (gone int64, err error) {
	// The last line that is too old, or the last of those without which the rest is small enough.
	const last = `SELECT max(COALESCE((SELECT max(seq) FROM audit WHERE at_us < ?1), 0), COALESCE((SELECT max(seq) FROM (
		SELECT seq, sum(size) OVER (ORDER BY seq DESC) AS kept FROM audit) WHERE kept > ?2), 0))`
	var seq int64
	if err := o.d.row(ctx, func(scan func(...any) error) error { return scan(&seq) }, last, micros(before), maxBytes); err != nil {
		return 0, o.d.failure("shorten the audit log", err)
	}
	if seq == 0 {
		return 0, nil
	}
	err = o.d.tx(ctx, "shorten the audit log", func(tx *sql.Tx) error {
		var hash []byte
		err := tx.QueryRowContext(ctx, `SELECT hash FROM audit WHERE seq = ?`, seq).Scan(&hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another was faster
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE audit_begin SET seq = ?, hash = ?`, seq, hash); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM audit WHERE seq <= ?`, seq)
		if err != nil {
			return err
		}
		gone, err = res.RowsAffected()
		return err
	})
	return gone, err
}
