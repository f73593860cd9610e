package steering

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// contentsOf returns what the registry would tell ranking of an asset, by name of box.
func contentsOf(g *registry, asset bijou.AssetID) map[bijou.ApplianceID]contents {
	out := map[bijou.ApplianceID]contents{}
	for _, h := range g.holders[asset] {
		out[g.boxes[h.box].ID] = h.has
	}
	return out
}

func TestWhatIsHeldIsWhatWasReportedLast(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := newRegistry(late)
		assets := []bijou.AssetID{"ast_a", "ast_b", "ast_c", "ast_d"}
		model, seen, now := map[bijou.ApplianceID]map[bijou.AssetID]contents{}, map[bijou.ApplianceID]time.Time{}, noon
		for range rapid.IntRange(1, 30).Draw(r, "reports") {
			if rapid.IntRange(0, 9).Draw(r, "pause") == 0 {
				now = now.Add(forgetAfter/2 + time.Second)
			}
			id := bijou.ApplianceID(fmt.Sprint("apl_", rapid.IntRange(0, 3).Draw(r, "box")))
			report := bijou.ApplianceReport{Appliance: bijou.Appliance{ID: id}, Listed: rapid.Bool().Draw(r, "listed")}
			if _, known := model[id]; !known {
				for other, at := range seen {
					if now.Sub(at) > forgetAfter {
						delete(model, other)
						delete(seen, other)
					}
				}
				model[id] = nil
			}
			if report.Listed {
				has := map[bijou.AssetID]contents{}
				for range rapid.IntRange(0, 6).Draw(r, "holdings") {
					h := bijou.Holding{Asset: rapid.SampledFrom(assets).Draw(r, "asset"), Complete: rapid.Bool().Draw(r, "complete")}
					report.Holdings = append(report.Holdings, h)
					has[h.Asset] = part
					if h.Complete {
						has[h.Asset] = whole
					}
				}
				model[id] = has
			}
			seen[id] = now
			if _, err := g.take(report, now); err != nil {
				r.Fatal(err)
			}
		}
		total := 0
		for _, asset := range assets {
			want := map[bijou.ApplianceID]contents{}
			for id, has := range model {
				if c := has[asset]; c != nothing {
					want[id] = c
				}
			}
			total += len(want)
			if diff := cmp.Diff(want, contentsOf(g, asset)); diff != "" {
				r.Errorf("holders of %s (-want +got):\n%s", asset, diff)
			}
		}
		if g.total != total || len(g.at) != len(model) || len(g.at)+len(g.gaps) != len(g.boxes) {
			r.Errorf("got %d holdings of %d boxes and %d gaps among %d, want %d of %d", g.total, len(g.at), len(g.gaps), len(g.boxes), total, len(model))
		}
	})
}

func TestThereIsRoomForSoManyAppliancesAndNoMore(t *testing.T) {
	g := newRegistry(late)
	report := func(i int, now time.Time) error {
		_, err := g.take(bijou.ApplianceReport{Appliance: bijou.Appliance{ID: bijou.ApplianceID(fmt.Sprint("apl_", i))}}, now)
		return err
	}
	for i := range maxBoxes {
		if err := report(i, noon); err != nil {
			t.Fatalf("appliance %d: %v", i, err)
		}
	}
	if err := report(maxBoxes, noon); bijou.KindOf(err) != bijou.Exhausted {
		t.Errorf("one more: got %v, want Exhausted", err)
	}
	if err := report(7, noon); err != nil {
		t.Errorf("one that is known: got %v", err)
	}
	if err := report(maxBoxes, noon.Add(forgetAfter+time.Second)); err != nil {
		t.Errorf("after the others said nothing for a day: got %v", err)
	}
}

func TestOfManyDecisionsTheLatestAreKept(t *testing.T) {
	d := newDecisions()
	decide := func(i, n int) {
		d.keep(bijou.Decision{Viewing: bijou.Viewing{Session: bijou.SessionID(fmt.Sprint("ply_", i))}, Places: make([]bijou.Place, n)})
	}
	for i := range maxDecisions {
		decide(i, 1)
	}
	decide(0, 2) // asked about again: it is among the latest now
	decide(maxDecisions, 3)
	for i, want := range map[int]int{0: 2, 1: 0, 2: 1, maxDecisions: 3} {
		if got, _ := d.of(bijou.SessionID(fmt.Sprint("ply_", i))); len(got.Places) != want {
			t.Errorf("decision of ply_%d: got %d places, want %d", i, len(got.Places), want)
		}
	}
	if n := len(d.kept); n != maxDecisions {
		t.Errorf("got %d decisions, want %d", n, maxDecisions)
	}
}

