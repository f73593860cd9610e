package steering

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// hideAfter is how long a box that says nothing is named at all, and forgetAfter how long it is listed.
	hideAfter   = 10 * time.Minute
	forgetAfter = 24 * time.Hour
	// maxBoxes bounds the appliances of one service.
	maxBoxes = 10_000
	// maxPeers and maxPeerAssets bound what one appliance is told of others.
	maxPeers      = 8
	maxPeerAssets = 200
	// fillTerm is how long a grant between appliances lasts, and fillAge how long one is handed out again.
	fillTerm = 10 * time.Minute
	fillAge  = 5 * time.Minute
)

// entry is what is known of an appliance.
type entry struct {
	report   bijou.ApplianceReport // without its holdings
	holdings map[bijou.AssetID]bijou.Holding
	known    int64 // their version
	seen     time.Time
	grants   map[bijou.AssetID]fillGrant // to fetch from it
}

type fillGrant struct {
	token string
	at    time.Time
}

// view is what ranking sees: made when something changed, and read by many.
type view struct {
	boxes   []box
	holders map[bijou.AssetID]map[int]contents
	made    time.Time
}

// viewAge is how long a view may be out of date in what changes all the time: loads, and who has not reported.
const viewAge = 200 * time.Millisecond

// look returns the view of this moment.
func (s *Service) look(ctx context.Context) (*view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readWanted(ctx); err != nil {
		return nil, err
	}
	now := s.Now()
	if v := s.view; v != nil && now.Sub(v.made) < viewAge {
		return v, nil
	}
	v := &view{holders: map[bijou.AssetID]map[int]contents{}, made: now}
	ids := make([]bijou.ApplianceID, 0, len(s.boxes))
	for id := range s.boxes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		e := s.boxes[id]
		if now.Sub(e.seen) > hideAfter {
			continue
		}
		wanted := s.wantedOf(id)
		v.boxes = append(v.boxes, box{
			Appliance: e.report.Appliance, load: loadOf(e.report), seed: hashOf(string(id)),
			unusable: usability(e.report, wanted, e.seen, now, s.Config.ReportEvery),
			hidden:   wanted == bijou.AppliancePaused || wanted == bijou.ApplianceDropped,
		})
		for asset, h := range e.holdings {
			if v.holders[asset] == nil {
				v.holders[asset] = map[int]contents{}
			}
			v.holders[asset][len(v.boxes)-1] = part
			if h.Complete {
				v.holders[asset][len(v.boxes)-1] = whole
			}
		}
	}
	s.view = v
	return v, nil
}

// readWanted reads what operators want, once. The lock is held.
func (s *Service) readWanted(ctx context.Context) error {
	if s.wanted != nil {
		return nil
	}
	w, err := s.Wanted.WantedAppliances(ctx)
	if err != nil {
		return err
	}
	s.wanted = w
	return nil
}

func (s *Service) wantedOf(id bijou.ApplianceID) bijou.ApplianceState {
	if w, ok := s.wanted[id]; ok {
		return w
	}
	return bijou.ApplianceServing
}

// Report implements bijou.Control.
func (s *Service) Report(ctx context.Context, r bijou.ApplianceReport) (bijou.ApplianceOrders, error) {
	if err := r.Appliance.Check(); err != nil {
		return bijou.ApplianceOrders{}, err
	}
	if s.MayReport != nil {
		if err := s.MayReport(ctx, r.Appliance.ID); err != nil {
			return bijou.ApplianceOrders{}, err
		}
	}
	revoked, err := s.Revocations.Revocations(ctx, s.Now())
	if err != nil {
		return bijou.ApplianceOrders{}, err
	}
	o := bijou.ApplianceOrders{Keys: s.Keys(), Revoked: revoked, EveryMS: s.Config.ReportEvery.Milliseconds()}
	held, err := s.take(ctx, r, &o)
	if err != nil {
		return o, err
	}
	s.reports.Inc()
	for _, h := range held {
		if h.Title != "" && s.titles.gone(ctx, h.Title) {
			o.Gone = append(o.Gone, h.Asset)
		}
	}
	slices.Sort(o.Gone)
	return o, nil
}

// take notes the report, fills in what the orders say of it, and returns what the appliance holds.
func (s *Service) take(ctx context.Context, r bijou.ApplianceReport, o *bijou.ApplianceOrders) (held []bijou.Holding, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readWanted(ctx); err != nil {
		return nil, err
	}
	id, now := r.Appliance.ID, s.Now()
	e := s.boxes[id]
	if e == nil {
		s.forget(now)
		if len(s.boxes) >= maxBoxes {
			return nil, fmt.Errorf("appliance %s: the service knows %d already: drop some that are gone: %w", id, maxBoxes, bijou.Exhausted)
		}
		e = &entry{grants: map[bijou.AssetID]fillGrant{}, known: -1} // it has to tell what it holds
		s.boxes[id] = e
		s.Log.Info("appliance joins", "appliance", id, "name", r.Appliance.Name, "address", r.Appliance.Address)
	}
	if r.Listed {
		e.holdings = make(map[bijou.AssetID]bijou.Holding, len(r.Holdings))
		for _, h := range r.Holdings {
			e.holdings[h.Asset] = h
		}
		e.known = r.Version
	}
	r.Listed, r.Holdings = false, nil
	e.report, e.seen = r, now
	s.view = nil
	o.State, o.Known = s.wantedOf(id), e.known
	o.Peers = s.peersOf(id, e, now)
	for _, h := range e.holdings {
		held = append(held, h)
	}
	return held, nil
}

