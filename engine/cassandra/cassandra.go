// Package cassandra keeps profiles, lists and positions in Apache Cassandra: on several machines at once, of which any one may be away.
package cassandra

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"bijou"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	callTime       = 10 * time.Second       // of a call whose caller has no deadline
	connectTime    = 2 * time.Second        // that a node has for each step of a connection
	answerTime     = 2 * time.Second        // that a node has to answer
	speculateAfter = 250 * time.Millisecond // after which another node is asked too
	reconnectEvery = time.Second            // a node that is down is tried again
	agreementTime  = 5 * time.Second        // that all nodes have to take a change of the schema in
)

// protocol is the version that Cassandra 4.0 and later speak.
const protocol = 5

// Store keeps bijou.ProfileStore, bijou.ListStore and bijou.PositionStore in one keyspace.
type Store struct {
	at     address
	recent *recent

	stop    context.Context // ends with Close
	cancel  context.CancelFunc
	mu      sync.Mutex
	db      *gocql.Session // nil until a node answered; it finds nodes again by itself
	ready   bool           // the schema is there, and of this program's version
	opening *opening       // nil while nobody opens
}

// opening is one try to reach the cluster and to bring the schema up, which all callers wait for.
type opening struct {
	done chan struct{}
	err  error
}

// Open returns the store at the address, such as cassandra://user:password@host1,host2,host3:9042/bijou?dc=datacenter1&rf=3. It does no I/O: a
// cluster that is away is found out by the first call. It fails with Invalid for an address that nobody can read.
func Open(address string) (*Store, error) {
	at, err := parse(address)
	if err != nil {
		return nil, err
	}
	s := &Store{at: at, recent: newRecent()}
	s.stop, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close lets the cluster go. Calls under way fail.
func (s *Store) Close() error {
	s.cancel()
	s.mu.Lock()
	o := s.opening
	s.mu.Unlock()
	if o != nil {
		<-o.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		s.db.Close()
		s.db = nil
	}
	s.ready = false
	return nil
}

// session returns the cluster with its schema ready. Where it is not, it waits for one try to open it.
func (s *Store) session(ctx context.Context) (*gocql.Session, error) {
	s.mu.Lock()
	if s.ready {
		defer s.mu.Unlock()
		return s.db, nil
	}
	s.mu.Unlock()
	if err := s.await(ctx, s.start()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil, s.closed()
	}
	return s.db, nil
}

// connected returns the cluster, whatever its schema is.
func (s *Store) connected(ctx context.Context) (*gocql.Session, error) {
	s.mu.Lock()
	db := s.db
	s.mu.Unlock()
	if db != nil {
		return db, nil
	}
	err := s.await(ctx, s.start())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return s.db, nil
	}
	return nil, err
}

func (s *Store) await(ctx context.Context, o *opening) error {
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return s.failure(ctx, "open", ctx.Err())
	}
}

// start returns the try that is under way, or a new one.
func (s *Store) start() *opening {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opening != nil {
		return s.opening
	}
	o := &opening{done: make(chan struct{})}
	s.opening = o
	go func() {
		ctx, cancel := context.WithTimeout(s.stop, time.Minute)
		defer cancel()
		o.err = s.open(ctx)
		s.mu.Lock()
		s.opening, s.ready = nil, o.err == nil
		s.mu.Unlock()
		close(o.done)
	}()
	return o
}

func (s *Store) open(ctx context.Context) error {
	if s.stop.Err() != nil {
		return s.closed()
	}
	s.mu.Lock()
	db := s.db
	s.mu.Unlock()
	if db == nil {
		var err error
		if db, err = gocql.NewSession(*s.cluster()); err != nil {
			return s.failure(ctx, "connect", err)
		}
		s.mu.Lock()
		s.db = db
		s.mu.Unlock()
	}
	if err := s.local(db); err != nil {
		return err
	}
	return s.migrate(ctx, db)
}

func (s *Store) closed() error {
	return fmt.Errorf("the store at %s was closed: open it again: %w", s.at, bijou.Unavailable)
}

// cluster returns what the driver is told.
func (s *Store) cluster() *gocql.ClusterConfig {
	c := gocql.NewCluster(s.at.hosts...)
	hosts := newWilling(s.at.dc)
	c.Port, c.ProtoVersion = s.at.port, protocol
	c.Consistency, c.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	c.ConnectTimeout, c.Timeout, c.WriteTimeout = connectTime, answerTime, answerTime
	c.ReconnectInterval, c.MaxWaitSchemaAgreement = reconnectEvery, time.Nanosecond // spread waits
	c.PoolConfig.HostSelectionPolicy = hosts
	c.QueryObserver, c.BatchObserver = hosts, hosts
	c.Metadata.CacheMode = gocql.KeyspaceOnly // where rows lie; the tables are ours
	if s.at.user != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: s.at.user, Password: s.at.password}
	}
	if s.at.tls {
		c.SslOpts = &gocql.SslOptions{Config: &tls.Config{MinVersion: tls.VersionTLS12}, EnableHostVerification: true}
	}
	return c
}

// Check returns nil when the cluster answers, keeps as many copies as it is asked to, and its schema is this program's; it makes the schema when
// it is missing. It fails with Unavailable for a cluster that is away or has fewer nodes than copies, with Denied for wrong credentials, with Invalid
// for an address that contradicts the keyspace, and with Unsupported for a schema of a newer program or a server that is too old.
func (s *Store) Check(ctx context.Context) error {
	return s.try(ctx, "check", func(ctx context.Context, db *gocql.Session) error { return s.checkCopies(ctx, db) })
}

// Version returns what the server says it is.
func (s *Store) Version(ctx context.Context) (string, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	db, err := s.connected(ctx)
	if err != nil {
		return "", err
	}
	var version string
	err = s.ask(db, "SELECT release_version FROM system.local").ScanContext(ctx, &version)
	if err != nil {
		return "", s.failure(ctx, "ask for the version", err)
	}
	return "Cassandra " + version, nil
}
