// Package script_test runs the command line as a person types it: each script in testdata has a data directory and a service of its own.
package script_test

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bijou"
	"bijou/test/harness"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func TestTheCommandLine(t *testing.T) {
	program, films := harness.Program(t), makeFilms(t)
	work := filepath.Join(harness.Shared(t), "scripts")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", WorkdirRoot: work, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "FILMS="+films, "DATA="+filepath.Join(e.WorkDir, "data"), "BIJOU_DATA_DIR="+filepath.Join(e.WorkDir, "data"),
				"BIJOU_BUNDLED_FILMS=false", "BIJOU_LISTEN=127.0.0.1:0", "BIJOU="+program,
				"LONG="+strings.Repeat("x", bijou.MaxName+1))
			e.Values[held{}] = &held{}
			for i, v := range e.Vars {
				if path, ok := strings.CutPrefix(v, "PATH="); ok {
					e.Vars[i] = "PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + path
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refuse": refuse, "clean": clean, "service": service, "taken": taken, "published": published, "stranger": stranger, "badname": badname, "until": until,
			"cut": cut, "flip": flip, "token": token, "identifier": identifier, "latin1": latin1,
		},
	})
}

// makeFilms makes films that are whole, and films that are not.
func makeFilms(t *testing.T) string {
	t.Helper()
	film := harness.Film(t, 6)
	dir := filepath.Join(harness.Shared(t), "films")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		if err := os.WriteFile(at(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := read(film)
	write("film.mp4", whole)
	write("new\nline.mp4", whole)
	write(`up\..\film.mp4`, whole)
	harness.FFmpeg(t, "-stream_loop", "14", "-i", film, "-c", "copy", at("long.mp4"))
	write("index-first.mp4", whole[:len(whole)/2]) // its index says what is missing
	harness.FFmpeg(t, "-i", film, "-c", "copy", "-movflags", "-faststart", at("index-last.mp4"))
	write("index-last.mp4", read(at("index-last.mp4"))[:len(whole)/2]) // its index is missing
	harness.FFmpeg(t, "-i", film, "-c", "copy", at("cut.mkv"))
	write("cut.mkv", read(at("cut.mkv"))[:len(whole)/2])
	harness.FFmpeg(t, "-i", film, "-vn", "-c", "copy", at("sound.mp4"))
	makeOdd(t, at)
	write("text.mp4", []byte("This is not a film.\n"))
	write("zero.mp4", nil)
	write("good.srt", []byte("1\n00:00:01,000 --> 00:00:02,000\nHello\n"))
	write("latin1.srt", []byte("1\n00:00:01,000 --> 00:00:02,000\n\xc7a va\xa0?\n"))
	write("koi8.srt", []byte("1\n00:00:01,000 --> 00:00:02,000\n\xf0\xd2\xc9\xd7\xc5\xd4!\n"))
	write("none.srt", []byte("There is nothing to read here.\n"))
	return dir
}

// makeOdd makes films that are whole and odd.
func makeOdd(t *testing.T, at func(string) string) {
	t.Helper()
	small := func(seconds, size string) []string {
		return []string{"-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=15:duration=" + seconds}
	}
	tone := []string{"-f", "lavfi", "-i", "sine=frequency=330:duration=5"}
	vp8 := []string{"-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"}
	make := func(args ...[]string) { harness.FFmpeg(t, slices.Concat(args...)...) }
	make(small("1", "64x64"), tone, vp8, []string{at("long-sound.webm")})
	make(tone, []string{"-itsoffset", "2"}, small("3", "64x64"), vp8, []string{at("late.mkv")})
	make(small("1", "2x2"), []string{at("tiny.mp4")})
	make(small("2", "64x64"), vp8, []string{"-f", "webm", "-live", "1", at("live.webm")})
	make(small("1", "64x64"), vp8, []string{"-metadata", "title=The Clock", at("titled.mkv")})
	make([]string{"-i", at("tiny.mp4"), "-c", "copy", at(latin1Film)})
}

// refuse runs a command that must fail: refuse STATUS PROGRAM ARGUMENT… It wants that exit status, nothing on standard output, and exactly
// one sentence on standard error, which the script then looks into.
func refuse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refuse STATUS PROGRAM ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%q does not run: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	checkRefusal(ts, args[1:], want, got, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}

func checkRefusal(ts *testscript.TestScript, args []string, want, got int, out, said string) {
	if got != want {
		ts.Fatalf("%q ends with status %d, want %d: %s", args, got, want, said)
	}
	if out != "" {
		ts.Fatalf("%q fails and prints %q", args, out)
	}
	sentence, ok := strings.CutPrefix(strings.TrimSuffix(said, "\n"), "bijou: ")
	if !ok || strings.ContainsAny(sentence, "\n\r\x1b") || len(sentence) > 500 {
		ts.Fatalf("%q says %q, want one sentence that begins with bijou:", args, said)
	}
	for _, noise := range []string{"%!", "goroutine", "panic", "exit status", "<nil>", "level=", ": invalid", ": not found", ": conflict"} {
		if strings.Contains(sentence, noise) {
			ts.Fatalf("%q says %q, in which %q means nothing to a person", args, sentence, noise)
		}
	}
}

// until runs a command again and again until what it prints matches: until PATTERN PROGRAM ARGUMENT…
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM ARGUMENT…")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(time.Minute); ; {
		if err := ts.Exec(args[1], args[2:]...); err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%q prints %q at last, want %s", args[1:], ts.ReadFile("stdout"), args[0])
		}
	}
}

