package system_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bijou/test/harness"
)

// box is an appliance that runs as a process of its own.
type box struct {
	address string
	dir     string
	cmd     *exec.Cmd
	log     bytes.Buffer
}

// startBox starts an appliance and waits until it says that it is ready; wants false returns one that ended instead, with what it said.
func startBox(t *testing.T, dir string, args ...string) (b *box, ready bool) {
	t.Helper()
	b = &box{dir: dir}
	b.cmd = exec.Command(harness.Program(t), append([]string{"run", "appliance", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "warn"}, args...)...)
	b.cmd.Env = harness.Environ()
	b.cmd.Stderr = &b.log
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "ready: ")
	if err != nil || !ok {
		_ = b.cmd.Wait() // its words tell
		return b, false
	}
	b.address = strings.Replace(address, "*", "127.0.0.1", 1)
	return b, true
}

func (b *box) kill() {
	if b.cmd.ProcessState == nil {
		_ = b.cmd.Process.Kill() // it may have ended by itself
		_ = b.cmd.Wait()
	}
}

// tokenFile makes a join token on the service.
func tokenFile(t *testing.T, sv *harness.Service) string {
	t.Helper()
	r := sv.CLI(t, "token", "create")
	if r.Status != 0 {
		t.Fatalf("token create: %d %s", r.Status, r.Err)
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(r.Out), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress returns an address of this machine that nothing listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func status(t *testing.T, address string) int {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}

func TestAnApplianceJoinsOnceServesAloneAndForgetsRemovedTitles(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		options := harness.Options{Args: []string{"--set", "appliances=0", "--listen", freeAddress(t)}} // that the appliance finds again
		sv, film := library(t, shape, options)
		if a, err := sv.Guest().Try("GET", sv.Guest().StartPlay(t, film.ID).HLS, nil, nil); err != nil || a.Status != http.StatusServiceUnavailable {
			t.Errorf("without any appliance the manifest is answered with %d %s, %v; want 503", a.Status, a.Body, err)
		}
		token := tokenFile(t, sv)
		b, ready := startBox(t, t.TempDir(), "--server", sv.Address, "--token-file", token)
		if !ready {
			t.Fatalf("the appliance does not start: %s", b.log.String())
		}
		if other, ready := startBox(t, t.TempDir(), "--server", sv.Address, "--token-file", token); ready || !strings.Contains(other.log.String(), "used already") {
			t.Errorf("a second machine with the same token: ready %v, %s", ready, other.log.String())
		}
		p := sv.Guest().StartPlay(t, film.ID)
		tracks := p.TracksOfDASH(t)
		for _, track := range tracks {
			p.Fetch(t, track, t.TempDir()+"/track")
		}
		segment := tracks["v180"].Segments[0]
		if !strings.HasPrefix(segment, b.address) {
			t.Fatalf("the film comes from %s, want %s", segment, b.address)
		}
		// The service dies: what the box holds it serves on, also after its own restart, without the token.
		sv.Kill(t)
		b.kill()
		b, ready = startBox(t, b.dir, "--server", sv.Address)
		if !ready || status(t, segment) != http.StatusOK {
			t.Errorf("alone after a restart: ready %v, segment %d, want 200; %s", ready, status(t, segment), b.log.String())
		}
		// It comes back, and the title is removed.
		sv = sv.Restart(t, options)
		begin := time.Now()
		if r := sv.CLI(t, "title", "remove", film.ID); r.Status != 0 {
			t.Fatalf("remove: %s", r.Err)
		}
		harness.Eventually(t, "refusal of the removed title", func() bool { return status(t, segment) == http.StatusForbidden })
		if took := time.Since(begin); took > 12*time.Second {
			t.Errorf("the removed title was served for %s, want 10 s at most", took)
		}
		harness.Eventually(t, "end of the removed title's files on the box", func() bool {
			left, err := filepath.Glob(filepath.Join(b.dir, "files", "*"))
			return err == nil && len(left) == 0
		})
	})
}

