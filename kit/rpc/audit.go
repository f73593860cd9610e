package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"bijou"
)

// Auditor keeps what operators do. A method that needs an operator's role and may change something calls it, whatever room it is of.
type Auditor interface {
	// Begin notes that an action begins, before anything is done. Where it fails, nothing is done.
	Begin(ctx context.Context, a bijou.Action) (seq int64, err error)
	// End notes how the action ended, before the answer is given.
	End(ctx context.Context, seq int64, outcome bijou.Outcome, says string) error
}

// Audited tells whether each call of the method is noted in the audit log.
func (r Route) Audited() bool {
	switch r.needs {
	case Viewer, Operator, Administrator:
		return r.verb != http.MethodGet && r.verb != http.MethodHead
	}
	return false
}

// auditing is one request of an audited method.
type auditing struct {
	to    Auditor
	route Route
	begun bool
}

const (
	// maxOn bounds each value that an action is noted with, in bytes.
	maxOn = 200
	// maxSays bounds the sentence that an action is noted with, in bytes.
	maxSays = 500
	// endTime is how long the end of an action may take to be noted, whoever has stopped waiting for it.
	endTime = 5 * time.Second
)

// Act does work between a line of the audit log that says that it begins and one that says how it ended. Where the first cannot be written, the
// work is not done.
func Act[Out any](ctx context.Context, to Auditor, x bijou.Action, work func() (Out, error)) (out Out, err error) {
	seq, err := to.Begin(ctx, x)
	if err != nil {
		return out, fmt.Errorf("nothing was done, since it cannot be noted in the audit log: %w", err)
	}
	err = errors.New("the work broke off") // what is noted where it panics
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		outcome, says := ended(err)
		if failed := to.End(ctx, seq, outcome, says); failed != nil && err == nil {
			err = fmt.Errorf("what was asked is done, but its end cannot be noted in the audit log: %w", failed)
		}
	}()
	return work()
}

// ended says how an action ended. The words of a failure without a kind stay inside.
func ended(err error) (bijou.Outcome, string) {
	switch {
	case err == nil:
		return bijou.OutcomeOK, ""
	case errors.Is(err, bijou.Denied):
		return bijou.OutcomeRefused, clip(bijou.Sentence(err), maxSays)
	case bijou.KindOf(err) == "":
		return bijou.OutcomeFailed, "internal error"
	}
	return bijou.OutcomeFailed, clip(bijou.Sentence(err), maxSays)
}

// act does the work of a method, by Act where it is audited.
func act[Out any](w *response, req *http.Request, in any, work func() (Out, error)) (out Out, err error) {
	a := w.audit
	if a == nil {
		return work()
	}
	a.begun = true
	return Act(req.Context(), a.to, a.action(req, reflect.ValueOf(in)), work)
}

// refused notes an action that never began, since its caller may not do it or its input makes no sense. Guests are not noted: whoever comes by
// could fill the log.
func (a *auditing) refused(req *http.Request, err error) error {
	if err == nil || a == nil || a.begun || bijou.CallerOf(req.Context()).Role == "" {
		return err
	}
	_, err = Act(req.Context(), a.to, a.action(req, reflect.Value{}), func() (struct{}, error) { return struct{}{}, err })
	return err
}

func (a *auditing) action(req *http.Request, in reflect.Value) bijou.Action {
	c := bijou.CallerOf(req.Context())
	return bijou.Action{Operator: c.Operator, Name: c.OperatorName, Role: c.Role, Address: c.Client, Method: a.route.Pattern(), On: a.on(req, in)}
}

// on returns what the action is done to: the parts of the address, and the fields of the body that are tagged audit:"true". A secret travels in
// neither.
func (a *auditing) on(req *http.Request, in reflect.Value) map[string]string {
	on := map[string]string{}
	note := func(name, value string) {
		if value != "" {
			on[name] = clip(value, maxOn)
		}
	}
	for _, f := range a.route.plan.address {
		switch {
		case in.IsValid():
			note(f.name, formatScalar(in.FieldByIndex(f.index)))
		case !f.query:
			note(f.name, req.PathValue(f.name))
		}
	}
	if !in.IsValid() {
		return on
	}
	for _, f := range a.route.plan.audited {
		note(jsonName(f), noted(in.FieldByIndex(f.Index)))
	}
	return on
}

// noted returns a field's value as it is noted: nothing for one that is absent, and JSON for what has parts or is there and empty.
func noted(v reflect.Value) string {
	if v.Kind() != reflect.Pointer {
		return fmt.Sprint(v)
	}
	if v.IsNil() {
		return ""
	}
	if v = v.Elem(); v.Kind() == reflect.String && v.Len() > 0 {
		return v.String()
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return fmt.Sprint(v) // it came out of JSON, and goes in again
	}
	return string(text)
}