// clean wants no title and no file of a film in the data directory, or no directory.
func clean(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: clean")
	}
	if _, err := os.Stat(ts.Getenv("DATA")); os.IsNotExist(err) {
		return
	}
	if titles := allTitles(ts); len(titles) != 0 {
		ts.Fatalf("there are titles, want none: %+v", titles)
	}
	if left := left(ts); len(left) != 0 {
		ts.Fatalf("files are left: %v", left)
	}
}

func allTitles(ts *testscript.TestScript) (titles []harness.Title) {
	ts.Check(ts.Exec("bijou", "title", "list", "--output", "json"))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &titles))
	return titles
}

func left(ts *testscript.TestScript) []string {
	left, err := harness.Left(ts.Getenv("DATA"))
	ts.Check(err)
	return left
}

// published wants exactly the titles with these names, all published, and nothing but files of assets.
func published(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: published NAME…")
	}
	want := map[string]int{}
	for _, name := range args {
		want[name]++
	}
	assets := map[string]bool{}
	for _, t := range allTitles(ts) {
		if want[t.Name] == 0 || t.State != "published" || t.Asset == "" {
			ts.Fatalf("title %+v is there, want %q published", t, args)
		}
		want[t.Name]--
		assets[t.Asset] = true
	}
	for name, n := range want {
		if n != 0 {
			ts.Fatalf("%d titles named %q are missing", n, name)
		}
	}
	for _, file := range left(ts) {
		parts := strings.Split(file, "/")
		if len(parts) < 3 || parts[1] != "assets" || !assets[parts[2]] {
			ts.Fatalf("file %s is left and belongs to no title", file)
		}
	}
}

// service starts and stops a service on the script's data directory: service start ARGUMENT…, service stop. Its address is in $ADDRESS then,
// and the number of its process in $PID.
func service(ts *testscript.TestScript, neg bool, args []string) {
	held, ok := ts.Value(held{}).(*held)
	switch {
	case ok && !neg && len(args) >= 1 && args[0] == "start":
		sv, err := harness.Up.Launch(ts.Getenv("BIJOU"), harness.Options{DataDir: ts.Getenv("DATA"), Args: args[1:]})
		ts.Check(err)
		held.service = sv
		ts.Defer(func() { ts.Check(sv.Signal(syscall.SIGKILL)) })
		ts.Setenv("ADDRESS", strings.TrimPrefix(sv.Address, "http://"))
		ts.Setenv("PID", strconv.Itoa(sv.PID()))
	case ok && !neg && len(args) == 1 && args[0] == "stop" && held.service != nil:
		ts.Check(held.service.Signal(syscall.SIGTERM))
		status, err := held.service.Ended()
		ts.Check(err)
		if status != 0 {
			ts.Fatalf("the service ends with status %d, want 0:\n%s", status, held.service.Log())
		}
	default:
		ts.Fatalf("usage: service start ARGUMENT… | service stop")
	}
}

