package engines

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Cassandra is a cluster: node n listens on 127.0.0.n, all at the same port.
type Cassandra struct {
	Nodes []*Server
	Port  int // of CQL
}

// Address returns what engine/cassandra takes for a keyspace of the cluster, with as many copies as there are nodes.
func (c *Cassandra) Address(keyspace string) string {
	hosts := make([]string, len(c.Nodes))
	for i := range c.Nodes {
		hosts[i] = nodeIP(i)
	}
	return fmt.Sprintf("cassandra://%s:%d/%s?rf=%d", strings.Join(hosts, ","), c.Port, keyspace, len(c.Nodes))
}

// StartCassandra starts that many nodes of a new cluster in folders below dir. It returns when all answer and know of each other.
func StartCassandra(t T, dir string, nodes int) *Cassandra {
	t.Helper()
	lib := install(t, "install-cassandra")
	agents, err := filepath.Glob(filepath.Join(lib, "jamm-*.jar"))
	if err != nil || len(agents) != 1 {
		t.Fatalf("%s: want one jamm-*.jar, got %v (%v)", lib, agents, err)
	}
	c := &Cassandra{Port: commonPort(t, nodes)}
	storage := commonPort(t, nodes)
	for n := range nodes {
		own := filepath.Join(dir, fmt.Sprint("node", n+1))
		if err := os.MkdirAll(own, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(own, "cassandra.yaml"), settings(own, n, nodes, c.Port, storage))
		write(t, filepath.Join(own, "logback.xml"), logback)
		address := net.JoinHostPort(nodeIP(n), strconv.Itoa(c.Port))
		s := &Server{
			Address: address, Dir: own,
			command: func() *exec.Cmd { return exec.Command("java", arguments(lib, agents[0], own)...) },
			ready:   func() error { return answers(address) },
		}
		t.Cleanup(func() { s.Kill(t) })
		c.Nodes = append(c.Nodes, s)
		s.Launch(t)
		if n == 0 {
			s.Await(t) // the others learn the cluster from it
		}
	}
	for _, s := range c.Nodes {
		s.Await(t)
	}
	for _, s := range c.Nodes {
		Until(t, "the node at "+s.Address+" knows of the others", startTime, func() error { return c.ask(s, "system.peers", nodes-1) })
	}
	return c
}

// AwaitHints waits until no node keeps a write for another that was away.
func (c *Cassandra) AwaitHints(t T) {
	t.Helper()
	for _, s := range c.Nodes {
		Until(t, "the node at "+s.Address+" has handed over what it kept for others", startTime, func() error { return c.ask(s, "system_views.pending_hints", 0) })
	}
}

// ask asks one node alone how many rows a table of its own has.
func (c *Cassandra) ask(s *Server, table string, want int) error {
	cluster := gocql.NewCluster(s.Address)
	cluster.ProtoVersion, cluster.NumConns, cluster.DisableInitialHostLookup = 5, 1, true
	db, err := cluster.CreateSession()
	if err != nil {
		return err
	}
	defer db.Close()
	var rows int
	if err := db.Query("SELECT count(*) FROM " + table).Scan(&rows); err != nil {
		return err
	}
	if rows != want {
		return fmt.Errorf("%s has %d rows, want %d", table, rows, want)
	}
	return nil
}

func nodeIP(n int) string { return fmt.Sprint("127.0.0.", n+1) }

