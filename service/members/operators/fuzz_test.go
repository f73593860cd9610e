package operators

import (
	"errors"
	"strings"
	"testing"

	"bijou"
	"bijou/service/members/signon"
)

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"staff=viewer", "@example.org=operator", "a=b=administrator", "=viewer", "x=", "==", " a = viewer "} {
		f.Add(s, "staff", "ada@example.org")
	}
	f.Fuzz(func(t *testing.T, text, group, email string) {
		whom, role, err := parseRule(text)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) || whom != "" || role != "" {
				t.Fatalf("parseRule(%q) = %q, %q, %v; want nothing and Invalid", text, whom, role, err)
			}
			return
		}
		if whom == "" || role.Check() != nil {
			t.Fatalf("parseRule(%q) = %q, %q", text, whom, role)
		}
		who := signon.Person{Email: email, Groups: []string{group}}
		got := roleOf([]string{text}, who)
		if got != "" && got != role {
			t.Fatalf("rule %q gives %+v the role %q", text, who, got)
		}
		if got != "" && group != whom && !strings.Contains(whom, "@") {
			t.Fatalf("rule %q gives %+v, who is in no such group, the role %q", text, who, got)
		}
	})
}
