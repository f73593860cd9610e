package steering

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"bijou"
)

const (
	// hideAfter is how long a box that says nothing is named at all, and forgetAfter how long it is listed.
	hideAfter   = 10 * time.Minute
	forgetAfter = 24 * time.Hour
	// maxBoxes bounds the appliances of one service, and maxHeld what all of them together tell of holding: a gigabyte of memory, roughly.
	maxBoxes = 10_000
	maxHeld  = 4_000_000
	// maxNetworks bounds the networks that one appliance is meant for.
	maxNetworks = 10_000
)

// registry is what is known of all appliances: kept so that one ranking has to look up nothing for each box.
type registry struct {
	late time.Duration // silence from which on nobody is sent to a box

	mu      sync.RWMutex
	wanted  map[bijou.ApplianceID]bijou.ApplianceState // nil until it was read
	at      map[bijou.ApplianceID]int32                // in boxes and entries
	boxes   []box                                      // as ranking sees them; gaps have no ID
	entries []entry
	gaps    []int32
	holders map[bijou.AssetID][]held
	prints  footprint
	total   int       // entries of holders
	swept   time.Time // when those that say nothing were forgotten last
}

// entry is what else is known of an appliance.
type entry struct {
	report bijou.ApplianceReport      // without its holdings
	listed []bijou.Holding            // each asset once; never changed, but replaced
	has    map[bijou.AssetID]contents // the same
	known  int64                      // their version
}

func newRegistry(late time.Duration) *registry {
	return &registry{
		late: late, at: map[bijou.ApplianceID]int32{}, holders: map[bijou.AssetID][]held{}, prints: footprint{newNetworks[[]int32]()},
	}
}

