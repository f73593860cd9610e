package system_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bijou/test/harness"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

// town is a service with something in each of its stores.
type town struct {
	sv                  *harness.Service
	film, other         harness.Title
	ada, bob, out       harness.Client // members; out has signed out
	revoked, watched    *harness.Player
	draining, joinToken string
	eve                 harness.Client // a program of a user who may look at everything
}

func settle(t *testing.T, shape harness.Shape) *town {
	t.Helper()
	sv, film := library(t, shape, harness.Options{})
	w := &town{sv: sv, film: film, other: sv.Add(t, harness.Film(t, filmSeconds), "--name", "Ünïcode & more", "--year", "1999", "--genre", "drama")}
	gone := sv.Add(t, harness.Film(t, filmSeconds), "--name", "gone")
	w.ada, w.bob, w.out = sv.SignUp(t, "ada@example.org"), sv.SignUp(t, "bob@example.org"), sv.SignUp(t, "out@example.org")
	w.out.Call(t, "DELETE", "/api/v1/session", nil, http.StatusNoContent, nil)
	w.watched = w.ada.StartPlay(t, film.ID)
	for i, kind := range []string{"start", "first_frame", "heartbeat", "pause"} {
		w.watched.Report(t, kind, int64(i)*800)
	}
	w.bob.StartPlay(t, w.other.ID).Report(t, "pause", 3000)
	w.revoked = sv.Guest().StartPlay(t, film.ID)
	run(t, sv, "grant", "revoke", w.revoked.Session)
	run(t, sv, "title", "remove", gone.ID)
	w.joinToken = strings.TrimSpace(run(t, sv, "token", "create"))
	var all []struct{ Appliance struct{ ID string } }
	if err := json.Unmarshal([]byte(run(t, sv, "--output", "json", "appliance", "list")), &all); err != nil || len(all) != 2 {
		t.Fatalf("appliances are %+v (%v), want two", all, err)
	}
	run(t, sv, "user", "add", "eve", "--role", "viewer")
	w.eve = harness.Client{Base: sv.Address, Token: strings.TrimSpace(run(t, sv, "user", "token", "create", "eve"))}
	w.draining = all[1].Appliance.ID
	run(t, sv, "appliance", "drain", w.draining)
	drains(t, sv, w.draining)
	resumesAt(t, w.ada, film.ID, 2400)
	resumesAt(t, w.bob, w.other.ID, 3000)
	return w
}

// restore makes a directory of the backup.
func restore(t *testing.T, shape harness.Shape, backup string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	run(t, &harness.Service{DataDir: dir, Shape: shape}, "restore", backup)
	return dir
}

