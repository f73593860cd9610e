// Package pulse is the room that knows how viewers fare: it reads what players report, and tells starts per second, failed starts, the time to
// the first picture, stalls and rates, live and for 30 days.
//
// A fold of each partition of the facts (fold.go) turns facts into changes of minutes; it is pure. The ledger gathers changes in memory. Once a
// minute what was gathered is appended to the log as one: the minutes, and a checkpoint that says which facts they hold (codec.go). So a kill
// costs what was gathered and nothing else: the next start reads those facts again. What folds remember of viewings is kept from time to time
// (restore.go); facts between there and the checkpoint are read again without being counted.
package pulse

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/kit/conf"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is the room's section of the configuration.
type Config struct {
	Retain conf.Size `yaml:"retain" doc:"Bound of the minutes kept for 30 days; what is oldest goes first."`
}

// DefaultConfig is the configuration where nothing is said.
func DefaultConfig() Config { return Config{Retain: 1 << 30} }

// Check refuses, as Invalid, what the room cannot work with.
func (c Config) Check() error {
	if c.Retain < 1<<20 {
		return fmt.Errorf("retain is %d bytes: it must be at least 1MiB: %w", c.Retain, bijou.Invalid)
	}
	return nil
}

// How long and how much of the room's topics is kept, for the log's owner to see to. Only one partition of each holds records.
const (
	Partitions        = 1
	RetainFor         = kept + 24*time.Hour // a minute counts for 30 days, whole
	RetainViewings    = 256 << 20           // bytes: two of the largest at least
	RetainViewingsFor = 7 * 24 * time.Hour
)

const (
	// maxViewings is how many viewings all partitions together remember; each takes about 300 bytes.
	maxViewings = 500_000
	// maxPendingMinutes and maxPendingFacts bound what is gathered: each minute is a record of 1 MiB at most, and the log takes 16 MiB at once.
	maxPendingMinutes, maxPendingFacts = 12, 50_000
	// settleIn is how long after a minute's end it is kept, for facts that were on their way.
	settleIn = 2 * time.Second
	// quiet is how long nothing comes from a partition until its time is that of the clock.
	quiet = 2 * time.Second
	// endWait is how long a start waits for a fact that was counted before: a disk that is slower is taken for a log that was put back from a backup.
	endWait = 30 * time.Second
	// batchFacts bounds the facts that are folded at once, while nobody is answered.
	batchFacts = 500
	// maxListeners bounds those who look on.
	maxListeners = 100
	// piece is the size of a record of what is remembered, and pieces are how many are appended at once.
	piece, pieces = 512 << 10, 16
	// group names the room's place in the log. Its own topics have one partition that is used, so that what is appended at once has one order.
	group, partition = "pulse", 0
	// The waits between two tries at a log that fails: doubled from the first to the last.
	firstWait, lastWait = time.Second, 30 * time.Second
)

// Deps are what the room works with.
type Deps struct {
	Log     bijou.LogStore // bijou.TopicFacts is read; bijou.TopicPulse and bijou.TopicViewings are the room's own
	Logger  *slog.Logger
	Now     func() time.Time
	Metrics prometheus.Registerer
}

// Service reads facts and answers. It implements bijou.Pulse.
type Service struct {
	Deps
	ledger  atomic.Pointer[ledger] // nil until what is kept was read
	slots   chan struct{}          // bounds the listeners
	metrics *metrics
	// rememberEvery is after how many facts at least what is remembered of viewings is kept: about as many are read again at a start.
	rememberEvery int64
}

// New assembles the room.
func New(d Deps) *Service {
	return &Service{Deps: d, slots: make(chan struct{}, maxListeners), metrics: newMetrics(d.Metrics), rememberEvery: 20_000}
}

// Run reads facts until ctx ends. When the log fails, it begins again from what is kept.
func (s *Service) Run(ctx context.Context, ready func()) error {
	ready()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		moved, err := s.work(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if moved {
			wait = firstWait
		}
		s.Logger.Warn("pulse waits", "retry_in", wait, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// now is the time in milliseconds since 1970.
func (s *Service) now() int64 { return s.Now().UnixMilli() }
