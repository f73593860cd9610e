package cassandra

import (
	"context"
	"crypto/sha1"
	"embed"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bijou"
	"bijou/kit/guard"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

//go:embed migrations
var migrations embed.FS

// schemaName is the row of schema_versions that is this package's.
const schemaName = "profiles"

// lockTime is how long a starter that died keeps others from bringing the schema up.
const lockTime = 30 * time.Second

// lockWait is how a starter waits for another.
var lockWait = guard.Policy{Tries: 100, Backoff: 100 * time.Millisecond}

// steps returns the statements of each version, the first at index 0.
func steps() ([][]string, error) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(files))
	for i, file := range files {
		if !strings.HasPrefix(file.Name(), fmt.Sprintf("%04d_", i+1)) {
			return nil, fmt.Errorf("migration %s is not number %d", file.Name(), i+1)
		}
		text, err := migrations.ReadFile("migrations/" + file.Name())
		if err != nil {
			return nil, err
		}
		for part := range strings.SplitSeq(string(text), ";\n") {
			if strings.Contains(part, "TABLE") {
				out[i] = append(out[i], part)
			}
		}
	}
	return out, nil
}

// migrate brings the schema to the newest version. Of several that start at once, one does.
func (s *Store) migrate(ctx context.Context, db *gocql.Session) error {
	all, err := steps()
	if err != nil {
		return err
	}
	version, err := s.version(ctx, db, len(all))
	if err != nil || version == len(all) {
		return err
	}
	d := &definer{s: s, db: db}
	if err := d.makeKeyspace(ctx); err != nil {
		return err
	}
	holder, err := gocql.RandomUUID()
	if err != nil {
		return err
	}
	if err := s.lock(ctx, db, holder); err != nil {
		return err
	}
	err = d.climb(ctx, holder, all)
	// Also where the caller has left: nobody else could begin before the lock ends by itself.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	free := statement{"UPDATE $.schema_versions SET holder = null WHERE name = ? IF holder = ?", []any{schemaName, holder}}
	if freeErr := s.transact(last, db, free); err == nil && freeErr != nil && !errors.Is(freeErr, errContended) {
		return s.failure(last, "unlock the schema", freeErr)
	}
	return err
}

// version returns which version the keyspace has: 0 where there is none. It fails with Unsupported for one that is newer than the newest known.
func (s *Store) version(ctx context.Context, db *gocql.Session, newest int) (int, error) {
	tables, err := rows(ctx, s.ask(db, "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", s.at.keyspace),
		func(scan func(...any) bool, name *string) bool { return scan(name) })
	if err != nil {
		return 0, s.failure(ctx, "read the schema", err)
	}
	if !slices.Contains(tables, "schema_versions") {
		return 0, nil
	}
	versions, err := rows(ctx, s.ask(db, "SELECT version FROM $.schema_versions WHERE name = ? AND version > 0", schemaName),
		func(scan func(...any) bool, v *int) bool { return scan(v) })
	if err != nil {
		return 0, s.failure(ctx, "read the schema", err)
	}
	version := 0
	for _, v := range versions {
		version = max(version, v)
	}
	if version > newest {
		return 0, fmt.Errorf("keyspace %s has version %d and this program knows %d: use the newer program that made it: %w", s.at.keyspace, version, newest, bijou.Unsupported)
	}
	return version, nil
}

// definer makes the schema. All of it may be made twice, also by several nodes at the same time: each table has an identifier of its own, whoever makes it.
type definer struct {
	s    *Store
	db   *gocql.Session
	node string // that made the last statement, and so knows the schema; the others hear of it within a second
}

var tableName = regexp.MustCompile(`TABLE IF NOT EXISTS \$\.(\w+)`)

