// Package steering is the room that decides which appliance serves whom: it hears how appliances are, ranks them for each viewing, and can
// say why.
package steering

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"bijou"
	"bijou/kit/conf"

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
	var wrong conf.Errors
	wrong.Add(c.ReportEvery >= 100*time.Millisecond && c.ReportEvery <= time.Minute, "report_every is %s: it must be 100ms to 1m", c.ReportEvery)
	_, err := parseZones(c.Networks)
	wrong.Note(err)
	return wrong.Err()
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
	boxes     *registry
	fills     *fills
	decisions *decisions
	titles    *published
	reports   *prometheus.CounterVec
	steered   *prometheus.CounterVec
}

// New assembles the room.
func New(d Deps) *Service {
	z, err := parseZones(d.Config.Networks)
	if err != nil {
		panic("steering: " + err.Error()) // Config.Check was not asked: a defect of the program
	}
	s := &Service{
		Deps: d, zones: z, boxes: newRegistry(lateReports * d.Config.ReportEvery), fills: &fills{kept: map[fill]fillGrant{}}, decisions: newDecisions(),
		titles:  &published{titles: d.Titles, now: d.Now, kept: map[bijou.TitleID]answer{}},
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bijou_steering_reports_total", Help: "Reports of appliances: taken, refused, or failed because a part that is needed does not answer."}, []string{"result"}),
		steered: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bijou_steering_decisions_total", Help: "Viewings that appliances were asked for, by whether two or more were named, one, or none."}, []string{"result"}),
	}
	d.Metrics.MustRegister(s.reports, s.steered, &conditions{s})
	return s
}

// Steer implements bijou.Steering.
func (s *Service) Steer(ctx context.Context, v bijou.Viewing) (bijou.Decision, error) {
	if err := s.boxes.read(ctx, s.Wanted); err != nil {
		return bijou.Decision{}, err
	}
	v.Client = plain(v.Client)
	d := bijou.Decision{Viewing: v, At: s.Now().UTC()}
	d.Places, d.Left = s.boxes.steer(v, s.zones.of(v.Client), d.At)
	switch len(d.Places) {
	case 0:
		s.steered.WithLabelValues("none").Inc()
		return bijou.Decision{}, fmt.Errorf("no appliance is there to play %s from: start one with bijou run appliance, or see bijou appliance list: %w", v.Title, bijou.Unavailable)
	case 1:
		s.steered.WithLabelValues("one").Inc()
	default:
		s.steered.WithLabelValues("two").Inc()
	}
	s.decisions.keep(d)
	return d, nil
}

// ZoneOf implements bijou.Zones.
func (s *Service) ZoneOf(id bijou.ApplianceID) string { return s.boxes.zoneOf(id) }

// Report implements bijou.Control.
func (s *Service) Report(ctx context.Context, r bijou.ApplianceReport) (bijou.ApplianceOrders, error) {
	o, err := s.report(ctx, r)
	switch bijou.KindOf(err) {
	case "":
		if err == nil {
			s.reports.WithLabelValues("taken").Inc()
			break
		}
		fallthrough
	case bijou.Unavailable:
		s.reports.WithLabelValues("failed").Inc()
	default:
		s.reports.WithLabelValues("refused").Inc()
	}
	return o, err
}

func (s *Service) report(ctx context.Context, r bijou.ApplianceReport) (o bijou.ApplianceOrders, err error) {
	if err := checkReport(r); err != nil {
		return o, err
	}
	if s.MayReport != nil {
		if err := s.MayReport(ctx, r.Appliance.ID); err != nil {
			return o, err
		}
	}
	if err := s.boxes.read(ctx, s.Wanted); err != nil {
		return o, err
	}
	now := s.Now()
	joined, err := s.boxes.take(r, now)
	if err != nil {
		return o, err
	}
	if joined {
		s.Log.Info("appliance joins", "appliance", r.Appliance.ID, "name", r.Appliance.Name, "address", r.Appliance.Address)
	}
	o, held := s.boxes.ordersFor(r.Appliance.ID)
	o.Keys, o.EveryMS = s.Keys(), s.Config.ReportEvery.Milliseconds()
	// An appliance that hears of no revocations believes that there are none: where they cannot be read, it is to hear nothing.
	if o.Revoked, err = s.Revocations.Revocations(ctx, now); err != nil {
		return bijou.ApplianceOrders{}, err
	}
	if s.Sign != nil {
		o.Peers = s.peers(s.boxes.offers(r.Appliance.ID, now), now)
	}
	o.Gone = s.titles.gone(ctx, held)
	return o, nil
}

// checkReport refuses, as Invalid, what no appliance reports. Of what came by way of kit/rpc it finds nothing new but a bad description.
func checkReport(r bijou.ApplianceReport) error {
	if err := r.Appliance.Check(); err != nil {
		return err
	}
	if err := checkState(r.State); err != nil {
		return fmt.Errorf("appliance %s: %w", r.Appliance.ID, err)
	}
	if len(r.Holdings) > bijou.MaxHoldings || len(r.Appliance.Networks) > maxNetworks {
		return fmt.Errorf("appliance %s tells of %d holdings and %d networks: at most %d and %d are taken: %w",
			r.Appliance.ID, len(r.Holdings), len(r.Appliance.Networks), bijou.MaxHoldings, maxNetworks, bijou.Invalid)
	}
	return nil
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

// gone returns the assets whose title the catalogue says is not published, in order. Where it says nothing, its last answer counts, and a title
// that it never answered about is not gone.
func (p *published) gone(ctx context.Context, holdings []bijou.Holding) (out []bijou.AssetID) {
	now, silent := p.now(), false
	for _, h := range holdings {
		if h.Title == "" {
			continue
		}
		a, known := p.last(h.Title)
		if !silent && (!known || now.Sub(a.at) >= titleAge) {
			_, err := p.titles.PublishedTitle(ctx, h.Title)
			if silent = err != nil && !errors.Is(err, bijou.NotFound); !silent { // one that does not answer is not asked about all the others
				a = answer{err != nil, now}
				p.keep(h.Title, a)
			}
		}
		if a.gone {
			out = append(out, h.Asset)
		}
	}
	slices.Sort(out)
	return out
}

func (p *published) last(id bijou.TitleID) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, known := p.kept[id]
	return a, known
}

func (p *published) keep(id bijou.TitleID, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= maxTitles {
		clear(p.kept)
	}
	p.kept[id] = a
}
