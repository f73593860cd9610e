package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"bijou"
)

// CreateIdentified implements bijou.IdentityStore.
func (m *Members) CreateIdentified(ctx context.Context, a bijou.Account, x bijou.Identity) error {
	return m.d.tx(ctx, "create account", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts (id, email, password_hash, created_us) VALUES (?, ?, '', ?)`, a.ID, a.Email, micros(a.Created))
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO identities (issuer, subject, account) VALUES (?, ?, ?)`, x.Issuer, x.Subject, a.ID)
		}
		if unique(err) {
			return fmt.Errorf("create account: %s, %s or the identity is taken: %w", a.Email, a.ID, bijou.Conflict)
		}
		return err
	})
}

// Identified implements bijou.IdentityStore.
func (m *Members) Identified(ctx context.Context, x bijou.Identity) (a bijou.Account, err error) {
	var created int64
	err = m.d.row(ctx, func(scan func(...any) error) error { return scan(&a.ID, &a.Email, &created) },
		`SELECT a.id, a.email, a.created_us FROM identities i JOIN accounts a ON a.id = i.account WHERE i.issuer = ? AND i.subject = ?`, x.Issuer, x.Subject)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("no account has the identity %s of %s: %w", x.Subject, x.Issuer, bijou.NotFound)
	}
	if err != nil {
		return a, m.d.failure("find identity", err)
	}
	a.Created = fromMicros(created)
	return a, nil
}

// Identities implements bijou.IdentityStore.
func (m *Members) Identities(ctx context.Context, id bijou.AccountID) ([]bijou.Identity, error) {
	all, err := rows(ctx, m.d, m.d.read, func(scan func(...any) error, x *bijou.Identity) error { return scan(&x.Issuer, &x.Subject) },
		`SELECT issuer, subject FROM identities WHERE account = ? ORDER BY issuer`, id)
	if err != nil {
		return nil, m.d.failure("list identities", err)
	}
	return all, nil
}

// Connect implements bijou.IdentityStore.
func (m *Members) Connect(ctx context.Context, id bijou.AccountID, x bijou.Identity) error {
	return m.d.tx(ctx, "connect", func(tx *sql.Tx) error {
		var has bijou.AccountID
		err := tx.QueryRowContext(ctx, `SELECT account FROM identities WHERE issuer = ? AND subject = ?`, x.Issuer, x.Subject).Scan(&has)
		if err == nil && has == id {
			return nil
		}
		if err == nil {
			return fmt.Errorf("connect: the identity is another account's: %w", bijou.Conflict)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO identities (issuer, subject, account) SELECT ?, ?, id FROM accounts WHERE id = ?`, x.Issuer, x.Subject, id)
		if unique(err) {
			return fmt.Errorf("connect: the account has another identity of %s: %w", x.Issuer, bijou.Conflict)
		}
		return oneRow(res, err, "connect: there is no account %s", id)
	})
}

// Disconnect implements bijou.IdentityStore.
func (m *Members) Disconnect(ctx context.Context, id bijou.AccountID, issuer string) error {
	n, err := m.d.exec(ctx, `DELETE FROM identities WHERE account = ? AND issuer = ?`, id, issuer)
	return m.changed(n, err, "disconnect", "account %s has no identity of %s", id, issuer)
}
