package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"bijou"
	"bijou/test/contract"
)

func TestAnOperatorAndAnInvitationThatWasUsedOutliveAKill(t *testing.T) {
	contract.Kill(t, 3, func(t *testing.T, dir string, ack func(string)) {
		s := opened(t, OpenOperators, filepath.Join(dir, "operators.db"))
		all, err := s.Operators(t.Context())
		check(t, "operators", err)
		for n := len(all); ; n++ {
			token := bijou.OperatorToken{ID: bijou.TokenID(fmt.Sprintf("tok_%d", n)), Hash: fmt.Sprint(n), Kind: bijou.TokenInvitation, Created: noon, Expires: noon.AddDate(1, 0, 0)}
			check(t, "invite", s.AddOperatorToken(t.Context(), token))
			o := bijou.Operator{ID: bijou.OperatorID(fmt.Sprintf("opr_%d", n)), Name: fmt.Sprintf("name%06d", n), Role: bijou.RoleAdministrator, Created: noon}
			_, err := s.AcceptInvitation(t.Context(), token.Hash, noon, o, "password")
			check(t, "accept", err)
			ack(fmt.Sprint(n))
		}
	}, func(t *testing.T, dir string, acked []string) {
		s := opened(t, OpenOperators, filepath.Join(dir, "operators.db"))
		defer s.Close()
		all, err := s.Operators(t.Context())
		// One more may have been on its way when the kill came.
		if err != nil || len(all) < len(acked) {
			t.Fatalf("%d operators are there (%v), want the %d that were acknowledged", len(all), err, len(acked))
		}
		for n, o := range all {
			if o.ID != bijou.OperatorID(fmt.Sprintf("opr_%d", n)) || !o.Password {
				t.Errorf("operator %d is %+v", n, o)
			}
			if _, err := s.AcceptInvitation(t.Context(), fmt.Sprint(n), noon, bijou.Operator{ID: "opr_x", Name: "x"}, "other"); !errors.Is(err, bijou.NotFound) {
				t.Errorf("invitation %d works again: %v", n, err)
			}
		}
	})
}

func TestAnActionThatWasNotedOutlivesAKillAndTheLogIsWhole(t *testing.T) {
	contract.Kill(t, 3, func(t *testing.T, dir string, ack func(string)) {
		s := opened(t, OpenOperators, filepath.Join(dir, "operators.db"))
		for {
			seq, err := s.BeginAction(t.Context(), bijou.Action{At: noon, Name: "ada", Method: "POST /x"})
			check(t, "begin", err)
			ack(fmt.Sprint(seq))
			check(t, "end", s.EndAction(t.Context(), seq, noon, bijou.OutcomeOK, ""))
			ack(fmt.Sprint(-seq))
		}
	}, func(t *testing.T, dir string, acked []string) {
		s := opened(t, OpenOperators, filepath.Join(dir, "operators.db"))
		defer s.Close()
		all, err := s.Actions(t.Context(), bijou.ActionQuery{Limit: 1e6})
		check(t, "actions", err)
		outcomes := map[int64]bijou.Outcome{}
		for _, a := range all {
			outcomes[a.Seq] = a.Outcome
		}
		for _, n := range contract.Numbered(t, acked) {
			outcome, there := outcomes[max(int64(n), -int64(n))]
			if !there || n < 0 && outcome != bijou.OutcomeOK {
				t.Errorf("line %d was acknowledged: there is %v with outcome %q", n, there, outcome)
			}
		}
		if c, err := s.VerifyActions(t.Context()); err != nil || c.Altered != 0 {
			t.Errorf("log is %+v, %v", c, err)
		}
	})
}

func TestALineOfTheAuditLogThatWasAlteredIsFound(t *testing.T) {
	for name, change := range map[string]string{
		"another text":       `UPDATE audit SET body = replace(body, 'ada', 'eve'), name = 'eve' WHERE seq = 3`,
		"another name":       `UPDATE audit SET name = 'eve' WHERE seq = 3`,
		"another time":       `UPDATE audit SET at_us = at_us + 1 WHERE seq = 3`,
		"a line missing":     `DELETE FROM audit WHERE seq = 3`,
		"the end of another": `UPDATE audit SET action = 1 WHERE seq = 3`,
		"no JSON":            `UPDATE audit SET body = 'x' WHERE seq = 3`,
	} {
		s := opened(t, OpenOperators, newFile(t))
		for range 5 {
			_, err := s.BeginAction(t.Context(), bijou.Action{At: noon, Name: "ada", Method: "POST /x"})
			check(t, "begin", err)
		}
		if c, err := s.VerifyActions(t.Context()); err != nil || c.Altered != 0 || c.Lines != 5 {
			t.Fatalf("log is %+v, %v, want five lines", c, err)
		}
		if _, err := s.d.exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if c, err := s.VerifyActions(t.Context()); err != nil || c.Altered != 3 {
			t.Errorf("%s: log is %+v, %v, want line 3 found", name, c, err)
		}
	}
}

func TestALineThatIsNoJSONIsCorrupt(t *testing.T) {
	s := opened(t, OpenOperators, newFile(t))
	_, err := s.BeginAction(t.Context(), bijou.Action{At: noon})
	check(t, "begin", err)
	if _, err := s.d.exec(t.Context(), `UPDATE audit SET body = 'x'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Actions(t.Context(), bijou.ActionQuery{Limit: 1}); !errors.Is(err, bijou.Corrupt) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("actions: got %v, want corrupt and what to do", err)
	}
}
