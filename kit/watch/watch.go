// Package watch lets people see what the service does: its log, its metrics, its health, and one line per request.
package watch

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"bijou"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/term"
)

// ParseLevel returns the log level with this name: debug, info, warn or error. Any other name is Invalid.
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is unknown: use debug, info, warn or error: %w", name, bijou.Invalid)
}

// NewLog returns a logger that writes to w what is at least as grave as level: as text where w is a terminal, as one JSON object a line otherwise.
func NewLog(w io.Writer, level string) (*slog.Logger, error) {
	l, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: l}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return slog.New(slog.NewJSONHandler(w, opts)), nil
}

// Metrics is what a process counts and measures.
type Metrics = prometheus.Registry

// NewMetrics returns a registry that holds bijou_build_info (always 1, with the version and the commit this was built from)
// and what the Go runtime and the operating system tell of the process.
func NewMetrics(version, commit string) *Metrics {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bijou_build_info", Help: "What this process was built from. Always 1.",
	}, []string{"version", "commit", "go_version"})
	build.WithLabelValues(label(version), label(commit), runtime.Version()).Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Labelled returns what registers metrics with one more label, which tells several parts of one kind apart.
func Labelled(m *Metrics, name, value string) prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{name: value}, m)
}

// label makes a label's value of text: Prometheus refuses what is not UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "?") }
