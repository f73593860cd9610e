package pulse

import (
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// accuracy bounds the relative error of quantiles.
const accuracy = 0.01

// What a sketch takes lies between 1 and these; what is beyond counts as the bound. So a sketch has at most about 1,040 bins.
const (
	maxFrameMS = 3600_000
	maxStallMS = 3600_000
	maxBPS     = 1_000_000_000
)

// sketch is a DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019) of positive numbers with whole weights. Bins are added up, so sketches merge
// without loss: that of an hour is the sum of its minutes, in any order.
type sketch struct{ bins *store.SparseStore }

// places says which bin a value lies in, and which value stands for a bin.
var places = newPlaces()

func newPlaces() mapping.IndexMapping {
	m, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		panic("pulse: " + err.Error()) // the accuracy is a constant
	}
	return m
}

var lastBin = places.Index(maxBPS) + 1

func newSketch() *sketch {
	return &sketch{store.NewSparseStore()}
}

// add counts a value, limited to 1 and most, with a weight of at least 1.
func (s *sketch) add(value, most, weight int64) {
	s.put(places.Index(float64(min(max(value, 1), most))), weight)
}

func (s *sketch) put(bin int, weight int64) {
	s.bins.AddWithCount(bin, float64(weight))
}

func (s *sketch) merge(o *sketch) {
	s.bins.MergeWith(o.bins)
}

// quantiles returns for each q the least value that a share of q is not above (nearest rank); zeros of an empty or missing sketch.
func (s *sketch) quantiles(qs ...float64) []float64 {
	out := make([]float64, len(qs))
	n := s.count()
	if n == 0 {
		return out
	}
	for i, q := range qs {
		rank := math.Ceil(q*float64(n)) - 1
		out[i] = places.Value(s.bins.KeyAtRank(max(rank, 0)))
	}
	return out
}

func (s *sketch) count() int64 {
	if s == nil {
		return 0
	}
	return int64(s.bins.TotalCount())
}

// bin is a bin's place and weight.
type bin struct {
	index  int
	weight int64
}

// sorted returns the bins, lowest first.
func (s *sketch) sorted() (out []bin) {
	if s == nil {
		return nil
	}
	s.bins.ForEach(func(i int, weight float64) bool {
		out = append(out, bin{i, int64(weight)})
		return false
	})
	slices.SortFunc(out, func(a, b bin) int { return a.index - b.index })
	return out
}
