package rpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bijou"

	"github.com/danielgtaylor/huma/v2"
)

// maxComplaints bounds how many wrong fields one message names.
const maxComplaints = 3

// check refuses, as Invalid, a value that the schema does not allow, and names the field. The value itself is not repeated: it may be a password.
func check(r huma.Registry, s *huma.Schema, at string, v any) error {
	var result huma.ValidateResult
	path := huma.NewPathBuffer([]byte(at), len(at))
	huma.Validate(r, s, path, huma.ModeWriteToServer, v, &result)
	if len(result.Errors) == 0 {
		return nil
	}
	var words []string
	for _, err := range result.Errors[:min(len(result.Errors), maxComplaints)] {
		words = append(words, complaint(err))
	}
	if more := len(result.Errors) - maxComplaints; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s: %w", strings.Join(words, "; "), bijou.Invalid)
}

// complaint turns one finding into words for a person.
func complaint(err error) string {
	detail, ok := errors.AsType[*huma.ErrorDetail](err)
	if !ok {
		return err.Error()
	}
	msg := detail.Message
	if name, ok := strings.CutPrefix(msg, "expected required property "); ok {
		name = strings.TrimSuffix(name, " to be present")
		return clip(join(detail.Location, name), 80) + " is missing"
	}
	for _, p := range phrases {
		if rest, ok := strings.CutPrefix(msg, p.theirs); ok {
			return place(detail.Location) + " " + p.ours + rest + p.unit
		}
	}
	return place(detail.Location) + ": " + msg
}

// phrases says the validator's findings as sentences about the field. The first that fits counts.
var phrases = []struct{ theirs, ours, unit string }{
	{"expected number >= ", "must be at least ", ""},
	{"expected number <= ", "must be at most ", ""},
	{"expected number > ", "must be more than ", ""},
	{"expected number < ", "must be less than ", ""},
	{"expected number to be a multiple of ", "must be a multiple of ", ""},
	{"expected length >= ", "must have at least ", " characters"},
	{"expected length <= ", "must have at most ", " characters"},
	{"expected array length >= ", "must have at least ", " entries"},
	{"expected array length <= ", "must have at most ", " entries"},
	{"expected array items to be unique", "must not have an entry twice", ""},
	{"expected value to be one of ", "must be one of ", ""},
	{"expected string to match pattern ", "must match the pattern ", ""},
	{"expected string to be ", "must be a text that is ", ""},
	{"expected boolean", "must be true or false", ""},
	{"expected integer", "must be a whole number", ""},
	{"expected number", "must be a number", ""},
	{"expected string", "must be a text", ""},
	{"expected array", "must be a list", ""},
	{"expected object", "must be an object", ""},
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
