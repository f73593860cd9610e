package bijou

import (
	"errors"
	"strings"
	"time"
)

// Kind says what sort of failure an error is. An error of the service is a sentence that ends in its kind:
//
//	fmt.Errorf("play %s: no such title: %w", id, bijou.NotFound)
//
// errors.Is(err, bijou.NotFound) holds where the failure arose and two processes away.
type Kind string

// The kinds of failure. There are no others.
const (
	NotFound    Kind = "not found"   // the thing that was named does not exist
	Conflict    Kind = "conflict"    // it exists already, or changed in between
	Invalid     Kind = "invalid"     // the request or the data given is wrong; trying again is of no use
	Denied      Kind = "denied"      // the caller is unknown, or may not do this
	Exhausted   Kind = "exhausted"   // a bound was reached: space, rate, queue; try later or give more
	Unavailable Kind = "unavailable" // a part that is needed does not answer; try again
	Unsupported Kind = "unsupported" // understood, and not done here
	Corrupt     Kind = "corrupt"     // stored data is not what was stored
)

var kinds = []Kind{NotFound, Conflict, Invalid, Denied, Exhausted, Unavailable, Unsupported, Corrupt}

// Error returns the kind's own words, so that a Kind can end a wrapped error.
func (k Kind) Error() string { return string(k) }

// KindOf returns the kind that err ends in, or the empty kind where it has none (a defect, answered as an internal error).
func KindOf(err error) Kind {
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	return ""
}

// ParseKind returns the kind with these words, or the empty kind.
func ParseKind(words string) Kind {
	for _, k := range kinds {
		if string(k) == words {
			return k
		}
	}
	return ""
}

// Sentence returns err's words for a person: without the kind at the end.
func Sentence(err error) string {
	s := err.Error()
	if k := KindOf(err); k != "" {
		s = strings.TrimSuffix(s, ": "+string(k))
	}
	return s
}

// waitError is a failure that says how long to wait before the next try.
type waitError struct {
	error
	wait time.Duration
}

func (e *waitError) Unwrap() error { return e.error }

// After returns err as one that passes with time.
func After(err error, wait time.Duration) error { return &waitError{err, wait} }

// WaitOf returns how long to wait before what failed is tried again, or 0 where the failure does not say.
func WaitOf(err error) time.Duration {
	var w *waitError
	if errors.As(err, &w) {
		return w.wait
	}
	return 0
}

// remoteError is a failure that arose in another process: its sentence as it was told, and its kind.
type remoteError struct {
	sentence string
	kind     Kind
}

// Remote returns the failure that another process told of. It reads and unwraps as the original did.
func Remote(sentence string, kind Kind) error { return &remoteError{sentence, kind} }

func (e *remoteError) Error() string {
	if e.kind == "" {
		return e.sentence
	}
	return e.sentence + ": " + string(e.kind)
}

func (e *remoteError) Unwrap() error {
	if e.kind == "" {
		return nil
	}
	return e.kind
}
