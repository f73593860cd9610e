package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"bijou"
)

// output says where what a program writes goes.
type output struct {
	stdout   io.Writer // nil throws it away
	progress io.Writer // what the program writes to descriptor 3; nil gives it no such descriptor
}

// afterKill bounds the wait for the pipes of a program that was killed.
const afterKill = 5 * time.Second

// run runs the program to its end, or kills it when ctx ends, and waits for it in both cases. It returns ctx's error where ctx ended,
// Unavailable where the program is missing, and *exec.ExitError where the program failed.
func (p program) run(ctx context.Context, args []string, out output, log *journal) error {
	path, err := p.path()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = out.stdout, log
	cmd.WaitDelay = afterKill
	cmd.SysProcAttr = dieWithParent()
	// The kernel watches the thread that starts a process, so that thread has to live as long as the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	progress, err := attach(cmd, out.progress)
	if err != nil {
		return fmt.Errorf("start %s: no pipe for its progress (%v): close other programs or raise the limit of open files: %w", p.name, err, bijou.Exhausted)
	}
	if err := cmd.Start(); err != nil {
		progress.abandon()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s does not start (%v): set %s to a program that this machine can run: %w", path, err, p.key, bijou.Unavailable)
	}
	progress.follow()
	err = cmd.Wait()
	progress.wait()
	log.flush()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// environment is this process's own, in the language that the journal understands, without colours and without a report file.
func environment() []string {
	env := []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "LC_ALL", "FFREPORT", "AV_LOG_FORCE_COLOR", "AV_LOG_FORCE_NOCOLOR":
		default:
			env = append(env, e)
		}
	}
	return env
}

// follower copies descriptor 3 of a program to a writer.
type follower struct {
	to          io.Writer
	read, write *os.File
	done        sync.WaitGroup
}

// attach gives the command a descriptor 3, where there is a writer for it.
func attach(cmd *exec.Cmd, to io.Writer) (*follower, error) {
	if to == nil {
		return &follower{}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{w}
	return &follower{to: to, read: r, write: w}, nil
}

// follow copies until the program is gone.
func (f *follower) follow() {
	if f.to == nil {
		return
	}
	// The program has its own copy of the writing end; this one would keep the pipe open for ever.
	_ = f.write.Close() // nothing was written through it, so nothing is lost
	f.done.Go(func() {
		// The writer keeps bytes in memory and cannot fail; a broken pipe is the program's end, which Wait reports.
		_, _ = io.Copy(f.to, f.read)
	})
}

func (f *follower) wait() {
	f.done.Wait()
	if f.read != nil {
		_ = f.read.Close() // read to its end
	}
}

func (f *follower) abandon() {
	if f.to != nil {
		_ = f.write.Close() // never used
		_ = f.read.Close()  // never used
	}
}

// The bounds of a journal, in bytes: what is kept of all a program says, and of one line.
const (
	journalMax = 4 << 10
	lineMax    = 1 << 10
)

// journal keeps the last words of a program and counts those that matter. It is written by one program at a time.
type journal struct {
	kept    []byte
	line    []byte
	corrupt int64  // frames that were decoded with damage
	cut     bool   // the file ended before its container said
	full    bool   // no space was left where the program wrote
	memory  bool   // the program had not enough of it
	lacks   bool   // the program was built without a part that it was asked for
	foreign string // the format of a file that is none of containers
}

// Write implements io.Writer. It never fails.
func (j *journal) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' || c == '\r' {
			j.flush()
		} else if len(j.line) < lineMax {
			j.line = append(j.line, c)
		}
	}
	return len(b), nil
}

// flush ends a line. The words are those of ffmpeg 5.1; a version that says it otherwise is still judged by the length of what it made.
func (j *journal) flush() {
	line := bytes.TrimSpace(j.line)
	j.line = j.line[:0]
	if len(line) == 0 {
		return
	}
	has := func(words string) bool { return bytes.Contains(line, []byte(words)) }
	switch {
	case has("corrupt decoded frame"):
		j.corrupt++
	case has("File ended prematurely"), has("partial file"), has("Truncat"):
		j.cut = true
	case has("No space left on device"), has("Disk quota exceeded"):
		j.full = true
	case has("Cannot allocate memory"):
		j.memory = true
	case has("Unknown encoder"), has("No such filter"), has("Unrecognized option"), has("Option not found"):
		j.lacks = true
	case has("Format not on whitelist"):
		if name, _, ok := bytes.Cut(bytes.TrimPrefix(line, []byte("[")), []byte(" @ ")); ok {
			j.foreign = string(name)
		}
	}
	j.kept = append(append(j.kept, line...), '\n')
	if over := len(j.kept) - journalMax; over > 0 {
		j.kept = append(j.kept[:0], j.kept[over:]...)
	}
}

// last is the last line said, for a sentence: in valid UTF-8, without the name of the program's part, its address and the film's path.
func (j *journal) last() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(j.kept), "?"))
	line := text[strings.LastIndexByte(text, '\n')+1:]
	if _, after, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(line, "[") {
		line = after
	}
	if strings.HasPrefix(line, "file:") {
		line = line[strings.LastIndex(line, ": ")+1:]
	}
	return strings.TrimSpace(line)
}

// capped keeps the first max bytes written to it, and says whether there were more.
type capped struct {
	bytes.Buffer
	max  int
	over bool
}

// Write implements io.Writer. It never fails.
func (c *capped) Write(b []byte) (int, error) {
	room := c.max - c.Len()
	if room < len(b) {
		c.over = true
		c.Buffer.Write(b[:max(room, 0)])
		return len(b), nil
	}
	return c.Buffer.Write(b)
}

// exitError is how a program ended that failed.
type exitError = exec.ExitError
