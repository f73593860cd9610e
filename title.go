package bijou

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// TitleKind says what a title is.
type TitleKind string

// The kinds of titles. Films and episodes can be played; a series holds seasons, a season holds episodes.
const (
	Film    TitleKind = "film"
	Series  TitleKind = "series"
	Season  TitleKind = "season"
	Episode TitleKind = "episode"
)

// WithArticle returns the kind as it stands in a sentence.
func (k TitleKind) WithArticle() string {
	if k == Episode {
		return "an " + string(k)
	}
	return "a " + string(k)
}

// TitleState says how far a title has come. Members see published titles only.
type TitleState string

// The states of a title.
const (
	Draft     TitleState = "draft"     // being made: its film is in the studio, or none was added yet
	Published TitleState = "published" // can be found and played
	Failed    TitleState = "failed"    // its film could not be made; Reason says why
)

// Maturity says from which age on a title suits.
type Maturity struct {
	Age   int    `json:"age" minimum:"0" maximum:"21" doc:"Youngest suitable age in years; 0 suits everyone."`
	Label string `json:"label,omitempty" maxLength:"16" doc:"The rating as its board prints it, such as PG-13 or FSK 6."`
}

// childrensAge is the oldest age at which a title still suits children: PEGI 7, FSK 6, TV-Y7.
const childrensAge = 7

// ForChildren tells whether a children's profile sees the title. One that nobody has rated, with neither an age nor a label, is none for them.
func (m Maturity) ForChildren() bool {
	return m.Age <= childrensAge && (m.Age > 0 || m.Label != "")
}

// Track is one audio or text track of a title, as a viewer chooses it.
type Track struct {
	Kind     TrackKind `json:"kind" enum:"audio,subtitles,captions,descriptions"`
	Language string    `json:"language" doc:"BCP 47 tag; und where unknown."`
	Label    string    `json:"label,omitempty"`
}

// TrackKind says what a track is for.
type TrackKind string

// The kinds of tracks that a viewer chooses between.
const (
	Audio        TrackKind = "audio"
	Subtitles    TrackKind = "subtitles"    // what is said, for those who do not know the language
	Captions     TrackKind = "captions"     // what is heard, for those who do not hear it
	Descriptions TrackKind = "descriptions" // what is seen, for those who do not see it
)

// Title is a film, a series, a season or an episode.
type Title struct {
	ID        TitleID    `json:"id"`
	Kind      TitleKind  `json:"kind" enum:"film,series,season,episode"`
	Parent    TitleID    `json:"parent,omitempty" doc:"The series of a season, the season of an episode."`
	Number    int        `json:"number,omitempty" doc:"Place within the parent, from 1."`
	Name      string     `json:"name"`
	Synopsis  string     `json:"synopsis,omitempty"`
	Year      int        `json:"year,omitempty" doc:"Year of first release."`
	Maturity  Maturity   `json:"maturity"`
	Language  string     `json:"language,omitempty" doc:"BCP 47 tag of the original."`
	Genres    []string   `json:"genres,omitempty"`
	Credit    string     `json:"credit,omitempty" doc:"Who made it and under which licence it is shown."`
	State     TitleState `json:"state" enum:"draft,published,failed"`
	Reason    string     `json:"reason,omitempty" doc:"Why it failed, in a sentence."`
	Asset     AssetID    `json:"asset,omitempty" doc:"The encode that plays; absent before the first is published."`
	RuntimeMS int64      `json:"runtime_ms,omitempty" doc:"Length in milliseconds."`
	Width     int        `json:"width,omitempty" doc:"Widest picture in pixels."`
	Height    int        `json:"height,omitempty" doc:"Tallest picture in pixels."`
	Tracks    []Track    `json:"tracks,omitempty"`
	Added     time.Time  `json:"added"`
	Updated   time.Time  `json:"updated"`
}

// Playable tells whether a viewer can start the title now.
func (t Title) Playable() bool {
	return t.State == Published && t.Asset != "" && (t.Kind == Film || t.Kind == Episode)
}

// MaxName bounds a title's name, in bytes.
const MaxName = 300

// The bounds of what else people are told of a title: years, ages in years, characters, and how many genres. The tags of what asks for a
// title say the same.
const (
	maxYear     = 9999
	maxAge      = 21
	maxLabel    = 16
	maxSynopsis = 4000
	maxCredit   = 1000
	maxGenres   = 20
)

