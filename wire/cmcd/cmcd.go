// Package cmcd reads and prints what players tell of themselves: Common Media Client Data, CTA-5004 (version 1) and CTA-5004-B (version 2).
//
// The data is a dictionary as RFC 9651 has it: keys in order, each with a number, a word, a text, a yes, or a list of these. It travels as
// the query parameter CMCD, in four headers, as JSON, or, in event mode, as a line of a report's body. What is read may be sloppy: keys that
// nobody knows are kept, and words need no quotes. What is printed is what the standards say.
package cmcd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"bijou"
)

// Bounds of what is read and printed.
const (
	MaxBytes = 8 << 10 // of one dictionary
	maxKeys  = 100     // of one dictionary
	maxItems = 64      // of one list
	maxText  = 1024    // bytes of one text
	maxKey   = 64      // bytes of a key
)

// Data is what one request or report says, by key.
type Data map[string]Value

// Value is a single item, or a list of them.
type Value struct {
	Items []Item
	List  bool // printed in parentheses, even where it has one item
}

// Item is a bool, float64, string or Token, and what is said of it, such as the object type that a rate in a list is about.
type Item struct {
	Value  any
	Params []Param
}

// Param says something of an item.
type Param struct {
	Name  string
	Value any // as Item.Value
}

// Token is a word of a closed set; it is printed without quotes.
type Token string

// Number, Text, Word and Yes are values of one item.
func Number[T ~int | ~int64 | ~float64](n T) Value { return one(float64(n)) }

// Text is a value of one text.
func Text(s string) Value { return one(s) }

// Word is a value of one token.
func Word(s string) Value { return one(Token(s)) }

// Yes is the value of a key that stands alone.
func Yes() Value { return one(true) }

// NumberOf is a list of one number, which is about an object type (v, a, av …).
func NumberOf[T ~int | ~int64 | ~float64](n T, object string) Value {
	return Value{List: true, Items: []Item{{Value: float64(n), Params: []Param{{object, true}}}}}
}

func one(v any) Value { return Value{Items: []Item{{Value: v}}} }

// Number returns the key's number. Of a list it is the one about the picture, else the first.
func (d Data) Number(key string) (n float64, ok bool) {
	for _, item := range d[key].Items {
		f, is := item.Value.(float64)
		if !is {
			continue
		}
		if item.about("v") || item.about("av") {
			return f, true
		}
		if !ok {
			n, ok = f, true
		}
	}
	return n, ok
}

func (i Item) about(object string) bool {
	return slices.ContainsFunc(i.Params, func(p Param) bool { return p.Name == object })
}

// Text returns the key's first text or word; nothing where it has none.
func (d Data) Text(key string) string {
	for _, item := range d[key].Items {
		switch v := item.Value.(type) {
		case string:
			return v
		case Token:
			return string(v)
		}
	}
	return ""
}

// Is tells whether the key stands there without being denied.
func (d Data) Is(key string) bool {
	for _, item := range d[key].Items {
		return item.Value != false
	}
	return false
}

// roundTo are the keys whose numbers are rounded to hundreds (CTA-5004, Table 1).
var roundTo = map[string]float64{"bl": 100, "dl": 100, "mtp": 100, "rtp": 100, "tbl": 100}

// Print returns the dictionary, its keys in order. What need not be said (no, playback rate 1, version 1) is left out. It fails with Invalid
// for what a dictionary cannot hold.
func Print(d Data) (string, error) {
	if len(d) > maxKeys {
		return "", fmt.Errorf("CMCD: %d keys are more than %d: %w", len(d), maxKeys, bijou.Invalid)
	}
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(d)) {
		v := d[key]
		if err := checkKey(key); err != nil {
			return "", err
		}
		if unsaid(key, v) {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		out.WriteString(key)
		if err := printValue(&out, key, v); err != nil {
			return "", err
		}
	}
	if out.Len() > MaxBytes {
		return "", fmt.Errorf("CMCD: %d bytes are more than %d: %w", out.Len(), MaxBytes, bijou.Invalid)
	}
	return out.String(), nil
}

func unsaid(key string, v Value) bool {
	if v.List || len(v.Items) != 1 {
		return len(v.Items) == 0
	}
	n := v.Items[0].Value
	return n == false || (key == "pr" || key == "v") && n == 1.0
}

// checkKey refuses, as Invalid, what is no key: one that the standards name, or one's own, which has a hyphen (CTA-5004, section 3.1).
func checkKey(key string) error {
	if _, known := headerOf[key]; (known || strings.Contains(key, "-")) && isKey(key) {
		return nil
	}
	return fmt.Errorf("CMCD: %q is no key: use one of CTA-5004's, or one of your own with a hyphen in it: %w", clip(key), bijou.Invalid)
}

// isKey tells whether s is a key of RFC 9651, section 3.1.2.
func isKey(s string) bool {
	return s != "" && len(s) <= maxKey && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.*") == "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '*')
}

func printValue(out *strings.Builder, key string, v Value) error {
	if !v.List && v.Items[0].Value == true && len(v.Items[0].Params) == 0 {
		return nil // a key alone says yes
	}
	out.WriteByte('=')
	if !v.List {
		return printItem(out, key, v.Items[0])
	}
	if len(v.Items) > maxItems {
		return fmt.Errorf("CMCD: %s has %d items, more than %d: %w", key, len(v.Items), maxItems, bijou.Invalid)
	}
	out.WriteByte('(')
	for i, item := range v.Items {
		if i > 0 {
			out.WriteByte(' ')
		}
		if err := printItem(out, key, item); err != nil {
			return err
		}
	}
	out.WriteByte(')')
	return nil
}

func printItem(out *strings.Builder, key string, item Item) error {
	if err := printBare(out, key, item.Value); err != nil {
		return err
	}
	for _, p := range item.Params {
		if !isKey(p.Name) {
			return fmt.Errorf("CMCD: %s: %q is no name of a parameter: %w", key, clip(p.Name), bijou.Invalid)
		}
		out.WriteString(";" + p.Name)
		if p.Value == true {
			continue
		}
		out.WriteByte('=')
		if err := printBare(out, "", p.Value); err != nil {
			return err
		}
	}
	return nil
}

func printBare(out *strings.Builder, key string, v any) error {
	switch v := v.(type) {
	case bool:
		out.WriteString(map[bool]string{true: "?1", false: "?0"}[v])
		return nil
	case float64:
		if step := roundTo[key]; step > 0 {
			v = math.Round(v/step) * step
		}
		v = math.Round(v*1000) / 1000 // RFC 9651, section 4.1.5
		if math.Abs(v) < 1e12 || v == math.Trunc(v) && math.Abs(v) < 1e15 {
			out.WriteString(strconv.FormatFloat(v+0, 'f', -1, 64))
			return nil
		}
	case Token:
		if isToken(string(v)) {
			out.WriteString(string(v))
			return nil
		}
	case string:
		if len(v) <= maxText && !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			out.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`)
			return nil
		}
	}
	return fmt.Errorf("CMCD: %s cannot be %q: numbers have at most 15 digits, texts 1,024 letters of ASCII: %w", key, clip(fmt.Sprint(v)), bijou.Invalid)
}

// isToken tells whether s is a token of RFC 9651, section 3.3.4.
func isToken(s string) bool {
	if s == "" || len(s) > maxText || !(s[0] == '*' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z') {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),;<=>?@[\]{}`, r) })
}

// clip shortens s for a message.
func clip(s string) string {
	if len(s) <= 40 {
		return s
	}
	return strings.ToValidUTF8(s[:40], "") + "…"
}
