package pulse

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// month is a simulated month of starts up to the end of Tuesday 24 November 2026: about 3 a second in the evening, a tenth of that in the early
// morning, and three fifths more on Saturdays and Sundays. One start in a hundred fails. change may add what is out of the ordinary.
func month(days int, change func(at time.Time, starts, failed float64) (float64, float64)) past {
	r := rand.New(rand.NewPCG(11, 11))
	end := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	p := past{map[int64]tally{}, minuteOf(end.AddDate(0, 0, -days).UnixMilli())}
	for m := p.since; m < minuteOf(end.UnixMilli()); m++ {
		at := timeOf(m)
		n := usualStarts(at)
		failed := n / 100
		if change != nil {
			n, failed = change(at, n, failed)
		}
		bad := poisson(r, failed)
		p.minutes[m] = tally{starts: int32(poisson(r, n-failed) + bad), succeeded: int32(poisson(r, n-failed)), failed: int32(bad)}
	}
	return p
}

// usualStarts are those of one minute.
func usualStarts(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60
	n := 180 * (0.1 + 0.9*math.Pow((1+math.Cos((hour-20)/24*2*math.Pi))/2, 2))
	if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
		n *= 1.6
	}
	return n
}

// poisson returns a random count with the mean, by the normal distribution, which is near enough for these.
func poisson(r *rand.Rand, mean float64) int {
	return max(0, int(math.Round(mean+r.NormFloat64()*math.Sqrt(max(mean, 0)))))
}

func TestTheBandIsWhereTheDayAndTheWeekHaveIt(t *testing.T) {
	p := month(30, nil)
	for _, at := range []time.Time{
		time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC), time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC), time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC),
		time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 1, 2, 0, 0, time.UTC),
	} {
		want := usualStarts(at) / 60
		b := expectStarts(p, minuteOf(at.UnixMilli()), 1)
		if !b.Known || math.Abs(b.Mid-want) > 0.12*want || b.Low > want || b.High < want {
			t.Errorf("%s: got %+v, want a band around %.2f", at.Format("Mon 15:04"), b, want)
		}
		if b.High-b.Low > 1.1*want+0.5 {
			t.Errorf("%s: the band is %.2f wide around %.2f", at.Format("Mon 15:04"), b.High-b.Low, want)
		}
	}
}

func TestAnOrdinaryDayLiesInItsBandAndAnOutageDoesNot(t *testing.T) {
	p := month(30, nil)
	var outside int
	first := minuteOf(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC).UnixMilli())
	for m := first; m < first+24*60; m++ {
		b := expectStarts(p, m, 1)
		seen := float64(p.minutes[m].starts) / 60
		if seen < b.Low || seen > b.High {
			outside++
		}
	}
	if outside > 24*60*2/100 {
		t.Errorf("%d of the 1,440 minutes of an ordinary day lie outside of their band, want at most one in fifty", outside)
	}
	evening := minuteOf(time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC).UnixMilli())
	if b := expectStarts(p, evening, 1); b.Low < 0.5*b.Mid {
		t.Errorf("half of the starts of an evening lie within %+v, want them to be conspicuous", b)
	}
}

func TestADayOnWhichSomethingWasWrongWidensTheBandLittle(t *testing.T) {
	evening := minuteOf(time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC).UnixMilli())
	usual, usualFailed := expectStarts(month(30, nil), evening, 1), expectFailed(month(30, nil), evening, 1)
	p := month(30, func(at time.Time, starts, failed float64) (float64, float64) {
		if at.Day() == 17 || at.Day() == 11 { // the Tuesday before, and a Wednesday
			return starts / 20, starts / 40
		}
		return starts, failed
	})
	if b := expectStarts(p, evening, 1); math.Abs(b.Mid-usual.Mid) > 0.05*usual.Mid || b.High-b.Low > 1.25*(usual.High-usual.Low) {
		t.Errorf("starts: got %+v with two days of outage, and %+v without", b, usual)
	}
	if b := expectFailed(p, evening, 1); b.High > 1.5*usualFailed.High || b.High > 0.1 {
		t.Errorf("failed: got %+v with two days of outage, and %+v without", b, usualFailed)
	}
	if usualFailed.Mid < 0.008 || usualFailed.Mid > 0.012 {
		t.Errorf("failed: got %+v, want about one in a hundred", usualFailed)
	}
}

func TestWithFewDaysNothingIsExpected(t *testing.T) {
	for days, want := range map[int]bool{0: false, 1: false, 6: false, 7: false, 8: true, 15: true} { // the first day does not reach back to the minutes before
		p := month(days, nil)
		at := minuteOf(time.Date(2026, 11, 24, 23, 50, 0, 0, time.UTC).UnixMilli())
		b := expectStarts(p, at, 1)
		if b.Known != want || b.Days != max(0, days-1) || (!want && b.High != 0) {
			t.Errorf("with %d days: got %+v, want known %v", days, b, want)
		}
		if x := expectFailed(p, at, 1); x.Known != want {
			t.Errorf("with %d days: got %+v, want known %v", days, x, want)
		}
	}
}

func TestMinutesWithoutFactsAreKnownToHaveHadNone(t *testing.T) {
	p := past{map[int64]tally{}, 29_000_000}
	b := expectStarts(p, p.since+20*24*60, 1)
	if !b.Known || b.Mid != 0 || b.Low != 0 || b.High <= 0 || b.High > 0.1 {
		t.Errorf("after twenty days without a start: got %+v, want none, give or take a few", b)
	}
	if x := expectFailed(p, p.since+20*24*60, 1); x.Known {
		t.Errorf("failed after twenty days without a start: got %+v, want nothing", x)
	}
}

func TestALongerStepHasANarrowerBand(t *testing.T) {
	p := month(30, nil)
	at := minuteOf(time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC).UnixMilli())
	minute, hour := expectStarts(p, at, 1), expectStarts(p, at, 60)
	if hour.High-hour.Low >= minute.High-minute.Low || math.Abs(hour.Mid-minute.Mid) > 0.1*minute.Mid {
		t.Errorf("got %+v for a minute and %+v for an hour, want the same rate and less chance", minute, hour)
	}
}
