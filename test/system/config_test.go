package system_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"bijou/test/harness"
)

func TestTheSampleConfigurationsStartAsTheyAreWritten(t *testing.T) {
	files, err := filepath.Glob("../../dist/config/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("samples: got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			// The directory and the address are this test's; servers that are named may be there or not.
			sv := harness.Up.Start(t, harness.Options{Args: []string{"--config", file}})
			if a := sv.Guest().Do(t, "GET", "/readyz", nil); a.Status != http.StatusOK {
				t.Errorf("readyz: status %d: %s", a.Status, a.Body)
			}
			if r := sv.CLI(t, "--config", file, "config", "print"); r.Status != 0 {
				t.Errorf("config print: %s", r.Err)
			}
		})
	}
}
