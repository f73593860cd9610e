package appliance

import (
	"io"
	"net/http"
	"sync/atomic"

	"bijou/service/appliance/shelf"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an appliance counts. None has a label of a viewer.
type metrics struct {
	served, refused, broken prometheus.Counter
}

func newMetrics(to prometheus.Registerer, s *Service) metrics {
	m := metrics{
		served:  prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_appliance_served_bytes_total", Help: "Bytes of segments and playlists served."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_appliance_refused_total", Help: "Requests without a grant that holds."}),
		broken:  prometheus.NewCounter(prometheus.CounterOpts{Name: "bijou_appliance_broken_total", Help: "Answers that were cut since the file could not be read to its end."}),
	}
	to.MustRegister(m.served, m.refused, m.broken)
	gauge := func(name, help string, value func(shelf.Stats) float64) {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(s.stats()) }))
	}
	count := func(name, help string, value func(shelf.Stats) float64) {
		to.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return value(s.stats()) }))
	}
	gauge("bijou_appliance_held_bytes", "Bytes of files on disk.", func(st shelf.Stats) float64 { return float64(st.Held) })
	gauge("bijou_appliance_files", "Files on disk.", func(st shelf.Stats) float64 { return float64(st.Files) })
	count("bijou_appliance_hits_total", "Requests that were answered from disk.", func(st shelf.Stats) float64 { return float64(st.Hits) })
	count("bijou_appliance_misses_total", "Requests for files that were not on disk.", func(st shelf.Stats) float64 { return float64(st.Misses) })
	count("bijou_appliance_fetched_bytes_total", "Bytes fetched from origin and peers.", func(st shelf.Stats) float64 { return float64(st.FetchedBytes) })
	count("bijou_appliance_evicted_total", "Files thrown out to make room.", func(st shelf.Stats) float64 { return float64(st.Evicted) })
	count("bijou_appliance_corrupt_total", "Files found not to be what was stored.", func(st shelf.Stats) float64 { return float64(st.Corrupt) })
	count("bijou_appliance_scrubbed_total", "Files whose hash was checked by the scrubber.", func(st shelf.Stats) float64 { return float64(st.Scrubbed) })
	to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bijou_appliance_connections", Help: "Connections of viewers."},
		func() float64 { return float64(s.connections.Load()) }))
	return m
}

func (s *Service) stats() shelf.Stats {
	if sh := s.open.Load(); sh != nil {
		return sh.Stats()
	}
	return shelf.Stats{}
}

// counter counts the bytes written, and leaves the way to sendfile(2) open.
type counter struct {
	http.ResponseWriter
	n    int64
	sent *atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.add(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *counter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.add(n)
	return n, err
}

func (c *counter) add(n int64) {
	c.n += n
	c.sent.Add(n)
}
