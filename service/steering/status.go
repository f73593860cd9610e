package steering

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is an appliance as an operator sees it.
type Status struct {
	Appliance bijou.Appliance      `json:"appliance"`
	Wanted    bijou.ApplianceState `json:"wanted" doc:"What the operator wants it to do."`
	State     bijou.ApplianceState `json:"state" doc:"What it says that it does."`
	Usable    bool                 `json:"usable"`
	Reason    string               `json:"reason,omitempty" doc:"Why nobody is sent to it."`
	Load      bijou.ApplianceLoad  `json:"load"`
	Assets    int                  `json:"assets" doc:"That it has files of."`
	HeldBytes int64                `json:"held_bytes"`
	CapBytes  int64                `json:"cap_bytes"`
	Corrupt   int64                `json:"corrupt" doc:"Files found corrupt since it started."`
	SilentMS  int64                `json:"silent_ms" doc:"Time since its last report, in milliseconds."`
}

// List returns all appliances that are known, in order of name.
func (s *Service) List(ctx context.Context, _ struct{}) (Appliances, error) {
	if err := s.boxes.read(ctx, s.Wanted); err != nil {
		return Appliances{}, err
	}
	return Appliances{Appliances: s.boxes.list(s.Now())}, nil
}

func (g *registry) list(now time.Time) []Status {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := []Status{}
	for id, i := range g.at {
		b, e := &g.boxes[i], &g.entries[i]
		silent := now.Sub(b.seen)
		if silent > forgetAfter {
			continue
		}
		why := unusable(b, now, g.late)
		out = append(out, Status{
			Appliance: e.report.Appliance, Wanted: g.wantedOf(id), State: e.report.State, Usable: why == "", Reason: why, Load: e.report.Load,
			Assets: len(e.has), HeldBytes: e.report.HeldBytes, CapBytes: e.report.CapBytes, Corrupt: e.report.Corrupt, SilentMS: silent.Milliseconds(),
		})
	}
	slices.SortFunc(out, func(a, b Status) int {
		return strings.Compare(a.Appliance.Name+" "+string(a.Appliance.ID), b.Appliance.Name+" "+string(b.Appliance.ID))
	})
	return out
}

// SetState says what the operator wants the appliance to do; it does so with its next report. It fails with NotFound for an appliance that never reported.
func (s *Service) SetState(ctx context.Context, in NewState) (struct{}, error) {
	if err := bijou.CheckID(in.ID, bijou.AppliancePrefix); err != nil {
		return struct{}{}, err
	}
	if err := checkState(in.State); err != nil {
		return struct{}{}, err
	}
	if err := s.boxes.read(ctx, s.Wanted); err != nil {
		return struct{}{}, err
	}
	err := s.boxes.want(in.ID, in.State, func() error { return s.Wanted.WantAppliance(ctx, in.ID, in.State) })
	if err == nil {
		s.Log.Info("operator changes an appliance", "appliance", in.ID, "state", in.State)
	}
	return struct{}{}, err
}

func checkState(s bijou.ApplianceState) error {
	switch s {
	case bijou.ApplianceServing, bijou.ApplianceDraining, bijou.AppliancePaused, bijou.ApplianceDropped:
		return nil
	}
	return fmt.Errorf("state %.40q is none of serving, draining, paused, dropped: %w", s, bijou.Invalid)
}

// conditions counts appliances by how they are.
type conditions struct{ s *Service }

var boxesDesc = prometheus.NewDesc("bijou_steering_appliances",
	"Appliances that are known, by condition: usable, or why no viewer is sent to them (draining, paused, dropped, silent, faulty, full).", []string{"condition"}, nil)

// Describe implements prometheus.Collector.
func (c *conditions) Describe(ch chan<- *prometheus.Desc) { ch <- boxesDesc }

// Collect implements prometheus.Collector.
func (c *conditions) Collect(ch chan<- prometheus.Metric) {
	for condition, n := range c.s.boxes.count(c.s.Now()) {
		ch <- prometheus.MustNewConstMetric(boxesDesc, prometheus.GaugeValue, n, condition)
	}
}

func (g *registry) count(now time.Time) map[string]float64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := map[string]float64{"usable": 0, "draining": 0, "paused": 0, "dropped": 0, "silent": 0, "faulty": 0, "full": 0}
	for id, i := range g.at {
		if now.Sub(g.boxes[i].seen) <= forgetAfter {
			out[g.boxes[i].condition(now, g.late, gravest(g.wantedOf(id), g.entries[i].report.State))]++
		}
	}
	return out
}
