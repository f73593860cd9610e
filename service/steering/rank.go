package steering

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"bijou"
)

// box is an appliance as ranking sees it.
type box struct {
	bijou.Appliance        // without an ID: a gap in the list, which is no appliance
	trouble         string // why nobody should be sent to it, silence apart; empty for none
	answers         bool   // in spite of its trouble: it drains, or is full
	hidden          bool   // it is named only where nothing else is
	load            float64
	seed            uint64    // hash of its identifier
	seen            time.Time // when it reported last
}

// contents says how much of an asset a box has.
type contents uint8

const (
	nothing contents = iota
	part
	whole
)

func (c contents) String() string {
	return [...]string{"has nothing of it yet", "has part of it", "has all of it"}[c]
}

// ask is what is known of a viewing, and of the boxes in respect of it.
type ask struct {
	asset uint64 // hash of its identifier
	zone  string // that the viewer is in; empty where nobody knows
	near  []near
	held  []held
	now   time.Time
	late  time.Duration // silence from which on nobody is sent to a box
	hide  time.Duration // silence from which on a box is not named at all
}

// near says that the box is meant for a network that the viewer is in.
type near struct {
	box  int32
	bits uint8 // length of the network's prefix
}

// held says how much the box has of the asset.
type held struct {
	box int32
	has contents
}

const (
	// places is how many appliances an answer names at most: one to use, and enough to move on to.
	places = 4
	// fullLoad is the share of its capacity from which on nobody is sent to a box.
	fullLoad = 0.9
	// lateReports is how many reports a box may miss before nobody is sent to it.
	lateReports = 3
)

// standing is a box's place as one number, the larger the better: visible, usable, at least answering, the length of the network that is the
// box's and the viewer's, the same zone, contents, load in quarters, and last a hash of asset and box (rendezvous hashing, Thaler and
// Ravishankar 1998), by which titles spread over equal boxes and stay where they are when another box comes or goes.
type standing uint64

// The fields of a standing, from the lowest bit on.
const (
	hashBits  = 48
	loadShift = hashBits      // 2 bits: quarters that are free
	heldShift = loadShift + 2 // 2 bits: contents
	zoneShift = heldShift + 2 // 1 bit
	netShift  = zoneShift + 1 // 8 bits: length of the prefix, 1 more than it
	answerAt  = netShift + 8  // 1 bit
	usableAt  = answerAt + 1  // 1 bit
	visibleAt = usableAt + 1  // 1 bit

	quarters = 4
)

func (s standing) field(shift, width int) uint64 { return uint64(s) >> shift & (1<<width - 1) }

func (s standing) usable() bool  { return s.field(usableAt, 1) == 1 }
func (s standing) visible() bool { return s.field(visibleAt, 1) == 1 }

// stand returns the box's standing, given how much it has and 1 more than the length of the network, or 0 for none.
func stand(b *box, has contents, network uint8, a *ask) standing {
	s := mix(b.seed^a.asset)>>(64-hashBits) | uint64(has)<<heldShift | uint64(network)<<netShift
	if b.load < 1 {
		s |= min(quarters-1, uint64((1-b.load)*quarters)) << loadShift
	}
	if a.zone != "" && b.Zone == a.zone {
		s |= 1 << zoneShift
	}
	if a.now.Sub(b.seen) <= a.late {
		if b.trouble == "" {
			s |= 1<<usableAt | 1<<answerAt
		} else if b.answers {
			s |= 1 << answerAt
		}
	}
	if !b.hidden {
		s |= 1 << visibleAt
	}
	return standing(s)
}

// mix spreads the bits of x (the finalizer of MurmurHash3, Appleby 2011).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s)) // never fails
	return h.Sum64()
}

// placed is a box with its standing.
type placed struct {
	at int // in the list of boxes
	s  standing
}

// has returns how much of the asset the box has.
func (p placed) has() contents { return contents(p.s.field(heldShift, 2)) }

// rank returns the best boxes for the viewing, best first, and the best of those that were not chosen. An unusable box is chosen only where
// fewer than two others are, and one that is paused or dropped only where there is nothing else. It looks at each box once.
func rank(boxes []box, a ask) (chosen, left []placed) {
	type facts struct {
		has     contents
		network uint8
	}
	of := make([]facts, len(boxes))
	for _, h := range a.held {
		of[h.box].has = h.has
	}
	for _, n := range a.near {
		of[n.box].network = max(of[n.box].network, n.bits+1)
	}
	var top [2 * places]placed
	n := 0
	for i := range boxes {
		b := &boxes[i]
		if b.ID == "" || a.now.Sub(b.seen) > a.hide {
			continue
		}
		p := placed{at: i, s: stand(b, of[i].has, of[i].network, &a)}
		at := n
		for at > 0 && better(boxes, p, top[at-1]) {
			at--
		}
		if at == len(top) {
			continue
		}
		copy(top[at+1:], top[at:])
		top[at] = p
		n = min(n+1, len(top))
	}
	take := 0
	for take < min(n, places) {
		s := top[take].s
		if take >= 2 && !s.usable() || take >= 1 && !s.visible() {
			break
		}
		take++
	}
	return top[:take], top[take:n]
}

