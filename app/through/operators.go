package through

import (
	"context"
	"time"

	"bijou"
)

// OperatorStore is a bijou.OperatorStore whose calls are made by By.
type OperatorStore On[bijou.OperatorStore]

// CreateOperator implements bijou.OperatorStore.
func (w OperatorStore) CreateOperator(ctx context.Context, o bijou.Operator) error {
	return w.By(ctx, Method{"OperatorStore", "CreateOperator", Once}, func(ctx context.Context) error { return w.Store.CreateOperator(ctx, o) })
}

// Operator implements bijou.OperatorStore.
func (w OperatorStore) Operator(ctx context.Context, id bijou.OperatorID) (bijou.Operator, error) {
	return ask(ctx, w.By, Method{"OperatorStore", "Operator", Again}, func(ctx context.Context) (bijou.Operator, error) { return w.Store.Operator(ctx, id) })
}

// Operators implements bijou.OperatorStore.
func (w OperatorStore) Operators(ctx context.Context) ([]bijou.Operator, error) {
	return ask(ctx, w.By, Method{"OperatorStore", "Operators", Again}, func(ctx context.Context) ([]bijou.Operator, error) { return w.Store.Operators(ctx) })
}

// OperatorPassword implements bijou.OperatorStore.
func (w OperatorStore) OperatorPassword(ctx context.Context, id bijou.OperatorID) (string, error) {
	return ask(ctx, w.By, Method{"OperatorStore", "OperatorPassword", Again}, func(ctx context.Context) (string, error) { return w.Store.OperatorPassword(ctx, id) })
}

// SetOperatorRole implements bijou.OperatorStore.
func (w OperatorStore) SetOperatorRole(ctx context.Context, id bijou.OperatorID, role bijou.OperatorRole) error {
	return w.By(ctx, Method{"OperatorStore", "SetOperatorRole", Again}, func(ctx context.Context) error { return w.Store.SetOperatorRole(ctx, id, role) })
}

// RemoveOperator implements bijou.OperatorStore.
func (w OperatorStore) RemoveOperator(ctx context.Context, id bijou.OperatorID) error {
	return w.By(ctx, Method{"OperatorStore", "RemoveOperator", Once}, func(ctx context.Context) error { return w.Store.RemoveOperator(ctx, id) })
}

// AcceptInvitation implements bijou.OperatorStore.
func (w OperatorStore) AcceptInvitation(ctx context.Context, tokenHash string, now time.Time, o bijou.Operator, passwordHash string) (bijou.Operator, error) {
	return ask(ctx, w.By, Method{"OperatorStore", "AcceptInvitation", Once}, func(ctx context.Context) (bijou.Operator, error) {
		return w.Store.AcceptInvitation(ctx, tokenHash, now, o, passwordHash)
	})
}

// OperatorTokenStore is a bijou.OperatorTokenStore whose calls are made by By.
type OperatorTokenStore On[bijou.OperatorTokenStore]

// AddOperatorToken implements bijou.OperatorTokenStore.
func (w OperatorTokenStore) AddOperatorToken(ctx context.Context, t bijou.OperatorToken) error {
	return w.By(ctx, Method{"OperatorTokenStore", "AddOperatorToken", Once}, func(ctx context.Context) error { return w.Store.AddOperatorToken(ctx, t) })
}

// OperatorToken implements bijou.OperatorTokenStore.
func (w OperatorTokenStore) OperatorToken(ctx context.Context, hash string, now time.Time) (bijou.OperatorToken, error) {
	return ask(ctx, w.By, Method{"OperatorTokenStore", "OperatorToken", Again}, func(ctx context.Context) (bijou.OperatorToken, error) { return w.Store.OperatorToken(ctx, hash, now) })
}

// OperatorTokens implements bijou.OperatorTokenStore.
func (w OperatorTokenStore) OperatorTokens(ctx context.Context, id bijou.OperatorID, now time.Time) ([]bijou.OperatorToken, error) {
	return ask(ctx, w.By, Method{"OperatorTokenStore", "OperatorTokens", Again}, func(ctx context.Context) ([]bijou.OperatorToken, error) { return w.Store.OperatorTokens(ctx, id, now) })
}

// RemoveOperatorToken implements bijou.OperatorTokenStore.
func (w OperatorTokenStore) RemoveOperatorToken(ctx context.Context, id bijou.TokenID) error {
	return w.By(ctx, Method{"OperatorTokenStore", "RemoveOperatorToken", Again}, func(ctx context.Context) error { return w.Store.RemoveOperatorToken(ctx, id) })
}

// AuditStore is a bijou.AuditStore whose calls are made by By.
type AuditStore On[bijou.AuditStore]

// BeginAction implements bijou.AuditStore.
func (w AuditStore) BeginAction(ctx context.Context, a bijou.Action) (int64, error) {
	return ask(ctx, w.By, Method{"AuditStore", "BeginAction", Once}, func(ctx context.Context) (int64, error) { return w.Store.BeginAction(ctx, a) })
}

// EndAction implements bijou.AuditStore.
func (w AuditStore) EndAction(ctx context.Context, seq int64, at time.Time, outcome bijou.Outcome, says string) error {
	return w.By(ctx, Method{"AuditStore", "EndAction", Once}, func(ctx context.Context) error { return w.Store.EndAction(ctx, seq, at, outcome, says) })
}

// Actions implements bijou.AuditStore.
func (w AuditStore) Actions(ctx context.Context, q bijou.ActionQuery) ([]bijou.Action, error) {
	return ask(ctx, w.By, Method{"AuditStore", "Actions", Again}, func(ctx context.Context) ([]bijou.Action, error) { return w.Store.Actions(ctx, q) })
}

// VerifyActions implements bijou.AuditStore.
func (w AuditStore) VerifyActions(ctx context.Context) (bijou.AuditCheck, error) {
	return ask(ctx, w.By, Method{"AuditStore", "VerifyActions", Again | Long}, func(ctx context.Context) (bijou.AuditCheck, error) { return w.Store.VerifyActions(ctx) })
}

// PruneActions implements bijou.AuditStore.
func (w AuditStore) PruneActions(ctx context.Context, before time.Time, maxBytes int64) (int64, error) {
	return ask(ctx, w.By, Method{"AuditStore", "PruneActions", Long}, func(ctx context.Context) (int64, error) { return w.Store.PruneActions(ctx, before, maxBytes) })
}
