package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bijou"
)

// format is the version of the data directory's layout; each room's data carries a version of its own beside it.
const format = "1"

// dataDir is a data directory that this process holds: no other process writes there until it is closed.
type dataDir struct {
	path string
	lock *os.File
	// fresh tells that the directory was empty before: the library is to begin with the bundled films.
	fresh bool
}

// holder is what the lock file says of the process that holds the directory.
type holder struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // such as holderUp
	Address string `json:"address"` // http://host:port, while it listens
}

// Commands that hold the directory: the service, and those that work on the directory itself and soon end.
const (
	holderUp      = "up"
	holderTitle   = "title"
	holderUser    = "user"
	holderBackup  = "backup"
	holderRestore = "restore"
)

func (d *dataDir) file(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// openDataDir makes the directory where it is missing and locks it. It fails with Conflict, naming the holder, where another process has it,
// with Unavailable where it cannot be written, and with Unsupported where a newer version wrote it.
func openDataDir(path, command string) (*dataDir, error) {
	d := &dataDir{path: path}
	for _, sub := range []string{"", "keys", "sqlite", "scratch"} {
		if err := os.MkdirAll(d.file(sub), 0o700); err != nil {
			return nil, cannotWrite(path, err)
		}
	}
	lock, err := os.OpenFile(d.file("LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cannotWrite(path, err)
	}
	if !take(lock) {
		lock.Close()
		return nil, heldBy(path)
	}
	d.lock = lock
	if err := d.say(holder{PID: os.Getpid(), Command: command}); err != nil {
		d.close()
		return nil, cannotWrite(path, err)
	}
	if err := d.checkFormat(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// Whoever only looks whether the directory is held has its lock for a moment, so that it is tried for a little while.
const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// take locks the file for this process alone, or tells that another has it.
func take(lock *os.File) bool {
	for try := range lockTries {
		if try > 0 {
			time.Sleep(lockPause)
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return true
		}
	}
	return false
}

// say writes into the lock file who holds the directory. The file is never replaced, since the lock hangs on it.
func (d *dataDir) say(h holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err = d.lock.WriteAt(append(b, '\n'), 0)
	return err
}

func (d *dataDir) checkFormat() (err error) {
	d.fresh, err = isFresh(d.path)
	return err
}

// isFresh tells whether the directory holds no library yet, or does not exist. It fails with Unavailable where that cannot be told, and with
// Unsupported where a newer version wrote it.
func isFresh(path string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(path, "format"))
	switch got := strings.TrimSpace(string(b)); {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, cannotWrite(path, err)
	case got != format:
		return false, fmt.Errorf("data directory %s has format %q and this program knows %s: use the newer program that wrote it: %w", path, got, format, bijou.Unsupported)
	}
	return false, nil
}

// mustHold fails with NotFound where the directory holds no library, and makes nothing: a name that was mistyped is no new library.
func mustHold(path string) error {
	fresh, err := isFresh(path)
	if err != nil || !fresh {
		return err
	}
	if _, held := heldNow(path); held { // which is about to make one
		return heldBy(path)
	}
	return fmt.Errorf("no library at %s: name its directory with --data-dir, or begin one there with bijou up or bijou title add: %w", path, bijou.NotFound)
}

// settled notes that the directory holds a whole library: what happens once has happened.
func (d *dataDir) settled() error {
	if !d.fresh {
		return nil
	}
	if err := os.WriteFile(d.file("format"), []byte(format+"\n"), 0o600); err != nil {
		return cannotWrite(d.path, err)
	}
	d.fresh = false
	return nil
}

func (d *dataDir) close() {
	// Empty first: whoever reads it after a clean stop finds nobody.
	_ = d.lock.Truncate(0) // the lock itself tells the truth anyway
	d.lock.Close()
}

// heldBy returns the sentence that says who has the directory.
func heldBy(path string) error {
	h, ok := readHolder(path)
	who, fix := "another process", "stop that one"
	if ok {
		who = fmt.Sprintf("bijou %s (process %d)", h.Command, h.PID)
		if h.Address != "" {
			who += ", which listens at " + h.Address
		}
		if h.Command != holderUp {
			fix = "wait until that one has ended"
		}
	}
	return fmt.Errorf("data directory %s is held by %s: %s, or choose another directory with --data-dir: %w", path, who, fix, bijou.Conflict)
}

// heldNow returns who holds the directory at this moment. What a killed process left in the file is no holder: its address may be that of
// another program by now.
func heldNow(path string) (holder, bool) {
	lock, err := os.Open(filepath.Join(path, "LOCK"))
	if err != nil {
		return holder{}, false
	}
	defer lock.Close() // which also unlocks it
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return holder{}, false
	}
	return readHolder(path)
}

// readHolder returns who holds the directory or held it last.
func readHolder(path string) (holder, bool) {
	var h holder
	b, err := os.ReadFile(filepath.Join(path, "LOCK"))
	if err != nil || json.Unmarshal(b, &h) != nil || h.PID == 0 {
		return holder{}, false
	}
	return h, true
}

func cannotWrite(path string, err error) error {
	fix := "choose another with --data-dir"
	kind := bijou.Unavailable
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		fix = "give this user the right to write there, or choose another with --data-dir"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fix, kind = "free space there, or choose another with --data-dir", bijou.Exhausted
	}
	return fmt.Errorf("data directory %s cannot be used (%v): %s: %w", path, rootCause(err), fix, kind)
}

// rootCause leaves the path out of a file error, since the sentence names it.
func rootCause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