// Check refuses, as Invalid, a title that no catalogue can hold. It names what is wrong and what would be right.
func (t Title) Check() error {
	if err := CheckID(t.ID, TitlePrefix); err != nil {
		return err
	}
	if err := CheckName(t.Name); err != nil {
		return err
	}
	switch t.Kind {
	case Film, Series:
		if t.Parent != "" {
			return fmt.Errorf("title %q: %s has no parent, and this one names %s: %w", t.Name, t.Kind.WithArticle(), t.Parent, Invalid)
		}
	case Season, Episode:
		if t.Parent == "" || t.Number < 1 {
			return fmt.Errorf("title %q: %s needs its parent and its number there, from 1: %w", t.Name, t.Kind.WithArticle(), Invalid)
		}
	default:
		return fmt.Errorf("title %q: kind %q is none of film, series, season, episode: %w", t.Name, t.Kind, Invalid)
	}
	switch t.State {
	case Draft, Published, Failed:
	default:
		return fmt.Errorf("title %q: state %q is none of draft, published, failed: %w", t.Name, t.State, Invalid)
	}
	return t.checkWords()
}

// checkWords refuses what people are told where it is beyond its bounds.
func (t Title) checkWords() error {
	switch {
	case t.Maturity.Age < 0 || t.Maturity.Age > maxAge:
		return fmt.Errorf("title %q: age %d is not between 0 and %d years: %w", t.Name, t.Maturity.Age, maxAge, Invalid)
	case t.Year < 0 || t.Year > maxYear:
		return fmt.Errorf("title %q: year %d is not between 0 and %d: %w", t.Name, t.Year, maxYear, Invalid)
	case len(t.Genres) > maxGenres:
		return fmt.Errorf("title %q: it has %d genres: give at most %d: %w", t.Name, len(t.Genres), maxGenres, Invalid)
	}
	for _, genre := range t.Genres {
		if err := CheckName(genre); err != nil {
			return fmt.Errorf("title %q: a genre: %w", t.Name, err)
		}
	}
	for _, text := range []struct {
		what, value string
		most        int
	}{{"rating", t.Maturity.Label, maxLabel}, {"synopsis", t.Synopsis, maxSynopsis}, {"credit", t.Credit, maxCredit}} {
		if n := utf8.RuneCountInString(text.value); n > text.most {
			return fmt.Errorf("title %q: its %s has %d characters: use at most %d: %w", t.Name, text.what, n, text.most, Invalid)
		}
		if !utf8.ValidString(text.value) {
			return fmt.Errorf("title %q: its %s is not UTF-8: %w", t.Name, text.what, Invalid)
		}
	}
	return nil
}

// TitleEdit changes what people are told of a title: what is absent stays, and what is empty is taken away.
type TitleEdit struct {
	Name     *string       `json:"name,omitempty" audit:"true" minLength:"1" maxLength:"300"`
	Synopsis *string       `json:"synopsis,omitempty" audit:"true" maxLength:"4000"`
	Year     *int          `json:"year,omitempty" audit:"true" minimum:"0" maximum:"9999" doc:"0 takes it away."`
	Maturity *MaturityEdit `json:"maturity,omitempty" audit:"true"`
	Language *string       `json:"language,omitempty" audit:"true" maxLength:"35" doc:"BCP 47 tag of the original; its tracks keep theirs."`
	Genres   *[]string     `json:"genres,omitempty" audit:"true" maxItems:"20" doc:"All of them."`
	Credit   *string       `json:"credit,omitempty" audit:"true" maxLength:"1000"`
}

// MaturityEdit changes a title's rating as TitleEdit does.
type MaturityEdit struct {
	Age   *int    `json:"age,omitempty" minimum:"0" maximum:"21"`
	Label *string `json:"label,omitempty" maxLength:"16"`
}