// better orders two boxes. Two of one standing, which is one in 2^48, go by their identifiers, so that the order never depends on anything else.
func better(boxes []box, a, b placed) bool {
	if a.s != b.s {
		return a.s > b.s
	}
	return boxes[a.at].ID < boxes[b.at].ID
}

// explain says in a sentence why the box stands where it does; before is the one that stands before it, or nil.
func explain(b *box, p placed, before *box, prior placed, a ask) string {
	if !p.s.usable() {
		return "a last resort: " + unusable(b, a.now, a.late)
	}
	if before == nil {
		facts := "first: it " + p.has().String()
		if n := p.s.field(netShift, 8); n > 0 {
			facts += ", is meant for the viewer's network (/" + strconv.Itoa(int(n)-1) + ")"
		}
		if p.s.field(zoneShift, 1) == 1 {
			facts += ", is in the viewer's zone " + b.Zone
		}
		return facts + ", " + loadText(b)
	}
	after, name := "after "+before.Name+": ", before.Name
	switch at := bits.Len64(uint64(p.s^prior.s)) - 1; {
	case at < loadShift:
		return after + "it is equal in all that counts, and this title falls to " + name + " first"
	case at < heldShift:
		return after + "it " + loadText(b) + ", and " + name + " has more room"
	case at < zoneShift:
		return after + "it " + p.has().String() + ", and " + name + " " + prior.has().String()
	case at < netShift:
		return after + "it is not in the viewer's zone " + before.Zone + ", and " + name + " is"
	}
	n, m := p.s.field(netShift, 8), prior.s.field(netShift, 8)
	meant := name + " is meant for the viewer's network (/" + strconv.Itoa(int(m)-1) + ")"
	if n == 0 {
		return after + meant + ", and it is not"
	}
	return after + meant + ", and it for a wider one (/" + strconv.Itoa(int(n)-1) + ")"
}

func loadText(b *box) string {
	percent := strconv.Itoa(int(b.load*100)) + " %"
	if b.CapacityBPS == 0 {
		return "keeps " + percent + " of its processors busy"
	}
	return "uses " + percent + " of its capacity"
}

// unusable says why nobody should be sent to the box at the time, or nothing.
func unusable(b *box, now time.Time, late time.Duration) string {
	if b.trouble == "" || b.answers {
		if silent := now.Sub(b.seen); silent > late {
			return fmt.Sprintf("it has not reported for %d s", int(silent.Seconds()))
		}
	}
	return b.trouble
}

// condition says in one word how a box is: usable, or why nobody is sent to it.
func (b *box) condition(now time.Time, late time.Duration, state bijou.ApplianceState) string {
	switch {
	case state != bijou.ApplianceServing:
		return string(state)
	case now.Sub(b.seen) > late:
		return "silent"
	case b.trouble == "":
		return "usable"
	case b.answers:
		return "full"
	}
	return "faulty"
}

// boxOf returns the appliance as ranking sees it: as it reported at the time, and as the operator wants it.
func boxOf(r bijou.ApplianceReport, wanted bijou.ApplianceState, seen time.Time) box {
	b := box{Appliance: r.Appliance, load: loadOf(r), seed: hashOf(string(r.Appliance.ID)), seen: seen}
	b.Networks = nil // the footprint has them
	state := gravest(wanted, r.State)
	b.hidden = state == bijou.AppliancePaused || state == bijou.ApplianceDropped
	switch {
	case wanted != bijou.ApplianceServing:
		b.trouble, b.answers = "the operator has it "+string(wanted), !b.hidden && r.Fault == ""
	case r.State != bijou.ApplianceServing:
		b.trouble, b.answers = "it is "+string(r.State), !b.hidden && r.Fault == ""
	case r.Fault != "":
		b.trouble = r.Fault
	case b.load >= fullLoad:
		b.trouble, b.answers = fmt.Sprintf("it uses %d %% of its capacity", int(b.load*100)), true
	}
	return b
}

// gravest returns the state that keeps more viewers away.
func gravest(a, b bijou.ApplianceState) bijou.ApplianceState {
	order := []bijou.ApplianceState{bijou.ApplianceServing, bijou.ApplianceDraining, bijou.AppliancePaused, bijou.ApplianceDropped}
	return order[max(0, slices.Index(order, a), slices.Index(order, b))]
}

// loadOf returns the share of its capacity that the box uses; its processors' where nobody said how much it can send.
func loadOf(r bijou.ApplianceReport) float64 {
	if r.Appliance.CapacityBPS > 0 {
		return max(0, float64(r.Load.SentBPS)/float64(r.Appliance.CapacityBPS))
	}
	if !(r.Load.CPU >= 0) { // less than nothing, or no number at all
		return 0
	}
	return min(r.Load.CPU, 0.89) // what else the machine does shows in it too, so by itself it rules nobody out
}
