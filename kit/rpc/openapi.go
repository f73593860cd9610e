package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"bijou"

	"github.com/danielgtaylor/huma/v2"
)

// The cookies in which a browser carries a session.
const (
	SessionCookie  = "bijou_session"  // its member's
	OperatorCookie = "bijou_operator" // its operator's
)

// The security schemes of the document.
const (
	schemeBearer   = "bearer"
	schemeSession  = "session"
	schemeOperator = "operator"
	schemeCluster  = "cluster"
)

// schemaPrefix begins every reference to a schema of the document.
const schemaPrefix = "#/components/schemas/"

// OpenAPI returns the OpenAPI 3.1.1 document of the routes, indented, with a newline at its end: the same bytes for the same routes.
// It fails with Invalid where two routes would have one operationId or one address, and where a type cannot be described.
func OpenAPI(title, version string, routes ...Route) ([]byte, error) {
	b := &docBuilder{paths: map[string]map[string]*operation{}, ids: map[string]string{}}
	var err error
	if b.schemas, err = newSchemas(routes); err != nil {
		return nil, err
	}
	internal := false
	for _, r := range routes {
		if err := b.add(r); err != nil {
			return nil, err
		}
		internal = internal || r.needs == Internal
	}
	problem := media(ProblemType, b.schemas.of(problemType))
	doc := document{
		OpenAPI: "3.1.1", Info: info{title, version}, Servers: []host{{"/"}}, Paths: b.paths,
		Components: components{
			Schemas:         b.schemas.finish(),
			Responses:       map[string]answer{"Problem": {Description: "What went wrong (RFC 9457).", Content: problem}},
			SecuritySchemes: schemes(internal),
		},
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return buf.Bytes(), nil
}

// The parts of the document (OpenAPI Specification 3.1.1, section 4.8), in the order in which they are written.
type (
	document struct {
		OpenAPI    string                           `json:"openapi"`
		Info       info                             `json:"info"`
		Servers    []host                           `json:"servers"`
		Paths      map[string]map[string]*operation `json:"paths"`
		Components components                       `json:"components"`
	}
	info struct {
		Title   string `json:"title"`
		Version string `json:"version"`
	}
	host struct {
		URL string `json:"url"`
	}
	components struct {
		Schemas         map[string]*huma.Schema      `json:"schemas"`
		Responses       map[string]answer            `json:"responses"`
		SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
	}
	operation struct {
		OperationID string                `json:"operationId"`
		Summary     string                `json:"summary,omitempty"`
		Security    []map[string][]string `json:"security"`
		Parameters  []parameter           `json:"parameters,omitempty"`
		RequestBody *requestBody          `json:"requestBody,omitempty"`
		Responses   map[string]answer     `json:"responses"`
	}
	parameter struct {
		Name        string       `json:"name"`
		In          string       `json:"in"`
		Description string       `json:"description,omitempty"`
		Required    bool         `json:"required,omitempty"`
		Schema      *huma.Schema `json:"schema"`
	}
	requestBody struct {
		Required bool                 `json:"required,omitempty"`
		Content  map[string]mediaType `json:"content"`
	}
	mediaType struct {
		Schema *huma.Schema `json:"schema"`
	}
	answer struct {
		Ref         string               `json:"$ref,omitempty"`
		Description string               `json:"description,omitempty"`
		Content     map[string]mediaType `json:"content,omitempty"`
	}
)

func media(contentType string, s *huma.Schema) map[string]mediaType {
	return map[string]mediaType{contentType: {s}}
}

func schemes(internal bool) map[string]map[string]string {
	s := map[string]map[string]string{
		schemeBearer:   {"type": "http", "scheme": "bearer", "description": "A member's session token, or an operator's token; the roles are those that an operator may have."},
		schemeSession:  {"type": "apiKey", "in": "cookie", "name": SessionCookie, "description": "A member's session, as a browser carries it."},
		schemeOperator: {"type": "apiKey", "in": "cookie", "name": OperatorCookie, "description": "An operator's session, as a browser carries it."},
	}
	if internal {
		s[schemeCluster] = map[string]string{"type": "mutualTLS", "description": "Another role of the cluster."}
	}
	return s
}

// docBuilder gathers the operations of one document.
type docBuilder struct {
	schemas *schemas
	paths   map[string]map[string]*operation
	ids     map[string]string // operationId → pattern of the route that has it
}

func (b *docBuilder) add(r Route) error {
	path, verb, id := documentPath(r.path), strings.ToLower(r.verb), r.operationID()
	if other, taken := b.ids[id]; taken {
		return fmt.Errorf("%s and %s would both be operation %s: give one of them another Name: %w", other, r.Pattern(), id, bijou.Invalid)
	}
	b.ids[id] = r.Pattern()
	if b.paths[path] == nil {
		b.paths[path] = map[string]*operation{}
	}
	if b.paths[path][verb] != nil {
		return fmt.Errorf("%s has the address of another route: %w", r.Pattern(), bijou.Invalid)
	}
	answers := map[string]answer{
		strconv.Itoa(r.status): b.success(r),
		"default":              {Ref: "#/components/responses/Problem"},
	}
	for _, status := range r.also {
		answers[strconv.Itoa(status)] = answer{Description: http.StatusText(status), Content: media(r.contentType, documentSchema(r.contentType))}
	}
	b.paths[path][verb] = &operation{
		OperationID: id, Summary: r.summary, Security: security(r.needs), Parameters: b.parameters(r), RequestBody: b.body(r), Responses: answers,
	}
	return nil
}

// documentPath returns the path as OpenAPI has it, which knows neither {name...} nor {$}.
func documentPath(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path, "{$}"), "...}", "}")
}

