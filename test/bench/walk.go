package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	starts   = 7 // of which the median counts
	idleFor  = 30 * time.Second
	settleIn = 5 * time.Second
)

// The targets of the issue that asked for this measurement.
const (
	pageTarget = time.Second
	idleMB     = 150
	idleCore   = 0.01
	binaryMB   = 60
)

// walk measures what a person meets first.
func walk(ctx context.Context, b *bench, r *report) error {
	info, err := os.Stat(b.bijou)
	if err != nil {
		return err
	}
	var fresh, again []float64
	for i := range starts {
		dir := filepath.Join(b.dir, "walk", strconv.Itoa(i))
		for _, times := range []*[]float64{&fresh, &again} {
			took, s, err := b.firstPage(ctx, dir)
			if err != nil {
				return err
			}
			*times = append(*times, took.Seconds()*1000)
			if err := s.stop(); err != nil {
				return err
			}
		}
	}
	rss, core, err := b.idle(ctx)
	if err != nil {
		return err
	}
	r.line("| what | target | measured (median, least to most) | |")
	r.line("|---|---|---|---|")
	row := func(what string, values []float64) {
		m, lo, hi := spread(values)
		r.line("| %s | ≤ %d ms | %.0f ms, %.0f to %.0f, %d starts | %s |", what, pageTarget.Milliseconds(), m, lo, hi, len(values), verdict(m <= float64(pageTarget.Milliseconds())))
	}
	row("from start to the whole first page, new library (bundled films are put into it)", fresh)
	row("from start to the whole first page, existing library", again)
	mb := float64(rss) / 1e6
	r.line("| resident memory when idle | ≤ %d MB | %.0f MB | %s |", idleMB, mb, verdict(mb <= idleMB))
	r.line("| processor when idle, over %s | < %.0f %% of a core | %.2f %% | %s |", idleFor, idleCore*100, core*100, verdict(core < idleCore))
	size := float64(info.Size()) / 1e6
	r.line("| binary, bundled films inside | ≤ %d MB | %.1f MB | %s |", binaryMB, size, verdict(size <= binaryMB))
	return nil
}

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "**missed**"
}

// service is a running `bijou up`.
type service struct {
	cmd     *exec.Cmd
	address string
}

// start runs the service on the data directory at any free address, and returns once it says that it is ready.
func (b *bench) start(ctx context.Context, dir string, args ...string) (*service, error) {
	cmd := exec.CommandContext(ctx, b.bijou, append([]string{"up", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "warn"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &service{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "ready: ")
	if err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("the service said %q and not that it is ready", line), err, s.stop())
	}
	s.address = address
	return s, nil
}

func (s *service) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// firstPage returns how long it takes from the start of the process until all that a browser needs for its first page has been read.
func (b *bench) firstPage(ctx context.Context, dir string) (time.Duration, *service, error) {
	begin := time.Now()
	s, err := b.start(ctx, dir)
	if err != nil {
		return 0, nil, err
	}
	page, err := get(ctx, s.address+"/")
	if err != nil {
		return 0, nil, err
	}
	paths := []string{"/api/v1/me", "/api/v1/titles"}
	for _, quoted := range strings.Split(page, `"`) {
		if strings.HasPrefix(quoted, "/assets/") {
			paths = append(paths, quoted)
		}
	}
	for _, p := range paths {
		if _, err := get(ctx, s.address+p); err != nil {
			return 0, nil, err
		}
	}
	return time.Since(begin), s, nil
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return string(body), err
}

// idle returns the resident memory in bytes and the share of a core that a service uses with which nothing happens.
func (b *bench) idle(ctx context.Context) (rss int64, core float64, err error) {
	_, s, err := b.firstPage(ctx, filepath.Join(b.dir, "idle"))
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(settleIn)
	before, _, err := usage(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(idleFor)
	after, rss, err := usage(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	return rss, (after - before).Seconds() / idleFor.Seconds(), s.stop()
}

// usage returns the processor time and the resident memory in bytes of a process (proc(5)).
func usage(pid int) (cpu time.Duration, rss int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(raw), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 22 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [3]int64
	for i, at := range []int{11, 12, 21} { // utime, stime, rss
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	const ticks = 100 // USER_HZ, the same on every Linux
	return time.Duration(n[0]+n[1]) * time.Second / ticks, n[2] * int64(os.Getpagesize()), nil
}
