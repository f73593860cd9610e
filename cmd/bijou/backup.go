package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bijou"
	"bijou/app"
	"bijou/service/recovery"
)

// sealFlag is what commands on backups have in common.
type sealFlag struct {
	PassphraseFile string `help:"File with one line: the passphrase that the backup is encrypted with (age)." placeholder:"FILE"`
}

func (f sealFlag) passphrase() (string, error) {
	if f.PassphraseFile == "" {
		return "", nil
	}
	return recovery.Passphrase(f.PassphraseFile)
}

// dash stands for standard input or output in place of a file.
const dash = "-"

type backupCmd struct {
	sealFlag
	File string `arg:"" help:"File that is written, or - for standard output. It is secret: it holds the site's keys."`
}

// made is what a backup came to.
type made struct {
	File string `json:"file"`
	Size int64  `json:"size"` // bytes of the file
	recovery.Report
}

func (c *backupCmd) Run(s *session) error {
	config, _, err := s.config()
	if err != nil {
		return err
	}
	phrase, err := c.passphrase()
	if err != nil {
		return err
	}
	file := c.File
	if file == dash {
		size, report, err := s.backup(config, phrase, s.out)
		if err != nil {
			return s.stopped(err, "what was written is no whole backup")
		}
		fmt.Fprintf(s.err, "%d files, %s, as of %s\n%s", report.Files, bytesText(size), report.Made.Format(backupTime), notInIt(report.Head))
		return note(config, app.LastBackup{At: report.Made, File: dash, Bytes: size})
	}
	if file, err = filepath.Abs(file); err != nil {
		return fmt.Errorf("%s is no name of a file (%v): %w", c.File, cause(err), bijou.Invalid)
	}
	out, err := recovery.Create(file)
	if err != nil {
		return err
	}
	size, report, err := s.backup(config, phrase, out)
	if err != nil {
		return errors.Join(s.stopped(err, "no backup was made"), out.Discard())
	}
	if err := out.Commit(); err != nil {
		return err
	}
	if err := note(config, app.LastBackup{At: report.Made, File: file, Bytes: size}); err != nil {
		return err
	}
	return s.print(made{file, size, report}, func() error {
		_, err := fmt.Fprintf(s.out, "%s  %d files, %s, as of %s\nIt holds the site's keys: keep it as secret as they are. Prove it with: %s verify %s\n%s",
			c.File, report.Files, bytesText(size), report.Made.Format(backupTime), program(), c.File, notInIt(report.Head))
		return err
	})
}

// note notes the backup for the doctor.
func note(config app.Config, last app.LastBackup) error {
	if err := app.NoteBackup(config, last); err != nil {
		return fmt.Errorf("the backup is whole, and only that it was made cannot be noted for the doctor: %w", err)
	}
	return nil
}

// stopped returns the failure of a command, or what was left undone where it was told to stop.
func (s *session) stopped(err error, undone string) error {
	if s.ctx.Err() != nil {
		return errors.New("stopped: " + undone)
	}
	return err
}

const backupTime = "2006-01-02 15:04:05 MST"

// backup writes a backup and returns its size. What is written is read as it goes, so that it is known to be whole.
func (s *session) backup(config app.Config, phrase string, to io.Writer) (size int64, report recovery.Report, err error) {
	counted := &counter{w: to}
	sink, seal := io.Writer(counted), io.Closer(io.NopCloser(nil))
	if phrase != "" {
		sealed, err := recovery.Seal(counted, phrase)
		if err != nil {
			return 0, report, err
		}
		sink, seal = sealed, sealed
	}
	read, write := io.Pipe()
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	checked := make(chan error, 1)
	go func() {
		var err error
		report, err = recovery.Check(ctx, read)
		checked <- errors.Join(err, read.CloseWithError(err))
	}()
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
	err = app.Backup(ctx, config, build(), log, io.MultiWriter(sink, write))
	write.CloseWithError(err) // never fails
	if failed := <-checked; err == nil && failed != nil {
		err = fmt.Errorf("the backup that was written: %w", failed)
	}
	if err == nil {
		err = seal.Close()
	}
	return counted.n, report, err
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// open opens a backup, and decrypts it where it is encrypted.
func (f sealFlag) open(name string) (io.Reader, io.Closer, error) {
	phrase, err := f.passphrase()
	if err != nil {
		return nil, nil, err
	}
	file := os.Stdin
	if name != dash {
		if err := readable(name); err != nil {
			return nil, nil, err
		}
		if file, err = os.Open(name); err != nil {
			return nil, nil, fmt.Errorf("%s cannot be read (%v): %w", name, cause(err), bijou.Invalid)
		}
	}
	plain, err := recovery.Unseal(file, phrase)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("backup %s: %w", name, err), file.Close())
	}
	return plain, file, nil
}

type verifyCmd struct {
	sealFlag
	File    string `arg:"" help:"The backup, or - for standard input."`
	Scratch string `help:"Directory with room for the whole site, where it is restored and removed again; that of temporary files where absent." placeholder:"DIR"`
}

func (c *verifyCmd) Run(s *session) error {
	from, file, err := c.open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	begin := time.Now()
	v, err := app.Verify(s.ctx, from, c.Scratch)
	if err != nil {
		return s.stopped(fmt.Errorf("backup %s: %w", c.File, err), "the backup is not proven")
	}
	return s.print(v, func() error {
		_, err := fmt.Fprintf(s.out, "%s is good: restored and read whole in %s.\n%s", c.File, time.Since(begin).Round(time.Second/10), describeBackup(v))
		return err
	})
}

func describeBackup(v recovery.Verified) string {
	return fmt.Sprintf("Made %s by bijou %s: %d files, %s; %d titles with %d files, %d records on the log.\n%s",
		v.Made.Format(backupTime), v.Version, v.Files, bytesText(v.Bytes), v.Proof.Titles, v.Proof.Files, v.Proof.Records, notInIt(v.Head))
}

// notInIt says which stores a backup does not hold.
func notInIt(h recovery.Head) string {
	if len(h.Elsewhere) == 0 {
		return ""
	}
	return "Not in it, since servers keep them: " + strings.Join(h.Elsewhere, "; ") + ". Back these up by their own means.\n"
}

type restoreCmd struct {
	sealFlag
	File string `arg:"" help:"The backup, or - for standard input. It becomes the directory that --data-dir names, which must hold nothing."`
}

func (c *restoreCmd) Run(s *session) error {
	config, _, err := s.config()
	if err != nil {
		return err
	}
	from, file, err := c.open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	v, err := app.Restore(s.ctx, from, config.DataDir)
	if err != nil {
		return s.stopped(fmt.Errorf("restore %s: %w", c.File, err), "nothing was restored")
	}
	return s.print(v, func() error {
		_, err := fmt.Fprintf(s.out, "%s holds the site as it was.\n%sStart it with: %s%s up\n", config.DataDir, describeBackup(v), program(), s.where(config))
		return err
	})
}
