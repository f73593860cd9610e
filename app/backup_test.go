package app

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/kit/trust"
	"bijou/kit/watch"
)

// leftOut are the entries of a data directory that a backup does not hold, and why.
var leftOut = map[string]string{
	"LOCK":       "names the process that holds the directory",
	"scratch":    "files in work, which is done again",
	"appliances": "copies of blobs, which are fetched again; who the appliances are is kept (identity.json)",
	backupNote:   "says when the last backup was made",
}

// companions are files that stores keep beside those that count, and make anew.
var companions = regexp.MustCompile(`^(sqlite/.*-(wal|shm)|log/\.lock|log/.*\.idx|blobs/\.open)$`)

// TestABackupHoldsEveryStoreOfTheDataDirectory fails where a new store is kept in the data directory and not in backups: see backup.go.
func TestABackupHoldsEveryStoreOfTheDataDirectory(t *testing.T) {
	p := wholeProcess(t)
	var b bytes.Buffer
	if err := p.recovery().Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	held := map[string]bool{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		held[strings.TrimPrefix(h.Name, "data/")] = true
	}
	for _, name := range []string{"appliances/1/identity.json", "appliances/2/identity.json"} {
		if !held[name] {
			t.Errorf("a backup does not hold %s", name)
		}
	}
	entries := map[string]bool{}
	err := filepath.WalkDir(p.data.path, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.data.path, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		entry, _, _ := strings.Cut(name, "/")
		entries[entry] = true
		if leftOut[entry] == "" && !d.IsDir() && !held[name] && !companions.MatchString(name) {
			t.Errorf("%s is in the data directory and in no backup: take its store into app/backup.go, or say in leftOut why not", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for entry := range leftOut {
		if !entries[entry] {
			t.Errorf("%s is left out of backups, and no data directory has it", entry)
		}
	}
}

// wholeProcess returns a process with something in each of its stores.
func wholeProcess(t *testing.T) *process {
	t.Helper()
	c := DefaultConfig()
	c.DataDir = t.TempDir()
	data := mustOpen(t, c.DataDir, "up")
	t.Cleanup(data.close)
	s, err := openStores(t.Context(), c, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	p := &process{config: c, data: data, stores: s, log: slog.New(slog.DiscardHandler), metrics: watch.NewMetrics("", "")}
	p.ring, err = trust.OpenRing(data.file("keys", "grants"), time.Now())
	if err == nil {
		p.cluster, err = openCluster(data.file("keys"), time.Now)
	}
	if err = errors.Join(err, p.makeApplianceDirs()); err != nil {
		t.Fatal(err)
	}
	p.token, err = trust.Token(data.file("operator.token"))
	err = errors.Join(err, p.mailer().Send(t.Context(), bijou.Message{From: "tv@example.org", To: "ada@example.org", Subject: "x", Text: "x", At: time.Now()}))
	r := p.allRooms()
	_, tokenErr := p.cluster.create(t.Context(), NewToken{Role: "appliance", ForMS: 60_000})
	_, putErr := s.blobs.Put(t.Context(), "assets/ast_1/poster.jpg", strings.NewReader("x"))
	_, factErr := s.facts.Append(t.Context(), bijou.TopicFacts, 1, []bijou.Record{{Value: []byte("{}")}})
	err = errors.Join(err, p.settle(t.Context(), r), tokenErr, putErr, factErr, s.facts.Commit(t.Context(), "positions", bijou.TopicFacts, 1, 1),
		NoteBackup(c, LastBackup{At: time.Now()}))
	for _, n := range []string{"1", "2"} {
		err = errors.Join(err, os.WriteFile(data.file(path.Join("appliances", n, "identity.json")), []byte("{}"), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestADirectoryThatIsDamagedIsNotProven(t *testing.T) {
	p := wholeProcess(t)
	p.stores.close()
	p.data.close()
	dir := p.data.path
	if err := os.WriteFile(filepath.Join(dir, "operator.token"), []byte("op_x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := prove(t.Context(), dir)
	if err != nil || got.Titles == 0 || got.Files == 0 || got.Records != 1 {
		t.Fatalf("proven: %+v, %v; want titles, files and a record", got, err)
	}
	// Each damage by itself, and mended again.
	segments, err := filepath.Glob(filepath.Join(dir, "blobs", "assets", "*", "v*", "1.m4s"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	texts, err := filepath.Glob(filepath.Join(dir, "blobs", "assets", "*", "*-*", "text.vtt"))
	if err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log", "facts", "1", "*.seg"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("log %v, %v", logs, err)
	}
	for _, file := range append(append(segments[:1:1], texts...), logs[0], filepath.Join(dir, "format"), filepath.Join(dir, "sqlite", "members.db")) {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(whole)
		changed[len(changed)/3] ^= 1
		if strings.HasSuffix(file, ".db") {
			clear(changed[len(changed)/2:])
		}
		for name, content := range map[string][]byte{"changed": changed, "gone": nil} {
			if name == "gone" && (file == logs[0] || strings.HasSuffix(file, ".db")) {
				continue // a store without the file is an empty one; the manifest tells of that
			}
			if err = os.WriteFile(file, content, 0o600); name == "gone" {
				err = os.Remove(file)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := prove(t.Context(), dir); bijou.KindOf(err) != bijou.Corrupt && bijou.KindOf(err) != bijou.Unsupported {
				t.Errorf("%s is %s: got %v, want it refused", file, name, err)
			}
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := prove(t.Context(), dir); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func TestTheDoctorSpeaksOfTheLastBackup(t *testing.T) {
	c := Config{DataDir: t.TempDir()}
	now := time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)
	check := func(name, state, says string) {
		t.Helper()
		got := checkBackup(c, now)
		if got.State != state || !strings.Contains(got.Says, says) || (got.Fix == "") != (state == FindingOK) {
			t.Errorf("%s: got %+v, want %s and %q", name, got, state, says)
		}
	}
	check("none", FindingOK, "none was made yet")
	for age, want := range map[time.Duration]string{time.Hour: FindingOK, 8 * 24 * time.Hour: FindingOK, 8*24*time.Hour + 1: FindingWarning} {
		if err := NoteBackup(c, LastBackup{At: now.Add(-age), File: "/mnt/site.tar", Bytes: 1}); err != nil {
			t.Fatal(err)
		}
		check(age.String(), want, "/mnt/site.tar")
	}
	if err := os.WriteFile(filepath.Join(c.DataDir, backupNote), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("damaged", FindingWarning, "cannot be told")
}
