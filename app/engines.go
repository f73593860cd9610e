package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"bijou"
	"bijou/engine/cassandra"
	"bijou/engine/kafka"
	"bijou/engine/memcached"
	"bijou/engine/mysql"
	"bijou/engine/s3"
)

// storeAt is one store and where the configuration says that it is.
type storeAt struct{ store, address string }

// all returns the stores in the order in which they are opened: what others hang on comes first.
func (s Stores) all() []storeAt {
	return []storeAt{
		{"blobs", s.Blobs}, {"titles", s.Titles}, {"work", s.Work}, {"accounts", s.Accounts}, {"profiles", s.Profiles},
		{"operators", s.Operators}, {"appliances", s.Appliances}, {"facts", s.Facts}, {"cache", s.Cache},
	}
}

// Check refuses, as Invalid, a store at an address whose engine does not keep such a store.
func (s Stores) Check() error {
	if s.CacheMemory < 1<<20 {
		return fmt.Errorf("cache_memory is %d bytes: it must be at least 1MiB: %w", s.CacheMemory, bijou.Invalid)
	}
	for _, k := range s.all() {
		if k.address == "" || keepers[k.store][k.scheme()] != nil {
			continue
		}
		var known []string
		for _, scheme := range slices.Sorted(maps.Keys(keepers[k.store])) {
			known = append(known, scheme+"://")
		}
		return fmt.Errorf("%s is kept at an address that begins with %s, not %q: %w", k.store, strings.Join(known, " or "), k.scheme(), bijou.Invalid)
	}
	return nil
}

// scheme returns what the address begins with, which names the engine.
func (k storeAt) scheme() string {
	scheme, _, _ := strings.Cut(k.address, "://")
	return scheme
}

// engine opens the engine at the address. It asks no server.
func (k storeAt) engine(c Config) (engine, error) {
	e, err := engines[k.scheme()](c, k.address)
	if err != nil {
		return nil, fmt.Errorf("stores.%s: %w", k.store, err)
	}
	return e, nil
}

// engines opens the networked engines, by the scheme of their addresses.
var engines = map[string]func(c Config, address string) (engine, error){
	"mysql":     func(_ Config, address string) (engine, error) { return mysql.Open(address) },
	"cassandra": func(_ Config, address string) (engine, error) { return cassandra.Open(address) },
	"memcached": func(_ Config, address string) (engine, error) { return memcached.Open(address, memcached.Options{}) },
	"s3":        func(_ Config, address string) (engine, error) { return s3.Open(address, s3.Options{}) },
	"kafka": func(c Config, address string) (engine, error) {
		return kafka.Open(address, kafka.Options{
			Retain: bijou.Retention{Bytes: int64(c.Facts.Retain), Age: c.Facts.RetainFor}, Topics: c.topics(),
		})
	},
}

// keepers says which engine keeps which store, and puts it in place.
var keepers = map[string]map[string]func(s *stores, e engine){
	"accounts": {"mysql": func(s *stores, e engine) { s.accounts = e.(*mysql.Database).Members() }},
	"profiles": {
		"cassandra": func(s *stores, e engine) { s.profiles = e.(*cassandra.Store) },
		"mysql":     func(s *stores, e engine) { s.profiles = e.(*mysql.Database).Members() },
	},
	"operators":  {"mysql": func(s *stores, e engine) { s.operators = e.(*mysql.Database).Operators() }},
	"titles":     {"mysql": func(s *stores, e engine) { s.titles = e.(*mysql.Database).Catalog() }},
	"work":       {"mysql": func(s *stores, e engine) { s.work = e.(*mysql.Database).Studio() }},
	"appliances": {"mysql": func(s *stores, e engine) { s.appliances = e.(*mysql.Database).Steering() }},
	"facts":      {"kafka": func(s *stores, e engine) { s.facts = e.(*kafka.Log) }},
	"blobs":      {"s3": func(s *stores, e engine) { s.blobs = e.(*s3.Store) }},
	"cache":      {"memcached": func(s *stores, e engine) { s.cache = e.(*memcached.Cache) }},
}