// define makes one statement of the schema.
func (d *definer) define(ctx context.Context, statement string) error {
	if table := tableName.FindStringSubmatch(statement); table != nil {
		statement = strings.ReplaceAll(statement, "@id", tableID(d.s.at.keyspace, table[1]))
	}
	return guard.Do(ctx, again, func(ctx context.Context) error {
		iter := d.db.Query(d.s.named(statement)).SetHostID(d.node).IterContext(ctx)
		if host := iter.Host(); host != nil {
			d.node = host.HostID()
		}
		if err := iter.Close(); err != nil {
			d.node = ""
			return d.s.failure(ctx, "make the schema", err)
		}
		return nil
	})
}

// hearing is how the nodes are asked whether they have heard.
var hearing = guard.Policy{Tries: 20, Backoff: 50 * time.Millisecond}

// spread waits until all nodes have taken the schema in. The node that made it is asked: the others do not know what they have not heard of. One that is
// away takes it in when it is back, and is not waited for longer than agreementTime.
func (d *definer) spread(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, agreementTime)
	defer cancel()
	err := guard.Do(within, hearing, func(ctx context.Context) error {
		seen := map[gocql.UUID]bool{}
		for _, query := range []string{"SELECT schema_version FROM system.local", "SELECT schema_version FROM system.peers"} {
			versions, err := rows(ctx, d.db.Query(query).SetHostID(d.node), func(scan func(...any) bool, v *gocql.UUID) bool { return scan(v) })
			if err != nil {
				return d.s.failure(ctx, "make the schema", err)
			}
			for _, v := range versions {
				seen[v] = true
			}
		}
		if len(seen) > 1 {
			return fmt.Errorf("make the schema: not all nodes of the cluster at %s have heard of it: see nodetool describecluster: %w", d.s.at, bijou.Unavailable)
		}
		return nil
	})
	if ctx.Err() != nil {
		return err
	}
	return nil
}

