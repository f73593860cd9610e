// Package members is the room of accounts: who may sign in, who is watching, and how far each viewer has come in each title.
package members

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"bijou"
	"bijou/kit/trust"

	"golang.org/x/sync/errgroup"
)

// Config is the room's section of the configuration.
type Config struct {
	SessionDays int `yaml:"session_days" doc:"How long a sign-in lasts, in days."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config { return Config{SessionDays: 30} }

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	if c.SessionDays < 1 || c.SessionDays > 3650 {
		return fmt.Errorf("session_days is %d: it must be 1 to 3650 days: %w", c.SessionDays, bijou.Invalid)
	}
	return nil
}

// Deps are what the room works with.
type Deps struct {
	Accounts bijou.AccountStore
	Profiles bijou.ProfileStore
	Facts    bijou.LogStore // topic bijou.TopicFacts is read for positions
	Log      *slog.Logger
	Now      func() time.Time
	Config   Config
}

// Service keeps accounts, and reads the players' facts for positions.
type Service struct {
	Deps
	hashing chan struct{} // a slot for each password that may be hashed at once: each takes 19 MiB
}

// New assembles the room.
func New(d Deps) *Service {
	return &Service{Deps: d, hashing: make(chan struct{}, 2)}
}

// group names the room's place in the log of facts.
const group = "members"

// Run reads facts until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	n, err := s.Facts.Partitions(ctx, bijou.TopicFacts)
	if err != nil {
		return fmt.Errorf("members read facts: %w", err)
	}
	ready()
	g, ctx := errgroup.WithContext(ctx)
	for p := range n {
		g.Go(func() error { return s.consume(ctx, p) })
	}
	return g.Wait()
}

// The waits between two tries at a store that fails: doubled from the first to the last.
const (
	firstWait = time.Second
	lastWait  = 30 * time.Second
)

// consume turns one partition's facts into positions until ctx ends. A store that fails is tried again: a fact is passed over
// only when it can never be read.
func (s *Service) consume(ctx context.Context, partition int) error {
	wait := firstWait
	for {
		moved, err := s.drain(ctx, partition)
		if ctx.Err() != nil {
			return nil
		}
		if moved {
			wait = firstWait
		}
		s.Log.Warn("positions wait", "partition", partition, "retry_in", wait, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
			wait = min(2*wait, lastWait)
		}
	}
}

// drain reads the partition from where the room stopped until something fails. It tells whether it came further.
func (s *Service) drain(ctx context.Context, partition int) (moved bool, err error) {
	const batch = 500
	next, err := s.Facts.Committed(ctx, group, bijou.TopicFacts, partition)
	if err != nil {
		return false, err
	}
	for {
		records, err := s.Facts.Read(ctx, bijou.TopicFacts, partition, next, batch)
		if err != nil {
			return moved, err
		}
		for _, r := range records {
			if err := s.note(ctx, r); err != nil {
				return moved, err
			}
			next = r.Offset + 1
		}
		if err := s.Facts.Commit(ctx, group, bijou.TopicFacts, partition, next); err != nil {
			return moved, err
		}
		moved = true
	}
}

// note keeps the position that a fact tells of, if it does. A record that is no fact is logged and passed over.
func (s *Service) note(ctx context.Context, r bijou.Record) error {
	var f bijou.Fact
	err := json.Unmarshal(r.Value, &f)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		s.Log.Error("record is no fact", "topic", bijou.TopicFacts, "offset", r.Offset, "error", err)
		return nil
	}
	if p, ok := PositionOf(f); ok {
		return s.Profiles.SavePosition(ctx, p)
	}
	return nil
}

// PositionOf returns the position that a fact tells of. A start tells of none, since the player has not moved there yet,
// neither does the fact of a guest, and neither does the very beginning where nothing is said to have moved: the viewer left, or was asked to press play,
// before there was a picture.
func PositionOf(f bijou.Fact) (bijou.Position, bool) {
	if f.Profile == "" || f.Kind == bijou.FactStart || f.Kind == bijou.FactFirstFrame || f.Kind == bijou.FactError {
		return bijou.Position{}, false
	}
	if f.PositionMS == 0 && (f.Kind == bijou.FactPause || f.Kind == bijou.FactEnd) {
		return bijou.Position{}, false
	}
	return bijou.Position{
		Profile: f.Profile, Title: f.Title, PositionMS: f.PositionMS, RuntimeMS: f.RuntimeMS,
		Session: f.Session, Seq: f.Seq, At: f.At,
	}, true
}

// SignUp is the request to make an account.
type SignUp struct {
	Email    string `json:"email" maxLength:"254" doc:"Address to sign in with."`
	Password string `json:"password" minLength:"8" maxLength:"1024"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Set the session as a cookie and leave the token out of the answer: for browsers."`
}

