package pulse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"bijou"
)

const (
	// maxPoints bounds the points of an answer, and points times groups are not offered at all.
	maxPoints = 1500
	// usualPoints is about how many points an answer has where nobody says.
	usualPoints = 120
	// maxGroups bounds the values that a query tells apart while it adds minutes up; all others are the rest.
	maxGroups = 10_000
	// usualGroups is how many values an answer tells apart where nobody says.
	usualGroups = 20
)

// Query asks for figures of a range.
type Query struct {
	From      string `query:"from" format:"date-time" doc:"First minute; an hour before until where absent. Nothing is kept for longer than 30 days."`
	Until     string `query:"until" format:"date-time" doc:"End of the range, not in it; now where absent."`
	StepS     int64  `query:"step_s" minimum:"60" maximum:"86400" doc:"Seconds of a point, whole minutes; where absent, so that there are about 120 points."`
	By        string `query:"by" enum:"title,appliance,zone,player" doc:"Tell the range apart by the values of this."`
	Limit     int    `query:"limit" minimum:"1" maximum:"200" doc:"How many values are told apart, those with the most starts; the rest is one more, *. 20 where absent."`
	Title     string `query:"title" maxLength:"100" doc:"Only this title. One of title, appliance, zone and player can be given, and by then has to be absent or the same."`
	Appliance string `query:"appliance" maxLength:"100"`
	Zone      string `query:"zone" maxLength:"100"`
	Player    string `query:"player" maxLength:"100"`
}

// Answer is the figures of a range: in all, over time, and by value where that was asked for.
type Answer struct {
	From   time.Time            `json:"from"`
	Until  time.Time            `json:"until"`
	StepS  int64                `json:"step_s"`
	Since  time.Time            `json:"since" doc:"First minute that anything is known of. A minute from there on of which nothing was kept had nothing."`
	Total  bijou.PulseFigures   `json:"total"`
	Points []Point              `json:"points"`
	Groups []Group              `json:"groups" doc:"By value, most starts first; the rest, *, last."`
	By     bijou.PulseDimension `json:"by,omitempty"`
}

// Point is the figures of one step.
type Point struct {
	At       time.Time          `json:"at"`
	Figures  bijou.PulseFigures `json:"figures"`
	Expected *Expected          `json:"expected,omitempty" doc:"What the same time of earlier days leads one to expect; of all viewings together."`
}

// Expected is what is to be expected of a step.
type Expected struct {
	StartsPerSecond bijou.PulseBand `json:"starts_per_second"`
	FailedRatio     bijou.PulseBand `json:"failed_ratio"`
}

// Group is the figures of one value.
type Group struct {
	Value   string             `json:"value" doc:"Title, appliance, zone or player; empty where players did not say, * for the rest."`
	Figures bijou.PulseFigures `json:"figures"`
}

// span is a range of whole minutes since 1970, until not in it.
type span struct {
	from, until, step int64
	now               int64 // ms since 1970
}

// time returns how much time of [from, until) minutes has been by now.
func (s span) time(from, until int64) time.Duration {
	ms := min(until*60_000, s.now) - from*60_000
	return time.Duration(max(ms, 0)) * time.Millisecond
}

// filter is the one value that a query is about; none has none.
type filter struct {
	some  bool
	by    dimension
	value string
}

