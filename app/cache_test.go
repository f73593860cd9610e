package app

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bijou"
)

func TestACacheElsewhereHasNoBackupOfItsOwn(t *testing.T) {
	s := &stores{servers: []*server{{address: "memcached://one", stores: []string{"cache"}}, {address: "mysql://two", stores: []string{"titles"}}}}
	if got := s.elsewhere(); !slices.Equal(got, []string{"titles at mysql://two"}) {
		t.Errorf("to be backed up elsewhere: %v, want the titles alone", got)
	}
}

func TestACacheThatCannotBeIsRefusedByTheConfiguration(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*Stores)
		want   string
	}{
		"another engine's address": {func(s *Stores) { s.Cache = "mysql://host/bijou" }, "memcached://"},
		"too little memory":        {func(s *Stores) { s.CacheMemory = 1000 }, "1MiB"},
	} {
		s := DefaultConfig().Stores
		c.change(&s)
		if err := s.Check(); !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want Invalid that says %s", what, err, c.want)
		}
	}
}
