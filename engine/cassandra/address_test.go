package cassandra

import (
	"errors"
	"strings"
	"testing"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

func TestAnAddressIsReadAndOneThatNobodyCanReadIsRefused(t *testing.T) {
	for text, want := range map[string]address{
		"cassandra://one/bijou": {hosts: []string{"one"}, port: 9042, keyspace: "bijou", dc: "datacenter1"},
		"cassandra://bob:s%40cret@one,10.0.0.2,three.example:9043/tv_2?dc=oslo-1&rf=5&tls=true": {
			hosts: []string{"one", "10.0.0.2", "three.example"}, port: 9043, keyspace: "tv_2", dc: "oslo-1", copies: 5, user: "bob", password: "s@cret", tls: true,
		},
		"cassandra://[::1]:9042/bijou?tls=false": {hosts: []string{"::1"}, port: 9042, keyspace: "bijou", dc: "datacenter1"},
	} {
		got, err := parse(text)
		if err != nil {
			t.Errorf("parse %s: got error %v, want none", text, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(address{})); d != "" {
			t.Errorf("parse %s: got (+), want (-):\n%s", text, d)
		}
	}
	for text, says := range map[string]string{
		"":                                    "no address of Cassandra",
		"mysql://one/bijou":                   "no address of Cassandra",
		"cassandra:one":                       "no address of Cassandra",
		"cassandra://bob:s3cret@one:x/bijou":  "no address of Cassandra",
		"cassandra://bob:s3cret@/bijou":       "names the hosts",
		"cassandra://bob:s3cret@one,,b/bijou": "names the hosts",
		"cassandra://bob:s3cret@one:0/bijou":  "the port",
		"cassandra://bob:s3cret@one":          "the keyspace",
		"cassandra://bob:s3cret@one/Bijou":    "the keyspace",
		"cassandra://bob:s3cret@one/b/c":      "the keyspace",
		"cassandra://bob:s3cret@one/b?rf=0":   "rf=",
		"cassandra://bob:s3cret@one/b?rf=x":   "rf=",
		"cassandra://bob:s3cret@one/b?dc=":    "dc=",
		"cassandra://bob:s3cret@one/b?dc=a'b": "dc=",
		"cassandra://bob:s3cret@one/b?tls=1":  "tls=",
		"cassandra://bob:s3cret@one/b?ssl=1":  `the setting "ssl"`,
		"cassandra://bob:s3cret@one/b?%zz":    "settings that cannot be read",
	} {
		_, err := Open(text)
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("open %q: got error %v, want one of kind invalid that says %q and no password", text, err, says)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("cassandra://bob:s3cret@one,two:9042/bijou?dc=oslo&rf=3&tls=true")
	f.Add("cassandra://[::1]/x?dc=%27")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parse(text)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("parse %q: got error %v, want one of kind invalid", text, err)
			}
			return
		}
		if len(a.hosts) == 0 || a.port < 1 || a.port > 65535 || !keyspaceName.MatchString(a.keyspace) || !dcName.MatchString(a.dc) || strings.ContainsAny(a.dc+a.keyspace, `'" ;`) {
			t.Errorf("parse %q: got %+v", text, a)
		}
	})
}
