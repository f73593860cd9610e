package through

import (
	"context"
	"time"

	"bijou"
)

// AccountStore is a bijou.AccountStore whose calls are made by By.
type AccountStore On[bijou.AccountStore]

// CreateAccount implements bijou.AccountStore.
func (w AccountStore) CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error {
	return w.By(ctx, Method{"AccountStore", "CreateAccount", Once}, func(ctx context.Context) error { return w.Store.CreateAccount(ctx, a, passwordHash) })
}

// Account implements bijou.AccountStore.
func (w AccountStore) Account(ctx context.Context, id bijou.AccountID) (bijou.Account, error) {
	return ask(ctx, w.By, Method{"AccountStore", "Account", Again}, func(ctx context.Context) (bijou.Account, error) { return w.Store.Account(ctx, id) })
}

// Credentials implements bijou.AccountStore.
func (w AccountStore) Credentials(ctx context.Context, email string) (bijou.Account, string, error) {
	return ask2(ctx, w.By, Method{"AccountStore", "Credentials", Again}, func(ctx context.Context) (bijou.Account, string, error) { return w.Store.Credentials(ctx, email) })
}

// Accounts implements bijou.AccountStore.
func (w AccountStore) Accounts(ctx context.Context, q bijou.AccountQuery) (bijou.AccountPage, error) {
	return ask(ctx, w.By, Method{"AccountStore", "Accounts", Again}, func(ctx context.Context) (bijou.AccountPage, error) { return w.Store.Accounts(ctx, q) })
}