// commonPort returns a port that is free on each of the nodes' addresses.
func commonPort(t T, nodes int) int {
	t.Helper()
next:
	for range 20 {
		port := FreePort(t, nodeIP(0))
		for n := 1; n < nodes; n++ {
			l, err := net.Listen("tcp", net.JoinHostPort(nodeIP(n), strconv.Itoa(port)))
			if err != nil {
				continue next
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return port
	}
	t.Fatal("no port is free on all of the nodes' addresses")
	return 0
}

func write(t T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logback has warnings go to the output.
const logback = `<configuration><appender name="O" class="ch.qos.logback.core.ConsoleAppender">
<encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="O"/></root></configuration>
`

// settings returns the cassandra.yaml of node n: small, and else what a real one has, its timeouts among it.
func settings(dir string, n, nodes, port, storage int) string {
	// The ring of the Murmur3 partitioner, cut into equal parts.
	token := int64(math.MinInt64)
	for range n {
		token += math.MaxInt64/int64(nodes)*2 + 1
	}
	return fmt.Sprintf(`cluster_name: bijou
num_tokens: 1
initial_token: %d
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:%d"
listen_address: %[3]s
rpc_address: %[3]s
storage_port: %[2]d
start_native_transport: true
native_transport_port: %[4]d
data_file_directories: [%[5]s/data]
commitlog_directory: %[5]s/commitlog
saved_caches_directory: %[5]s/saved_caches
hints_directory: %[5]s/hints
cdc_raw_directory: %[5]s/cdc_raw
%[6]s
commitlog_segment_size: 8MiB
commitlog_total_space: 128MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
key_cache_size: 8MiB
counter_cache_size: 4MiB
file_cache_enabled: true
file_cache_size: 32MiB
networking_cache_size: 32MiB
native_transport_max_threads: 32
concurrent_reads: 8
concurrent_writes: 8
concurrent_compactors: 1
hints_flush_period: 1000ms
auto_snapshot: false
disk_access_mode: standard
paxos_variant: v2
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
`, token, storage, nodeIP(n), port, dir, commitLog(nodes))
}

// commitLog says when what is acknowledged is on disk: as usual where other nodes have it too, at once where none has.
func commitLog(nodes int) string {
	if nodes == 1 {
		return "commitlog_sync: batch"
	}
	return "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms"
}

// opens are the doors of the Java runtime that Cassandra goes through.
const opens = `--add-exports java.base/jdk.internal.misc --add-exports java.base/jdk.internal.ref --add-exports java.base/sun.nio.ch
	--add-exports java.management.rmi/com.sun.jmx.remote.internal.rmi --add-exports java.rmi/sun.rmi.registry --add-exports java.rmi/sun.rmi.server
	--add-exports java.sql/java.sql --add-exports jdk.unsupported/sun.misc --add-exports java.base/java.lang.ref --add-exports jdk.attach/sun.tools.attach
	--add-opens java.base/java.lang.module --add-opens java.base/jdk.internal.loader --add-opens java.base/jdk.internal.ref
	--add-opens java.base/jdk.internal.reflect --add-opens java.base/jdk.internal.math --add-opens java.base/jdk.internal.module
	--add-opens java.base/jdk.internal.util.jar --add-opens jdk.management/com.sun.management.internal --add-opens java.base/sun.nio.ch
	--add-opens java.base/java.io --add-opens java.base/java.lang --add-opens java.base/java.lang.reflect --add-opens java.base/java.util
	--add-opens java.base/java.util.concurrent --add-opens java.base/java.util.concurrent.atomic --add-opens java.base/java.nio
	--add-opens java.rmi/sun.rmi.transport.tcp --add-opens jdk.compiler/com.sun.tools.javac`

// arguments returns what Java is called with: small heaps, and no waits for a cluster of strangers.
func arguments(lib, agent, dir string) []string {
	args := []string{"-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=256m", "-Xss512k", "-XX:TieredStopAtLevel=1", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote"}
	for _, word := range strings.Fields(opens) {
		if !strings.HasPrefix(word, "--") {
			word += "=ALL-UNNAMED"
		}
		args = append(args, word)
	}
	return append(args, "-Djdk.attach.allowAttachSelf=true", "-javaagent:"+agent,
		"-Dcassandra.config=file://"+dir+"/cassandra.yaml", "-Dcassandra.storagedir="+dir, "-Dcassandra-foreground=yes",
		"-Dlogback.configurationFile="+dir+"/logback.xml", "-Djava.net.preferIPv4Stack=true", "-Djava.io.tmpdir="+dir,
		"-Dcassandra.ring_delay_ms=1000", "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0",
		"-Dcassandra.allow_unsafe_join=true", "-Dio.netty.tryReflectionSetAccessible=true",
		"-cp", lib+"/*", "org.apache.cassandra.service.CassandraDaemon")
}
