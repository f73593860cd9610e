package pulse

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"unique"

	"bijou"
)

// The stored forms begin with a version. All numbers are varints; names carry their length.
const (
	minuteVersion     = 1
	checkpointVersion = 1
	viewingsVersion   = 1
)

// maxMinuteBytes bounds a stored minute: a record of the log takes no more.
const maxMinuteBytes = bijou.MaxRecord - 1024

// encodeMinute returns the stored form of the minute: when, the sums, and for each dimension its series by name. It keeps the most important
// values of each dimension apart, as many as fit, adds the others up as the rest, and returns how many these were.
func encodeMinute(at int64, m *minute) (b []byte, folded int) {
	for most := maxKept; ; most /= 2 {
		for d := range m.by {
			folded += keepMost(m.by[d], most)
		}
		b = appendMinute(nil, at, m)
		if len(b) <= maxMinuteBytes || most == 0 {
			return b, folded
		}
	}
}

func appendMinute(b []byte, at int64, m *minute) []byte {
	b = append(b, minuteVersion)
	b = binary.AppendVarint(b, at)
	b = appendSized(b, appendSeries(nil, &m.total))
	var buf []byte
	for _, by := range m.by {
		b = binary.AppendUvarint(b, uint64(len(by)))
		for _, name := range slices.Sorted(maps.Keys(by)) {
			b = appendSized(b, []byte(name))
			buf = appendSeries(buf[:0], by[name])
			b = appendSized(b, buf)
		}
	}
	return b
}

func appendSized(b, x []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(x))), x...) }

// appendSeries writes which counters are not zero, as bits, and these; then the two sketches.
func appendSeries(b []byte, s *series) []byte {
	var some uint64
	for c, n := range s.n {
		if n != 0 {
			some |= 1 << c
		}
	}
	b = binary.AppendUvarint(b, some)
	for _, n := range s.n {
		if n != 0 {
			b = binary.AppendVarint(b, n)
		}
	}
	return appendSketch(appendSketch(b, s.frames), s.rates)
}

// appendSketch writes the number of bins, and for each its distance from the one before and its weight.
func appendSketch(b []byte, s *sketch) []byte {
	sorted := s.sorted()
	b = binary.AppendUvarint(b, uint64(len(sorted)))
	last := 0
	for _, x := range sorted {
		b = binary.AppendUvarint(b, uint64(x.index-last))
		b = binary.AppendUvarint(b, uint64(x.weight))
		last = x.index
	}
	return b
}

// decoder reads a stored form. After the first failure it returns zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format+": %w", append(args, bijou.Corrupt)...)
		d.rest = nil
	}
}

func (d *decoder) version(what string, want byte) {
	switch {
	case len(d.rest) == 0:
		d.fail("%s is empty", what)
	case d.rest[0] > want:
		d.err = fmt.Errorf("%s has format %d and this program knows %d: use the newer program that wrote it: %w", what, d.rest[0], want, bijou.Unsupported)
		d.rest = nil
	case d.rest[0] != want:
		d.fail("%s has format %d, which never was", what, d.rest[0])
	default:
		d.rest = d.rest[1:]
	}
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	if size <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// count reads how many things follow, each of which takes a byte at least.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail("%d things are told of and %d bytes are left", n, len(d.rest))
		return 0
	}
	return int(n)
}

func (d *decoder) sized() []byte {
	n := d.count()
	x := d.rest[:n]
	d.rest = d.rest[n:]
	return x
}

// all fails where something is left.
func (d *decoder) all() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	return d.err
}

// view is what a reader wants of stored minutes: where what is counted is added to. Either may be nil, or return nil for what is not wanted.
type view struct {
	total func(at int64) *series
	by    dimension
	named func(at int64, name string) *series
}

// decodeMinute reads of a stored minute what the view wants, and says which minute it is.
func decodeMinute(b []byte, v view) (at int64, err error) {
	d := &decoder{rest: b}
	d.version("a minute", minuteVersion)
	at = d.varint()
	total := d.sized()
	if v.total != nil && d.err == nil {
		d.err = addSeries(total, v.total(at))
	}
	if v.named == nil {
		return at, d.err
	}
	for by := range dimensions {
		for n := d.count(); n > 0; n-- {
			name, raw := d.sized(), d.sized()
			if by != v.by || d.err != nil {
				continue
			}
			d.err = addSeries(raw, v.named(at, string(name)))
		}
		if by == v.by {
			return at, d.err
		}
	}
	return at, d.all()
}

