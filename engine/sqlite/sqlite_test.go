package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
)

var noon = time.Date(2031, time.March, 4, 12, 0, 0, 0, time.UTC)

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func title(n int) bijou.Title {
	return bijou.Title{
		ID: bijou.TitleID(fmt.Sprintf("ttl_%d", n)), Kind: bijou.Film, State: bijou.Draft, Name: fmt.Sprint("Film ", n), Added: noon,
		Synopsis: strings.Repeat(fmt.Sprint(n, " "), 500),
	}
}

func work(n int) bijou.Work {
	return bijou.Work{
		ID: bijou.JobID(fmt.Sprintf("job_%d", n)), Title: bijou.TitleID(fmt.Sprintf("ttl_%d", n/3)), Asset: "ast_1", Step: fmt.Sprint(n), Version: 1,
	}
}

func TestATitleThatWasPutOutlivesAKill(t *testing.T) {
	contract.Kill(t, 4, func(t *testing.T, dir string, ack func(string)) {
		c := opened(t, OpenCatalog, filepath.Join(dir, "catalog.db"))
		for n := 0; ; n++ {
			if _, err := c.Title(t.Context(), title(n).ID); errors.Is(err, bijou.NotFound) {
				check(t, "put title", c.PutTitle(t.Context(), title(n)))
				ack(fmt.Sprint(n))
			}
		}
	}, func(t *testing.T, dir string, acked []string) {
		c := opened(t, OpenCatalog, filepath.Join(dir, "catalog.db"))
		defer c.Close()
		for _, n := range contract.Numbered(t, acked) {
			got, err := c.Title(t.Context(), title(n).ID)
			if err != nil || got.Synopsis != title(n).Synopsis {
				t.Errorf("acknowledged title %d: got %d bytes of synopsis and error %v, want it whole", n, len(got.Synopsis), err)
			}
		}
	})
}

// viewer is the profile that positions belong to.
var viewer = bijou.Profile{ID: "prf_1", Account: "acc_1", Name: "Ada", Created: noon}

func TestAPositionThatWasSavedOutlivesAKill(t *testing.T) {
	contract.Kill(t, 4, func(t *testing.T, dir string, ack func(string)) {
		m := opened(t, OpenMembers, filepath.Join(dir, "members.db"))
		if err := m.CreateProfile(t.Context(), viewer); err != nil && !errors.Is(err, bijou.Conflict) {
			t.Fatal(err)
		}
		p, err := m.Position(t.Context(), "prf_1", "ttl_1")
		if err != nil && !errors.Is(err, bijou.NotFound) {
			t.Fatal(err)
		}
		for seq := p.Seq + 1; ; seq++ {
			check(t, "save", m.SavePosition(t.Context(), bijou.Position{Profile: "prf_1", Title: "ttl_1", Session: "ply_1", Seq: seq, PositionMS: seq * 10, At: noon}))
			ack(fmt.Sprint(seq))
		}
	}, func(t *testing.T, dir string, acked []string) {
		m := opened(t, OpenMembers, filepath.Join(dir, "members.db"))
		defer m.Close()
		ns := contract.Numbered(t, acked)
		last := int64(ns[len(ns)-1])
		p, err := m.Position(t.Context(), "prf_1", "ttl_1")
		// One more may have been on its way when the kill came.
		if err != nil || p.Seq < last || p.Seq > last+1 || p.PositionMS != p.Seq*10 {
			t.Errorf("position: got %+v (%v), want report %d or the one after it", p, err, last)
		}
	})
}

func TestWorkThatWasEnqueuedOutlivesAKillAllOrNone(t *testing.T) {
	contract.Kill(t, 4, func(t *testing.T, dir string, ack func(string)) {
		s := opened(t, OpenStudio, filepath.Join(dir, "studio.db"))
		for n := 0; ; n++ {
			ws, err := s.WorkOf(t.Context(), work(3*n).Title)
			check(t, "work of", err)
			if len(ws) == 0 {
				check(t, "enqueue", s.Enqueue(t.Context(), []bijou.Work{work(3 * n), work(3*n + 1), work(3*n + 2)}))
				ack(fmt.Sprint(n))
			}
		}
	}, func(t *testing.T, dir string, acked []string) {
		s := opened(t, OpenStudio, filepath.Join(dir, "studio.db"))
		defer s.Close()
		ns := contract.Numbered(t, acked)
		for n := range ns[len(ns)-1] + 2 {
			ws, err := s.WorkOf(t.Context(), work(3*n).Title)
			if err != nil || len(ws) != 3 && !(len(ws) == 0 && n > ns[len(ns)-1]) {
				t.Errorf("title %d has %d pieces of work (%v), want 3, or none where they were not acknowledged", n, len(ws), err)
			}
		}
	})
}

