package captions

import "strings"

// markup builds clean cue text: what was text is escaped, the tags that it keeps are closed, and no line is blank.
type markup struct {
	b    strings.Builder
	open []string // the tags that are open, such as "i"
}

// Bounds of what one cue may hold. Beyond them more tags are left out: nobody sees the twentieth italics within italics.
const (
	maxOpen = 8
	maxTag  = 200 // bytes between "<" and ">"
)

// text adds plain text, in which "&" is an ampersand.
func (m *markup) text(s string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<':
			m.b.WriteString("&lt;")
		case '>':
			m.b.WriteString("&gt;")
		case '&':
			m.b.WriteString("&amp;")
		default:
			m.b.WriteByte(s[i])
		}
	}
}

// reference is the character reference that s begins with, of those that WebVTT knows (W3C WebVTT, section 4.2.2), or nothing.
func reference(s string) string {
	for _, ref := range []string{"&amp;", "&lt;", "&gt;", "&nbsp;", "&lrm;", "&rlm;"} {
		if strings.HasPrefix(s, ref) {
			return ref
		}
	}
	return ""
}

// start opens a tag. note is the name of the speaker of a "v", and nothing else has one.
func (m *markup) start(tag, note string) {
	if len(m.open) >= maxOpen {
		return
	}
	m.open = append(m.open, tag)
	m.b.WriteString("<" + tag)
	if note != "" {
		m.b.WriteByte(' ')
		m.text(note)
	}
	m.b.WriteByte('>')
}

// end closes the innermost such tag and those within it. Where none is open it does nothing.
func (m *markup) end(tag string) {
	for i := len(m.open) - 1; i >= 0; i-- {
		if m.open[i] == tag {
			m.closeTo(i)
			return
		}
	}
}

func (m *markup) closeTo(n int) {
	for len(m.open) > n {
		last := len(m.open) - 1
		m.b.WriteString("</" + m.open[last] + ">")
		m.open = m.open[:last]
	}
}

// String closes what is open and gives the cue's text, or nothing where no line has a visible character.
func (m *markup) String() string {
	m.closeTo(0)
	var lines []string
	visible := false
	for line := range strings.Lines(m.b.String()) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		lines = append(lines, line)
		visible = visible || showsSomething(line)
	}
	if !visible {
		return ""
	}
	return strings.Join(lines, "\n")
}

// showsSomething tells whether anything but tags and spaces is in a line of clean text.
func showsSomething(line string) bool {
	inTag := false
	for _, r := range line {
		switch {
		case r == '<':
			inTag = true
		case r == '>':
			inTag = false
		case !inTag && r != ' ' && r != '\t' && r != '\u00a0':
			return true
		}
	}
	return false
}

// clean makes clean cue text of the text of a SubRip or WebVTT cue. Tags that are not kept go and what is between them stays; a "<" that begins no
// tag is a character. The position codes of SubStation Alpha, such as {\an8}, which SubRip files borrow, go too.
func clean(s string) string {
	var m markup
	for s != "" {
		at := strings.IndexAny(s, "<{&")
		if at < 0 {
			m.text(s)
			break
		}
		m.text(s[:at])
		s = s[at:]
		if ref := reference(s); ref != "" {
			m.b.WriteString(ref)
			s = s[len(ref):]
			continue
		}
		n := 0
		switch {
		case strings.HasPrefix(s, `{\`):
			n = strings.IndexByte(s[:min(len(s), maxTag)], '}') + 1
		case s[0] == '<':
			n = m.tag(s)
		}
		if n == 0 {
			m.text(s[:1])
			n = 1
		}
		s = s[n:]
	}
	return m.String()
}

// tag reads the tag that s begins with and keeps it where WebVTT and we know it. It returns the tag's length, 0 where it is none.
func (m *markup) tag(s string) int {
	n := strings.IndexByte(s[:min(len(s), maxTag)], '>') + 1
	if n < 3 {
		return 0
	}
	inner := s[1 : n-1]
	if strings.ContainsAny(inner, "<\n") {
		return 0
	}
	if strings.Trim(inner, "0123456789:.") == "" {
		return n // a time within a cue, for karaoke
	}
	body, closing := strings.CutPrefix(inner, "/")
	if body == "" || !(body[0] == '!' || body[0] >= 'a' && body[0] <= 'z' || body[0] >= 'A' && body[0] <= 'Z') {
		return 0
	}
	name, note, _ := strings.Cut(strings.TrimSuffix(body, "/"), " ")
	name, _, _ = strings.Cut(strings.ToLower(name), ".") // classes go
	switch {
	case name != "i" && name != "b" && name != "u" && name != "v":
	case closing:
		m.end(name)
	case name != "v":
		m.start(name, "")
	default:
		// A name that ends in dashes would make an arrow with the tag's own end.
		if speaker := strings.Trim(unescaped(note), " \t-"); speaker != "" {
			m.start("v", speaker)
		}
	}
	return n
}

// unescaped undoes the character references of a speaker's name, which are written anew.
func unescaped(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&", "&nbsp;", " ", "&lrm;", "", "&rlm;", "").Replace(s)
}
