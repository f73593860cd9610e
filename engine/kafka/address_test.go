package kafka

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bijou"
)

func TestAnAddressSaysServersAndHowTopicsAreMade(t *testing.T) {
	for text, want := range map[string]address{
		"kafka://h": {brokers: []string{"h:9092"}, partitions: 8, replicas: -1, prefix: "bijou."},
		"kafka://a:1,b,[::1]:3/?partitions=3&rf=2&prefix=site-1_": {
			brokers: []string{"a:1", "b:9092", "[::1]:3"}, partitions: 3, replicas: 2, prefix: "site-1_",
		},
		"kafka://ada:p%40s%3As@h?prefix=": {brokers: []string{"h:9092"}, partitions: 8, replicas: -1, mechanism: "scram-sha-512", user: "ada", password: "p@s:s"},
		"kafka://ada:x@h?tls=true&sasl=plain": {
			brokers: []string{"h:9092"}, partitions: 8, replicas: -1, prefix: "bijou.", tls: true, mechanism: "plain", user: "ada", password: "x",
		},
	} {
		got, err := parse(text)
		if err != nil || !slices.Equal(got.brokers, want.brokers) {
			t.Errorf("%s: got servers %q and error %v, want %q", text, got.brokers, err, want.brokers)
		}
		got.brokers, want.brokers = nil, nil
		if a, b := [2]any{got.partitions, got.replicas}, [2]any{want.partitions, want.replicas}; a != b {
			t.Errorf("%s: got partitions and replicas %v, want %v", text, a, b)
		}
		if a, b := [5]any{got.prefix, got.tls, got.mechanism, got.user, got.password}, [5]any{want.prefix, want.tls, want.mechanism, want.user, want.password}; a != b {
			t.Errorf("%s: got %v, want %v", text, a, b)
		}
	}
}

func TestAnAddressThatNobodyCanReadIsInvalidAndItsPasswordIsNotTold(t *testing.T) {
	for text, why := range map[string]string{
		"mysql://h":                         "does not begin with kafka://",
		"kafka://":                          `"" is no host`,
		"kafka://a,,b":                      `"" is no host`,
		"kafka://a:0":                       `"a:0" is no host`,
		"kafka://a:99999":                   `"a:99999" is no host`,
		"kafka://a/path":                    `"a/path" is no host`,
		"kafka://:secret@h":                 "the part before @",
		"kafka://ada:sec%ret@h":             "the part before @",
		"kafka://h?colour=blue":             `not "colour"`,
		"kafka://h?partitions=0":            `"0" cannot be the value of partitions`,
		"kafka://h?partitions=1&partitions": "twice",
		"kafka://h?rf=many":                 `"many" cannot be the value of rf`,
		"kafka://h?prefix=a/b":              `"a/b" cannot be the value of prefix`,
		"kafka://h?tls=yes":                 `"yes" cannot be the value of tls`,
		"kafka://ada:secret@h?sasl=gssapi":  `"gssapi" cannot be the value of sasl`,
		"kafka://h?sasl=plain":              "needs a user",
		"kafka://ada:secret@h?sasl=plain":   "needs tls=true",
		"kafka://ada:secret@h?a;b":          "cannot be read",
	} {
		_, err := Open(text, Options{})
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "sec") {
			t.Errorf("%s: got error %v, want an invalid one with %q and no password", text, err, why)
		}
	}
}

func FuzzAnAddressIsReadOrRefused(f *testing.F) {
	f.Add("kafka://ada:pw@h1:9092,h2?partitions=3&rf=3&prefix=x.&tls=true&sasl=plain")
	f.Add("kafka://[::1]:1")
	f.Add("kafka://a@b@c?%zz")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parse(text)
		switch {
		case err != nil && (!errors.Is(err, bijou.Invalid) || len(a.brokers) != 0):
			t.Errorf("%q: got %+v and error %v, want nothing and an invalid one", text, a, err)
		case err == nil && (len(a.brokers) == 0 || a.partitions < 1 || a.replicas == 0 || (a.user == "") != (a.mechanism == "")):
			t.Errorf("%q: got %+v", text, a)
		}
	})
}