func TestAnOperatorDrainsPausesAndRevokes(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		p := sv.Guest().StartPlay(t, film.ID)
		segment := p.TracksOfDASH(t)["v180"].Segments[0]
		if got := status(t, segment); got != http.StatusOK {
			t.Fatalf("the segment is answered with %d", got)
		}
		why := sv.CLI(t, "why", p.Session)
		first := ""
		for _, name := range []string{"box-1", "box-2"} {
			if strings.Contains(why.Out, "1      "+name) {
				first = name
			}
		}
		if why.Status != 0 || first == "" || !strings.Contains(why.Out, "first: it") || !strings.Contains(why.Out, "after "+first) {
			t.Fatalf("why says %d %s%s", why.Status, why.Out, why.Err)
		}
		if r := sv.CLI(t, "appliance", "drain", first); r.Status != 0 {
			t.Fatalf("drain: %s", r.Err)
		}
		host := func() string {
			return strings.SplitAfter(sv.Guest().StartPlay(t, film.ID).TracksOfDASH(t)["v180"].Segments[0], "/g/")[0]
		}
		harness.Eventually(t, "new viewings at the other box", func() bool { return !strings.HasPrefix(segment, host()) })
		if got := status(t, segment); got != http.StatusOK {
			t.Errorf("a draining box answers who watches from it with %d", got)
		}
		if r := sv.CLI(t, "appliance", "pause", first); r.Status != 0 {
			t.Fatalf("pause: %s", r.Err)
		}
		harness.Eventually(t, "refusal by the paused box", func() bool { return status(t, segment) == http.StatusServiceUnavailable })
		if r := sv.CLI(t, "appliance", "serve", first); r.Status != 0 {
			t.Fatalf("serve: %s", r.Err)
		}
		harness.Eventually(t, "service by the box again", func() bool { return status(t, segment) == http.StatusOK })
		if r := sv.CLI(t, "grant", "revoke", p.Session); r.Status != 0 {
			t.Fatalf("revoke: %s", r.Err)
		}
		harness.Eventually(t, "refusal of the revoked viewing", func() bool { return status(t, segment) == http.StatusForbidden })
		if r := sv.CLI(t, "appliance", "drain", "nobody"); r.Status != 1 || !strings.Contains(r.Err, "bijou appliance list") {
			t.Errorf("an unknown box: %d %s", r.Status, r.Err)
		}
	})
}

func TestAnApplianceStandsInFrontOfAnyOriginWithoutTheRest(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("any bytes of any origin "), 100_000)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/films/one/part 1.bin" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(content))
	}))
	defer origin.Close()
	dir := t.TempDir()
	program := harness.Program(t)
	public, err := exec.Command(program, "grant", "key", dir+"/private.pem").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/public.pem", public, 0o600); err != nil {
		t.Fatal(err)
	}
	base, err := exec.Command(program, "grant", "sign", "one", "--key", dir+"/private.pem").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, ready := startBox(t, dir+"/box", "--origin", origin.URL+"/films", "--key", dir+"/public.pem")
	if !ready {
		t.Fatalf("the appliance does not start: %s", b.log.String())
	}
	path := b.address + strings.TrimSpace(string(base))
	for range 2 {
		res, err := http.Get(path + "part%201.bin")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, content) {
			t.Errorf("%d with %d bytes, %v", res.StatusCode, len(got), err)
		}
	}
	if got := status(t, path+"part2.bin"); got != http.StatusNotFound {
		t.Errorf("a file that the origin lacks: %d", got)
	}
	if got := status(t, strings.Replace(path, "/one/", "/two/", 1)+"x"); got != http.StatusForbidden {
		t.Errorf("a path that the grant is not for: %d", got)
	}
	trickled(t, b)
	origin.Close()
	if got := status(t, path+"part%201.bin"); got != http.StatusOK {
		t.Errorf("without the origin: %d", got)
	}
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// trickled sends a head in small pieces, which has no more time than one that comes at once: five seconds.
func trickled(t *testing.T, b *box) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(b.address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for time.Since(begin) < 15*time.Second {
		if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // ended by the box
		}
		_, _ = io.WriteString(c, "a") // where the box has ended it, the next read tells
	}
	t.Error("a head that trickles in keeps its connection for more than 15 s")
}
