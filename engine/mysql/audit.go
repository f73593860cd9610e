package mysql

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

// mark is a place in the log: the hash is that of the line with the number.
type mark struct {
	seq  int64
	hash []byte
}

// BeginAction implements bijou.AuditStore.
func (o *Operators) BeginAction(ctx context.Context, a bijou.Action) (seq int64, err error) {
	a.Outcome, a.Says = "", ""
	err = o.s.tx(ctx, "write the audit log", func(t *tx) error {
		last, err := t.lockAudit()
		if err != nil {
			return err
		}
		if seq, err = t.added(); err != nil || seq > 0 {
			return err
		}
		seq, err = appendLine(t, last, line{Action: a})
		return err
	})
	return seq, err
}

// EndAction implements bijou.AuditStore.
func (o *Operators) EndAction(ctx context.Context, seq int64, at time.Time, outcome bijou.Outcome, says string) error {
	return o.s.tx(ctx, "write the audit log", func(t *tx) error {
		last, err := t.lockAudit()
		if err != nil {
			return err
		}
		if there, err := t.added(); err != nil || there > 0 {
			return err
		}
		var begun, ended bool
		err = t.scan(into(&begun, &ended), `SELECT EXISTS (SELECT 1 FROM audit WHERE seq = ? AND action IS NULL), EXISTS (SELECT 1 FROM audit WHERE action = ?)`, seq, seq)
		switch {
		case err != nil:
			return err
		case ended:
			return fmt.Errorf("action %d has ended already: %w", seq, bijou.Conflict)
		case !begun:
			return fmt.Errorf("no action has the number %d: %w", seq, bijou.NotFound)
		}
		_, err = appendLine(t, last, line{Action: bijou.Action{At: at, Outcome: outcome, Says: says}, Ends: seq})
		return err
	})
}

// lockAudit lets one add to the log at a time, or take away from it. It returns the last line.
func (t *tx) lockAudit() (last mark, err error) {
	if err := t.lock(lostRow("audit_begin"), `SELECT 1 FROM audit_begin FOR UPDATE`); err != nil {
		return last, err
	}
	err = t.scan(into(&last.seq, &last.hash), `(SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)
		UNION ALL (SELECT seq, hash FROM audit_begin) ORDER BY seq DESC LIMIT 1`)
	return last, err
}

// added returns the number of the line that an earlier try of the call added, or 0 where none was committed. Another call may have written the
// same words at the same place.
func (t *tx) added() (seq int64, err error) {
	if t.again {
		err = t.scan(into(&seq), `SELECT COALESCE(MAX(seq), 0) FROM audit WHERE by_call = ?`, t.call)
	}
	return seq, err
}

