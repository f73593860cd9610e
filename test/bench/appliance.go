package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed nginx.conf
var nginxConf string

const (
	alternations = 7
	loadFor      = 2 * time.Second
	loadConns    = 100
	idleConns    = 8000
	idleConnsMB  = 200
	rankMicros   = 50
)

// contestant is one server of files, pinned to the first core.
type contestant struct {
	name, clear, secure string // addresses below which the files are; secure is empty where it has no TLS
	pid                 int
	stop                func()
}

// files are what is served, by name.
var files = map[string]int{"large.m4s": 2_000_000, "small.m4s": 200_000}

// appliance measures bytes per processor second against nginx and net/http's file server, idle connections, and ranking.
func appliance(ctx context.Context, b *bench, r *report) error {
	dir := filepath.Join(b.dir, "appliance")
	if err := prepare(dir); err != nil {
		return err
	}
	nginx, err := startNginx(ctx, dir)
	if err != nil {
		return err
	}
	defer nginx.stop()
	std, err := startFileServer(ctx, dir)
	if err != nil {
		return err
	}
	defer std.stop()
	box, err := startBox(ctx, b, dir, nginx, false)
	if err != nil {
		return err
	}
	defer box.stop()
	secure, err := startBox(ctx, b, dir, nginx, true)
	if err != nil {
		return err
	}
	defer secure.stop()
	version, err := exec.CommandContext(ctx, "nginx", "-v").CombinedOutput()
	if err != nil {
		return err
	}
	r.line("Each server is pinned to one core and the load (wrk, %d connections) to the other; %d alternations of %s; peer: %s with `test/bench/nginx.conf`.",
		loadConns, alternations, loadFor, strings.TrimSpace(string(version)))
	r.line("Figures are answers per second of processor time of the server; ratios are of the medians, with the least and the most of the %d.\n", alternations)
	for _, f := range []string{"large.m4s", "small.m4s"} {
		if err := race(ctx, r, fmt.Sprintf("%d kB, clear text", files[f]/1000), f, []*contestant{box, nginx, std}, false); err != nil {
			return err
		}
		if err := race(ctx, r, fmt.Sprintf("%d kB, TLS 1.3", files[f]/1000), f, []*contestant{secure, nginx}, true); err != nil {
			return err
		}
	}
	if err := idleConnections(ctx, r, box); err != nil {
		return err
	}
	return ranking(ctx, r)
}

// race measures the contestants in turn and prints each one's figures and the first one's ratio to each other.
func race(ctx context.Context, r *report, what, file string, all []*contestant, secure bool) error {
	figures := make([][]float64, len(all))
	for range alternations {
		for i, c := range all {
			n, err := load(ctx, c, file, secure)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", what, c.name, err)
			}
			figures[i] = append(figures[i], n)
		}
	}
	r.line("| %s | answers a CPU-second | least to most | MB a CPU-second |", what)
	r.line("|---|---|---|---|")
	first, _, _ := spread(figures[0])
	var ratios []string
	for i, c := range all {
		m, lo, hi := spread(figures[i])
		r.line("| %s | %.0f | %.0f to %.0f | %.0f |", c.name, m, lo, hi, m*float64(files[file])/1e6)
		if i > 0 {
			var pairs []float64
			for k := range figures[0] {
				pairs = append(pairs, figures[0][k]/figures[i][k])
			}
			_, lo, hi := spread(pairs)
			ratios = append(ratios, fmt.Sprintf("%.2f × %s (pairs %.2f to %.2f)", first/m, c.name, lo, hi))
		}
	}
	r.line("\n%s: %s.\n", what, strings.Join(ratios, ", "))
	return nil
}

// load asks for the file for a while, and returns answers per second of the server's processor time.
func load(ctx context.Context, c *contestant, file string, secure bool) (float64, error) {
	base := c.clear
	if secure {
		base = c.secure
	}
	before, _, err := usage(c.pid)
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "taskset", "-c", "1", "wrk", "-t1", "-c", strconv.Itoa(loadConns), "-d", fmt.Sprintf("%ds", int(loadFor.Seconds())), base+file).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, _, err := usage(c.pid)
	if err != nil {
		return 0, err
	}
	if strings.Contains(string(out), "Non-2xx") {
		return 0, fmt.Errorf("wrk: %s", out)
	}
	for line := range strings.Lines(string(out)) {
		if n, _, ok := strings.Cut(strings.TrimSpace(line), " requests in "); ok {
			count, err := strconv.ParseFloat(n, 64)
			return count / (after - before).Seconds(), err
		}
	}
	return 0, fmt.Errorf("wrk: %s", out)
}

// prepare makes the files, and a certificate.
func prepare(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "files", "film"), 0o755); err != nil {
		return err
	}
	// nginx's worker runs as a user of its own, who has to reach the files.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	for name, size := range files {
		b := make([]byte, size)
		rand.Read(b)
		if err := os.WriteFile(filepath.Join(dir, "files", "film", name), b, 0o644); err != nil {
			return err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// pinned starts the program on the first core.
func pinned(ctx context.Context, name string, args ...string) (*exec.Cmd, func(), error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", "0", name}, args...)...)
	cmd.Stderr = os.Stderr
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()                          // how it ended says nothing about the figures
	}
	return cmd, stop, nil
}

