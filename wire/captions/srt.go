package captions

import "strings"

// arrow stands between the times of a cue in SubRip and WebVTT.
const arrow = "-->"

// timing reads a cue's line of times. A line that does not begin like a time is text, even with an arrow in it: found is false.
func timing(at int, line string) (start, end int64, rest string, found bool, err error) {
	left, right, arrowed := strings.Cut(strings.TrimSpace(line), arrow)
	if !arrowed || left == "" || !strings.ContainsAny(left[:1], "-0123456789") {
		return 0, 0, "", false, nil
	}
	right = strings.TrimSpace(right)
	until, rest := right, ""
	if i := strings.IndexAny(right, " \t"); i >= 0 {
		until, rest = right[:i], right[i+1:]
	}
	start, okStart := parseClock(strings.TrimSpace(left))
	end, okEnd := parseClock(until)
	if !okStart || !okEnd {
		if !strings.Contains(left, ":") {
			return 0, 0, "", false, nil
		}
		return 0, 0, "", false, fault(at, "the times %q cannot be read: write them as 00:01:02,345 --> 00:01:04,000", clipped(line))
	}
	return start, end, rest, true, nil
}

// clipped is the beginning of a line, for a sentence.
func clipped(line string) string {
	runes := []rune(strings.TrimSpace(line))
	return string(runes[:min(len(runes), 60)])
}

// parseSRT reads SubRip. A cue lasts until the next line of times, so a blank line within its text harms nothing.
func parseSRT(text string) ([]cue, error) {
	lines := strings.Split(text, "\n")
	var cues []cue
	var start, end int64
	first := -1 // the line where the text of the open cue begins
	finish := func(last int) error {
		if first < 0 {
			return nil
		}
		c, shows, err := timed(first, start, end, clean(strings.Join(withoutNumber(lines[first:last], last < len(lines)), "\n")))
		if shows {
			cues = append(cues, c)
		}
		return err
	}
	for i, line := range lines {
		s, e, _, found, err := timing(i+1, line)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if err := finish(i); err != nil {
			return nil, err
		}
		start, end, first = s, e, i+1
	}
	if err := finish(len(lines)); err != nil {
		return nil, err
	}
	return cues, nil
}

// withoutNumber drops the number of the next cue, where there is a next one, from the lines of this one.
func withoutNumber(lines []string, next bool) []string {
	last := len(lines) - 1
	for last >= 0 && next && strings.TrimSpace(lines[last]) == "" {
		last--
	}
	if !next || last < 0 {
		return lines
	}
	_, number := digits(strings.TrimSpace(lines[last]), 9)
	if number && (last == 0 || strings.TrimSpace(lines[last-1]) == "") {
		return lines[:last]
	}
	return lines
}
