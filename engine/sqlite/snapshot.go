package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bijou"

	"modernc.org/sqlite"
)

// File is a store of this package: one file each.
type File interface{ file() *db }

func (m *Members) file() *db   { return m.d }
func (c *Catalog) file() *db   { return c.d }
func (s *Studio) file() *db    { return s.d }
func (s *Steering) file() *db  { return s.d }
func (o *Operators) file() *db { return o.d }

// Snapshot is stores as they all were at one moment: what one says fits to what another says.
type Snapshot struct{ views []view }

// view is a connection that sees a file as it was at the snapshot's moment.
type view struct {
	d    *db
	conn *sql.Conn
}

// Pin returns a snapshot of the stores, which has to be closed. It takes every store's writer, for no longer than it takes to look at each file.
func Pin(ctx context.Context, stores ...File) (_ *Snapshot, err error) {
	s := &Snapshot{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, f := range stores {
		d := f.file()
		tx, err := d.write.BeginTx(ctx, nil) // which has the write lock, until all have a view
		if err != nil {
			return nil, d.failure("make a snapshot", err)
		}
		defer tx.Rollback() // it has changed nothing
	}
	for _, f := range stores {
		d := f.file()
		conn, err := d.read.Conn(ctx)
		if err != nil {
			return nil, d.failure("make a snapshot", err)
		}
		s.views = append(s.views, view{d, conn})
		// The first look within a transaction is what it goes on seeing.
		var n int
		if _, err = conn.ExecContext(ctx, "BEGIN"); err == nil {
			err = conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
		}
		if err != nil {
			return nil, d.failure("make a snapshot", err)
		}
	}
	return s, nil
}

// Copy writes the stores into the directory, each under its own file's name. Nobody waits for it.
func (s *Snapshot) Copy(ctx context.Context, dir string) error {
	for _, v := range s.views {
		if err := v.copy(ctx, filepath.Join(dir, filepath.Base(v.d.path))); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go of the snapshot.
func (s *Snapshot) Close() (err error) {
	for _, v := range s.views {
		_, _ = v.conn.ExecContext(context.Background(), "ROLLBACK") // a view has changed nothing, and may not have begun
		err = errors.Join(err, v.conn.Close())
	}
	s.views = nil
	return err
}

// pagesAtOnce is how much is copied before it is asked whether anybody still wants it: 4 MiB of pages of 4 KiB.
const pagesAtOnce = 1024

// copy writes the file as the view sees it.
func (v view) copy(ctx context.Context, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // SQLite would make it readable by all
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return v.d.failure("copy", err)
	}
	err = v.conn.Raw(func(raw any) error {
		from, ok := raw.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("the driver copies no files")
		}
		b, err := from.NewBackup(address(to))
		if err != nil {
			return err
		}
		more := true
		for more && err == nil {
			if err = ctx.Err(); err == nil {
				more, err = b.Step(pagesAtOnce)
			}
		}
		return errors.Join(err, b.Finish())
	})
	if err != nil {
		return v.d.failure("copy", err)
	}
	return nil
}

// Check reads all of each store and fails with Corrupt where a file is not what SQLite wrote (PRAGMA integrity_check, foreign_key_check).
func Check(ctx context.Context, stores ...File) error {
	for _, s := range stores {
		d := s.file()
		found, err := rows(ctx, d, d.read, func(scan func(...any) error, v *string) error { return scan(v) }, "PRAGMA integrity_check(1)")
		if err != nil {
			return d.failure("check", err)
		}
		if len(found) != 1 || found[0] != "ok" {
			return fmt.Errorf("database %s is damaged (%.200s): put it back from a backup: %w", d.path, found, bijou.Corrupt)
		}
		orphans, err := rows(ctx, d, d.read, func(scan func(...any) error, v *string) error { return scan(v) }, "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1")
		if err != nil {
			return d.failure("check", err)
		}
		if len(orphans) > 0 {
			return fmt.Errorf("database %s is damaged: a row of %s belongs to none: put it back from a backup: %w", d.path, orphans[0], bijou.Corrupt)
		}
	}
	return nil
}
