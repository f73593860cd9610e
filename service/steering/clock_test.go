package steering

import (
	"fmt"
	"testing"
	"time"

	"bijou"

	"pgregory.net/rapid"
)

func TestAClockThatJumpsHidesNoBoxThatReports(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g, now := newRegistry(late), noon
		for range rapid.IntRange(1, 30).Draw(r, "reports") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, -time.Second, late, -time.Hour, forgetAfter, 87_600 * time.Hour, -87_600 * time.Hour}).Draw(r, "step"))
			id := bijou.ApplianceID(fmt.Sprint("apl_", rapid.IntRange(0, 3).Draw(r, "box")))
			report := bijou.ApplianceReport{
				Appliance: bijou.Appliance{ID: id, Address: "http://" + string(id), Zone: "z"}, State: bijou.ApplianceServing, Listed: true,
				Holdings: []bijou.Holding{{Asset: "ast_a", Complete: rapid.Bool().Draw(r, "complete")}},
			}
			if _, err := g.take(report, now); err != nil {
				r.Fatal(err)
			}
			places, _ := g.steer(bijou.Viewing{Asset: "ast_a"}, "z", now)
			if len(places) == 0 {
				r.Fatalf("nobody serves right after %s reported", id)
			}
			usable := false
			for _, s := range g.list(now) {
				usable = usable || s.Appliance.ID == id && s.Usable
			}
			if !usable {
				r.Fatalf("%s is not usable right after it reported", id)
			}
			if n := g.count(now)["usable"]; n < 1 {
				r.Fatalf("%v boxes are usable right after one reported", n)
			}
			g.offers(id, now)
		}
		g.forget(now.Add(2 * forgetAfter))
		if len(g.boxes)-len(g.gaps) != len(g.at) {
			r.Fatalf("%d boxes, %d gaps and %d in the index", len(g.boxes), len(g.gaps), len(g.at))
		}
	})
}