// security says what a caller must show. No scheme at all means that anyone may call.
func security(needs Permission) []map[string][]string {
	switch needs {
	case Member:
		return []map[string][]string{{schemeBearer: {}}, {schemeSession: {}}}
	case Internal:
		return []map[string][]string{{schemeCluster: {}}}
	}
	if role := needs.role(); role != "" {
		// Roles stand where the scopes of other schemes do (OpenAPI Specification 3.1.1, section 4.8.30).
		return []map[string][]string{{schemeBearer: {string(role)}}, {schemeOperator: {string(role)}}}
	}
	return []map[string][]string{}
}

func (b *docBuilder) parameters(r Route) []parameter {
	var out []parameter
	for _, a := range r.plan.address {
		s := *a.schema
		p := parameter{Name: a.name, In: "path", Description: s.Description, Required: true, Schema: &s}
		s.Description = ""
		if a.query {
			p.In, p.Required = "query", a.required
		}
		if a.rest {
			p.Description = strings.TrimSpace(p.Description + " It may hold slashes.")
		}
		out = append(out, p)
	}
	return out
}

func (b *docBuilder) body(r Route) *requestBody {
	if r.kind == uploadRoute {
		return &requestBody{Required: true, Content: media("application/octet-stream", binarySchema())}
	}
	if len(r.plan.body) == 0 {
		return nil
	}
	s := b.schemas.body(r)
	content := media("application/json", s)
	if r.beacon {
		content["text/plain"] = mediaType{s}
	}
	return &requestBody{Required: len(r.plan.schema.Required) > 0, Content: content}
}

func (b *docBuilder) success(r Route) answer {
	a := answer{Description: http.StatusText(r.status)}
	switch {
	case r.status == http.StatusNoContent:
	case r.kind == documentRoute, r.kind == downloadRoute:
		a.Content = media(r.contentType, documentSchema(r.contentType))
	case r.kind == streamRoute:
		a.Content = media("text/event-stream", b.events(r))
	default:
		a.Content = media("application/json", b.schemas.of(r.out))
	}
	return a
}

// events describes each event of a stream, since OpenAPI 3.1 has no words for the stream itself: the fields are those of the HTML standard,
// section 9.2, and the text of data is JSON.
func (b *docBuilder) events(r Route) *huma.Schema {
	event := func(name string, data *huma.Schema, doc string) *huma.Schema {
		text := &huma.Schema{Type: huma.TypeString, Extensions: map[string]any{"contentMediaType": "application/json", "contentSchema": data}}
		s := &huma.Schema{Type: huma.TypeObject, Description: doc, Properties: map[string]*huma.Schema{"data": text}, Required: []string{"data"}}
		s.Properties["event"] = &huma.Schema{Type: huma.TypeString, Enum: []any{name}}
		if name != "message" { // the type of an event that names none
			s.Required = append(s.Required, "event")
		}
		return s
	}
	return &huma.Schema{
		Description: "Server-sent events; each of them has one of these forms.",
		OneOf: []*huma.Schema{
			event("message", b.schemas.of(r.out), "One event."),
			event("end", &huma.Schema{Type: huma.TypeObject}, "All has been said."),
			event("error", b.schemas.of(problemType), "It failed; nothing follows."),
		},
	}
}

func binarySchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }

// documentSchema describes a document by its type alone: any JSON, text, or else bytes.
func documentSchema(contentType string) *huma.Schema {
	switch {
	case strings.HasPrefix(contentType, "application/json"), strings.HasSuffix(contentType, "+json"):
		return &huma.Schema{}
	case strings.HasPrefix(contentType, "text/"), strings.HasPrefix(contentType, "application/vnd.apple.mpegurl"), strings.HasSuffix(contentType, "+xml"):
		return &huma.Schema{Type: huma.TypeString}
	}
	return binarySchema()
}

// operationID returns the declaration's Name, or else one made of verb and path: GET /api/v1/titles/{id}/poster is getTitlePoster.
func (r Route) operationID() string {
	if r.name != "" {
		return r.name
	}
	parts := strings.Split(strings.Trim(documentPath(r.path), "/"), "/")
	var id strings.Builder
	id.WriteString(strings.ToLower(r.verb))
	for i, part := range parts {
		if wildcard.MatchString(part) || i == 0 && part == "api" || i == 1 && isVersion(part) {
			continue
		}
		if i+1 < len(parts) && wildcard.MatchString(parts[i+1]) {
			part = singular(part)
		}
		for _, word := range strings.FieldsFunc(part, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
			id.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return id.String()
}

func isVersion(part string) bool {
	n, ok := strings.CutPrefix(part, "v")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

// singular returns the English singular of the plurals that paths are made of.
func singular(word string) string {
	switch {
	case slices.Contains([]string{"series", "news"}, word), strings.HasSuffix(word, "ss"), !strings.HasSuffix(word, "s"):
		return word
	case strings.HasSuffix(word, "ies"):
		return strings.TrimSuffix(word, "ies") + "y"
	}
	return strings.TrimSuffix(word, "s")
}
