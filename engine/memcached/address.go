package memcached

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bijou"
	"bijou/wire/memcache"
)

const (
	scheme      = "memcached://"
	defaultPort = "11211"
	// ownPrefix begins the keys where the address does not say what does.
	ownPrefix = "bijou"
	// maxPrefix bounds what begins the keys: with it, a colon and the longest key of a cache, memcached takes no longer one.
	maxPrefix = memcache.MaxKey - 1 - bijou.MaxCacheKey
	// maxServers bounds the servers of one cache.
	maxServers = 64
)

// place is what an address says.
type place struct {
	servers []string // host:port
	prefix  string
	tls     bool
}

// parse reads an address such as memcached://host1:11211,host2:11211?prefix=bijou. It fails with Invalid.
func parse(address string) (p place, err error) {
	rest, ok := strings.CutPrefix(address, scheme)
	if !ok {
		return p, fmt.Errorf("%.200q is no address of memcached: write memcached://host1:11211,host2:11211: %w", address, bijou.Invalid)
	}
	hosts, query, _ := strings.Cut(rest, "?")
	if strings.ContainsAny(hosts, "@/#") {
		return p, fmt.Errorf("the address of memcached has more than hosts and ports: write memcached://host1:11211,host2:11211, without a name, a password or a path: %w", bijou.Invalid)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		server, err := hostPort(host)
		if err != nil {
			return p, err
		}
		if slices.Contains(p.servers, server) {
			return p, fmt.Errorf("the address of memcached names %s twice: name each server once: %w", server, bijou.Invalid)
		}
		p.servers = append(p.servers, server)
	}
	if len(p.servers) > maxServers {
		return p, fmt.Errorf("the address of memcached names %d servers: name at most %d: %w", len(p.servers), maxServers, bijou.Invalid)
	}
	return p, p.options(query)
}

// hostPort returns one server as host:port.
func hostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), defaultPort
		if strings.Contains(host, ":") && !strings.HasPrefix(s, "[") {
			host = "" // several colons, or a port that is none
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, " []%") {
		return "", fmt.Errorf("%.200q is no server of memcached: write host:port, or [address]:port for IPv6: %w", s, bijou.Invalid)
	}
	return net.JoinHostPort(host, port), nil
}

// options reads what stands behind the question mark.
func (p *place) options(query string) error {
	p.prefix = ownPrefix
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the options of memcached's address cannot be read (%v): write ?prefix=bijou&tls=true: %w", err, bijou.Invalid)
	}
	for key, all := range values {
		value := all[len(all)-1]
		switch key {
		case "prefix":
			if bijou.CheckCacheKeys(value) != nil || len(value) > maxPrefix {
				return fmt.Errorf("the prefix %.80q of memcached's keys cannot be: use 1 to %d printable characters of ASCII: %w", value, maxPrefix, bijou.Invalid)
			}
			p.prefix = value
		case "tls":
			if p.tls, err = strconv.ParseBool(value); err != nil {
				return fmt.Errorf("tls is %.80q in memcached's address: write true or false: %w", value, bijou.Invalid)
			}
		default:
			return fmt.Errorf("memcached's address has the option %.80q, which is unknown: the options are prefix and tls: %w", key, bijou.Invalid)
		}
	}
	return nil
}
