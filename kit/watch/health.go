package watch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"bijou/kit/run"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what a process knows of its parts. A run.Group does.
type Health interface {
	// Ready tells whether all parts are ready and none is stopping.
	Ready() bool
	// States returns where each part stands.
	States() []run.PartState
}

// Need is something that a process works with and does not hold itself, such as a database.
type Need struct {
	Name, State string
	Degraded    bool // it cannot be used, and what needs it fails
}

// Pages answers what machines ask of a process:
//
//	/livez    200 as long as the process answers at all. It checks nothing: who restarts a process because a neighbour is down makes it worse.
//	/readyz   200 while the process can take work, 503 while it starts or stops; ?verbose lists its parts and its needs. A need that is degraded
//	          is said, and is no reason for 503: what does not need it works, and another process would be no better off
//	/metrics  the metrics, for Prometheus
//
// Register it for these three paths.
func Pages(h Health, metrics prometheus.Gatherer, needs func() []Need) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, h, needs()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func ready(w http.ResponseWriter, r *http.Request, h Health, needs []Need) {
	status, text := http.StatusOK, "ready\n"
	switch {
	case !h.Ready():
		status, text = http.StatusServiceUnavailable, "not ready\n"
	case slices.ContainsFunc(needs, func(n Need) bool { return n.Degraded }):
		text = "ready, degraded\n"
	}
	if r.URL.Query().Has("verbose") {
		var b strings.Builder
		for _, s := range h.States() {
			fmt.Fprintf(&b, "%s: %s\n", s.Name, s.State)
		}
		for _, n := range needs {
			fmt.Fprintf(&b, "%s: %s\n", n.Name, n.State)
		}
		text = b.String() + text
	}
	plain(w, status, text)
}

// WatchNeeds counts the needs in the metrics by whether they can be used.
func WatchNeeds(m *Metrics, needs func() []Need) { m.MustRegister(needsCollector(needs)) }

type needsCollector func() []Need

var needDesc = prometheus.NewDesc("bijou_need_up", "Whether something that the process works with and does not hold itself can be used.", []string{"need"}, nil)

// Describe implements prometheus.Collector.
func (needsCollector) Describe(ch chan<- *prometheus.Desc) { ch <- needDesc }

// Collect implements prometheus.Collector.
func (c needsCollector) Collect(ch chan<- prometheus.Metric) {
	for _, n := range c() {
		up := 1.0
		if n.Degraded {
			up = 0
		}
		ch <- prometheus.MustNewConstMetric(needDesc, prometheus.GaugeValue, up, n.Name)
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may have gone; nobody is left to tell
}
