// Package contract holds one suite of tests for each contract of the root package: whatever keeps the contract passes it.
//
// An engine's test is one line, contract.BlobStore(t, open), where open returns a store that holds nothing. Every check stands
// for a sentence of the contract's documentation, and for no more than it says.
package contract

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// must ends the test where err says that something failed which may not.
func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: got error %q, want none", what, err)
	}
}

// wantKind fails the test where err is not of the kind, or is not a sentence that ends in it.
func wantKind(t *testing.T, what string, err error, want bijou.Kind) {
	t.Helper()
	switch {
	case !errors.Is(err, want):
		t.Errorf("%s: got error %v, want one of kind %q", what, err, want)
	case bijou.Sentence(err) == err.Error() || bijou.Sentence(err) == "":
		t.Errorf("%s: got error %q, want a sentence that ends in %q", what, err, want)
	}
}

// wantSame fails the test where got is not want. Nothing and an empty list are the same.
func wantSame[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), wholeBytes); d != "" {
		t.Errorf("%s: got (+), want (-):\n%s", what, d)
	}
}

// wholeBytes compares bytes at once: one by one takes seconds for the largest records.
var wholeBytes = cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal))

// noon is the time of the tests. Stores keep times to the microsecond at least.
var noon = time.Date(2031, time.March, 4, 12, 0, 0, 123456000, time.UTC)

// together runs f n times at once, and waits for all.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// run runs one check on a fresh store.
func run[S any](t *testing.T, open func(t *testing.T) S, name string, check func(t *testing.T, s S)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { check(t, open(t)) })
}
