package bijou

import "context"

// Identity is who a member is at a sign-on provider.
type Identity struct {
	Issuer  string `json:"issuer" doc:"Address of the provider."`
	Subject string `json:"subject" doc:"What the provider calls the member, which never changes."`
}

// IdentityStore keeps by which identities members sign on. An account has at most one at each provider.
type IdentityStore interface {
	// CreateIdentified makes an account that has the identity and no password, all or nothing. It fails with Conflict where another account has
	// the e-mail address or the identity.
	CreateIdentified(ctx context.Context, a Account, x Identity) error
	// Identified returns the account that has the identity. It fails with NotFound where none has.
	Identified(ctx context.Context, x Identity) (Account, error)
	// Identities returns the account's identities, in the order of their issuers.
	Identities(ctx context.Context, id AccountID) ([]Identity, error)
	// Connect gives the account the identity. It fails with NotFound for an unknown account, and with Conflict where another account has the
	// identity, or this one has another at the provider. One that it has already stays.
	Connect(ctx context.Context, id AccountID, x Identity) error
	// Disconnect takes the account's identity at the provider away. It fails with NotFound where it has none there.
	Disconnect(ctx context.Context, id AccountID, issuer string) error
}
