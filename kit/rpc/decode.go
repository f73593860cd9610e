package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"bijou"
	"bijou/kit/conf"

	"github.com/danielgtaylor/huma/v2"
)

// decode fills in from the request's address and body. Whatever does not fit is Invalid and named.
func (p *plan) decode(w http.ResponseWriter, r *http.Request, in reflect.Value) error {
	if hasBody(p.verb) {
		raw, err := p.readBody(w, r)
		if err != nil {
			return err
		}
		if err := p.decodeBody(raw, in); err != nil {
			return err
		}
	}
	return p.decodeAddress(r, in)
}

// decodeAddress fills the fields of in that travel in the address.
func (p *plan) decodeAddress(r *http.Request, in reflect.Value) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil && p.asksQuery() {
		return fmt.Errorf("the query of the address cannot be read (%v): %w", err, bijou.Invalid)
	}
	for _, a := range p.address {
		text, given := r.PathValue(a.name), true
		if a.query {
			text, given = query.Get(a.name), query.Has(a.name)
		}
		if !given {
			if a.required {
				return fmt.Errorf("%s is missing from the query of the address: %w", a.name, bijou.Invalid)
			}
			continue
		}
		value, err := parseScalar(in.FieldByIndex(a.index), text)
		if err != nil {
			return fmt.Errorf("%s %w: %w", a.name, err, bijou.Invalid)
		}
		if err := check(p.registry, a.schema, a.name, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) asksQuery() bool {
	for _, a := range p.address {
		if a.query {
			return true
		}
	}
	return false
}

// parseScalar sets field to what text says and returns the value as JSON has it.
func parseScalar(field reflect.Value, text string) (any, error) {
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
		return text, nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("must be true or false")
		}
		field.SetBool(b)
		return b, nil
	default: // newPlan lets nothing but integers through
		n, err := strconv.ParseInt(text, 10, field.Type().Bits())
		if errors.Is(err, strconv.ErrRange) {
			return nil, errors.New("is out of range")
		}
		if err != nil {
			return nil, errors.New("must be a whole number")
		}
		field.SetInt(n)
		return float64(n), nil
	}
}

func formatScalar(field reflect.Value) string {
	switch field.Kind() {
	case reflect.String:
		return field.String()
	case reflect.Bool:
		return strconv.FormatBool(field.Bool())
	default:
		return strconv.FormatInt(field.Int(), 10)
	}
}

// unsupportedMedia is answered with 415, as RFC 9110 section 15.5.16 has it; its kind is Invalid.
type unsupportedMedia struct{ got, want string }

func (e *unsupportedMedia) Error() string {
	return fmt.Sprintf("the body is announced as %q: send Content-Type: %s: %s", e.got, e.want, bijou.Invalid)
}

func (e *unsupportedMedia) Unwrap() error { return bijou.Invalid }

// bodyTime is how long a JSON body may take to arrive.
const bodyTime = 30 * time.Second

// maxDepth bounds how deep lists and objects lie in each other in a body.
const maxDepth = 64

// readBody returns the JSON body, or nothing where the request has none.
func (p *plan) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Who sends a little at a time would hold this goroutine for ever. A writer without deadlines, as in a test, has no connection.
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Now().Add(bodyTime))
	raw, err := io.ReadAll(http.MaxBytesReader(underneath(w), r.Body, p.maxBody))
	_ = ctl.SetReadDeadline(time.Time{}) // net/http goes on reading, to learn when the client leaves
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return nil, fmt.Errorf("the body is larger than %d bytes: send less at a time: %w", p.maxBody, bijou.Invalid)
	}
	if err != nil {
		return nil, fmt.Errorf("the body ended early (%v): %w", err, bijou.Unavailable)
	}
	if len(raw) == 0 {
		return nil, nil
	}
	given := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	if err == nil && (media == "application/json" || p.beacon && media == "text/plain") {
		return raw, nil
	}
	return nil, &unsupportedMedia{clip(given, 80), "application/json"}
}

// decodeBody fills the fields of in that travel in the body. No body at all is an object without fields.
func (p *plan) decodeBody(raw []byte, in reflect.Value) error {
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	tree, err := parseJSON(raw)
	if err != nil {
		return err
	}
	if err := knownFields(p.registry, p.schema, "", tree); err != nil {
		return err
	}
	if err := check(p.registry, p.schema, "", tree); err != nil {
		return err
	}
	err = json.Unmarshal(raw, in.Addr().Interface())
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s cannot be %s: it must be of type %s: %w", te.Field, te.Value, te.Type, bijou.Invalid)
	}
	if err != nil {
		return fmt.Errorf("the body cannot be read (%v): %w", err, bijou.Invalid)
	}
	return nil
}

// parseJSON returns the document as maps, lists, strings, float64, bool and nil. A name that stands twice in one object is refused:
// which of the two counts differs between readers, so what was checked might not be what is used.
func parseJSON(raw []byte) (any, error) {
	if !json.Valid(raw) {
		var discard any
		return nil, fmt.Errorf("the body is not JSON (%v): %w", json.Unmarshal(raw, &discard), bijou.Invalid)
	}
	return parseValue(json.NewDecoder(bytes.NewReader(raw)), "", 0)
}

func parseValue(d *json.Decoder, at string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the body has lists and objects more than %d deep in each other: %w", maxDepth, bijou.Invalid)
	}
	tok, err := d.Token()
	if err != nil { // a number that no float64 holds, since the syntax is known to be right
		return nil, fmt.Errorf("%s: a value cannot be read (%v): %w", place(at), err, bijou.Invalid)
	}
	switch tok {
	case json.Delim('{'):
		m := map[string]any{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("%s: a name cannot be read (%v): %w", place(at), err, bijou.Invalid)
			}
			key := name.(string) // JSON has no other names
			if _, twice := m[key]; twice {
				return nil, fmt.Errorf("field %s is given twice: %w", clip(join(at, key), 80), bijou.Invalid)
			}
			if m[key], err = parseValue(d, join(at, key), depth+1); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return m, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d, at+"["+strconv.Itoa(len(list))+"]", depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return tok, nil
}

// knownFields refuses a field that the schema does not have. Names count to the letter, upper and lower case included.
func knownFields(r huma.Registry, s *huma.Schema, at string, v any) error {
	for s != nil && s.Ref != "" {
		s = r.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return nil
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if err := knownFields(r, s.Items, at+"["+strconv.Itoa(i)+"]", item); err != nil {
				return err
			}
		}
	case map[string]any:
		more, open := s.AdditionalProperties.(*huma.Schema)
		if s.Type != huma.TypeObject {
			return nil // any JSON is welcome here, or check refuses it
		}
		for _, name := range sortedKeys(v) {
			prop, known := s.Properties[name]
			if !known && !open {
				return unknownField(at, name, sortedKeys(s.Properties))
			}
			if !known {
				prop = more
			}
			if err := knownFields(r, prop, join(at, name), v[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

func unknownField(at, name string, known []string) error {
	full := clip(join(at, name), 80)
	if len(known) == 0 {
		return fmt.Errorf("field %s is unknown: %s has no fields: %w", full, place(at), bijou.Invalid)
	}
	if near := conf.Nearest(name, known); near != "" {
		return fmt.Errorf("field %s is unknown: did you mean %s?: %w", full, near, bijou.Invalid)
	}
	return fmt.Errorf("field %s is unknown: the fields are %s: %w", full, strings.Join(known, ", "), bijou.Invalid)
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// place names a place in the body, also its outermost.
func place(at string) string {
	if at == "" {
		return "the body"
	}
	return clip(at, 80)
}

// clip shortens s for a message to about n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
