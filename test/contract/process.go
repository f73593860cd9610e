package contract

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"bijou"
	"bijou/test/engines"
	"bijou/test/harness"
)

// Process is an embedded store in a process of its own, so that it can be broken as a server can: killed, paused, cut off, and on a disk that is full.
type Process struct {
	dir   string
	disk  harness.Disk
	proxy *engines.Proxy
	cmd   *exec.Cmd
}

// NewProcess runs the calling test again in a process of its own, where open opens the store on dir and serves it. It returns what speaks to that process.
func NewProcess(t *testing.T, open func(t *testing.T, dir string) any) *Process {
	t.Helper()
	if dir := os.Getenv(childVariable); dir != "" {
		serve(t, open(t, dir))
	}
	p := &Process{disk: harness.NewDisk(t), proxy: engines.Forward(t, "")}
	p.dir = filepath.Join(p.disk.Dir, "data")
	must(t, "make a folder", os.Mkdir(p.dir, 0o700))
	t.Cleanup(func() { p.kill(t) })
	p.start(t)
	return p
}

// Faults are all that can be done to the process.
func (p *Process) Faults() []Fault {
	return []Fault{
		{Name: "kill", Break: p.kill, Mend: p.start},
		{Name: "pause", Break: p.signal(syscall.SIGSTOP), Mend: p.signal(syscall.SIGCONT)},
		{Name: "reset of the connections", Break: func(*testing.T) { p.proxy.Reset() }},
		{Name: "full disk", Break: func(t *testing.T) { p.disk.Fill(t, p.cmd.Process.Pid, 0) }, Mend: func(t *testing.T) { p.disk.Free(t, p.cmd.Process.Pid) }},
	}
}

func (p *Process) signal(s os.Signal) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		must(t, "signal the store's process", p.cmd.Process.Signal(s))
	}
}

func (p *Process) kill(t *testing.T) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return // it was, and did not start again
	}
	must(t, "kill the store's process", p.cmd.Process.Kill())
	_ = p.cmd.Wait() // it ends by the signal
}

// start starts the process and waits until it says where it listens.
func (p *Process) start(t *testing.T) {
	t.Helper()
	read, write, err := os.Pipe()
	must(t, "pipe", err)
	defer read.Close()
	output := &strings.Builder{}
	p.cmd = again(t, p.dir, write, output)
	must(t, "start the store's process", p.cmd.Start())
	must(t, "close", write.Close())
	address, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait() // it has ended
		t.Fatalf("the store's process ended by itself; it said:\n%s", output)
	}
	p.proxy.To(strings.TrimSpace(address))
}

// again returns the command that runs the calling test in a process of its own, which works on dir and tells by the pipe.
func again(t *testing.T, dir string, pipe *os.File, output io.Writer) *exec.Cmd {
	t.Helper()
	var run []string
	for name := range strings.SplitSeq(t.Name(), "/") {
		run = append(run, "^"+regexp.QuoteMeta(name)+"$")
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(run, "/"), "-test.count=1")
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{pipe}, output, output
	return cmd
}

// serve answers calls of the store's methods until the process is killed. Each connection brings one: the method's name, then what it takes after
// the context; what it returns goes back, the error first.
func serve(t *testing.T, store any) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	_, err = fmt.Fprintln(os.NewFile(3, "address"), l.Addr())
	must(t, "tell the address", err)
	parent := os.Getppid()
	for {
		must(t, "set a deadline", l.(*net.TCPListener).SetDeadline(time.Now().Add(5*time.Second)))
		c, err := l.Accept()
		switch {
		case os.Getppid() != parent:
			os.Exit(3) // the parent is gone
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			t.Fatal(err)
		default:
			go answerCall(c, reflect.ValueOf(store))
		}
	}
}

// failed is how an error goes over the wire.
type failed struct {
	Failed   bool
	Sentence string
	Kind     bijou.Kind
}

func answerCall(c net.Conn, store reflect.Value) {
	defer c.Close()
	in := gob.NewDecoder(c)
	var name string
	if in.Decode(&name) != nil {
		return // who called is gone
	}
	method := store.MethodByName(name)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	args := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < method.Type().NumIn(); i++ {
		arg := reflect.New(method.Type().In(i))
		if in.DecodeValue(arg) != nil {
			return
		}
		args = append(args, arg.Elem())
	}
	go func() {
		_, _ = io.Copy(io.Discard, c) // until who called hangs up
		cancel()
	}()
	results := method.Call(args)
	var f failed
	last := len(results) - 1
	if err, _ := results[last].Interface().(error); err != nil {
		f = failed{true, bijou.Sentence(err), bijou.KindOf(err)}
		if errors.Is(err, context.Canceled) {
			return // who called has gone
		}
	}
	out := gob.NewEncoder(c)
	err := out.Encode(f)
	for _, r := range results[:last] {
		if err == nil {
			err = out.EncodeValue(r)
		}
	}
	_ = err // who called is gone, or will know
}

// call has the process call a method of its store. results are pointers to what the method returns before its error.
func (p *Process) call(ctx context.Context, method string, args []any, results ...any) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", p.proxy.Address)
	if err != nil {
		return away(ctx, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	out, in := gob.NewEncoder(c), gob.NewDecoder(c)
	for _, arg := range append([]any{method}, args...) {
		if err := out.Encode(arg); err != nil {
			return away(ctx, err)
		}
	}
	var f failed
	if err := in.Decode(&f); err != nil {
		return away(ctx, err)
	}
	for _, result := range results {
		if err := in.Decode(result); err != nil {
			return away(ctx, err)
		}
	}
	if f.Failed {
		return bijou.Remote(f.Sentence, f.Kind)
	}
	return nil
}

// away is the error of a call that nobody answered.
func away(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("the store's process does not answer (%v): start it: %w", err, bijou.Unavailable)
}
