package captions

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// fromWindows1252 reads bytes as Windows-1252. It says false where the text would not be one that anybody wrote: each legacy character set reads
// as this one, and what was written in Polish, Greek or Japanese comes out as rubbish.
//
// No library is asked: those that guess character sets give an answer always, and a wrong one silently. Here a text is refused unless its letters
// beyond ASCII are those of one language that Windows-1252 is for, and its signs stand where signs stand.
func fromWindows1252(raw []byte) (string, bool) {
	runes := make([]rune, len(raw))
	for i, c := range raw {
		runes[i] = charmap.Windows1252.DecodeByte(c)
	}
	return string(runes), plausible(runes)
}

// western are the letters beyond ASCII of each language that Windows-1252 is for, in lower case.
var western = []string{
	"àâæçéèêëîïôœùûüÿñ", // French
	"äöüßéà",            // German, Swiss too
	"áéíñóúüª",          // Spanish; Galician
	"ãáàâçéêíóôõú",      // Portuguese
	"àèéìíîòóùú",        // Italian
	"àçèéíïòóúü",        // Catalan, Occitan
	"éèëêïóöüáíúàâîôûç", // Dutch, Afrikaans
	"æøåéèêóòôâáäöü",    // Danish, Norwegian
	"åäöéèàáüæø",        // Swedish
	"äöåšžõüé",          // Finnish, Estonian
	"áðéíóúýþæöø",       // Icelandic, Faroese
	"áéíóú",             // Irish
	"àèìòù",             // Scottish Gaelic
	"ëçéâêîôû",          // Albanian
	"ëéäöüèêîôâûçï",     // Luxembourgish
}

// loans are the letters of words and names that a text in English, or in any of the others, has from elsewhere. They prove nothing where they
// are many: 1 of each 50 letters in Slovene is a "č", which reads as "è".
const loans = "àáâãäåæçèéêëíîïñóôöøúûüœšž"

const (
	mostForeign = 20  // one letter in so many beyond ASCII may be of another language: a name
	mostLoans   = 100 // one letter in so many of all is a loan
	mostBeyond  = 2   // one letter in so many of all is beyond ASCII, even in a single line
)

// plausible tells whether a text that was read as Windows-1252 was written in it.
func plausible(text []rune) bool {
	letters, beyond, odd, foreign := 0, 0, 0, 0
	found := map[rune]int{}
	for i, r := range text {
		switch {
		case r < 0x80:
			if unicode.IsLetter(r) {
				letters++
			}
		case r == utf8.RuneError: // a byte that Windows-1252 has no character for
			return false
		case unicode.IsLetter(r) && r != 'ƒ' && r != 'ˆ' && r != 'ª' && r != 'º' && r != 'µ':
			letters, beyond = letters+1, beyond+1
			found[unicode.ToLower(r)]++
			if before := at(text, i-1); unicode.IsUpper(r) && (unicode.IsLower(before) || unicode.IsLetter(before) && unicode.IsLower(at(text, i+1))) {
				odd++ // a capital within a word
			}
			if !strings.ContainsRune(loans, unicode.ToLower(r)) {
				foreign++
			}
		case misplaced(at(text, i-1), r, at(text, i+1)):
			odd++
		}
	}
	signs := odd*mostForeign <= beyond+letters/mostLoans
	if beyond == 0 || !signs {
		return signs
	}
	if beyond*mostLoans <= letters && foreign*mostForeign <= beyond {
		return true
	}
	return beyond*mostBeyond <= letters && oneLanguage(found, beyond)
}

// oneLanguage tells whether the letters beyond ASCII are those of one language, but for a few.
func oneLanguage(found map[rune]int, all int) bool {
	for _, alphabet := range western {
		of := 0
		for r, n := range found {
			if strings.ContainsRune(alphabet, r) {
				of += n
			}
		}
		if (all-of)*mostForeign <= all {
			return true
		}
	}
	return false
}

// at is the character at a place; a space where there is none.
func at(text []rune, i int) rune {
	if i < 0 || i >= len(text) {
		return ' '
	}
	return text[i]
}

// misplaced tells whether a sign stands where nobody writes it, as letters of other character sets do that read as signs.
func misplaced(before, sign, after rune) bool {
	switch sign {
	case '’', '‘', '´', '·', '–', '—', '…', '•', '\u00a0':
		return false // between letters too
	case '\u00ad':
		return !unicode.IsLetter(before) || !unicode.IsLetter(after)
	case '“', '”', '„', '‚', '«', '»', '‹', '›', '€', '£', '©', '®', '™', '§', '¶':
		return unicode.IsLetter(before) && unicode.IsLetter(after)
	case '¿', '¡':
		return unicode.IsLetter(before)
	case '°', 'º', 'ª':
		return unicode.IsLetter(before) && unicode.IsLetter(after)
	case '½', '¼', '¾':
		return unicode.IsLetter(before) || unicode.IsLetter(after)
	case '²', '³', '¹':
		return unicode.IsLetter(after) || unicode.IsLetter(before) && before != 'm'
	}
	return true
}
