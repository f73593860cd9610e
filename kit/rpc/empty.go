package rpc

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// An emptier makes [] and {} of lists and maps that are nil, so that nobody who reads the JSON meets a null in place of a list.
// It knows beforehand which types can hold one, and changes copies only: what a room returned stays as it is.
type emptier struct {
	root reflect.Type
	can  map[reflect.Type]bool
}

func newEmptier(t reflect.Type) *emptier {
	e := &emptier{root: t, can: map[reflect.Type]bool{}}
	if t == nil {
		return e
	}
	// A type that refers to itself is taken to hold none until the rest of it says otherwise, so ask until nothing changes.
	for n := -1; n != len(e.can); {
		n = len(e.can)
		e.holds(t, map[reflect.Type]bool{})
	}
	return e
}

// holds tells whether a value of type t can hold a nil list or map that JSON would show as null, and remembers it.
func (e *emptier) holds(t reflect.Type, asked map[reflect.Type]bool) bool {
	if asked[t] || speaksForItself(t) {
		return e.can[t]
	}
	asked[t] = true
	found := false
	switch t.Kind() {
	case reflect.Slice:
		found = t.Elem().Kind() != reflect.Uint8
		if found {
			e.holds(t.Elem(), asked)
		}
	case reflect.Map:
		found = true
		e.holds(t.Elem(), asked)
	case reflect.Array, reflect.Pointer:
		found = e.holds(t.Elem(), asked)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && f.Tag.Get("json") != "-" && e.holds(f.Type, asked) {
				found = true
			}
		}
	}
	if found {
		e.can[t] = true
	}
	return found
}

// speaksForItself tells whether the type writes its own JSON.
func speaksForItself(t reflect.Type) bool {
	for _, i := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

// fill returns v with empty lists and maps in place of nil ones.
func (e *emptier) fill(v any) any {
	if v == nil || !e.can[e.root] {
		return v
	}
	out, _ := e.value(reflect.ValueOf(v))
	return out.Interface()
}

// value returns v, or a changed copy of it and true.
func (e *emptier) value(v reflect.Value) (reflect.Value, bool) {
	if !e.can[v.Type()] {
		return v, false
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			return reflect.MakeSlice(v.Type(), 0, 0), true
		}
		return e.items(v)
	case reflect.Array:
		return e.items(v)
	case reflect.Map:
		return e.entries(v)
	case reflect.Pointer:
		if v.IsNil() {
			return v, false
		}
		elem, changed := e.value(v.Elem())
		if !changed {
			return v, false
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(elem)
		return p, true
	case reflect.Struct:
		return e.fields(v)
	}
	return v, false
}

func (e *emptier) items(v reflect.Value) (reflect.Value, bool) {
	out, changed := v, false
	for i := range v.Len() {
		item, differs := e.value(v.Index(i))
		if !differs {
			continue
		}
		if !changed {
			changed = true
			out = reflect.New(v.Type()).Elem()
			if v.Kind() == reflect.Slice {
				out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			}
			reflect.Copy(out, v)
		}
		out.Index(i).Set(item)
	}
	return out, changed
}

func (e *emptier) entries(v reflect.Value) (reflect.Value, bool) {
	if v.IsNil() {
		return reflect.MakeMap(v.Type()), true
	}
	out, changed := v, false
	for _, key := range v.MapKeys() {
		item, differs := e.value(v.MapIndex(key))
		if !differs {
			continue
		}
		if !changed {
			changed = true
			out = reflect.MakeMapWithSize(v.Type(), v.Len())
			for _, k := range v.MapKeys() {
				out.SetMapIndex(k, v.MapIndex(k))
			}
		}
		out.SetMapIndex(key, item)
	}
	return out, changed
}

func (e *emptier) fields(v reflect.Value) (reflect.Value, bool) {
	out, changed := v, false
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Tag.Get("json") == "-" || omitted(f) && v.Field(i).IsZero() {
			continue
		}
		field, differs := e.value(v.Field(i))
		if !differs {
			continue
		}
		if !changed {
			changed = true
			out = reflect.New(v.Type()).Elem()
			out.Set(v)
		}
		out.Field(i).Set(field)
	}
	return out, changed
}

// omitted tells whether an empty value of the field is left out of the JSON.
func omitted(f reflect.StructField) bool {
	_, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.Contains(opts, "omitempty") || strings.Contains(opts, "omitzero")
}
