package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"bijou"
)

// Operators implements bijou.OperatorStore, bijou.OperatorTokenStore and bijou.AuditStore on one file.
type Operators struct{ d *db }

// OpenOperators opens the file as OpenMembers does.
func OpenOperators(ctx context.Context, path string) (*Operators, error) {
	d, err := open(ctx, path, "operators")
	if err != nil {
		return nil, err
	}
	return &Operators{d}, nil
}

// Close lets go of the file.
func (o *Operators) Close() error { return o.d.close() }

const insertOperator = `INSERT INTO operators (id, name, role, sign_on, password_hash, created_us) VALUES (?, ?, ?, NULLIF(?, ''), ?, ?)`

// CreateOperator implements bijou.OperatorStore.
func (o *Operators) CreateOperator(ctx context.Context, p bijou.Operator) error {
	_, err := o.d.exec(ctx, insertOperator, p.ID, p.Name, p.Role, p.SignOn, "", micros(p.Created))
	return o.created(p, err)
}

func (o *Operators) created(p bijou.Operator, err error) error {
	if unique(err) {
		return fmt.Errorf("there is an operator %s already: choose another name: %w", p.Name, bijou.Conflict)
	}
	if err != nil {
		return o.d.failure("create operator", err)
	}
	return nil
}

const operatorColumns = `id, name, role, COALESCE(sign_on, ''), password_hash <> '', created_us`

func scanOperator(scan func(...any) error, p *bijou.Operator) error {
	var created int64
	err := scan(&p.ID, &p.Name, &p.Role, &p.SignOn, &p.Password, &created)
	p.Created = fromMicros(created)
	return err
}

// Operator implements bijou.OperatorStore.
func (o *Operators) Operator(ctx context.Context, id bijou.OperatorID) (p bijou.Operator, err error) {
	err = o.d.row(ctx, func(scan func(...any) error) error { return scanOperator(scan, &p) }, `SELECT `+operatorColumns+` FROM operators WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return p, noOperator(id)
	}
	if err != nil {
		return p, o.d.failure("find operator", err)
	}
	return p, nil
}

// Operators implements bijou.OperatorStore.
func (o *Operators) Operators(ctx context.Context) ([]bijou.Operator, error) {
	all, err := rows(ctx, o.d, o.d.read, scanOperator, `SELECT `+operatorColumns+` FROM operators ORDER BY name`)
	if err != nil {
		return nil, o.d.failure("list operators", err)
	}
	return all, nil
}

// OperatorPassword implements bijou.OperatorStore.
func (o *Operators) OperatorPassword(ctx context.Context, id bijou.OperatorID) (hash string, err error) {
	err = o.d.row(ctx, func(scan func(...any) error) error { return scan(&hash) }, `SELECT password_hash FROM operators WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", noOperator(id)
	}
	if err != nil {
		return "", o.d.failure("find password", err)
	}
	return hash, nil
}

func noOperator(id bijou.OperatorID) error {
	return fmt.Errorf("there is no operator %s: %w", id, bijou.NotFound)
}

const endSessions = `DELETE FROM tokens WHERE operator = ? AND kind = 'session'`

// SetOperatorRole implements bijou.OperatorStore.
func (o *Operators) SetOperatorRole(ctx context.Context, id bijou.OperatorID, role bijou.OperatorRole) error {
	return o.d.tx(ctx, "change role", func(tx *sql.Tx) error {
		if err := changed(ctx, tx, noOperator(id), `UPDATE operators SET role = ? WHERE id = ?`, role, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, endSessions, id)
		return err
	})
}

// changed runs a statement that must change a row, and fails with none where it changes nothing.
func changed(ctx context.Context, tx *sql.Tx, none error, query string, args ...any) error {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, none)
	}
	return nil
}

// RemoveOperator implements bijou.OperatorStore.
func (o *Operators) RemoveOperator(ctx context.Context, id bijou.OperatorID) error {
	return o.d.tx(ctx, "remove operator", func(tx *sql.Tx) error {
		return changed(ctx, tx, noOperator(id), `DELETE FROM operators WHERE id = ?`, id)
	})
}

