package rpc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bijou"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
)

// auditor notes in memory, and fails where it is told to.
type auditor struct {
	lines          []string
	noBegin, noEnd bool
	begun          []bijou.Action
	work           *int
}

func (a *auditor) Begin(_ context.Context, x bijou.Action) (int64, error) {
	if a.noBegin {
		return 0, fmt.Errorf("the disk is full: %w", bijou.Exhausted)
	}
	a.begun = append(a.begun, x)
	a.lines = append(a.lines, fmt.Sprintf("begin %s by %s on %v, work done %d times", x.Method, x.Name, x.On, *a.work))
	return int64(len(a.begun)), nil
}

func (a *auditor) End(ctx context.Context, seq int64, outcome bijou.Outcome, says string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.noEnd {
		return fmt.Errorf("the disk is full: %w", bijou.Exhausted)
	}
	a.lines = append(a.lines, fmt.Sprintf("end %d %s %q, work done %d times", seq, outcome, says, *a.work))
	return nil
}

// Order is an input with all that can be noted, and what must not be.
type Order struct {
	ID     string  `path:"id"`
	Why    string  `query:"why"`
	Name   string  `json:"name" audit:"true" maxLength:"10"`
	Secret string  `json:"secret,omitempty"`
	Year   *int    `json:"year,omitempty" audit:"true"`
	Note   *string `json:"note,omitempty" audit:"true"`
	Tags   *[]int  `json:"tags,omitempty" audit:"true"`
}

// vault has one method of each kind that may change something, and does what each input's name says.
func vault(a *auditor) http.Handler {
	work := func(name string) error {
		*a.work++
		switch name {
		case "fail":
			return fmt.Errorf("there is no such thing: %w", bijou.NotFound)
		case "deny":
			return fmt.Errorf("not this one: %w", bijou.Denied)
		case "defect":
			return fmt.Errorf("secret words of a library")
		case "panic":
			panic("secret words of a panic")
		}
		return nil
	}
	order := func(verb string, needs rpc.Permission) rpc.Route {
		c := rpc.Call[Order, struct{}]{Verb: verb, Path: "/orders/{id}", Needs: needs}
		return c.Serve(func(_ context.Context, in Order) (struct{}, error) { return struct{}{}, work(in.Name) })
	}
	read := rpc.Call[OneBook, struct{}]{Verb: "GET", Path: "/orders/{id}", Needs: rpc.Viewer}
	member := rpc.Call[OneBook, struct{}]{Verb: "DELETE", Path: "/orders/{id}", Needs: rpc.Member}
	nothing := func(context.Context, OneBook) (struct{}, error) { return struct{}{}, nil }
	return rpc.Handler(rpc.Deps{Audit: a}, order("PUT", rpc.Operator), order("POST", rpc.Viewer), order("PATCH", rpc.Administrator), read.Serve(nothing), member.Serve(nothing))
}

