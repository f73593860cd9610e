package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"bijou"
)

// Members implements bijou.AccountStore, bijou.IdentityStore, bijou.PINStore, bijou.ResetStore, bijou.SessionStore, bijou.ProfileStore, bijou.ListStore and
// bijou.PositionStore on one file.
type Members struct{ d *db }

// OpenMembers opens the file, and makes it where it is missing. It fails with Unsupported for a file of a newer version,
// with Corrupt for one that is no database, and with Unavailable for one that cannot be written.
func OpenMembers(ctx context.Context, path string) (*Members, error) {
	d, err := open(ctx, path, "members")
	if err != nil {
		return nil, err
	}
	return &Members{d}, nil
}

// Close lets go of the file.
func (m *Members) Close() error { return m.d.close() }

// CreateAccount implements bijou.AccountStore.
func (m *Members) CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error {
	_, err := m.d.exec(ctx, `INSERT INTO accounts (id, email, password_hash, created_us) VALUES (?, ?, ?, ?)`,
		a.ID, a.Email, passwordHash, micros(a.Created))
	if unique(err) {
		return fmt.Errorf("create account: %s or %s is taken: %w", a.Email, a.ID, bijou.Conflict)
	}
	if err != nil {
		return m.d.failure("create account", err)
	}
	return nil
}

// Account implements bijou.AccountStore.
func (m *Members) Account(ctx context.Context, id bijou.AccountID) (bijou.Account, error) {
	a, _, err := m.account(ctx, "id", string(id))
	return a, err
}

// Credentials implements bijou.AccountStore.
func (m *Members) Credentials(ctx context.Context, email string) (bijou.Account, string, error) {
	return m.account(ctx, "email", email)
}

// account finds an account by the column id or email.
func (m *Members) account(ctx context.Context, column, value string) (a bijou.Account, hash string, err error) {
	var created int64
	err = m.d.row(ctx, func(scan func(...any) error) error { return scan(&a.ID, &a.Email, &hash, &created) },
		`SELECT id, email, password_hash, created_us FROM accounts WHERE `+column+` = ?`, value)
	if errors.Is(err, sql.ErrNoRows) {
		return a, "", fmt.Errorf("no account has %s %s: %w", column, value, bijou.NotFound)
	}
	if err != nil {
		return a, "", m.d.failure("find account", err)
	}
	a.Created = fromMicros(created)
	return a, hash, nil
}

// Accounts implements bijou.AccountStore.
func (m *Members) Accounts(ctx context.Context, q bijou.AccountQuery) (bijou.AccountPage, error) {
	where, args := []string{"instr(email, ?) > 0"}, []any{q.Email}
	if q.Before != "" {
		at, id, err := parseCursor(q.Before, bijou.AccountPrefix)
		if err != nil {
			return bijou.AccountPage{}, err
		}
		where, args = append(where, "(created_us, id) < (?, ?)"), append(args, at, id)
	}
	accounts, err := rows(ctx, m.d, m.d.read, func(scan func(...any) error, a *bijou.Account) error {
		var created int64
		err := scan(&a.ID, &a.Email, &created)
		a.Created = fromMicros(created)
		return err
	}, `SELECT id, email, created_us FROM accounts WHERE `+strings.Join(where, " AND ")+` ORDER BY created_us DESC, id DESC LIMIT ?`, append(args, q.Limit+1)...)
	if err != nil {
		return bijou.AccountPage{}, m.d.failure("list accounts", err)
	}
	page := bijou.AccountPage{Accounts: accounts}
	if len(accounts) > q.Limit {
		page.Accounts = accounts[:q.Limit]
		last := accounts[q.Limit-1]
		page.Next = cursor(micros(last.Created), last.ID)
	}
	return page, nil
}

// SetPassword implements bijou.AccountStore.
func (m *Members) SetPassword(ctx context.Context, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error {
	return m.d.tx(ctx, "set password", func(tx *sql.Tx) error { return setPassword(ctx, tx, id, passwordHash, keep) })
}

func setPassword(ctx context.Context, tx *sql.Tx, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error {
	res, err := tx.ExecContext(ctx, `UPDATE accounts SET password_hash = ? WHERE id = ?`, passwordHash, id)
	if err := oneRow(res, err, "set password: there is no account %s", id); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE account = ? AND id <> ?`, id, keep); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM resets WHERE account = ?`, id)
	return err
}

// oneRow fails with NotFound, in these words, where a statement changed nothing.
func oneRow(res sql.Result, err error, words string, what ...any) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return fmt.Errorf(words+": %w", append(what, bijou.NotFound)...)
	}
	return err
}

// DeleteAccount implements bijou.AccountStore. Sign-ins, reset links and identities go with the account's row.
func (m *Members) DeleteAccount(ctx context.Context, id bijou.AccountID) error {
	n, err := m.d.exec(ctx, `DELETE FROM accounts WHERE id = ?`, id)
	return m.changed(n, err, "delete account", "there is no account %s", id)
}

// changed returns the failure of a statement, or NotFound in these words where it changed nothing.
func (m *Members) changed(n int64, err error, verb, words string, what ...any) error {
	if err != nil {
		return m.d.failure(verb, err)
	}
	if n == 0 {
		return fmt.Errorf(verb+": "+words+": %w", append(what, bijou.NotFound)...)
	}
	return nil
}

// SetPIN implements bijou.PINStore.
func (m *Members) SetPIN(ctx context.Context, id bijou.AccountID, pinHash string) error {
	n, err := m.d.exec(ctx, `UPDATE accounts SET pin_hash = ? WHERE id = ?`, pinHash, id)
	return m.changed(n, err, "set PIN", "there is no account %s", id)
}

// PIN implements bijou.PINStore.
func (m *Members) PIN(ctx context.Context, id bijou.AccountID) (hash string, err error) {
	err = m.d.row(ctx, func(scan func(...any) error) error { return scan(&hash) }, `SELECT pin_hash FROM accounts WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("there is no account %s: %w", id, bijou.NotFound)
	}
	if err != nil {
		return "", m.d.failure("find PIN", err)
	}
	return hash, nil
}
