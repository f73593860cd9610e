package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bijou"
	"bijou/kit/guard"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// again is how a call is tried again whose doing twice is doing once. A node that is away costs no more than one try: the next goes to another. Where two nodes go
// within seconds, the connections to the third may have to be made anew first, which takes the pauses of some five seconds in all.
var again = guard.Policy{Tries: 8, Backoff: 50 * time.Millisecond}

// contended is how a lightweight transaction is tried again: after another's came between, or when nobody knows what became of it.
var contended = guard.Policy{Tries: 12, Backoff: 10 * time.Millisecond}

// others is how many more nodes are asked, one after the other, while one does not answer.
const others = 2

// limited returns ctx with a deadline.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, callTime)
}

// try runs f, whose doing twice is doing once, until it succeeds, its time is up, or it fails for good.
func (s *Store) try(ctx context.Context, verb string, f func(context.Context, *gocql.Session) error) error {
	return s.tryBy(ctx, again, verb, f)
}

func (s *Store) tryBy(ctx context.Context, p guard.Policy, verb string, f func(context.Context, *gocql.Session) error) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	return guard.Do(ctx, p, func(ctx context.Context) error {
		db, err := s.session(ctx)
		if err != nil {
			return err
		}
		if err := f(ctx, db); err != nil {
			return s.failure(ctx, verb, err)
		}
		return nil
	})
}

// ask returns a query that may be asked of several nodes at once.
func (s *Store) ask(db *gocql.Session, query string, args ...any) *gocql.Query {
	return db.Query(s.named(query), args...).Idempotent(true).SetSpeculativeExecutionPolicy(&gocql.SimpleSpeculativeExecution{NumAttempts: others, TimeoutDelay: speculateAfter})
}

// named puts the keyspace in front of the tables' names.
func (s *Store) named(query string) string { return strings.ReplaceAll(query, "$.", s.at.keyspace+".") }

// change makes one change that is a plain write.
func (s *Store) change(ctx context.Context, db *gocql.Session, query string, args ...any) error {
	return s.ask(db, query, args...).ExecContext(ctx)
}

// rows reads all rows of a query, page by page.
func rows[T any](ctx context.Context, q *gocql.Query, scan func(scan func(...any) bool, v *T) bool) ([]T, error) {
	var out []T
	iter := q.IterContext(ctx)
	for {
		var v T
		if !scan(iter.Scan, &v) {
			return out, iter.Close()
		}
		out = append(out, v)
	}
}

// errContended says that a lightweight transaction was not applied since another's came between.
var errContended = fmt.Errorf("others change the same at the same time: try again: %w", bijou.Unavailable)

// statement is one change of a lightweight transaction.
type statement struct {
	query string
	args  []any
}

// transact runs a lightweight transaction on one partition, once. It fails with errContended where a condition does not hold. With another failure
// it may have been applied, or be applied later: whoever wants to know reads at gocql.LocalSerial, which settles it.
func (s *Store) transact(ctx context.Context, db *gocql.Session, statements ...statement) error {
	var applied bool
	var err error
	if len(statements) == 1 {
		applied, err = db.Query(s.named(statements[0].query), statements[0].args...).MapScanCASContext(ctx, map[string]any{})
	} else {
		b := db.Batch(gocql.LoggedBatch)
		for _, st := range statements {
			b.Query(s.named(st.query), st.args...)
		}
		var iter *gocql.Iter
		if applied, iter, err = b.MapExecCASContext(ctx, map[string]any{}); iter != nil {
			err = errors.Join(err, iter.Close())
		}
	}
	if err == nil && !applied {
		err = errContended
	}
	return err
}

// failure returns err as the store's: a sentence that ends in a kind. What has a kind already passes through.
func (s *Store) failure(ctx context.Context, verb string, err error) error {
	if bijou.KindOf(err) != "" || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	kind, what, fix := classify(err)
	return fmt.Errorf("%s: Cassandra at %s %s (%s): %s: %w", verb, s.at, what, strings.TrimSpace(err.Error()), fix, kind)
}

// classify tells what sort of failure the driver met.
func classify(err error) (kind bijou.Kind, what, fix string) {
	var re gocql.RequestError
	code := 0
	if errors.As(err, &re) {
		code = re.Code()
	}
	text := err.Error()
	switch {
	// The driver makes text of what failed while it connected.
	case code == gocql.ErrCodeCredentials, strings.Contains(text, "Provided username"), strings.Contains(text, "authentication required"):
		return bijou.Denied, "knows no such user with this password", "see to the user and the password in its address"
	case code == gocql.ErrCodeUnauthorized:
		return bijou.Denied, "does not let this user do that", "grant it all rights on the keyspace"
	case strings.Contains(text, "unsupported protocol version"), strings.Contains(text, "Invalid or unsupported protocol"):
		return bijou.Unsupported, "is too old", "use Cassandra 5.0, or 4.0 at least"
	case code == gocql.ErrCodeInvalid && strings.Contains(text, "does not exist"):
		return bijou.Unavailable, "has a node that does not know the schema yet", "try again, and see that nobody has removed the keyspace's tables"
	case code == gocql.ErrCodeSyntax, code == gocql.ErrCodeInvalid, code == gocql.ErrCodeConfig:
		return bijou.Unsupported, "does not take this request", "use Cassandra 5.0, and see that nobody else has changed the keyspace's tables"
	}
	return bijou.Unavailable, "does not answer as it should", "see that most of its nodes run and can be reached"
}