// forget removes what has said nothing for long. The lock is held.
func (s *Service) forget(now time.Time) {
	for id, e := range s.boxes {
		if now.Sub(e.seen) > forgetAfter {
			delete(s.boxes, id)
		}
	}
}

// peersOf returns the appliances that this one can fetch from: usable ones with an address that means the same everywhere, those of its own
// zone first. The lock is held.
func (s *Service) peersOf(id bijou.ApplianceID, e *entry, now time.Time) (out []bijou.Peer) {
	if s.Sign == nil {
		return nil
	}
	var ids []bijou.ApplianceID
	for other, o := range s.boxes {
		if other != id && !strings.Contains(o.report.Appliance.Address, "//*") && usability(o.report, s.wantedOf(other), o.seen, now, s.Config.ReportEvery) == "" {
			ids = append(ids, other)
		}
	}
	slices.SortFunc(ids, func(a, b bijou.ApplianceID) int {
		if near := s.boxes[a].report.Appliance.Zone == e.report.Appliance.Zone; near != (s.boxes[b].report.Appliance.Zone == e.report.Appliance.Zone) {
			if near {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a), string(b))
	})
	for _, other := range ids[:min(len(ids), maxPeers)] {
		o := s.boxes[other]
		p := bijou.Peer{ID: other, Address: o.report.Appliance.Address, Zone: o.report.Appliance.Zone, Grants: map[bijou.AssetID]string{}}
		for asset, h := range o.holdings {
			if h.Complete && !e.holdings[asset].Complete && len(p.Grants) < maxPeerAssets {
				if token, err := s.fillGrant(o, h, now); err == nil {
					p.Grants[asset] = token
				} else {
					s.Log.Warn("appliance cannot be let fetch from another", "asset", asset, "error", err)
				}
			}
		}
		if len(p.Grants) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// fillGrant returns a grant by which other appliances fetch the asset from this one.
func (s *Service) fillGrant(e *entry, h bijou.Holding, now time.Time) (string, error) {
	if g, ok := e.grants[h.Asset]; ok && now.Sub(g.at) < fillAge {
		return g.token, nil
	}
	token, err := s.Sign(bijou.Grant{
		Session: bijou.NewID[bijou.SessionID](bijou.SessionPrefix), Title: h.Title, Asset: h.Asset, Expires: now.Add(fillTerm),
	})
	if err == nil {
		if len(e.grants) > bijou.MaxHoldings {
			clear(e.grants)
		}
		e.grants[h.Asset] = fillGrant{token, now}
	}
	return token, err
}

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
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readWanted(ctx); err != nil {
		return Appliances{}, err
	}
	now := s.Now()
	s.forget(now)
	out := Appliances{Appliances: []Status{}}
	for id, e := range s.boxes {
		why := usability(e.report, s.wantedOf(id), e.seen, now, s.Config.ReportEvery)
		out.Appliances = append(out.Appliances, Status{
			Appliance: e.report.Appliance, Wanted: s.wantedOf(id), State: e.report.State, Usable: why == "", Reason: why, Load: e.report.Load,
			Assets: len(e.holdings), HeldBytes: e.report.HeldBytes, CapBytes: e.report.CapBytes, Corrupt: e.report.Corrupt, SilentMS: now.Sub(e.seen).Milliseconds(),
		})
	}
	slices.SortFunc(out.Appliances, func(a, b Status) int {
		return strings.Compare(a.Appliance.Name+" "+string(a.Appliance.ID), b.Appliance.Name+" "+string(b.Appliance.ID))
	})
	return out, nil
}

// SetState says what the operator wants the appliance to do; it does so with its next report. It fails with NotFound for an appliance that never reported.
func (s *Service) SetState(ctx context.Context, in NewState) (struct{}, error) {
	if err := bijou.CheckID(in.ID, bijou.AppliancePrefix); err != nil {
		return struct{}{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readWanted(ctx); err != nil {
		return struct{}{}, err
	}
	_, reported := s.boxes[in.ID]
	_, spoken := s.wanted[in.ID]
	if !reported && !spoken {
		return struct{}{}, fmt.Errorf("no appliance %s is known: see them with bijou appliance list: %w", in.ID, bijou.NotFound)
	}
	if err := s.Wanted.WantAppliance(ctx, in.ID, in.State); err != nil {
		return struct{}{}, err
	}
	s.wanted[in.ID] = in.State
	s.view = nil
	s.Log.Info("operator changes an appliance", "appliance", in.ID, "state", in.State)
	return struct{}{}, nil
}

// states counts appliances by whether anybody is sent to them.
type states struct{ s *Service }

var boxesDesc = prometheus.NewDesc("bijou_steering_appliances", "Appliances that are known, by whether viewers are sent to them.", []string{"usable"}, nil)

// Describe implements prometheus.Collector.
func (c *states) Describe(ch chan<- *prometheus.Desc) { ch <- boxesDesc }

// Collect implements prometheus.Collector.
func (c *states) Collect(ch chan<- prometheus.Metric) {
	list, err := c.s.List(context.Background(), struct{}{})
	if err != nil && !errors.Is(err, context.Canceled) {
		ch <- prometheus.NewInvalidMetric(boxesDesc, err)
		return
	}
	count := map[string]float64{"yes": 0, "no": 0}
	for _, a := range list.Appliances {
		if a.Usable {
			count["yes"]++
		} else {
			count["no"]++
		}
	}
	for usable, n := range count {
		ch <- prometheus.MustNewConstMetric(boxesDesc, prometheus.GaugeValue, n, usable)
	}
}
