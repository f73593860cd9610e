package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"bijou"
)

// Members implements bijou.AccountStore, bijou.IdentityStore, bijou.PINStore, bijou.ResetStore, bijou.SessionStore, bijou.ProfileStore, bijou.ListStore and
// bijou.PositionStore.
type Members struct{ s *schema }

// Members returns the store of members.
func (d *Database) Members() *Members { return &Members{d.schema("members")} }

// CreateAccount implements bijou.AccountStore.
func (m *Members) CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error {
	return m.s.tx(ctx, "create account", func(t *tx) error {
		err := insertAccount(t, a, passwordHash)
		if duplicate(err) {
			return t.unless(fmt.Errorf("create account: %s or %s is taken: %w", a.Email, a.ID, bijou.Conflict), "accounts", a.ID)
		}
		return err
	})
}

func insertAccount(t *tx, a bijou.Account, passwordHash string) error {
	_, err := t.exec(`INSERT INTO accounts (id, email, password_hash, created_us, by_call) VALUES (?, ?, ?, ?, ?)`, a.ID, a.Email, passwordHash, micros(a.Created), t.call)
	return err
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
	err = m.s.row(ctx, "find account", into(&a.ID, &a.Email, &hash, &created),
		`SELECT id, email, password_hash, created_us FROM accounts WHERE `+column+` = ?`, value)
	if errors.Is(err, sql.ErrNoRows) {
		return a, "", fmt.Errorf("no account has %s %s: %w", column, value, bijou.NotFound)
	}
	a.Created = fromMicros(created)
	return a, hash, err
}

func scanAccount(scan func(...any) error, a *bijou.Account) error {
	var created int64
	err := scan(&a.ID, &a.Email, &created)
	a.Created = fromMicros(created)
	return err
}

// Accounts implements bijou.AccountStore.
func (m *Members) Accounts(ctx context.Context, q bijou.AccountQuery) (bijou.AccountPage, error) {
	where, args := []string{"INSTR(email, ?) > 0"}, []any{q.Email}
	if q.Before != "" {
		at, id, err := parseCursor(q.Before, bijou.AccountPrefix)
		if err != nil {
			return bijou.AccountPage{}, err
		}
		where, args = append(where, before("created_us", "id")), append(args, at, at, id)
	}
	accounts, err := rows(ctx, m.s, "list accounts", scanAccount,
		`SELECT id, email, created_us FROM accounts WHERE `+strings.Join(where, " AND ")+` ORDER BY created_us DESC, id DESC LIMIT ?`, append(args, q.Limit+1)...)
	if err != nil {
		return bijou.AccountPage{}, err
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
	return m.s.tx(ctx, "set password", func(t *tx) error {
		if err := t.lockAccount(id, "set password"); err != nil {
			return err
		}
		return setPassword(t, id, passwordHash, keep)
	})
}

// lockAccount lets one change of the account and what is kept of it be at work at a time. It fails with NotFound for an unknown account.
func (t *tx) lockAccount(id bijou.AccountID, verb string) error {
	return t.find(noAccount(verb, id), `SELECT 1 FROM accounts WHERE id = ? FOR UPDATE`, id)
}

func noAccount(verb string, id bijou.AccountID) error {
	return fmt.Errorf("%s: there is no account %s: %w", verb, id, bijou.NotFound)
}

// setPassword changes an account that is locked.
func setPassword(t *tx, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error {
	if _, err := t.exec(`UPDATE accounts SET password_hash = ?, by_call = ? WHERE id = ?`, passwordHash, t.call, id); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM sessions WHERE account = ? AND id <> ?`, id, keep); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM resets WHERE account = ?`, id)
	return err
}

// DeleteAccount implements bijou.AccountStore. Sign-ins, reset links and identities go with the account's row.
func (m *Members) DeleteAccount(ctx context.Context, id bijou.AccountID) error {
	return m.s.tx(ctx, "delete account", func(t *tx) error {
		return t.remove("member_removals", noAccount("delete account", id), `DELETE FROM accounts WHERE id = ?`, id)
	})
}

// removalsKept is how long it is known which call removed something: no call lasts as long.
const removalsKept = time.Hour

// remove deletes by one statement, and fails with none where there is nothing to delete. The table notes which call did it.
func (t *tx) remove(table string, none error, query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	if n == 0 {
		if !t.again {
			return none
		}
		return t.find(none, `SELECT 1 FROM `+table+` WHERE by_call = ?`, t.call)
	}
	now := time.Now()
	if _, err := t.exec(`INSERT INTO `+table+` (by_call, at_us) VALUES (?, ?)`, t.call, micros(now)); err != nil {
		return err
	}
	_, err = t.exec(`DELETE FROM `+table+` WHERE at_us < ? ORDER BY at_us LIMIT ?`, micros(now.Add(-removalsKept)), endedAtOnce)
	return err
}

// change changes by one statement, and fails with none where there is nothing to change.
func (s *schema) change(ctx context.Context, verb string, none error, query string, args ...any) error {
	return s.tx(ctx, verb, func(t *tx) error { return t.change(none, query, args...) })
}

func (t *tx) change(none error, query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return none
	}
	return err
}

// put changes by one statement, whatever it finds.
func (s *schema) put(ctx context.Context, verb, query string, args ...any) error {
	return s.change(ctx, verb, nil, query, args...)
}

// SetPIN implements bijou.PINStore.
func (m *Members) SetPIN(ctx context.Context, id bijou.AccountID, pinHash string) error {
	return m.s.change(ctx, "set PIN", noAccount("set PIN", id), `UPDATE accounts SET pin_hash = ? WHERE id = ?`, pinHash, id)
}

// PIN implements bijou.PINStore.
func (m *Members) PIN(ctx context.Context, id bijou.AccountID) (hash string, err error) {
	err = m.s.row(ctx, "find PIN", into(&hash), `SELECT pin_hash FROM accounts WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", noAccount("find PIN", id)
	}
	return hash, err
}
