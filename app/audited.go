package app

import (
	"context"
	"io"
	"maps"

	"bijou"
	"bijou/kit/rpc"
	"bijou/service/studio"
)

// auditedStudio notes what the command line changes in a data directory that no service holds, as the door does where one runs.
type auditedStudio struct {
	studioMethods
	audit rpc.Auditor
}

// auditedEditor is as auditedStudio, for the catalogue.
type auditedEditor struct {
	editor
	audit rpc.Auditor
}

// local is an action of the command line.
func local(method string, on map[string]string) bijou.Action {
	maps.DeleteFunc(on, func(_, value string) bool { return value == "" })
	c := bijou.LocalCaller
	return bijou.Action{Operator: c.Operator, Name: c.OperatorName, Role: c.Role, Method: method, On: on}
}

// act does work of the command line that answers nothing.
func act(ctx context.Context, to rpc.Auditor, x bijou.Action, work func() error) error {
	_, err := rpc.Act(ctx, to, x, func() (struct{}, error) { return struct{}{}, work() })
	return err
}

// AddSource is that of studioMethods.
func (s auditedStudio) AddSource(ctx context.Context, name string, r io.Reader) (studio.Source, error) {
	return rpc.Act(ctx, s.audit, local("POST /api/v1/studio/sources", map[string]string{"name": name}), func() (studio.Source, error) {
		return s.studioMethods.AddSource(ctx, name, r)
	})
}

// RemoveSource is that of studioMethods.
func (s auditedStudio) RemoveSource(ctx context.Context, id bijou.SourceID) error {
	return act(ctx, s.audit, local("DELETE /api/v1/studio/sources/{id}", map[string]string{"id": string(id)}), func() error {
		return s.studioMethods.RemoveSource(ctx, id)
	})
}

// AddTitle is that of studioMethods.
func (s auditedStudio) AddTitle(ctx context.Context, in studio.AddTitle) (bijou.Title, error) {
	return rpc.Act(ctx, s.audit, local("POST /api/v1/studio/titles", map[string]string{"source": string(in.Source), "name": in.Name}), func() (bijou.Title, error) {
		return s.studioMethods.AddTitle(ctx, in)
	})
}

// RemoveTitle is that of studioMethods.
func (s auditedStudio) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	return act(ctx, s.audit, local("DELETE /api/v1/studio/titles/{id}", map[string]string{"id": string(id)}), func() error {
		return s.studioMethods.RemoveTitle(ctx, id)
	})
}

// EditTitle is that of editor.
func (e auditedEditor) EditTitle(ctx context.Context, id bijou.TitleID, change bijou.TitleEdit) (bijou.Title, error) {
	return rpc.Act(ctx, e.audit, local("PATCH /api/v1/titles/{id}", map[string]string{"id": string(id)}), func() (bijou.Title, error) {
		return e.editor.EditTitle(ctx, id, change)
	})
}
