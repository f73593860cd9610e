package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/logfile"
	"bijou/engine/sqlite"
	"bijou/kit/watch"
	"bijou/service/recovery"
)

// A backup holds every entry of the data directory but LOCK, scratch/, the appliances' copies and the note of the last backup; a test compares. A new
// store comes in here: as a database, by a snapshot of its own, or as files that are written whole.
//
// The order makes it one moment. The log comes first: what groups have committed of it, then its records, so that no group has committed a record
// which is not there; the profiles' positions, which are made of the log and committed after, are newer than what was committed, and a record that
// is read again changes nothing. Then everything stands still: blobs neither come nor go, and each SQLite file's only writer is held until all of
// them have a view of that moment. So a published title has its files, a step of work that is done has made its files, and a film in the making
// has its source and goes on where it is restored. What was acknowledged before is in it. Then nobody waits any more: the log's segments are open, blobs
// have second names, and the databases are copied by their views.

// wholeFiles are entries whose files are written whole, and may be of a moment each.
var wholeFiles = []string{"format", "operator.token", "keys", "outbox"}

// snapshot returns the whole site as it is at one moment. What servers elsewhere keep is not in it.
func (p *process) snapshot(ctx context.Context) (_ recovery.Files, err error) {
	var site recovery.All
	defer func() {
		if err != nil {
			err = errors.Join(err, site.Close())
		}
	}()
	own := p.stores.own
	if own.facts != nil {
		facts, err := own.facts.Snapshot()
		if err != nil {
			return nil, err
		}
		site = append(site, logFiles{facts})
	}
	var databases *sqlite.Snapshot
	pin := func() (err error) {
		databases, err = sqlite.Pin(ctx, own.databases...)
		return err
	}
	if own.blobs != nil {
		var blobs *directory.Snapshot
		if blobs, err = own.blobs.Snapshot(ctx, pin); err == nil {
			site = append(site, blobFiles{blobs})
		}
	} else {
		err = pin()
	}
	if databases != nil {
		defer databases.Close() // their copies are made by then; what fails here has no one to be told
	}
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(p.data.file("scratch"), "backup-*")
	if err != nil {
		return nil, cannotWrite(p.data.path, err)
	}
	site = append(site, scratchFiles(folder))
	if err := databases.Copy(ctx, folder); err != nil {
		return nil, err
	}
	for _, name := range wholeFiles {
		site = append(site, recovery.Folder{Dir: p.data.path, Name: name})
	}
	for i := range p.config.Appliances {
		site = append(site, recovery.Folder{Dir: p.data.path, Name: path.Join("appliances", strconv.Itoa(i+1), "identity.json")})
	}
	return site, nil
}

// logFiles is the log in a backup.
type logFiles struct{ *logfile.Snapshot }

// Each implements recovery.Files.
func (l logFiles) Each(_ context.Context, visit func(recovery.File) error) error {
	for _, f := range l.Files() {
		err := visit(recovery.File{Name: path.Join("log", f.Name), Size: f.Size, Modified: f.Modified, Content: io.NewSectionReader(f.Content, 0, f.Size)})
		if err != nil {
			return err
		}
	}
	return nil
}

// scratchFiles is a folder with copies of the databases.
type scratchFiles string

// Each implements recovery.Files.
func (s scratchFiles) Each(_ context.Context, visit func(recovery.File) error) error {
	entries, err := os.ReadDir(string(s))
	if err != nil {
		return cannotWrite(string(s), err)
	}
	for _, e := range entries {
		if err := recovery.VisitFile(filepath.Join(string(s), e.Name()), path.Join("sqlite", e.Name()), -1, visit); err != nil {
			return err
		}
	}
	return nil
}

// Close implements recovery.Files.
func (s scratchFiles) Close() error {
	if err := os.RemoveAll(string(s)); err != nil {
		return cannotWrite(string(s), err)
	}
	return nil
}

// blobFiles is the blobs in a backup.
type blobFiles struct{ *directory.Snapshot }

// Each implements recovery.Files.
func (b blobFiles) Each(ctx context.Context, visit func(recovery.File) error) error {
	return b.Snapshot.Each(ctx, func(blob bijou.Blob, file string) error {
		return recovery.VisitFile(file, "blobs/"+blob.Key, blob.Size, visit)
	})
}

// recovery is the room of backups.
func (p *process) recovery() *recovery.Service {
	return recovery.New(recovery.Deps{
		Snapshot: p.snapshot, Scratch: p.data.file("scratch"),
		Head: func() recovery.Head {
			return recovery.Head{Format: recovery.Format, Data: format, Version: p.build.Version, Commit: p.build.Commit, Made: time.Now().UTC(), Elsewhere: p.stores.elsewhere()}
		},
	})
}

