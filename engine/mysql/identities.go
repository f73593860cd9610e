package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"bijou"
)

// CreateIdentified implements bijou.IdentityStore.
func (m *Members) CreateIdentified(ctx context.Context, a bijou.Account, x bijou.Identity) error {
	return m.s.tx(ctx, "create account", func(t *tx) error {
		err := insertAccount(t, a, "")
		if err == nil {
			_, err = t.exec(`INSERT INTO identities (issuer, subject, account) VALUES (?, ?, ?)`, x.Issuer, x.Subject, a.ID)
		}
		if duplicate(err) {
			return t.unless(fmt.Errorf("create account: %s, %s or the identity is taken: %w", a.Email, a.ID, bijou.Conflict), "accounts", a.ID)
		}
		return err
	})
}

// Identified implements bijou.IdentityStore.
func (m *Members) Identified(ctx context.Context, x bijou.Identity) (a bijou.Account, err error) {
	var created int64
	err = m.s.row(ctx, "find identity", into(&a.ID, &a.Email, &created),
		`SELECT a.id, a.email, a.created_us FROM identities i JOIN accounts a ON a.id = i.account WHERE i.issuer = ? AND i.subject = ?`, x.Issuer, x.Subject)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("no account has the identity %s of %s: %w", x.Subject, x.Issuer, bijou.NotFound)
	}
	a.Created = fromMicros(created)
	return a, err
}

// Identities implements bijou.IdentityStore.
func (m *Members) Identities(ctx context.Context, id bijou.AccountID) ([]bijou.Identity, error) {
	return rows(ctx, m.s, "list identities", func(scan func(...any) error, x *bijou.Identity) error { return scan(&x.Issuer, &x.Subject) },
		`SELECT issuer, subject FROM identities WHERE account = ? ORDER BY issuer`, id)
}

// Connect implements bijou.IdentityStore.
func (m *Members) Connect(ctx context.Context, id bijou.AccountID, x bijou.Identity) error {
	return m.s.tx(ctx, "connect", func(t *tx) error {
		if err := t.lockAccount(id, "connect"); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO identities (issuer, subject, account) VALUES (?, ?, ?)`, x.Issuer, x.Subject, id)
		if !duplicate(err) {
			return err
		}
		var has bijou.AccountID
		err = t.scan(into(&has), `SELECT account FROM identities WHERE issuer = ? AND subject = ?`, x.Issuer, x.Subject)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("connect: the account has another identity of %s: %w", x.Issuer, bijou.Conflict)
		case err == nil && has != id:
			return fmt.Errorf("connect: the identity is another account's: %w", bijou.Conflict)
		}
		return err
	})
}

// Disconnect implements bijou.IdentityStore.
func (m *Members) Disconnect(ctx context.Context, id bijou.AccountID, issuer string) error {
	return m.s.tx(ctx, "disconnect", func(t *tx) error {
		return t.remove("member_removals", fmt.Errorf("disconnect: account %s has no identity of %s: %w", id, issuer, bijou.NotFound),
			`DELETE FROM identities WHERE account = ? AND issuer = ?`, id, issuer)
	})
}