func TestARestoredSiteIsTheSiteThatWasBackedUp(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		w := settle(t, shape)
		checkNoHalves(t, w.sv, 0)
		backup := filepath.Join(t.TempDir(), "site.tar")
		run(t, w.sv, "backup", backup)
		run(t, w.sv, "verify", backup)
		if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup has mode %v (%v), want 600", info.Mode(), err)
		}
		dir := restore(t, shape, backup)
		before := answers(t, w)
		w.sv.Stop(t)
		// What lies there, file by file, row by row, record by record.
		if diff := cmp.Diff(files(t, w.sv.DataDir), files(t, dir)); diff != "" {
			t.Errorf("files (-backed up +restored):\n%s", diff)
		}
		for _, db := range databases(t, w.sv.DataDir) {
			want, got := rowsOf(t, filepath.Join(w.sv.DataDir, "sqlite", db)), rowsOf(t, filepath.Join(dir, "sqlite", db))
			// That the backup was made, and what was asked afterwards, is noted in the audit log of the site that it was made of.
			want = slices.DeleteFunc(want, func(row string) bool { return strings.HasPrefix(row, "[audit] ") && !slices.Contains(got, row) })
			if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
				t.Errorf("%d rows of %s (-backed up +restored):\n%s", len(want), db, diff)
			}
		}
		if diff := cmp.Diff(recordsOf(t, w.sv.DataDir), recordsOf(t, dir)); diff != "" {
			t.Errorf("records of the log (-backed up +restored):\n%s", diff)
		}
		// What it answers, and that it plays.
		again := shape.Start(t, harness.Options{DataDir: dir})
		w.at(again)
		drains(t, again, w.draining)
		if diff := cmp.Diff(before, answers(t, w)); diff != "" {
			t.Errorf("answers (-backed up +restored):\n%s", diff)
		}
		if got := w.out.Do(t, "GET", "/api/v1/positions", nil).Status; got != http.StatusUnauthorized {
			t.Errorf("who signed out before the backup: status %d, want 401", got)
		}
		if got := w.revoked.Do(t, "POST", "/api/v1/plays/renewals", map[string]string{"grant": w.revoked.Grant}).Status; !refused(got) {
			t.Errorf("a grant that was taken back before the backup: status %d, want 401 or 403", got)
		}
		w.watched.Call(t, "POST", "/api/v1/plays/renewals", map[string]string{"grant": w.watched.Grant}, http.StatusOK, &w.watched.Play)
		serves(t, again, w.film.ID)
		serves(t, again, w.other.ID)
		run(t, again, "audit", "verify")
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte(w.joinToken), 0o600); err != nil {
			t.Fatal(err)
		}
		if box, ready := startBox(t, filepath.Join(t.TempDir(), "box"), "--server", again.Address, "--token-file", token); !ready {
			t.Errorf("a machine does not join with a token of before the backup:\n%s", box.log.String())
		}
	})
}

// at has everybody ask another service.
func (w *town) at(sv *harness.Service) {
	for _, c := range []*harness.Client{&w.eve, &w.ada, &w.bob, &w.out, &w.revoked.Client, &w.watched.Client} {
		*c = c.As(sv)
	}
	w.sv = sv
}

// answers asks the service what it answers the same whenever it is asked.
func answers(t *testing.T, w *town) map[string]string {
	t.Helper()
	got := map[string]string{}
	ask := func(who string, c harness.Client, paths ...string) {
		for _, path := range paths {
			a := c.Do(t, "GET", path, nil)
			if a.Status != http.StatusOK {
				t.Errorf("GET %s as %s: status %d: %s", path, who, a.Status, a.Body)
			}
			got[who+" "+path] = hashed(a.Body)
		}
	}
	ask("ada", w.ada, "/api/v1/me", "/api/v1/positions")
	ask("bob", w.bob, "/api/v1/me", "/api/v1/positions")
	ask("guest", w.sv.Guest(), "/api/v1/titles?limit=500")
	operator := w.sv.Operator(t)
	ask("operator", operator, "/api/v1/studio/titles?limit=500", "/api/v1/keys", "/api/v1/operators")
	ask("eve", w.eve, "/api/v1/studio/titles?limit=500")
	for _, x := range operator.AllTitles(t) {
		ask("guest", w.sv.Guest(), "/api/v1/titles/"+x.ID, "/api/v1/titles/"+x.ID+"/poster")
		ask("operator", operator, "/api/v1/studio/titles/"+x.ID)
	}
	var all struct {
		Appliances []struct {
			Appliance struct{ ID, Name string }
			State     string
		}
	}
	operator.Call(t, "GET", "/api/v1/appliances", nil, http.StatusOK, &all)
	got["appliances"] = fmt.Sprintf("%+v", all.Appliances)
	return got
}

