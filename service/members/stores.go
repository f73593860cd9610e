package members

import (
	"context"
	"time"

	"bijou"
	"bijou/kit/rpc"
)

// StorePath begins the addresses of the stores' methods. They hand out hashes of passwords and of tokens, so whoever serves them has to know
// that a process of the service itself asks.
const StorePath = "/role/members/stores/"

// credentials is what AccountStore.Credentials returns.
type credentials struct {
	Account      bijou.Account `json:"account"`
	PasswordHash string        `json:"password_hash"`
}

// keptSession is a sign-in with what only stores know of it.
type keptSession struct {
	bijou.MemberSession
	TokenHash string    `json:"token_hash"`
	Issued    time.Time `json:"issued"`
	OldHash   string    `json:"old_hash"`
	OldUntil  time.Time `json:"old_until"`
}

func keep(s bijou.MemberSession) keptSession {
	return keptSession{s, s.TokenHash, s.Issued, s.OldHash, s.OldUntil}
}

func (k keptSession) session() bijou.MemberSession {
	s := k.MemberSession
	s.TokenHash, s.Issued, s.OldHash, s.OldUntil = k.TokenHash, k.Issued, k.OldHash, k.OldUntil
	return s
}

// The stores' methods. Those that are not to be asked again fail where what they did is done already, as a second account with the address does.
var (
	storeCreateAccount = rpc.Tell2[bijou.Account, string]{Path: StorePath + "create-account"}
	storeAccount       = rpc.Ask1[bijou.AccountID, bijou.Account]{Path: StorePath + "account", Again: true}
	storeCredentials   = rpc.Ask1[string, credentials]{Path: StorePath + "credentials", Again: true}
	storeAccounts      = rpc.Ask1[bijou.AccountQuery, bijou.AccountPage]{Path: StorePath + "accounts", Again: true}
	storeSetPassword   = rpc.Tell3[bijou.AccountID, string, bijou.SignInID]{Path: StorePath + "set-password", Again: true}
	storeDeleteAccount = rpc.Tell1[bijou.AccountID]{Path: StorePath + "delete-account"}

	storeSetPIN = rpc.Tell2[bijou.AccountID, string]{Path: StorePath + "set-pin", Again: true}
	storePIN    = rpc.Ask1[bijou.AccountID, string]{Path: StorePath + "pin", Again: true}

	storeRequestReset  = rpc.Tell1[bijou.ResetRequest]{Path: StorePath + "request-reset", Again: true}
	storeResetRequests = rpc.Ask2[time.Time, int, []bijou.ResetRequest]{Path: StorePath + "reset-requests", Again: true}
	storePostponeReset = rpc.Tell1[bijou.ResetRequest]{Path: StorePath + "postpone-reset", Again: true}
	storeFinishReset   = rpc.Tell1[string]{Path: StorePath + "finish-reset", Again: true}
	storePutReset      = rpc.Tell1[bijou.Reset]{Path: StorePath + "put-reset", Again: true}
	storeReset         = rpc.Ask2[string, time.Time, bijou.Account]{Path: StorePath + "reset", Again: true}
	storeUseReset      = rpc.Tell3[string, string, time.Time]{Path: StorePath + "use-reset"}

	storeOpenSession   = rpc.Tell1[keptSession]{Path: StorePath + "open-session"}
	storeSession       = rpc.Ask2[string, time.Time, keptSession]{Path: StorePath + "session", Again: true}
	storeSessions      = rpc.Ask2[bijou.AccountID, time.Time, []keptSession]{Path: StorePath + "sessions", Again: true}
	storeNoteSession   = rpc.Tell1[keptSession]{Path: StorePath + "note-session", Again: true}
	storeRotateSession = rpc.Tell4[string, string, time.Time, time.Time]{Path: StorePath + "rotate-session"}
	storeChooseProfile = rpc.Tell2[bijou.SignInID, bijou.ProfileID]{Path: StorePath + "choose-profile", Again: true}
	storeCloseSessions = rpc.Ask3[bijou.AccountID, bijou.SignInID, bijou.SignInID, int]{Path: StorePath + "close-sessions"}

	storeCreateIdentified = rpc.Tell2[bijou.Account, bijou.Identity]{Path: StorePath + "create-identified"}
	storeIdentified       = rpc.Ask1[bijou.Identity, bijou.Account]{Path: StorePath + "identified", Again: true}
	storeIdentities       = rpc.Ask1[bijou.AccountID, []bijou.Identity]{Path: StorePath + "identities", Again: true}
	storeConnect          = rpc.Tell2[bijou.AccountID, bijou.Identity]{Path: StorePath + "connect", Again: true}
	storeDisconnect       = rpc.Tell2[bijou.AccountID, string]{Path: StorePath + "disconnect"}

	storeCreateProfile  = rpc.Tell1[bijou.Profile]{Path: StorePath + "create-profile"}
	storeProfiles       = rpc.Ask1[bijou.AccountID, []bijou.Profile]{Path: StorePath + "profiles", Again: true}
	storeUpdateProfile  = rpc.Tell1[bijou.Profile]{Path: StorePath + "update-profile", Again: true}
	storeDeleteProfile  = rpc.Tell2[bijou.AccountID, bijou.ProfileID]{Path: StorePath + "delete-profile"}
	storeDeleteProfiles = rpc.Tell1[bijou.AccountID]{Path: StorePath + "delete-profiles", Again: true}

	storeAddToList      = rpc.Tell3[bijou.ProfileID, bijou.TitleID, time.Time]{Path: StorePath + "add-to-list", Again: true}
	storeRemoveFromList = rpc.Tell2[bijou.ProfileID, bijou.TitleID]{Path: StorePath + "remove-from-list", Again: true}
	storeList           = rpc.Ask3[bijou.ProfileID, string, int, bijou.ListPage]{Path: StorePath + "list", Again: true}

	storeSavePosition = rpc.Tell1[bijou.Position]{Path: StorePath + "save-position", Again: true}
	storePosition     = rpc.Ask2[bijou.ProfileID, bijou.TitleID, bijou.Position]{Path: StorePath + "position", Again: true}
	storePositions    = rpc.Ask2[bijou.ProfileID, int, []bijou.Position]{Path: StorePath + "positions", Again: true}
)

