package rpc

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"bijou"

	"github.com/danielgtaylor/huma/v2"
)

var (
	rootPackage         = reflect.TypeFor[bijou.Title]().PkgPath()
	problemType         = reflect.TypeFor[Problem]()
	timeType            = reflect.TypeFor[time.Time]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// schemas are the named schemas of one document.
type schemas struct {
	registry huma.Registry
	names    map[reflect.Type]string
	taken    map[string]bool
	bodies   map[reflect.Type]string // of inputs whose fields travel in the address too: the name of the schema of the others
	extra    map[string]*huma.Schema // those
	used     map[string]bool         // names that something refers to
	asked    map[string]bool         // names that a request refers to
}

// newSchemas names the types that the routes exchange.
func newSchemas(routes []Route) (*schemas, error) {
	types := map[reflect.Type]bool{}
	if err := gather(problemType, types); err != nil {
		return nil, err
	}
	for _, r := range routes {
		if len(r.plan.body) > 0 {
			if err := gather(r.in, types); err != nil {
				return nil, fmt.Errorf("the input of %s: %w", r.Pattern(), err)
			}
		}
		if r.out != nil && r.status != http.StatusNoContent {
			if err := gather(r.out, types); err != nil {
				return nil, fmt.Errorf("the answer of %s: %w", r.Pattern(), err)
			}
		}
	}
	s := &schemas{bodies: map[reflect.Type]string{}, extra: map[string]*huma.Schema{}, used: map[string]bool{}, asked: map[string]bool{}}
	s.names, s.taken = schemaNames(types)
	s.registry = huma.NewMapRegistry(schemaPrefix, func(t reflect.Type, hint string) string {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return cmp.Or(s.names[t], hint)
	})
	return s, nil
}

// gather adds the structs that t is made of. It fails with Invalid for what the document could not say truly.
func gather(t reflect.Type, into map[reflect.Type]bool) error {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return gather(t.Elem(), into)
	case reflect.Struct:
	default:
		return nil
	}
	if t == timeType || into[t] || reflect.PointerTo(t).Implements(textUnmarshalerType) {
		return nil
	}
	if t.Name() == "" {
		return fmt.Errorf("%s has no name: declare a type for it: %w", t, bijou.Invalid)
	}
	into[t] = true
	return gatherFields(t, into)
}

// gatherFields adds what the struct's fields are made of. Those of an embedded struct are its own, so that one has no schema itself.
func gatherFields(t reflect.Type, into map[reflect.Type]bool) error {
	for i := range t.NumField() {
		f := t.Field(i)
		embedded := f.Anonymous && f.Tag.Get("json") == ""
		switch {
		case embedded && f.Type.Kind() == reflect.Struct:
			if err := gatherFields(f.Type, into); err != nil {
				return err
			}
			continue
		case embedded && f.Type.Kind() == reflect.Pointer:
			return fmt.Errorf("%s embeds a pointer: embed the struct itself: %w", t, bijou.Invalid)
		case !f.IsExported(), jsonName(f) == "":
			continue
		case f.Type.Kind() == reflect.Pointer && !omitted(f):
			return fmt.Errorf("field %s of %s may be null: add omitempty, so that it is absent instead: %w", f.Name, t, bijou.Invalid)
		}
		if err := gather(f.Type, into); err != nil {
			return err
		}
	}
	return nil
}

// schemaNames gives each type its own name where no other type has it. Of several, one of package bijou or Problem keeps it; the
// others get their package's name before it, and a number where that is taken too. It returns the names that are taken as well.
func schemaNames(types map[reflect.Type]bool) (names map[reflect.Type]string, taken map[string]bool) {
	named := map[string]int{}
	for t := range types {
		named[shortName(t)]++
	}
	// Those that keep their names come first, and within them those that nobody else's name can change.
	rank := func(t reflect.Type) int {
		switch {
		case t == problemType, t.PkgPath() == rootPackage:
			return 0
		case named[shortName(t)] == 1:
			return 1
		}
		return 2
	}
	all := slices.SortedFunc(maps.Keys(types), func(a, b reflect.Type) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a.PkgPath(), b.PkgPath()), strings.Compare(a.Name(), b.Name()))
	})
	names, taken = map[reflect.Type]string{}, map[string]bool{}
	for _, t := range all {
		name := shortName(t)
		if rank(t) == 2 || taken[name] {
			pkg := path.Base(t.PkgPath())
			name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
		}
		names[t] = free(name, taken)
	}
	return names, taken
}

// free returns the name, or the name and the first number that makes it one nobody has, and takes it.
func free(name string, taken map[string]bool) string {
	unique := name
	for n := 2; taken[unique]; n++ {
		unique = fmt.Sprintf("%s%d", name, n)
	}
	taken[unique] = true
	return unique
}

// shortName returns the type's name without its package, as OpenAPI allows it: Page[bijou.Title] is PageTitle.
func shortName(t reflect.Type) string { return huma.DefaultSchemaNamer(t, "") }

// of returns the schema of what an answer holds.
func (s *schemas) of(t reflect.Type) *huma.Schema {
	schema := s.registry.Schema(t, true, "")
	noNulls(schema)
	s.reach(schema, s.used)
	return schema
}

// body returns the schema of a route's JSON body.
func (s *schemas) body(r Route) *huma.Schema {
	schema := s.registry.Schema(r.in, true, "")
	if len(r.plan.address) > 0 {
		name, ok := s.bodies[r.in]
		if !ok {
			name = free(s.names[r.in]+"Body", s.taken)
			s.bodies[r.in], s.extra[name] = name, bodySchema(s.registry, r.in, r.plan.address)
		}
		schema = &huma.Schema{Ref: schemaPrefix + name}
	}
	s.reach(schema, s.used)
	s.reach(schema, s.asked)
	return schema
}

func (s *schemas) named(name string) *huma.Schema {
	return cmp.Or(s.extra[name], s.registry.Map()[name])
}

// reach adds the names of the schemas that the schema refers to, directly or through others.
func (s *schemas) reach(schema *huma.Schema, to map[string]bool) {
	if schema == nil {
		return
	}
	if name, ok := strings.CutPrefix(schema.Ref, schemaPrefix); ok && !to[name] {
		to[name] = true
		s.reach(s.named(name), to)
	}
	s.reach(schema.Items, to)
	for _, part := range schema.Properties {
		s.reach(part, to)
	}
	if more, ok := schema.AdditionalProperties.(*huma.Schema); ok {
		s.reach(more, to)
	}
}

// finish returns the named schemas that something refers to. Only a request's objects are closed to unknown fields: an answer may gain some.
func (s *schemas) finish() map[string]*huma.Schema {
	out := map[string]*huma.Schema{}
	for name := range s.used {
		schema := *s.named(name)
		noNulls(&schema)
		if schema.AdditionalProperties == false && !s.asked[name] {
			schema.AdditionalProperties = nil
		}
		out[name] = &schema
	}
	return out
}
