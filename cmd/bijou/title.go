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

	"bijou"
	"bijou/app"
	"bijou/service/studio"

	"github.com/alecthomas/kong"
)

type titleCmd struct {
	Add    addCmd    `cmd:"" help:"Add a film: look into it, encode it, publish it."`
	List   listCmd   `cmd:"" help:"List titles, latest first."`
	Show   showCmd   `cmd:"" help:"Show one title."`
	Remove removeCmd `cmd:"" help:"Remove a title and its files."`
}

// studio opens the studio of the running service, or the data directory itself where none runs.
func (s *session) studio() (*app.Studio, error) {
	config, _, err := s.config()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
	return app.OpenStudio(s.ctx, config, log)
}

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
	Season       string     `help:"The season's identifier; makes this an episode." placeholder:"ID"`
	Number       int        `help:"Number of an episode within its season, from 1."`
	Detach       bool       `help:"Return once the running service has the film, and do not wait until it is published."`
}

func (c *addCmd) Run(s *session) error {
	texts, err := c.texts()
	if err != nil {
		return err
	}
	// A file that cannot be read is found before anything is opened or sent.
	for _, path := range append([]string{string(c.Film)}, paths(texts)...) {
		if err := readable(path); err != nil {
			return err
		}
	}
	in := c.request(texts)
	if err := in.Check(filepath.Base(string(c.Film)), names(texts)...); err != nil {
		return err
	}
	st, err := s.studio()
	if err != nil {
		return err
	}
	defer st.Close()
	if c.Detach && st.Running == "" {
		return fmt.Errorf("no service runs on this data directory, so nobody would go on with the film: leave --detach out, or start bijou up first: %w", bijou.Invalid)
	}
	bar := newBar(s.err)
	defer bar.end()
	if err := c.send(s.ctx, st, &in, texts, bar); err != nil {
		return err
	}
	title, err := st.AddTitle(s.ctx, in)
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

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s cannot be read (%v): check the name and the rights: %w", path, cause(err), bijou.Invalid)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%s cannot be read (%v): %w", path, cause(err), bijou.Invalid)
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory: name a film's file in it: %w", path, bijou.Invalid)
	}
	return nil
}

// cause leaves the path out of a file error, since the sentence names it.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// request is what is asked of the studio, but for the files.
func (c *addCmd) request(texts []textFile) studio.AddTitle {
	in := studio.AddTitle{
		Name: c.Name, Synopsis: c.Synopsis, Year: c.Year, Language: c.Language, Genres: c.Genre, Credit: c.Credit,
		Maturity: bijou.Maturity{Age: c.Age, Label: c.Rating}, Number: c.Number,
	}
	if c.Season != "" {
		in.Kind, in.Parent = bijou.Episode, bijou.TitleID(c.Season)
	}
	for _, t := range texts {
		in.Text = append(in.Text, studio.TextSource{Language: t.language, Kind: t.kind})
	}
	return in
}

// send hands the files in, and names them in the request.
func (c *addCmd) send(ctx context.Context, st *app.Studio, in *studio.AddTitle, texts []textFile, bar *bar) error {
	for i, t := range texts {
		src, err := handIn(ctx, st, t.path, bar)
		if err != nil {
			return err
		}
		in.Text[i].Source = src.ID
	}
	src, err := handIn(ctx, st, string(c.Film), bar)
	in.Source = src.ID
	return err
}

func handIn(ctx context.Context, st *app.Studio, path string, bar *bar) (studio.Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return studio.Source{}, fmt.Errorf("%s cannot be read (%v): check the name and the rights: %w", path, cause(err), bijou.Invalid)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return studio.Source{}, fmt.Errorf("%s cannot be read (%v): %w", path, cause(err), bijou.Invalid)
	}
	name := studio.FileName(filepath.Base(path))
	bar.patient = true
	return st.AddSource(ctx, name, &counted{File: f, size: info.Size(), show: func(share float64) { bar.show("handing in "+name, share, "") }})
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
	case err != nil:
		return title, err
	case last.State == bijou.Failed:
		return title, fmt.Errorf("%s could not be made: %s", title.Name, last.Reason)
	}
	return st.Title(s.ctx, title.ID)
}

func stepText(p studio.Progress) string {
	if p.Step == "" {
		return ""
	}
	eta := ""
	if p.Progress > 0.02 && p.Elapsed > 2000 {
		eta = ", about " + clock(int64(float64(p.Elapsed)*(1-p.Progress)/p.Progress)) + " to go"
	}
	return fmt.Sprintf("%s, step %d of %d%s", strings.ReplaceAll(p.Step, "-", " "), p.Done+1, p.Steps, eta)
}