// Of returns the title as the edit has it.
func (e TitleEdit) Of(t Title) Title {
	set(&t.Name, e.Name)
	set(&t.Synopsis, e.Synopsis)
	set(&t.Year, e.Year)
	set(&t.Language, e.Language)
	set(&t.Genres, e.Genres)
	set(&t.Credit, e.Credit)
	if e.Maturity != nil {
		set(&t.Maturity.Age, e.Maturity.Age)
		set(&t.Maturity.Label, e.Maturity.Label)
	}
	return t
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// CheckName refuses, as Invalid, a name that is empty, too long, not UTF-8, or holds control characters such as a newline, or such as turn the
// direction of what stands around it (Unicode Standard Annex 9, sections 2.1 to 2.3); marks of direction may stand in it.
func CheckName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("the name is empty: give one with letters in it: %w", Invalid)
	case len(name) > MaxName:
		return fmt.Errorf("the name %q is %d bytes long: use at most %d: %w", clip(name, 40), len(name), MaxName, Invalid)
	case !utf8.ValidString(name):
		return fmt.Errorf("the name %q is not UTF-8: %w", clip(name, 40), Invalid)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("the name %q holds a control character such as a newline: use one line of plain text: %w", clip(name, 40), Invalid)
		}
		if r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069' {
			return fmt.Errorf("the name %q holds a control character that turns the direction of text (%U): leave it out: %w", clip(name, 40), r, Invalid)
		}
	}
	return nil
}

// TitleQuery asks for a page of titles, ordered by the time they were added, newest first.
type TitleQuery struct {
	State  TitleState // any where empty
	Parent TitleID    // children of this title only, where set
	Top    bool       // titles without a parent only
	// Words is what is searched for: each of its words, or a part of one, stands in the title's name, synopsis, genres, credit or year. Neither
	// case nor accents count. All titles where it is empty.
	Words  string
	Before string // Next of the page before; empty for the first page
	Limit  int    // at most this many, 1 to 500
}

// TitlePage is one page of titles.
type TitlePage struct {
	Titles []Title `json:"titles"`
	Next   string  `json:"next,omitempty" doc:"Asks for the next page; absent on the last."`
}

// TitleStore keeps titles, whatever their state.
type TitleStore interface {
	// PutTitle creates the title or replaces the whole of it. It fails with Invalid where Title.Check does,
	// and with NotFound where it has a parent that does not exist.
	PutTitle(ctx context.Context, t Title) error
	// Title fails with NotFound for an unknown title.
	Title(ctx context.Context, id TitleID) (Title, error)
	// Titles returns one page. It fails with Invalid for a Limit out of range or a Before that no page gave.
	Titles(ctx context.Context, q TitleQuery) (TitlePage, error)
	// RemoveTitle deletes the title, and with it a season and a series that hold nothing else, all or none. It fails with NotFound for an unknown
	// title, and with Conflict while another title names it as parent.
	RemoveTitle(ctx context.Context, id TitleID) error
}

// Titles tells what can be watched: published titles alone. The catalog room offers it.
type Titles interface {
	// PublishedTitle fails with NotFound for a title that is unknown or not published, or that the caller's children's profile may not see.
	PublishedTitle(ctx context.Context, id TitleID) (Title, error)
}

// Editor changes the catalogue on behalf of the studio and of operators. The catalog room offers it.
type Editor interface {
	// SeasonOf returns the season with the number, from 1, of the series with the name, and makes both as drafts where they are not there.
	// Case does not count in the name. It fails with Invalid for what is no name or no number, and with Conflict where several series have the name.
	SeasonOf(ctx context.Context, series string, number int) (Title, error)
	// CreateTitle adds a draft. Adding the same identifier twice changes nothing. It fails with Conflict for an episode whose season has one of
	// that number.
	CreateTitle(ctx context.Context, t Title) (Title, error)
	// AnyTitle returns the title whatever its state. It fails with NotFound for an unknown title.
	AnyTitle(ctx context.Context, id TitleID) (Title, error)
	// AllTitles returns a page of titles whatever their state.
	AllTitles(ctx context.Context, q TitleQuery) (TitlePage, error)
	// PublishAsset makes the asset the one that plays, and the title visible, with the season and series that it is in. Publishing it again
	// changes nothing.
	PublishAsset(ctx context.Context, a Asset) (Title, error)
	// FailTitle marks a draft as failed for the reason. A published title stays as it is.
	FailTitle(ctx context.Context, id TitleID, reason string) error
	// WithdrawTitle removes the title from the catalogue, and a season and a series that hold nothing after it. An unknown title is NotFound.
	WithdrawTitle(ctx context.Context, id TitleID) error
}
