package rpc

import (
	"fmt"
	"net/http"
	"reflect"
	"time"
)

// routeKind says which declaration a route was made from.
type routeKind int

const (
	callRoute routeKind = iota
	uploadRoute
	streamRoute
	documentRoute
	downloadRoute
)

// Route is a declared method together with the function that does the work, ready for Handler and OpenAPI.
type Route struct {
	verb, path, summary string
	name                string // its operationId; empty: one is made of verb and path
	needs               Permission
	kind                routeKind
	in, out             reflect.Type // out is nil for a document and a download
	status              int
	timeout             time.Duration // 0: none
	beacon              bool
	maxBody             int64
	contentType         string // of a document or a download
	also                []int  // statuses that a document of this type has beside that of success
	fill                *emptier

	plan  *plan
	serve func(*response, *http.Request) error
}

// with completes the route. A declaration that contradicts itself is a defect of the program and panics when the program starts.
func (r Route) with(serve func(*plan, *response, *http.Request) error) Route {
	p, err := newPlan(r.verb, r.path, r.in)
	if err == nil && r.kind == uploadRoute && len(p.body) > 0 {
		err = fmt.Errorf("field %s of %s has neither a path nor a query tag, and the body is the upload itself", p.body[0], r.in)
	}
	if err != nil {
		panic(fmt.Sprintf("rpc: %s %s: %v", r.verb, r.path, err))
	}
	p.beacon, p.maxBody = r.beacon, r.maxBody
	if p.maxBody == 0 {
		p.maxBody = MaxBody
	}
	r.plan = p
	r.serve = func(w *response, req *http.Request) error { return serve(p, w, req) }
	return r
}

// Pattern returns the verb and the path, as net/http's ServeMux has them.
func (r Route) Pattern() string { return r.verb + " " + r.path }

// Verb returns the HTTP method.
func (r Route) Verb() string { return r.verb }

// Path returns the path, with its wildcards.
func (r Route) Path() string { return r.path }

// Public tells whether the gateway offers the method to the world.
func (r Route) Public() bool { return r.needs != Internal }

// Needs tells who may call the method.
func (r Route) Needs() Permission { return r.needs }
