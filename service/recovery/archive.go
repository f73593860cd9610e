package recovery

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"bijou"
)

// A backup is a tar archive (POSIX.1-1988 ustar, or pax where a name or a size needs it) of regular files alone:
//
//	bijou-backup.json  Head: what this is
//	data/…             the files of the data directory, in no order that counts
//	manifest.jsonl     one Entry a line for each of the files above, in their order, and last an end
//
// Everything before the manifest's own header is covered by the end's hash. Nothing but zeros follows the manifest.
const (
	headName     = "bijou-backup.json"
	dataPrefix   = "data/"
	manifestName = "manifest.jsonl"
)

// Format is the version of the layout above. A later one is refused.
const Format = 1

// Head opens a backup and says what it is.
type Head struct {
	Format  int       `json:"format"`
	Data    string    `json:"data" doc:"Format of the data directory."`
	Version string    `json:"version" doc:"Of the program that made it."`
	Commit  string    `json:"commit"`
	Made    time.Time `json:"made" doc:"The moment that it shows."`
	// Elsewhere are the stores that servers keep, which have backups of their own: such as "accounts at mysql://db:3306/bijou".
	Elsewhere []string `json:"elsewhere,omitempty" doc:"Stores that servers elsewhere keep, and that are not in it."`
}

// Entry is one line of a backup's manifest.
type Entry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// end is the last line of a backup's manifest.
type end struct {
	Entries int64  `json:"entries"` // lines before this one
	SHA256  string `json:"sha256"`  // of the archive up to the manifest's header, in hexadecimal
}

// Bounds of what is read.
const (
	maxHead = 64 << 10
	maxLine = 16 << 10
	maxName = 1000 // bytes
	block   = 512  // of a tar archive
)

// File is one file of a site.
type File struct {
	Name     string // below the data directory, with slashes
	Size     int64  // bytes
	Modified time.Time
	Content  io.Reader
}

// writer writes a backup. Its manifest grows in a file, so that memory does not.
type writer struct {
	out     *bufio.Writer
	tar     *tar.Writer
	sum     hash.Hash
	spool   *spool
	head    Head
	entries int64
}

func newWriter(to io.Writer, head Head, lines *spool) (*writer, error) {
	w := &writer{out: bufio.NewWriterSize(to, 256<<10), sum: sha256.New(), spool: lines, head: head}
	w.tar = tar.NewWriter(io.MultiWriter(w.out, w.sum))
	b, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return w, w.add(context.Background(), File{headName, int64(len(b)), head.Made, bytes.NewReader(b)})
}

// add writes one file, named as in the archive. It fails with Corrupt for a file that is shorter than it said.
func (w *writer) add(ctx context.Context, f File) error {
	err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: f.Size, Mode: 0o600, ModTime: seconds(f.Modified)})
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.tar, sum), &until{ctx, io.LimitReader(f.Content, f.Size)})
	if err != nil {
		return err
	}
	if n != f.Size {
		return fmt.Errorf("back up %s: it has %d bytes and had %d: see to that disk: %w", f.Name, n, f.Size, bijou.Corrupt)
	}
	w.entries++
	return w.spool.line(Entry{f.Name, n, hex.EncodeToString(sum.Sum(nil))})
}

// seconds returns a time as the header of every tar archive can hold it: in seconds from 1970 on.
func seconds(t time.Time) time.Time { return time.Unix(max(t.Unix(), 0), 0) }

// close writes the manifest and the archive's end.
func (w *writer) close(ctx context.Context) error {
	if err := w.tar.Flush(); err != nil {
		return err
	}
	if err := w.spool.line(end{w.entries, hex.EncodeToString(w.sum.Sum(nil))}); err != nil {
		return err
	}
	lines, size, err := w.spool.content()
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(&tar.Header{Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: manifestName, Size: size, Mode: 0o600, ModTime: seconds(w.head.Made)}); err != nil {
		return err
	}
	if _, err := io.Copy(w.tar, &until{ctx, lines}); err != nil {
		return err
	}
	if err := w.tar.Close(); err != nil {
		return err
	}
	return w.out.Flush()
}

