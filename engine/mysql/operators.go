package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bijou"
)

// Operators implements bijou.OperatorStore, bijou.OperatorTokenStore and bijou.AuditStore.
type Operators struct{ s *schema }

// Operators returns the store of who runs the service, and of what they did.
func (d *Database) Operators() *Operators { return &Operators{d.schema("operators")} }

func insertOperator(t *tx, p bijou.Operator, passwordHash string) error {
	_, err := t.exec(`INSERT INTO operators (id, name, role, sign_on, password_hash, created_us, by_call) VALUES (?, ?, ?, NULLIF(?, ''), ?, ?, ?)`,
		p.ID, p.Name, p.Role, p.SignOn, passwordHash, micros(p.Created), t.call)
	if duplicate(err) {
		return t.unless(fmt.Errorf("there is an operator %s already: choose another name: %w", p.Name, bijou.Conflict), "operators", p.ID)
	}
	return err
}

// CreateOperator implements bijou.OperatorStore.
func (o *Operators) CreateOperator(ctx context.Context, p bijou.Operator) error {
	return o.s.tx(ctx, "create operator", func(t *tx) error { return insertOperator(t, p, "") })
}

const operatorColumns = `id, name, role, COALESCE(sign_on, ''), password_hash <> '', created_us`

func scanOperator(scan func(...any) error, p *bijou.Operator) error {
	var created int64
	err := scan(&p.ID, &p.Name, &p.Role, &p.SignOn, &p.Password, &created)
	p.Created = fromMicros(created)
	return err
}

// Operator implements bijou.OperatorStore.
func (o *Operators) Operator(ctx context.Context, id bijou.OperatorID) (bijou.Operator, error) {
	all, err := rows(ctx, o.s, "find operator", scanOperator, `SELECT `+operatorColumns+` FROM operators WHERE id = ?`, id)
	if err == nil && len(all) == 0 {
		err = noOperator(id)
	}
	if err != nil {
		return bijou.Operator{}, err
	}
	return all[0], nil
}

// Operators implements bijou.OperatorStore.
func (o *Operators) Operators(ctx context.Context) ([]bijou.Operator, error) {
	return rows(ctx, o.s, "list operators", scanOperator, `SELECT `+operatorColumns+` FROM operators ORDER BY name`)
}

