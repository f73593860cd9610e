package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bijou"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestTheOpenAPIDocumentIsTheOneThatWasApproved(t *testing.T) {
	const golden = "testdata/openapi.json"
	got, err := rpc.OpenAPI("Shelf", "1", routes(here{})...)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("type go test ./kit/rpc -update if this is meant (-want +got):\n%s", diff)
	}
	for _, fault := range faults(t, got) {
		t.Error(fault)
	}
}

func TestTheOpenAPIDocumentDoesNotDependOnTheOrderOfTheRoutes(t *testing.T) {
	all := routes(here{})
	want, err := rpc.OpenAPI("Shelf", "1", all...)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	got, err := rpc.OpenAPI("Shelf", "1", all...)
	if diff := cmp.Diff(string(want), string(got)); err != nil || diff != "" {
		t.Errorf("got %v and a difference (-want +got):\n%s", err, diff)
	}
}

func TestTheCheckerOfDocumentsFindsWhatIsWrong(t *testing.T) {
	doc, err := rpc.OpenAPI("Shelf", "1", routes(here{})...)
	if err != nil {
		t.Fatal(err)
	}
	for old, with := range map[string]string{
		`"#/components/schemas/Chapter"`: `"#/components/schemas/Chaptre"`,
		`"operationId": "addBook"`:       `"operationId": "getBook"`,
		`"/api/v1/books/{id}"`:           `"/api/v1/books/{key}"`,
		`"bearer": []`:                   `"barer": []`,
		"\"tags\"\n        ]":            "\"nothing\"\n        ]",
		`"type": "integer"`:              `"type": "int"`,
	} {
		bad := bytes.ReplaceAll(doc, []byte(old), []byte(with))
		if bytes.Equal(bad, doc) {
			t.Errorf("the document does not hold %s", old)
		} else if len(faults(t, bad)) == 0 {
			t.Errorf("%s in place of %s: got no fault", with, old)
		}
	}
}

// faults returns what is wrong with an OpenAPI 3.1 document.
func faults(t *testing.T, raw []byte) []string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	c := &checker{doc: doc, ids: map[string]bool{}}
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1.") || !bytes.HasSuffix(raw, []byte("}\n")) {
		c.fault("version %q, or no newline at the end", v)
	}
	for path, item := range object(doc["paths"]) {
		for verb, op := range object(item) {
			c.operation(strings.ToUpper(verb)+" "+path, path, object(op))
		}
	}
	schemas := object(object(doc["components"])["schemas"])
	for name, s := range schemas {
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(name) {
			c.fault("schema name %q", name)
		}
		c.schema("schema "+name, object(s))
	}
	c.refs(doc)
	for name := range schemas {
		if !slices.Contains(c.seen, "#/components/schemas/"+name) {
			c.fault("schema %s is of no use", name)
		}
	}
	slices.Sort(c.found)
	return c.found
}

type checker struct {
	doc   map[string]any
	ids   map[string]bool
	seen  []string // references
	found []string
}