// read reads what operators want, once.
func (g *registry) read(ctx context.Context, store bijou.ApplianceStore) error {
	g.mu.RLock()
	done := g.wanted != nil
	g.mu.RUnlock()
	if done {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted != nil {
		return nil
	}
	w, err := store.WantedAppliances(ctx)
	if err != nil {
		return err
	}
	g.wanted = w
	return nil
}

// wantedOf returns what the operator wants of the appliance. The lock is held.
func (g *registry) wantedOf(id bijou.ApplianceID) bijou.ApplianceState {
	if w, ok := g.wanted[id]; ok {
		return w
	}
	return bijou.ApplianceServing
}

// take notes the report. It returns the place of the box in the list, and whether it is new there.
func (g *registry) take(r bijou.ApplianceReport, now time.Time) (joined bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := r.Appliance.ID
	i, known := g.at[id]
	if !known {
		if len(g.at) >= maxBoxes || now.Sub(g.swept) > time.Minute {
			g.forget(now)
		}
		if len(g.at) >= maxBoxes {
			return false, fmt.Errorf("appliance %s: the service knows %d already: it forgets those that say nothing for %s: %w", id, maxBoxes, forgetAfter, bijou.Exhausted)
		}
		i = g.add(id)
	}
	e := &g.entries[i]
	if r.Listed {
		if g.total-len(e.has)+len(r.Holdings) > maxHeld {
			return false, fmt.Errorf("appliance %s: the service keeps track of %d holdings in all, and they are used up: %w", id, maxHeld, bijou.Exhausted)
		}
		g.hold(i, r.Holdings)
		e.known = r.Version
	}
	if !slices.Equal(e.report.Appliance.Networks, r.Appliance.Networks) {
		g.prints.remove(i, e.report.Appliance.Networks)
		g.prints.add(i, r.Appliance.Networks)
	}
	r.Listed, r.Holdings = false, nil
	e.report = r
	g.boxes[i] = boxOf(r, g.wantedOf(id), now)
	return !known, nil
}

// add makes room for an appliance. The lock is held.
func (g *registry) add(id bijou.ApplianceID) int32 {
	fresh := entry{known: -1} // it has to tell what it holds
	if n := len(g.gaps); n > 0 {
		i := g.gaps[n-1]
		g.gaps = g.gaps[:n-1]
		g.at[id], g.entries[i] = i, fresh
		return i
	}
	i := int32(len(g.boxes))
	g.boxes, g.entries = append(g.boxes, box{}), append(g.entries, fresh)
	g.at[id] = i
	return i
}

// hold replaces what the box holds. Of an asset that is named twice the last word counts. The lock is held.
func (g *registry) hold(i int32, holdings []bijou.Holding) {
	e := &g.entries[i]
	has := make(map[bijou.AssetID]contents, len(holdings))
	listed := make([]bijou.Holding, 0, len(holdings))
	for _, h := range slices.Backward(holdings) {
		if _, twice := has[h.Asset]; twice {
			continue
		}
		listed = append(listed, h)
		has[h.Asset] = part
		if h.Complete {
			has[h.Asset] = whole
		}
	}
	slices.Reverse(listed)
	for asset := range e.has {
		if _, still := has[asset]; !still {
			g.release(i, asset)
		}
	}
	for asset, c := range has {
		list := g.holders[asset]
		if _, before := e.has[asset]; before {
			list[slices.IndexFunc(list, func(h held) bool { return h.box == i })].has = c
			continue
		}
		g.holders[asset] = append(list, held{i, c})
	}
	g.total += len(has) - len(e.has)
	e.has, e.listed = has, listed
}

// release notes that the box has nothing of the asset any more. The lock is held.
func (g *registry) release(i int32, asset bijou.AssetID) {
	list := slices.DeleteFunc(g.holders[asset], func(h held) bool { return h.box == i })
	if len(list) == 0 {
		delete(g.holders, asset)
	} else {
		g.holders[asset] = list
	}
}

// forget removes what has said nothing for long. The lock is held.
func (g *registry) forget(now time.Time) {
	g.swept = now
	for id, i := range g.at {
		if now.Sub(g.boxes[i].seen) > forgetAfter {
			g.hold(i, nil)
			g.prints.remove(i, g.entries[i].report.Appliance.Networks)
			g.boxes[i], g.entries[i] = box{}, entry{}
			g.gaps = append(g.gaps, i)
			delete(g.at, id)
		}
	}
}

// want notes what the operator wants of the appliance, once keep has kept it. It fails with NotFound for an appliance that nobody knows.
func (g *registry) want(id bijou.ApplianceID, state bijou.ApplianceState, keep func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, reported := g.at[id]
	if _, spoken := g.wanted[id]; !reported && !spoken {
		return fmt.Errorf("no appliance %s is known: see them with bijou appliance list: %w", id, bijou.NotFound)
	}
	if err := keep(); err != nil {
		return err
	}
	g.wanted[id] = state
	if reported {
		g.boxes[i] = boxOf(g.entries[i].report, state, g.boxes[i].seen)
	}
	return nil
}

// steer ranks the boxes for the viewing.
func (g *registry) steer(v bijou.Viewing, zone string, now time.Time) (places, left []bijou.Place) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	a := ask{
		asset: hashOf(string(v.Asset)), zone: zone, near: g.prints.near(v.Client), held: g.holders[v.Asset],
		now: now, late: g.late, hide: hideAfter,
	}
	chosen, rest := rank(g.boxes, a)
	var prior placed
	var before *box
	for i, p := range slices.Concat(chosen, rest) {
		b := &g.boxes[p.at]
		place := bijou.Place{Appliance: b.ID, Name: b.Name, Address: b.Address, Zone: b.Zone, Reason: explain(b, p, before, prior, a)}
		if i < len(chosen) {
			places = append(places, place)
		} else {
			left = append(left, place)
		}
		prior, before = p, b
	}
	return places, left
}

// zoneOf returns the box's zone.
func (g *registry) zoneOf(id bijou.ApplianceID) string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if i, ok := g.at[id]; ok {
		return g.boxes[i].Zone
	}
	return ""
}

// ordersFor returns what the registry has to say to the appliance, and what it holds.
func (g *registry) ordersFor(id bijou.ApplianceID) (o bijou.ApplianceOrders, holdings []bijou.Holding) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	o = bijou.ApplianceOrders{State: g.wantedOf(id), Known: -1}
	if i, ok := g.at[id]; ok {
		o.Known, holdings = g.entries[i].known, g.entries[i].listed
	}
	return o, holdings
}
