package steering

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const late = 6 * time.Second

// sketch is a box as a test draws it, with all that is known of it for one viewing.
type sketch struct {
	id     string
	zone   string
	wanted bijou.ApplianceState // empty: serving
	state  bijou.ApplianceState // empty: serving
	fault  string
	silent time.Duration
	load   float64 // share of its capacity
	has    contents
	bits   int // 1 more than the length of the network that is its and the viewer's; 0 for none
}

func (k sketch) report() bijou.ApplianceReport {
	r := bijou.ApplianceReport{
		Appliance: bijou.Appliance{ID: bijou.ApplianceID("apl_" + k.id), Name: k.id, Address: "http://" + k.id + ".example.org", Zone: k.zone, CapacityBPS: 1e9},
		State:     bijou.ApplianceServing, Load: bijou.ApplianceLoad{SentBPS: int64(k.load * 1e9)}, Fault: k.fault,
	}
	if k.state != "" {
		r.State = k.state
	}
	return r
}

func (k sketch) box() box {
	wanted := bijou.ApplianceServing
	if k.wanted != "" {
		wanted = k.wanted
	}
	return boxOf(k.report(), wanted, noon.Add(-k.silent))
}

// drawn returns the boxes, and a viewing of an asset by a viewer in the zone north.
func drawn(asset string, sketches []sketch) ([]box, ask) {
	a := ask{asset: hashOf(asset), zone: "north", now: noon, late: late, hide: hideAfter}
	var boxes []box
	for i, k := range sketches {
		boxes = append(boxes, k.box())
		if k.has != nothing {
			a.held = append(a.held, held{int32(i), k.has})
		}
		if k.bits > 0 {
			a.near = append(a.near, near{int32(i), uint8(k.bits - 1)})
		}
	}
	return boxes, a
}

func names(boxes []box, ps []placed) (out []string) {
	for _, p := range ps {
		out = append(out, boxes[p.at].Name)
	}
	return out
}

func TestEachRuleDecidesBeforeThoseAfterIt(t *testing.T) {
	// Each sketch is worse than the one before it by one rule, and better by all rules after that one.
	best := sketch{zone: "north", has: whole, bits: 33}
	less := func(change func(k *sketch)) sketch {
		k := best
		change(&k)
		return k
	}
	for _, c := range []struct {
		rule          string
		better, worse sketch
		why           string // the worse one stands second
	}{
		{"a full box is a last resort", sketch{load: 0.89}, less(func(k *sketch) { k.load = 0.9 }), "a last resort: it uses 90 % of its capacity"},
		{"a draining box is a last resort", sketch{}, less(func(k *sketch) { k.wanted = bijou.ApplianceDraining }), "a last resort: the operator has it draining"},
		{"a box that drains by itself too", sketch{}, less(func(k *sketch) { k.state = bijou.ApplianceDraining }), "a last resort: it is draining"},
		{"a silent box is a last resort", sketch{silent: late}, less(func(k *sketch) { k.silent = late + time.Millisecond }), "a last resort: it has not reported for 6 s"},
		{"a faulty box is a last resort", sketch{}, less(func(k *sketch) { k.fault = "its disk is full" }), "a last resort: its disk is full"},
		{"of unusable boxes, one that answers", sketch{wanted: bijou.ApplianceDraining}, less(func(k *sketch) { k.silent = time.Minute }), "a last resort: it has not reported for 60 s"},
		{"the longer network", sketch{bits: 26}, less(func(k *sketch) { k.bits = 25 }), "after better: better is meant for the viewer's network (/25), and it for a wider one (/24)"},
		{"a network of the viewer's at all", sketch{bits: 1}, less(func(k *sketch) { k.bits = 0 }), "after better: better is meant for the viewer's network (/0), and it is not"},
		{"the viewer's zone", sketch{zone: "north"}, sketch{zone: "south", has: whole}, "after better: it is not in the viewer's zone north, and better is"},
		{"all before a part", sketch{has: whole, load: 0.8}, sketch{has: part}, "after better: it has part of it, and better has all of it"},
		{"a part before nothing", sketch{has: part, load: 0.8}, sketch{}, "after better: it has nothing of it yet, and better has part of it"},
		{"the less busy by quarters", sketch{load: 0.2}, sketch{load: 0.3}, "after better: it uses 30 % of its capacity, and better has more room"},
	} {
		c.better.id, c.worse.id = "better", "worse"
		for _, order := range [][]sketch{{c.better, c.worse}, {c.worse, c.better}} {
			boxes, a := drawn("ast_x", order)
			chosen, left := rank(boxes, a)
			if got := names(boxes, chosen); !slices.Equal(got, []string{"better", "worse"}) || len(left) != 0 {
				t.Errorf("%s: got %v and left %v, want better before worse", c.rule, got, names(boxes, left))
				continue
			}
			first, second := &boxes[chosen[0].at], &boxes[chosen[1].at]
			if got := explain(second, chosen[1], first, chosen[0], a); got != c.why {
				t.Errorf("%s: got reason %q, want %q", c.rule, got, c.why)
			}
		}
	}
}