// held is the service that a script has started.
type held struct{ service *harness.Service }

// taken takes a port of this machine for as long as the script runs: its address is in $TAKEN then.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: taken")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("TAKEN", l.Addr().String())
}

// nobodys is the number of the user nobody on Debian and most others.
const nobodys = 65534

// stranger is as refuse, and runs the program as a user who has no rights here: nobody where the test runs as root, for whom no file is
// closed, and else the test's own user, from whom the script has taken the rights.
func stranger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: stranger STATUS ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := exec.Command(ts.Getenv("BIJOU"), args[1:]...)
	cmd.Env = harness.Environ("BIJOU_DATA_DIR="+ts.Getenv("DATA"), "BIJOU_LISTEN=127.0.0.1:0")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodys, Gid: nobodys}}
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); cmd.ProcessState == nil {
		ts.Fatalf("%q does not run: %v", args, err)
	}
	checkRefusal(ts, args[1:], want, cmd.ProcessState.ExitCode(), out.String(), said.String())
	ts.Check(os.WriteFile(ts.MkAbs("said"), said.Bytes(), 0o600))
}

// token asks a service as a program does: token ADDRESS FILE STATUS METHOD PATH, with the token in the file. It wants that status, and leaves the
// answer as the standard output.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: token ADDRESS FILE STATUS METHOD PATH")
	}
	c := harness.Client{Base: "http://" + args[0], Token: strings.TrimSpace(ts.ReadFile(args[1]))}
	a, err := c.Try(args[3], args[4], nil, nil)
	ts.Check(err)
	if strconv.Itoa(a.Status) != args[2] {
		ts.Fatalf("%s %s: status %d, want %s: %s", args[3], args[4], a.Status, args[2], a.Body)
	}
	_, err = ts.Stdout().Write(a.Body)
	ts.Check(err)
}

// identifier puts the last word of what was printed that begins with tok_ into $ID.
func identifier(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: identifier")
	}
	id := ""
	for word := range strings.FieldsSeq(ts.ReadFile("stdout")) {
		if strings.HasPrefix(word, "tok_") {
			id = word
		}
	}
	if id == "" {
		ts.Fatalf("nothing that begins with tok_ was printed")
	}
	ts.Setenv("ID", id)
}

// badname is refuse for the film whose name has a newline in it, which no script can write.
func badname(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: badname")
	}
	refuse(ts, false, []string{"1", "bijou", "title", "add", filepath.Join(ts.Getenv("FILMS"), "new\nline.mp4")})
}

// cut writes a file without its second half: cut FROM TO.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	change(ts, neg, args, func(b []byte) []byte { return b[:len(b)/2] })
}

// flip writes a file with one bit in its middle changed: flip FROM TO.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	change(ts, neg, args, func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	})
}

func change(ts *testscript.TestScript, neg bool, args []string, f func([]byte) []byte) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FROM TO | flip FROM TO")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), f(b), 0o600))
}

// latin1Film is the name of a film in Latin-1, which no script can write.
const latin1Film = "Caf\xe9.mp4"

// latin1 adds that film, with subtitles in the same character set.
func latin1(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: latin1")
	}
	films := ts.Getenv("FILMS")
	ts.Check(ts.Exec("bijou", "title", "add", filepath.Join(films, latin1Film), "--subtitles", "fr="+filepath.Join(films, "latin1.srt")))
}
