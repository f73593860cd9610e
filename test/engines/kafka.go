package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KafkaServer is one server of Apache Kafka, which is its own controller.
type KafkaServer struct {
	*Server
	// SignIn is host:port where one has to sign in, by SCRAM-SHA-512, as KafkaUser with KafkaPassword.
	SignIn string
	// Classes is where Kafka's own programs lie, as java has it.
	Classes string
}

// Who may sign in.
const KafkaUser, KafkaPassword = "ada", "engines-test"

// Kafka starts a server. Its settings are those of docs/engines/kafka.md, where they matter on one machine; more are appended as they are.
func Kafka(t T, dir string, more ...string) KafkaServer {
	t.Helper()
	lib := filepath.Join(install(t, "install-kafka"), "lib", "*")
	port, signIn, control := FreePort(t, "127.0.0.1"), FreePort(t, "127.0.0.1"), FreePort(t, "127.0.0.1")
	address, signInAddress := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", signIn)
	settings := append([]string{
		"process.roles=broker,controller", "node.id=1", fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", control),
		"controller.listener.names=CONTROLLER", "inter.broker.listener.name=PLAINTEXT", "sasl.enabled.mechanisms=SCRAM-SHA-512",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SIGNIN:SASL_PLAINTEXT",
		fmt.Sprintf("listeners=PLAINTEXT://%s,SIGNIN://%s,CONTROLLER://127.0.0.1:%d", address, signInAddress, control),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://%s,SIGNIN://%s", address, signInAddress),
		"listener.name.signin.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"log.dirs=" + filepath.Join(dir, "logs"), "auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1", "share.coordinator.state.topic.num.partitions=1",
		"group.initial.rebalance.delay.ms=0", "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
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
	// The name of the cluster is 22 characters of base64; any will do.
	user := fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", KafkaUser, KafkaPassword)
	format := java("128m", "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", config, "--add-scram", user)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's directory: %v\n%s", err, out)
	}
	run := func() *exec.Cmd { return java("512m", "kafka.Kafka", config) }
	return KafkaServer{start(t, address, dir, run, func() error { return answers(address) }), signInAddress, lib}
}
