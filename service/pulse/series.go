package pulse

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"bijou"
)

// counter is a place among what a series counts.
type counter int

// What a series counts. The order is part of the stored form: new ones go to the end.
const (
	starts counter = iota
	succeeded
	abandoned
	broken
	playedMS
	stalls
	stalledMS
	kilobits // played, of facts that tell the rate
	ratedMS  // time that these were played
	failedNetwork
	failedRefused
	failedManifest
	failedMedia
	failedTimeout
	failedOther
	failedSilence
	counters
)

// failures names the counters of failed starts.
var failures = map[counter]string{
	failedNetwork: string(bijou.CauseNetwork), failedRefused: string(bijou.CauseRefused), failedManifest: string(bijou.CauseManifest),
	failedMedia: string(bijou.CauseMedia), failedTimeout: string(bijou.CauseTimeout), failedOther: string(bijou.CauseOther),
	failedSilence: bijou.FailureSilence,
}

// failureOf returns the counter of a player's cause.
func failureOf(c bijou.FactCause) counter {
	switch c {
	case bijou.CauseNetwork:
		return failedNetwork
	case bijou.CauseRefused:
		return failedRefused
	case bijou.CauseManifest:
		return failedManifest
	case bijou.CauseMedia:
		return failedMedia
	case bijou.CauseTimeout:
		return failedTimeout
	}
	return failedOther
}

// series is what is counted of some viewings within some time. Series add up.
type series struct {
	n      [counters]int64
	frames *sketch // times to the first picture in ms; nil where there are none
	rates  *sketch // rates in bits a second, by the milliseconds that they were played
}

func (s *series) apply(c *change) {
	for i, n := range c.n {
		s.n[i] += n
	}
	if c.frameMS > 0 {
		if s.frames == nil {
			s.frames = newSketch()
		}
		s.frames.add(c.frameMS, maxFrameMS, 1)
	}
	if c.bps > 0 {
		if s.rates == nil {
			s.rates = newSketch()
		}
		s.rates.add(c.bps, maxBPS, c.n[ratedMS])
	}
}

func (s *series) merge(o *series) {
	for i, n := range o.n {
		s.n[i] += n
	}
	s.frames, s.rates = merged(s.frames, o.frames), merged(s.rates, o.rates)
}

func merged(into, from *sketch) *sketch {
	if from == nil {
		return into
	}
	if into == nil {
		into = newSketch()
	}
	into.merge(from)
	return into
}

// none tells whether nothing is counted, or all of it was taken back.
func (s *series) none() bool { return s.n == [counters]int64{} && s.frames == nil && s.rates == nil }

func (s *series) failed() (sum int64) {
	for c := range failures {
		sum += s.n[c]
	}
	return sum
}

// figures says it in the words of the contract, for a range of so long.
func (s *series) figures(span time.Duration) bijou.PulseFigures {
	n := func(c counter) int64 { return s.n[c] }
	f := bijou.PulseFigures{
		Starts: n(starts), Succeeded: n(succeeded), Failed: s.failed(), Abandoned: n(abandoned), Broken: n(broken),
		PlayedMS: n(playedMS), Stalls: n(stalls), StalledMS: n(stalledMS),
	}
	for c, reason := range failures {
		if n(c) != 0 {
			f.Failures = append(f.Failures, bijou.PulseFailure{Reason: reason, Count: n(c)})
		}
	}
	slices.SortFunc(f.Failures, func(a, b bijou.PulseFailure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	f.StartsPerSecond = ratio(float64(f.Starts), span.Seconds())
	f.Watching = ratio(float64(f.PlayedMS), float64(span.Milliseconds()))
	f.FailedRatio = ratio(float64(f.Failed), float64(f.Failed+f.Succeeded))
	f.RebufferRatio = ratio(float64(f.StalledMS), float64(f.PlayedMS+f.StalledMS))
	q := s.frames.quantiles(0.5, 0.95, 0.99)
	f.FirstFrame = bijou.PulseTimes{Count: s.frames.count(), P50MS: q[0], P95MS: q[1], P99MS: q[2]}
	q = s.rates.quantiles(0.1, 0.5, 0.9)
	f.Rate = bijou.PulseRates{MeanBPS: ratio(float64(n(kilobits))*1e6, float64(n(ratedMS))), P10BPS: q[0], P50BPS: q[1], P90BPS: q[2]}
	return f
}

// ratio is 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// dimension is a place among the dimensions.
type dimension int

// The dimensions. The order is part of the stored form.
const (
	byTitle dimension = iota
	byAppliance
	byZone
	byPlayer
	dimensions
)

var dimensionNames = [dimensions]bijou.PulseDimension{bijou.ByTitle, bijou.ByAppliance, bijou.ByZone, bijou.ByPlayer}

// who is the value of each dimension; empty where a fact does not say.
type who [dimensions]string

// change is what one fact, or silence, adds to a minute.
type change struct {
	at      int64 // ms since 1970
	who     who
	n       [counters]int64
	frameMS int64 // 0: none
	bps     int64 // weighs n[ratedMS]; 0: none
}

// minuteOf returns the minute since 1970 of a time in ms.
func minuteOf(ms int64) int64 { return ms / 60_000 }

const (
	// rest is the name under which the values of a dimension are added up that are not told apart. No identifier or player has it.
	rest = "*"
	// maxKept is how many values of a dimension a minute keeps apart: those with the most starts, then with the most played.
	maxKept = 200
	// maxGathered is how many it tells apart in memory until then.
	maxGathered = 2000
)

// minute is what is counted of one minute: in all, and by the values of each dimension.
type minute struct {
	total series
	by    [dimensions]map[string]*series
}

func newMinute() *minute {
	m := &minute{}
	for d := range m.by {
		m.by[d] = map[string]*series{}
	}
	return m
}

// apply adds the change. It returns how many values were added to the rest because there are too many.
func (m *minute) apply(c *change) (folded int) {
	m.total.apply(c)
	for d := range m.by {
		s, over := named(m.by[d], c.who[d], maxGathered)
		s.apply(c)
		if over {
			folded++
		}
	}
	return folded
}

// named returns the series of the name, or of the rest where the name is new and there are so many already.
func named(by map[string]*series, name string, most int) (s *series, over bool) {
	if s = by[name]; s != nil {
		return s, false
	}
	if len(by) >= most {
		name, over = rest, true
		if s = by[name]; s != nil {
			return s, over
		}
	}
	s = &series{}
	by[name] = s
	return s, over
}

// keepMost adds all but the most important values up as the rest, and returns how many these were.
func keepMost(by map[string]*series, most int) (folded int) {
	if len(by) <= most {
		return 0
	}
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		x, y := by[a], by[b]
		return cmp.Or(cmp.Compare(y.n[starts], x.n[starts]), cmp.Compare(y.n[playedMS], x.n[playedMS]), cmp.Compare(a, b))
	})
	names = slices.DeleteFunc(names, func(n string) bool { return n == rest })
	sum := by[rest]
	if sum == nil {
		sum = &series{}
	}
	for _, name := range names[min(most, len(names)):] {
		sum.merge(by[name])
		delete(by, name)
		folded++
	}
	if folded > 0 {
		by[rest] = sum
	}
	return folded
}
