package captions

import "strings"

// parseSSA reads SubStation Alpha and its successor ASS: the lines "Dialogue:" of the section [Events], in the order of fields that its
// line "Format:" gives. Drawings and effects are left out.
func parseSSA(text string) ([]cue, error) {
	var cues []cue
	fields := []string{"layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"}
	inEvents := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "["):
			inEvents = strings.EqualFold(line, "[Events]")
		case !inEvents:
		case strings.EqualFold(key, "Format"):
			fields = strings.Split(strings.ToLower(strings.ReplaceAll(value, " ", "")), ",")
		case strings.EqualFold(key, "Dialogue"):
			c, shows, err := dialogue(i+1, fields, value)
			if err != nil {
				return nil, err
			}
			if shows {
				cues = append(cues, c)
			}
		}
	}
	return cues, nil
}

// dialogue reads one line of dialogue. Its last field is the text, which may hold commas.
func dialogue(line int, fields []string, value string) (cue, bool, error) {
	values := strings.SplitN(value, ",", len(fields))
	named := map[string]string{}
	for i, v := range values {
		named[fields[i]] = v
	}
	start, okStart := parseClock(strings.TrimSpace(named["start"]))
	end, okEnd := parseClock(strings.TrimSpace(named["end"]))
	if !okStart || !okEnd {
		return cue{}, false, fault(line, "the times %q and %q cannot be read: write them as 0:01:02.34", clipped(named["start"]), clipped(named["end"]))
	}
	return timed(line, start, end, cleanSSA(named["text"]))
}

// cleanSSA makes clean cue text of a dialogue's.
func cleanSSA(s string) string {
	var m markup
	drawing := false
	s = strings.NewReplacer(`\N`, "\n", `\n`, "\n", `\h`, "\u00a0").Replace(s)
	for s != "" {
		before, after, found := strings.Cut(s, "{")
		if !drawing {
			m.text(before)
		}
		if !found {
			break
		}
		codes, rest, closed := strings.Cut(after, "}")
		if !closed {
			m.text("{" + after)
			break
		}
		for _, code := range strings.Split(codes, `\`)[1:] {
			drawing = m.override(strings.TrimSpace(code), drawing)
		}
		s = rest
	}
	return m.String()
}

// override carries out one override code, such as "i1", and says whether what follows is a drawing.
func (m *markup) override(code string, drawing bool) bool {
	switch code {
	case "i1", "b1", "u1":
		m.start(code[:1], "")
	case "i0", "b0", "u0":
		m.end(code[:1])
	case "r": // back to the line's own style
		m.closeTo(0)
	case "p0":
		return false
	default:
		if scale, ok := strings.CutPrefix(code, "p"); ok {
			if _, number := digits(scale, 3); number {
				return true
			}
		}
	}
	return drawing
}
