package bijou

import (
	"fmt"
	"time"
)

// FactKind says what a player reports.
type FactKind string

// What a player reports of a viewing.
const (
	FactStart      FactKind = "start"       // the viewer asked for the title
	FactFirstFrame FactKind = "first_frame" // the first picture was shown
	FactHeartbeat  FactKind = "heartbeat"   // it goes on
	FactPause      FactKind = "pause"
	FactSeek       FactKind = "seek"  // the viewer went elsewhere in the title
	FactStall      FactKind = "stall" // the buffer ran dry while playing
	FactRate       FactKind = "rate"  // another rendition plays
	FactEnd        FactKind = "end"   // the viewer left or the title ended
	FactError      FactKind = "error" // the player gave up
)

// TopicFacts is the log topic that facts are appended to, each a JSON Fact under its viewing's identifier as key.
const TopicFacts = "facts"

// Fact is one report of a player about one viewing. The pair of Session and Seq identifies it: the same pair twice is one fact.
type Fact struct {
	Kind       FactKind  `json:"kind" enum:"start,first_frame,heartbeat,pause,seek,stall,rate,end,error"`
	Session    SessionID `json:"session"`
	Seq        int64     `json:"seq" minimum:"1" doc:"Place within the viewing, from 1."`
	Title      TitleID   `json:"title"`
	PositionMS int64     `json:"position_ms" minimum:"0" doc:"Milliseconds from the start of the title."`
	RuntimeMS  int64     `json:"runtime_ms,omitempty" minimum:"0"`
	BPS        int64     `json:"bps,omitempty" minimum:"0" doc:"Rate of the rendition in bits a second."`
	Height     int       `json:"height,omitempty" minimum:"0" doc:"Height of the rendition in pixels."`
	DurationMS int64     `json:"duration_ms,omitempty" minimum:"0" doc:"Time to the first frame, or length of the stall, in milliseconds."`
	Reason     string    `json:"reason,omitempty" maxLength:"300" doc:"Why the player gave up."`

	// What the service adds; what a player sends here is overwritten.
	At      time.Time `json:"at,omitzero" doc:"When the service took it in."`
	Profile ProfileID `json:"profile,omitempty" doc:"Who was watching; absent for a guest."`
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
	if f.Seq < 1 || f.PositionMS < 0 || f.PositionMS > 7*dayMS || f.RuntimeMS < 0 || f.RuntimeMS > 7*dayMS || f.DurationMS < 0 || f.BPS < 0 || f.Height < 0 {
		return fmt.Errorf("fact of viewing %s: seq must be from 1, and times, rates and sizes between 0 and seven days: %w", f.Session, Invalid)
	}
	if len(f.Reason) > 300 {
		return fmt.Errorf("fact of viewing %s: a reason has at most 300 bytes: %w", f.Session, Invalid)
	}
	return nil
}