func (c *checker) fault(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func array(v any) []any {
	l, _ := v.([]any)
	return l
}

func (c *checker) operation(name, path string, op map[string]any) {
	id, _ := op["operationId"].(string)
	if !regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`).MatchString(id) || c.ids[id] {
		c.fault("%s: operationId %q is odd or there twice", name, id)
	}
	c.ids[id] = true
	var inPath []string
	for _, p := range array(op["parameters"]) {
		p := object(p)
		c.schema(name+" parameter", object(p["schema"]))
		if p["in"] == "path" {
			inPath = append(inPath, "{"+p["name"].(string)+"}")
			if p["required"] != true {
				c.fault("%s: path parameter %s is not required", name, p["name"])
			}
		}
	}
	wild := regexp.MustCompile(`\{[^}]*\}`).FindAllString(path, -1)
	slices.Sort(wild)
	slices.Sort(inPath)
	if !slices.Equal(wild, inPath) {
		c.fault("%s: the path has %v, its parameters are %v", name, wild, inPath)
	}
	for _, s := range array(op["security"]) {
		for scheme := range object(s) {
			if object(object(c.doc["components"])["securitySchemes"])[scheme] == nil {
				c.fault("%s: security scheme %s is unknown", name, scheme)
			}
		}
	}
	responses := object(op["responses"])
	if len(responses) != 2 || responses["default"] == nil {
		c.fault("%s: responses are %v", name, slices.Sorted(maps.Keys(responses)))
	}
	for status, r := range responses {
		r := object(r)
		if r["$ref"] == nil && r["description"] == nil {
			c.fault("%s: answer %s has no description", name, status)
		}
		c.content(name, object(r["content"]))
	}
	c.content(name, object(object(op["requestBody"])["content"]))
}

func (c *checker) content(name string, content map[string]any) {
	for media, m := range content {
		if !strings.Contains(media, "/") || object(m)["schema"] == nil {
			c.fault("%s: content %q has no schema", name, media)
		}
		c.schema(name+" "+media, object(object(m)["schema"]))
	}
}

// schema checks the few words of JSON Schema 2020-12 that documents use.
func (c *checker) schema(at string, s map[string]any) {
	props := object(s["properties"])
	for _, r := range array(s["required"]) {
		if props[r.(string)] == nil {
			c.fault("%s: requires %s, which is no property", at, r)
		}
	}
	for name, p := range props {
		c.schema(at+"."+name, object(p))
	}
	if typ, ok := s["type"]; ok && !slices.Contains([]any{"string", "integer", "number", "boolean", "array", "object"}, typ) {
		c.fault("%s: type %v", at, typ)
	}
	if s["type"] == "array" && s["items"] == nil {
		c.fault("%s: a list of nothing", at)
	}
	if items := object(s["items"]); items != nil {
		c.schema(at+"[]", items)
	}
	for _, one := range array(s["oneOf"]) {
		c.schema(at, object(one))
	}
	if more := object(s["additionalProperties"]); more != nil {
		c.schema(at+".*", more)
	}
}

// refs checks that every reference leads somewhere.
func (c *checker) refs(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			c.refs(e)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			c.seen = append(c.seen, ref)
			var at any = c.doc
			for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
				at = object(at)[part]
			}
			if at == nil {
				c.fault("%s leads nowhere", ref)
			}
		}
		for _, e := range v {
			c.refs(e)
		}
	}
}

// Title has the name of one of the root's nouns, and Session and Problem those of others.
type (
	Title   struct{ A string }
	Problem struct{ B string }
	Both    struct {
		Ours   Title       `json:"ours"`
		Theirs bijou.Title `json:"theirs"`
		P      Problem     `json:"p"`
		Page   Paged[Page] `json:"page"`
		Tree   []Both      `json:"tree"`
		Any    any         `json:"any,omitempty"`
	}
	Paged[T any] struct {
		Items []T `json:"items"`
	}
)

func TestTypesOfOneNameAreToldApart(t *testing.T) {
	call := rpc.Call[struct{}, Both]{Verb: "GET", Path: "/x"}
	doc, err := rpc.OpenAPI("x", "1", call.Serve(func(context.Context, struct{}) (Both, error) { return Both{}, nil }))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	s := got.Components.Schemas
	want := []string{"Both", "Maturity", "Page", "PagedPage", "Problem", "Rpc_testProblem", "Rpc_testTitle", "Title", "Track"}
	if names := slices.Sorted(maps.Keys(s)); !cmp.Equal(names, want) {
		t.Errorf("got schemas %q, want %q", names, want)
	}
	if s["Title"].Properties["maturity"] == nil || s["Problem"].Properties["detail"] == nil || s["Rpc_testTitle"].Properties["A"] == nil {
		t.Errorf("got %v, want the root's Title and the problem of every answer under their own names", s)
	}
	for _, fault := range faults(t, doc) {
		t.Error(fault)
	}
}

func TestADocumentThatWouldNotBeTrueIsRefused(t *testing.T) {
	type nullable struct {
		Chapter *Chapter `json:"chapter"`
	}
	type nameless struct {
		Inner struct{ A int } `json:"inner"`
	}
	nothing := func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }
	get := func(path, name string) rpc.Route {
		return rpc.Call[struct{}, struct{}]{Verb: "GET", Path: path, Name: name}.Serve(nothing)
	}
	for want, routes := range map[string][]rpc.Route{
		"GET /a and GET /b would both be operation getIt": {get("/a", "getIt"), get("/b", "getIt")},
		"GET /a has the address of another route":         {get("/a", "one"), get("/a", "two")},
		"field Chapter of rpc_test.nullable may be null": {rpc.Call[struct{}, nullable]{Verb: "GET", Path: "/a"}.Serve(
			func(context.Context, struct{}) (nullable, error) { return nullable{}, nil })},
		"struct { A int } has no name": {rpc.Call[struct{}, nameless]{Verb: "GET", Path: "/a"}.Serve(
			func(context.Context, struct{}) (nameless, error) { return nameless{}, nil })},
	} {
		_, err := rpc.OpenAPI("x", "1", routes...)
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want invalid: %s", err, want)
		}
	}
}

func TestAnOperationsNameIsMadeOfItsVerbAndPath(t *testing.T) {
	type id struct {
		ID string `path:"id"`
	}
	for pattern, want := range map[string]string{
		"GET /api/v1/titles":                "getTitles",
		"GET /api/v1/titles/{id}":           "getTitle",
		"POST /api/v1/titles/{id}/plays":    "postTitlePlays",
		"GET /api/v1/plays/{id}/m.m3u8":     "getPlayMM3u8",
		"DELETE /api/v1/series/{id}":        "deleteSeries",
		"GET /api/v2/entries/{id...}":       "getEntry",
		"GET /api/v1/upload-parts":          "getUploadParts",
		"POST /role/shelf/{id}":             "postRoleShelf",
		"GET /api/v1/glass/{id}/api/v1/{$}": "getGlassApiV1",
	} {
		verb, path, _ := strings.Cut(pattern, " ")
		var r rpc.Route
		if strings.Contains(path, "{id") {
			r = rpc.Call[id, struct{}]{Verb: verb, Path: path}.Serve(func(context.Context, id) (struct{}, error) { return struct{}{}, nil })
		} else {
			r = rpc.Call[struct{}, struct{}]{Verb: verb, Path: path}.Serve(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		}
		doc, err := rpc.OpenAPI("x", "1", r)
		if err != nil || !bytes.Contains(doc, []byte(`"operationId": "`+want+`"`)) {
			t.Errorf("%s: got %v\n%.400s\nwant operation %s", pattern, err, doc, want)
		}
	}
}

func TestADocumentsOtherStatusesAndItsJSONAreDescribed(t *testing.T) {
	gone := rpc.Document[OneBook]{Verb: "GET", Path: "/api/v1/books/{id}/note", Summary: "Note", ContentType: "application/json", Also: []int{http.StatusGone}}
	b, err := rpc.OpenAPI("x", "1", gone.Serve(func(context.Context, OneBook) (rpc.Body, error) {
		return rpc.Body{Status: http.StatusGone, Bytes: []byte("{}")}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), "")
	for _, want := range []string{`"200":{"description":"OK","content":{"application/json":{"schema":{}}}}`, `"410":{"description":"Gone","content":{"application/json":{"schema":{}}}}`} {
		if !strings.Contains(text, want) {
			t.Errorf("the document is\n%s\nwant in it %s", b, want)
		}
	}
}
