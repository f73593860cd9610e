package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"bijou"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// file reads the configuration file.
func (l *loader) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable("configuration file "+path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return unreadable("configuration file "+path, err)
	}
	if len(b) > maxFile {
		return fmt.Errorf("configuration file %s is larger than %d bytes: check the name: %w", path, maxFile, bijou.Invalid)
	}
	return l.yaml(path, b)
}

func unreadable(what string, err error) error {
	kind := bijou.Unavailable
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s, which does not exist: %w", strings.Replace(what, "configuration file ", "the configuration is to come from ", 1), bijou.NotFound)
	case errors.Is(err, fs.ErrPermission):
		kind = bijou.Denied
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the sentence names the file already
	}
	return fmt.Errorf("%s, which cannot be read (%w): %w", strings.Replace(what, "configuration file ", "the configuration is to come from ", 1), err, kind)
}

// yamlReader walks a document along the configuration's keys.
type yamlReader struct {
	*loader
	name string
}

func (l *loader) yaml(name string, b []byte) error {
	doc, err := parseYAML(name, b)
	if err != nil || doc == nil {
		return err
	}
	r := &yamlReader{l, name}
	return r.section("", doc)
}

// parseYAML returns the document's outermost node, or nil for an empty document.
func parseYAML(name string, b []byte) (node ast.Node, err error) {
	defer func() {
		// The parser is a third party's, and the file anybody's.
		if p := recover(); p != nil {
			node, err = nil, fmt.Errorf("%s is not YAML (%v): %w", name, p, bijou.Invalid)
		}
	}()
	file, err := parser.ParseBytes(b, 0)
	if se, ok := errors.AsType[*yaml.SyntaxError](err); ok && se.Token != nil && se.Token.Position != nil {
		return nil, fmt.Errorf("%s:%d:%d: %s: %w", name, se.Token.Position.Line, se.Token.Position.Column, se.Message, bijou.Invalid)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not YAML (%v): %w", name, err, bijou.Invalid)
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil, nil
	case 1:
		return bodies[0], nil
	}
	return nil, fmt.Errorf("%s holds %d YAML documents: keep one: %w", name, len(bodies), bijou.Invalid)
}

// at returns file:line:column of the node.
func (r *yamlReader) at(n ast.Node) string {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return fmt.Sprintf("%s:%d:%d", r.name, t.Position.Line, t.Position.Column)
	}
	return r.name
}

func (r *yamlReader) refuse(n ast.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", r.at(n), fmt.Sprintf(format, args...), bijou.Invalid)
}

// section reads the keys of the section at path.
func (r *yamlReader) section(path string, n ast.Node) error {
	entries, err := r.entries(path, n)
	if err != nil {
		return err
	}
	var wrong Errors
	seen := map[string]bool{}
	for _, e := range entries {
		key, ok := e.Key.(ast.Node).(*ast.StringNode)
		if !ok {
			wrong.Note(r.refuse(e.Key, "the key %s is not a plain name", clip(e.Key.String())))
			continue
		}
		full := join(path, key.Value)
		if seen[full] {
			wrong.Note(r.refuse(key, "key %s is given twice: keep one", clip(full)))
			continue
		}
		seen[full] = true
		wrong.Note(r.entry(full, key, e.Value))
	}
	return wrong.Err()
}

func (r *yamlReader) entry(path string, key, value ast.Node) error {
	if k, ok := r.leaf(path); ok {
		return r.value(k, key, value)
	}
	var near []string // what can stand there: keys and sections
	for _, k := range r.leaves {
		if strings.HasPrefix(k.path, path+".") {
			return r.section(path, value)
		}
		near = append(near, k.path)
		for i, c := range k.path {
			if c == '.' {
				near = append(near, k.path[:i])
			}
		}
	}
	return unknown(r.at(key)+": key "+clip(path), path, near)
}

func (r *yamlReader) entries(path string, n ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	case nil, *ast.NullNode:
		return nil, nil // a section whose keys are all commented out
	}
	if path == "" {
		return nil, r.refuse(n, "the file does not consist of keys: write key: value")
	}
	return nil, r.refuse(n, "%s is a section: write its keys below it, further to the right", clip(path))
}

// value sets the key to what the node says.
func (r *yamlReader) value(k leaf, key, n ast.Node) error {
	if n == nil || n.Type() == ast.NullType {
		return r.refuse(key, "%s has no value: give one, or remove the line", k.path)
	}
	at := r.at(key)
	if !k.isList() {
		text, ok := scalar(n)
		if !ok {
			return r.refuse(n, "%s must be one value", k.path)
		}
		return r.give(k, text, at)
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return r.refuse(n, "%s must be a list: write [a, b], or one entry a line after a hyphen", k.path)
	}
	items := []string{}
	for _, v := range list.Values {
		text, ok := scalar(v)
		if !ok {
			return r.refuse(n, "%s must be a list of plain values", k.path)
		}
		items = append(items, text)
	}
	k.setList(items)
	r.origins[k.path] = at
	return nil
}

// scalar returns the text of a plain value as it was written. Anchors, aliases and tags are none: a configuration needs none of them.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value == nil {
			return "", false
		}
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}