func TestTheFirstPlaceSaysWhatSpeaksForIt(t *testing.T) {
	for _, c := range []struct {
		k    sketch
		want string
	}{
		{sketch{has: whole, bits: 25, zone: "north", load: 0.123}, "first: it has all of it, is meant for the viewer's network (/24), is in the viewer's zone north, uses 12 % of its capacity"},
		{sketch{zone: "south"}, "first: it has nothing of it yet, uses 0 % of its capacity"},
		{sketch{fault: "its disk is full"}, "a last resort: its disk is full"},
	} {
		boxes, a := drawn("ast_x", []sketch{c.k})
		chosen, _ := rank(boxes, a)
		if got := explain(&boxes[0], chosen[0], nil, placed{}, a); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.k, got, c.want)
		}
	}
}

func TestOfEqualBoxesTheSecondSaysThatTheTitleIsAnothers(t *testing.T) {
	boxes, a := drawn("ast_x", []sketch{{id: "a"}, {id: "b"}})
	chosen, _ := rank(boxes, a)
	before := &boxes[chosen[0].at]
	want := "after " + before.Name + ": it is equal in all that counts, and this title falls to " + before.Name + " first"
	if got := explain(&boxes[chosen[1].at], chosen[1], before, chosen[0], a); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHowManyAreNamedAndWhichFillUp(t *testing.T) {
	ok, drains := sketch{}, sketch{wanted: bijou.ApplianceDraining}
	paused, dropped, pausedItself := sketch{wanted: bijou.AppliancePaused}, sketch{wanted: bijou.ApplianceDropped}, sketch{state: bijou.AppliancePaused}
	for what, c := range map[string]struct {
		boxes        []sketch
		chosen, left int
	}{
		"none":                             {nil, 0, 0},
		"one":                              {[]sketch{ok}, 1, 0},
		"four of six":                      {[]sketch{ok, ok, ok, ok, ok, ok}, 4, 2},
		"eight of twelve are spoken of":    {slices.Repeat([]sketch{ok}, 12), 4, 4},
		"one unusable fills up":            {[]sketch{ok, drains, drains}, 2, 1},
		"two are enough":                   {[]sketch{ok, ok, drains}, 2, 1},
		"unusable ones alone":              {[]sketch{drains, drains, drains}, 2, 1},
		"a paused one does not fill up":    {[]sketch{ok, paused}, 1, 1},
		"nor one that is paused by itself": {[]sketch{ok, pausedItself}, 1, 1},
		"nor a dropped one beside an unusable one":    {[]sketch{drains, dropped}, 1, 1},
		"a paused one where nothing else is":          {[]sketch{paused}, 1, 0},
		"one of many paused ones":                     {[]sketch{paused, dropped, paused}, 1, 2},
		"one silent for ten minutes is not spoken of": {[]sketch{ok, {silent: hideAfter + time.Second}}, 1, 0},
		"nor where nothing else is":                   {[]sketch{{silent: hideAfter + time.Second}}, 0, 0},
	} {
		for i := range c.boxes {
			c.boxes[i].id = fmt.Sprint("b", i)
		}
		boxes, a := drawn("ast_x", c.boxes)
		chosen, left := rank(boxes, a)
		if len(chosen) != c.chosen || len(left) != c.left {
			t.Errorf("%s: got %v and left %v, want %d and %d", what, names(boxes, chosen), names(boxes, left), c.chosen, c.left)
		}
	}
}

func TestWhatIsNoNumberIsNoLoad(t *testing.T) {
	for _, r := range []bijou.ApplianceReport{
		{Load: bijou.ApplianceLoad{CPU: math.NaN()}}, {Load: bijou.ApplianceLoad{CPU: -1}},
		{Appliance: bijou.Appliance{CapacityBPS: 10}, Load: bijou.ApplianceLoad{SentBPS: -10}},
	} {
		if got := loadOf(r); got != 0 {
			t.Errorf("%+v: got load %v, want 0", r.Load, got)
		}
	}
	busy := boxOf(bijou.ApplianceReport{State: bijou.ApplianceServing, Load: bijou.ApplianceLoad{CPU: 7}}, bijou.ApplianceServing, noon)
	if busy.trouble != "" {
		t.Errorf("a busy machine alone: got trouble %q, want none", busy.trouble)
	}
}

var anySketch = rapid.Custom(func(r *rapid.T) sketch {
	states := []bijou.ApplianceState{"", "", "", bijou.ApplianceDraining, bijou.AppliancePaused, bijou.ApplianceDropped}
	return sketch{
		zone: rapid.SampledFrom([]string{"", "north", "south"}).Draw(r, "zone"), wanted: rapid.SampledFrom(states).Draw(r, "wanted"),
		state: rapid.SampledFrom(states).Draw(r, "state"), fault: rapid.SampledFrom([]string{"", "", "", "its disk is full"}).Draw(r, "fault"),
		silent: time.Duration(rapid.SampledFrom([]int{0, 1, 6, 7, 60, 600, 601}).Draw(r, "silent")) * time.Second,
		load:   float64(rapid.IntRange(0, 12).Draw(r, "load")) / 10, has: contents(rapid.IntRange(0, 2).Draw(r, "has")), bits: rapid.IntRange(0, 3).Draw(r, "bits"),
	}
})

func someSketches(r *rapid.T, most int) []sketch {
	out := rapid.SliceOfN(anySketch, 0, most).Draw(r, "boxes")
	for i := range out {
		out[i].id = fmt.Sprintf("b%d", i)
	}
	return out
}

// oracle orders the sketches by the rules as the design has them, each by itself, and says who is named.
func oracle(asset string, sketches []sketch) (chosen, left []string) {
	serving := func(s bijou.ApplianceState) bool { return s == "" || s == bijou.ApplianceServing }
	away := func(k sketch) bool {
		for _, s := range []bijou.ApplianceState{k.wanted, k.state} {
			if s == bijou.AppliancePaused || s == bijou.ApplianceDropped {
				return true
			}
		}
		return false
	}
	answers := func(k sketch) bool { return k.silent <= late && k.fault == "" && !away(k) }
	usable := func(k sketch) bool { return answers(k) && serving(k.wanted) && serving(k.state) && k.load < 0.9 }
	free := func(k sketch) int { // quarters
		for q := 3; q > 0; q-- {
			if 1-float64(int64(k.load*1e9))/1e9 >= float64(q)/4 {
				return q
			}
		}
		return 0
	}
	rules := []func(k sketch) int{
		func(k sketch) int { return toInt(!away(k)) }, func(k sketch) int { return toInt(usable(k)) }, func(k sketch) int { return toInt(answers(k)) },
		func(k sketch) int { return k.bits }, func(k sketch) int { return toInt(k.zone == "north") }, func(k sketch) int { return int(k.has) }, free,
		func(k sketch) int { return int(mix(hashOf("apl_"+k.id)^hashOf(asset)) >> 16) },
	}
	var order []sketch
	for _, k := range sketches {
		if k.silent <= hideAfter {
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(a, b sketch) int {
		for _, rule := range rules {
			if d := rule(b) - rule(a); d != 0 {
				return d
			}
		}
		return strings.Compare(a.id, b.id)
	})
	for i, k := range order[:min(len(order), 2*places)] {
		out := &left
		if len(chosen) == i && i < places && (usable(k) || i < 2 && !away(k) || i == 0) {
			out = &chosen
		}
		*out = append(*out, k.id)
	}
	return chosen, left
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestRankingIsWhatTheRulesSayOneByOne(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sketches := someSketches(r, 14)
		boxes, a := drawn("ast_x", sketches)
		chosen, left := rank(boxes, a)
		wantChosen, wantLeft := oracle("ast_x", sketches)
		if got := names(boxes, chosen); !slices.Equal(got, wantChosen) {
			r.Errorf("chosen: got %v, want %v", got, wantChosen)
		}
		if got := names(boxes, left); !slices.Equal(got, wantLeft) {
			r.Errorf("left: got %v, want %v", got, wantLeft)
		}
	})
}

func TestTheOrderOfTheListDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sketches := someSketches(r, 14)
		boxes, a := drawn("ast_x", sketches)
		chosen, left := rank(boxes, a)
		shuffled := rapid.Permutation(sketches).Draw(r, "shuffled")
		other, b := drawn("ast_x", shuffled)
		chosen2, left2 := rank(other, b)
		if x, y := names(boxes, chosen), names(other, chosen2); !slices.Equal(x, y) {
			r.Errorf("chosen: got %v and, shuffled, %v", x, y)
		}
		if x, y := names(boxes, left), names(other, left2); !slices.Equal(x, y) {
			r.Errorf("left: got %v and, shuffled, %v", x, y)
		}
	})
}