// StoreRoutes are the methods of the stores, for processes of the service that do not open them.
func StoreRoutes(a AccountStores, p ProfileStores) []rpc.Route {
	return []rpc.Route{
		storeCreateAccount.Serve(a.CreateAccount), storeAccount.Serve(a.Account), storeAccounts.Serve(a.Accounts), storeSetPassword.Serve(a.SetPassword),
		storeDeleteAccount.Serve(a.DeleteAccount),
		storeCredentials.Serve(func(ctx context.Context, email string) (credentials, error) {
			account, hash, err := a.Credentials(ctx, email)
			return credentials{account, hash}, err
		}),
		storeSetPIN.Serve(a.SetPIN), storePIN.Serve(a.PIN),
		storeRequestReset.Serve(a.RequestReset), storeResetRequests.Serve(a.ResetRequests), storePostponeReset.Serve(a.PostponeReset),
		storeFinishReset.Serve(a.FinishReset), storePutReset.Serve(a.PutReset), storeReset.Serve(a.Reset), storeUseReset.Serve(a.UseReset),
		storeOpenSession.Serve(func(ctx context.Context, k keptSession) error { return a.OpenSession(ctx, k.session()) }),
		storeSession.Serve(func(ctx context.Context, tokenHash string, now time.Time) (keptSession, error) {
			s, err := a.Session(ctx, tokenHash, now)
			return keep(s), err
		}),
		storeSessions.Serve(func(ctx context.Context, id bijou.AccountID, now time.Time) ([]keptSession, error) {
			all, err := a.Sessions(ctx, id, now)
			return each(all, keep), err
		}),
		storeNoteSession.Serve(func(ctx context.Context, k keptSession) error { return a.NoteSession(ctx, k.session()) }),
		storeRotateSession.Serve(a.RotateSession), storeChooseProfile.Serve(a.ChooseProfile), storeCloseSessions.Serve(a.CloseSessions),
		storeCreateIdentified.Serve(a.CreateIdentified), storeIdentified.Serve(a.Identified), storeIdentities.Serve(a.Identities),
		storeConnect.Serve(a.Connect), storeDisconnect.Serve(a.Disconnect),
		storeCreateProfile.Serve(p.CreateProfile), storeProfiles.Serve(p.Profiles), storeUpdateProfile.Serve(p.UpdateProfile),
		storeDeleteProfile.Serve(p.DeleteProfile), storeDeleteProfiles.Serve(p.DeleteProfiles),
		storeAddToList.Serve(func(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID, added time.Time) error {
			return p.AddToList(ctx, bijou.ListEntry{Profile: profile, Title: title, Added: added})
		}),
		storeRemoveFromList.Serve(p.RemoveFromList), storeList.Serve(p.List),
		storeSavePosition.Serve(p.SavePosition), storePosition.Serve(p.Position), storePositions.Serve(p.Positions),
	}
}

