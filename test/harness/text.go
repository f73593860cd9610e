package harness

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%q is no number", s)
	}
	return n
}

func text10(n int) string { return strconv.Itoa(n) }

func readFile(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// factJSON prints one fact.
func factJSON(p Play, kind string, seq, positionMS int64) string {
	b, err := json.Marshal(map[string]any{
		"kind": kind, "session": p.Session, "title": p.Title, "seq": seq, "position_ms": positionMS, "runtime_ms": p.RuntimeMS,
	})
	if err != nil {
		panic(err) // strings and numbers always print
	}
	return string(b)
}