func TestAWorseBoxMovesNobodyAndWithoutTheBestTheSecondIsFirst(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sketches := someSketches(r, 6)
		boxes, a := drawn("ast_x", sketches)
		chosen, left := rank(boxes, a)
		if len(chosen) == 0 {
			return
		}
		all := slices.Concat(names(boxes, chosen), names(boxes, left))

		more, b := drawn("ast_x", append(slices.Clone(sketches), sketch{id: "worst", wanted: bijou.AppliancePaused, silent: hideAfter, load: 2}))
		chosen2, left2 := rank(more, b)
		got := slices.DeleteFunc(slices.Concat(names(more, chosen2), names(more, left2)), func(n string) bool { return n == "worst" })
		if !slices.Equal(got, all) {
			r.Errorf("with a worse box: got %v, want %v", got, all)
		}

		if len(all) < 2 {
			return
		}
		rest := slices.DeleteFunc(slices.Clone(sketches), func(k sketch) bool { return k.id == all[0] })
		fewer, c := drawn("ast_x", rest)
		chosen3, left3 := rank(fewer, c)
		if got := slices.Concat(names(fewer, chosen3), names(fewer, left3)); !slices.Equal(got, all[1:]) {
			r.Errorf("without the best: got %v, want %v", got, all[1:])
		}
	})
}