// hashed returns short texts as they are.
func hashed(b []byte) string {
	if len(b) < 2000 {
		return string(b)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// files returns the hash of every file of a data directory that is the same in a restored one: all but databases and the log, which are read, and
// what a backup leaves out.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		switch {
		case slices.Contains([]string{"LOCK", "scratch", "sqlite", "log", "backup.json"}, top),
			top == "appliances" && d.Name() != "identity.json", d.IsDir(), strings.HasPrefix(d.Name(), "."):
			return nil
		}
		b, err := os.ReadFile(path)
		got[name] = hashed(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// databases returns the names of the SQLite files.
func databases(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "sqlite", "*.db"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("databases are %v (%v), want four at least", paths, err)
	}
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

// rowsOf returns every row of every table.
func rowsOf(t *testing.T, path string) (all []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range texts(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		for _, row := range texts(t, db, "SELECT * FROM "+table[1:len(table)-1]) {
			all = append(all, table+" "+row)
		}
	}
	slices.Sort(all)
	return all
}

// texts returns each row that the query finds as a text.
func texts(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestABackupThatIsMadeWhileEverybodyIsBusyIsOneMoment(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random := harness.Seed(t)
		sv, film := library(t, shape, harness.Options{})
		b := &bustle{operator: sv.Operator(t), player: sv.SignUp(t, "ada@example.org").StartPlay(t, film.ID), film: harness.Film(t, filmSeconds)}
		for round := range 4 {
			stop := b.begin(t)
			time.Sleep(time.Duration(random.Int64N(int64(within))))
			facts, titles := b.acknowledged()
			backup := filepath.Join(t.TempDir(), "busy.tar")
			run(t, sv, "backup", backup)
			_, still := b.acknowledged()
			stop()
			// A title whose removal was asked for meanwhile is in it or not.
			titles = slices.DeleteFunc(titles, func(id string) bool { return !slices.Contains(still, id) })
			t.Logf("round %d: %d facts and titles %v were acknowledged", round, facts, titles)
			run(t, sv, "verify", backup)
			checkMoment(t, shape, restore(t, shape, backup), b.player, moment{film.ID, facts, titles})
		}
		if left := leftOver(t, sv); len(left) > 0 {
			t.Errorf("%v is left, want nothing", left)
		}
	})
}

// leftOver returns what a service keeps only while it makes a backup.
func leftOver(t *testing.T, sv *harness.Service) (found []string) {
	t.Helper()
	for _, pattern := range []string{"blobs/.snapshots", "scratch/backup-*"} {
		left, err := filepath.Glob(filepath.Join(sv.DataDir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, left...)
	}
	return found
}

// bustle is a viewer who reports without end, and an operator who adds films and removes them again.
type bustle struct {
	operator harness.Client
	player   *harness.Player
	film     string

	mu     sync.Mutex
	facts  int64    // reports that were acknowledged
	titles []string // that were acknowledged, and whose removal was not asked for
}

// acknowledged returns what a backup that begins now has to hold.
func (b *bustle) acknowledged() (facts int64, titles []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.facts, slices.Clone(b.titles)
}

// begin has both begin; what it returns has them stop, and all titles that were added removed.
func (b *bustle) begin(t *testing.T) (stop func()) {
	t.Helper()
	ended, busy := make(chan struct{}), sync.WaitGroup{}
	// often calls f until the end.
	often := func(every time.Duration, f func() error) {
		busy.Go(func() {
			for tick := time.NewTicker(every); ; {
				if err := f(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-ended:
					return
				case <-tick.C:
				}
			}
		})
	}
	often(60*time.Millisecond, func() error { // no player has more to say
		at := b.facts + 1
		a, err := b.player.TryReport("heartbeat", at)
		if err != nil || a.Status != http.StatusAccepted {
			return fmt.Errorf("report: status %d, %w: %s", a.Status, err, a.Body)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.facts = at
		return nil
	})
	often(400*time.Millisecond, func() error {
		for len(b.titles) > 1 { // the last is still being made
			if err := b.remove(); err != nil {
				return err
			}
		}
		id, err := add(b.operator, b.film, "busy.mp4")
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.titles = append(b.titles, id)
		return nil
	})
	return func() {
		close(ended)
		busy.Wait()
		for len(b.titles) > 0 {
			if err := b.remove(); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// remove removes the title that was added first.
func (b *bustle) remove() error {
	b.mu.Lock()
	id := b.titles[0]
	b.titles = b.titles[1:]
	b.mu.Unlock()
	a, err := b.operator.Try("DELETE", "/api/v1/studio/titles/"+id, nil, nil)
	if err != nil || a.Status != http.StatusNoContent {
		return fmt.Errorf("remove: status %d, %w: %s", a.Status, err, a.Body)
	}
	return nil
}

// moment is what a backup has to hold.
type moment struct {
	film   string
	facts  int64 // each with a position one after that of the one before
	titles []string
}

// checkMoment wants a restored site to be one: what was acknowledged is there, whatever was in work goes on, and nothing belongs to nobody.
func checkMoment(t *testing.T, shape harness.Shape, dir string, p *harness.Player, want moment) {
	t.Helper()
	last := int64(0)
	for _, records := range recordsOf(t, dir) {
		for i, r := range records {
			var fact struct {
				PositionMS int64 `json:"position_ms"`
			}
			if err := json.Unmarshal(r.Value, &fact); err != nil || r.Offset != int64(i) || fact.PositionMS != last+1 {
				t.Errorf("record %d has offset %d and position %d (%v), want the one after %d", i, r.Offset, fact.PositionMS, err, last)
			}
			last = fact.PositionMS
		}
	}
	if last < want.facts {
		t.Errorf("the last fact is number %d, and %d was acknowledged before", last, want.facts)
	}
	sv := shape.Start(t, harness.Options{DataDir: dir})
	operator := sv.Operator(t)
	harness.Eventually(t, "position of the last fact", func() bool { return positionsOf(t, p.As(sv))[want.film] >= last })
	harness.Eventually(t, "publication of what was in work", func() bool {
		for _, x := range operator.AllTitles(t) {
			if x.State == "failed" {
				t.Fatalf("title %+v failed", x)
			}
			if x.State != "published" {
				return false
			}
		}
		return true
	})
	there := map[string]bool{}
	for _, x := range operator.AllTitles(t) {
		serves(t, sv, x.ID)
		there[x.ID] = true
	}
	for _, id := range append(want.titles, want.film) {
		if !there[id] {
			t.Errorf("title %s is gone, and it was acknowledged before", id)
		}
	}
	checkNoHalves(t, sv, 2) // sources that were handed in and not asked for yet
	if status := sv.Stop(t); status != 0 {
		t.Errorf("the restored service ends with status %d:\n%s", status, sv.Log())
	}
}

func TestABackupOrARestoreThatIsKilledLeavesAllOrNothing(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random := harness.Seed(t)
		sv, film := library(t, shape, harness.Options{})
		dir := t.TempDir()
		killed := func(cmd *exec.Cmd, most time.Duration) {
			t.Helper()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(random.Int64N(int64(most))))
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				if _, ok := errors.AsType[*exec.ExitError](err); !ok {
					t.Fatal(err)
				}
			}
		}
		backup := filepath.Join(dir, "whole.tar")
		run(t, sv, "backup", backup)
		for n := range 6 {
			one, target := filepath.Join(dir, fmt.Sprint(n, ".tar")), filepath.Join(dir, fmt.Sprint(n))
			killed(sv.Command(t, "backup", one), 150*time.Millisecond)
			if _, err := os.Stat(one); err == nil {
				run(t, sv, "verify", one)
			}
			restored := &harness.Service{DataDir: target, Shape: shape}
			killed(restored.Command(t, "restore", backup), 150*time.Millisecond)
			if _, err := os.Stat(target); err != nil {
				run(t, restored, "restore", backup)
			}
			again := shape.Start(t, harness.Options{DataDir: target})
			serves(t, again, film.ID)
			again.Kill(t)
		}
		serves(t, sv, film.ID)
		harness.Eventually(t, "end of the backups that nobody waits for", func() bool { return len(leftOver(t, sv)) == 0 })
		// It is told to stop, and then the service is killed while it sends one.
		lost := filepath.Join(dir, "lost.tar")
		big := filepath.Join(sv.DataDir, "blobs", "assets", "big")
		if err := os.WriteFile(big, bytes.Repeat([]byte("big "), 64<<18), 0o600); err != nil {
			t.Fatal(err)
		}
		breaksOff(t, sv, lost, "stopped: no backup was made", func(cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) })
		harness.Eventually(t, "end of a backup that was stopped", func() bool { return len(leftOver(t, sv)) == 0 })
		breaksOff(t, sv, lost, "broke off", func(*exec.Cmd) error { return sv.Signal(syscall.SIGKILL) })
		sv.Wait(t)
		if err := os.Remove(big); err != nil {
			t.Fatal(err)
		}
		sv = sv.Restart(t, harness.Options{})
		if left := leftOver(t, sv); len(left) > 0 {
			t.Errorf("after the restart %v is left, want nothing", left)
		}
		run(t, sv, "backup", lost)
	})
}

// breaksOff has a backup of a large site begin and end has it break off. It wants the words, and nothing left.
func breaksOff(t *testing.T, sv *harness.Service, file, words string, end func(*exec.Cmd) error) {
	t.Helper()
	cmd := sv.Command(t, "backup", file)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "beginning of the backup", func() bool {
		info, err := os.Stat(file + ".part")
		return err == nil && info.Size() > 1<<20
	})
	if err := end(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), words) {
		t.Errorf("a backup that breaks off ends with %v and says %q, want %q", err, said.String(), words)
	}
	for _, name := range []string{file, file + ".part"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}

