// Package steering is the room that decides which appliance serves whom: it hears how appliances are, ranks them for each viewing, and can
// say why.
package steering

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is the room's section of the configuration.
type Config struct {
	Networks    []string      `yaml:"networks" doc:"Zones of viewers, such as 192.0.2.0/24=oslo; the longest network that a viewer is in counts."`
	ReportEvery time.Duration `yaml:"report_every" doc:"How often appliances report. Three reports missed, and nobody is sent there any more."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config { return Config{ReportEvery: 2 * time.Second} }

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	if c.ReportEvery < 100*time.Millisecond || c.ReportEvery > time.Minute {
		return fmt.Errorf("report_every is %s: it must be 100ms to 1m: %w", c.ReportEvery, bijou.Invalid)
	}
	_, err := parseZones(c.Networks)
	return err
}

// zones are the networks of viewers, the longest first.
type zones []zone

type zone struct {
	network netip.Prefix
	name    string
}

func parseZones(lines []string) (zones, error) {
	var out zones
	for _, l := range lines {
		network, name, ok := strings.Cut(l, "=")
		p, err := netip.ParsePrefix(network)
		if !ok || err != nil || name == "" {
			return nil, fmt.Errorf("networks holds %q: write a network and its zone, such as 192.0.2.0/24=oslo: %w", l, bijou.Invalid)
		}
		out = append(out, zone{p.Masked(), name})
	}
	slices.SortStableFunc(out, func(a, b zone) int { return b.network.Bits() - a.network.Bits() })
	return out, nil
}

// of returns the zone of the address, or nothing.
func (z zones) of(addr netip.Addr) string {
	for _, x := range z {
		if x.network.Contains(addr) {
			return x.name
		}
	}
	return ""
}

// Deps are what the room works with.
type Deps struct {
	Titles      bijou.Titles
	Wanted      bijou.ApplianceStore
	Revocations bijou.RevocationStore
	Keys        func() [][]byte                                // Ed25519 public keys that grants are checked with
	Sign        func(bijou.Grant) (string, error)              // lets appliances fetch from each other; nil where they may not
	MayReport   func(context.Context, bijou.ApplianceID) error // refuses, as Denied, a caller who is not that appliance; nil: all are trusted
	Config      Config
	Now         func() time.Time
	Log         *slog.Logger
	Metrics     prometheus.Registerer
}

// Service knows the appliances. It implements bijou.Steering and bijou.Control.
type Service struct {
	Deps
	zones     zones
	decisions *decisions
	titles    *published
	reports   prometheus.Counter
	steered   prometheus.Counter

	mu     sync.Mutex
	boxes  map[bijou.ApplianceID]*entry
	wanted map[bijou.ApplianceID]bijou.ApplianceState // nil until it was read
	view   *view                                      // what ranking sees; nil where it has to be made anew
}

// New assembles the room.
func New(d Deps) *Service {
	z, err := parseZones(d.Config.Networks)
	if err != nil {
		panic("steering: " + err.Error()) // Config.Check was not asked: a defect of the program
	}
	s := &Service{
		Deps: d, zones: z, decisions: newDecisions(), boxes: map[bijou.ApplianceID]*entry{},
		titles:  &published{titles: d.Titles, now: d.Now, kept: map[bijou.TitleID]answer{}},
		reports: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_steering_reports_total", Help: "Reports of appliances taken in."}),
		steered: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_steering_decisions_total", Help: "Viewings that appliances were chosen for."}),
	}
	d.Metrics.MustRegister(s.reports, s.steered, &states{s})
	return s
}

// Steer implements bijou.Steering.
func (s *Service) Steer(ctx context.Context, v bijou.Viewing) (bijou.Decision, error) {
	seen, err := s.look(ctx)
	if err != nil {
		return bijou.Decision{}, err
	}
	v.Client = v.Client.Unmap()
	holders := seen.holders[v.Asset]
	a := ask{asset: hashOf(string(v.Asset)), client: v.Client, zone: s.zones.of(v.Client)}
	chosen, left := rank(seen.boxes, func(i int) contents { return holders[i] }, a)
	if len(chosen) == 0 {
		return bijou.Decision{}, fmt.Errorf("no appliance is there to play %s from: start one with bijou run appliance, or see bijou appliance list: %w", v.Title, bijou.Unavailable)
	}
	d := bijou.Decision{Viewing: v, At: s.Now().UTC()}
	for i, p := range append(slices.Clone(chosen), left...) {
		b := &seen.boxes[p.at]
		place := bijou.Place{Appliance: b.ID, Name: b.Name, Address: b.Address, Zone: b.Zone}
		if i == 0 {
			place.Reason = explain(b, p, nil, placed{})
		} else {
			prior := append(slices.Clone(chosen), left...)[i-1]
			place.Reason = explain(b, p, &seen.boxes[prior.at], prior)
		}
		if i < len(chosen) {
			d.Places = append(d.Places, place)
		} else {
			d.Left = append(d.Left, place)
		}
	}
	s.steered.Inc()
	s.decisions.keep(d)
	return d, nil
}

// Why returns the latest decision for a viewing. It fails with NotFound for one that is unknown or too long ago.
func (s *Service) Why(_ context.Context, in OneSession) (bijou.Decision, error) {
	if err := bijou.CheckID(in.Session, bijou.SessionPrefix); err != nil {
		return bijou.Decision{}, err
	}
	d, ok := s.decisions.of(in.Session)
	if !ok {
		return d, fmt.Errorf("nothing is known of viewing %s: it was not steered since the service started, or %d others were since: %w", in.Session, maxDecisions, bijou.NotFound)
	}
	return d, nil
}

// published tells which titles are gone, asking the catalogue about each at most once per titleAge.
type published struct {
	titles bijou.Titles
	now    func() time.Time

	mu   sync.Mutex
	kept map[bijou.TitleID]answer
}

type answer struct {
	gone bool
	at   time.Time
}

const (
	// titleAge is how long an answer of the catalogue counts. With the time between two reports it bounds how long a removed title is served.
	titleAge = 4 * time.Second
	// maxTitles bounds the answers that are kept.
	maxTitles = 100_000
)

// gone tells whether the catalogue says that the title is not published. Where it says nothing, nothing is gone.
func (p *published) gone(ctx context.Context, id bijou.TitleID) bool {
	now := p.now()
	p.mu.Lock()
	a, ok := p.kept[id]
	p.mu.Unlock()
	if ok && now.Sub(a.at) < titleAge {
		return a.gone
	}
	_, err := p.titles.PublishedTitle(ctx, id)
	if err != nil && !errors.Is(err, bijou.NotFound) {
		return ok && a.gone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= maxTitles {
		clear(p.kept)
	}
	p.kept[id] = answer{err != nil, now}
	return err != nil
}
