package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kafka starts one server of Apache Kafka, which is its own controller. Its settings are what docs/engines/kafka.md has, where they matter on one
// machine; more are appended as they are.
func Kafka(t T, dir string, more ...string) *Server {
	t.Helper()
	lib := filepath.Join(install(t, "install-kafka"), "lib", "*")
	port, control := FreePort(t, "127.0.0.1"), FreePort(t, "127.0.0.1")
	settings := append([]string{
		"process.roles=broker,controller", "node.id=1", fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", control),
		"controller.listener.names=CONTROLLER", "inter.broker.listener.name=PLAINTEXT",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", port, control),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%d", port),
		"log.dirs=" + filepath.Join(dir, "logs"), "auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1", "share.coordinator.state.topic.num.partitions=1",
		"group.initial.rebalance.delay.ms=0",
	}, more...)
	logging := []string{
		"rootLogger.level=WARN", "rootLogger.appenderRef.c.ref=C", "appender.c.type=Console", "appender.c.name=C",
		"appender.c.layout.type=PatternLayout", "appender.c.layout.pattern=[%d] %p %m (%c)%n",
	}
	config, log4j := filepath.Join(dir, "server.properties"), filepath.Join(dir, "log4j2.properties")
	for name, lines := range map[string][]string{config: settings, log4j: logging} {
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	java := func(memory string, args ...string) *exec.Cmd {
		return exec.Command("java", append([]string{"-Xmx" + memory, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", lib, "-Dlog4j2.configurationFile=" + log4j}, args...)...)
	}
	// 22 characters of base64 that name the cluster; any will do.
	if out, err := java("128m", "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", config).CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's directory: %v\n%s", err, out)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	return start(t, address, dir, func() *exec.Cmd { return java("512m", "kafka.Kafka", config) }, func() error { return answers(address) })
}
