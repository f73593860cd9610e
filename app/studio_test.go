package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"bijou"
	"bijou/service/studio"
)

func testConfig(t *testing.T) Config {
	t.Helper()
	c := DefaultConfig()
	c.DataDir, c.Listen, c.BundledFilms = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", false
	return c
}

func open(t *testing.T, c Config) *Studio {
	t.Helper()
	s, err := ownStudio(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestALibraryThatIsNotThereIsNamedAndNotMade(t *testing.T) {
	c := testConfig(t)
	quiet := slog.New(slog.DiscardHandler)
	for what, open := range map[string]func() error{
		"read titles":     func() error { _, err := OpenTitles(t.Context(), c); return err },
		"open the studio": func() error { _, err := OpenStudio(t.Context(), c, quiet); return err },
		"reach a service": func() error { _, err := OpenOperator(t.Context(), c); return err },
		"add what is none": func() error {
			_, err := OpenStudioFor(t.Context(), c, quiet, Addition{Film: "studio_test.go"})
			return err
		},
		"leave to nobody": func() error {
			_, err := OpenStudioFor(t.Context(), c, quiet, Addition{Film: "studio_test.go", Detach: true})
			return err
		},
	} {
		err := open()
		kind, words := bijou.NotFound, "no library at "+c.DataDir
		switch what {
		case "add what is none":
			kind, words = bijou.Invalid, "studio_test.go is text, not a film"
		case "leave to nobody":
			kind, words = bijou.Invalid, "leave --detach out"
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v, want %s with %q", what, err, kind, words)
		}
		if _, err := os.Stat(c.DataDir); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: the directory is there now (%v), want nothing made", what, err)
		}
	}
}

func TestTitlesAreReadBesideACommandThatHoldsTheDirectory(t *testing.T) {
	c := testConfig(t)
	c.BundledFilms = true
	s := open(t, c)
	defer s.Close()
	all, err := s.Titles(t.Context(), studio.AllTitles{})
	if err != nil || len(all.Titles) == 0 {
		t.Fatalf("bundled titles %+v, %v", all, err)
	}
	beside, err := OpenTitles(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	id := all.Titles[0].ID
	name := "Another name"
	if _, err := s.EditTitle(t.Context(), id, bijou.TitleEdit{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if got, err := beside.Title(t.Context(), id); err != nil || got.Name != name {
		t.Errorf("read beside the holder: %q, %v; want what it wrote last, %q", got.Name, err, name)
	}
	_, err = OpenStudio(t.Context(), c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, bijou.Conflict) || !strings.Contains(err.Error(), "wait until that one has ended") {
		t.Errorf("write beside the holder: %v, want Conflict and to wait", err)
	}
}

func TestTheStudioOfADirectoryThatNobodyHoldsWorksHere(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	if s.Running != "" {
		t.Errorf("the studio is that of %s, want the directory's own", s.Running)
	}
	if page, err := s.Titles(t.Context(), studio.AllTitles{}); err != nil || len(page.Titles) != 0 {
		t.Errorf("titles %+v, %v; want none", page, err)
	}
	if _, err := OpenStudio(t.Context(), c, slog.New(slog.DiscardHandler)); !errors.Is(err, bijou.Conflict) || !strings.Contains(err.Error(), "bijou title (process") {
		t.Errorf("a second one at the same time = %v, want Conflict with the holder", err)
	}
	s.Close()
	open(t, c).Close()
}

func TestAStudioIsNotSoughtWhereAKilledServiceListened(t *testing.T) {
	var asked atomic.Int32
	// Another program has the port by now. It must not see the operator's token.
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	c := testConfig(t)
	open(t, c).Close()
	left, err := json.Marshal(holder{PID: os.Getpid(), Command: "up", Address: other.URL})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"operator.token": []byte("op_secret\n"), "LOCK": left} {
		if err := os.WriteFile(filepath.Join(c.DataDir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, c)
	defer s.Close()
	if s.Running != "" || asked.Load() != 0 {
		t.Errorf("the studio is sought at %q and the other program was asked %d times, want the directory's own and never", s.Running, asked.Load())
	}
}

func TestAServiceWhoseTokenCannotBeReadIsNamed(t *testing.T) {
	c := testConfig(t)
	d := mustOpen(t, c.DataDir, "up")
	defer d.close()
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	if err := d.say(holder{PID: os.Getpid(), Command: "up", Address: service.URL}); err != nil {
		t.Fatal(err)
	}
	_, err := OpenStudio(t.Context(), c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, bijou.Denied) || !strings.Contains(err.Error(), service.URL) || !strings.Contains(err.Error(), "become the user") {
		t.Errorf("OpenStudio = %v, want Denied with the address and the fix", err)
	}
}

func TestAHolderThatDoesNotAnswerIsNamed(t *testing.T) {
	c := testConfig(t)
	d := mustOpen(t, c.DataDir, "up")
	defer d.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	l.Close() // nobody listens there now
	if err := d.say(holder{PID: 42, Command: "up", Address: address}); err != nil {
		t.Fatal(err)
	}
	_, err = OpenStudio(t.Context(), c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, bijou.Conflict) || !strings.Contains(err.Error(), "process 42), which listens at "+address) {
		t.Errorf("OpenStudio = %v, want Conflict with the holder", err)
	}
}

func TestFilesOfRemovedTitlesAreGoneWhenTheStudioIsClosed(t *testing.T) {
	c := testConfig(t)
	c.BundledFilms = true
	s := open(t, c)
	page, err := s.Titles(t.Context(), studio.AllTitles{})
	if err != nil || len(page.Titles) == 0 {
		t.Fatalf("bundled titles %+v, %v", page, err)
	}
	for _, x := range page.Titles {
		if err := s.RemoveTitle(t.Context(), x.ID); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	for _, x := range page.Titles {
		if left, err := os.ReadDir(filepath.Join(c.DataDir, "blobs", "assets", string(x.Asset))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%d files of %s are left, %v", len(left), x.Asset, err)
		}
	}
	// What was removed is not seeded again.
	s = open(t, c)
	defer s.Close()
	if again, err := s.Titles(t.Context(), studio.AllTitles{}); err != nil || len(again.Titles) != 0 {
		t.Errorf("titles %+v, %v; want none", again, err)
	}
}

func TestAnAddressThatCannotBeListenedAtIsToldWithItsFix(t *testing.T) {
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	check := func(address string, kind bijou.Kind, words ...string) {
		t.Helper()
		got, err := listen(address)
		if err == nil {
			got.Close()
		}
		if !errors.Is(err, kind) {
			t.Fatalf("listen(%q) = %v, want %s", address, err, kind)
		}
		for _, w := range append(words, address, "--listen") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("listen(%q) says %q, want %q in it", address, err, w)
			}
		}
	}
	check(l.Addr().String(), bijou.Conflict, "in use by another program")
	check("192.0.2.1:80", bijou.Invalid, "an address of this machine") // of no machine: RFC 5737
	check("no host:1", bijou.Invalid)
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	if err := testConfig(t).Check(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"data_dir":   func(c *Config) { c.DataDir = "" },
		"listen":     func(c *Config) { c.Listen = "8080" },
		"log_level":  func(c *Config) { c.LogLevel = "loud" },
		"retain is":  func(c *Config) { c.Facts.Retain = 1 },
		"retain_for": func(c *Config) { c.Facts.RetainFor = 1 },
	} {
		c := testConfig(t)
		change(&c)
		err := errors.Join(c.Check(), c.Facts.Check())
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Check = %v, want Invalid that names it", want, err)
		}
	}
}

func TestAServiceWithoutFilmToolsSaysSoInOneLineAndStarts(t *testing.T) {
	for program, want := range map[string]int{"no-such-program": 1, "true": 0} {
		c := testConfig(t)
		c.Appliances, c.FFmpeg = 0, FFmpeg{FFmpeg: "true", FFprobe: program}
		var said bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		err := Up(ctx, c, Build{}, slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})), func(Ready) { stop() })
		if got := strings.Count(said.String(), "no film can be added"); err != nil || got != want || got == 1 && !strings.Contains(said.String(), program) {
			t.Errorf("ffprobe is %s: ended with %v, said %q, want %d warnings that name it", program, err, said.String(), want)
		}
		stop()
	}
}
