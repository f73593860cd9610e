package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bijou"
	"bijou/app"
	"bijou/service/studio"

	"github.com/alecthomas/kong"
)

// fileName is a file's path, or a language and one, in whatever bytes the system has for it. Kong passes plain strings through JSON, which
// takes UTF-8 alone.
type fileName string

// Decode implements kong.MapperValue.
func (f *fileName) Decode(ctx *kong.DecodeContext) error {
	t, err := ctx.Scan.PopValue("file")
	if err != nil {
		return err
	}
	*f = fileName(t.String())
	return nil
}

type addCmd struct {
	Film         fileName   `arg:"" help:"The film's file."`
	Subtitles    []fileName `help:"Subtitles in a file of their own, such as en=film.srt (SubRip or WebVTT). May be repeated." placeholder:"LANG=FILE" sep:"none"`
	Captions     []fileName `help:"Captions for those who do not hear the film. May be repeated." placeholder:"LANG=FILE" sep:"none"`
	Descriptions []fileName `help:"Descriptions for those who do not see the film. May be repeated." placeholder:"LANG=FILE" sep:"none"`
	Name         string     `help:"What viewers read; the film's own title where absent, or else its file's name."`
	Synopsis     string     `help:"What it is about."`
	Year         int        `help:"Year of first release."`
	Language     string     `help:"Language of the original, such as en (BCP 47)." placeholder:"TAG"`
	Genre        []string   `help:"A genre. May be repeated." sep:"none"`
	Age          int        `help:"Youngest suitable age in years."`
	Rating       string     `help:"The rating as its board prints it, such as PG-13."`
	Credit       string     `help:"Who made it and under which licence it is shown."`
	Series       string     `help:"Name of the series that this is an episode of; it is made with its first episode."`
	Season       int        `help:"Number of the episode's season; 1 where absent."`
	Episode      int        `help:"Number of the episode within its season, from 1."`
	Detach       bool       `help:"Return once the running service has the film, and do not wait until it is published."`
}

func (c *addCmd) Run(s *session) error {
	texts, err := c.texts()
	if err != nil {
		return err
	}
	in := c.request(texts)
	// What is refused anyway is refused before anything is opened, made or sent.
	for _, path := range append([]string{string(c.Film)}, paths(texts)...) {
		if err := readable(path); err != nil {
			return err
		}
	}
	if err := in.Check(filepath.Base(string(c.Film)), names(texts)...); err != nil {
		return err
	}
	config, _, err := s.config()
	if err != nil {
		return err
	}
	st, err := app.OpenStudioFor(s.ctx, config, s.quiet(), app.Addition{Film: string(c.Film), Texts: paths(texts), Detach: c.Detach})
	if err != nil {
		return err
	}
	defer st.Close()
	bar := newBar(s.err)
	defer bar.end()
	title, err := c.add(s.ctx, st, in, texts, bar)
	if err != nil {
		return err
	}
	if !c.Detach {
		if title, err = s.wait(st, title, bar); err != nil {
			return err
		}
	}
	bar.end()
	return s.print(title, func() error {
		_, err := fmt.Fprintf(s.out, "%s  %s  %s\n", title.ID, title.State, title.Name)
		return err
	})
}

// textFile is a text track in a file of its own.
type textFile struct {
	kind           bijou.TrackKind
	language, path string
}

func (c *addCmd) texts() ([]textFile, error) {
	var out []textFile
	for _, flag := range []struct {
		kind   bijou.TrackKind
		values []fileName
	}{{bijou.Subtitles, c.Subtitles}, {bijou.Captions, c.Captions}, {bijou.Descriptions, c.Descriptions}} {
		for _, v := range flag.values {
			lang, path, ok := strings.Cut(string(v), "=")
			if !ok || lang == "" || path == "" {
				return nil, fmt.Errorf("--%s %s: write the language and the file, such as en=film.srt: %w", flag.kind, v, bijou.Invalid)
			}
			out = append(out, textFile{flag.kind, lang, path})
		}
	}
	return out, nil
}

func paths(texts []textFile) (out []string) {
	for _, t := range texts {
		out = append(out, t.path)
	}
	return out
}

func names(texts []textFile) (out []string) {
	for _, t := range texts {
		out = append(out, filepath.Base(t.path))
	}
	return out
}

// readable refuses what is no file that this user may read. What is no plain file is not even opened: a pipe would wait for somebody to write.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return unreadable(path, err)
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory: name a film's file in it: %w", path, bijou.Invalid)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is a pipe or a device and not a file: write what comes from it into a file, and add that: %w", path, bijou.Invalid)
	}
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	f.Close() // nothing was written, so nothing is lost
	return nil
}

func unreadable(path string, err error) error {
	return fmt.Errorf("%s cannot be read (%v): check the name and the rights: %w", path, cause(err), bijou.Invalid)
}

