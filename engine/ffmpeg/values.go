package ffmpeg

import (
	"math"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/language"

	"bijou"
)

// milliseconds reads seconds such as "30.022000"; 0 where there are none.
func milliseconds(seconds string) float64 {
	s, err := strconv.ParseFloat(seconds, 64)
	if err != nil || math.IsNaN(s) || math.IsInf(s, 0) {
		return 0 // "N/A", or absent: the container does not tell
	}
	return s * 1000
}

// clock reads hours, minutes and seconds such as "00:01:02.345000000", in milliseconds; 0 where it is none.
func clock(text string) float64 {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0
	}
	total := 0.0
	for _, part := range parts {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil || !(v >= 0 && v < 1e6) {
			return 0 // not a clock
		}
		total = total*60 + v
	}
	return total * 1000
}

// ratio reads "16:15" or "30000/1001". Both parts are above 0, or it is none.
func ratio(text, sep string) (num, den int64, ok bool) {
	a, b, found := strings.Cut(text, sep)
	if !found {
		return 0, 0, false
	}
	num, errNum := strconv.ParseInt(a, 10, 64)
	den, errDen := strconv.ParseInt(b, 10, 64)
	if errNum != nil || errDen != nil || num <= 0 || den <= 0 {
		return 0, 0, false
	}
	return num, den, true
}

// The bounds of a believable frame rate, in frames a second. MPEG-TS and raw files claim 90,000 where they do not know.
const (
	minRate = 1
	maxRate = 240
)

// usualRates are those that cameras and screens run at.
var usualRates = [][2]int64{{24000, 1001}, {24, 1}, {25, 1}, {30000, 1001}, {30, 1}, {48, 1}, {50, 1}, {60000, 1001}, {60, 1}, {100, 1}, {120000, 1001}, {120, 1}}

// rate is the stream's average frame rate. A film whose frames come at uneven times (a telephone, a recording of a screen) averages to
// something like 29.87: such a rate becomes the usual one within 2 %, or else is rounded to a thousandth. Where no rate is believable it is 25.
func (s stream) rate() (num, den int64) {
	num, den, ok := ratio(s.Average, "/")
	if !ok || !believable(num, den) {
		if num, den, ok = ratio(s.Base, "/"); !ok || !believable(num, den) {
			return 25, 1
		}
	}
	near := 0.0002 // the average of an even film is off by the rounding of its time stamps
	baseNum, baseDen, ok := ratio(s.Base, "/")
	uneven := !ok || math.Abs(float64(num)/float64(den)*float64(baseDen)/float64(baseNum)-1) > near
	if uneven {
		near = 0.02
	}
	best := [2]int64{}
	for _, usual := range usualRates {
		if off := math.Abs(float64(num)/float64(den)*float64(usual[1])/float64(usual[0]) - 1); off <= near {
			best, near = usual, off
		}
	}
	if best[0] != 0 {
		return best[0], best[1]
	}
	if uneven || den > 1001 || num > 240_000 {
		num, den = int64(math.Round(float64(num)/float64(den)*1000)), 1000
	}
	g := gcd(num, den)
	return num / g, den / g
}

func believable(num, den int64) bool {
	r := float64(num) / float64(den)
	return r >= minRate && r <= maxRate
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// bibliographic are the codes of ISO 639-2/B that differ from the terminology codes that BCP 47 knows.
// Source: the code list of ISO 639-2's registration authority.
var bibliographic = map[string]string{
	"alb": "sq", "arm": "hy", "baq": "eu", "bur": "my", "chi": "zh", "cze": "cs", "dut": "nl", "fre": "fr", "geo": "ka", "ger": "de",
	"gre": "el", "ice": "is", "mac": "mk", "mao": "mi", "may": "ms", "per": "fa", "rum": "ro", "slo": "sk", "tib": "bo", "wel": "cy",
}

// tag turns the language that a film names, a code of ISO 639-2 or a BCP 47 tag, into BCP 47; "und" where it names none.
func tag(code string) string {
	code = strings.ToLower(strings.TrimSpace(code))
	if short, ok := bibliographic[code]; ok {
		return short
	}
	switch code {
	case "", "und", "mis", "mul", "zxx", "unk", "qaa":
		return "und"
	}
	t, err := language.Parse(code)
	if err != nil {
		return "und" // "English", or rubbish
	}
	return t.String()
}

// plain is a title without control characters and of a bearable length.
func plain(title string) string {
	title = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(title, ""))
	for len(title) > bijou.MaxName {
		cut := bijou.MaxName
		for cut > 0 && title[cut]&0xc0 == 0x80 {
			cut--
		}
		title = title[:cut]
	}
	return strings.TrimSpace(title)
}