func whole1(ids ...bijou.AssetID) (out []bijou.Holding) {
	for _, id := range ids {
		out = append(out, bijou.Holding{Asset: id, Title: "ttl_x", Complete: true})
	}
	return out
}

func TestAnApplianceIsOfferedWhatItMissesByThoseOfItsZoneFirst(t *testing.T) {
	g := newRegistry(late)
	take := func(k sketch, address string, holdings ...bijou.Holding) {
		r := k.report()
		r.Appliance.Address, r.Listed, r.Holdings = address, true, holdings
		if _, err := g.take(r, noon.Add(-k.silent)); err != nil {
			t.Fatal(err)
		}
	}
	take(sketch{id: "me", zone: "north"}, "http://me", append(whole1("ast_mine"), bijou.Holding{Asset: "ast_half"})...)
	take(sketch{id: "far", zone: "south"}, "http://far", whole1("ast_mine", "ast_half", "ast_far")...)
	take(sketch{id: "near", zone: "north"}, "http://near", append(whole1("ast_half"), bijou.Holding{Asset: "ast_far"})...)
	take(sketch{id: "full", zone: "north", load: 1}, "http://full", whole1("ast_other")...)
	take(sketch{id: "silent", zone: "north", silent: time.Minute}, "http://silent", whole1("ast_other")...)
	take(sketch{id: "vague", zone: "north"}, "http://*:8081", whole1("ast_other")...)
	take(sketch{id: "same", zone: "north"}, "http://same", whole1("ast_mine")...)
	var got []string
	for _, o := range g.offers("apl_me", noon) {
		line := string(o.peer.ID)
		for _, h := range o.holdings {
			line += " " + string(h.Asset)
		}
		got = append(got, line)
	}
	if want := []string{"apl_near ast_half", "apl_far ast_half ast_far"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOffersAreBounded(t *testing.T) {
	g := newRegistry(late)
	var many []bijou.AssetID
	for i := range 3 * maxPeerAssets {
		many = append(many, bijou.AssetID(fmt.Sprintf("ast_%d", i)))
	}
	for i := range 3 * maxPeers {
		r := sketch{id: fmt.Sprint("b", i)}.report()
		if i > 0 {
			r.Listed, r.Holdings = true, whole1(many...)
		}
		if _, err := g.take(r, noon); err != nil {
			t.Fatal(err)
		}
	}
	offers, times := g.offers("apl_b0", noon), map[bijou.AssetID]int{}
	for _, o := range offers {
		if len(o.holdings) > maxPeerAssets {
			t.Errorf("%s offers %d assets, want at most %d", o.peer.ID, len(o.holdings), maxPeerAssets)
		}
		for _, h := range o.holdings {
			times[h.Asset]++
		}
	}
	if len(offers) == 0 || len(offers) > maxPeers {
		t.Errorf("got %d peers, want 1 to %d", len(offers), maxPeers)
	}
	for asset, n := range times {
		if n > peersPerAsset {
			t.Errorf("%s is offered by %d, want at most %d", asset, n, peersPerAsset)
		}
	}
}

func TestAnAppliancesZoneIsTheOneThatItReportedLast(t *testing.T) {
	g := newRegistry(late)
	check := func(id bijou.ApplianceID, want string) {
		t.Helper()
		if got := g.zoneOf(id); got != want {
			t.Errorf("zone of %q: got %q, want %q", id, got, want)
		}
	}
	for _, zone := range []string{"oslo", "bergen"} {
		if _, err := g.take(bijou.ApplianceReport{Appliance: bijou.Appliance{ID: "apl_1", Zone: zone}}, noon); err != nil {
			t.Fatal(err)
		}
		check("apl_1", zone)
	}
	check("apl_2", "")
	check("", "")
}
