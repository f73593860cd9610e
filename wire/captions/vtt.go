package captions

import "strings"

// parseVTT reads WebVTT: W3C, section 6.1. The text begins with the signature, on the given line of the file. Notes, styles, regions and names of
// cues are left out, and so is an X-TIMESTAMP-MAP, which belongs to segments of a stream.
func parseVTT(text string, firstLine int) ([]cue, error) {
	lines := strings.Split(text, "\n")
	var cues []cue
	for i := 1; i < len(lines); i++ {
		start, end, rest, found, err := timing(firstLine+i, lines[i])
		if err != nil {
			return nil, err
		}
		if !found {
			if word := strings.TrimSpace(lines[i]); startsBlock(word) && strings.TrimSpace(lines[i-1]) == "" {
				for i < len(lines) && strings.TrimSpace(lines[i]) != "" {
					i++
				}
			}
			continue
		}
		last := i + 1
		for last < len(lines) && strings.TrimSpace(lines[last]) != "" {
			last++
		}
		c, shows, err := timed(firstLine+i, start, end, clean(strings.Join(lines[i+1:last], "\n")))
		if err != nil {
			return nil, err
		}
		if shows {
			c.settings = settings(rest)
			cues = append(cues, c)
		}
		i = last
	}
	return cues, nil
}

// startsBlock tells whether a line begins a block that holds no cue.
func startsBlock(line string) bool {
	for _, word := range []string{"NOTE", "STYLE", "REGION"} {
		if rest, ok := strings.CutPrefix(line, word); ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t') {
			return true
		}
	}
	return false
}

// settings keeps the cue settings that are well formed: W3C WebVTT, section 4.4. A region is not kept, as its definition is not.
func settings(text string) string {
	var kept []string
	seen := map[string]bool{}
	for _, field := range strings.Fields(text) {
		key, value, ok := strings.Cut(field, ":")
		if !ok || seen[key] {
			continue
		}
		value, align, aligned := strings.Cut(value, ",")
		switch key {
		case "vertical":
			ok = !aligned && (value == "rl" || value == "lr")
		case "align":
			ok = !aligned && (value == "start" || value == "center" || value == "end" || value == "left" || value == "right")
		case "size":
			ok = !aligned && percentage(value)
		case "position":
			ok = percentage(value) && (!aligned || align == "line-left" || align == "center" || align == "line-right")
		case "line":
			_, row := digits(strings.TrimPrefix(value, "-"), 4)
			ok = (row || percentage(value)) && (!aligned || align == "start" || align == "center" || align == "end")
		default:
			ok = false
		}
		if ok {
			seen[key] = true
			kept = append(kept, field)
		}
	}
	return strings.Join(kept, " ")
}

// percentage tells whether a text is a number from 0 to 100 with the sign behind it.
func percentage(text string) bool {
	number, ok := strings.CutSuffix(text, "%")
	if !ok {
		return false
	}
	whole, fraction, dotted := strings.Cut(number, ".")
	n, ok := digits(whole, 3)
	if dotted {
		_, fine := digits(fraction, 9)
		ok = ok && fine
	}
	return ok && (n < 100 || n == 100 && strings.Trim(fraction, "0") == "")
}