// until reads from r as long as ctx goes on.
type until struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u *until) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

// spool is lines of JSON in a file that has no name.
type spool struct {
	file *os.File
	buf  *bufio.Writer
	size int64
}

// newSpool makes one in the folder, or in that of temporary files where it is empty.
func newSpool(folder string) (*spool, error) {
	f, err := os.CreateTemp(folder, "manifest-*")
	if err != nil {
		return nil, fileFailure("write in", orTemp(folder), err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fileFailure("write in", orTemp(folder), err), f.Close())
	}
	return &spool{file: f, buf: bufio.NewWriter(f)}, nil
}

func orTemp(folder string) string {
	if folder == "" {
		return os.TempDir()
	}
	return folder
}

func (s *spool) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.size += int64(len(b)) + 1
	if _, err = s.buf.Write(append(b, '\n')); err != nil {
		return fileFailure("write", s.file.Name(), err)
	}
	return nil
}

// content returns what was written, from its beginning.
func (s *spool) content() (io.Reader, int64, error) {
	if err := s.buf.Flush(); err != nil {
		return nil, 0, fileFailure("write", s.file.Name(), err)
	}
	return io.NewSectionReader(s.file, 0, s.size), s.size, nil
}

func (s *spool) close() error { return s.file.Close() }

// Report says what a backup holds.
type Report struct {
	Head
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes" doc:"Of the files together."`
}

// read reads a backup from its beginning to its end and hands each file of the data directory to visit, which need not read it. What visit was
// given is known to be what was backed up only when read returns without a failure. The spool is for its own use.
func read(ctx context.Context, from io.Reader, lines *spool, visit func(File) error) (Report, error) {
	raw := &seen{r: &until{ctx, bufio.NewReaderSize(from, 256<<10)}, sum: sha256.New()}
	r := &reader{raw: raw, tar: tar.NewReader(raw), lines: lines}
	if err := r.readHead(); err != nil {
		return r.report, err
	}
	for {
		h, err := r.next()
		if err != nil {
			return r.report, err
		}
		if h.Name == manifestName {
			return r.report, r.finish(h)
		}
		name, ok := strings.CutPrefix(h.Name, dataPrefix)
		if !ok || !safe(name) {
			return r.report, fmt.Errorf("it holds a file named %.80q, which no backup has: %w", h.Name, bijou.Corrupt)
		}
		err = r.entry(h, func(content io.Reader) error { return visit(File{name, h.Size, h.ModTime, content}) })
		if err != nil {
			return r.report, err
		}
		r.report.Files++
		r.report.Bytes += h.Size
	}
}

// reader reads a backup.
type reader struct {
	raw     *seen
	tar     *tar.Reader
	lines   *spool // what the manifest has to say
	entries int64
	report  Report
}

func (r *reader) readHead() error {
	h, err := r.tar.Next()
	if errors.Is(err, context.Canceled) || bijou.KindOf(err) != "" {
		return err
	}
	if err != nil || h.Name != headName || h.Size > maxHead || checkHeader(h) != nil {
		return fmt.Errorf("it is no backup of Bijou: %w", bijou.Invalid)
	}
	return r.entry(h, func(content io.Reader) error {
		b, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &r.report.Head); err != nil || r.report.Format < 1 {
			return fmt.Errorf("its head cannot be read: %w", bijou.Corrupt)
		}
		if r.report.Format > Format {
			return fmt.Errorf("it has format %d and this program knows %d: use the newer program that made it (%.40q): %w", r.report.Format, Format, r.report.Version, bijou.Unsupported)
		}
		return nil
	})
}

// next returns the header of the next file.
func (r *reader) next() (*tar.Header, error) {
	h, err := r.tar.Next()
	if err != nil {
		return nil, damage(err)
	}
	return h, checkHeader(h)
}

