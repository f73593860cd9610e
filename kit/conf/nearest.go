package conf

import "strings"

// mostTypos is how far a name may be from a known one to be taken for it, in letters changed.
const mostTypos = 3

// Nearest returns the one of known that who typed name most likely meant: at most three letters away (Levenshtein 1965), upper and lower case
// aside, and at most half of a short name. It returns the empty string where none is so near.
func Nearest(name string, known []string) string {
	if name == "" {
		return ""
	}
	best, bound := "", min(mostTypos, max(1, len(name)/2))+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k), bound); d < bound {
			best, bound = k, d
		}
	}
	return best
}

// distance returns the least number of bytes to insert, remove or replace to make b of a, or bound where it is no less.
func distance(a, b string, bound int) int {
	if len(a)-len(b) >= bound || len(b)-len(a) >= bound {
		return bound
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return min(row[len(b)], bound)
}
