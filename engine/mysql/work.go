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

// change changes work. Changes come one after the other, whichever process makes them: each has the turn, a row that it locks, until it is
// committed. Workers that passed by what others have locked (SKIP LOCKED) would lease faster, and not the oldest: what another is just handing back
// or taking, and may not get in the end, would be passed by too.
func (s *Studio) change(ctx context.Context, verb string, f func(*tx) error) error {
	return s.s.tx(ctx, verb, func(t *tx) error {
		if err := t.find(lostRow("work_turn"), `SELECT 1 FROM work_turn FOR UPDATE`); err != nil {
			return err
		}
		return f(t)
	})
}

// Enqueue implements bijou.WorkStore.
func (s *Studio) Enqueue(ctx context.Context, ws []bijou.Work) error {
	return s.change(ctx, "enqueue work", func(t *tx) error {
		for _, w := range ws {
			_, err := t.exec(`INSERT INTO work (id, asset, title, step, version, state, open, attempt, worker, until_us, progress, reason, input, created_us, by_call)
				VALUES (?, ?, ?, ?, ?, ?, TRUE, 0, '', 0, 0, '', ?, ?, ?)`, w.ID, w.Asset, w.Title, w.Step, w.Version, bijou.WorkWaiting, []byte(w.Input), micros(w.Created), t.call)
			if duplicate(err) {
				err = t.find(fmt.Errorf("enqueue work: %s is other work: %w", w.ID, bijou.Conflict),
					`SELECT 1 FROM work WHERE asset = ? AND step = ? AND version = ?`, w.Asset, w.Step, w.Version)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// oldestOpen finds what can be leased at a moment, the oldest of it, by an index that has this order.
const oldestOpen = `SELECT ` + workColumns + ` FROM work FORCE INDEX (work_open) WHERE open = TRUE AND until_us <= ? ORDER BY created_us, seq LIMIT 1`

// Lease implements bijou.WorkStore.
func (s *Studio) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (w bijou.Work, err error) {
	err = s.change(ctx, "lease work", func(t *tx) error {
		read := func(query string, args ...any) error {
			return scanWork(t.conn.QueryRowContext(t.ctx, query, args...).Scan, &w)
		}
		if t.again { // an earlier try may have leased some already
			if err := read(`SELECT `+workColumns+` FROM work WHERE open = TRUE AND by_call = ?`, t.call); !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		err := read(oldestOpen, micros(now))
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("no work waits: %w", bijou.NotFound)
		}
		if err != nil {
			return err
		}
		w.State, w.Worker, w.Attempt, w.Until = bijou.WorkLeased, worker, w.Attempt+1, fromMicros(micros(now.Add(term)))
		_, err = t.exec(`UPDATE work SET state = ?, worker = ?, attempt = ?, until_us = ?, by_call = ? WHERE id = ?`,
			w.State, w.Worker, w.Attempt, micros(w.Until), t.call, w.ID)
		return err
	})
	if err != nil {
		return bijou.Work{}, err
	}
	return w, nil
}

// Renew implements bijou.WorkStore.
func (s *Studio) Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error {
	return s.change(ctx, "renew work", func(t *tx) error {
		return t.change(lost(id, worker), `UPDATE work SET until_us = ?, progress = ? WHERE id = ? AND worker = ? AND state = ?`,
			micros(now.Add(term)), progress, id, worker, bijou.WorkLeased)
	})
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
	return s.change(ctx, "finish work", func(t *tx) error {
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
	return s.change(ctx, "forget work", func(t *tx) error { return t.change(nil, `DELETE FROM work WHERE title = ?`, id) })
}