// OperatorPassword implements bijou.OperatorStore.
func (o *Operators) OperatorPassword(ctx context.Context, id bijou.OperatorID) (hash string, err error) {
	err = o.s.row(ctx, "find password", into(&hash), `SELECT password_hash FROM operators WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", noOperator(id)
	}
	return hash, err
}

func noOperator(id bijou.OperatorID) error {
	return fmt.Errorf("there is no operator %s: %w", id, bijou.NotFound)
}

const endSessions = `DELETE FROM tokens WHERE operator = ? AND kind = 'session'`

// SetOperatorRole implements bijou.OperatorStore.
func (o *Operators) SetOperatorRole(ctx context.Context, id bijou.OperatorID, role bijou.OperatorRole) error {
	return o.s.tx(ctx, "change role", func(t *tx) error {
		if err := t.change(noOperator(id), `UPDATE operators SET role = ? WHERE id = ?`, role, id); err != nil {
			return err
		}
		_, err := t.exec(endSessions, id)
		return err
	})
}

// RemoveOperator implements bijou.OperatorStore. Tokens go with the operator's row.
func (o *Operators) RemoveOperator(ctx context.Context, id bijou.OperatorID) error {
	return o.s.tx(ctx, "remove operator", func(t *tx) error {
		return t.remove("operator_removals", noOperator(id), `DELETE FROM operators WHERE id = ?`, id)
	})
}

// AcceptInvitation implements bijou.OperatorStore.
func (o *Operators) AcceptInvitation(ctx context.Context, tokenHash string, now time.Time, p bijou.Operator, passwordHash string) (out bijou.Operator, err error) {
	invited := p.ID // stays known where an earlier try used the invitation up
	err = o.s.tx(ctx, "accept invitation", func(t *tx) error {
		var operator sql.NullString
		err := t.scan(into(&operator), `SELECT operator FROM tokens WHERE hash = ? AND kind = 'invitation' AND expires_us > ? FOR UPDATE`, tokenHash, micros(now))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			err = t.unless(fmt.Errorf("the invitation is unknown, used or has ended: %w", bijou.NotFound), "operators", invited)
		case err == nil && operator.Valid:
			invited = bijou.OperatorID(operator.String)
			err = t.acceptFor(invited, tokenHash, passwordHash)
		case err == nil:
			if err = insertOperator(t, p, passwordHash); err == nil {
				_, err = t.exec(`DELETE FROM tokens WHERE hash = ?`, tokenHash)
			}
		}
		if err != nil {
			return err
		}
		return scanOperator(t.conn.QueryRowContext(t.ctx, `SELECT `+operatorColumns+` FROM operators WHERE id = ?`, invited).Scan, &out)
	})
	return out, err
}

// acceptFor uses up an invitation of an operator who is there.
func (t *tx) acceptFor(id bijou.OperatorID, tokenHash, passwordHash string) error {
	for _, change := range []struct {
		query string
		args  []any
	}{
		{`UPDATE operators SET password_hash = ?, by_call = ? WHERE id = ?`, []any{passwordHash, t.call, id}},
		{`DELETE FROM tokens WHERE hash = ?`, []any{tokenHash}},
		{endSessions, []any{id}},
	} {
		if _, err := t.exec(change.query, change.args...); err != nil {
			return err
		}
	}
	return nil
}

// AddOperatorToken implements bijou.OperatorTokenStore.
func (o *Operators) AddOperatorToken(ctx context.Context, k bijou.OperatorToken) error {
	return o.s.tx(ctx, "keep token", func(t *tx) error {
		// Of two who invite the same person at once the second finds the invitation of the first.
		if k.Kind == bijou.TokenInvitation {
			if err := t.find(lostRow("audit_begin"), `SELECT 1 FROM audit_begin FOR UPDATE`); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM tokens WHERE kind = 'invitation' AND operator <=> NULLIF(?, '') AND id <> ?`, k.Operator, k.ID); err != nil {
				return err
			}
		}
		if _, err := t.exec(`DELETE FROM tokens WHERE expires_us <= ? ORDER BY expires_us LIMIT ?`, micros(k.Created), endedAtOnce); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO tokens (id, hash, kind, operator, note, created_us, expires_us, by_call) VALUES (?, ?, ?, NULLIF(?, ''), ?, ?, ?, ?)`,
			k.ID, k.Hash, k.Kind, k.Operator, k.Note, micros(k.Created), micros(k.Expires), t.call)
		switch {
		case orphan(err):
			return noOperator(k.Operator)
		case duplicate(err):
			return t.unless(fmt.Errorf("keep token: %s is taken: %w", k.ID, bijou.Conflict), "tokens", k.ID)
		}
		return err
	})
}

const tokenColumns = `id, hash, kind, COALESCE(operator, ''), note, created_us, expires_us`

func scanToken(scan func(...any) error, t *bijou.OperatorToken) error {
	var created, expires int64
	err := scan(&t.ID, &t.Hash, &t.Kind, &t.Operator, &t.Note, &created, &expires)
	t.Created, t.Expires = fromMicros(created), fromMicros(expires)
	return err
}

// OperatorToken implements bijou.OperatorTokenStore.
func (o *Operators) OperatorToken(ctx context.Context, hash string, now time.Time) (bijou.OperatorToken, error) {
	all, err := rows(ctx, o.s, "find token", scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE hash = ? AND expires_us > ?`, hash, micros(now))
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the token is unknown or has ended: %w", bijou.NotFound)
	}
	if err != nil {
		return bijou.OperatorToken{}, err
	}
	return all[0], nil
}

// OperatorTokens implements bijou.OperatorTokenStore.
func (o *Operators) OperatorTokens(ctx context.Context, id bijou.OperatorID, now time.Time) ([]bijou.OperatorToken, error) {
	return rows(ctx, o.s, "list tokens", scanToken,
		`SELECT `+tokenColumns+` FROM tokens WHERE operator <=> NULLIF(?, '') AND expires_us > ? ORDER BY created_us, id`, id, micros(now))
}

// RemoveOperatorToken implements bijou.OperatorTokenStore.
func (o *Operators) RemoveOperatorToken(ctx context.Context, id bijou.TokenID) error {
	return o.s.put(ctx, "end token", `DELETE FROM tokens WHERE id = ?`, id)
}
