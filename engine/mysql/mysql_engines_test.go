//go:build engines

package mysql_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"bijou"
	"bijou/engine/mysql"
	"bijou/test/contract"
	"bijou/test/engines"
)

func TestMySQL(t *testing.T) { onServer(t, engines.MySQL(t)) }

func TestMariaDB(t *testing.T) { onServer(t, engines.MariaDB(t)) }

// onServer runs all that needs a real server.
func onServer(t *testing.T, s *engines.Server) {
	t.Run("contracts", func(t *testing.T) { contracts(t, s) })
	t.Run("SchemasAreMadeOnceAndOnTheirOwn", func(t *testing.T) { schemasMade(t, s) })
	t.Run("ASchemaMayBeOneVersionNewer", func(t *testing.T) { newerSchema(t, s) })
	t.Run("AMigrationThatWasCutOffIsRunAgain", func(t *testing.T) { cutMigration(t, s) })
	t.Run("CheckSaysWhatIsWrong", func(t *testing.T) { checkSays(t, s) })
	t.Run("WhatIsComparedIsComparedExactly", func(t *testing.T) { exactly(t, s) })
	t.Run("AChangeWhoseAnswerIsLostIsMadeOnce", func(t *testing.T) { answerLost(t, s) })
	t.Run("AcknowledgedWritesOutliveTheServerAndNoCallFails", func(t *testing.T) { serverKilled(t, s) })
	t.Run("HistoriesUnderFaults", func(t *testing.T) { histories(t, s) })
	t.Run("AServerThatIsPausedIsUnavailableAndComesBack", func(t *testing.T) { serverPaused(t, s) })
}

// databases counts the databases that tests have made.
var databases atomic.Int64

// fresh makes an empty database on the server, reached via the address where that is not empty, and returns its own address.
func fresh(t *testing.T, s *engines.Server, via string) string {
	t.Helper()
	return engines.MySQLDatabase(t, s, fmt.Sprint("test", databases.Add(1)), via)
}

// opened opens the database at the address, and closes it with the test.
func opened(t *testing.T, address string) *mysql.Database {
	t.Helper()
	d, err := mysql.Open(address)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// contracts runs the contract suites that engine/sqlite passes.
func contracts(t *testing.T, s *engines.Server) {
	open := func(t *testing.T) *mysql.Database { return opened(t, fresh(t, s, "")) }
	members := func(t *testing.T) *mysql.Members { return open(t).Members() }
	for name, suite := range map[string]func(t *testing.T){
		"AccountStore": func(t *testing.T) {
			contract.AccountStore(t, func(t *testing.T) bijou.AccountStore { return members(t) })
		},
		"PINStore":   func(t *testing.T) { contract.PINStore(t, func(t *testing.T) contract.PINs { return members(t) }) },
		"ResetStore": func(t *testing.T) { contract.ResetStore(t, func(t *testing.T) contract.Resets { return members(t) }) },
		"IdentityStore": func(t *testing.T) {
			contract.IdentityStore(t, func(t *testing.T) contract.Identities { return members(t) })
		},
		"SessionStore": func(t *testing.T) {
			contract.SessionStore(t, func(t *testing.T) contract.SignIns { return members(t) })
		},
		"ProfileStore": func(t *testing.T) {
			contract.ProfileStore(t, func(t *testing.T) bijou.ProfileStore { return members(t) })
		},
		"ListStore": func(t *testing.T) {
			contract.ListStore(t, func(t *testing.T) contract.ListKeeper { return members(t) })
		},
		"PositionStore": func(t *testing.T) {
			contract.PositionStore(t, func(t *testing.T) contract.PositionKeeper { return members(t) })
		},
		"TitleStore": func(t *testing.T) {
			contract.TitleStore(t, func(t *testing.T) bijou.TitleStore { return open(t).Catalog() })
		},
		"WorkStore": func(t *testing.T) {
			contract.WorkStore(t, func(t *testing.T) bijou.WorkStore { return open(t).Studio() })
		},
		"OperatorStore": func(t *testing.T) {
			contract.OperatorStore(t, func(t *testing.T) contract.OperatorStores { return open(t).Operators() })
		},
		"AuditStore": func(t *testing.T) {
			contract.AuditStore(t, func(t *testing.T) bijou.AuditStore { return open(t).Operators() })
		},
		"ApplianceStore": func(t *testing.T) {
			contract.ApplianceStore(t, func(t *testing.T) bijou.ApplianceStore { return open(t).Steering() })
		},
		"RevocationStore": func(t *testing.T) {
			contract.RevocationStore(t, func(t *testing.T) bijou.RevocationStore { return open(t).Steering() })
		},
	} {
		t.Run(name, suite)
	}
}
