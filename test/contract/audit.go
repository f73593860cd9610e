package contract

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
)

// AuditStore checks what bijou.AuditStore promises. open returns a store that holds nothing.
func AuditStore(t *testing.T, open func(t *testing.T) bijou.AuditStore) {
	run(t, open, "AnActionIsReadWithHowItEnded", actionRead)
	run(t, open, "AnActionEndsOnce", actionEndsOnce)
	run(t, open, "ActionsAreAskedForByTimeNameAndPage", actionsAsked)
	run(t, open, "ManyWriteAtOnceAndTheLogIsWhole", actionsTogether)
	run(t, open, "WhatIsOldOrTooMuchGoesFromTheBeginning", actionsPruned)
}

func action(n int) bijou.Action {
	return bijou.Action{
		At: noon.Add(time.Duration(n) * time.Minute), Operator: "opr_1", Name: fmt.Sprintf("operator%d", n%2), Role: bijou.RoleOperator, Address: "192.0.2.1",
		Method: "DELETE /api/v1/things/{id}", On: map[string]string{"id": fmt.Sprintf("thing „%d“ <&>", n)},
	}
}

func begin(t *testing.T, s bijou.AuditStore, n int) bijou.Action {
	t.Helper()
	a := action(n)
	var err error
	a.Seq, err = s.BeginAction(t.Context(), a)
	must(t, "begin", err)
	return a
}

func actionRead(t *testing.T, s bijou.AuditStore) {
	a, b, c := begin(t, s, 1), begin(t, s, 2), begin(t, s, 3)
	if a.Seq < 1 || b.Seq <= a.Seq || c.Seq <= b.Seq {
		t.Errorf("actions have the numbers %d, %d, %d, want them to grow", a.Seq, b.Seq, c.Seq)
	}
	a.Outcome, c.Outcome, c.Says = bijou.OutcomeOK, bijou.OutcomeFailed, "there is no such thing"
	must(t, "end", s.EndAction(t.Context(), c.Seq, noon, c.Outcome, c.Says))
	must(t, "end", s.EndAction(t.Context(), a.Seq, noon, a.Outcome, ""))
	got, err := s.Actions(t.Context(), bijou.ActionQuery{Limit: 10})
	must(t, "actions", err)
	wantSame(t, "actions", got, []bijou.Action{c, b, a})
}

func actionEndsOnce(t *testing.T, s bijou.AuditStore) {
	a := begin(t, s, 1)
	wantKind(t, "end what did not begin", s.EndAction(t.Context(), a.Seq+1, noon, bijou.OutcomeOK, ""), bijou.NotFound)
	must(t, "end", s.EndAction(t.Context(), a.Seq, noon, bijou.OutcomeOK, ""))
	wantKind(t, "end again", s.EndAction(t.Context(), a.Seq, noon, bijou.OutcomeFailed, "no"), bijou.Conflict)
	wantKind(t, "end an end", s.EndAction(t.Context(), a.Seq+1, noon, bijou.OutcomeFailed, "no"), bijou.NotFound)
}

func actionsAsked(t *testing.T, s bijou.AuditStore) {
	var all []bijou.Action
	for n := range 6 {
		all = append([]bijou.Action{begin(t, s, n)}, all...)
	}
	for what, c := range map[string]struct {
		ask  bijou.ActionQuery
		want []bijou.Action
	}{
		"none":            {bijou.ActionQuery{}, nil},
		"the latest":      {bijou.ActionQuery{Limit: 2}, all[:2]},
		"the page before": {bijou.ActionQuery{Limit: 2, Before: all[1].Seq}, all[2:4]},
		"a time":          {bijou.ActionQuery{Limit: 9, Since: all[2].At}, all[:3]},
		"a name":          {bijou.ActionQuery{Limit: 9, Name: "operator1"}, []bijou.Action{all[0], all[2], all[4]}},
		"nobody's name":   {bijou.ActionQuery{Limit: 9, Name: "nobody"}, nil},
	} {
		got, err := s.Actions(t.Context(), c.ask)
		must(t, what, err)
		wantSame(t, what, got, c.want)
	}
}

// whole wants a log without an altered line.
func whole(t *testing.T, s bijou.AuditStore) bijou.AuditCheck {
	t.Helper()
	c, err := s.VerifyActions(t.Context())
	must(t, "verify", err)
	if c.Altered != 0 || c.Lines > 0 && c.Lines != c.Last-c.First+1 {
		t.Errorf("the log is %+v, want it whole", c)
	}
	return c
}

func actionsTogether(t *testing.T, s bijou.AuditStore) {
	var ended atomic.Int32
	together(8, func(i int) {
		for n := range 5 {
			seq, err := s.BeginAction(t.Context(), action(10*i+n))
			if err == nil {
				err = s.EndAction(t.Context(), seq, noon, bijou.OutcomeOK, "")
			}
			if err != nil && !errors.Is(err, bijou.Unavailable) {
				t.Errorf("write: %v", err)
			}
			if err == nil {
				ended.Add(1)
			}
		}
	})
	if c := whole(t, s); ended.Load() != 40 || c.Lines != 80 || c.Hash == "" {
		t.Errorf("%d actions ended, and the log is %+v, want 40 and 80 lines", ended.Load(), c)
	}
}

func actionsPruned(t *testing.T, s bijou.AuditStore) {
	for n := range 10 {
		begin(t, s, n)
	}
	before := whole(t, s)
	gone, err := s.PruneActions(t.Context(), action(3).At, 1<<30)
	must(t, "prune by age", err)
	if c := whole(t, s); gone != 3 || c.First != before.First+3 || c.Hash != before.Hash {
		t.Errorf("%d lines went and the log is %+v, want 3 and the rest as before: %+v", gone, c, before)
	}
	got, err := s.Actions(t.Context(), bijou.ActionQuery{Limit: 10})
	must(t, "actions", err)
	if len(got) != 7 || !got[6].At.Equal(action(3).At) {
		t.Errorf("%d actions are left, the first of %v, want 7 from %v on", len(got), got[len(got)-1].At, action(3).At)
	}
	gone, err = s.PruneActions(t.Context(), action(0).At, 700)
	must(t, "prune by size", err)
	if c := whole(t, s); gone < 1 || c.Lines < 1 || c.Last != before.Last {
		t.Errorf("%d lines went and the log is %+v, want some gone, and the latest left", gone, c)
	}
	_, err = s.PruneActions(t.Context(), action(100).At, 1<<30)
	must(t, "prune all", err)
	if c := whole(t, s); c.Lines != 0 {
		t.Errorf("the log is %+v, want it empty", c)
	}
	if a := begin(t, s, 1); a.Seq != before.Last+1 {
		t.Errorf("the action after all were pruned has the number %d, want %d", a.Seq, before.Last+1)
	}
	whole(t, s)
}
