// Package harness starts the built program for whole-system tests, and sees of it what a stranger sees: its command line, its address and
// its files.
package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// shared is the folder of what all tests of a package need: made once, removed by Main.
var shared = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bijou-test-*")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // another user runs the program from it
})

// Main runs the package's tests and removes what they share. Call it from TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	dir, err := shared()
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness: shared folder stays:", err)
		return max(code, 1)
	}
	return code
}

// Shared returns the folder that all tests of the package share.
func Shared(t testing.TB) string {
	t.Helper()
	dir, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var program = sync.OnceValues(func() (string, error) {
	dir, err := shared()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bijou")
	if built := os.Getenv("BIJOU"); built != "" {
		b, err := os.ReadFile(built)
		if err != nil {
			return "", fmt.Errorf("BIJOU names %s, which cannot be read: build it with make build: %w", built, err)
		}
		return path, os.WriteFile(path, b, 0o755)
	}
	out, err := exec.Command("go", "build", "-trimpath", "-o", path, "bijou/cmd/bijou").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, os.Chmod(path, 0o755)
})

// Program returns the program that is tested, in a folder of its own that every user may read: a copy of the one that the environment
// variable BIJOU names, or one that is built now.
func Program(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FFmpeg runs ffmpeg quietly with the arguments. What it says is a failure of the test.
func FFmpeg(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, args...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil || said.Len() > 0 {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, said.Bytes())
	}
}

var films sync.Mutex

// Film returns a small film with a moving picture and a tone: so many seconds of 320x180 at 25 frames a second. Films of one length are one file.
func Film(t testing.TB, seconds int) string {
	t.Helper()
	films.Lock()
	defer films.Unlock()
	path := filepath.Join(Shared(t), fmt.Sprintf("film-%ds.mp4", seconds))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	half := path + ".half.mp4"
	FFmpeg(t, "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=320x180:rate=25:duration=%d", seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:sample_rate=48000:duration=%d", seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-movflags", "+faststart", half)
	if err := os.Rename(half, path); err != nil {
		t.Fatal(err)
	}
	return path
}
