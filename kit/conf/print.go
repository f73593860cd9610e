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
		keys = append(keys, Key{Path: k.path, Type: kindName(k.value.Type()), Default: k.shown(), Env: k.env, Doc: k.doc})
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
		return quote(k.shown())
	}
	return k.text()
}

// shown returns the value as text for people, without what is secret of it.
func (k leaf) shown() string {
	text := k.text()
	switch {
	case k.secret && text != "":
		return Mask
	case k.password:
		return HidePassword(text)
	}
	return text
}

// HidePassword returns the address with Mask in place of the password in it. The whole of it is Mask where that cannot be told.
func HidePassword(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		if strings.Contains(address, "@") {
			return Mask
		}
		return address
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@")
	if at < 0 {
		if strings.Contains(rest, "@") { // a password with a slash in it, most likely
			return scheme + "://" + Mask
		}
		return address
	}
	user, _, has := strings.Cut(rest[:at], ":")
	if !has {
		return address
	}
	return scheme + "://" + user + ":" + Mask + rest[at:]
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
