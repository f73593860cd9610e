package rpc

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A plan says which part of a request each field of In travels in. It is made once per declaration and read only after that.
type plan struct {
	verb, path string
	address    []addressField        // in the path or the query
	body       []string              // names of the fields in the JSON body
	audited    []reflect.StructField // of the JSON body: noted in the audit log
	beacon     bool
	maxBody    int64 // bytes of the JSON body that a server reads at most

	registry huma.Registry
	schema   *huma.Schema // of the JSON body
	empty    *emptier     // turns absent lists into empty ones
}

// addressField is a field of In that travels in the address.
type addressField struct {
	name   string // in the address
	query  bool   // else in the path
	rest   bool   // a path wildcard that takes slashes too
	index  []int  // of the field in In
	member string // its name in JSON, left out of the body
	schema *huma.Schema

	required bool // a query without it is refused; a path always has it
}

var wildcard = regexp.MustCompile(`\{([^{}]*)\}`)

// newPlan fails where the tags of In and the path do not fit each other.
func newPlan(verb, path string, in reflect.Type) (*plan, error) {
	if in.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the input is a %s: it must be a struct", in)
	}
	p := &plan{verb: verb, path: path, registry: huma.NewMapRegistry("#/", uniqueName), empty: newEmptier(in)}
	wild, err := wildcards(path)
	if err != nil {
		return nil, err
	}
	for _, f := range reflect.VisibleFields(in) {
		if !f.IsExported() || f.Anonymous && f.Tag.Get("json") == "" {
			continue // the fields of an embedded struct come by themselves
		}
		a, err := p.addressField(f, wild)
		if err != nil {
			return nil, err
		}
		if a != nil {
			p.address = append(p.address, *a)
		} else if name := jsonName(f); name != "" {
			p.body = append(p.body, name)
			if f.Tag.Get("audit") == "true" {
				p.audited = append(p.audited, f)
			}
		}
	}
	for name := range wild {
		if !slices.ContainsFunc(p.address, func(a addressField) bool { return !a.query && a.name == name }) {
			return nil, fmt.Errorf("no field of %s is tagged path:%q", in, name)
		}
	}
	if len(p.body) > 0 && !hasBody(verb) {
		return nil, fmt.Errorf("field %s of %s has neither a path nor a query tag, and %s has no body", p.body[0], in, verb)
	}
	p.schema = bodySchema(p.registry, in, p.address)
	return p, nil
}

// wildcards returns the names of the path's wildcards, each with whether it takes slashes.
func wildcards(path string) (map[string]bool, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("the path does not begin with a slash")
	}
	wild := map[string]bool{}
	for _, m := range wildcard.FindAllStringSubmatch(path, -1) {
		if m[1] == "$" {
			continue
		}
		name, rest := strings.CutSuffix(m[1], "...")
		wild[name] = rest
	}
	return wild, nil
}

// addressField returns nil for a field that travels in the body.
func (p *plan) addressField(f reflect.StructField, wild map[string]bool) (*addressField, error) {
	a := addressField{index: f.Index, member: jsonName(f), required: f.Tag.Get("required") == "true"}
	if name, ok := f.Tag.Lookup("path"); ok {
		rest, known := wild[name]
		if !known {
			return nil, fmt.Errorf("field %s is tagged path:%q, and the path has no such wildcard", f.Name, name)
		}
		a.name, a.rest = name, rest
	} else if name, ok := f.Tag.Lookup("query"); ok {
		a.name, a.query = name, true
	} else {
		return nil, nil
	}
	switch f.Type.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
	default:
		return nil, fmt.Errorf("field %s is a %s: only strings, integers and bool can travel in the address", f.Name, f.Type)
	}
	a.schema = huma.SchemaFromField(p.registry, f, "")
	return &a, nil
}

// jsonName returns the field's name in JSON, or the empty string where it has none.
func jsonName(f reflect.StructField) string {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return ""
	}
	if name, _, _ := strings.Cut(tag, ","); name != "" {
		return name
	}
	return f.Name
}

func hasBody(verb string) bool {
	return verb == http.MethodPost || verb == http.MethodPut || verb == http.MethodPatch
}

// uniqueName tells any two types apart, as two packages may have a type of the same name.
func uniqueName(t reflect.Type, _ string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// bodySchema returns the schema of In without the fields that travel in the address.
func bodySchema(r huma.Registry, in reflect.Type, address []addressField) *huma.Schema {
	full := r.Schema(in, false, in.Name())
	for _, s := range r.Map() {
		noNulls(s)
	}
	noNulls(full)
	s := *full
	s.Properties = map[string]*huma.Schema{}
	for name, prop := range full.Properties {
		if !slices.ContainsFunc(address, func(a addressField) bool { return a.member == name }) {
			s.Properties[name] = prop
		}
	}
	s.Required = nil
	for _, name := range full.Required {
		if s.Properties[name] != nil {
			s.Required = append(s.Required, name)
		}
	}
	s.PrecomputeMessages()
	return &s
}

// noNulls says of lists that they are never null: an empty one is [].
func noNulls(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	noNulls(s.Items)
	for _, p := range s.Properties {
		noNulls(p)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		noNulls(more)
	}
}
