package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"bijou"
	"bijou/kit/conf"
	"bijou/kit/watch"
)

// Finding is what Doctor says of one thing.
type Finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, warning or failure
	Says  string `json:"says"`
	Fix   string `json:"fix,omitempty"`
}

// The states of a finding.
const (
	FindingOK      = "ok"
	FindingWarning = "warning" // it works, and may not for long
	FindingFailure = "failure" // something will not work
)

const (
	// lowSpace is the free space below which a film of ordinary length may not fit, in bytes.
	lowSpace = 5 << 30
	// fewFiles is the number of open files below which a few hundred viewers may use all.
	fewFiles = 4096
)

// Doctor looks at what the service needs on this machine and in the data directory, changes nothing there, and names a fix for each thing that is wrong.
func Doctor(ctx context.Context, c Config) []Finding {
	found := films(ctx, c)
	found = append(found, checkDataDir(c), checkSpace(c), checkAddress(ctx, c), checkStores(ctx, c), checkAdministrator(ctx, c), checkOpenFiles(), checkBackup(c, time.Now()))
	found = append(found, checkServers(ctx, c)...)
	return append(found, checkInbox(ctx, c)...)
}

func films(ctx context.Context, c Config) []Finding {
	v, err := filmTool(c).Versions(ctx)
	if err != nil {
		return []Finding{{"film tools", FindingFailure, bijou.Sentence(err), "apt-get install ffmpeg, or set ffmpeg.ffmpeg and ffmpeg.ffprobe"}}
	}
	out := []Finding{
		{"ffmpeg", FindingOK, fmt.Sprintf("version %s at %s", v.FFmpeg.Version, v.FFmpeg.Path), ""},
		{"ffprobe", FindingOK, fmt.Sprintf("version %s at %s", v.FFprobe.Version, v.FFprobe.Path), ""},
	}
	if len(v.Missing) > 0 {
		out = append(out, Finding{"encoders", FindingFailure, fmt.Sprintf("%s was built without %s", v.FFmpeg.Path, strings.Join(v.Missing, " and ")), "apt-get install ffmpeg, and name that one in ffmpeg.ffmpeg"})
	} else {
		out = append(out, Finding{"encoders", FindingOK, "libx264 and aac are there", ""})
	}
	return out
}

func checkDataDir(c Config) Finding {
	const name = "data directory"
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Finding{name, FindingOK, c.DataDir + " does not exist yet: the first start makes it", ""}
	case err != nil:
		return Finding{name, FindingFailure, fmt.Sprintf("%s cannot be read (%v)", c.DataDir, rootCause(err)), "give this user the right to it, or choose another with --data-dir"}
	case !info.IsDir():
		return Finding{name, FindingFailure, c.DataDir + " is a file", "choose a directory with --data-dir"}
	}
	f, err := os.CreateTemp(c.DataDir, ".doctor-*")
	if err != nil {
		return Finding{name, FindingFailure, fmt.Sprintf("%s cannot be written (%v)", c.DataDir, rootCause(err)), "give this user the right to write there, or choose another with --data-dir"}
	}
	defer os.Remove(f.Name()) // if that fails the next line does too, and says so
	if err := f.Close(); err != nil {
		return Finding{name, FindingFailure, fmt.Sprintf("%s cannot be written (%v)", c.DataDir, rootCause(err)), "look at the system's log: the disk may be broken"}
	}
	if h, ok := heldNow(c.DataDir); ok {
		return Finding{name, FindingOK, fmt.Sprintf("%s, in use by bijou %s (process %d)", c.DataDir, h.Command, h.PID), ""}
	}
	return Finding{name, FindingOK, c.DataDir, ""}
}

func checkSpace(c Config) Finding {
	dir := c.DataDir
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, err := freeSpace(dir)
	if err != nil {
		return Finding{"free space", FindingWarning, fmt.Sprintf("cannot be told for %s (%v)", dir, err), "look with df"}
	}
	says := fmt.Sprintf("%.1f GB free below %s", float64(free)/1e9, dir)
	if free < lowSpace {
		return Finding{"free space", FindingWarning, says, "a film takes about its own size twice while it is made: free space, or choose another disk with --data-dir"}
	}
	return Finding{"free space", FindingOK, says, ""}
}

// freeSpace returns how many bytes the directory's disk still takes from this user.
func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func checkAddress(ctx context.Context, c Config) Finding {
	if h, ok := runs(ctx, c); ok {
		return Finding{"address", FindingOK, "the service answers at " + h.Address, ""}
	}
	l, err := listen(c.Listen)
	if err != nil {
		return Finding{"address", FindingFailure, bijou.Sentence(err), "choose another with --listen, such as 127.0.0.1:0 for any free one"}
	}
	l.Close()
	if c.exposed() {
		return Finding{"address", FindingWarning, c.Listen + " is free, and reached from other machines without encryption", "put a proxy with TLS in front, and listen at 127.0.0.1"}
	}
	return Finding{"address", FindingOK, c.Listen + " is free", ""}
}