func TestABackupThatADiskHasNoRoomForIsNotThere(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		d := harness.NewDisk(t)
		// limited runs a command for which files cannot grow, where no disk can be filled up.
		limited := func(sv *harness.Service, args ...string) harness.Result {
			cmd := sv.Command(t, args...)
			if !d.Real {
				cmd.Args = append([]string{"sh", "-c", `ulimit -f 100 && exec "$@"`, "sh"}, cmd.Args...)
				cmd.Path = "/bin/sh"
			}
			var out, said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &said
			_ = cmd.Run() // its status tells
			return harness.Result{Out: out.String(), Err: said.String(), Status: cmd.ProcessState.ExitCode()}
		}
		sv, film := library(t, shape, harness.Options{})
		whole := filepath.Join(t.TempDir(), "whole.tar")
		run(t, sv, "backup", whole)
		backup, target := filepath.Join(d.Dir, "site.tar"), filepath.Join(d.Dir, "new")
		if d.Real {
			d.Fill(t, sv.PID(), 200<<10)
		}
		for what, r := range map[string]harness.Result{
			"backup": limited(sv, "backup", backup), "restore": limited(&harness.Service{DataDir: target, Shape: shape}, "restore", whole),
			"verify": limited(sv, "verify", whole, "--scratch", d.Dir),
		} {
			if r.Status != 1 || r.Out != "" || !strings.HasPrefix(r.Err, "bijou: ") || !strings.Contains(r.Err, "free space") || strings.Count(r.Err, "\n") != 1 {
				t.Errorf("%s without room: status %d: %s%s, want 1 and a sentence with the fix", what, r.Status, r.Out, r.Err)
			}
		}
		if d.Real {
			d.Free(t, sv.PID())
		}
		if entries, err := os.ReadDir(d.Dir); err != nil || len(entries) > 0 {
			t.Errorf("%v is left (%v), want nothing", entries, err)
		}
		serves(t, sv, film.ID)
		run(t, sv, "backup", backup)
		run(t, &harness.Service{DataDir: target, Shape: shape}, "restore", backup)
	})
}