// makeKeyspace makes the keyspace and the table of versions where they are missing. There is no lock yet.
func (d *definer) makeKeyspace(ctx context.Context) error {
	s := d.s
	copies := s.at.copies
	if copies == 0 {
		copies = defaultCopies
	}
	replication, err := s.replication(ctx, d.db)
	if err != nil {
		return err
	}
	if replication == nil {
		if err := s.enough(d.db, copies); err != nil {
			return err
		}
		err := d.define(ctx, fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': 'NetworkTopologyStrategy', '%s': %d}", s.at.keyspace, s.at.dc, copies))
		if err != nil {
			return err
		}
	}
	err = d.define(ctx, "CREATE TABLE IF NOT EXISTS $.schema_versions (name text, version int, made_us bigint, holder uuid STATIC, PRIMARY KEY (name, version)) WITH ID = @id")
	if err != nil {
		return err
	}
	return d.spread(ctx)
}

// lock waits until no other starter brings the schema up.
func (s *Store) lock(ctx context.Context, db *gocql.Session, holder gocql.UUID) error {
	err := guard.Do(ctx, lockWait, func(ctx context.Context) error {
		take := statement{fmt.Sprintf("UPDATE $.schema_versions USING TTL %d SET holder = ? WHERE name = ? IF holder = null", int(lockTime.Seconds())), []any{holder, schemaName}}
		err := s.transact(ctx, db, take)
		if err == nil {
			return nil
		}
		var now *gocql.UUID // who holds it: this starter too, where its answer was lost
		if readErr := s.ask(db, "SELECT holder FROM $.schema_versions WHERE name = ? LIMIT 1", schemaName).Consistency(gocql.LocalSerial).ScanContext(ctx, &now); readErr == nil && now != nil && *now == holder {
			return nil
		}
		return s.failure(ctx, "lock the schema", err)
	})
	if errors.Is(err, errContended) {
		return fmt.Errorf("another program is bringing keyspace %s up for longer than this one waits: try again: %w", s.at.keyspace, bijou.Unavailable)
	}
	return err
}

// climb makes the versions that are missing, under the lock.
func (d *definer) climb(ctx context.Context, holder gocql.UUID, all [][]string) error {
	s, db := d.s, d.db
	version, err := s.version(ctx, db, len(all))
	if err != nil {
		return err
	}
	for ; version < len(all); version++ {
		renew := statement{fmt.Sprintf("UPDATE $.schema_versions USING TTL %d SET holder = ? WHERE name = ? IF holder = ?", int(lockTime.Seconds())), []any{holder, schemaName, holder}}
		if err := s.transact(ctx, db, renew); err != nil {
			return s.failure(ctx, "lock the schema", err)
		}
		for _, text := range all[version] {
			if err := d.define(ctx, text); err != nil {
				return err
			}
		}
		if err := d.spread(ctx); err != nil {
			return err
		}
		// Whoever lost the lock has lost the right to say that the version is made.
		err := s.transact(ctx, db, renew,
			statement{"INSERT INTO $.schema_versions (name, version, made_us) VALUES (?, ?, ?)", []any{schemaName, version + 1, time.Now().UnixMicro()}})
		if err != nil {
			return s.failure(ctx, "note the schema's version", err)
		}
	}
	return nil
}

// replication returns how the keyspace is copied, or nil where there is no such keyspace.
func (s *Store) replication(ctx context.Context, db *gocql.Session) (map[string]string, error) {
	var replication map[string]string
	err := s.ask(db, "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", s.at.keyspace).ScanContext(ctx, &replication)
	if err != nil && !errors.Is(err, gocql.ErrNotFound) {
		return nil, s.failure(ctx, "read the schema", err)
	}
	return replication, nil
}

// nodes returns how many nodes each datacenter has, also those that are down.
func nodes(db *gocql.Session) map[string]int {
	out := map[string]int{}
	for _, host := range db.GetHosts() {
		out[host.DataCenter()]++
	}
	return out
}

// local refuses a cluster that does not have the datacenter.
func (s *Store) local(db *gocql.Session) error {
	all := nodes(db)
	if all[s.at.dc] == 0 {
		return fmt.Errorf("the cluster at %s has no datacenter %s: write dc=%s in the address: %w", s.at, s.at.dc, strings.Join(slices.Sorted(maps.Keys(all)), " or dc="), bijou.Invalid)
	}
	return nil
}

// enough refuses a datacenter that has fewer nodes than there are to be copies.
func (s *Store) enough(db *gocql.Session, copies int) error {
	if n := nodes(db)[s.at.dc]; n < copies {
		return fmt.Errorf("keyspace %s keeps %d copies, and datacenter %s of Cassandra at %s has %d nodes: start more, or write a smaller rf in the address of a new keyspace: %w",
			s.at.keyspace, copies, s.at.dc, s.at, n, bijou.Unavailable)
	}
	return nil
}

// checkCopies compares what the keyspace keeps with the address and with the nodes that there are.
func (s *Store) checkCopies(ctx context.Context, db *gocql.Session) error {
	replication, err := s.replication(ctx, db)
	if err != nil {
		return err
	}
	copies, err := strconv.Atoi(replication[s.at.dc])
	if err != nil {
		return fmt.Errorf("keyspace %s keeps nothing in datacenter %s: write the dc of one that it is kept in, or alter the keyspace: %w", s.at.keyspace, s.at.dc, bijou.Invalid)
	}
	if s.at.copies != 0 && s.at.copies != copies {
		return fmt.Errorf("keyspace %s keeps %d copies and the address says rf=%d: write rf=%d, or alter the keyspace and repair it: %w", s.at.keyspace, copies, s.at.copies, copies, bijou.Invalid)
	}
	return s.enough(db, copies)
}

// tableID is the identifier of a table of the keyspace (RFC 9562, version 5, of their names).
func tableID(keyspace, table string) string {
	sum := sha1.Sum([]byte("bijou " + keyspace + "." + table))
	id, _ := gocql.UUIDFromBytes(sum[:16]) // fails for other lengths alone
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return id.String()
}