func each[A, B any](all []A, f func(A) B) (out []B) {
	for _, a := range all {
		out = append(out, f(a))
	}
	return out
}

// StoreClient is the stores of the process that opens them. It implements AccountStores and ProfileStores.
type StoreClient struct{ c *rpc.Client }

// NewStoreClient returns the stores behind c, which has to be known there as a process of the service.
func NewStoreClient(c *rpc.Client) *StoreClient { return &StoreClient{c} }

// CreateAccount implements bijou.AccountStore.
func (s *StoreClient) CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error {
	return storeCreateAccount.Do(ctx, s.c, a, passwordHash)
}

// Account implements bijou.AccountStore.
func (s *StoreClient) Account(ctx context.Context, id bijou.AccountID) (bijou.Account, error) {
	return storeAccount.Do(ctx, s.c, id)
}

// Credentials implements bijou.AccountStore.
func (s *StoreClient) Credentials(ctx context.Context, email string) (bijou.Account, string, error) {
	out, err := storeCredentials.Do(ctx, s.c, email)
	return out.Account, out.PasswordHash, err
}

// Accounts implements bijou.AccountStore.
func (s *StoreClient) Accounts(ctx context.Context, q bijou.AccountQuery) (bijou.AccountPage, error) {
	return storeAccounts.Do(ctx, s.c, q)
}

