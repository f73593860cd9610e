// Package outbox keeps e-mail as files: for a service that has no mail server, whose operator hands links on by other means.
package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bijou"
)

// Keep is how many messages stay; the oldest go as new ones come.
const Keep = 1000

// Outbox implements bijou.Mailer: each message is a file in a folder, readable by its owner alone.
type Outbox struct {
	folder string
	mu     sync.Mutex // of the folder: one message at a time
}

// New returns the outbox in the folder, which is made when the first message comes.
func New(folder string) *Outbox { return &Outbox{folder: folder} }

// suffix ends the names of messages, which mail programs open.
const suffix = ".eml"

// Send implements bijou.Mailer.
func (o *Outbox) Send(ctx context.Context, m bijou.Message) error {
	if err := errors.Join(ctx.Err(), m.Check()); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := os.MkdirAll(o.folder, 0o700); err != nil {
		return o.failure(err)
	}
	// Names order as times do; what follows keeps two messages of one moment apart.
	name := m.At.UTC().Format("20060102T150405.000000Z") + "-" + bijou.NewID[string]("") + suffix
	if err := o.write(name, format(m)); err != nil {
		return o.failure(err)
	}
	return o.tidy()
}

// write puts a file into the folder, whole or not at all, and on disk.
func (o *Outbox) write(name string, content []byte) error {
	part := filepath.Join(o.folder, name+".part")
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, filepath.Join(o.folder, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	d, err := os.Open(o.folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tidy removes what is beyond Keep, and what a kill left half written.
func (o *Outbox) tidy() error {
	entries, err := os.ReadDir(o.folder) // in the order of their names
	if err != nil {
		return o.failure(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	gone := names[:max(0, len(names)-Keep)]
	for _, e := range entries {
		if slices.Contains(gone, e.Name()) || strings.HasSuffix(e.Name(), suffix+".part") {
			if err := os.Remove(filepath.Join(o.folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return o.failure(err)
			}
		}
	}
	return nil
}

// format writes the message as RFC 5322 has it. The text stays as it is (8bit), so that a person can read a link out of it.
func format(m bijou.Message) []byte {
	var b bytes.Buffer
	for _, field := range [][2]string{
		{"From", m.From}, {"To", m.To}, {"Subject", mime.QEncoding.Encode("utf-8", m.Subject)}, {"Date", m.At.Format(time.RFC1123Z)},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "8bit"},
	} {
		b.WriteString(field[0] + ": " + field[1] + "\r\n")
	}
	b.WriteString("\r\n" + strings.ReplaceAll(strings.ReplaceAll(m.Text, "\r\n", "\n"), "\n", "\r\n"))
	return b.Bytes()
}

func (o *Outbox) failure(err error) error {
	kind, fix := bijou.Unavailable, "give this user the right to write there"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		kind, fix = bijou.Exhausted, "free space on that disk"
	}
	return fmt.Errorf("outbox %s cannot be written (%w): %s: %w", o.folder, err, fix, kind)
}
