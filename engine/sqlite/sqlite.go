// Package sqlite keeps accounts, profiles, titles, work and operators in SQLite files: the stores that need no server.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"bijou"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations
var migrations embed.FS

// db is one file: a single writer, since SQLite has one, and a pool of readers beside it.
type db struct {
	path  string
	write *sql.DB
	read  *sql.DB

	mu       sync.Mutex
	prepared map[statement]*sql.Stmt
}

// statement is a query of one of the two pools. There are as many as this package's text holds.
type statement struct {
	pool  *sql.DB
	query string
}

// settings: write-ahead log, and a flush to disk at each commit, so that what was acknowledged outlives even a power cut.
const settings = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_time_format=sqlite"

// open opens the file, makes it where it is missing, and brings it to the newest version of the schema.
func open(ctx context.Context, path, schema string) (*db, error) {
	d := &db{path: path, prepared: map[statement]*sql.Stmt{}}
	// SQLite would make the file readable by all; its companions get the rights of the file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, d.failure("open", err)
	}
	if err := f.Close(); err != nil {
		return nil, d.failure("open", err)
	}
	if err := d.connect(""); err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, schema); err != nil {
		_ = d.close() // the first failure is the one that counts
		return nil, err
	}
	return d, nil
}

// openToRead opens a file that is there and changes nothing in it, beside whoever has it open. Its schema may be of an earlier version.
func openToRead(ctx context.Context, path, schema string) (*db, error) {
	d := &db{path: path, prepared: map[statement]*sql.Stmt{}}
	if err := d.connect("&mode=rw&_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	p, err := d.provider(schema)
	if err == nil {
		_, _, err = d.versions(ctx, p)
	}
	if err != nil {
		_ = d.close() // the first failure is the one that counts
		return nil, err
	}
	return d, nil
}

// connect makes the two pools; the file is opened at the first use. more are settings of both.
func (d *db) connect(more string) (err error) {
	dsn := address(d.path) + "?" + settings + more
	if d.write, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return d.failure("open", err)
	}
	d.write.SetMaxOpenConns(1)
	if d.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return errors.Join(d.failure("open", err), d.write.Close())
	}
	d.read.SetMaxOpenConns(4)
	return nil
}

// address returns the file's name as SQLite takes it with settings after it.
func address(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// provider knows the migrations of the schema.
func (d *db) provider(schema string) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+schema)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, d.write, files)
	if err != nil {
		return nil, d.failure("open", err)
	}
	return p, nil
}

// versions returns the file's version and the newest there is. It fails with Unsupported for a file of a newer program.
func (d *db) versions(ctx context.Context, p *goose.Provider) (current, target int64, err error) {
	if current, target, err = p.GetVersions(ctx); err != nil {
		return 0, 0, d.failure("open", err)
	}
	if current > target {
		return 0, 0, fmt.Errorf("database %s has version %d and this program knows %d: use the newer program that wrote it: %w", d.path, current, target, bijou.Unsupported)
	}
	return current, target, nil
}

func (d *db) migrate(ctx context.Context, schema string) error {
	p, err := d.provider(schema)
	if err != nil {
		return err
	}
	current, target, err := d.versions(ctx, p)
	if err != nil || current == target {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return d.failure("bring to the newest version", err)
	}
	return nil
}

func (d *db) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for _, stmt := range d.prepared {
		err = errors.Join(err, stmt.Close())
	}
	clear(d.prepared)
	err = errors.Join(err, d.read.Close(), d.write.Close())
	if err != nil {
		return d.failure("close", err)
	}
	return nil
}

// tx runs f in a transaction that has the write lock from its beginning.
func (d *db) tx(ctx context.Context, verb string, f func(*sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return d.failure(verb, err)
	}
	defer tx.Rollback() // does nothing after the commit
	if err := f(tx); err != nil {
		return d.failure(verb, err)
	}
	if err := tx.Commit(); err != nil {
		return d.failure(verb, err)
	}
	return nil
}

// prepare returns the statement of the pool, compiled once. It must not be asked within a transaction, which has the only writer.
func (d *db) prepare(ctx context.Context, pool *sql.DB, query string) (*sql.Stmt, error) {
	key := statement{pool, query}
	d.mu.Lock()
	defer d.mu.Unlock()
	if stmt := d.prepared[key]; stmt != nil {
		return stmt, nil
	}
	stmt, err := pool.PrepareContext(ctx, query)
	if err == nil {
		d.prepared[key] = stmt
	}
	return stmt, err
}

// exec changes rows by one statement, which is a transaction by itself.
func (d *db) exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	stmt, err := d.prepare(ctx, d.write, query)
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row reads one row, with sql.ErrNoRows where there is none.
func (d *db) row(ctx context.Context, scan func(scan func(...any) error) error, query string, args ...any) error {
	stmt, err := d.prepare(ctx, d.read, query)
	if err != nil {
		return err
	}
	return scan(stmt.QueryRowContext(ctx, args...).Scan)
}

// rows reads all rows by way of the pool. A statement that changes what it returns is committed when it ends.
func rows[T any](ctx context.Context, d *db, pool *sql.DB, scan func(scan func(...any) error, v *T) error, query string, args ...any) (out []T, err error) {
	stmt, err := d.prepare(ctx, pool, query)
	if err != nil {
		return nil, err
	}
	rs, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	for rs.Next() {
		var v T
		if err := scan(rs.Scan, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rs.Err()
}

// failure returns err as the store's: a sentence that ends in a kind. What has a kind already passes through.
func (d *db) failure(verb string, err error) error {
	if bijou.KindOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	kind, fix := bijou.Unavailable, "try again"
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrNotExist):
		fix = "give this user the right to write there"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, fix = bijou.Exhausted, "free space on that disk"
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			kind, fix = bijou.Exhausted, "free space on that disk"
		case sqlite3.SQLITE_IOERR:
			fix = "see to that disk: it may be full or failing"
		case sqlite3.SQLITE_INTERRUPT:
			return fmt.Errorf("%s in database %s: %w", verb, d.path, context.Canceled) // what the driver does with a context that ends
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			kind, fix = bijou.Corrupt, "put it back from a backup"
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			fix = "give this user the right to write there"
		case sqlite3.SQLITE_CONSTRAINT:
			kind, fix = bijou.Conflict, "it is there already"
		}
	}
	return fmt.Errorf("%s in database %s (%s): %s: %w", verb, d.path, strings.TrimSpace(err.Error()), fix, kind)
}

// unique tells whether err says that a value which must be unique is there already.
func unique(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && (se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// Times are kept as microseconds since 1970, which order as numbers; what is finer is cut off.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
