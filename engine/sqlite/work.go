package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"bijou"
)

// Studio implements bijou.WorkStore on one file.
type Studio struct{ d *db }

// OpenStudio opens the file as OpenMembers does.
func OpenStudio(ctx context.Context, path string) (*Studio, error) {
	d, err := open(ctx, path, "studio")
	if err != nil {
		return nil, err
	}
	return &Studio{d}, nil
}

// Close lets go of the file.
func (s *Studio) Close() error { return s.d.close() }

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
	return s.d.tx(ctx, "enqueue work", func(tx *sql.Tx) error {
		for _, w := range ws {
			_, err := tx.ExecContext(ctx, `INSERT INTO work (`+workColumns+`) VALUES (?, ?, ?, ?, ?, ?, 0, '', 0, 0, '', ?, NULL, ?)
				ON CONFLICT (asset, step, version) DO NOTHING`,
				w.ID, w.Asset, w.Title, w.Step, w.Version, bijou.WorkWaiting, []byte(w.Input), micros(w.Created))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Lease implements bijou.WorkStore.
func (s *Studio) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (w bijou.Work, _ error) {
	// One statement, so that of two workers one gets the work; two look-ups, since one with OR would pass by all work that is done.
	ws, err := rows(ctx, s.d, s.d.write, scanWork,
		`UPDATE work SET state = 'leased', worker = ?, attempt = attempt + 1, until_us = ? WHERE seq = (SELECT seq FROM (
			SELECT * FROM (SELECT seq, created_us FROM work WHERE state = 'waiting' ORDER BY created_us, seq LIMIT 1) UNION ALL
			SELECT * FROM (SELECT seq, created_us FROM work WHERE state = 'leased' AND until_us <= ? ORDER BY created_us, seq LIMIT 1)
		) ORDER BY created_us, seq LIMIT 1) RETURNING `+workColumns, worker, micros(now.Add(term)), micros(now))
	if err != nil {
		return w, s.d.failure("lease work", err)
	}
	if len(ws) == 0 {
		return w, fmt.Errorf("no work waits: %w", bijou.NotFound)
	}
	return ws[0], nil
}

// Renew implements bijou.WorkStore.
func (s *Studio) Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error {
	n, err := s.d.exec(ctx, `UPDATE work SET until_us = ?, progress = ? WHERE id = ? AND worker = ? AND state = ?`,
		micros(now.Add(term)), progress, id, worker, bijou.WorkLeased)
	return s.lost(n, err, id, worker)
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
	n, err := s.d.exec(ctx, `UPDATE work SET state = ?, output = ?, reason = ?, progress = ?, until_us = 0 WHERE id = ? AND worker = ? AND state = ?`,
		end.State, []byte(end.Output), end.Reason, progress, id, worker, bijou.WorkLeased)
	return s.lost(n, err, id, worker)
}

// lost returns what a change of leased work came to, where it changed nothing or failed.
func (s *Studio) lost(changed int64, err error, id bijou.JobID, worker string) error {
	if err != nil {
		return s.d.failure("change leased work", err)
	}
	if changed == 0 {
		return fmt.Errorf("work %s is not %s's any more: %w", id, worker, bijou.Conflict)
	}
	return nil
}

// WorkOf implements bijou.WorkStore.
func (s *Studio) WorkOf(ctx context.Context, id bijou.TitleID) ([]bijou.Work, error) {
	ws, err := rows(ctx, s.d, s.d.read, scanWork, `SELECT `+workColumns+` FROM work WHERE title = ? ORDER BY seq`, id)
	if err != nil {
		return nil, s.d.failure("list work", err)
	}
	return ws, nil
}

// Unfinished implements bijou.WorkStore.
func (s *Studio) Unfinished(ctx context.Context) ([]bijou.TitleID, error) {
	ids, err := rows(ctx, s.d, s.d.read, func(scan func(...any) error, id *bijou.TitleID) error { return scan(id) },
		`SELECT title FROM work WHERE state IN ('waiting', 'leased') GROUP BY title ORDER BY min(seq)`)
	if err != nil {
		return nil, s.d.failure("list unfinished titles", err)
	}
	return ids, nil
}

// Forget implements bijou.WorkStore.
func (s *Studio) Forget(ctx context.Context, id bijou.TitleID) error {
	if _, err := s.d.exec(ctx, `DELETE FROM work WHERE title = ?`, id); err != nil {
		return s.d.failure("forget work", err)
	}
	return nil
}
