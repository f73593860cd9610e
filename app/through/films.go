package through

import (
	"context"
	"time"

	"bijou"
)

// TitleStore is a bijou.TitleStore whose calls are made by By.
type TitleStore On[bijou.TitleStore]

// PutTitle implements bijou.TitleStore.
func (w TitleStore) PutTitle(ctx context.Context, t bijou.Title) error {
	return w.By(ctx, Method{"TitleStore", "PutTitle", Again}, func(ctx context.Context) error { return w.Store.PutTitle(ctx, t) })
}

// Title implements bijou.TitleStore.
func (w TitleStore) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	return ask(ctx, w.By, Method{"TitleStore", "Title", Again}, func(ctx context.Context) (bijou.Title, error) { return w.Store.Title(ctx, id) })
}

// Titles implements bijou.TitleStore.
func (w TitleStore) Titles(ctx context.Context, q bijou.TitleQuery) (bijou.TitlePage, error) {
	return ask(ctx, w.By, Method{"TitleStore", "Titles", Again}, func(ctx context.Context) (bijou.TitlePage, error) { return w.Store.Titles(ctx, q) })
}

// RemoveTitle implements bijou.TitleStore.
func (w TitleStore) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	return w.By(ctx, Method{"TitleStore", "RemoveTitle", Once}, func(ctx context.Context) error { return w.Store.RemoveTitle(ctx, id) })
}

// WorkStore is a bijou.WorkStore whose calls are made by By.
type WorkStore On[bijou.WorkStore]

// Enqueue implements bijou.WorkStore.
func (w WorkStore) Enqueue(ctx context.Context, ws []bijou.Work) error {
	return w.By(ctx, Method{"WorkStore", "Enqueue", Again}, func(ctx context.Context) error { return w.Store.Enqueue(ctx, ws) })
}

// Lease implements bijou.WorkStore.
func (w WorkStore) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (bijou.Work, error) {
	return ask(ctx, w.By, Method{"WorkStore", "Lease", Once}, func(ctx context.Context) (bijou.Work, error) { return w.Store.Lease(ctx, worker, term, now) })
}

// Renew implements bijou.WorkStore.
func (w WorkStore) Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error {
	return w.By(ctx, Method{"WorkStore", "Renew", Again}, func(ctx context.Context) error { return w.Store.Renew(ctx, id, worker, progress, term, now) })
}

// Finish implements bijou.WorkStore.
func (w WorkStore) Finish(ctx context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error {
	return w.By(ctx, Method{"WorkStore", "Finish", Once}, func(ctx context.Context) error { return w.Store.Finish(ctx, id, worker, end) })
}

// WorkOf implements bijou.WorkStore.
func (w WorkStore) WorkOf(ctx context.Context, id bijou.TitleID) ([]bijou.Work, error) {
	return ask(ctx, w.By, Method{"WorkStore", "WorkOf", Again}, func(ctx context.Context) ([]bijou.Work, error) { return w.Store.WorkOf(ctx, id) })
}

// Unfinished implements bijou.WorkStore.
func (w WorkStore) Unfinished(ctx context.Context) ([]bijou.TitleID, error) {
	return ask(ctx, w.By, Method{"WorkStore", "Unfinished", Again}, func(ctx context.Context) ([]bijou.TitleID, error) { return w.Store.Unfinished(ctx) })
}

// Forget implements bijou.WorkStore.
func (w WorkStore) Forget(ctx context.Context, id bijou.TitleID) error {
	return w.By(ctx, Method{"WorkStore", "Forget", Again}, func(ctx context.Context) error { return w.Store.Forget(ctx, id) })
}

// ApplianceStore is a bijou.ApplianceStore whose calls are made by By.
type ApplianceStore On[bijou.ApplianceStore]

// WantAppliance implements bijou.ApplianceStore.
func (w ApplianceStore) WantAppliance(ctx context.Context, id bijou.ApplianceID, state bijou.ApplianceState) error {
	return w.By(ctx, Method{"ApplianceStore", "WantAppliance", Again}, func(ctx context.Context) error { return w.Store.WantAppliance(ctx, id, state) })
}

// WantedAppliances implements bijou.ApplianceStore.
func (w ApplianceStore) WantedAppliances(ctx context.Context) (map[bijou.ApplianceID]bijou.ApplianceState, error) {
	return ask(ctx, w.By, Method{"ApplianceStore", "WantedAppliances", Again}, func(ctx context.Context) (map[bijou.ApplianceID]bijou.ApplianceState, error) {
		return w.Store.WantedAppliances(ctx)
	})
}

// RevocationStore is a bijou.RevocationStore whose calls are made by By.
type RevocationStore On[bijou.RevocationStore]

// Revoke implements bijou.RevocationStore.
func (w RevocationStore) Revoke(ctx context.Context, r bijou.Revocation) error {
	return w.By(ctx, Method{"RevocationStore", "Revoke", Again}, func(ctx context.Context) error { return w.Store.Revoke(ctx, r) })
}

// Revoked implements bijou.RevocationStore.
func (w RevocationStore) Revoked(ctx context.Context, id bijou.SessionID, now time.Time) (bool, error) {
	return ask(ctx, w.By, Method{"RevocationStore", "Revoked", Again}, func(ctx context.Context) (bool, error) { return w.Store.Revoked(ctx, id, now) })
}

// Revocations implements bijou.RevocationStore.
func (w RevocationStore) Revocations(ctx context.Context, now time.Time) ([]bijou.Revocation, error) {
	return ask(ctx, w.By, Method{"RevocationStore", "Revocations", Again}, func(ctx context.Context) ([]bijou.Revocation, error) { return w.Store.Revocations(ctx, now) })
}
