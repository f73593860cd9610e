package app

import (
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
	s, err := OpenStudio(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
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
