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

// MaxProfiles bounds an account's profiles.
const MaxProfiles = 5

// ListEntry is one title of a profile's own list.
type ListEntry struct {
	Profile ProfileID `json:"-"`
	Title   TitleID   `json:"title"`
	Added   time.Time `json:"added"`
}

// ListPage is one page of a profile's own list.
type ListPage struct {
	Entries []ListEntry `json:"entries"`
	Next    string      `json:"next,omitempty" doc:"Asks for the next page; absent on the last."`
}

// MaxList bounds a profile's own list.
const MaxList = 500

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

// ProfileStore keeps profiles.
type ProfileStore interface {
	// CreateProfile fails with Conflict where the identifier is taken, and with Exhausted where the account has MaxProfiles.
	CreateProfile(ctx context.Context, p Profile) error
	// Profiles returns the account's profiles, oldest first; none for an unknown account.
	Profiles(ctx context.Context, id AccountID) ([]Profile, error)
	// UpdateProfile keeps the name and the flag of a profile. It fails with NotFound where p.Account has no such profile.
	UpdateProfile(ctx context.Context, p Profile) error
	// DeleteProfile removes a profile, its list and its positions. It fails with NotFound where the account has no such profile, and with
	// Conflict for its last one.
	DeleteProfile(ctx context.Context, account AccountID, id ProfileID) error
	// DeleteProfiles removes all of an account's profiles, with their lists and positions.
	DeleteProfiles(ctx context.Context, account AccountID) error
}

// ListStore keeps what profiles want to see later.
type ListStore interface {
	// AddToList keeps e. A title that is listed already stays where it is. It fails with Exhausted where the profile lists MaxList titles, and
	// with NotFound for an unknown profile.
	AddToList(ctx context.Context, e ListEntry) error
	// RemoveFromList removes a title. One that is not listed stays away.
	RemoveFromList(ctx context.Context, profile ProfileID, title TitleID) error
	// List returns at most limit entries, latest first, from the place that a page before named in Next. It fails with Invalid for another place.
	List(ctx context.Context, profile ProfileID, before string, limit int) (ListPage, error)
}

// PositionStore keeps how far profiles have come.
type PositionStore interface {
	// SavePosition keeps p where it is Newer than what is kept, and changes nothing otherwise, nor for a profile that does not exist (any more).
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
