package watch

import (
	"fmt"
	"net/http"
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

// Pages answers what machines ask of a process:
//
//	/livez    200 as long as the process answers at all. It checks nothing: who restarts a process because a neighbour is down makes it worse.
//	/readyz   200 while the process can take work, 503 while it starts or stops; ?verbose lists its parts
//	/metrics  the metrics, for Prometheus
//
// Register it for these three paths.
func Pages(h Health, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, h) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func ready(w http.ResponseWriter, r *http.Request, h Health) {
	status, text := http.StatusOK, "ready\n"
	if !h.Ready() {
		status, text = http.StatusServiceUnavailable, "not ready\n"
	}
	if r.URL.Query().Has("verbose") {
		var b strings.Builder
		for _, s := range h.States() {
			fmt.Fprintf(&b, "%s: %s\n", s.Name, s.State)
		}
		text = b.String() + text
	}
	plain(w, status, text)
}

func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may have gone; nobody is left to tell
}