func startNginx(ctx context.Context, dir string) (*contestant, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	tlsPort, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := strings.NewReplacer("@DIR@", dir, "@PORT@", strconv.Itoa(port), "@TLSPORT@", strconv.Itoa(tlsPort)).Replace(nginxConf)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	cmd, stop, err := pinned(ctx, "nginx", "-c", conf)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &contestant{name: "nginx", clear: fmt.Sprintf("http://127.0.0.1:%d/film/", port), secure: fmt.Sprintf("https://127.0.0.1:%d/film/", tlsPort), stop: stop}
	if err := answering(ctx, c.clear+"small.m4s"); err != nil {
		return nil, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	c.pid, err = strconv.Atoi(strings.TrimSpace(strings.Split(string(children), " ")[0]))
	return c, err
}

// answering waits until the address is answered.
func answering(ctx context.Context, address string) error {
	var err error
	for range 100 {
		if _, err = get(ctx, address); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// serveFiles is the other peer: what Go's standard library makes of a directory. It runs in a process of its own.
func serveFiles(dir, address string) error {
	return http.ListenAndServe(address, http.FileServer(http.Dir(dir)))
}

func startFileServer(ctx context.Context, dir string) (*contestant, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	cmd, stop, err := pinned(ctx, self, "-files", filepath.Join(dir, "files"), "-listen", address)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &contestant{name: "http.FileServer", clear: "http://" + address + "/film/", pid: cmd.Process.Pid, stop: stop}
	return c, answering(ctx, c.clear+"small.m4s")
}

// startBox starts an appliance in front of nginx, and has it fetch the files.
func startBox(ctx context.Context, b *bench, dir string, origin *contestant, secure bool) (*contestant, error) {
	key := filepath.Join(dir, fmt.Sprintf("grant-%t.pem", secure))
	public, err := exec.CommandContext(ctx, b.bijou, "grant", "key", key).Output()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(key+".pub", public, 0o644); err != nil {
		return nil, err
	}
	path, err := exec.CommandContext(ctx, b.bijou, "grant", "sign", "film", "--key", key).Output()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "appliance", "--origin", strings.TrimSuffix(origin.clear, "film/"), "--key", key + ".pub", "--data-dir", filepath.Join(dir, fmt.Sprintf("box-%t", secure)), "--log-level", "warn"}
	if secure {
		args = append(args, "--set", "appliance.tls_cert="+filepath.Join(dir, "cert.pem"), "--set", "appliance.tls_key="+filepath.Join(dir, "key.pem"))
	}
	cmd, stop, err := pinned(ctx, b.bijou, args...)
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "ready: ")
	if err != nil || !ok {
		stop()
		return nil, fmt.Errorf("the appliance said %q (%v)", line, err)
	}
	base := strings.Replace(address, "*", "127.0.0.1", 1) + strings.TrimSpace(string(path))
	c := &contestant{name: "bijou appliance", clear: base, secure: base, pid: cmd.Process.Pid, stop: stop}
	for name := range files {
		for range 2 { // the second comes from disk
			if out, err := exec.CommandContext(ctx, "curl", "-ksf", "-o", "/dev/null", base+name).CombinedOutput(); err != nil {
				stop()
				return nil, fmt.Errorf("warm %s: %w: %s", name, err, out)
			}
		}
	}
	return c, nil
}

// idleConnections measures what an appliance takes for viewers who pause.
func idleConnections(ctx context.Context, r *report, box *contestant) error {
	_, before, err := usage(box.pid)
	if err != nil {
		return err
	}
	host := strings.TrimPrefix(box.clear, "http://")
	host, path, _ := strings.Cut(host, "/")
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	var d net.Dialer
	for range idleConns {
		c, err := d.DialContext(ctx, "tcp", host)
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(conns), err)
		}
		conns = append(conns, c)
		if _, err := fmt.Fprintf(c, "HEAD /%ssmall.m4s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return err
		}
	}
	time.Sleep(settleIn)
	_, after, err := usage(box.pid)
	if err != nil {
		return err
	}
	mb := float64(after) / 1e6
	r.line("| %d idle connections, each after one answer | target | measured | |", idleConns)
	r.line("|---|---|---|---|")
	r.line("| resident memory of the appliance | ≤ %d MB | %.0f MB (%.0f MB before, %.1f kB a connection) | %s |\n", idleConnsMB, mb, float64(before)/1e6, float64(after-before)/1e3/idleConns, verdict(mb <= idleConnsMB))
	return nil
}

// ranking measures the choice among a thousand appliances.
func ranking(ctx context.Context, r *report) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "NONE", "-bench", "Rank1000", "-count", strconv.Itoa(alternations), "./service/steering").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var micros []float64
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 4 && strings.HasPrefix(f[0], "BenchmarkRank1000") {
			ns, err := strconv.ParseFloat(f[2], 64)
			if err != nil {
				return err
			}
			micros = append(micros, ns/1000)
		}
	}
	if len(micros) == 0 {
		return fmt.Errorf("no figures in: %s", out)
	}
	m, lo, hi := spread(micros)
	r.line("| ranking 1,000 appliances | target | measured (median, least to most) | |")
	r.line("|---|---|---|---|")
	r.line("| one decision | ≤ %d µs | %.0f µs, %.0f to %.0f | %s |", rankMicros, m, lo, hi, verdict(m <= rankMicros))
	return nil
}
