package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"bijou"

	"github.com/pressly/goose/v3"
)

const (
	callTime = 10 * time.Second // of a call that has no deadline of its own
	tryTime  = 3 * time.Second  // of a try: what takes longer is taken for lost
	slowTime = 10 * time.Minute // of what reads or removes very much
	// The wait before a try doubles up to maxWait, and half of it is chance.
	firstWait = 10 * time.Millisecond
	maxWait   = 500 * time.Millisecond
)

// within returns ctx with a deadline.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callTime)
}

// call runs f until it succeeds, fails for good, or there is no time for another try. Once the server has been away for longer than any call
// waits, it tries once.
func (d *Database) call(ctx context.Context, verb string, f func(context.Context) error) error {
	ctx, stop := within(ctx)
	defer stop()
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := d.try(ctx, verb, tryTime, f)
		if errors.Is(err, context.Canceled) {
			return err // which says nothing of the server
		}
		var p passing
		passes := errors.As(err, &p)
		if away := d.awayFor(p.lost); !passes || away > callTime || !pause(ctx, wait/2+rand.N(wait/2+1)) {
			return err
		}
	}
}

// awayFor notes whether the server was lost, and returns for how long it has been.
func (d *Database) awayFor(lost bool) time.Duration {
	if !lost {
		d.lostAt.Store(nil)
		return 0
	}
	now := time.Now()
	if d.lostAt.CompareAndSwap(nil, &now) {
		return 0
	}
	if since := d.lostAt.Load(); since != nil { // or another call has found it
		return now.Sub(*since)
	}
	return 0
}

// try runs f once, and not for longer than the limit.
func (d *Database) try(ctx context.Context, verb string, limit time.Duration, f func(context.Context) error) error {
	own, stop := context.WithTimeout(ctx, limit)
	defer stop()
	err := f(own)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // what became of the connection is of no interest
	}
	return d.failure(verb, err)
}

