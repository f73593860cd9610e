package harness

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Listeners returns where a process listens for TCP connections, as the system's own tables tell (proc(5)).
func Listeners(t testing.TB, pid int) (at []netip.AddrPort) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	sockets := map[string]bool{}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok { // one that was closed in between does not listen
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	const address, state, inode, listening = 1, 3, 9, "0A"
	for _, table := range []string{"tcp", "tcp6"} {
		for _, line := range strings.Split(string(readFile(t, dir, "net", table)), "\n")[1:] {
			if f := strings.Fields(line); len(f) > inode && f[state] == listening && sockets[f[inode]] {
				at = append(at, parseSocket(t, f[address]))
			}
		}
	}
	return at
}

// parseSocket reads an address as the tables print it: 32-bit words in the machine's order, which is little endian, then the port.
func parseSocket(t testing.TB, s string) netip.AddrPort {
	t.Helper()
	words, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(words)
	if err != nil {
		t.Fatalf("socket %q: %v", s, err)
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		t.Fatalf("socket %q: %v", s, err)
	}
	return netip.AddrPortFrom(addr, uint16(n))
}

// Running returns the command lines of all processes of this machine that have the words in theirs.
func Running(t testing.TB, words string) (lines []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if line := strings.ReplaceAll(string(b), "\x00", " "); err == nil && strings.Contains(line, words) { // one that has ended is gone
			lines = append(lines, line)
		}
	}
	return lines
}

// Metric returns the value of a metric, whose labels are part of its name.
func Metric(t testing.TB, c Client, name string) float64 {
	t.Helper()
	n, ok := FindMetric(t, c, name)
	if !ok {
		t.Fatalf("there is no metric %s", name)
	}
	return n
}

// FindMetric is as Metric, and tells whether there is one: a counter with labels is not there before it counts.
func FindMetric(t testing.TB, c Client, name string) (float64, bool) {
	t.Helper()
	for line := range strings.Lines(string(c.Get(t, "/metrics"))) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(fmt.Errorf("metric %s: %w", name, err))
			}
			return n, true
		}
	}
	return 0, false
}

// CloseIdle closes the connections that clients of this package keep for later.
func CloseIdle() { web.CloseIdleConnections() }
