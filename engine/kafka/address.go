package kafka

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bijou"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// What an address that does not say otherwise means.
const (
	defaultPort       = "9092"
	defaultPartitions = 8
	maxPartitions     = 10_000
	maxReplicas       = 100
)

// address is what an address says.
type address struct {
	brokers    []string // host:port
	partitions int32    // of a topic that is made here
	replicas   int16    // of a topic that is made here; -1: as many as the servers' default.replication.factor says
	prefix     string   // before the names of topics and groups
	tls        bool
	mechanism  string // of SASL; empty: none
	user       string
	password   string
}

const addressForm = "kafka://HOST:9092,HOST:9092?partitions=8&rf=3&prefix=bijou."

// parse reads an address. No message of it tells the password.
func parse(text string) (a address, err error) {
	refuse := func(format string, args ...any) (address, error) {
		return address{}, fmt.Errorf("address of Kafka: "+format+"; it has the form %s: %w", append(args, addressForm, bijou.Invalid)...)
	}
	// Many hosts are no URL, so they are taken out before.
	rest, ok := strings.CutPrefix(text, "kafka://")
	if !ok {
		return refuse("it does not begin with kafka://")
	}
	authority, query, _ := strings.Cut(rest, "?")
	user, hosts, signed := "", authority, false
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts, signed = authority[:i], authority[i+1:], true
	}
	hosts = strings.TrimSuffix(hosts, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		broker, ok := brokerOf(host)
		if !ok {
			return refuse("%.60q is no host and port", host)
		}
		a.brokers = append(a.brokers, broker)
	}
	if signed {
		u, err := url.Parse("kafka://" + user + "@host")
		if err != nil || u.User == nil || u.User.Username() == "" {
			return refuse("the part before @ cannot be read (encode special characters as in %%40)")
		}
		a.user = u.User.Username()
		a.password, _ = u.User.Password()
	}
	if why := a.parseQuery(query); why != "" {
		return refuse("%s", why)
	}
	return a, nil
}

// brokerOf completes a host, or a host and a port.
func brokerOf(text string) (string, bool) {
	u, err := url.Parse("kafka://" + text)
	if err != nil || u.Host != text || u.Hostname() == "" || strings.ContainsAny(text, "/ ") {
		return "", false
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", false
	}
	return net.JoinHostPort(u.Hostname(), port), true
}

// mechanisms are the ways to sign in.
var mechanisms = []string{"scram-sha-512", "scram-sha-256", "plain"}

// parseQuery reads what follows the question mark. It returns what is wrong.
func (a *address) parseQuery(text string) (why string) {
	a.partitions, a.replicas, a.prefix = defaultPartitions, -1, "bijou."
	query, err := url.ParseQuery(text)
	if err != nil {
		return "what follows the question mark cannot be read"
	}
	for key, values := range query {
		value := values[len(values)-1]
		n, notNumber := strconv.Atoi(value)
		switch {
		case len(values) > 1:
			return fmt.Sprintf("%.40q is given twice", key)
		case key == "partitions" && notNumber == nil && n >= 1 && n <= maxPartitions:
			a.partitions = int32(n)
		case key == "rf" && notNumber == nil && n >= 1 && n <= maxReplicas:
			a.replicas = int16(n)
		case key == "prefix" && validPrefix(value):
			a.prefix = value
		case key == "tls" && (value == "true" || value == "false"):
			a.tls = value == "true"
		case key == "sasl" && slices.Contains(mechanisms, value):
			a.mechanism = value
		case slices.Contains([]string{"partitions", "rf", "prefix", "tls", "sasl"}, key):
			return fmt.Sprintf("%.40q cannot be the value of %s", value, key)
		default:
			return fmt.Sprintf("it knows partitions, rf, prefix, tls and sasl, and not %.40q", key)
		}
	}
	switch {
	case a.mechanism == "" && a.user != "":
		a.mechanism = mechanisms[0]
	case a.mechanism != "" && a.user == "":
		return "sasl needs a user and a password before the @"
	}
	if a.mechanism == "plain" && !a.tls {
		return "sasl=plain sends the password as it is, so it needs tls=true too"
	}
	return ""
}

// validPrefix tells whether the names that begin with it are names of Kafka's topics.
func validPrefix(text string) bool {
	return len(text) <= 100 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// options are what every client of the address has.
func (a address) options() []kgo.Opt {
	o := []kgo.Opt{kgo.SeedBrokers(a.brokers...)}
	if a.tls {
		o = append(o, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	var m sasl.Mechanism
	switch a.mechanism {
	case "scram-sha-512":
		m = scram.Auth{User: a.user, Pass: a.password}.AsSha512Mechanism()
	case "scram-sha-256":
		m = scram.Auth{User: a.user, Pass: a.password}.AsSha256Mechanism()
	case "plain":
		m = plain.Auth{User: a.user, Pass: a.password}.AsMechanism()
	default:
		return o
	}
	return append(o, kgo.SASL(m))
}
