package contract

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"bijou/test/harness"
)

// childVariable tells a test binary that it is the child which is to be killed, and where its data lies.
const childVariable = "BIJOU_TEST_CHILD_DIR"

// Kill checks what outlives kill -9. In each of several rounds it runs the calling test again, in a process of its own, where work
// writes to dir without end and acknowledges what is stored by calling ack with a line; it kills that process after a random number
// of acknowledgements, and gives all acknowledged lines of all rounds, in the order of their telling, to check.
func Kill(t *testing.T, rounds int, work func(t *testing.T, dir string, ack func(line string)), check func(t *testing.T, dir string, acked []string)) {
	t.Helper()
	if dir := os.Getenv(childVariable); dir != "" {
		pipe := os.NewFile(3, "acknowledgements")
		work(t, dir, func(line string) {
			if _, err := fmt.Fprintln(pipe, line); err != nil {
				os.Exit(3) // the parent is gone
			}
		})
		t.Fatal("the child came to an end by itself")
	}
	random := harness.Seed(t)
	dir := t.TempDir()
	var acked []string
	for range rounds {
		acked = append(acked, killedChild(t, dir, 1+random.IntN(60))...)
		check(t, dir, acked)
		if t.Failed() {
			return
		}
	}
}

// killedChild runs the child until it has acknowledged so many lines, kills it, and returns all that it acknowledged.
func killedChild(t *testing.T, dir string, lines int) (acked []string) {
	t.Helper()
	read, write, err := os.Pipe()
	must(t, "pipe", err)
	defer read.Close()
	output := &strings.Builder{}
	child := again(t, dir, write, output)
	must(t, "start the child", child.Start())
	must(t, "close", write.Close())
	s := bufio.NewScanner(read)
	for s.Scan() {
		if acked = append(acked, s.Text()); len(acked) == lines {
			must(t, "kill the child", child.Process.Kill())
		}
	}
	err = child.Wait()
	if child.ProcessState.Exited() || len(acked) < lines {
		t.Fatalf("the child acknowledged %d lines and ended by itself (%v), want %d and killed; it said:\n%s", len(acked), err, lines, output)
	}
	return acked
}

// Numbered returns the acknowledged lines as numbers in order, for work that acknowledges numbers.
func Numbered(t *testing.T, acked []string) (ns []int) {
	t.Helper()
	for _, line := range acked {
		var n int
		if _, err := fmt.Sscan(line, &n); err != nil {
			t.Fatalf("acknowledgement %q is no number", line)
		}
		ns = append(ns, n)
	}
	slices.Sort(ns)
	return ns
}