// SignIn is the request to open a session.
type SignIn struct {
	Email    string `json:"email" maxLength:"254"`
	Password string `json:"password" maxLength:"1024"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Set the session as a cookie and leave the token out of the answer: for browsers."`
}

// SignUp makes an account with one profile and signs it in. It fails with Conflict where the address has an account,
// and with Invalid for an address that is none or a password under 8 characters.
func (s *Service) SignUp(ctx context.Context, in SignUp) (Session, error) {
	email, err := bijou.NormalEmail(in.Email)
	if err != nil {
		return Session{}, err
	}
	if n := len([]rune(in.Password)); n < 8 {
		return Session{}, fmt.Errorf("the password has %d characters: use at least 8: %w", n, bijou.Invalid)
	}
	hash, err := s.hash(ctx, in.Password)
	if err != nil {
		return Session{}, err
	}
	account := bijou.Account{ID: bijou.NewID[bijou.AccountID](bijou.AccountPrefix), Email: email, Created: s.Now().UTC()}
	if err := s.Accounts.CreateAccount(ctx, account, hash); err != nil {
		if errors.Is(err, bijou.Conflict) {
			return Session{}, fmt.Errorf("%s has an account already: sign in instead: %w", email, bijou.Conflict)
		}
		return Session{}, err
	}
	return s.open(ctx, account, in.Cookie)
}

// SignIn opens a session. It fails with Denied, in the same words and after the same work, for an unknown address and a wrong password.
func (s *Service) SignIn(ctx context.Context, in SignIn) (Session, error) {
	wrong := fmt.Errorf("the e-mail address or the password is wrong: %w", bijou.Denied)
	email, err := bijou.NormalEmail(in.Email)
	if err != nil {
		return Session{}, err
	}
	account, hash, err := s.Accounts.Credentials(ctx, email)
	if errors.Is(err, bijou.NotFound) {
		if _, err := s.verify(ctx, in.Password, nobodysHash); err != nil {
			return Session{}, err
		}
		return Session{}, wrong
	}
	if err != nil {
		return Session{}, err
	}
	ok, err := s.verify(ctx, in.Password, hash)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, wrong
	}
	return s.open(ctx, account, in.Cookie)
}

// open signs the account in as its first profile, and makes that profile where a kill came between account and profile.
func (s *Service) open(ctx context.Context, account bijou.Account, cookie bool) (Session, error) {
	profile, err := s.firstProfile(ctx, account)
	if err != nil {
		return Session{}, err
	}
	token := trust.NewToken()
	now := s.Now().UTC()
	kept := bijou.MemberSession{
		TokenHash: trust.HashToken(token), Account: account.ID, Profile: profile.ID,
		Created: now, Expires: now.AddDate(0, 0, s.Config.SessionDays),
	}
	if err := s.Accounts.OpenSession(ctx, kept); err != nil {
		return Session{}, err
	}
	out := Session{Account: account, Profile: profile, Expires: kept.Expires, Token: token}
	if cookie {
		out.Token, out.cookie = "", token
	}
	return out, nil
}