// cause leaves the path out of a file error, since the sentence names it.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// request returns the request for the title, but for the files.
func (c *addCmd) request(texts []textFile) studio.AddTitle {
	in := studio.AddTitle{
		Name: c.Name, Synopsis: c.Synopsis, Year: c.Year, Language: c.Language, Genres: c.Genre, Credit: c.Credit,
		Maturity: bijou.Maturity{Age: c.Age, Label: c.Rating},
		Series:   c.Series, Season: c.Season, Episode: c.Episode,
	}
	for _, t := range texts {
		in.Text = append(in.Text, studio.TextSource{Language: t.language, Kind: t.kind})
	}
	return in
}

// add hands the files in and asks for the title. Where it fails it takes back what it handed in.
func (c *addCmd) add(ctx context.Context, st *app.Studio, in studio.AddTitle, texts []textFile, bar *bar) (t bijou.Title, err error) {
	var sent []bijou.SourceID
	defer func() {
		if err != nil {
			takeBack(ctx, st, sent)
		}
	}()
	for i, path := range append(paths(texts), string(c.Film)) {
		src, err := handIn(ctx, st, path, bar)
		if err != nil {
			return t, err
		}
		sent = append(sent, src.ID)
		if i < len(in.Text) {
			in.Text[i].Source = src.ID
		} else {
			in.Source = src.ID
		}
	}
	t, err = st.AddTitle(ctx, in)
	if errors.Is(err, bijou.Invalid) || errors.Is(err, bijou.Exhausted) {
		sent = nil // the studio keeps nothing of what it refuses
	}
	if st.Running != "" && (errors.Is(err, bijou.Unavailable) || errors.Is(err, context.Canceled)) {
		return t, fmt.Errorf("%s: see with bijou title list whether %s is there before you add it again: %w", bijou.Sentence(err), studio.FileName(filepath.Base(string(c.Film))), bijou.Unavailable)
	}
	return t, err
}

// takeBackTime bounds how long files are taken back that no title is made of.
const takeBackTime = 5 * time.Second

// takeBack removes the files that were handed in, also where whoever did so wants to go. The service removes within a day what stays, and what
// a title is made of after all is kept: so that no failure here is worth more words than the one that led here.
func takeBack(ctx context.Context, st *app.Studio, sent []bijou.SourceID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	for _, id := range sent {
		_ = st.RemoveSource(ctx, id)
	}
}

func handIn(ctx context.Context, st *app.Studio, path string, bar *bar) (studio.Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return studio.Source{}, unreadable(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return studio.Source{}, unreadable(path, err)
	}
	name := studio.FileName(filepath.Base(path))
	bar.patient = true
	source, err := st.AddSource(ctx, name, &counted{File: f, size: info.Size(), show: func(share float64) { bar.show("handing in "+name, share, "") }})
	if err != nil && !strings.Contains(err.Error(), name) { // it was refused before anybody looked at it
		err = fmt.Errorf("take in %q: %w", name, err)
	}
	return source, err
}

// counted tells how much of a file has been read. It stays an io.Seeker, by which its size is found.
type counted struct {
	*os.File
	size, read int64
	show       func(share float64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.read += int64(n)
	c.show(float64(c.read) / float64(max(1, c.size)))
	return n, err
}

// WriteTo hides *os.File's own, which would bypass Read.
func (c *counted) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{c}) }

// wait follows the work until the title is published.
func (s *session) wait(st *app.Studio, title bijou.Title, bar *bar) (bijou.Title, error) {
	var last studio.Progress
	bar.patient = false
	err := st.Follow(s.ctx, title.ID, func(p studio.Progress) error {
		last = p
		bar.show(title.Name, p.Progress, stepText(p))
		return nil
	})
	switch {
	case errors.Is(err, context.Canceled) && st.Running != "":
		return title, fmt.Errorf("the service goes on with %s without you: see it with: bijou title show %s", title.Name, title.ID)
	case errors.Is(err, context.Canceled):
		return title, fmt.Errorf("stopped; the work on %s goes on when bijou opens this data directory again (%s)", title.Name, title.ID)
	case errors.Is(err, bijou.NotFound):
		return title, fmt.Errorf("%s was removed while it was made: %w", title.Name, err)
	case errors.Is(err, bijou.Unavailable) && st.Running != "":
		return title, fmt.Errorf("the service has stopped, and goes on with %s when it starts again: do not add it again, see it with: bijou title show %s", title.Name, title.ID)
	case err != nil:
		return title, err
	case last.State == bijou.Failed:
		return title, fmt.Errorf("%s could not be made: %s", title.Name, last.Reason)
	}
	return st.Title(s.ctx, title.ID)
}

func stepText(p studio.Progress) string {
	switch {
	case p.Waits != "":
		return "waits: " + p.Waits
	case p.Behind == 1:
		return "waits behind 1 film"
	case p.Behind > 1:
		return fmt.Sprintf("waits behind %d films", p.Behind)
	case p.Step == "":
		return ""
	}
	eta := ""
	if p.Progress > 0.02 && p.Elapsed > 2000 {
		eta = ", about " + clock(int64(float64(p.Elapsed)*(1-p.Progress)/p.Progress)) + " to go"
	}
	return fmt.Sprintf("%s, step %d of %d%s", strings.ReplaceAll(p.Step, "-", " "), p.Done+1, p.Steps, eta)
}