// SetPassword implements bijou.AccountStore.
func (w AccountStore) SetPassword(ctx context.Context, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error {
	return w.By(ctx, Method{"AccountStore", "SetPassword", Again}, func(ctx context.Context) error { return w.Store.SetPassword(ctx, id, passwordHash, keep) })
}

// DeleteAccount implements bijou.AccountStore.
func (w AccountStore) DeleteAccount(ctx context.Context, id bijou.AccountID) error {
	return w.By(ctx, Method{"AccountStore", "DeleteAccount", Once}, func(ctx context.Context) error { return w.Store.DeleteAccount(ctx, id) })
}

// PINStore is a bijou.PINStore whose calls are made by By.
type PINStore On[bijou.PINStore]

// SetPIN implements bijou.PINStore.
func (w PINStore) SetPIN(ctx context.Context, id bijou.AccountID, pinHash string) error {
	return w.By(ctx, Method{"PINStore", "SetPIN", Again}, func(ctx context.Context) error { return w.Store.SetPIN(ctx, id, pinHash) })
}

// PIN implements bijou.PINStore.
func (w PINStore) PIN(ctx context.Context, id bijou.AccountID) (string, error) {
	return ask(ctx, w.By, Method{"PINStore", "PIN", Again}, func(ctx context.Context) (string, error) { return w.Store.PIN(ctx, id) })
}

// ResetStore is a bijou.ResetStore whose calls are made by By.
type ResetStore On[bijou.ResetStore]

// RequestReset implements bijou.ResetStore.
func (w ResetStore) RequestReset(ctx context.Context, r bijou.ResetRequest) error {
	return w.By(ctx, Method{"ResetStore", "RequestReset", Again}, func(ctx context.Context) error { return w.Store.RequestReset(ctx, r) })
}

// ResetRequests implements bijou.ResetStore.
func (w ResetStore) ResetRequests(ctx context.Context, now time.Time, limit int) ([]bijou.ResetRequest, error) {
	return ask(ctx, w.By, Method{"ResetStore", "ResetRequests", Again}, func(ctx context.Context) ([]bijou.ResetRequest, error) { return w.Store.ResetRequests(ctx, now, limit) })
}

// PostponeReset implements bijou.ResetStore.
func (w ResetStore) PostponeReset(ctx context.Context, r bijou.ResetRequest) error {
	return w.By(ctx, Method{"ResetStore", "PostponeReset", Again}, func(ctx context.Context) error { return w.Store.PostponeReset(ctx, r) })
}

// FinishReset implements bijou.ResetStore.
func (w ResetStore) FinishReset(ctx context.Context, email string) error {
	return w.By(ctx, Method{"ResetStore", "FinishReset", Again}, func(ctx context.Context) error { return w.Store.FinishReset(ctx, email) })
}

// PutReset implements bijou.ResetStore.
func (w ResetStore) PutReset(ctx context.Context, r bijou.Reset) error {
	return w.By(ctx, Method{"ResetStore", "PutReset", Again}, func(ctx context.Context) error { return w.Store.PutReset(ctx, r) })
}

// Reset implements bijou.ResetStore.
func (w ResetStore) Reset(ctx context.Context, tokenHash string, now time.Time) (bijou.Account, error) {
	return ask(ctx, w.By, Method{"ResetStore", "Reset", Again}, func(ctx context.Context) (bijou.Account, error) { return w.Store.Reset(ctx, tokenHash, now) })
}

// UseReset implements bijou.ResetStore.
func (w ResetStore) UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error {
	return w.By(ctx, Method{"ResetStore", "UseReset", Once}, func(ctx context.Context) error { return w.Store.UseReset(ctx, tokenHash, passwordHash, now) })
}

// SessionStore is a bijou.SessionStore whose calls are made by By.
type SessionStore On[bijou.SessionStore]

// OpenSession implements bijou.SessionStore.
func (w SessionStore) OpenSession(ctx context.Context, s bijou.MemberSession) error {
	return w.By(ctx, Method{"SessionStore", "OpenSession", Once}, func(ctx context.Context) error { return w.Store.OpenSession(ctx, s) })
}

// Session implements bijou.SessionStore.
func (w SessionStore) Session(ctx context.Context, tokenHash string, now time.Time) (bijou.MemberSession, error) {
	return ask(ctx, w.By, Method{"SessionStore", "Session", Again}, func(ctx context.Context) (bijou.MemberSession, error) { return w.Store.Session(ctx, tokenHash, now) })
}

// Sessions implements bijou.SessionStore.
func (w SessionStore) Sessions(ctx context.Context, id bijou.AccountID, now time.Time) ([]bijou.MemberSession, error) {
	return ask(ctx, w.By, Method{"SessionStore", "Sessions", Again}, func(ctx context.Context) ([]bijou.MemberSession, error) { return w.Store.Sessions(ctx, id, now) })
}

// NoteSession implements bijou.SessionStore.
func (w SessionStore) NoteSession(ctx context.Context, s bijou.MemberSession) error {
	return w.By(ctx, Method{"SessionStore", "NoteSession", Again}, func(ctx context.Context) error { return w.Store.NoteSession(ctx, s) })
}

// RotateSession implements bijou.SessionStore.
func (w SessionStore) RotateSession(ctx context.Context, from, to string, now, lost time.Time) error {
	return w.By(ctx, Method{"SessionStore", "RotateSession", Once}, func(ctx context.Context) error { return w.Store.RotateSession(ctx, from, to, now, lost) })
}

// ChooseProfile implements bijou.SessionStore.
func (w SessionStore) ChooseProfile(ctx context.Context, id bijou.SignInID, profile bijou.ProfileID) error {
	return w.By(ctx, Method{"SessionStore", "ChooseProfile", Again}, func(ctx context.Context) error { return w.Store.ChooseProfile(ctx, id, profile) })
}

// CloseSessions implements bijou.SessionStore.
func (w SessionStore) CloseSessions(ctx context.Context, account bijou.AccountID, only, except bijou.SignInID) (int, error) {
	return ask(ctx, w.By, Method{"SessionStore", "CloseSessions", Once}, func(ctx context.Context) (int, error) { return w.Store.CloseSessions(ctx, account, only, except) })
}

// IdentityStore is a bijou.IdentityStore whose calls are made by By.
type IdentityStore On[bijou.IdentityStore]

// CreateIdentified implements bijou.IdentityStore.
func (w IdentityStore) CreateIdentified(ctx context.Context, a bijou.Account, x bijou.Identity) error {
	return w.By(ctx, Method{"IdentityStore", "CreateIdentified", Once}, func(ctx context.Context) error { return w.Store.CreateIdentified(ctx, a, x) })
}

// Identified implements bijou.IdentityStore.
func (w IdentityStore) Identified(ctx context.Context, x bijou.Identity) (bijou.Account, error) {
	return ask(ctx, w.By, Method{"IdentityStore", "Identified", Again}, func(ctx context.Context) (bijou.Account, error) { return w.Store.Identified(ctx, x) })
}

// Identities implements bijou.IdentityStore.
func (w IdentityStore) Identities(ctx context.Context, id bijou.AccountID) ([]bijou.Identity, error) {
	return ask(ctx, w.By, Method{"IdentityStore", "Identities", Again}, func(ctx context.Context) ([]bijou.Identity, error) { return w.Store.Identities(ctx, id) })
}

// Connect implements bijou.IdentityStore.
func (w IdentityStore) Connect(ctx context.Context, id bijou.AccountID, x bijou.Identity) error {
	return w.By(ctx, Method{"IdentityStore", "Connect", Again}, func(ctx context.Context) error { return w.Store.Connect(ctx, id, x) })
}

// Disconnect implements bijou.IdentityStore.
func (w IdentityStore) Disconnect(ctx context.Context, id bijou.AccountID, issuer string) error {
	return w.By(ctx, Method{"IdentityStore", "Disconnect", Once}, func(ctx context.Context) error { return w.Store.Disconnect(ctx, id, issuer) })
}

// ProfileStore is a bijou.ProfileStore whose calls are made by By.
type ProfileStore On[bijou.ProfileStore]

// CreateProfile implements bijou.ProfileStore.
func (w ProfileStore) CreateProfile(ctx context.Context, p bijou.Profile) error {
	return w.By(ctx, Method{"ProfileStore", "CreateProfile", Once}, func(ctx context.Context) error { return w.Store.CreateProfile(ctx, p) })
}

// Profiles implements bijou.ProfileStore.
func (w ProfileStore) Profiles(ctx context.Context, id bijou.AccountID) ([]bijou.Profile, error) {
	return ask(ctx, w.By, Method{"ProfileStore", "Profiles", Again}, func(ctx context.Context) ([]bijou.Profile, error) { return w.Store.Profiles(ctx, id) })
}

// UpdateProfile implements bijou.ProfileStore.
func (w ProfileStore) UpdateProfile(ctx context.Context, p bijou.Profile) error {
	return w.By(ctx, Method{"ProfileStore", "UpdateProfile", Again}, func(ctx context.Context) error { return w.Store.UpdateProfile(ctx, p) })
}

// DeleteProfile implements bijou.ProfileStore.
func (w ProfileStore) DeleteProfile(ctx context.Context, account bijou.AccountID, id bijou.ProfileID) error {
	return w.By(ctx, Method{"ProfileStore", "DeleteProfile", Once}, func(ctx context.Context) error { return w.Store.DeleteProfile(ctx, account, id) })
}

// DeleteProfiles implements bijou.ProfileStore.
func (w ProfileStore) DeleteProfiles(ctx context.Context, account bijou.AccountID) error {
	return w.By(ctx, Method{"ProfileStore", "DeleteProfiles", Again}, func(ctx context.Context) error { return w.Store.DeleteProfiles(ctx, account) })
}

// ListStore is a bijou.ListStore whose calls are made by By.
type ListStore On[bijou.ListStore]

// AddToList implements bijou.ListStore.
func (w ListStore) AddToList(ctx context.Context, e bijou.ListEntry) error {
	return w.By(ctx, Method{"ListStore", "AddToList", Again}, func(ctx context.Context) error { return w.Store.AddToList(ctx, e) })
}

// RemoveFromList implements bijou.ListStore.
func (w ListStore) RemoveFromList(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) error {
	return w.By(ctx, Method{"ListStore", "RemoveFromList", Again}, func(ctx context.Context) error { return w.Store.RemoveFromList(ctx, profile, title) })
}

// List implements bijou.ListStore.
func (w ListStore) List(ctx context.Context, profile bijou.ProfileID, before string, limit int) (bijou.ListPage, error) {
	return ask(ctx, w.By, Method{"ListStore", "List", Again}, func(ctx context.Context) (bijou.ListPage, error) { return w.Store.List(ctx, profile, before, limit) })
}

// PositionStore is a bijou.PositionStore whose calls are made by By.
type PositionStore On[bijou.PositionStore]

// SavePosition implements bijou.PositionStore.
func (w PositionStore) SavePosition(ctx context.Context, p bijou.Position) error {
	return w.By(ctx, Method{"PositionStore", "SavePosition", Again}, func(ctx context.Context) error { return w.Store.SavePosition(ctx, p) })
}

// Position implements bijou.PositionStore.
func (w PositionStore) Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	return ask(ctx, w.By, Method{"PositionStore", "Position", Again}, func(ctx context.Context) (bijou.Position, error) { return w.Store.Position(ctx, profile, title) })
}

// Positions implements bijou.PositionStore.
func (w PositionStore) Positions(ctx context.Context, profile bijou.ProfileID, limit int) ([]bijou.Position, error) {
	return ask(ctx, w.By, Method{"PositionStore", "Positions", Again}, func(ctx context.Context) ([]bijou.Position, error) { return w.Store.Positions(ctx, profile, limit) })
}
