package studio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bijou"
	"bijou/wire/captions"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// A source is two blobs below sources/ID/: the file, and what is known of it, which is written last.
const (
	sourceFile = "/file"
	sourceNote = "/source.json"
)

func sourceKey(id bijou.SourceID, part string) string { return bijou.SourcePath + string(id) + part }

// maxText bounds a text track's file, in bytes.
const maxText = 8 << 20

// AddSource takes a file in and keeps it until its title is made. It fails with Invalid for a name with folders or control characters in it
// and for an empty file, and with Exhausted when space ends; then nothing is kept.
func (s *Service) AddSource(ctx context.Context, name string, r io.Reader) (Source, error) {
	name = FileName(name)
	if err := checkFileName(name); err != nil {
		return Source{}, err
	}
	src := Source{ID: bijou.NewID[bijou.SourceID](bijou.SourcePrefix), Name: name}
	sum := sha256.New()
	blob, err := s.Blobs.Put(ctx, sourceKey(src.ID, sourceFile), io.TeeReader(r, sum))
	if err != nil {
		return Source{}, fmt.Errorf("take in %q: %w", name, err)
	}
	src.Bytes, src.SHA256 = blob.Size, hex.EncodeToString(sum.Sum(nil))
	if src.Bytes == 0 {
		s.drop(ctx, src.ID)
		return Source{}, emptyFile(name)
	}
	note, err := json.Marshal(src)
	if err != nil {
		return Source{}, err
	}
	if _, err := s.Blobs.Put(ctx, sourceKey(src.ID, sourceNote), bytes.NewReader(note)); err != nil {
		s.drop(ctx, src.ID)
		return Source{}, fmt.Errorf("take in %q: %w", name, err)
	}
	return src, nil
}

func emptyFile(name string) error {
	return fmt.Errorf("%q is empty: it has 0 bytes; copy the file again from where it comes from: %w", name, bijou.Invalid)
}

// RemoveSource removes a source of which no title is being made. It fails with NotFound for an unknown one, and with Conflict for one that is in use.
func (s *Service) RemoveSource(ctx context.Context, id bijou.SourceID) error {
	if bijou.CheckID(id, bijou.SourcePrefix) != nil {
		return fmt.Errorf("source %.80q is not here: %w", id, bijou.NotFound)
	}
	if _, err := s.source(ctx, id); err != nil {
		return err
	}
	s.sources.Lock()
	defer s.sources.Unlock()
	needed, err := s.needed(ctx)
	if err != nil {
		return err
	}
	if needed[id] {
		return fmt.Errorf("source %s is in use: a title is being made of it: %w", id, bijou.Conflict)
	}
	s.drop(ctx, id)
	return nil
}

// maxFileName bounds a file's name in bytes, as most file systems do: the film gets its name back while it is worked on.
const maxFileName = 255

// FileName returns a file's name as text. Most systems take any bytes for a name: what is not UTF-8 is read as Windows-1252, or, where some of
// it is UTF-8, with a mark in place of what is not.
func FileName(raw string) string {
	if utf8.ValidString(raw) {
		return raw
	}
	var read strings.Builder
	for _, c := range []byte(raw) {
		read.WriteRune(charmap.Windows1252.DecodeByte(c))
	}
	name := read.String()
	if strings.ContainsFunc(raw, func(r rune) bool { return r > unicode.MaxASCII && r != utf8.RuneError }) {
		name = strings.ToValidUTF8(raw, "\ufffd")
	}
	if over := len(name) - maxFileName; over > 0 { // a character may take more bytes now
		ending := filepath.Ext(name)
		name = strings.ToValidUTF8(name[:max(0, len(name)-len(ending)-over)], "") + ending
	}
	return name
}

func checkFileName(name string) error {
	if err := bijou.CheckName(name); err != nil {
		return fmt.Errorf("file name: %w", err)
	}
	if len(name) > maxFileName {
		return fmt.Errorf("file name %.40q… is %d bytes long: use at most %d: %w", name, len(name), maxFileName, bijou.Invalid)
	}
	if strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
		return fmt.Errorf("file name %q has folders in it: send the name alone, such as film.mp4: %w", name, bijou.Invalid)
	}
	return nil
}

// source returns what is known of a source.
func (s *Service) source(ctx context.Context, id bijou.SourceID) (src Source, err error) {
	if err := bijou.CheckID(id, bijou.SourcePrefix); err != nil {
		return src, err
	}
	b, err := s.read(ctx, sourceKey(id, sourceNote), 1<<20)
	if errors.Is(err, bijou.NotFound) {
		return src, fmt.Errorf("source %s is not here: hand the file in again: %w", id, bijou.NotFound)
	}
	if err != nil {
		return src, err
	}
	if err := json.Unmarshal(b, &src); err != nil {
		return src, fmt.Errorf("source %s: its note cannot be read (%v): hand the file in again: %w", id, err, bijou.Corrupt)
	}
	return src, nil
}

// read returns a whole blob of at most limit bytes. A larger one is Invalid.
func (s *Service) read(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, blob, err := s.Blobs.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if blob.Size > limit {
		return nil, fmt.Errorf("it has %d bytes, and at most %d are read: %w", blob.Size, limit, bijou.Invalid)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit))
	if bijou.KindOf(err) != "" {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %s (%v): %w", key, err, bijou.Unavailable)
	}
	return b, nil
}

