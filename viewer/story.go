package viewer

import (
	"iter"
	"math/rand/v2"
)

// Fact is what a player reports, as the interface of POST /api/v1/facts has it.
type Fact struct {
	Kind       string `json:"kind"`
	Session    string `json:"session"`
	Seq        int64  `json:"seq"`
	Title      string `json:"title"`
	PositionMS int64  `json:"position_ms"`
	RuntimeMS  int64  `json:"runtime_ms,omitempty"`
	BPS        int64  `json:"bps,omitempty"`
	Height     int    `json:"height,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"`
	PlayedMS   int64  `json:"played_ms,omitempty"`
	Cause      string `json:"cause,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Player     string `json:"player"`
	Appliance  string `json:"appliance,omitempty"`
}

// playerName is told with every fact.
const playerName = "bijou-viewer/1"

// beatMS is how long pictures move from one heartbeat to the next, in milliseconds.
const beatMS = 4000

// Of a hundred viewings so many do not start, and of a hundred heartbeats so many are something else.
const (
	failing = 2
	stalls  = 2
	rates   = 3
	pauses  = 1
	seeks   = 1
)

// rungs are the renditions that players choose among.
var rungs = []struct {
	bps    int64
	height int
}{{600_000, 240}, {1_200_000, 360}, {3_000_000, 720}, {6_000_000, 1080}}

// story tells what happens in one viewing: so many facts, from start to end. Few viewings fail before the first picture.
func story(r *rand.Rand, p play, facts int) iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		rung := rungs[r.IntN(len(rungs))]
		seq, position, played := int64(0), int64(0), int64(0)
		tell := func(kind string, change func(*Fact)) bool {
			seq++
			f := Fact{
				Kind: kind, Session: p.Session, Seq: seq, Title: p.Title, PositionMS: position, RuntimeMS: p.RuntimeMS, BPS: rung.bps, Height: rung.height,
				PlayedMS: played, Player: playerName,
			}
			played = 0
			if change != nil {
				change(&f)
			}
			return yield(f)
		}
		if !tell("start", nil) {
			return
		}
		if r.IntN(100) < failing {
			tell("error", func(f *Fact) { f.Cause, f.Reason = "network", "the appliance does not answer" })
			return
		}
		if !tell("first_frame", func(f *Fact) { f.DurationMS = 100 + r.Int64N(3000) }) {
			return
		}
		for seq < int64(facts)-1 {
			played = beatMS
			if position += beatMS; p.RuntimeMS > 0 && position > p.RuntimeMS {
				position = 0 // it is watched again
			}
			kind, change := "heartbeat", (func(*Fact))(nil)
			switch n := r.IntN(100); {
			case n < stalls:
				kind, change = "stall", func(f *Fact) { f.DurationMS = 100 + r.Int64N(5000) }
			case n < stalls+rates:
				kind, rung = "rate", rungs[r.IntN(len(rungs))]
			case n < stalls+rates+pauses:
				kind = "pause"
			case n < stalls+rates+pauses+seeks:
				kind = "seek"
			}
			if !tell(kind, change) {
				return
			}
		}
		tell("end", nil)
	}
}