func (s *Service) firstProfile(ctx context.Context, account bijou.Account) (bijou.Profile, error) {
	profiles, err := s.Profiles.Profiles(ctx, account.ID)
	if err != nil {
		return bijou.Profile{}, err
	}
	if len(profiles) > 0 {
		return profiles[0], nil
	}
	name, _, _ := strings.Cut(account.Email, "@")
	p := bijou.Profile{ID: bijou.NewID[bijou.ProfileID](bijou.ProfilePrefix), Account: account.ID, Name: name, Created: s.Now().UTC()}
	return p, s.Profiles.CreateProfile(ctx, p)
}

// SignOut ends the caller's session. A guest has none, which is fine.
func (s *Service) SignOut(ctx context.Context, _ struct{}) (SignedOut, error) {
	c := bijou.CallerOf(ctx)
	if c.Session == "" {
		return SignedOut{}, nil
	}
	return SignedOut{}, s.Accounts.CloseSession(ctx, c.Session)
}

// Authenticate implements bijou.Sessions.
func (s *Service) Authenticate(ctx context.Context, token string) (bijou.Caller, error) {
	kept, err := s.Accounts.Session(ctx, trust.HashToken(token), s.Now())
	if errors.Is(err, bijou.NotFound) {
		return bijou.Caller{}, fmt.Errorf("the sign-in is unknown or has ended: sign in again: %w", bijou.Denied)
	}
	if err != nil {
		return bijou.Caller{}, err
	}
	return bijou.Caller{Account: kept.Account, Profile: kept.Profile, Session: kept.TokenHash}, nil
}

// Me tells who the caller is.
func (s *Service) Me(ctx context.Context, _ struct{}) (Me, error) {
	c := bijou.CallerOf(ctx)
	if c.Account == "" {
		return Me{Guest: true}, nil
	}
	account, err := s.Accounts.Account(ctx, c.Account)
	if err != nil {
		return Me{}, err
	}
	profiles, err := s.Profiles.Profiles(ctx, c.Account)
	if err != nil {
		return Me{}, err
	}
	for _, p := range profiles {
		if p.ID == c.Profile {
			return Me{Account: &account, Profile: &p}, nil
		}
	}
	return Me{}, fmt.Errorf("account %s has no profile %s: %w", c.Account, c.Profile, bijou.NotFound)
}

// LastPosition implements bijou.Positions.
func (s *Service) LastPosition(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (bijou.Position, error) {
	return s.Profiles.Position(ctx, profile, title)
}

// Positions returns the caller's positions, latest first: what can be watched on.
func (s *Service) Positions(ctx context.Context, in PositionsQuery) (PositionList, error) {
	limit := in.Limit
	if limit == 0 {
		limit = 50
	}
	ps, err := s.Profiles.Positions(ctx, bijou.CallerOf(ctx).Profile, limit)
	if ps == nil {
		ps = []bijou.Position{}
	}
	return PositionList{Positions: ps}, err
}

// BringPosition keeps a position that the caller reached as a guest, unless the profile has one of the title: that is the member's own.
func (s *Service) BringPosition(ctx context.Context, in BringPosition) (struct{}, error) {
	if err := bijou.CheckID(in.Title, bijou.TitlePrefix); err != nil {
		return struct{}{}, err
	}
	profile := bijou.CallerOf(ctx).Profile
	_, err := s.Profiles.Position(ctx, profile, in.Title)
	if err == nil || !errors.Is(err, bijou.NotFound) {
		return struct{}{}, err
	}
	return struct{}{}, s.Profiles.SavePosition(ctx, bijou.Position{
		Profile: profile, Title: in.Title, PositionMS: in.PositionMS, RuntimeMS: in.RuntimeMS,
		Session: bijou.NewID[bijou.SessionID](bijou.SessionPrefix), Seq: 1, At: s.Now().UTC(),
	})
}