// pause waits, and returns false at once where ctx leaves no time for that.
func pause(ctx context.Context, wait time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

//go:embed migrations
var migrations embed.FS

// schema is the part of a database that one store keeps. It has a version of its own, in the table bijou_NAME_version.
//
// A program works on a schema that is one version newer than the one it knows, so that the programs of a service can be replaced one by one: a
// release brings at most one migration of a schema, and a migration leaves all that the release before reads and writes as it is. It adds
// tables, columns that have a default, and indexes. What is no longer used goes in the release after the last one that used it. Statements
// can be repeated (IF NOT EXISTS): the server commits each by itself, and a migration that was cut off is run again from its beginning.
type schema struct {
	*Database
	name string

	mu      sync.Mutex
	ready   bool
	running *migration
}

// migration is one that is at work.
type migration struct {
	done chan struct{}
	err  error // to be read once done is closed
}

// ensure brings the schema to the newest version, once. A migration that is at work goes on when the caller leaves.
func (s *schema) ensure(ctx context.Context) error {
	s.mu.Lock()
	if s.ready {
		s.mu.Unlock()
		return nil
	}
	m := s.running
	if m == nil {
		m = &migration{done: make(chan struct{})}
		s.running = m
		s.tasks.Go(func() {
			m.err = s.failure("prepare "+s.name, s.migrate(s.life))
			s.mu.Lock()
			s.ready, s.running = m.err == nil, nil
			s.mu.Unlock()
			close(m.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return passing{fmt.Errorf("%s in database %s are still being prepared: try again: %w", s.name, s.where, bijou.Unavailable), true}
	}
}

// migrate runs the migrations that are missing. Of several processes one does it, and the others wait for it.
func (s *schema) migrate(ctx context.Context) error {
	first, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	conn, err := s.pool.Conn(first)
	if err != nil {
		return err
	}
	defer discard(conn) // which lets go of the lock
	// The name stands for the whole server, however it is reached, and has at most 64 bytes.
	lock := fmt.Sprintf("bijou-%x", sha256.Sum224([]byte(s.database+" "+s.name)))
	var got sql.NullInt64
	if err := conn.QueryRowContext(first, `SELECT GET_LOCK(?, ?)`, lock, int(callTime/time.Second)-2).Scan(&got); err != nil {
		return err
	}
	if got.Int64 != 1 {
		return passing{fmt.Errorf("%s in database %s are being prepared by another process: try again: %w", s.name, s.where, bijou.Unavailable), false}
	}
	files, err := fs.Sub(migrations, "migrations/"+s.name)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectMySQL, s.pool, files, goose.WithTableName("bijou_"+s.name+"_version"))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(first)
	switch {
	case err != nil:
		return err
	case current > target+1:
		return fmt.Errorf("%s in database %s have version %d and this program knows %d: use a newer program: %w", s.name, s.where, current, target, bijou.Unsupported)
	case current >= target:
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

// discard has the pool close the connection rather than keep it.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // that is the error it returns
}

// do is call, on the schema.
func (s *schema) do(ctx context.Context, verb string, f func(context.Context) error) error {
	return s.call(ctx, verb, func(ctx context.Context) error {
		if err := s.ensure(ctx); err != nil {
			return err
		}
		return f(ctx)
	})
}

// tx is one try of a change.
type tx struct {
	ctx  context.Context
	conn *sql.Conn
	call int64 // names the call, whatever the try: chance
	// again tells that an earlier try may have been committed: its answer was lost.
	again bool
}

// unless returns the failure, unless it is the call's own doing: an earlier try, which was committed, made the row of the table.
func (t *tx) unless(failure error, table string, id any) error {
	if !t.again {
		return failure
	}
	return t.lock(failure, `SELECT 1 FROM `+table+` WHERE id = ? AND by_call = ?`, id, t.call)
}

// tx runs f in a transaction, and again where that may help. What an earlier try did not commit is undone; what it did commit, f finds. A commit
// that is still on its way to the server cannot come after that of a later try: it holds the locks that the later try waits for.
func (s *schema) tx(ctx context.Context, verb string, f func(*tx) error) error {
	call, again := 1+rand.Int64N(math.MaxInt64), false
	return s.do(ctx, verb, func(ctx context.Context) error {
		asked, err := s.transact(ctx, func(conn *sql.Conn) error { return f(&tx{ctx, conn, call, again}) })
		again = again || asked
		return err
	})
}

// transact runs f in a transaction, once. It tells whether the server was asked to commit, and did not say that it has.
func (s *schema) transact(ctx context.Context, f func(*sql.Conn) error) (asked bool, err error) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close() // says at most that it is closed
	if _, err := conn.ExecContext(ctx, `START TRANSACTION`); err != nil {
		return false, err
	}
	if err := f(conn); err != nil {
		if _, undone := conn.ExecContext(ctx, `ROLLBACK`); undone != nil || faultOf(err).lost && bijou.KindOf(err) == "" {
			discard(conn) // which undoes it too
		}
		return false, err
	}
	if _, err := conn.ExecContext(ctx, `COMMIT`); err != nil {
		discard(conn)
		return true, err
	}
	return false, nil
}

// exec changes rows. It returns how many there were to change.
func (t *tx) exec(query string, args ...any) (int64, error) {
	res, err := t.conn.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// scan reads one row, with sql.ErrNoRows where there is none.
func (t *tx) scan(to []any, query string, args ...any) error {
	return t.conn.QueryRowContext(t.ctx, query, args...).Scan(to...)
}

// into is where scan puts the columns of a row.
func into(to ...any) []any { return to }

// lock locks the one row that a query with FOR UPDATE finds, and fails with none where it finds none.
func (t *tx) lock(none error, query string, args ...any) error {
	var one int
	err := t.scan(into(&one), query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return none
	}
	return err
}

// lostRow is the failure where a table of one row has none.
func lostRow(table string) error {
	return fmt.Errorf("the table %s has lost its row: put the database back from a backup: %w", table, bijou.Corrupt)
}

// exec changes rows by one statement outside of a transaction: such as may come twice, and late, without harm.
func (s *schema) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := s.pool.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row reads one row, with sql.ErrNoRows where there is none.
func (s *schema) row(ctx context.Context, verb string, to []any, query string, args ...any) error {
	return s.do(ctx, verb, func(ctx context.Context) error { return s.pool.QueryRowContext(ctx, query, args...).Scan(to...) })
}

// scanner reads the columns of a row into v.
type scanner[T any] func(scan func(...any) error, v *T) error

// rows reads all rows.
func rows[T any](ctx context.Context, s *schema, verb string, read scanner[T], query string, args ...any) (out []T, err error) {
	err = s.do(ctx, verb, func(ctx context.Context) (err error) {
		out, err = collect(read)(s.pool.QueryContext(ctx, query, args...))
		return err
	})
	return out, err
}

// collect returns what reads the rows that a query gave, if it did.
func collect[T any](read scanner[T]) func(*sql.Rows, error) ([]T, error) {
	return func(rs *sql.Rows, err error) (out []T, _ error) {
		if err != nil {
			return nil, err
		}
		defer rs.Close()
		for rs.Next() {
			var v T
			if err := read(rs.Scan, &v); err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, rs.Err()
	}
}

// identifier reads the one column of a row.
func identifier[T ~string](scan func(...any) error, id *T) error { return scan(id) }

// Times are kept as microseconds since 1970, which order as numbers and know no zone; what is finer is cut off.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// orZero is micros, with 0 for no time at all.
func orZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}