// Query implements the method of the interface: it adds the kept minutes of the range up, and what is not yet kept.
func (s *Service) Query(ctx context.Context, q Query) (Answer, error) {
	l, err := s.known()
	if err != nil {
		return Answer{}, err
	}
	r, err := q.span(s.now())
	if err != nil {
		return Answer{}, err
	}
	only, err := q.filter()
	if err != nil {
		return Answer{}, err
	}
	by, err := q.apart(only)
	if err != nil {
		return Answer{}, err
	}
	sum := newSums(r, only, by)
	if err := s.sum(ctx, l, sum); err != nil {
		return Answer{}, err
	}
	a := sum.answer(q.Limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	a.Since = timeOf(cmp.Or(l.since, minuteOf(r.now)))
	if !only.some {
		l.expect(r, a.Points)
	}
	return a, nil
}

// known returns the ledger, once there is one.
func (s *Service) known() (*ledger, error) {
	l := s.ledger.Load()
	if l == nil {
		return nil, fmt.Errorf("pulse is still reading what it kept: try again in a moment: %w", bijou.Unavailable)
	}
	return l, nil
}

func timeOf(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }

// span returns the minutes that are asked for, at now in ms since 1970.
func (q Query) span(now int64) (r span, err error) {
	until := time.UnixMilli(now)
	if q.Until != "" {
		if until, err = time.Parse(time.RFC3339, q.Until); err != nil {
			return r, fmt.Errorf("until is %q: it must be a time such as 2026-11-24T20:00:00Z: %w", q.Until, bijou.Invalid)
		}
	}
	from := until.Add(-time.Hour)
	if q.From != "" {
		if from, err = time.Parse(time.RFC3339, q.From); err != nil {
			return r, fmt.Errorf("from is %q: it must be a time such as 2026-11-24T20:00:00Z: %w", q.From, bijou.Invalid)
		}
	}
	if r, err = spanOf(from, until, now); err != nil {
		return r, err
	}
	if q.StepS%60 != 0 {
		return r, fmt.Errorf("step_s is %d: it must be whole minutes, such as 60 or 3600: %w", q.StepS, bijou.Invalid)
	}
	if r.step = q.StepS / 60; r.step == 0 {
		r.step = usualStep(r.until - r.from)
	}
	if n := (r.until - r.from + r.step - 1) / r.step; n > maxPoints {
		return r, fmt.Errorf("%d points are asked for and at most %d are given: use a longer step or a shorter range: %w", n, maxPoints, bijou.Invalid)
	}
	return r, nil
}

// spanOf returns the whole minutes that the times lie in, as far as they are kept.
func spanOf(from, until time.Time, now int64) (r span, err error) {
	if !from.Before(until) {
		return r, fmt.Errorf("the range ends at %s and begins at %s: it must end later: %w", until.Format(time.RFC3339), from.Format(time.RFC3339), bijou.Invalid)
	}
	this := minuteOf(now)
	r = span{from: minuteOf(from.UnixMilli()), until: minuteOf(until.UnixMilli() + 59_999), now: now}
	r.from = min(max(r.from, this-keptMinutes), this)
	r.until = max(min(r.until, this+1), r.from+1)
	r.step = r.until - r.from
	return r, nil
}

// usualStep returns the length of a point that people like to read, in minutes.
func usualStep(minutes int64) int64 {
	for _, step := range []int64{1, 2, 5, 10, 15, 30, 60, 120, 360} {
		if minutes/step <= usualPoints {
			return step
		}
	}
	return 720
}

func (q Query) filter() (f filter, err error) {
	for d, value := range []string{byTitle: q.Title, byAppliance: q.Appliance, byZone: q.Zone, byPlayer: q.Player} {
		if value == "" {
			continue
		}
		if f.some {
			return f, fmt.Errorf("both %s and %s are given: minutes are kept by one of them at a time, so ask for one: %w", dimensionNames[f.by], dimensionNames[d], bijou.Invalid)
		}
		f = filter{true, dimension(d), value}
	}
	return f, nil
}

// apart returns the dimension that is told apart, nil where none is.
func (q Query) apart(only filter) (d *dimension, err error) {
	if q.By == "" {
		return nil, nil
	}
	i := dimension(slices.Index(dimensionNames[:], bijou.PulseDimension(q.By)))
	if i < 0 {
		return nil, fmt.Errorf("by is %q: it must be title, appliance, zone or player: %w", q.By, bijou.Invalid)
	}
	if only.some && only.by != i {
		return nil, fmt.Errorf("%s cannot be told apart for one %s: minutes are kept by one of them at a time: %w", q.By, dimensionNames[only.by], bijou.Invalid)
	}
	return &i, nil
}

// sums are the figures of a query as they add up.
type sums struct {
	span
	only   filter
	by     *dimension
	points []series
	groups map[string]*series
}

func newSums(r span, only filter, by *dimension) *sums {
	return &sums{span: r, only: only, by: by, points: make([]series, (r.until-r.from+r.step-1)/r.step), groups: map[string]*series{}}
}

// point returns where a minute is added to; nil where it is not asked for.
func (s *sums) point(at int64) *series {
	if at < s.from || at >= s.until {
		return nil
	}
	return &s.points[(at-s.from)/s.step]
}

// group returns where a minute of a value is added to.
func (s *sums) group(at int64, name string) *series {
	if at < s.from || at >= s.until {
		return nil
	}
	x, _ := named(s.groups, name, maxGroups)
	return x
}

// view says what is asked of stored minutes.
func (s *sums) view() view {
	switch {
	case s.only.some:
		return view{by: s.only.by, named: func(at int64, name string) *series {
			if name != s.only.value {
				return nil
			}
			return s.point(at)
		}}
	case s.by != nil:
		return view{total: s.point, by: *s.by, named: s.group}
	}
	return view{total: s.point}
}

// total is the sum over all points.
func (s *sums) total() *series {
	sum := &series{}
	for i := range s.points {
		sum.merge(&s.points[i])
	}
	return sum
}

// gathered adds a minute that is not yet kept.
func (s *sums) gathered(at int64, m *minute) {
	point := s.point(at)
	switch {
	case point == nil:
	case s.only.some:
		if x := m.by[s.only.by][s.only.value]; x != nil {
			point.merge(x)
		}
	default:
		point.merge(&m.total)
		if s.by != nil {
			for name, x := range m.by[*s.by] {
				s.group(at, name).merge(x)
			}
		}
	}
}

// answer says it in the words of the interface.
func (s *sums) answer(limit int) Answer {
	total := s.total()
	a := Answer{From: timeOf(s.from), Until: timeOf(s.until), StepS: s.step * 60, Total: total.figures(s.time(s.from, s.until))}
	for i := range s.points {
		from := s.from + int64(i)*s.step
		a.Points = append(a.Points, Point{At: timeOf(from), Figures: s.points[i].figures(s.time(from, min(from+s.step, s.until)))})
	}
	if s.by == nil {
		return a
	}
	a.By = dimensionNames[*s.by]
	if s.only.some {
		s.groups[s.only.value] = total
	}
	maps.DeleteFunc(s.groups, func(_ string, x *series) bool { return x.none() })
	if limit == 0 {
		limit = usualGroups
	}
	keepMost(s.groups, limit)
	for name, x := range s.groups {
		a.Groups = append(a.Groups, Group{name, x.figures(s.time(s.from, s.until))})
	}
	slices.SortFunc(a.Groups, compareGroups)
	return a
}

// compareGroups puts the rest last, and else the one with more starts first.
func compareGroups(x, y Group) int {
	last := func(g Group) int {
		if g.Value == rest {
			return 1
		}
		return 0
	}
	return cmp.Or(last(x)-last(y), cmp.Compare(y.Figures.Starts, x.Figures.Starts), cmp.Compare(y.Figures.PlayedMS, x.Figures.PlayedMS), cmp.Compare(x.Value, y.Value))
}

// sum adds all minutes of the range up.
func (s *Service) sum(ctx context.Context, l *ledger, to *sums) error {
	var offsets []int64
	l.mu.Lock()
	for at, m := range l.pending {
		to.gathered(at, m)
	}
	for at := max(to.from, l.since); at < to.until; at++ {
		offsets = append(offsets, l.index[at]...)
	}
	l.mu.Unlock()
	slices.Sort(offsets)
	wanted := to.view()
	for len(offsets) > 0 {
		records, err := s.Log.Read(ctx, bijou.TopicPulse, partition, offsets[0], stretch(offsets))
		if err != nil {
			return err
		}
		for _, r := range records {
			for len(offsets) > 0 && offsets[0] < r.Offset {
				offsets = offsets[1:] // retention was here
			}
			if len(offsets) == 0 || offsets[0] != r.Offset {
				continue
			}
			if _, err := decodeMinute(r.Value, wanted); err != nil {
				return fmt.Errorf("read the minute at offset %d: %w", r.Offset, err)
			}
			offsets = offsets[1:]
		}
	}
	return nil
}

// stretch returns how many records are to be read at once so that few are read in vain.
func stretch(offsets []int64) int {
	const most, gap = 500, 8
	i := 1
	for i < len(offsets) && offsets[i]-offsets[i-1] <= gap && offsets[i]-offsets[0] < most {
		i++
	}
	return int(offsets[i-1] - offsets[0] + 1)
}

// expect adds to each point what is to be expected of it. The caller holds the lock.
func (l *ledger) expect(r span, points []Point) {
	p := past{l.history, l.since}
	for i := range points {
		at := r.from + int64(i)*r.step
		points[i].Expected = &Expected{expectStarts(p, at, r.step), expectFailed(p, at, r.step)}
	}
}

// Figures implements bijou.Pulse.
func (s *Service) Figures(ctx context.Context, in bijou.PulseRange) (bijou.PulseFigures, error) {
	l, err := s.known()
	if err != nil {
		return bijou.PulseFigures{}, err
	}
	r, err := spanOf(in.From, in.Until, s.now())
	if err != nil {
		return bijou.PulseFigures{}, err
	}
	only := filter{}
	if in.By != "" {
		d := slices.Index(dimensionNames[:], in.By)
		if d < 0 {
			return bijou.PulseFigures{}, fmt.Errorf("figures by %q: it must be title, appliance, zone or player: %w", in.By, bijou.Invalid)
		}
		only = filter{true, dimension(d), in.Value}
	}
	sum := newSums(r, only, nil)
	if err := s.sum(ctx, l, sum); err != nil {
		return bijou.PulseFigures{}, err
	}
	return sum.total().figures(sum.time(r.from, r.until)), nil
}