// text returns the text track that came in as a source, as WebVTT.
func (s *Service) text(ctx context.Context, src Source) ([]byte, error) {
	raw, err := s.read(ctx, sourceKey(src.ID, sourceFile), maxText)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", src.Name, err)
	}
	return captions.ToWebVTT(raw, src.Name)
}

// local is what a blob store offers whose blobs are files of this machine.
type local interface {
	Path(key string) (string, error)
}

// film puts the source into the folder under the name that it came with, since that is how the film tool speaks of it: as a link where
// the blob is a file of this machine, else as a copy.
func (s *Service) film(ctx context.Context, src Source, folder string) (string, error) {
	target := filepath.Join(folder, src.Name)
	key := sourceKey(src.ID, sourceFile)
	if l, ok := s.Blobs.(local); ok {
		p, err := l.Path(key)
		if err != nil {
			return "", err
		}
		if p, err = filepath.Abs(p); err != nil {
			return "", fmt.Errorf("find %q (%v): %w", src.Name, err, bijou.Unavailable)
		}
		if err := os.Symlink(p, target); err != nil {
			return "", scratchFailure(err)
		}
		return target, nil
	}
	r, _, err := s.Blobs.Get(ctx, key, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	f, err := os.Create(target)
	if err != nil {
		return "", scratchFailure(err)
	}
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Close())
	switch {
	case bijou.KindOf(err) != "": // the store's own failure
		return "", fmt.Errorf("fetch %q: %w", src.Name, err)
	case err != nil:
		return "", scratchFailure(err)
	}
	return target, nil
}

// drop removes a source. One that cannot be removed now is removed after a day.
func (s *Service) drop(ctx context.Context, id bijou.SourceID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, part := range []string{sourceNote, sourceFile} {
		if err := s.Blobs.Delete(ctx, sourceKey(id, part)); err != nil {
			s.Log.Warn("source stays for now", "source", id, "error", err)
			return
		}
	}
}

// dropUnused removes those of the sources that no work needs.
func (s *Service) dropUnused(ctx context.Context, ids []bijou.SourceID) {
	s.sources.Lock()
	defer s.sources.Unlock()
	needed, err := s.needed(context.WithoutCancel(ctx)) // whoever handed them in may have gone
	if err != nil {
		s.Log.Warn("sources stay for now", "sources", ids, "error", err)
		return
	}
	for _, id := range ids {
		if bijou.CheckID(id, bijou.SourcePrefix) == nil && !needed[id] {
			s.drop(ctx, id)
		}
	}
}

// needed returns the sources that work is not finished with.
func (s *Service) needed(ctx context.Context) (map[bijou.SourceID]bool, error) {
	titles, err := s.Work.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	needed := map[bijou.SourceID]bool{}
	for _, id := range titles {
		ws, err := s.Work.WorkOf(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, src := range sourcesOf(ws) {
			needed[src] = true
		}
	}
	return needed, nil
}

// sourceAge is how long a source may lie before its title is asked for.
const sourceAge = 24 * time.Hour

// dropSources removes sources that have lain for sourceAge and that no work needs.
func (s *Service) dropSources(ctx context.Context) error {
	s.sources.Lock()
	defer s.sources.Unlock()
	needed, err := s.needed(ctx)
	if err != nil {
		return err
	}
	for b, err := range s.blobsBelow(ctx, bijou.SourcePath) {
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(b.Key, bijou.SourcePath), "/")
		if id := bijou.SourceID(name); !needed[id] && s.Now().Sub(b.Modified) > sourceAge {
			s.drop(ctx, id)
		}
	}
	return nil
}

// blobsBelow goes through the blobs whose keys begin with the prefix, in order of key. It ends with the first failure.
func (s *Service) blobsBelow(ctx context.Context, prefix string) iter.Seq2[bijou.Blob, error] {
	return func(yield func(bijou.Blob, error) bool) {
		after := ""
		for {
			blobs, err := s.Blobs.List(ctx, prefix, after, 1000)
			if err != nil {
				yield(bijou.Blob{}, err)
				return
			}
			for _, b := range blobs {
				if !yield(b, nil) {
					return
				}
				after = b.Key
			}
			if len(blobs) < 1000 {
				return
			}
		}
	}
}

// canonical returns the language tag in its usual form, or und for none. It fails with Invalid for what is no BCP 47 tag.
func canonical(tag string) (string, error) {
	if tag == "" {
		return "und", nil
	}
	t, err := language.Parse(tag)
	if err != nil {
		return "", fmt.Errorf("%q is not a language tag: write one such as en, de or pt-BR (BCP 47): %w", tag, bijou.Invalid)
	}
	return t.String(), nil
}

// ownName returns the language's name in the language itself, as its speakers look for it.
func ownName(tag string) string {
	t, err := language.Parse(tag)
	if err != nil || tag == "und" {
		return "Unknown language"
	}
	name := []rune(display.Self.Name(t))
	if len(name) == 0 {
		return tag
	}
	return strings.ToUpper(string(name[:1])) + string(name[1:])
}

func scratchFailure(err error) error {
	return fmt.Errorf("use the scratch directory (%w): check that its disk has space and that this user may write there: %w", err, kindOfFile(err))
}
