package cmcd

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bijou"
)

// Parse reads a dictionary. A key that stands twice counts as its last. It fails with Invalid, naming the place, for a text or a list without
// an end, and for more than fits the bounds.
func Parse(text string) (Data, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("CMCD: %d bytes are more than %d: %w", len(text), MaxBytes, bijou.Invalid)
	}
	p := parser{text: text}
	d := Data{}
	for p.skip(" \t,"); p.at < len(text); p.skip(" \t,") {
		key := p.until("=, \t")
		if key == "" || len(key) > maxKey || len(d) >= maxKeys {
			return nil, p.wrong("a key of at most 64 letters, and at most 100 of them")
		}
		p.skip(" \t")
		v := Yes()
		if p.take('=') {
			var err error
			if v, err = p.value(); err != nil {
				return nil, err
			}
		}
		d[key] = v
		if p.skip(" \t"); p.at < len(text) && text[p.at] != ',' {
			return nil, p.wrong("a comma")
		}
	}
	return d, nil
}

// parser reads a dictionary from its start on.
type parser struct {
	text string
	at   int
}

func (p *parser) wrong(want string) error {
	return fmt.Errorf("CMCD: at byte %d of %q: there must be %s: %w", p.at, clip(p.text), want, bijou.Invalid)
}

func (p *parser) skip(set string) {
	for p.at < len(p.text) && strings.IndexByte(set, p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// until returns what comes before one of the bytes.
func (p *parser) until(set string) string {
	rest := p.text[p.at:]
	n := strings.IndexAny(rest, set)
	if n < 0 {
		n = len(rest)
	}
	p.at += n
	return rest[:n]
}

func (p *parser) value() (Value, error) {
	p.skip(" \t")
	if !p.take('(') {
		item, err := p.item(",; \t")
		return Value{Items: []Item{item}}, err
	}
	v := Value{List: true}
	for {
		p.skip(" \t")
		if p.take(')') {
			return v, nil
		}
		if p.at == len(p.text) || len(v.Items) == maxItems {
			return v, p.wrong("the end of a list of at most 64 items")
		}
		before := p.at
		item, err := p.item("(); \t")
		if err != nil {
			return v, err
		}
		if p.at == before {
			return v, p.wrong("an item")
		}
		v.Items = append(v.Items, item)
	}
}

// item reads a bare item that ends before one of the bytes, and its parameters.
func (p *parser) item(ends string) (item Item, err error) {
	if item.Value, err = p.bare(ends); err != nil {
		return item, err
	}
	for p.take(';') {
		p.skip(" ")
		name := p.until("=" + ends)
		if name == "" || len(name) > maxKey || len(item.Params) == maxItems {
			return item, p.wrong("the name of a parameter")
		}
		param := Param{name, true}
		if p.take('=') {
			if param.Value, err = p.bare(ends); err != nil {
				return item, err
			}
		}
		item.Params = append(item.Params, param)
	}
	return item, nil
}

func (p *parser) bare(ends string) (any, error) {
	if p.take('"') {
		return p.quoted()
	}
	return guess(p.until(ends)), nil
}

// guess says what is meant by a word without quotes: a number, yes, no, or the word itself.
func guess(s string) any {
	switch s {
	case "?1", "true":
		return true
	case "?0", "false":
		return false
	}
	if s != "" && strings.Trim(s, "0123456789.-") == "" {
		if n, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(n) < 1e15 {
			return n + 0 // never -0
		}
	}
	return Token(s)
}

func (p *parser) quoted() (string, error) {
	var out strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '"':
			if out.Len() > maxText {
				return "", p.wrong("a text of at most 1,024 bytes")
			}
			return out.String(), nil
		case c == '\\' && p.at < len(p.text):
			c = p.text[p.at]
			p.at++
		}
		out.WriteByte(c)
	}
	return "", p.wrong(`a " that ends the text`)
}
