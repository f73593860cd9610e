package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Shape is a way to run the whole service. Tests take it as a value, so that one body holds for each.
type Shape struct {
	Name string
	// Command returns the command's arguments for a service on the data directory, at any free port of this machine.
	Command func(dataDir string) []string
}

// Up is bijou up: every role in one process.
var Up = Shape{Name: "up", Command: func(dataDir string) []string {
	return []string{"--data-dir", dataDir, "up", "--listen", "127.0.0.1:0"}
}}

// Shapes are all of them.
var Shapes = []Shape{Up}

// Options are what a test may want different.
type Options struct {
	DataDir string   // a fresh one where empty
	Env     []string // beside that of the test; the bundled films are left out
	Via     []string // a command that runs the program, such as a shell that sets limits
	Args    []string // beside the shape's
}

// Service is a service that runs as a process of its own.
type Service struct {
	Address string // http://host:port
	DataDir string
	Shape   Shape
	cmd     *exec.Cmd
	log     *text
	said    *text         // on standard output
	ended   chan struct{} // closed when the process has ended
}

// text is a buffer that is written while it is read.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(b)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// Patience bounds every wait for a process of the service. It is far beyond what any should take.
const Patience = 60 * time.Second

// Environ returns the environment that the program runs in: without keys that this shell may have set, and without the bundled films.
func Environ(extra ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BIJOU") {
			env = append(env, e)
		}
	}
	return append(append(env, "BIJOU_BUNDLED_FILMS=false"), extra...)
}

// Start starts a service and waits until it says that it is ready. It is killed at the end of the test where it still runs.
func (s Shape) Start(t testing.TB, o Options) *Service {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = filepath.Join(t.TempDir(), "data")
	}
	sv, err := s.Launch(Program(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sv.Kill(t) })
	return sv
}

// Launch is as Start, for who has no test at hand. The caller has to end the service.
func (s Shape) Launch(program string, o Options) (*Service, error) {
	args := append(append(append([]string{}, o.Via...), program), append(s.Command(o.DataDir), o.Args...)...)
	sv := &Service{DataDir: o.DataDir, Shape: s, cmd: exec.Command(args[0], args[1:]...), log: &text{}, said: &text{}, ended: make(chan struct{})}
	out, in := io.Pipe()
	sv.cmd.Env, sv.cmd.Stdout, sv.cmd.Stderr = Environ(o.Env...), in, sv.log
	if err := sv.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() { // to the end, so that the process never waits for us
			fmt.Fprintln(sv.said, lines.Text()) // a buffer takes all
			if address, ok := strings.CutPrefix(lines.Text(), "Bijou is ready: "); ok {
				ready <- address
			}
		}
	}()
	go func() {
		_ = sv.cmd.Wait() // the exit status is in ProcessState
		in.Close()
		close(sv.ended)
	}()
	select {
	case sv.Address = <-ready:
		return sv, nil
	case <-sv.ended:
		return nil, fmt.Errorf("%v ended before it was ready: %v\n%s", args, sv.cmd.ProcessState, sv.log)
	case <-time.After(Patience):
		return nil, errors.Join(fmt.Errorf("%v is not ready after %s:\n%s", args, Patience, sv.log), sv.Signal(syscall.SIGKILL))
	}
}

// PID returns the number of the service's process.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// Log returns what the service has written of itself so far.
func (s *Service) Log() string { return s.log.String() }

// Said returns what the service has printed for a person so far.
func (s *Service) Said() string { return s.said.String() }

// Kill ends the service at once, as a power cut does to a process.
func (s *Service) Kill(t testing.TB) {
	t.Helper()
	s.check(t, s.Signal(syscall.SIGKILL))
	s.Wait(t)
}

// Stop asks the service to end and returns its exit status.
func (s *Service) Stop(t testing.TB) int {
	t.Helper()
	s.check(t, s.Signal(syscall.SIGTERM))
	return s.Wait(t)
}

// Signal sends a signal to the service's process. One that has ended already is no failure.
func (s *Service) Signal(sig os.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to process %d: %w", sig, s.PID(), err)
	}
	return nil
}

// Wait waits until the process has ended and returns its exit status: -1 where a signal ended it.
func (s *Service) Wait(t testing.TB) int {
	t.Helper()
	status, err := s.Ended()
	s.check(t, err)
	return status
}

// Ended is as Wait, for who has no test at hand.
func (s *Service) Ended() (int, error) {
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(Patience):
		return -1, fmt.Errorf("process %d still runs after %s:\n%s", s.PID(), Patience, s.log)
	}
}

func (s *Service) check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Restart starts another service on the same data, which the first has let go of.
func (s *Service) Restart(t testing.TB, o Options) *Service {
	t.Helper()
	o.DataDir = s.DataDir
	return s.Shape.Start(t, o)
}

// Result is what a command said and how it ended.
type Result struct {
	Out, Err string
	Status   int
}

// Command returns the program with the arguments, on the service's data directory.
func (s *Service) Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Program(t), append([]string{"--data-dir", s.DataDir}, args...)...)
	cmd.Env = Environ()
	return cmd
}

// CLI runs the program with the arguments, on the service's data directory.
func (s *Service) CLI(t testing.TB, args ...string) Result {
	t.Helper()
	cmd := s.Command(t, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return Result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// Left returns the files of films in the data directory, half-written ones too: those of sources, assets and what is in work, below it.
func Left(dataDir string) ([]string, error) {
	var left []string
	for _, folder := range []string{"blobs/sources", "blobs/assets", "blobs/.incoming", "scratch"} {
		err := filepath.WalkDir(filepath.Join(dataDir, folder), func(path string, d os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil // the folder is made later, or the file went in between
			}
			if err == nil && !d.IsDir() {
				left = append(left, strings.TrimPrefix(path, dataDir+"/"))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return left, nil
}
