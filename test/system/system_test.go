// Package system_test looks at the whole service from outside, as viewers, operators and strangers see it, in each shape that it runs in.
package system_test

import (
	"os"
	"testing"

	"bijou/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// inEachShape runs the body once for each way to run the service.
func inEachShape(t *testing.T, body func(t *testing.T, shape harness.Shape)) {
	t.Helper()
	t.Parallel()
	for _, shape := range harness.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			body(t, shape)
		})
	}
}

// filmSeconds is the length of the film that most tests play: two segments.
const filmSeconds = 6

// library starts a service that has one film.
func library(t *testing.T, shape harness.Shape, o harness.Options) (*harness.Service, harness.Title) {
	t.Helper()
	sv := shape.Start(t, o)
	return sv, sv.Add(t, harness.Film(t, filmSeconds), "--subtitles", "en="+subtitles(t))
}

func subtitles(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/film.srt"
	if err := os.WriteFile(path, []byte("1\n00:00:01,000 --> 00:00:02,500\nBars & a <i>tone</i>.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
