package watch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bijou"
	"bijou/kit/run"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of calls beside the kinds of failure.
const (
	resultOK    = "ok"
	resultLeft  = "left"     // whoever asked did not wait for the answer
	resultError = "internal" // a failure without a kind
)

// Stores counts and times the calls of stores, and knows which stores answer.
type Stores struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec

	mu      sync.RWMutex
	methods map[storeMethod]*measured
	stores  map[string]*answers
}

// storeMethod names a method of a store's contract.
type storeMethod struct{ store, name string }

// measured is the numbers of one method.
type measured struct {
	ok      prometheus.Counter
	seconds prometheus.Observer
	store   *answers
}

// answers is when a store last answered, and when it did not: nanoseconds since 1970, 0 for never.
type answers struct {
	last, failed, since atomic.Int64
}

// NewStores returns what measures calls into the metrics.
func NewStores(metrics prometheus.Registerer) *Stores {
	m := &Stores{
		methods: map[storeMethod]*measured{}, stores: map[string]*answers{},
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bijou_store_calls_total", Help: "Calls of stores, by contract, method and result: ok, a kind of failure, internal, or left where nobody waited.",
		}, []string{"store", "method", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bijou_store_duration_seconds", Help: "Time that calls of stores took, by contract and method.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9), // 0.1 ms to 6.5 s
		}, []string{"store", "method"}),
	}
	metrics.MustRegister(m.calls, m.seconds)
	return m
}

// Called notes a call of the method of the store that ended at the time and took so long. One that waited for somebody else is not timed: that says
// nothing of the store.
func (x *Stores) Called(store, method string, end time.Time, took time.Duration, waited bool, err error) {
	at := x.of(storeMethod{store, method})
	if !waited {
		at.seconds.Observe(took.Seconds())
	}
	if err == nil {
		at.ok.Inc()
	} else {
		x.calls.WithLabelValues(store, method, resultOf(err)).Inc()
	}
	at.store.note(err, end)
}

// of returns the numbers of the method.
func (x *Stores) of(m storeMethod) *measured {
	x.mu.RLock()
	at := x.methods[m]
	x.mu.RUnlock()
	if at != nil {
		return at
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if at = x.methods[m]; at != nil {
		return at
	}
	if x.stores[m.store] == nil {
		x.stores[m.store] = &answers{}
	}
	at = &measured{x.calls.WithLabelValues(m.store, m.name, resultOK), x.seconds.WithLabelValues(m.store, m.name), x.stores[m.store]}
	x.methods[m] = at
	return at
}

func resultOf(err error) string {
	if kind := bijou.KindOf(err); kind != "" {
		return string(kind)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return resultLeft
	}
	return resultError
}

// note notes how a call ended. A refusal is an answer; a call that nobody waited for, and one that failed without a kind, say nothing.
func (a *answers) note(err error, at time.Time) {
	switch kind := bijou.KindOf(err); {
	case errors.Is(err, bijou.Unavailable):
		a.failed.Store(at.UnixNano())
		a.since.CompareAndSwap(0, at.UnixNano())
	case err == nil || kind != "":
		a.last.Store(at.UnixNano())
		if a.since.Load() != 0 {
			a.since.Store(0)
		}
	}
}

// StoreHealth is whether a store answers, as far as its last calls told.
type StoreHealth struct {
	Store    string
	Answered time.Time // when it last did; the zero time: never
	Failed   time.Time // when it was last unavailable; the zero time: never
	Since    time.Time // when it was first unavailable after it had last answered; the zero time where it answers
}

// Health returns how each store is that was called, by name.
func (x *Stores) Health() (all []StoreHealth) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for store, a := range x.stores {
		all = append(all, StoreHealth{store, when(a.last.Load()), when(a.failed.Load()), when(a.since.Load())})
	}
	slices.SortFunc(all, func(a, b StoreHealth) int { return cmp.Compare(a.Store, b.Store) })
	return all
}

func when(nano int64) time.Time {
	if nano == 0 {
		return time.Time{}
	}
	return time.Unix(0, nano).UTC()
}

// States returns how each store is that was called, for people.
func (x *Stores) States() (all []run.PartState) {
	for _, h := range x.Health() {
		all = append(all, run.PartState{Name: StorePart + h.Store, State: h.state()})
	}
	return all
}

// StorePart begins the names of stores among the parts of a process, StoreAway the states of those that do not answer, and StoreAnswers of those
// that do.
const (
	StorePart    = "store "
	StoreAway    = "unavailable"
	StoreAnswers = "answers"
)

func (h StoreHealth) state() string {
	at := func(before string, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return before + t.Format(time.RFC3339)
	}
	if !h.Since.IsZero() {
		return StoreAway + at(" since ", h.Since) + at(", last answered ", h.Answered)
	}
	return StoreAnswers + at(", last ", h.Answered) + at(", last unavailable ", h.Failed)
}
