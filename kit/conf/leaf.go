package conf

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// leaf is one key: a field of the configuration or of one of its sections.
type leaf struct {
	path, env string
	value     reflect.Value
	secret    bool // all of it
	password  bool // of the address that it is
	doc       string
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	listType     = reflect.TypeFor[[]string]()
)

// leavesOf returns the keys of the configuration in the order of its fields. A struct that is no configuration is a defect of the program and panics.
func leavesOf(into any, prefix string) []leaf {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("conf: %T is no pointer to a struct", into))
	}
	leaves := collect(v.Elem(), "", prefix)
	seen := map[string]string{}
	for _, k := range leaves {
		if other := seen[k.env]; other != "" {
			panic(fmt.Sprintf("conf: keys %s and %s have the same environment variable %s", other, k.path, k.env))
		}
		seen[k.env] = k.path
	}
	return leaves
}

func collect(v reflect.Value, path, prefix string) []leaf {
	var leaves []leaf
	for f, field := range v.Fields() {
		name := keyName(f)
		switch {
		case name == "":
			continue
		case isSection(f.Type):
			leaves = append(leaves, collect(field, join(path, name), prefix)...)
			continue
		case kindName(f.Type) == "":
			panic(fmt.Sprintf("conf: %s is a %s, which no text can be turned into", join(path, name), f.Type))
		}
		full := join(path, name)
		doc := f.Tag.Get("doc")
		if doc == "" {
			panic(fmt.Sprintf("conf: key %s has no doc tag", full))
		}
		leaves = append(leaves, leaf{
			path: full, value: field, secret: f.Tag.Get("secret") == "true", password: f.Tag.Get("secret") == "password", doc: doc,
			env: prefix + "_" + strings.ToUpper(strings.ReplaceAll(full, ".", "_")),
		})
	}
	return leaves
}

// keyName returns the field's name in the file, or the empty string for a field that is no key.
func keyName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	if name == "" {
		panic(fmt.Sprintf("conf: field %s has no yaml tag", f.Name))
	}
	return name
}

func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct }

// kindName returns what a value of the type is called in documentation, or the empty string for a type that no key may have.
func kindName(t reflect.Type) string {
	switch t {
	case durationType:
		return "duration"
	case sizeType:
		return "size"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "whole number"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		if t.ConvertibleTo(listType) {
			return "list"
		}
	}
	return ""
}

// parse sets the key to what text says. Its errors go on from the key's name, without repeating a value that may be a secret.
func (k leaf) parse(text string) error {
	switch v := k.value; v.Type() {
	case durationType:
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil {
			return k.wrong(text, "a duration such as 500ms, 4s or 1h30m")
		}
		v.SetInt(int64(d))
		return nil
	case sizeType:
		s, err := ParseSize(text)
		if err != nil {
			return k.wrong(text, "a size such as 512MiB or 10GiB")
		}
		v.SetInt(int64(s))
		return nil
	}
	return k.parseKind(text)
}

func (k leaf) parseKind(text string) error {
	v, trimmed := k.value, strings.TrimSpace(text)
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if trimmed != "true" && trimmed != "false" {
			return k.wrong(text, "true or false")
		}
		v.SetBool(trimmed == "true")
	case v.CanInt():
		n, err := strconv.ParseInt(trimmed, 10, v.Type().Bits())
		if err != nil {
			return k.wrongNumber(text, err)
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(trimmed, 10, v.Type().Bits())
		if err != nil {
			return k.wrongNumber(text, err)
		}
		v.SetUint(n)
	case v.CanFloat():
		n, err := strconv.ParseFloat(trimmed, v.Type().Bits())
		if err != nil || n != n || n-n != 0 { // neither NaN nor an infinity sets a bound
			return k.wrong(text, "a number such as 0.5")
		}
		v.SetFloat(n)
	default: // collect lets nothing but lists through
		k.setList(splitList(text))
	}
	return nil
}

func (k leaf) wrongNumber(text string, err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return k.wrong(text, fmt.Sprintf("a whole number that fits into %d bits", k.value.Type().Bits()))
	}
	if k.value.CanUint() {
		return k.wrong(text, "a whole number from 0, such as 2")
	}
	return k.wrong(text, "a whole number such as 2")
}

func (k leaf) wrong(text, want string) error {
	if k.secret {
		return errors.New("must be " + want)
	}
	return fmt.Errorf("is %q: it must be %s", clip(text), want)
}

func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func (k leaf) setList(items []string) {
	out := reflect.MakeSlice(k.value.Type(), len(items), len(items))
	for i, s := range items {
		out.Index(i).SetString(s)
	}
	k.value.Set(out)
}

func (k leaf) isList() bool { return k.value.Kind() == reflect.Slice }

// items returns the entries of a key that is a list.
func (k leaf) items() []string {
	var items []string
	for i := range k.value.Len() {
		items = append(items, k.value.Index(i).String())
	}
	return items
}

// text returns the value as parse reads it.
func (k leaf) text() string {
	switch v := k.value.Interface().(type) {
	case time.Duration:
		return v.String()
	case Size:
		return v.String()
	}
	switch v := k.value; {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
	}
	return strings.Join(k.items(), ",")
}