// each opens one of the stores.
var each = map[string]func(context.Context, string) (io.Closer, error){
	"members": func(ctx context.Context, p string) (io.Closer, error) { return OpenMembers(ctx, p) },
	"catalog": func(ctx context.Context, p string) (io.Closer, error) { return OpenCatalog(ctx, p) },
	"studio":  func(ctx context.Context, p string) (io.Closer, error) { return OpenStudio(ctx, p) },

	"operators": func(ctx context.Context, p string) (io.Closer, error) { return OpenOperators(ctx, p) },
}

// wantRefused fails the test where the file is opened, or refused without its name and this kind.
func wantRefused(t *testing.T, what, path string, want bijou.Kind) {
	t.Helper()
	for name, open := range each {
		_, err := open(t.Context(), path)
		if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("%s opens %s: got error %v, want one of kind %q that names %s", name, what, err, want, path)
		}
	}
}

func TestAFileThatIsNoDatabaseIsCorrupt(t *testing.T) {
	path := newFile(t)
	check(t, "write", os.WriteFile(path, []byte(strings.Repeat("this is a letter, not a database. ", 300)), 0o600))
	wantRefused(t, "a letter", path, bijou.Corrupt)
}

func TestAFileInAFolderThatIsNotThereIsRefusedInWords(t *testing.T) {
	wantRefused(t, "a file in no folder", filepath.Join(t.TempDir(), "none", "store.db"), bijou.Unavailable)
}

func TestAFolderInPlaceOfTheFileIsRefusedInWords(t *testing.T) {
	path := newFile(t)
	check(t, "make folder", os.Mkdir(path, 0o700))
	wantRefused(t, "a folder", path, bijou.Unavailable)
}

// No kill shows what a power cut would do: that rests on these settings (sqlite.org/pragma.html#pragma_synchronous).
func TestEachCommitIsFlushedToDisk(t *testing.T) {
	m := opened(t, OpenMembers, newFile(t))
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		check(t, pragma, m.d.write.QueryRow("PRAGMA "+pragma).Scan(&got))
		if got != want {
			t.Errorf("PRAGMA %s of the writer: got %s, want %s", pragma, got, want)
		}
	}
}

func TestAFileOfANewerVersionIsRefused(t *testing.T) {
	for name, open := range each {
		path := newFile(t)
		s, err := open(t.Context(), path)
		check(t, "open", err)
		check(t, "close", s.Close())
		d := &db{path: path, prepared: map[statement]*sql.Stmt{}}
		check(t, "connect", d.connect(""))
		_, err = d.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		check(t, "note a newer version", err)
		check(t, "close", d.close())
		if _, err := open(t.Context(), path); !errors.Is(err, bijou.Unsupported) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("%s opens version 9999: got error %v, want one of kind %q that names %s", name, err, bijou.Unsupported, path)
		}
	}
}

func TestACatalogOfTheFirstVersionIsReadAndSearched(t *testing.T) {
	path := newFile(t)
	c, err := OpenCatalog(t.Context(), path)
	check(t, "open", err)
	for n := range 3 {
		title := bijou.Title{ID: bijou.TitleID(fmt.Sprint("ttl_", n)), Kind: bijou.Film, Name: fmt.Sprint("Älpha ", n), State: bijou.Draft, Added: noon, Updated: noon}
		check(t, "put", c.PutTitle(t.Context(), title))
	}
	for _, back := range []string{`DROP TABLE words`, `DELETE FROM goose_db_version WHERE version_id > 1`} {
		_, err := c.d.write.Exec(back)
		check(t, back, err)
	}
	check(t, "close", c.Close())
	reader := opened(t, ReadCatalog, path)
	if got, err := reader.Titles(t.Context(), bijou.TitleQuery{Limit: 9}); err != nil || len(got.Titles) != 3 {
		t.Errorf("read as it is: got %+v, %v, want 3 titles", got, err)
	}
	c = opened(t, OpenCatalog, path)
	if got, err := c.Titles(t.Context(), bijou.TitleQuery{Words: "alpha", Limit: 9}); err != nil || len(got.Titles) != 3 {
		t.Errorf("searched once it is opened: got %+v, %v, want 3 titles", got, err)
	}
}

func TestACatalogIsReadBesideItsOwnerAndIsNotChanged(t *testing.T) {
	path := newFile(t)
	if _, err := ReadCatalog(t.Context(), path); !errors.Is(err, bijou.Unavailable) {
		t.Errorf("read a file that is not there: got error %v, want one of kind %q", err, bijou.Unavailable)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
		t.Errorf("files after that: got %q, %v, want none", left, err)
	}
	owner := opened(t, OpenCatalog, path)
	title := bijou.Title{ID: "ttl_1", Kind: bijou.Film, Name: "Alpha", State: bijou.Draft, Added: noon, Updated: noon}
	check(t, "put", owner.PutTitle(t.Context(), title))
	reader := opened(t, ReadCatalog, path)
	title.Name = "Beta"
	check(t, "put while it is read", owner.PutTitle(t.Context(), title))
	if got, err := reader.Title(t.Context(), "ttl_1"); err != nil || got.Name != "Beta" {
		t.Errorf("the reader sees %q, %v, want what was put last, Beta", got.Name, err)
	}
	if err := reader.RemoveTitle(t.Context(), "ttl_1"); err == nil {
		t.Error("the reader removes a title, want it refused")
	}
}

