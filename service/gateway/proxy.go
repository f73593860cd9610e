package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"bijou"
)

// Config is the room's section of the configuration.
type Config struct {
	TrustedProxies []string `yaml:"trusted_proxies" doc:"Networks of the proxies that stand in front of the service and are believed about the client: its address (X-Forwarded-For, the last one that is no proxy's) and whether HTTPS was spoken (X-Forwarded-Proto). Empty: nobody is believed."`
}

// DefaultConfig is the configuration where nothing is said. Whoever comes from this machine has been let in to it.
func DefaultConfig() Config { return Config{TrustedProxies: []string{"127.0.0.0/8", "::1/128"}} }

// Check refuses, as Invalid, what is no network.
func (c Config) Check() error {
	for _, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			return fmt.Errorf("trusted_proxies names %q: write a network such as 192.0.2.0/24, or 192.0.2.7/32 for one proxy: %w", p, bijou.Invalid)
		}
	}
	return nil
}

// proxies returns the networks of a configuration that was checked.
func (c Config) proxies() (all []netip.Prefix) {
	for _, p := range c.TrustedProxies {
		if prefix, err := netip.ParsePrefix(p); err == nil {
			all = append(all, prefix.Masked())
		}
	}
	return all
}

func (s *Service) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client returns the address of the client and whether it spoke HTTPS. What headers say of it is believed of a proxy alone.
func (s *Service) client(r *http.Request) (address string, secure bool) {
	secure = r.TLS != nil
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "", secure
	}
	peer, err := netip.ParseAddr(host)
	if err != nil || !s.trusts(peer) {
		return host, secure
	}
	// A client can send the first entries itself; each proxy adds whom it saw at the end.
	seen := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, entry := range slices.Backward(seen) {
		a, err := netip.ParseAddr(strings.TrimSpace(entry))
		if err != nil {
			break
		}
		host = a.Unmap().WithZone("").String()
		if !s.trusts(a) {
			break
		}
	}
	protocols := strings.Split(strings.Join(r.Header.Values("X-Forwarded-Proto"), ","), ",")
	return host, secure || strings.EqualFold(strings.TrimSpace(protocols[len(protocols)-1]), "https")
}
