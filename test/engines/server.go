// Package engines starts the real servers that networked engines speak to, on loopback, and breaks them: what an engine's tests, the
// whole-system tests and the benchmarks run against. The servers are installed by the scripts beside it, into a cache outside the tree.
package engines

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime bounds how long a server may take until it answers.
const startTime = 3 * time.Minute

// T is who asks for a server: a test (testing.TB), or a measurement.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// Alone is the T of a program that is no test: what fails is a panic of type Failure.
type Alone struct{ cleanups []func() }

// Failure is what made an Alone end.
type Failure string

// Helper marks nothing.
func (*Alone) Helper() {}

// Fatal panics with a Failure.
func (*Alone) Fatal(args ...any) { panic(Failure(fmt.Sprint(args...))) }

// Fatalf panics with a Failure.
func (*Alone) Fatalf(format string, args ...any) { panic(Failure(fmt.Sprintf(format, args...))) }

// Cleanup has f called by Close.
func (a *Alone) Cleanup(f func()) { a.cleanups = append(a.cleanups, f) }

// Close calls what Cleanup was given, last first.
func (a *Alone) Close() {
	for _, f := range slices.Backward(a.cleanups) {
		f()
	}
	a.cleanups = nil
}

// Server is a process that is stopped with the test.
type Server struct {
	Address string // host:port that it answers at
	Dir     string // what it keeps lies here, and its output in the file output

	command func() *exec.Cmd
	ready   func() error
	mu      sync.Mutex
	process *os.Process
	ended   chan struct{}
}

// start runs the command as a server and waits until ready returns nil. The command is made anew each time that the server starts.
func start(t T, address, dir string, command func() *exec.Cmd, ready func() error) *Server {
	t.Helper()
	s := &Server{Address: address, Dir: dir, command: command, ready: ready}
	t.Cleanup(func() { s.Kill(t) })
	s.Start(t)
	return s
}

// Start starts the server where it does not run, and waits until it answers.
func (s *Server) Start(t T) {
	t.Helper()
	s.Launch(t)
	s.Await(t)
}

// Launch starts the server where it does not run, and does not wait.
func (s *Server) Launch(t T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return
	}
	output, err := os.OpenFile(filepath.Join(s.Dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd := s.command()
	cmd.Stdout, cmd.Stderr = output, output
	// The server ends with this program, however that ends: the signal comes with the end of the thread that started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is the test's doing
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	s.process, s.ended = cmd.Process, ended
}

// Await waits until the server answers.
func (s *Server) Await(t T) {
	t.Helper()
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	Until(t, "the server at "+s.Address+" answers", startTime, func() error {
		select {
		case <-ended:
			t.Fatalf("the server at %s ended by itself; it said:\n%s", s.Address, s.output())
		default:
		}
		return s.ready()
	})
}

// Until waits until ready returns nil, and fails the test where it does not within the term.
func Until(t T, what string, term time.Duration, ready func() error) {
	t.Helper()
	again, end := time.NewTicker(50*time.Millisecond), time.After(term)
	defer again.Stop()
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-end:
			t.Fatalf("%s: not within %s: %v", what, term, err)
		}
	}
}

// Kill ends the server at once, as a power cut does. What it keeps stays, for another Start.
func (s *Server) Kill(t T) { s.end(t, syscall.SIGKILL) }

// Stop asks the server to end, and waits until it has.
func (s *Server) Stop(t T) { s.end(t, syscall.SIGTERM) }

func (s *Server) end(t T, how os.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Signal(syscall.SIGCONT) // one that is paused would not hear of it
	_ = s.process.Signal(how)             // one that has ended by itself has no need to be told
	<-s.ended
	s.process = nil
}

// Pause stops the server in its tracks: it neither answers nor hangs up.
func (s *Server) Pause(t T) { s.signal(t, syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume(t T) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t T, what os.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		t.Fatalf("the server at %s does not run", s.Address)
	}
	if err := s.process.Signal(what); err != nil {
		t.Fatalf("signal the server at %s: %v", s.Address, err)
	}
}

// output returns the last lines that the server said.
func (s *Server) output() string {
	b, err := os.ReadFile(filepath.Join(s.Dir, "output"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
}

// answers tells whether something accepts connections at the address.
func answers(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// FreePort returns a port of the host that nobody listens at now.
func FreePort(t T, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// install runs one of this folder's scripts, which puts a server into the cache once, and returns where that lies.
func install(t T, script string) string {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the folder of the scripts is not known")
	}
	out, err := exec.Command(filepath.Join(filepath.Dir(here), script)).Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, stderr(err))
	}
	return strings.TrimSpace(string(out))
}

func stderr(err error) string {
	if e, ok := err.(*exec.ExitError); ok {
		return string(e.Stderr)
	}
	return fmt.Sprint(err)
}
