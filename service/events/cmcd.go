package events

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"bijou"
	"bijou/wire/cmcd"
)

// maxReports bounds the reports of one request in event mode.
const maxReports = 100

// clockOff is how far a player's clock may be off.
const clockOff = 24 * time.Hour

// ReportCMCD takes what a player reports in CMCD event mode, and returns when its facts are on the log. The session id must be that of a
// viewing, and the content id its title. Reports that tell of nothing that is a fact here (muted, ads …) are passed over. It fails with
// Invalid where none of them can be used, and as Report does.
func (s *Service) ReportCMCD(ctx context.Context, _ struct{}, body io.Reader) (struct{}, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		s.drop(dropUnreadable, 1)
		return struct{}{}, err
	}
	all, err := cmcd.ParseReports(raw, maxReports)
	if err != nil {
		s.drop(dropUnreadable, 1)
		return struct{}{}, err
	}
	now := s.Now().UTC()
	var facts []bijou.Fact
	var refused error
	placed := true // every fact's place in the title is known
	at := map[bijou.SessionID]playing{}
	for _, d := range all {
		id := bijou.SessionID(d.Text("sid"))
		p, seen := at[id]
		if reason, err := usable(d, now); err != nil {
			s.drop(reason, 1)
			refused = err
			continue
		}
		if !seen {
			p = s.viewings.playingOf(id, now)
		}
		told := p.hear(d)
		for _, f := range told {
			if err := f.Check(); err != nil {
				s.drop(dropInvalid, 1)
				refused = err
				continue
			}
			facts = append(facts, f)
		}
		placed = placed && p.Placed
		at[id] = p
	}
	if len(facts) == 0 {
		s.viewings.note(at, now)
		return struct{}{}, refused
	}
	profile := bijou.CallerOf(ctx).Profile
	if !placed {
		profile = "" // or the viewer would be taken to stand at the title's start
	}
	if err := s.keep(ctx, facts, profile); err != nil {
		return struct{}{}, err
	}
	s.viewings.note(at, now)
	return struct{}{}, nil
}

// usable refuses, as Invalid, what is no report of a viewing of this service, with the reason to count it by.
func usable(d cmcd.Data, now time.Time) (reason string, err error) {
	id, title := bijou.SessionID(d.Text("sid")), bijou.TitleID(d.Text("cid"))
	if bijou.CheckID(id, bijou.SessionPrefix) != nil || bijou.CheckID(title, bijou.TitlePrefix) != nil {
		return dropForeign, fmt.Errorf("CMCD: sid %.40q and cid %.40q are no viewing: give the player the session of the play as session id, and its title as content id: %w", id, title, bijou.Invalid)
	}
	ts, ok := d.Number("ts")
	if at := time.UnixMilli(int64(ts)); !ok || at.Before(now.Add(-clockOff)) || at.After(now.Add(clockOff)) {
		return dropTime, fmt.Errorf("CMCD: viewing %s reports at ts %.0f, which is more than %s off: set the clock: %w", id, ts, clockOff, bijou.Invalid)
	}
	return "", nil
}

// playing is what a viewing in event mode is at, as far as it has told.
type playing struct {
	State      string // CMCD's player state
	Started    bool   // its start was told
	Shown      bool   // its first frame was told
	Over       bool   // its end or failure was told
	Placed     bool   // where in the title it is, is known
	PositionMS int64
	BPS        int64
	Appliance  bijou.ApplianceID
	Began      int64 // when it started; these are in milliseconds of the player's clock
	Stalled    int64 // when the picture stopped for want of data; 0 while it does not
	Last       int64 // when it reported last
}

// teller makes a fact of what was heard; change, where there is one, adds what is particular to it.
type teller func(kind bijou.FactKind, change func(*bijou.Fact))

