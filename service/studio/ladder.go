package studio

import (
	"math"

	"bijou"
)

// rung is one rendition of the ladder.
type rung struct {
	Width, Height int
	CRF           float64
	MaxBPS        int64
}

// rungSides are the sizes of rungs below the source's own, by the picture's shorter side in pixels, and the highest is also the largest made.
var rungSides = []int{1080, 720, 480, 360, 240}

const (
	maxRungs = 4
	// maxLong bounds the longer side in pixels: 4096x2304 is the largest frame of H.264 level 5.2 (ITU-T H.264 table A-1) at 16:9, and
	// decoders in browsers and televisions end there.
	maxLong = 4096
	// minSide is the shorter side below which a picture gets no smaller rendition.
	minSide = 96
	// A cap of 6 Mb/s suits 1080p at 30 frames a second; other sizes follow by the power rule with exponent 0.75: doubling the pixels
	// a second takes about 1.7 times the bits at equal quality (J. Ozer, Video Encoding by the Numbers, 2016).
	capBPS     = 6_000_000
	capPixels  = 1920 * 1080 * 30
	capPower   = 0.75
	minCapBPS  = 100_000
	topCRF     = 22.0
	crfPerRung = 0.5 // smaller pictures are scaled up on the screen, so their coding errors hide less; bits are few there anyway
	maxRate    = 60  // frames a second: faster films are shown at every second frame
)

// ladder returns two to four renditions of the picture, largest first, never larger than it. A picture under minSide pixels gets one.
func ladder(v bijou.VideoStream) []rung {
	side := min(v.Width, v.Height)
	top := max(1, min(side, rungSides[0], side*maxLong/max(v.Width, v.Height)))
	sides := []int{top}
	for _, candidate := range rungSides {
		// A rung less than a fifth smaller than the one above would not be worth its bytes.
		if len(sides) < maxRungs && candidate*5 <= sides[len(sides)-1]*4 {
			sides = append(sides, candidate)
		}
	}
	if len(sides) == 1 && top >= minSide {
		sides = append(sides, top*2/3)
	}
	num, den := frameRate(v)
	var rungs []rung
	for i, want := range sides {
		r := rung{Width: even(v.Width, want, side), Height: even(v.Height, want, side), CRF: topCRF - crfPerRung*float64(i)}
		pixels := float64(r.Width) * float64(r.Height) * float64(num) / float64(den)
		r.MaxBPS = max(minCapBPS, int64(capBPS*math.Pow(pixels/capPixels, capPower)))
		rungs = append(rungs, r)
	}
	return rungs
}

// even scales n by want/have and rounds to the nearest even number, as 4:2:0 sampling needs, never above n's own even part or maxLong,
// which a strip of a few pixels would be.
func even(n, want, have int) int {
	scaled := int(math.Round(float64(n)*float64(want)/float64(have)/2)) * 2
	return max(2, min(scaled, n/2*2, maxLong))
}

// frameRate returns the constant rate that the film is shown at.
func frameRate(v bijou.VideoStream) (num, den int64) {
	num, den = v.RateNum, v.RateDen
	if num <= 0 || den <= 0 || num > math.MaxInt32 || den > math.MaxInt32 {
		return 25, 1
	}
	for num > maxRate*den {
		den *= 2
	}
	return num, den
}
