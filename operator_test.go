package bijou_test

import (
	"errors"
	"strings"
	"testing"

	"bijou"
)

func TestEachRoleMayDoWhatThoseBeforeItMay(t *testing.T) {
	for i, has := range bijou.OperatorRoles {
		for j, needs := range bijou.OperatorRoles {
			if got := has.Includes(needs); got != (i >= j) {
				t.Errorf("%s includes %s: got %v", has, needs, got)
			}
		}
	}
	for _, none := range []bijou.OperatorRole{"", "king", "Administrator"} {
		if none.Includes(bijou.RoleViewer) || none.Check() == nil {
			t.Errorf("%q is taken for a role", none)
		}
	}
}

func FuzzNormalOperatorName(f *testing.F) {
	for _, s := range []string{"ada", " Ada@Example.org ", "local", "-x", "a b", "", "ä", "a\x00b", strings.Repeat("a", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := bijou.NormalOperatorName(s)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) || name != "" {
				t.Fatalf("NormalOperatorName(%q) = %q, %v", s, name, err)
			}
			return
		}
		again, err := bijou.NormalOperatorName(name)
		if err != nil || again != name || name == bijou.LocalOperatorName || name == "" || len(name) > 128 || strings.ContainsAny(name, " /%#?\n") {
			t.Fatalf("NormalOperatorName(%q) = %q, and again %q, %v", s, name, again, err)
		}
	})
}