// SetPassword implements bijou.AccountStore.
func (s *StoreClient) SetPassword(ctx context.Context, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error {
	return storeSetPassword.Do(ctx, s.c, id, passwordHash, keep)
}

// DeleteAccount implements bijou.AccountStore.
func (s *StoreClient) DeleteAccount(ctx context.Context, id bijou.AccountID) error {
	return storeDeleteAccount.Do(ctx, s.c, id)
}

// SetPIN implements bijou.PINStore.
func (s *StoreClient) SetPIN(ctx context.Context, id bijou.AccountID, pinHash string) error {
	return storeSetPIN.Do(ctx, s.c, id, pinHash)
}

// PIN implements bijou.PINStore.
func (s *StoreClient) PIN(ctx context.Context, id bijou.AccountID) (string, error) {
	return storePIN.Do(ctx, s.c, id)
}

// RequestReset implements bijou.ResetStore.
func (s *StoreClient) RequestReset(ctx context.Context, r bijou.ResetRequest) error {
	return storeRequestReset.Do(ctx, s.c, r)
}

// ResetRequests implements bijou.ResetStore.
func (s *StoreClient) ResetRequests(ctx context.Context, now time.Time, limit int) ([]bijou.ResetRequest, error) {
	return storeResetRequests.Do(ctx, s.c, now, limit)
}

// PostponeReset implements bijou.ResetStore.
func (s *StoreClient) PostponeReset(ctx context.Context, r bijou.ResetRequest) error {
	return storePostponeReset.Do(ctx, s.c, r)
}

// FinishReset implements bijou.ResetStore.
func (s *StoreClient) FinishReset(ctx context.Context, email string) error {
	return storeFinishReset.Do(ctx, s.c, email)
}

// PutReset implements bijou.ResetStore.
func (s *StoreClient) PutReset(ctx context.Context, r bijou.Reset) error {
	return storePutReset.Do(ctx, s.c, r)
}

// Reset implements bijou.ResetStore.
func (s *StoreClient) Reset(ctx context.Context, tokenHash string, now time.Time) (bijou.Account, error) {
	return storeReset.Do(ctx, s.c, tokenHash, now)
}

// UseReset implements bijou.ResetStore.
func (s *StoreClient) UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error {
	return storeUseReset.Do(ctx, s.c, tokenHash, passwordHash, now)
}

// OpenSession implements bijou.SessionStore.
func (s *StoreClient) OpenSession(ctx context.Context, m bijou.MemberSession) error {
	return storeOpenSession.Do(ctx, s.c, keep(m))
}

// Session implements bijou.SessionStore.
func (s *StoreClient) Session(ctx context.Context, tokenHash string, now time.Time) (bijou.MemberSession, error) {
	k, err := storeSession.Do(ctx, s.c, tokenHash, now)
	return k.session(), err
}

// Sessions implements bijou.SessionStore.
func (s *StoreClient) Sessions(ctx context.Context, id bijou.AccountID, now time.Time) ([]bijou.MemberSession, error) {
	all, err := storeSessions.Do(ctx, s.c, id, now)
	return each(all, keptSession.session), err
}

// NoteSession implements bijou.SessionStore.
func (s *StoreClient) NoteSession(ctx context.Context, m bijou.MemberSession) error {
	return storeNoteSession.Do(ctx, s.c, keep(m))
}

// RotateSession implements bijou.SessionStore.
func (s *StoreClient) RotateSession(ctx context.Context, from, to string, now, lost time.Time) error {
	return storeRotateSession.Do(ctx, s.c, from, to, now, lost)
}

// ChooseProfile implements bijou.SessionStore.
func (s *StoreClient) ChooseProfile(ctx context.Context, id bijou.SignInID, profile bijou.ProfileID) error {
	return storeChooseProfile.Do(ctx, s.c, id, profile)
}

// CloseSessions implements bijou.SessionStore.
func (s *StoreClient) CloseSessions(ctx context.Context, account bijou.AccountID, only, except bijou.SignInID) (int, error) {
	return storeCloseSessions.Do(ctx, s.c, account, only, except)
}

// CreateIdentified implements bijou.IdentityStore.
func (s *StoreClient) CreateIdentified(ctx context.Context, a bijou.Account, x bijou.Identity) error {
	return storeCreateIdentified.Do(ctx, s.c, a, x)
}

// Identified implements bijou.IdentityStore.
func (s *StoreClient) Identified(ctx context.Context, x bijou.Identity) (bijou.Account, error) {
	return storeIdentified.Do(ctx, s.c, x)
}

// Identities implements bijou.IdentityStore.
func (s *StoreClient) Identities(ctx context.Context, id bijou.AccountID) ([]bijou.Identity, error) {
	return storeIdentities.Do(ctx, s.c, id)
}

// Connect implements bijou.IdentityStore.
func (s *StoreClient) Connect(ctx context.Context, id bijou.AccountID, x bijou.Identity) error {
	return storeConnect.Do(ctx, s.c, id, x)
}

// Disconnect implements bijou.IdentityStore.
func (s *StoreClient) Disconnect(ctx context.Context, id bijou.AccountID, issuer string) error {
	return storeDisconnect.Do(ctx, s.c, id, issuer)
}

// CreateProfile implements bijou.ProfileStore.
func (s *StoreClient) CreateProfile(ctx context.Context, p bijou.Profile) error {
	return storeCreateProfile.Do(ctx, s.c, p)
}

// Profiles implements bijou.ProfileStore.
func (s *StoreClient) Profiles(ctx context.Context, id bijou.AccountID) ([]bijou.Profile, error) {
	return storeProfiles.Do(ctx, s.c, id)
}

// UpdateProfile implements bijou.ProfileStore.
func (s *StoreClient) UpdateProfile(ctx context.Context, p bijou.Profile) error {
	return storeUpdateProfile.Do(ctx, s.c, p)
}

// DeleteProfile implements bijou.ProfileStore.
func (s *StoreClient) DeleteProfile(ctx context.Context, account bijou.AccountID, id bijou.ProfileID) error {
	return storeDeleteProfile.Do(ctx, s.c, account, id)
}

// DeleteProfiles implements bijou.ProfileStore.
func (s *StoreClient) DeleteProfiles(ctx context.Context, account bijou.AccountID) error {
	return storeDeleteProfiles.Do(ctx, s.c, account)
}

// AddToList implements bijou.ListStore.
func (s *StoreClient) AddToList(ctx context.Context, e bijou.ListEntry) error {
	return storeAddToList.Do(ctx, s.c, e.Profile, e.Title, e.Added)
}

// RemoveFromList implements bijou.ListStore.
func (s *StoreClient) RemoveFromList(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) error {
	return storeRemoveFromList.Do(ctx, s.c, profile, title)
}

// List implements bijou.ListStore.
func (s *StoreClient) List(ctx context.Context, profile bijou.ProfileID, before string, limit int) (bijou.ListPage, error) {
	page, err := storeList.Do(ctx, s.c, profile, before, limit)
	for i := range page.Entries {
		page.Entries[i].Profile = profile
	}
	return page, err
}

// SavePosition implements bijou.PositionStore.
func (s *StoreClient) SavePosition(ctx context.Context, p bijou.Position) error {
	return storeSavePosition.Do(ctx, s.c, p)
}

// Position implements bijou.PositionStore.
func (s *StoreClient) Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	return storePosition.Do(ctx, s.c, profile, title)
}

// Positions implements bijou.PositionStore.
func (s *StoreClient) Positions(ctx context.Context, profile bijou.ProfileID, limit int) ([]bijou.Position, error) {
	return storePositions.Do(ctx, s.c, profile, limit)
}
