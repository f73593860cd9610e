package system_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bijou"
	"bijou/engine/logfile"
	"bijou/test/harness"
)

// fixture is what has to be found in a data directory that an earlier version wrote: see test/fixtures.
type fixture struct {
	Made, Email, Password, Title, Name, Draining string
	PositionMS                                   int64 `json:"position_ms"`
	Facts                                        int
}

// keepFacts has a fixture's facts kept, however long ago they were reported.
const keepFacts = "BIJOU_FACTS_RETAIN_FOR=1000000h"

func TestADataDirectoryOfAnEarlierVersionOpensAndSurvivesABackup(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		packed, err := filepath.Glob("../fixtures/*.tar.gz")
		if err != nil || len(packed) < 2 {
			t.Fatalf("fixtures are %v (%v), want two at least", packed, err)
		}
		for _, file := range packed {
			dir := filepath.Join(t.TempDir(), "data")
			want := unpackFixture(t, file, dir)
			t.Run(want.Made, func(t *testing.T) {
				sv := shape.Start(t, harness.Options{DataDir: dir, Env: []string{keepFacts}})
				want.check(t, sv)
				backup, restored := filepath.Join(t.TempDir(), "site.tar"), filepath.Join(t.TempDir(), "restored")
				run(t, sv, "backup", backup)
				run(t, sv, "verify", backup)
				run(t, &harness.Service{DataDir: restored, Shape: shape}, "restore", backup)
				again := shape.Start(t, harness.Options{DataDir: restored, Env: []string{keepFacts}})
				want.check(t, again)
				again.Stop(t)
				want.checkFacts(t, restored)
			})
		}
	})
}

// run runs a command that has to succeed.
func run(t *testing.T, sv *harness.Service, args ...string) string {
	t.Helper()
	r := sv.CLI(t, args...)
	if r.Status != 0 {
		t.Fatalf("%v: status %d: %s", args, r.Status, r.Err)
	}
	return r.Out
}

// unpackFixture writes the data directory and returns what has to be found in it.
func unpackFixture(t *testing.T, file, dir string) (want fixture) {
	t.Helper()
	note, err := os.ReadFile(strings.TrimSuffix(file, ".tar.gz") + ".json")
	if err == nil {
		err = json.Unmarshal(note, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return want
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		to := filepath.Join(dir, h.Name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// check looks at the service as its member, its viewers and its operator do.
func (f fixture) check(t *testing.T, sv *harness.Service) {
	t.Helper()
	var session struct{ Token string }
	sv.Guest().Call(t, "POST", "/api/v1/sessions", map[string]string{"email": f.Email, "password": f.Password}, http.StatusCreated, &session)
	ada := harness.Client{Base: sv.Address, Token: session.Token}
	if titles := ada.Titles(t); len(titles) != 1 || titles[0].ID != f.Title || titles[0].Name != f.Name || titles[0].State != "published" {
		t.Errorf("titles are %+v, want %s", titles, f.Title)
	}
	if got := positionsOf(t, ada)[f.Title]; got != f.PositionMS {
		t.Errorf("the position is %d, want %d", got, f.PositionMS)
	}
	p := ada.StartPlay(t, f.Title)
	kinds := map[string]int{}
	for _, track := range p.TracksOfHLS(t) {
		kinds[track.Kind]++
		p.Fetch(t, track, filepath.Join(t.TempDir(), "track"))
	}
	if kinds["video"] == 0 || kinds["audio"] == 0 {
		t.Errorf("the title has tracks %v", kinds)
	}
	if f.Draining != "" {
		drains(t, sv, f.Draining)
	}
}

// drains wants the appliance to drain, once it has heard of it.
func drains(t *testing.T, sv *harness.Service, id string) {
	t.Helper()
	harness.Eventually(t, "appliance "+id+" drains", func() bool {
		var all struct {
			Appliances []struct {
				Appliance struct{ ID string }
				State     string
			}
		}
		sv.Operator(t).Call(t, "GET", "/api/v1/appliances", nil, http.StatusOK, &all)
		for _, a := range all.Appliances {
			if a.Appliance.ID == id && a.State == "draining" {
				return true
			}
		}
		return false
	})
}

// checkFacts reads the log as it lies there.
func (f fixture) checkFacts(t *testing.T, dir string) {
	t.Helper()
	kinds := map[string]int{}
	for _, r := range slices.Concat(recordsOf(t, dir)...) {
		var fact bijou.Fact
		if err := json.Unmarshal(r.Value, &fact); err != nil || fact.Title != bijou.TitleID(f.Title) || fact.Profile == "" {
			t.Errorf("fact %s: %v", r.Value, err)
		}
		kinds[string(fact.Kind)]++
	}
	if len(kinds) != f.Facts || kinds["start"] != 1 || kinds["pause"] != 1 {
		t.Errorf("the log holds facts %v, want %d", kinds, f.Facts)
	}
}

// recordsOf returns all records of the data directory's log as it lies there, by partition. It reads a copy.
func recordsOf(t *testing.T, dir string) (all [][]bijou.Record) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, "log"))); err != nil {
		t.Fatal(err)
	}
	l, err := logfile.Open(copied, logfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, err := l.Partitions(t.Context(), bijou.TopicFacts)
	if err != nil {
		t.Fatal(err)
	}
	for p := range n {
		// A record of our own tells where the partition ends.
		last, err := l.Append(t.Context(), bijou.TopicFacts, p, []bijou.Record{{}})
		if err != nil {
			t.Fatal(err)
		}
		var records []bijou.Record
		for next := int64(0); next < last; next = records[len(records)-1].Offset + 1 {
			rs, err := l.Read(t.Context(), bijou.TopicFacts, p, next, 1000)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rs...)
		}
		if n := len(records); n > 0 && records[n-1].Offset == last {
			records = records[:n-1]
		}
		all = append(all, records)
	}
	return all
}

// positionsOf returns where the member stopped, by title.
func positionsOf(t *testing.T, c harness.Client) map[string]int64 {
	t.Helper()
	var list struct {
		Positions []struct {
			Title      string
			PositionMS int64 `json:"position_ms"`
		}
	}
	c.Call(t, "GET", "/api/v1/positions", nil, http.StatusOK, &list)
	got := map[string]int64{}
	for _, p := range list.Positions {
		got[p.Title] = p.PositionMS
	}
	return got
}