func TestWhatAnOperatorChangesIsNotedBeforeAndAfterAndBeforeTheAnswer(t *testing.T) {
	ada := `{"operator":"opr_1","operator_name":"ada","role":"operator","account":"acc_1","address":"127.0.0.1","client":"192.0.2.1"}`
	for name, c := range map[string]struct {
		verb, body, caller string
		status             int
		want               []string
	}{
		"done": {"PUT", `{"name":"x","secret":"s3cret"}`, ada, 204, []string{
			"begin PUT /orders/{id} by ada on map[id:7 name:x why:late], work done 0 times", `end 1 ok "", work done 1 times`}},
		"with what is absent left out": {"PUT", `{"name":"x","year":0,"note":"","tags":[1,2]}`, ada, 204, []string{
			`begin PUT /orders/{id} by ada on map[id:7 name:x note:"" tags:[1,2] why:late year:0], work done 0 times`, `end 1 ok "", work done 1 times`}},
		"failed": {"PUT", `{"name":"fail"}`, ada, 404, []string{
			"begin PUT /orders/{id} by ada on map[id:7 name:fail why:late], work done 0 times", `end 1 failed "there is no such thing", work done 1 times`}},
		"refused by the work": {"PUT", `{"name":"deny"}`, ada, 403, []string{
			"begin PUT /orders/{id} by ada on map[id:7 name:deny why:late], work done 0 times", `end 1 refused "not this one", work done 1 times`}},
		"a defect's words stay inside": {"PUT", `{"name":"defect"}`, ada, 500, []string{
			"begin PUT /orders/{id} by ada on map[id:7 name:defect why:late], work done 0 times", `end 1 failed "internal error", work done 1 times`}},
		"a panic": {"PUT", `{"name":"panic"}`, ada, 500, []string{
			"begin PUT /orders/{id} by ada on map[id:7 name:panic why:late], work done 0 times", `end 1 failed "internal error", work done 1 times`}},
		"refused by role": {"PATCH", `{"name":"x"}`, ada, 403, []string{
			"begin PATCH /orders/{id} by ada on map[id:7], work done 0 times",
			`end 1 refused "this needs the role administrator, and ada has the role operator: ask an administrator", work done 0 times`}},
		"nonsense": {"PUT", `{"name":"far too long a name"}`, ada, 400, []string{
			"begin PUT /orders/{id} by ada on map[id:7], work done 0 times", `end 1 failed "name must have at most 10 characters", work done 0 times`}},
		"viewers may change too": {"POST", `{"name":"x"}`, ada, 204, []string{
			"begin POST /orders/{id} by ada on map[id:7 name:x why:late], work done 0 times", `end 1 ok "", work done 1 times`}},
		"reading":           {"GET", "", ada, 204, nil},
		"a member's method": {"DELETE", "", ada, 204, nil},
		"a guest":           {"PUT", `{"name":"x"}`, `{}`, 401, nil},
		"a member":          {"PUT", `{"name":"x"}`, `{"account":"acc_1"}`, 403, nil},
	} {
		a := &auditor{work: new(int)}
		r := ask(vault(a), c.verb, "/orders/7?why=late", c.body, rpc.CallerHeader, c.caller, "Content-Type", "application/json")
		if r.StatusCode != c.status {
			t.Errorf("%s: got %d %s, want %d", name, r.StatusCode, text(t, r), c.status)
		}
		if diff := cmp.Diff(c.want, a.lines); diff != "" {
			t.Errorf("%s: notes (-want +got):\n%s", name, diff)
		}
		for _, x := range a.begun {
			if x.Operator != "opr_1" || x.Role != bijou.RoleOperator || x.Address != "192.0.2.1" {
				t.Errorf("%s: noted of %+v", name, x)
			}
		}
	}
}

func TestWhatCannotBeNotedIsNotDone(t *testing.T) {
	ada := `{"operator":"opr_1","operator_name":"ada","role":"operator"}`
	for _, c := range []struct {
		verb, body string
		auditor    auditor
		status     int
		says       string
		done       int
	}{
		{"PUT", `{"name":"x"}`, auditor{noBegin: true}, 429, "nothing was done, since it cannot be noted in the audit log: the disk is full", 0},
		{"PATCH", `{"name":"x"}`, auditor{noBegin: true}, 429, "nothing was done", 0},
		{"PUT", `{"name":"x"}`, auditor{noEnd: true}, 429, "what was asked is done, but its end cannot be noted in the audit log: the disk is full", 1},
		{"PUT", `{"name":"fail"}`, auditor{noEnd: true}, 404, "there is no such thing", 1},
	} {
		a := c.auditor
		a.work = new(int)
		r := ask(vault(&a), c.verb, "/orders/7", c.body, rpc.CallerHeader, ada, "Content-Type", "application/json")
		if body := text(t, r); r.StatusCode != c.status || !strings.Contains(body, c.says) || *a.work != c.done || r.Header.Get("Content-Type") != rpc.ProblemType {
			t.Errorf("%s %s: got %d %s, work done %d times; want %d %q, %d", c.verb, c.body, r.StatusCode, body, *a.work, c.status, c.says, c.done)
		}
	}
}

func TestTheEndIsNotedThoughTheClientHasLeft(t *testing.T) {
	a := &auditor{work: new(int)}
	call := rpc.Call[struct{}, struct{}]{Verb: "POST", Path: "/x", Needs: rpc.Operator}
	ctx, leave := context.WithCancel(t.Context())
	h := rpc.Handler(rpc.Deps{Audit: a}, call.Serve(func(ctx context.Context, _ struct{}) (struct{}, error) {
		leave()
		return struct{}{}, ctx.Err()
	}))
	req := httptest.NewRequestWithContext(ctx, "POST", "/x", nil)
	req.Header.Set(rpc.CallerHeader, `{"operator_name":"ada","role":"operator"}`)
	h.ServeHTTP(httptest.NewRecorder(), req)
	if len(a.lines) != 2 || !strings.HasPrefix(a.lines[1], "end 1 failed") {
		t.Errorf("notes are %q, want a beginning and an end", a.lines)
	}
}
