package members

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"bijou"
)

//go:embed common.txt
var commonText string

// common are the passwords that are guessed first.
var common = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all[line] = true
		}
	}
	return all
})

// minPassword is how long a password is at least, in characters.
const minPassword = 8

// checkPassword refuses, as Invalid, a password that others would guess. What it is made of is else its owner's matter.
func checkPassword(password, email string) error {
	plain := strings.ToLower(strings.TrimSpace(password))
	name, _, _ := strings.Cut(email, "@")
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return fmt.Errorf("the password has %d characters: use at least %d: %w", n, minPassword, bijou.Invalid)
	case plain == "" || repeats(plain):
		return fmt.Errorf("the password is the same over and over: use something longer in its place: %w", bijou.Invalid)
	case plain == email || plain == name:
		return fmt.Errorf("the password is the e-mail address: use something that others do not know: %w", bijou.Invalid)
	case common()[plain]:
		return fmt.Errorf("the password is among those that are guessed first: use a rarer one: %w", bijou.Invalid)
	}
	return nil
}

// repeats tells whether the text is one piece over and over: such a text is found again within two of itself.
func repeats(s string) bool {
	twice := s + s
	return strings.Contains(twice[1:len(twice)-1], s)
}
