// Package conf fills a configuration: the program's defaults, a YAML file over them, environment variables over that, and flags over all.
//
// The configuration is a struct whose fields carry yaml tags; a nested struct is a section. Every key works when absent, and a key that
// nobody knows is refused with the name that was probably meant. Fields may be strings, bool, integers, floating-point numbers,
// time.Duration ("4s"), Size ("10GiB") and []string. Each key has its documentation in the tag doc:"…", the only place where it stands: a key
// without it panics, as any struct does that is no configuration. The tag secret:"true" keeps a value out of what is printed.
package conf

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"bijou"
)

// Sources are where the values come from, besides the defaults that the struct holds already.
type Sources struct {
	File   string   // YAML; none where empty
	Env    []string // NAME=value, as os.Environ returns them
	Prefix string   // of the environment variables, such as BIJOU: key studio.workers is BIJOU_STUDIO_WORKERS
	Sets   []string // key=value, from flags
}

// Origins tells where the value of a key came from, in words such as "/etc/bijou.yaml:3" or "BIJOU_STUDIO_WORKERS". A key that is not in it has its default.
type Origins map[string]string

// maxFile bounds a configuration file and a file that holds a secret, in bytes.
const maxFile = 1 << 20

// Mask stands for a secret in what is printed.
const Mask = "•••"

// Checker is what a section, or the whole configuration, implements to refuse values that cannot work. Its error begins with the key's own name;
// several are Errors.
type Checker interface{ Check() error }

// Errors is all that is wrong with a configuration, in the order in which it was found. It reads as the first of them.
type Errors []error

// Add notes that something is wrong, as Invalid, where ok does not hold. The sentence begins with the key's name.
func (e *Errors) Add(ok bool, sentence string, args ...any) {
	if !ok {
		*e = append(*e, fmt.Errorf("%s: %w", fmt.Sprintf(sentence, args...), bijou.Invalid))
	}
}

// Note adds what is wrong, where anything is: one thing, or several.
func (e *Errors) Note(err error) {
	if several, ok := err.(Errors); ok {
		*e = append(*e, several...)
	} else if err != nil {
		*e = append(*e, err)
	}
}

// Err returns the errors, or nil where there is none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func (e Errors) Error() string { return e[0].Error() }

// Unwrap has errors.Is and errors.As look at each.
func (e Errors) Unwrap() []error { return e }

// Load fills into, a pointer to a struct that holds the defaults. It fails with Errors: Invalid where a source has an unknown key or a value that
// does not fit, naming the place, NotFound where a file does not exist, and as Check does where a section has one. What into holds after a
// failure is undefined.
func Load(into any, src Sources) (Origins, error) {
	l := &loader{leaves: leavesOf(into, src.Prefix), origins: Origins{}, src: src}
	var wrong Errors
	if src.File != "" {
		wrong.Note(l.file(src.File))
	}
	wrong.Note(l.environment())
	for _, set := range src.Sets {
		wrong.Note(l.set(set))
	}
	wrong.Note(l.checkAll(reflect.ValueOf(into).Elem(), ""))
	if len(wrong) > 0 {
		return nil, wrong
	}
	return l.origins, nil
}

type loader struct {
	leaves  []leaf
	origins Origins
	src     Sources
}

func (l *loader) paths() []string {
	paths := make([]string, len(l.leaves))
	for i, k := range l.leaves {
		paths[i] = k.path
	}
	return paths
}

func (l *loader) leaf(path string) (leaf, bool) {
	for _, k := range l.leaves {
		if k.path == path {
			return k, true
		}
	}
	return leaf{}, false
}

// give sets the key to what text says.
func (l *loader) give(k leaf, text, origin string) error {
	if k.secret && text == Mask || k.password && strings.Contains(text, Mask) {
		return fmt.Errorf("%s: %s holds %s, which stands for a secret where one is printed: write the secret itself: %w", origin, k.path, Mask, bijou.Invalid)
	}
	if err := k.parse(text); err != nil {
		return fmt.Errorf("%s: %s %w: %w", origin, k.path, err, bijou.Invalid)
	}
	l.origins[k.path] = origin
	return nil
}

// environment reads the variables that begin with the prefix. NAME_FILE names a file that holds the value.
func (l *loader) environment() error {
	if l.src.Prefix == "" {
		return nil
	}
	names := map[string]leaf{}
	var known []string
	for _, k := range l.leaves {
		names[k.env] = k
		known = append(known, k.env)
	}
	var wrong Errors
	seen := map[string]string{} // key → variable
	for _, entry := range l.src.Env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, l.src.Prefix+"_") {
			continue
		}
		k, ok := names[name]
		if !ok {
			if k, ok = names[strings.TrimSuffix(name, "_FILE")]; !ok {
				wrong.Note(unknown("environment variable "+clip(name), name, known))
				continue
			}
			var err error
			if value, err = readSecret(name, value); err != nil {
				wrong.Note(err)
				continue
			}
		}
		if other, twice := seen[k.path]; twice && other != name {
			wrong.Add(false, "environment variables %s and %s both give %s: keep one", other, name, k.path)
			continue
		}
		seen[k.path] = name
		wrong.Note(l.give(k, value, name))
	}
	return wrong.Err()
}

// readSecret returns what the file holds that a variable names, without the newline at its end.
func readSecret(variable, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(variable+" names the file "+path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", unreadable(variable+" names the file "+path, err)
	}
	if len(b) > maxFile {
		return "", fmt.Errorf("%s names the file %s, which is larger than %d bytes: %w", variable, path, maxFile, bijou.Invalid)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// set reads one key=value.
func (l *loader) set(set string) error {
	path, value, ok := strings.Cut(set, "=")
	if !ok {
		return fmt.Errorf("setting %q has no value: write key=value, such as %s=…: %w", clip(set), l.example(), bijou.Invalid)
	}
	k, ok := l.leaf(path)
	if !ok {
		return unknown("key "+clip(path), path, l.paths())
	}
	return l.give(k, value, "setting "+path)
}

func (l *loader) example() string {
	if len(l.leaves) == 0 {
		return "key"
	}
	return l.leaves[0].path
}

// checkAll asks every section whether it can work, the innermost first.
func (l *loader) checkAll(v reflect.Value, path string) error {
	var wrong Errors
	for f, field := range v.Fields() {
		if name := keyName(f); name != "" && isSection(f.Type) {
			wrong.Note(l.checkAll(field, join(path, name)))
		}
	}
	c, ok := v.Interface().(Checker)
	if !ok && v.CanAddr() {
		c, ok = v.Addr().Interface().(Checker)
	}
	if ok {
		var own Errors
		own.Note(c.Check())
		for _, err := range own {
			wrong.Note(l.placed(path, err))
		}
	}
	return wrong.Err()
}

// placed puts before what a section says of one of its keys where that key's value came from, and the section's own name.
func (l *loader) placed(path string, err error) error {
	name, _, _ := strings.Cut(err.Error(), " ")
	key := join(path, name)
	from := ""
	if origin := l.origins[key]; origin != "" {
		from = origin + ": "
	}
	_, known := l.leaf(key)
	switch {
	case known && path != "":
		return fmt.Errorf("%s%s.%w", from, path, err)
	case path != "":
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s%w", from, err)
}

// unknown says that nothing has this name, and what was probably meant.
func unknown(what, name string, known []string) error {
	if near := Nearest(name, known); near != "" {
		return fmt.Errorf("%s is unknown: did you mean %s?: %w", what, near, bijou.Invalid)
	}
	return fmt.Errorf("%s is unknown: bijou config print lists those there are: %w", what, bijou.Invalid)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clip shortens s for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
