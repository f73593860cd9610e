package bijou

import (
	"context"
	"time"
)

// Profile is one viewer of an account.
type Profile struct {
	ID       ProfileID `json:"id"`
	Account  AccountID `json:"account"`
	Name     string    `json:"name"`
	Children bool      `json:"children" doc:"Sees titles for children only."`
	Created  time.Time `json:"created"`
}

// Position is how far a profile has come in a title.
type Position struct {
	Profile    ProfileID `json:"profile"`
	Title      TitleID   `json:"title"`
	PositionMS int64     `json:"position_ms" doc:"Milliseconds from the start."`
	RuntimeMS  int64     `json:"runtime_ms"`
	Session    SessionID `json:"session" doc:"The viewing that reported it."`
	Seq        int64     `json:"seq" doc:"Place of the report within its viewing."`
	At         time.Time `json:"at" doc:"When the service took the report in."`
}

// Newer tells whether p replaces old: within one viewing the later report, between two the one taken in later.
// Equal reports do not replace each other, so that saving one twice changes nothing.
func (p Position) Newer(old Position) bool {
	if p.Session == old.Session {
		return p.Seq > old.Seq
	}
	return p.At.After(old.At)
}

// Finished tells whether what remains is too short to resume: the last 5 %, at most 3 minutes (closing credits).
func (p Position) Finished() bool {
	rest := p.RuntimeMS - p.PositionMS
	return p.RuntimeMS > 0 && (rest <= 1000 || rest <= min(p.RuntimeMS/20, 3*60*1000))
}

// ProfileStore keeps profiles and their positions.
type ProfileStore interface {
	// CreateProfile fails with Conflict where the identifier is taken.
	CreateProfile(ctx context.Context, p Profile) error
	// Profiles returns the account's profiles, oldest first; none for an unknown account.
	Profiles(ctx context.Context, id AccountID) ([]Profile, error)
	// SavePosition keeps p where it is Newer than what is kept, and changes nothing otherwise.
	SavePosition(ctx context.Context, p Position) error
	// Position fails with NotFound where the profile has not begun the title.
	Position(ctx context.Context, profile ProfileID, title TitleID) (Position, error)
	// Positions returns at most limit positions of the profile, latest first.
	Positions(ctx context.Context, profile ProfileID, limit int) ([]Position, error)
}

// Positions tells where a profile stopped. The members room offers it.
type Positions interface {
	// LastPosition fails with NotFound where the profile has not begun the title.
	LastPosition(ctx context.Context, profile ProfileID, title TitleID) (Position, error)
}