// checkStores asks the running service whether its stores answer.
func checkStores(ctx context.Context, c Config) Finding {
	const name = "stores"
	h, ok := runs(ctx, c)
	if !ok {
		return Finding{name, FindingOK, "no service runs that would ask them", ""}
	}
	parts, err := partsOf(ctx, h.Address)
	if err != nil {
		return Finding{name, FindingWarning, fmt.Sprintf("cannot be told (%v)", rootCause(err)), "run bijou doctor again once the service answers"}
	}
	return storesOf(name, parts)
}

// storesOf reads from the service's parts, one a line, which stores do not answer. The servers that keep them have lines too, and findings of their own.
func storesOf(name, parts string) Finding {
	answer, away := 0, []string{}
	for line := range strings.Lines(parts) {
		part, state, _ := strings.Cut(strings.TrimSpace(line), ": ")
		store, ok := strings.CutPrefix(part, watch.StorePart)
		switch {
		case ok && strings.HasPrefix(state, watch.StoreAway):
			away = append(away, store+" is "+state)
		case ok && strings.HasPrefix(state, watch.StoreAnswers):
			answer++
		}
	}
	if len(away) > 0 {
		return Finding{name, FindingFailure, strings.Join(away, "; "), "see that the disk or the server which keeps each is well: the service's log says what fails"}
	}
	return Finding{name, FindingOK, fmt.Sprintf("%d were asked, and each answers", answer), ""}
}

// exposed tells whether the service is reached from other machines.
func (c Config) exposed() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "" || ip != nil && !ip.IsLoopback())
}

func checkAdministrator(ctx context.Context, c Config) Finding {
	const name = "administrator"
	if _, err := os.Stat(c.DataDir); errors.Is(err, os.ErrNotExist) && !c.exposed() {
		return Finding{name, FindingOK, "none yet: the first start prints an address for the first one", ""}
	}
	n, err := administrators(ctx, c)
	exposed := ""
	if c.exposed() {
		exposed = ", and other machines reach the service"
	}
	switch {
	case err != nil:
		return Finding{name, FindingWarning, fmt.Sprintf("cannot be told (%s)", bijou.Sentence(err)), "run bijou doctor again once that is mended"}
	case n == 0:
		return Finding{name, FindingWarning, "there is none yet" + exposed, "open the address that bijou up prints when it starts, or bijou user add NAME --role administrator"}
	}
	return Finding{name, FindingOK, fmt.Sprintf("%d, seen with bijou user list", n), ""}
}

// administrators counts the administrators of the data directory, without making one.
func administrators(ctx context.Context, c Config) (n int, err error) {
	if _, err := os.Stat(filepath.Join(c.DataDir, "sqlite", "operators.db")); err != nil && c.Stores.Operators == "" {
		return 0, nil // what is wrong with the directory is another finding
	}
	u, err := OpenUsers(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer u.Close()
	all, err := u.List(ctx)
	for _, o := range all.Operators {
		if o.Role == bijou.RoleAdministrator {
			n++
		}
	}
	return n, err
}

// checkServers asks each server that keeps a store, all at once: one that is away takes its time to say so.
func checkServers(ctx context.Context, c Config) []Finding {
	var at []string // addresses, each once
	names := map[string][]string{}
	ask := map[string]storeAt{}
	for _, k := range c.Stores.all() {
		if k.address == "" {
			continue
		}
		if names[k.address] == nil {
			at, ask[k.address] = append(at, k.address), k
		}
		names[k.address] = append(names[k.address], k.store)
	}
	found := make([]Finding, len(at))
	var all sync.WaitGroup
	for i, address := range at {
		all.Go(func() {
			found[i] = checkServer(ctx, c, ask[address])
			found[i].Check = "store " + strings.Join(names[address], ", ")
		})
	}
	all.Wait()
	return found
}

func checkServer(ctx context.Context, c Config, k storeAt) Finding {
	address := conf.HidePassword(k.address)
	e, err := k.engine(c)
	if err != nil {
		return Finding{State: FindingFailure, Says: bijou.Sentence(err), Fix: "correct stores." + k.store}
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := e.Version(ctx)
	if err == nil {
		err = e.Check(ctx)
	}
	if err != nil {
		return Finding{State: FindingFailure, Says: fmt.Sprintf("%s: %s", address, bijou.Sentence(err)), Fix: "start that server, or correct stores." + k.store + "; the service runs without it, and says what does not work"}
	}
	return Finding{State: FindingOK, Says: fmt.Sprintf("%s at %s", version, address)}
}

func checkOpenFiles() Finding {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return Finding{"open files", FindingWarning, fmt.Sprintf("the limit cannot be told (%v)", err), "look with ulimit -n"}
	}
	// The Go runtime raises the soft limit to the hard one when the program starts.
	says := fmt.Sprintf("at most %d", lim.Max)
	if lim.Max < fewFiles {
		return Finding{"open files", FindingWarning, says, "raise the hard limit (LimitNOFILE= of a systemd unit, or /etc/security/limits.conf)"}
	}
	return Finding{"open files", FindingOK, says, ""}
}