// checkHeader refuses what is no plain file: links, folders, devices, and files with holes, whose size says nothing of what is stored.
func checkHeader(h *tar.Header) error {
	for key := range h.PAXRecords {
		if key != "path" && key != "size" {
			return fmt.Errorf("it holds a file with the record %.40q, which no backup has: %w", key, bijou.Corrupt)
		}
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Linkname != "" {
		return fmt.Errorf("%.80q in it is no plain file: %w", h.Name, bijou.Corrupt)
	}
	return nil
}

// entry hands the file's content to use, reads what use has left of it, and notes what the manifest has to say of it.
func (r *reader) entry(h *tar.Header, use func(io.Reader) error) error {
	sum := sha256.New()
	content := &failing{r: io.TeeReader(r.tar, sum)}
	if err := use(content); err != nil {
		if content.err != nil {
			return damage(content.err)
		}
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return damage(err)
	}
	r.entries++
	return r.lines.line(Entry{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))})
}

// failing remembers how reading failed, so that it is told from what was done with what was read.
type failing struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *failing) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// finish compares the manifest with what was read.
func (r *reader) finish(h *tar.Header) error {
	if err := r.lines.line(end{r.entries, hex.EncodeToString(r.raw.before())}); err != nil {
		return err
	}
	lines, size, err := r.lines.content()
	if err != nil {
		return err
	}
	want, got := bufio.NewReaderSize(r.tar, maxLine), bufio.NewReaderSize(lines, maxLine)
	for at := int64(0); at < size; {
		g, err := got.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("the manifest cannot be compared (%v): %w", err, bijou.Unavailable)
		}
		at += int64(len(g))
		w, err := want.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return damage(err)
		}
		if !bytes.Equal(w, g) {
			return differs(g)
		}
	}
	if h.Size != size {
		return fmt.Errorf("its manifest says more than there is: %w", bijou.Corrupt)
	}
	return r.onlyZeros()
}

// differs says which file is not what was backed up.
func differs(line []byte) error {
	var e Entry
	if json.Unmarshal(line, &e) != nil || e.Name == "" {
		return fmt.Errorf("it was changed after it was made: %w", bijou.Corrupt)
	}
	return fmt.Errorf("%s in it is not what was backed up: %w", e.Name, bijou.Corrupt)
}

// onlyZeros reads the archive's end: what pads the last file, two empty blocks, and perhaps more of them.
func (r *reader) onlyZeros() error {
	const most = 1 << 20 // tar programs pad to 10 KiB
	rest, err := io.ReadAll(io.LimitReader(r.raw, most+1))
	if err != nil {
		return damage(err)
	}
	if len(rest) < 2*block {
		return errCutOff
	}
	if len(rest) > most || len(bytes.Trim(rest, "\x00")) > 0 {
		return fmt.Errorf("something follows its end: %w", bijou.Corrupt)
	}
	return nil
}

var errCutOff = fmt.Errorf("it is cut off: copy it again from where it comes from: %w", bijou.Corrupt)

// damage returns why the archive cannot be read on.
func damage(err error) error {
	switch {
	case bijou.KindOf(err) != "", errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errCutOff
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fmt.Errorf("it is damaged: %w", bijou.Corrupt)
	}
	return fmt.Errorf("it cannot be read on (%v): %w", err, bijou.Corrupt)
}

// safe tells whether the name is that of a file below the data directory, on every system.
func safe(name string) bool {
	if name == "" || len(name) > maxName || name != path.Clean(name) || path.IsAbs(name) || strings.ContainsAny(name, "\\:\x00") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." || len(part) > 255 || strings.IndexFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) >= 0 {
			return false
		}
	}
	return true
}

// seen hashes what is read through it, but for the last block: when the tar reader has read a header, that is all before it.
type seen struct {
	r    io.Reader
	sum  hash.Hash
	last []byte
}

// Read implements io.Reader.
func (s *seen) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.last = append(s.last, b[:n]...)
	if more := len(s.last) - block; more > 0 {
		s.sum.Write(s.last[:more]) // never fails
		s.last = s.last[:copy(s.last, s.last[more:])]
	}
	return n, err
}

// before returns the hash of all before the last block.
func (s *seen) before() []byte { return s.sum.Sum(nil) }
