// Package mysql keeps accounts, profiles, titles, work and operators on a MySQL 8 or MariaDB server: the stores that many processes share.
//
// What is acknowledged is committed. A change is a transaction at READ COMMITTED that first locks the row which its rule is about (an account
// before its sign-ins, a profile before its list): so what the contracts promise of many who do something at once holds by row locks, there
// are no gaps to lock, and who waits sees what was committed last. The exceptions are one statement each, and may come twice without harm.
package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bijou"

	"github.com/go-sql-driver/mysql"
)

const (
	defaultPort    = "3306"
	maxConnections = 16
	// idleTime is less than the server's patience with a connection that says nothing (idleSeconds).
	idleTime = 30 * time.Second
	// lifeTime lets connections find out that the name of the server leads elsewhere by now.
	lifeTime    = 5 * time.Minute
	dialTimeout = 2 * time.Second
)

// Database is one database of a server. It may hold any of the stores; each has a schema of its own, which is made at its first use.
type Database struct {
	pool     *sql.DB
	database string                    // its name on the server
	where    string                    // database and server, as messages name them
	lostAt   atomic.Pointer[time.Time] // since when the server has not answered; nil where it has

	mu      sync.Mutex
	schemas map[string]*schema

	life  context.Context // ends with Close
	end   context.CancelFunc
	tasks sync.WaitGroup // migrations at work
}

// Open returns the database at the address, such as mysql://user:password@host:3306/bijou. It does no I/O: a server that is away is found out
// by the first call. It fails with Invalid for an address that nobody can read.
func Open(address string) (*Database, error) {
	c, err := parse(address)
	if err != nil {
		return nil, err
	}
	link, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("the address of the MySQL server cannot be used: see to it that it is like %s: %w", example, bijou.Invalid)
	}
	d := &Database{pool: sql.OpenDB(connector{link}), database: c.DBName, where: c.DBName + " at " + c.Addr, schemas: map[string]*schema{}}
	d.life, d.end = context.WithCancel(context.Background())
	d.pool.SetMaxOpenConns(maxConnections)
	d.pool.SetMaxIdleConns(maxConnections)
	d.pool.SetConnMaxIdleTime(idleTime)
	d.pool.SetConnMaxLifetime(lifeTime)
	return d, nil
}

const example = "mysql://user:password@host:3306/bijou"