type listCmd struct {
	State string `help:"Only titles in this state: draft, published or failed." enum:"draft,published,failed," default:""`
}

func (c *listCmd) Run(s *session) error {
	st, err := s.studio()
	if err != nil {
		return err
	}
	defer st.Close()
	titles, err := allTitles(s.ctx, st, bijou.TitleState(c.State))
	if err != nil {
		return err
	}
	return s.print(titles, func() error {
		if len(titles) == 0 {
			_, err := fmt.Fprintln(s.out, "No titles yet. Add one with: bijou title add film.mp4")
			return err
		}
		var rows [][]string
		for _, t := range titles {
			rows = append(rows, []string{string(t.ID), string(t.State), clock(t.RuntimeMS), size(t), t.Name})
		}
		return s.table([]string{"ID", "STATE", "LENGTH", "SIZE", "NAME"}, rows)
	})
}

func size(t bijou.Title) string {
	if t.Height == 0 {
		return "-"
	}
	return fmt.Sprintf("%dx%d", t.Width, t.Height)
}

func allTitles(ctx context.Context, st *app.Studio, state bijou.TitleState) ([]bijou.Title, error) {
	titles := []bijou.Title{}
	in := studio.AllTitles{State: state, Limit: 500}
	for {
		page, err := st.Titles(ctx, in)
		if err != nil {
			return nil, err
		}
		titles = append(titles, page.Titles...)
		if in.Before = page.Next; page.Next == "" {
			return titles, nil
		}
	}
}

type showCmd struct {
	Title string `arg:"" help:"The title's identifier, or its name."`
}

func (c *showCmd) Run(s *session) error {
	st, err := s.studio()
	if err != nil {
		return err
	}
	defer st.Close()
	t, err := find(s.ctx, st, c.Title)
	if err != nil {
		return err
	}
	return s.print(t, func() error { return s.table([]string{"KEY", "VALUE"}, describe(t)) })
}

func describe(t bijou.Title) (rows [][]string) {
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, []string{key, oneLine(value)})
		}
	}
	add("id", string(t.ID))
	add("name", t.Name)
	add("kind", string(t.Kind))
	add("state", string(t.State))
	add("reason", t.Reason)
	add("synopsis", t.Synopsis)
	if t.Year > 0 {
		add("year", fmt.Sprint(t.Year))
	}
	if t.State == bijou.Published {
		add("length", clock(t.RuntimeMS))
		add("size", size(t))
		add("asset", string(t.Asset))
	}
	add("language", t.Language)
	add("genres", strings.Join(t.Genres, ", "))
	if t.Maturity != (bijou.Maturity{}) {
		add("maturity", strings.TrimSpace(fmt.Sprintf("from %d %s", t.Maturity.Age, t.Maturity.Label)))
	}
	add("credit", t.Credit)
	for _, x := range t.Tracks {
		add(string(x.Kind), x.Language+" "+x.Label)
	}
	add("added", t.Added.Format("2006-01-02 15:04:05 MST"))
	return rows
}

type removeCmd struct {
	Title []string `arg:"" help:"The titles' identifiers, or their names."`
}

func (c *removeCmd) Run(s *session) error {
	st, err := s.studio()
	if err != nil {
		return err
	}
	defer st.Close()
	removed := []bijou.Title{}
	for _, name := range c.Title {
		t, err := find(s.ctx, st, name)
		if err != nil {
			return err
		}
		if err := st.RemoveTitle(s.ctx, t.ID); err != nil {
			return err
		}
		removed = append(removed, t)
		if s.cli.Output != "json" {
			fmt.Fprintf(s.out, "%s  removed  %s\n", t.ID, t.Name)
		}
	}
	return s.print(removed, func() error { return nil })
}

// find returns the title with the identifier, or the only one with the name.
func find(ctx context.Context, st *app.Studio, name string) (bijou.Title, error) {
	if id := bijou.TitleID(name); bijou.CheckID(id, bijou.TitlePrefix) == nil {
		return st.Title(ctx, id)
	}
	titles, err := allTitles(ctx, st, "")
	if err != nil {
		return bijou.Title{}, err
	}
	var found []bijou.Title
	for _, t := range titles {
		if strings.EqualFold(t.Name, name) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return bijou.Title{}, fmt.Errorf("no title has the identifier or name %q: see them with: bijou title list: %w", name, bijou.NotFound)
	case 1:
		return found[0], nil
	}
	return bijou.Title{}, fmt.Errorf("%d titles have the name %q: use the identifier, such as %s: %w", len(found), name, found[0].ID, bijou.Conflict)
}
