package cassandra

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"bijou"
)

// address is what an address says.
type address struct {
	hosts    []string // where the cluster is asked first; it tells of its other nodes
	port     int
	keyspace string
	dc       string // the datacenter whose nodes are asked
	copies   int    // of each row in the datacenter, for a keyspace that is missing; 0 where the address does not say
	user     string
	password string
	tls      bool
}

// defaultCopies is how many copies a new keyspace keeps where the address does not say.
const defaultCopies = 3

// names are those of keyspaces and datacenters: nothing that has to be quoted.
var keyspaceName, dcName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`), regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// parse reads cassandra://user:password@host1,host2:9042/keyspace?dc=datacenter1&rf=3&tls=true. No failure repeats the address, which may hold a password.
func parse(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "cassandra" || u.Opaque != "" || u.Fragment != "" {
		return address{}, fmt.Errorf("this is no address of Cassandra: write cassandra://host1,host2,host3:9042/keyspace: %w", bijou.Invalid)
	}
	a := address{port: 9042, keyspace: strings.TrimPrefix(u.Path, "/"), dc: "datacenter1", user: u.User.Username()}
	a.password, _ = u.User.Password()
	for host := range strings.SplitSeq(u.Hostname(), ",") {
		if host == "" || strings.ContainsAny(host, " \t/") {
			return address{}, fmt.Errorf("the address of Cassandra names the hosts %q: write them with commas between, and the port once, at the end: %w", u.Hostname(), bijou.Invalid)
		}
		a.hosts = append(a.hosts, host)
	}
	if p := u.Port(); p != "" {
		if a.port, err = strconv.Atoi(p); err != nil || a.port < 1 || a.port > 65535 {
			return address{}, fmt.Errorf("the address of Cassandra has the port %q: write one of 1 to 65535: %w", p, bijou.Invalid)
		}
	}
	if !keyspaceName.MatchString(a.keyspace) {
		return address{}, fmt.Errorf("the address of Cassandra names the keyspace %q: write at most 48 of a-z, 0-9 and _, a letter first: %w", a.keyspace, bijou.Invalid)
	}
	return a, a.settings(u.RawQuery)
}

// settings reads what follows the question mark.
func (a *address) settings(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the address of Cassandra has settings that cannot be read: write dc=datacenter1&rf=3: %w", bijou.Invalid)
	}
	for key, all := range values {
		value := all[len(all)-1]
		switch key {
		case "dc":
			if a.dc = value; !dcName.MatchString(value) {
				return fmt.Errorf("the address of Cassandra says dc=%q: write the datacenter's name, as nodetool status shows it: %w", value, bijou.Invalid)
			}
		case "rf":
			if a.copies, err = strconv.Atoi(value); err != nil || a.copies < 1 || a.copies > 9 {
				return fmt.Errorf("the address of Cassandra says rf=%q: write how many copies are kept, 1 to 9: %w", value, bijou.Invalid)
			}
		case "tls":
			if a.tls = value == "true"; value != "true" && value != "false" {
				return fmt.Errorf("the address of Cassandra says tls=%q: write true or false: %w", value, bijou.Invalid)
			}
		default:
			return fmt.Errorf("the address of Cassandra has the setting %q: it knows dc, rf and tls: %w", key, bijou.Invalid)
		}
	}
	return nil
}

// String names the cluster and the keyspace, without who asks.
func (a address) String() string {
	return fmt.Sprintf("%s:%d/%s", strings.Join(a.hosts, ","), a.port, a.keyspace)
}