// databaseName is what needs no quotes anywhere.
var databaseName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// parse reads an address. No failure says anything of the password: url.Parse's own would.
func parse(address string) (*mysql.Config, error) {
	refuse := func(what string) (*mysql.Config, error) {
		return nil, fmt.Errorf("the address of the MySQL server %s: write it like %s: %w", what, example, bijou.Invalid)
	}
	u, err := url.Parse(address)
	if err != nil {
		return refuse("cannot be read (characters such as / and @ in a password are written as %2F and %40)")
	}
	password, _ := u.User.Password()
	name := strings.TrimPrefix(u.Path, "/")
	switch {
	case u.Scheme != "mysql" || u.Opaque != "":
		return refuse("does not begin with mysql://")
	case u.User.Username() == "":
		return refuse("names no user")
	case u.Hostname() == "":
		return refuse("names no host")
	case !databaseName.MatchString(name):
		return refuse("names no database of letters, digits, - and _")
	case u.Fragment != "":
		return refuse("has a # in it, which is written as %23")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return refuse("has settings after the ? that cannot be read")
	}
	c := mysql.NewConfig()
	for key, values := range query {
		on, err := strconv.ParseBool(values[0])
		if key != "tls" || len(values) > 1 {
			return refuse(fmt.Sprintf("has a setting %.40q that is unknown, or there twice: the only one is tls", key))
		}
		if err != nil {
			return refuse("has a setting tls that is neither true nor false")
		}
		c.TLSConfig = strconv.FormatBool(on) // by the system's roots, and the host's name
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = u.User.Username(), password, "tcp", net.JoinHostPort(u.Hostname(), port), name
	c.Collation, c.Loc, c.ParseTime = "utf8mb4_bin", time.UTC, true
	c.Timeout, c.ClientFoundRows, c.InterpolateParams, c.Logger = dialTimeout, true, true, &mysql.NopLogger{}
	return c, nil
}

// schema returns the schema with the name, which belongs to one store.
func (d *Database) schema(name string) *schema {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.schemas[name] == nil {
		d.schemas[name] = &schema{Database: d, name: name}
	}
	return d.schemas[name]
}

// Check returns nil when the server answers, takes changes, and keeps the stores that this Database was asked for in versions which this
// program reads; it makes those that are missing. It tries once. It fails with Unavailable for a server that is away or takes no changes, with
// Denied where it refuses the user, and with Unsupported for a server that is too old or data that is too new.
func (d *Database) Check(ctx context.Context) error {
	ctx, stop := within(ctx)
	defer stop()
	return d.try(ctx, "check", callTime, func(ctx context.Context) error {
		var text, readOnly string
		if err := d.pool.QueryRowContext(ctx, `SELECT VERSION(), @@global.read_only`).Scan(&text, &readOnly); err != nil {
			return err
		}
		if v := parseVersion(text); v.tooOld() {
			return fmt.Errorf("database %s is on %s: use MySQL 8.0.11 or MariaDB 10.6, or later: %w", d.where, v, bijou.Unsupported)
		}
		if readOnly != "0" && readOnly != "OFF" {
			return fmt.Errorf("database %s takes no changes: give the address of the server that does, or set its read_only to OFF: %w", d.where, bijou.Unavailable)
		}
		d.mu.Lock()
		var all []*schema
		for _, s := range d.schemas {
			all = append(all, s)
		}
		d.mu.Unlock()
		slices.SortFunc(all, func(a, b *schema) int { return strings.Compare(a.name, b.name) })
		for _, s := range all {
			if err := s.ensure(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// Version returns what the server says it is, such as MySQL 8.0.33.
func (d *Database) Version(ctx context.Context) (string, error) {
	var text string
	err := d.call(ctx, "ask for the version", func(ctx context.Context) error {
		return d.pool.QueryRowContext(ctx, `SELECT VERSION()`).Scan(&text)
	})
	if err != nil {
		return "", err
	}
	return parseVersion(text).String(), nil
}

// Close ends all connections. The stores of the database are of no use after it.
func (d *Database) Close() error {
	d.end()
	err := d.pool.Close()
	d.tasks.Wait()
	if err != nil {
		return d.failure("close", err)
	}
	return nil
}

// version is what a server says it is: "8.0.33", or "10.11.19-MariaDB-0+deb12u1".
type version struct {
	product             string
	major, minor, patch int
}

func parseVersion(text string) version {
	v := version{product: "MySQL"}
	if strings.Contains(text, "MariaDB") {
		v.product = "MariaDB"
		text = strings.TrimPrefix(text, "5.5.5-") // what old replicas were told
	}
	numbers, _, _ := strings.Cut(text, "-")
	for i, field := range strings.SplitN(numbers, ".", 3) {
		n, err := strconv.Atoi(field)
		if err != nil {
			break // what cannot be read is 0, and so too old
		}
		*[]*int{&v.major, &v.minor, &v.patch}[i] = n
	}
	return v
}

func (v version) String() string {
	return fmt.Sprintf("%s %d.%d.%d", v.product, v.major, v.minor, v.patch)
}

// tooOld tells whether the server lacks what the queries use: SKIP LOCKED above all. MySQL's first release for production was 8.0.11.
func (v version) tooOld() bool {
	least := version{major: 8, minor: 0, patch: 11}
	if v.product == "MariaDB" {
		least = version{major: 10, minor: 6}
	}
	return slices.Compare([]int{v.major, v.minor, v.patch}, []int{least.major, least.minor, least.patch}) < 0
}