// addSeries adds a stored series to one, or passes it over where that is nil. After a failure some may have been added.
func addSeries(b []byte, s *series) error {
	if s == nil {
		return nil
	}
	d := &decoder{rest: b}
	some := d.uvarint()
	if some >= 1<<counters {
		d.fail("a series has counters that nobody knows")
	}
	for c := range s.n {
		if some&(1<<c) != 0 {
			s.n[c] += d.varint()
		}
	}
	d.sketch(&s.frames)
	d.sketch(&s.rates)
	return d.all()
}

// maxWeight keeps sums of weights whole numbers in floating point.
const maxWeight = 1 << 50

func (d *decoder) sketch(into **sketch) {
	n := d.count()
	if n > 0 && *into == nil {
		*into = newSketch()
	}
	at := uint64(0)
	for range n {
		step, weight := d.uvarint(), d.uvarint()
		if at += step; at > uint64(lastBin) || step > uint64(lastBin) || weight == 0 || weight > maxWeight {
			d.fail("a sketch has bin %d with weight %d", at, weight)
			return
		}
		(*into).put(int(at), int64(weight))
	}
}

// position is how far one partition of the facts was read.
type position struct {
	next    int64 // offset of the first fact that is not counted
	advance int64 // time that its fold was last told, in ms since 1970
}

// encodeCheckpoint returns the stored form of what ends what is kept at once: it makes the minutes before it count, and says which facts they hold.
func encodeCheckpoint(ps []position) []byte { return appendPositions([]byte{checkpointVersion}, ps) }

func appendPositions(b []byte, ps []position) []byte {
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, p := range ps {
		b = binary.AppendUvarint(b, uint64(p.next))
		b = binary.AppendVarint(b, p.advance)
	}
	return b
}

func decodeCheckpoint(b []byte) ([]position, error) {
	d := &decoder{rest: b}
	d.version("a checkpoint", checkpointVersion)
	ps := d.positions()
	return ps, d.all()
}

func (d *decoder) positions() (ps []position) {
	for n := d.count(); n > 0 && d.err == nil; n-- {
		next := d.uvarint()
		if next > math.MaxInt64 {
			d.fail("offset %d", next)
			return nil
		}
		ps = append(ps, position{int64(next), d.varint()})
	}
	return ps
}

// encodeViewings writes what is remembered of viewings, those that were silent for longest first, and up to where it has read.
func encodeViewings(ps []position, folds []*fold) []byte {
	b := appendPositions([]byte{viewingsVersion}, ps)
	for _, f := range folds {
		b = binary.AppendUvarint(b, uint64(len(f.viewings)))
		for v := f.oldest; v != nil; v = v.newer {
			b = appendViewing(b, v)
		}
	}
	return b
}

func appendViewing(b []byte, v *viewing) []byte {
	b = appendSized(b, []byte(v.id))
	b = append(b, byte(v.outcome))
	b = binary.AppendVarint(b, v.started)
	b = binary.AppendVarint(b, v.last)
	b = binary.AppendUvarint(b, uint64(v.seen.top))
	for _, w := range v.seen.bits {
		b = binary.AppendUvarint(b, w)
	}
	if v.started != 0 {
		for _, h := range v.who {
			b = appendSized(b, []byte(h.Value()))
		}
	}
	return b
}

// decodeViewings reads it back, into folds that remember at most so many viewings.
func decodeViewings(b []byte, maxViewings int) (ps []position, folds []*fold, err error) {
	d := &decoder{rest: b}
	d.version("what is remembered of viewings", viewingsVersion)
	ps = d.positions()
	for range ps {
		f := newFold(maxViewings)
		for n := d.count(); n > 0 && d.err == nil; n-- {
			d.viewing(f)
		}
		folds = append(folds, f)
	}
	return ps, folds, d.all()
}

func (d *decoder) viewing(f *fold) {
	id, kind := bijou.SessionID(d.sized()), d.uvarint()
	if kind > uint64(over) || f.viewings[id] != nil {
		d.fail("viewing %.80q is there twice or has outcome %d", string(id), kind)
	}
	v := &viewing{id: id, outcome: outcome(kind), started: d.varint(), last: d.varint()}
	top := d.uvarint()
	if top > math.MaxInt64 {
		d.fail("viewing %.80q has place %d", string(id), top)
	}
	v.seen.top = int64(top)
	for i := range v.seen.bits {
		v.seen.bits[i] = d.uvarint()
	}
	if v.started != 0 {
		for i := range v.who {
			v.who[i] = unique.Make(string(d.sized()))
		}
	}
	if d.err == nil {
		f.restore(v)
	}
}