func TestTwoAreNamedWhereverTwoAnswerOrMay(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sketches := someSketches(r, 8)
		named := 0
		for _, k := range sketches {
			if b := k.box(); !b.hidden && k.silent <= hideAfter {
				named++
			}
		}
		boxes, a := drawn("ast_x", sketches)
		if chosen, _ := rank(boxes, a); len(chosen) < min(named, 2) {
			r.Errorf("of %d that may be named: got %v", named, names(boxes, chosen))
		}
	})
}

// equals returns n equal boxes.
func equals(n int) (out []sketch) {
	for i := range n {
		out = append(out, sketch{id: fmt.Sprintf("%016d", i)})
	}
	return out
}

func TestTitlesSpreadOverEqualBoxesAndStayWhenOneGoes(t *testing.T) {
	const n, assets = 10, 10_000
	ten, nine := equals(n), equals(n)[1:]
	share, moved := map[string]int{}, 0
	for i := range assets {
		asset := fmt.Sprintf("ast_%016d", i)
		boxes, a := drawn(asset, ten)
		chosen, _ := rank(boxes, a)
		first := boxes[chosen[0].at].Name
		share[first]++
		fewer, b := drawn(asset, nine)
		after, _ := rank(fewer, b)
		if now := fewer[after[0].at].Name; now != first {
			moved++
			if first != ten[0].id {
				t.Fatalf("asset %s moves from %s to %s, though %s is there still", asset, first, now, first)
			}
		}
	}
	for _, k := range ten {
		if got := share[k.id]; got < assets/n*9/10 || got > assets/n*11/10 {
			t.Errorf("box %s has %d of %d assets, want %d within a tenth", k.id, got, assets, assets/n)
		}
	}
	if moved != share[ten[0].id] {
		t.Errorf("when a box with %d assets goes %d move, want as many", share[ten[0].id], moved)
	}
}

// crowd returns boxes that differ in all that ranking looks at.
func crowd(n int) []sketch {
	r := rand.New(rand.NewPCG(1, 2))
	out := equals(n)
	for i := range out {
		k := &out[i]
		k.zone, k.load, k.has = []string{"north", "south", "west"}[r.IntN(3)], r.Float64()*0.95, contents(r.IntN(3))
		if r.IntN(10) == 0 {
			k.bits = 17 + r.IntN(8)
		}
		if r.IntN(20) == 0 {
			k.wanted = bijou.ApplianceDraining
		}
	}
	return out
}

// BenchmarkRank1000 ranks 1,000 boxes and says why each of those that are spoken of stands there.
func BenchmarkRank1000(b *testing.B) {
	boxes, a := drawn("ast_x", crowd(1000))
	b.ReportAllocs()
	for b.Loop() {
		chosen, left := rank(boxes, a)
		var prior placed
		var before *box
		for _, p := range slices.Concat(chosen, left) {
			if explain(&boxes[p.at], p, before, prior, a) == "" {
				b.Fatal("no reason")
			}
			prior, before = p, &boxes[p.at]
		}
	}
}

// BenchmarkRank1000Equal is the same with boxes among which the hash alone decides.
func BenchmarkRank1000Equal(b *testing.B) {
	boxes, a := drawn("ast_x", equals(1000))
	for b.Loop() {
		rank(boxes, a)
	}
}
