package pulse

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLabels bounds the values of a label: those that come first; all others are counted under rest.
const maxLabels = 50

// metrics are what monitoring systems see. No label speaks of a viewer or a title, and each has few values.
type metrics struct {
	starts     *prometheus.CounterVec
	outcomes   *prometheus.CounterVec
	takenBack  prometheus.Counter
	firstFrame prometheus.Histogram
	played     *prometheus.CounterVec
	stalled    *prometheus.CounterVec
	stalls     *prometheus.CounterVec
	viewings   prometheus.Gauge
	forgotten  prometheus.Gauge
	folded     prometheus.Gauge

	players, appliances, zones bounded
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	place := []string{"appliance", "zone"}
	m := &metrics{
		starts:    counter("bijou_pulse_starts_total", "Viewings that were asked for.", "player"),
		outcomes:  counter("bijou_pulse_start_outcomes_total", "What became of starts: succeeded, abandoned, or why they failed.", "player", "outcome"),
		takenBack: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_pulse_silence_taken_back_total", Help: "Starts counted as failed for silence of which something was heard later."}),
		firstFrame: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bijou_pulse_first_frame_seconds", Help: "Time to the first picture.", Buckets: []float64{.1, .2, .35, .5, .75, 1, 1.5, 2, 3, 5, 10, 30},
		}),
		played:    counter("bijou_pulse_played_seconds_total", "Time in which pictures moved.", place...),
		stalled:   counter("bijou_pulse_stalled_seconds_total", "Time in which players waited for data.", place...),
		stalls:    counter("bijou_pulse_stalls_total", "Times that players waited for data.", place...),
		viewings:  gauge("bijou_pulse_viewings", "Viewings that are remembered."),
		forgotten: gauge("bijou_pulse_viewings_forgotten", "Viewings forgotten before their time since the process began, because there were too many."),
		folded:    gauge("bijou_pulse_values_folded", "Values of dimensions added up as the rest since the process began, because a minute had too many."),
	}
	r.MustRegister(m.starts, m.outcomes, m.takenBack, m.firstFrame, m.played, m.stalled, m.stalls, m.viewings, m.forgotten, m.folded)
	return m
}

// count takes a change in.
func (m *metrics) count(c *change) {
	if decisive(c) {
		m.decided(c)
	}
	if c.frameMS > 0 {
		m.firstFrame.Observe(float64(c.frameMS) / 1000)
	}
	if c.n[playedMS] == 0 && c.n[stalls] == 0 {
		return
	}
	appliance, zone := m.appliances.value(c.who[byAppliance]), m.zones.value(c.who[byZone])
	if c.n[playedMS] > 0 {
		m.played.WithLabelValues(appliance, zone).Add(float64(c.n[playedMS]) / 1000)
	}
	if c.n[stalls] > 0 {
		m.stalled.WithLabelValues(appliance, zone).Add(float64(c.n[stalledMS]) / 1000)
		m.stalls.WithLabelValues(appliance, zone).Add(float64(c.n[stalls]))
	}
}

func (m *metrics) decided(c *change) {
	player := m.players.value(c.who[byPlayer])
	m.starts.WithLabelValues(player).Add(float64(c.n[starts]))
	m.outcome(player, "succeeded", c.n[succeeded])
	m.outcome(player, "abandoned", c.n[abandoned])
	for i, reason := range failures {
		m.outcome(player, reason, c.n[i])
	}
}

func (m *metrics) outcome(player, outcome string, n int64) {
	if n > 0 {
		m.outcomes.WithLabelValues(player, outcome).Add(float64(n))
	} else if n < 0 {
		m.takenBack.Add(float64(-n))
	}
}

// kept tells of the bounds, when minutes were kept. The caller holds the ledger's lock.
func (m *metrics) kept(l *ledger, parts []*part) {
	var viewings, forgotten int64
	for _, p := range parts {
		viewings += int64(len(p.fold.viewings))
		forgotten += p.fold.forgottenSoon
	}
	m.viewings.Set(float64(viewings))
	m.forgotten.Set(float64(forgotten))
	m.folded.Set(float64(l.folded))
}

// bounded lets the first values through. One worker at a time asks it.
type bounded struct{ known []string }

func (b *bounded) value(v string) string {
	if slices.Contains(b.known, v) {
		return v
	}
	if len(b.known) >= maxLabels {
		return rest
	}
	b.known = append(b.known, v)
	return v
}
