package conf

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Key describes one key for documentation.
type Key struct {
	Path    string `json:"path"`    // such as studio.workers
	Type    string `json:"type"`    // text, true or false, whole number, number, duration, size, list
	Default string `json:"default"` // as it would be written; Mask for a secret that has one
	Env     string `json:"env"`     // the environment variable that sets it; with _FILE appended it names a file that holds the value
	Doc     string `json:"doc"`     // what it is for, in a sentence or two
}

// Keys returns every key of cfg, a pointer to a struct that holds the defaults, in the order of its fields.
func Keys(cfg any, prefix string) []Key {
	var keys []Key
	for _, k := range leavesOf(cfg, prefix) {
		text := k.text()
		if k.secret && text != "" {
			text = Mask
		}
		keys = append(keys, Key{Path: k.path, Type: kindName(k.value.Type()), Default: text, Env: k.env, Doc: k.doc})
	}
	return keys
}

// docWidth is how wide the comments are that Print writes, in bytes, as far as words allow.
const docWidth = 100

// Print writes the configuration cfg, a pointer to its struct, as YAML that Load reads. Each key has its documentation above it as a comment,
// and behind it where its value came from, if that is not the default. Secrets are written as Mask, which Load refuses.
func Print(w io.Writer, cfg any, origins Origins) error {
	var b strings.Builder
	var open []string // the sections around the key before
	for _, k := range leavesOf(cfg, "") {
		parts := strings.Split(k.path, ".")
		sections, name := parts[:len(parts)-1], parts[len(parts)-1]
		same := 0
		for same < len(open) && same < len(sections) && open[same] == sections[same] {
			same++
		}
		for depth := same; depth < len(sections); depth++ {
			fmt.Fprintf(&b, "%s%s:\n", indent(depth), sections[depth])
		}
		open = sections
		comment(&b, indent(len(sections)), k.doc)
		fmt.Fprintf(&b, "%s%s: %s", indent(len(sections)), name, k.yaml())
		if from := origins[k.path]; from != "" {
			b.WriteString(" # from " + oneLine(from))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// comment writes text as lines of a comment.
func comment(b *strings.Builder, indent, text string) {
	line := indent + "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > docWidth && line != indent+"#" {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// oneLine keeps a file's odd name from ending the comment it stands in.
func oneLine(s string) string { return strings.Trim(strconv.Quote(s), `"`) }

// yaml returns the value as the file has it.
func (k leaf) yaml() string {
	if k.secret && !k.value.IsZero() {
		return `"` + Mask + `"`
	}
	if k.isList() {
		items := k.items()
		for i, s := range items {
			items[i] = quote(s)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	if kindName(k.value.Type()) == "text" {
		return quote(k.text())
	}
	return k.text()
}

// quote returns text as a YAML scalar: bare where it is a plain word or path, in double quotes otherwise (YAML 1.2.2 section 7.3.1).
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n": // the last ones are booleans to readers of YAML 1.1
		return strconv.Quote(s)
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '/'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')) {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}