// Backup writes a backup of the data directory to the writer: by the service that runs on it, or else by itself.
func Backup(ctx context.Context, c Config, b Build, log *slog.Logger, to io.Writer) error {
	if h, ok := runs(ctx, c); ok {
		client, err := operatorClient(c, h)
		if err != nil {
			return err
		}
		defer client.Close()
		return recovery.NewClient(client).Backup(ctx, to)
	}
	if err := mustHold(c.DataDir); err != nil {
		return err
	}
	data, err := openDataDir(c.DataDir, holderBackup)
	if err != nil {
		return err
	}
	defer data.close()
	s, err := openStores(ctx, c, data)
	if err != nil {
		return err
	}
	defer s.close()
	p := &process{config: c, data: data, stores: s, log: log, metrics: watch.NewMetrics("", ""), build: b}
	client, leave := within(p.libraryRooms().operators.Audit, log, p.recovery().Routes()...)
	defer leave()
	return recovery.NewClient(client).Backup(ctx, to)
}

// prove opens a data directory that was restored and reads all that it holds.
func prove(ctx context.Context, dir string) (proof recovery.Proof, err error) {
	data, err := openDataDir(dir, holderRestore)
	if err != nil {
		return proof, err
	}
	defer data.close()
	if data.fresh {
		return proof, fmt.Errorf("it holds no site: %w", bijou.Corrupt)
	}
	s, err := openStores(ctx, Config{}, data) // without bounds of the log: nothing is removed here
	if err != nil {
		return proof, err
	}
	defer s.close()
	if err := sqlite.Check(ctx, s.own.databases...); err != nil {
		return proof, err
	}
	audit, err := s.operators.VerifyActions(ctx)
	if err == nil && audit.Altered > 0 {
		err = fmt.Errorf("the audit log was altered: line %d is not what was written there: %w", audit.Altered, bijou.Corrupt)
	}
	if err != nil {
		return proof, err
	}
	if proof.Titles, proof.Files, err = recovery.CheckTitles(ctx, s.titles, s.blobs); err != nil {
		return proof, err
	}
	proof.Records, err = s.own.facts.Check(ctx)
	return proof, err
}

// Verify restores a backup into a folder of its own below scratch, proves it, and removes it.
func Verify(ctx context.Context, from io.Reader, scratch string) (recovery.Verified, error) {
	return recovery.Verify(ctx, from, scratch, prove)
}

// Restore makes the data directory of a backup.
func Restore(ctx context.Context, from io.Reader, dir string) (recovery.Verified, error) {
	return recovery.Restore(ctx, from, dir, prove)
}

// backupNote is the file that says when the last backup was made, for the doctor.
const backupNote = "backup.json"

// LastBackup is what is known of the backup that was made last.
type LastBackup struct {
	At    time.Time `json:"at"`
	File  string    `json:"file"` // - where it went to standard output
	Bytes int64     `json:"bytes"`
}

// NoteBackup notes that a backup was made. It comes to be as a whole.
func NoteBackup(c Config, last LastBackup) error {
	b, err := json.Marshal(last)
	if err != nil {
		return err
	}
	name := filepath.Join(c.DataDir, backupNote)
	if err = os.WriteFile(name+".new", append(b, '\n'), 0o600); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return cannotWrite(c.DataDir, err)
	}
	return nil
}

// oldBackup is the age from which on the doctor warns: who backs up each week is told when one was left out.
const oldBackup = 8 * 24 * time.Hour

func checkBackup(c Config, now time.Time) Finding {
	const name = "last backup"
	b, err := os.ReadFile(filepath.Join(c.DataDir, backupNote))
	if errors.Is(err, fs.ErrNotExist) {
		return Finding{name, FindingOK, "none was made yet: bijou backup FILE makes one", ""}
	}
	var last LastBackup
	if err == nil {
		err = json.Unmarshal(b, &last)
	}
	if err != nil {
		return Finding{name, FindingWarning, fmt.Sprintf("cannot be told (%v)", rootCause(err)), "make one with bijou backup FILE"}
	}
	says := fmt.Sprintf("%s, %s", last.At.UTC().Format("2006-01-02 15:04 MST"), last.File)
	if now.Sub(last.At) > oldBackup {
		return Finding{name, FindingWarning, fmt.Sprintf("%s, %d days ago", says, int(now.Sub(last.At).Hours()/24)), "make one with bijou backup FILE, and have it made each week"}
	}
	return Finding{name, FindingOK, says, ""}
}
