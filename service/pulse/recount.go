package pulse

import (
	"slices"
	"time"

	"bijou"
)

// Recount says from the facts alone what Query answers of a range in all, and by the values of a dimension. It is the definition of the figures, written
// to be read and not to be quick: it takes one viewing after the other, and all of its facts at once. Logs are the partitions, each with its facts in order.
//
//   - A fact that comes twice, by viewing and place, counts once; one that lies 256 places or more behind another of its viewing, or comes more than
//     twelve hours after it, is not told from a new one.
//   - A fact counts in the minute in which the service took it in. Where it names no appliance, zone or player, it counts under the empty name.
//   - A start that neither a first picture nor an error nor an end followed counts as failed 15 s later, under the names that it had; but not while the
//     browser waits for the viewer to press play, which a pause before the first picture says.
func Recount(logs [][]bijou.Fact, from, until, now time.Time, by bijou.PulseDimension) (bijou.PulseFigures, []Group) {
	r := span{from: minuteOf(from.UnixMilli()), until: minuteOf(until.UnixMilli() + 59_999), now: now.UnixMilli()}
	var total series
	groups := map[string]*series{}
	d := slices.Index(dimensionNames[:], by)
	for _, facts := range logs {
		viewings := map[bijou.SessionID][]bijou.Fact{}
		for _, f := range facts {
			viewings[f.Session] = append(viewings[f.Session], f)
		}
		for _, all := range viewings {
			for _, c := range recountViewing(all, r.now) {
				if m := minuteOf(c.at); m < r.from || m >= r.until {
					continue
				}
				total.apply(&c)
				if d < 0 {
					continue
				}
				if groups[c.who[d]] == nil {
					groups[c.who[d]] = &series{}
				}
				groups[c.who[d]].apply(&c)
			}
		}
	}
	var out []Group
	for name, s := range groups {
		out = append(out, Group{name, s.figures(r.time(r.from, r.until))})
	}
	slices.SortFunc(out, compareGroups)
	return total.figures(r.time(r.from, r.until)), out
}

// recountViewing returns what the facts of one viewing add, in the order in which they came.
func recountViewing(all []bijou.Fact, now int64) (out []change) {
	for len(all) > 0 {
		n, last := 1, all[0].At.UnixMilli()
		for n < len(all) && all[n].At.UnixMilli()-last <= memoryMS {
			last = max(last, all[n].At.UnixMilli())
			n++
		}
		out = append(out, recountOnce(firsts(all[:n]), now)...)
		all = all[n:]
	}
	return out
}

// firsts leaves out what came before.
func firsts(all []bijou.Fact) (out []bijou.Fact) {
	had, top := map[int64]bool{}, int64(0)
	for _, f := range all {
		if !had[f.Seq] && f.Seq > top-256 {
			out = append(out, f)
		}
		had[f.Seq], top = true, max(top, f.Seq)
	}
	return out
}

func recountOnce(facts []bijou.Fact, now int64) (out []change) {
	start := slices.IndexFunc(facts, func(f bijou.Fact) bool { return f.Kind == bijou.FactStart })
	verdict := slices.IndexFunc(facts, func(f bijou.Fact) bool {
		return f.Kind == bijou.FactFirstFrame || f.Kind == bijou.FactError || f.Kind == bijou.FactEnd
	})
	pause := slices.IndexFunc(facts, func(f bijou.Fact) bool { return f.Kind == bijou.FactPause })
	asked := pause >= 0 && (verdict < 0 || pause < verdict)
	plain := func(f bijou.Fact, c counter) (x change) {
		x.at, x.who = f.At.UnixMilli(), who{string(f.Title), string(f.Appliance), clip(f.Zone), f.Player}
		x.n[c] = 1
		return x
	}
	if start >= 0 {
		out = append(out, plain(facts[start], starts))
		if verdict < 0 && !asked && now >= facts[start].At.Add(15*time.Second).UnixMilli() {
			x := plain(facts[start], failedSilence)
			x.at += 15_000
			out = append(out, x)
		}
	}
	if verdict >= 0 {
		f := facts[verdict]
		x := plain(f, succeeded)
		waited := !asked && start >= 0 && start < verdict && f.At.UnixMilli()-facts[start].At.UnixMilli() > 10_000
		switch {
		case f.Kind == bijou.FactError:
			x = plain(f, failureOf(f.Cause))
		case f.Kind == bijou.FactEnd && !waited:
			x = plain(f, abandoned)
		case f.Kind == bijou.FactEnd, f.DurationMS > 10_000:
			x = plain(f, failedTimeout)
		}
		if f.Kind == bijou.FactFirstFrame {
			x.frameMS = f.DurationMS
		}
		out = append(out, x)
		gaveUp := slices.IndexFunc(facts[verdict+1:], func(f bijou.Fact) bool { return f.Kind == bijou.FactError })
		if f.Kind == bijou.FactFirstFrame && gaveUp >= 0 {
			out = append(out, plain(facts[verdict+1+gaveUp], broken))
		}
	}
	for _, f := range facts {
		if f.Kind == bijou.FactStall {
			x := plain(f, stalls)
			x.n[stalledMS] = min(f.DurationMS, maxStallMS)
			out = append(out, x)
		}
		if f.PlayedMS == 0 {
			continue
		}
		x := change{at: f.At.UnixMilli(), who: plain(f, starts).who}
		if x.n[playedMS] = f.PlayedMS; f.BPS > 0 {
			x.bps, x.n[ratedMS] = min(f.BPS, maxBPS), f.PlayedMS
			x.n[kilobits] = x.bps * f.PlayedMS / 1e6
		}
		out = append(out, x)
	}
	return out
}