// appendLine adds a line behind the last one, and returns its number.
func appendLine(t *tx, last mark, l line) (int64, error) {
	l.Seq, l.At = last.seq+1, l.At.UTC().Truncate(time.Microsecond)
	body, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	_, err = t.exec(`INSERT INTO audit (seq, action, at_us, name, body, size, hash, by_call) VALUES (?, NULLIF(?, 0), ?, ?, ?, ?, ?, ?)`,
		l.Seq, l.Ends, micros(l.At), l.Name, string(body), len(body), chain(last.hash, body), t.call)
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
	return rows(ctx, o.s, "read the audit log", func(scan func(...any) error, a *bijou.Action) error {
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
		WHERE a.action IS NULL AND a.at_us >= ? AND (? = '' OR a.name = ?) AND (? = 0 OR a.seq < ?) ORDER BY a.seq DESC LIMIT ?`,
		since, q.Name, q.Name, q.Before, q.Before, max(q.Limit, 0))
}

func unreadable(err error) error {
	return fmt.Errorf("a line of the audit log cannot be read (%v): put the database back from a backup: %w", err, bijou.Corrupt)
}

// VerifyActions implements bijou.AuditStore. It reads all of the log as it is at one moment, once, and takes the time that takes.
func (o *Operators) VerifyActions(ctx context.Context) (c bijou.AuditCheck, err error) {
	if err := o.s.do(ctx, "check the audit log", func(context.Context) error { return nil }); err != nil {
		return c, err
	}
	err = o.s.try(ctx, "check the audit log", slowTime, func(ctx context.Context) error {
		t, err := o.s.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		if err != nil {
			return err
		}
		defer t.Rollback() // nothing was changed
		var before []byte
		if err := t.QueryRowContext(ctx, `SELECT seq, hash FROM audit_begin`).Scan(&c.Last, &before); err != nil {
			return err
		}
		rs, err := t.QueryContext(ctx, `SELECT seq, COALESCE(action, 0), at_us, name, body, hash FROM audit ORDER BY seq`)
		if err != nil {
			return err
		}
		defer rs.Close()
		return verify(rs, before, &c)
	})
	return c, err
}

// verify follows the chain of the lines from the hash before the first.
func verify(rs *sql.Rows, before []byte, c *bijou.AuditCheck) error {
	for rs.Next() {
		var seq, ends, at int64
		var name string
		var body, hash []byte
		if err := rs.Scan(&seq, &ends, &at, &name, &body, &hash); err != nil {
			return err
		}
		var l line
		same := json.Unmarshal(body, &l) == nil && l.Seq == seq && l.Ends == ends && micros(l.At) == at && l.Name == name
		if !same || seq != c.Last+1 || !bytes.Equal(hash, chain(before, body)) {
			c.Altered = c.Last + 1
			return nil
		}
		if c.Lines == 0 {
			c.First = seq
		}
		c.Last, c.Lines, before = seq, c.Lines+1, hash
	}
	c.Hash = fmt.Sprintf("%x", before)
	return rs.Err()
}

// prunedAtOnce bounds how many lines go in one transaction, so that nobody who writes waits long.
const prunedAtOnce = 1000

// PruneActions implements bijou.AuditStore.
func (o *Operators) PruneActions(ctx context.Context, before time.Time, maxBytes int64) (gone int64, err error) {
	// The last line that is too old, or the last of those without which the rest is small enough.
	const last = `SELECT GREATEST(COALESCE((SELECT MAX(seq) FROM audit WHERE at_us < ?), 0), COALESCE((SELECT MAX(seq) FROM (
		SELECT seq, SUM(size) OVER (ORDER BY seq DESC) AS kept FROM audit) sums WHERE kept > ?), 0))`
	var seq int64
	if err := o.s.row(ctx, "shorten the audit log", into(&seq), last, micros(before), maxBytes); err != nil {
		return 0, err
	}
	for {
		n, err := o.pruneTo(ctx, seq)
		if gone += n; err != nil || n == 0 {
			return gone, err
		}
	}
}

// pruneTo removes the first lines up to the number, a bounded number of them. It returns how many went.
func (o *Operators) pruneTo(ctx context.Context, seq int64) (gone int64, err error) {
	var to mark
	err = o.s.tx(ctx, "shorten the audit log", func(t *tx) error {
		if _, err := t.lockAudit(); err != nil {
			return err
		}
		var begin int64
		if err := t.scan(into(&begin), `SELECT seq FROM audit_begin`); err != nil || t.again && begin >= to.seq { // the earlier try was committed
			return err
		}
		err := t.scan(into(&to.seq, &to.hash), `SELECT seq, hash FROM (SELECT seq, hash FROM audit WHERE seq <= ? ORDER BY seq LIMIT ?) first ORDER BY seq DESC LIMIT 1`, seq, prunedAtOnce)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE audit_begin SET seq = ?, hash = ?`, to.seq, to.hash); err != nil {
			return err
		}
		gone, err = t.exec(`DELETE FROM audit WHERE seq <= ?`, to.seq)
		return err
	})
	return gone, err
}