func TestTheFileIsReadableByItsOwnerAlone(t *testing.T) {
	path := newFile(t)
	m := opened(t, OpenMembers, path)
	check(t, "create account", m.CreateAccount(t.Context(), bijou.Account{ID: "acc_1", Email: "ada@example.org", Created: noon}, "hash"))
	files, err := filepath.Glob(path + "*")
	check(t, "glob", err)
	for _, f := range files {
		info, err := os.Stat(f)
		check(t, "stat", err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", f, info.Mode().Perm())
		}
	}
}

func TestAnEndedContextIsReturnedAsSuch(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m := opened(t, OpenMembers, newFile(t))
	c := opened(t, OpenCatalog, newFile(t))
	s := opened(t, OpenStudio, newFile(t))
	_, session := m.Session(ended, "t", noon)
	_, positions := m.Positions(ended, "prf_1", 10)
	_, titles := c.Titles(ended, bijou.TitleQuery{Limit: 1})
	_, lease := s.Lease(ended, "ada", time.Minute, noon)
	for what, err := range map[string]error{
		"session": session, "positions": positions, "titles": titles, "lease": lease,
		"put": c.PutTitle(ended, title(1)), "save": m.SavePosition(ended, bijou.Position{Profile: "p", Title: "t", At: noon}),
		"enqueue": s.Enqueue(ended, []bijou.Work{work(1)}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: got error %v, want context.Canceled", what, err)
		}
	}
}

func TestTimesFinerThanAMicrosecondDoNotMakeAnOldReportNewer(t *testing.T) {
	m := opened(t, OpenMembers, newFile(t))
	check(t, "create profile", m.CreateProfile(t.Context(), viewer))
	at := noon.Add(500 * time.Nanosecond)
	first := bijou.Position{Profile: "prf_1", Title: "ttl_1", Session: "ply_1", Seq: 1, PositionMS: 1, At: at}
	second := first
	second.Session, second.PositionMS = "ply_2", 2 // another viewing's, taken in at the same moment
	check(t, "save", m.SavePosition(t.Context(), first))
	check(t, "save", m.SavePosition(t.Context(), second))
	got, err := m.Position(t.Context(), "prf_1", "ttl_1")
	check(t, "position", err)
	if got.PositionMS != 1 {
		t.Errorf("position after two of one moment: got %+v, want the first", got)
	}
}

const limitVariable = "BIJOU_TEST_FILE_LIMIT_DIR"

// The kernel's bound on a file's size (setrlimit(2)) ends a write in its middle as a full disk does, for every user and without a mount.
func TestWhenSpaceEndsWhatWasThereStays(t *testing.T) {
	dir := os.Getenv(limitVariable)
	if dir == "" {
		dir = t.TempDir()
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		again.Env = append(os.Environ(), limitVariable+"="+dir)
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("in a process with a bound on file sizes: %v\n%s", err, out)
		}
		c := opened(t, OpenCatalog, filepath.Join(dir, "catalog.db"))
		page, err := c.Titles(t.Context(), bijou.TitleQuery{Limit: 500})
		check(t, "titles after space was given", err)
		if len(page.Titles) == 0 {
			t.Errorf("titles after space was given: got none")
		}
		check(t, "put a title after space was given", c.PutTitle(t.Context(), title(9999)))
		return
	}
	c := opened(t, OpenCatalog, filepath.Join(dir, "catalog.db"))
	check(t, "put", c.PutTitle(t.Context(), title(0)))
	const bound = 300 << 10
	check(t, "set the bound", syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bound, Max: bound}))
	kept, refused := 1, 0
	for n := 1; n < 2000 && refused < 5; n++ {
		err := c.PutTitle(t.Context(), title(n))
		switch kind := bijou.KindOf(err); {
		case err == nil:
			kept++
		case kind == bijou.Exhausted || kind == bijou.Unavailable: // SQLite tells EFBIG as an I/O error
			refused++
		default:
			t.Fatalf("put beyond the bound: got error %v, want one of kind %q or %q", err, bijou.Exhausted, bijou.Unavailable)
		}
	}
	page, err := c.Titles(t.Context(), bijou.TitleQuery{Limit: 500})
	check(t, "titles", err)
	if refused == 0 || len(page.Titles) != kept {
		t.Errorf("beyond the bound: %d puts were refused and %d titles are there, want some and %d", refused, len(page.Titles), kept)
	}
}
