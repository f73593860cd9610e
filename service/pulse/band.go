package pulse

import (
	"math"
	"slices"
	"time"

	"bijou"
)

const (
	// bandDays is how many earlier days are looked at: four of each weekday.
	bandDays = 28
	// fewestDays is how many there must be for anything to be expected.
	fewestDays = 7
	// fewestSameWeekday is how many earlier days of the same weekday there must be for these alone to say what is usual.
	fewestSameWeekday = 3
	// neighbours is how many minutes before and after count too, since one minute alone is mostly chance.
	neighbours = 7
	// width is how many deviations the band reaches to each side of what is usual. Of normally distributed values 99.7 % lie within 3.
	width = 3
	// consistent makes a deviation of a median absolute deviation, as of a normal distribution (1/Φ⁻¹(3/4)).
	consistent = 1.4826
)

// past tells what happened in a minute since 1970, of those from since on. A minute that it does not name had no starts.
type past struct {
	minutes map[int64]tally
	since   int64
}

// sample is what one earlier day had at the same time.
type sample struct {
	weekday time.Weekday
	value   float64
}

// expectStarts returns the starts a second that are to be expected from minute at on, over so many minutes: what is usual at that time of day, on that
// weekday where enough of them are known, give or take how far days differ from their own weekday and what chance does to a count.
func expectStarts(p past, at, minutes int64) bijou.PulseBand {
	samples := p.samples(at, minutes, func(t tally, over int64) (float64, bool) {
		return float64(t.starts) / float64(over*60), true
	})
	b, spread := usual(samples, weekdayOf(at))
	if !b.Known {
		return b
	}
	// A count of starts is at least as uncertain as one of Poisson's distribution: its variance is its mean.
	chance := math.Sqrt(max(b.Mid, 1/float64(60*minutes)) / float64(60*minutes))
	return around(b, math.Hypot(spread*b.Mid, chance), math.Inf(1))
}

// expectFailed returns the share of failed starts to be expected likewise. Days without any start at that time say nothing.
func expectFailed(p past, at, minutes int64) bijou.PulseBand {
	var each []float64
	samples := p.samples(at, minutes, func(t tally, over int64) (float64, bool) {
		n := max(float64(t.failed), 0) + float64(t.succeeded)
		if n == 0 {
			return 0, false
		}
		each = append(each, n*float64(minutes)/float64(over))
		return max(float64(t.failed), 0) / n, true
	})
	b, spread := usual(samples, weekdayOf(at))
	if !b.Known {
		return b
	}
	// So many starts as usual, each of which fails by chance: the binomial distribution. One failure in all is the least that can be told.
	n := max(median(each), 1)
	p1 := min(max(b.Mid, 1/(n*float64(len(samples)))), 1)
	return around(b, math.Hypot(spread*b.Mid, math.Sqrt(p1*(1-p1)/n)), 1)
}

// samples returns what value makes of each earlier day's sums, smoothed over the neighbouring minutes. A day that it makes nothing of is left out.
func (p past) samples(at, minutes int64, value func(sum tally, over int64) (float64, bool)) (out []sample) {
	const day = 24 * 60
	for d := int64(1); d <= bandDays; d++ {
		from, until := at-d*day-neighbours, at-d*day+minutes+neighbours
		if from < p.since || p.since == 0 {
			break
		}
		var sum tally
		for m := from; m < until; m++ {
			t := p.minutes[m]
			sum.starts += t.starts
			sum.succeeded += t.succeeded
			sum.failed += t.failed
		}
		if v, ok := value(sum, until-from); ok {
			out = append(out, sample{weekdayOf(at - d*day), v})
		}
	}
	return out
}

func weekdayOf(minute int64) time.Weekday { return time.Unix(minute*60, 0).UTC().Weekday() }

// usual returns the middle of the days, and by what share of it days deviate from their weekday. Both are medians, so that a day on which
// something was wrong changes them little.
func usual(samples []sample, weekday time.Weekday) (b bijou.PulseBand, spread float64) {
	b.Days = len(samples)
	if b.Days < fewestDays {
		return b, 0
	}
	var all []float64
	by := map[time.Weekday][]float64{}
	for _, s := range samples {
		all = append(all, s.value)
		by[s.weekday] = append(by[s.weekday], s.value)
	}
	middle := func(d time.Weekday) float64 {
		if len(by[d]) >= fewestSameWeekday {
			return median(by[d])
		}
		return median(all)
	}
	var deviations []float64
	for _, s := range samples {
		if m := middle(s.weekday); m > 0 {
			deviations = append(deviations, math.Abs(s.value-m)/m)
		}
	}
	b.Known, b.Mid = true, middle(weekday)
	return b, consistent * median(deviations)
}

// around puts the bounds around the middle.
func around(b bijou.PulseBand, deviation, most float64) bijou.PulseBand {
	b.Low, b.High = max(b.Mid-width*deviation, 0), min(b.Mid+width*deviation, most)
	return b
}

// median returns the middle value, the mean of two where their number is even; 0 of none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(n-1)/2] + v[n/2]) / 2
}