// hear returns what a report tells, and notes it. A viewing's first report (sequence number 0) says that it started, whatever else it says,
// since some players do not tell their start. From the state of play follow first frame, stall, pause, seek, end and failure.
//
// A report has room for two facts: its sequence number n becomes the places 2n+1 and 2n+2.
func (p *playing) hear(d cmcd.Data) (facts []bijou.Fact) {
	ts, _ := d.Number("ts")
	now := int64(ts)
	sn, counted := d.Number("sn")
	if !counted || sn < 0 || sn > 1e12 {
		sn = ts // no less a number that rises
	}
	played := int64(0)
	if p.State == "p" && p.Last > 0 {
		played = min(max(now-p.Last, 0), clockOff.Milliseconds())
	}
	p.Last = now
	p.learn(d)
	var say teller = func(kind bijou.FactKind, change func(*bijou.Fact)) {
		f := bijou.Fact{
			Kind: kind, Session: bijou.SessionID(d.Text("sid")), Title: bijou.TitleID(d.Text("cid")), Seq: 2*int64(sn) + 1, PositionMS: p.PositionMS, BPS: p.BPS,
			Player: "cmcd/2", Appliance: p.Appliance,
		}
		if kind != bijou.FactStart {
			f.Seq, f.PlayedMS = f.Seq+1, played
		}
		if change != nil {
			change(&f)
		}
		facts = append(facts, f)
	}
	state, event := d.Text("sta"), d.Text("e")
	if !p.Started && (sn == 0 || state == "s") {
		p.Started, p.Began = true, now
		say(bijou.FactStart, nil)
	}
	before := p.State
	if state != "" {
		p.State = state
	}
	switch {
	case state != "" && state != before:
		p.turn(before, now, d, say)
	case event == "bc":
		say(bijou.FactRate, nil)
	case p.State == "" && d.Is("msd") && p.Started && !p.Shown: // some tell how long the start took, and no state
		p.Shown = true
		say(bijou.FactFirstFrame, func(f *bijou.Fact) { f.DurationMS = since(d, "msd", now, p.Began) })
	case event == "t" && (p.State == "p" || p.State == "") && p.Shown:
		say(bijou.FactHeartbeat, nil)
	}
	return facts
}

// learn notes what a report says beside its event.
func (p *playing) learn(d cmcd.Data) {
	if pt, ok := d.Number("pt"); ok && pt >= 0 {
		p.PositionMS, p.Placed = int64(pt), true
	}
	if br, ok := d.Number("br"); ok && br >= 0 && br < 1e9 {
		p.BPS = int64(br * 1000)
	}
	// The network that a manifest's pathways name: here, an appliance.
	if id := bijou.ApplianceID(d.Text("cdn")); bijou.CheckID(id, bijou.AppliancePrefix) == nil {
		p.Appliance = id
	}
}

// turn tells of a change of the state of play.
func (p *playing) turn(before string, now int64, d cmcd.Data, say teller) {
	switch p.State {
	case "p":
		stalled := p.Stalled
		p.Stalled, p.Over = 0, false
		switch {
		case !p.Shown && p.Started:
			p.Shown = true
			say(bijou.FactFirstFrame, func(f *bijou.Fact) { f.DurationMS = since(d, "msd", now, p.Began) })
		case stalled > 0:
			say(bijou.FactStall, func(f *bijou.Fact) { f.DurationMS = since(d, "bsd", now, stalled) })
		case before == "k":
			say(bijou.FactSeek, nil)
		default:
			p.Shown = true // it was forgotten meanwhile what the viewing is at
			say(bijou.FactHeartbeat, nil)
		}
	case "r":
		if p.Shown && before == "p" {
			p.Stalled = now
		}
		p.goOn(say)
	case "k", "a", "w":
		p.Stalled = 0
		if p.State == "a" && p.Shown {
			say(bijou.FactPause, nil)
			return
		}
		p.goOn(say)
	case "e", "q":
		p.finish(bijou.FactEnd, say, nil)
	case "f":
		p.finish(bijou.FactError, say, func(f *bijou.Fact) {
			f.Cause, f.Reason = bijou.CauseOther, strings.ToValidUTF8(clip("player error "+d.Text("ec"), 200), "")
		})
	}
}

// since returns how long something took: as the player says by the key, or by its clock.
func since(d cmcd.Data, key string, now, from int64) int64 {
	if ms, ok := d.Number(key); ok && ms >= 0 {
		return int64(ms)
	}
	return max(now-from, 0)
}

// goOn tells how long pictures moved until now, where they stop.
func (p *playing) goOn(say teller) {
	if p.Shown && !p.Over {
		say(bijou.FactHeartbeat, nil)
	}
}

// finish tells once that the viewing is over.
func (p *playing) finish(kind bijou.FactKind, say teller, change func(*bijou.Fact)) {
	if !p.Over {
		p.Over = true
		say(kind, change)
	}
}

// clip shortens s to n bytes.
func clip(s string, n int) string { return s[:min(len(s), n)] }
