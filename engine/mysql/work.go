package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bijou"
)

// Studio implements bijou.WorkStore.
type Studio struct{ s *schema }

// Studio returns the store of work.
func (d *Database) Studio() *Studio { return &Studio{d.schema("studio")} }

const workColumns = `id, asset, title, step, version, state, attempt, worker, until_us, progress, reason, input, output, created_us`

func scanWork(scan func(...any) error, w *bijou.Work) error {
	var until, created int64
	var input, output []byte
	err := scan(&w.ID, &w.Asset, &w.Title, &w.Step, &w.Version, &w.State, &w.Attempt, &w.Worker, &until, &w.Progress, &w.Reason, &input, &output, &created)
	w.Input, w.Output, w.Created = input, output, fromMicros(created)
	if until != 0 {
		w.Until = fromMicros(until)
	}
	return err
}

// Enqueue implements bijou.WorkStore.
func (s *Studio) Enqueue(ctx context.Context, ws []bijou.Work) error {
	return s.s.tx(ctx, "enqueue work", func(t *tx) error {
		for _, w := range ws {
			_, err := t.exec(`INSERT INTO work (id, asset, title, step, version, state, open, attempt, worker, until_us, progress, reason, input, created_us, by_call)
				VALUES (?, ?, ?, ?, ?, ?, TRUE, 0, '', 0, 0, '', ?, ?, ?)`, w.ID, w.Asset, w.Title, w.Step, w.Version, bijou.WorkWaiting, []byte(w.Input), micros(w.Created), t.call)
			if duplicate(err) {
				err = t.lock(fmt.Errorf("enqueue work: %s is other work: %w", w.ID, bijou.Conflict),
					`SELECT 1 FROM work WHERE asset = ? AND step = ? AND version = ?`, w.Asset, w.Step, w.Version)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// What can be leased at a moment, the oldest first. The index gives that order: to sort would be to lock all of it.
const (
	oldestOpen = ` FROM work FORCE INDEX (work_open) WHERE open = TRUE AND until_us <= ? ORDER BY created_us, seq LIMIT 1`
	anyOpen    = `SELECT EXISTS (SELECT 1` + oldestOpen + `)`
	takeOpen   = `SELECT seq` + oldestOpen + ` FOR UPDATE`
)

// Lease implements bijou.WorkStore. Of many who lease at once each passes by what the others are just taking, and gets the oldest of the rest;
// only who would go away with nothing waits to see whether they really took it.
func (s *Studio) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (w bijou.Work, err error) {
	none := fmt.Errorf("no work waits: %w", bijou.NotFound)
	read := func(t *tx, where string, args ...any) error {
		return scanWork(t.conn.QueryRowContext(t.ctx, `SELECT `+workColumns+` FROM work WHERE `+where, args...).Scan, &w)
	}
	err = s.s.tx(ctx, "lease work", func(t *tx) error {
		if t.again { // the earlier lease, if it was committed, which the lock waits for
			if err := read(t, `open = TRUE AND by_call = ? FOR UPDATE`, t.call); !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		var open bool
		if err := t.scan(into(&open), anyOpen, micros(now)); err != nil {
			return err
		}
		if !open {
			return none
		}
		var seq int64
		err := t.scan(into(&seq), takeOpen+` SKIP LOCKED`, micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			err = t.scan(into(&seq), takeOpen, micros(now))
		}
		if errors.Is(err, sql.ErrNoRows) {
			return none
		}
		if err != nil {
			return err
		}
		_, err = t.exec(`UPDATE work SET state = ?, worker = ?, attempt = attempt + 1, until_us = ?, by_call = ? WHERE seq = ?`,
			bijou.WorkLeased, worker, micros(now.Add(term)), t.call, seq)
		if err != nil {
			return err
		}
		return read(t, `seq = ?`, seq)
	})
	return w, err
}

// Renew implements bijou.WorkStore.
func (s *Studio) Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error {
	return s.s.change(ctx, "renew work", lost(id, worker), `UPDATE work SET until_us = ?, progress = ? WHERE id = ? AND worker = ? AND state = ?`,
		micros(now.Add(term)), progress, id, worker, bijou.WorkLeased)
}

// Finish implements bijou.WorkStore.
func (s *Studio) Finish(ctx context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error {
	progress := 0
	switch end.State {
	case bijou.WorkDone:
		progress = 1
	case bijou.WorkFailed, bijou.WorkWaiting:
	default:
		return fmt.Errorf("finish work %s: it cannot end as %q: %w", id, end.State, bijou.Invalid)
	}
	return s.s.tx(ctx, "finish work", func(t *tx) error {
		n, err := t.exec(`UPDATE work SET state = ?, open = ?, output = ?, reason = ?, progress = ?, until_us = 0, by_call = ? WHERE id = ? AND worker = ? AND state = ?`,
			end.State, end.State == bijou.WorkWaiting, []byte(end.Output), end.Reason, progress, t.call, id, worker, bijou.WorkLeased)
		if err == nil && n == 0 {
			return t.unless(lost(id, worker), "work", id)
		}
		return err
	})
}

func lost(id bijou.JobID, worker string) error {
	return fmt.Errorf("work %s is not %s's any more: %w", id, worker, bijou.Conflict)
}

// WorkOf implements bijou.WorkStore.
func (s *Studio) WorkOf(ctx context.Context, id bijou.TitleID) ([]bijou.Work, error) {
	return rows(ctx, s.s, "list work", scanWork, `SELECT `+workColumns+` FROM work WHERE title = ? ORDER BY seq`, id)
}

// Unfinished implements bijou.WorkStore.
func (s *Studio) Unfinished(ctx context.Context) ([]bijou.TitleID, error) {
	return rows(ctx, s.s, "list unfinished titles", identifier[bijou.TitleID], `SELECT title FROM work WHERE open = TRUE GROUP BY title ORDER BY MIN(seq)`)
}

// Forget implements bijou.WorkStore.
func (s *Studio) Forget(ctx context.Context, id bijou.TitleID) error {
	return s.s.put(ctx, "forget work", `DELETE FROM work WHERE title = ?`, id)
}
