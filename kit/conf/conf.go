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

// Checker is what a section, or the whole configuration, implements to refuse values that cannot work. Its error begins with the key's own name.
type Checker interface{ Check() error }

// Load fills into, a pointer to a struct that holds the defaults. It fails with Invalid where a source has an unknown key or a value that does not
// fit, naming the place, with NotFound where a file does not exist, and as Check does where a section has one. What into holds after a failure is undefined.
func Load(into any, src Sources) (Origins, error) {
	l := &loader{leaves: leavesOf(into, src.Prefix), origins: Origins{}, src: src}
	if src.File != "" {
		if err := l.file(src.File); err != nil {
			return nil, err
		}
	}
	if err := l.environment(); err != nil {
		return nil, err
	}
	for _, set := range src.Sets {
		if err := l.set(set); err != nil {
			return nil, err
		}
	}
	if err := l.checkAll(reflect.ValueOf(into).Elem(), ""); err != nil {
		return nil, err
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
	if k.secret && text == Mask {
		return fmt.Errorf("%s: %s is %s, which stands for a secret where one is printed: write the secret itself: %w", origin, k.path, Mask, bijou.Invalid)
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
	seen := map[string]string{} // key → variable
	for _, entry := range l.src.Env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, l.src.Prefix+"_") {
			continue
		}
		k, ok := names[name]
		if !ok {
			if k, ok = names[strings.TrimSuffix(name, "_FILE")]; !ok {
				return unknown("environment variable "+clip(name), name, known)
			}
			var err error
			if value, err = readSecret(name, value); err != nil {
				return err
			}
		}
		if other, twice := seen[k.path]; twice && other != name {
			return fmt.Errorf("environment variables %s and %s both give %s: keep one: %w", other, name, k.path, bijou.Invalid)
		}
		seen[k.path] = name
		if err := l.give(k, value, name); err != nil {
			return err
		}
	}
	return nil
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
	for f, field := range v.Fields() {
		if name := keyName(f); name != "" && isSection(f.Type) {
			if err := l.checkAll(field, join(path, name)); err != nil {
				return err
			}
		}
	}
	c, ok := v.Interface().(Checker)
	if !ok && v.CanAddr() {
		c, ok = v.Addr().Interface().(Checker)
	}
	if !ok {
		return nil
	}
	return l.placed(path, c.Check())
}

// placed puts before what a section says of one of its keys where that key's value came from, and the section's own name.
func (l *loader) placed(path string, err error) error {
	if err == nil {
		return nil
	}
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