// AcceptInvitation implements bijou.OperatorStore.
func (o *Operators) AcceptInvitation(ctx context.Context, tokenHash string, now time.Time, p bijou.Operator, passwordHash string) (out bijou.Operator, err error) {
	err = o.d.tx(ctx, "accept invitation", func(tx *sql.Tx) error {
		var invited sql.NullString
		err := tx.QueryRowContext(ctx, `DELETE FROM tokens WHERE hash = ? AND kind = 'invitation' AND expires_us > ? RETURNING operator`, tokenHash, micros(now)).Scan(&invited)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("the invitation is unknown, used or has ended: %w", bijou.NotFound)
		}
		if err != nil {
			return err
		}
		id := bijou.OperatorID(invited.String)
		if !invited.Valid {
			id = p.ID
			_, err = tx.ExecContext(ctx, insertOperator, p.ID, p.Name, p.Role, p.SignOn, passwordHash, micros(p.Created))
			err = o.created(p, err)
		} else if _, err = tx.ExecContext(ctx, `UPDATE operators SET password_hash = ? WHERE id = ?`, passwordHash, id); err == nil {
			_, err = tx.ExecContext(ctx, endSessions, id)
		}
		if err != nil {
			return err
		}
		return scanOperator(tx.QueryRowContext(ctx, `SELECT `+operatorColumns+` FROM operators WHERE id = ?`, id).Scan, &out)
	})
	return out, err
}

// AddOperatorToken implements bijou.OperatorTokenStore.
func (o *Operators) AddOperatorToken(ctx context.Context, t bijou.OperatorToken) error {
	return o.d.tx(ctx, "keep token", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE expires_us <= ?`, micros(t.Created)); err != nil {
			return err
		}
		if t.Kind == bijou.TokenInvitation {
			if _, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE kind = 'invitation' AND operator IS NULLIF(?, '')`, t.Operator); err != nil {
				return err
			}
		}
		return changed(ctx, tx, noOperator(t.Operator), `INSERT INTO tokens (id, hash, kind, operator, note, created_us, expires_us)
			SELECT ?1, ?2, ?3, NULLIF(?4, ''), ?5, ?6, ?7 WHERE ?4 = '' OR EXISTS (SELECT 1 FROM operators WHERE id = ?4)`,
			t.ID, t.Hash, t.Kind, t.Operator, t.Note, micros(t.Created), micros(t.Expires))
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
func (o *Operators) OperatorToken(ctx context.Context, hash string, now time.Time) (t bijou.OperatorToken, err error) {
	err = o.d.row(ctx, func(scan func(...any) error) error { return scanToken(scan, &t) },
		`SELECT `+tokenColumns+` FROM tokens WHERE hash = ? AND expires_us > ?`, hash, micros(now))
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("the token is unknown or has ended: %w", bijou.NotFound)
	}
	if err != nil {
		return t, o.d.failure("find token", err)
	}
	return t, nil
}

// OperatorTokens implements bijou.OperatorTokenStore.
func (o *Operators) OperatorTokens(ctx context.Context, id bijou.OperatorID, now time.Time) ([]bijou.OperatorToken, error) {
	all, err := rows(ctx, o.d, o.d.read, scanToken,
		`SELECT `+tokenColumns+` FROM tokens WHERE operator IS NULLIF(?, '') AND expires_us > ? ORDER BY created_us, id`, id, micros(now))
	if err != nil {
		return nil, o.d.failure("list tokens", err)
	}
	return all, nil
}

// RemoveOperatorToken implements bijou.OperatorTokenStore.
func (o *Operators) RemoveOperatorToken(ctx context.Context, id bijou.TokenID) error {
	if _, err := o.d.exec(ctx, `DELETE FROM tokens WHERE id = ?`, id); err != nil {
		return o.d.failure("end token", err)
	}
	return nil
}
