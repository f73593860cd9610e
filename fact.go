package bijou

import (
	"fmt"
	"strings"
	"time"
)

// FactKind says what a player reports.
type FactKind string

// What a player reports of a viewing.
const (
	FactStart      FactKind = "start"       // the viewer asked for the title
	FactFirstFrame FactKind = "first_frame" // the first picture was shown
	FactHeartbeat  FactKind = "heartbeat"   // it goes on
	FactPause      FactKind = "pause"       // the viewer stopped the picture; before the first one: the browser waits for the viewer to press play
	FactSeek       FactKind = "seek"        // the viewer went elsewhere in the title
	FactStall      FactKind = "stall"       // the buffer ran dry while playing
	FactRate       FactKind = "rate"        // another rendition plays
	FactEnd        FactKind = "end"         // the viewer left or the title ended
	FactError      FactKind = "error"       // the player gave up
)

// FactCause says why a player gave up, in words few enough to count by.
type FactCause string

// Why players give up.
const (
	CauseNetwork  FactCause = "network"  // an address did not answer
	CauseRefused  FactCause = "refused"  // the service or an appliance said no
	CauseManifest FactCause = "manifest" // a manifest cannot be read
	CauseMedia    FactCause = "media"    // a segment cannot be decoded
	CauseTimeout  FactCause = "timeout"  // it took too long
	CauseOther    FactCause = "other"
)

// TopicFacts is the log topic that facts are appended to, each a JSON Fact under its viewing's identifier as key.
const TopicFacts = "facts"

// Fact is one report of a player about one viewing. The pair of Session and Seq identifies it: the same pair twice is one fact.
type Fact struct {
	Kind       FactKind  `json:"kind" enum:"start,first_frame,heartbeat,pause,seek,stall,rate,end,error"`
	Session    SessionID `json:"session"`
	Seq        int64     `json:"seq" minimum:"1" doc:"Place within the viewing, from 1."`
	Title      TitleID   `json:"title"`
	PositionMS int64     `json:"position_ms" minimum:"0" doc:"Milliseconds from the start of the title; 0 in the end of a viewing that had no first frame."`
	RuntimeMS  int64     `json:"runtime_ms,omitempty" minimum:"0"`
	BPS        int64     `json:"bps,omitempty" minimum:"0" doc:"Rate of the rendition in bits a second."`
	Height     int       `json:"height,omitempty" minimum:"0" doc:"Height of the rendition in pixels."`
	DurationMS int64     `json:"duration_ms,omitempty" minimum:"0" doc:"Time from when the viewer asked to the first frame, the player's own retries included, or length of the stall, in milliseconds."`
	PlayedMS   int64     `json:"played_ms,omitempty" minimum:"0" doc:"How long pictures moved since the fact before, in milliseconds of the clock."`
	Reason     string    `json:"reason,omitempty" maxLength:"300" doc:"Why the player gave up, in words."`
	Cause      FactCause `json:"cause,omitempty" enum:"network,refused,manifest,media,timeout,other" doc:"Why the player gave up, to be counted by."`
	Player     string    `json:"player,omitempty" maxLength:"40" pattern:"^[a-z0-9._/-]*$" doc:"Which player reports, such as bijou-web/1."`

	Appliance ApplianceID `json:"appliance,omitempty" doc:"Which appliance the last segment came from."`

	// What the service adds; what a player sends here is overwritten.
	At      time.Time `json:"at,omitzero" doc:"When the service took it in."`
	Profile ProfileID `json:"profile,omitempty" doc:"Who was watching; absent for a guest."`
	Zone    string    `json:"zone,omitempty" doc:"Zone of the appliance."`
}

// Check refuses, as Invalid, a fact that cannot be.
func (f Fact) Check() error {
	if err := CheckID(f.Session, SessionPrefix); err != nil {
		return err
	}
	if err := CheckID(f.Title, TitlePrefix); err != nil {
		return err
	}
	switch f.Kind {
	case FactStart, FactFirstFrame, FactHeartbeat, FactPause, FactSeek, FactStall, FactRate, FactEnd, FactError:
	default:
		return fmt.Errorf("fact of viewing %s: kind %q is unknown: %w", f.Session, clip(string(f.Kind), 40), Invalid)
	}
	const dayMS = 24 * 60 * 60 * 1000
	if f.Seq < 1 || f.PositionMS < 0 || f.PositionMS > 7*dayMS || f.RuntimeMS < 0 || f.RuntimeMS > 7*dayMS || f.DurationMS < 0 || f.DurationMS > dayMS || f.PlayedMS < 0 || f.PlayedMS > dayMS || f.BPS < 0 || f.Height < 0 {
		return fmt.Errorf("fact of viewing %s: seq must be from 1, places between 0 and seven days, lengths between 0 and a day, rates and sizes from 0: %w", f.Session, Invalid)
	}
	if len(f.Reason) > 300 {
		return fmt.Errorf("fact of viewing %s: a reason has at most 300 bytes: %w", f.Session, Invalid)
	}
	if len(f.Player) > 40 || strings.Trim(f.Player, "abcdefghijklmnopqrstuvwxyz0123456789._/-") != "" {
		return fmt.Errorf("fact of viewing %s: player %q is not at most 40 of a-z, 0-9 and ._/-: %w", f.Session, clip(f.Player, 40), Invalid)
	}
	if f.Appliance != "" {
		if err := CheckID(f.Appliance, AppliancePrefix); err != nil {
			return err
		}
	}
	return f.Cause.check(f.Session)
}

func (c FactCause) check(id SessionID) error {
	switch c {
	case "", CauseNetwork, CauseRefused, CauseManifest, CauseMedia, CauseTimeout, CauseOther:
		return nil
	}
	return fmt.Errorf("fact of viewing %s: cause %q is unknown: %w", id, clip(string(c), 40), Invalid)
}
