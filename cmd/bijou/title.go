package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"bijou"
	"bijou/app"
	"bijou/service/studio"
)

type titleCmd struct {
	Add    addCmd    `cmd:"" help:"Add a film: look into it, encode it, publish it."`
	List   listCmd   `cmd:"" help:"List titles, latest first."`
	Show   showCmd   `cmd:"" help:"Show one title."`
	Edit   editCmd   `cmd:"" help:"Change what people are told of a title."`
	Remove removeCmd `cmd:"" help:"Remove a title and its files."`
}

// studio opens the studio of the running service, or of the data directory itself where none runs.
func (s *session) studio() (*app.Studio, error) {
	config, _, err := s.config()
	if err != nil {
		return nil, err
	}
	return app.OpenStudio(s.ctx, config, s.quiet())
}

// quiet is the log of a command: what goes wrong beside its own work.
func (s *session) quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

// withTitles calls f with the library's titles, to be read.
func (s *session) withTitles(f func(titles) error) error {
	config, _, err := s.config()
	if err != nil {
		return err
	}
	t, err := app.OpenTitles(s.ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(f(t), t.Close())
}

// titles are what list and show read.
type titles interface {
	Titles(ctx context.Context, in studio.AllTitles) (bijou.TitlePage, error)
	Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error)
}

type listCmd struct {
	State string `help:"Only titles in this state: draft, published or failed." enum:"draft,published,failed," default:""`
}

func (c *listCmd) Run(s *session) error {
	return s.withTitles(func(from titles) error {
		all, err := allTitles(s.ctx, from, bijou.TitleState(c.State))
		if err != nil {
			return err
		}
		return s.print(all, func() error { return c.show(s, from, all) })
	})
}

func (c *listCmd) show(s *session, from titles, all []bijou.Title) error {
	switch {
	case len(all) > 0:
	case c.State != "":
		_, err := fmt.Fprintf(s.out, "No title is %s.\n", c.State)
		return err
	default:
		_, err := fmt.Fprintln(s.out, "No titles yet. Add one with: bijou title add film.mp4")
		return err
	}
	known := map[bijou.TitleID]bijou.Title{}
	for _, t := range all {
		known[t.ID] = t
	}
	var rows [][]string
	for _, t := range all {
		place, err := placeOf(s.ctx, from, t, known)
		if err != nil {
			return err
		}
		rows = append(rows, []string{string(t.ID), string(t.State), clock(t.RuntimeMS), size(t), place + t.Name})
	}
	return s.table([]string{"ID", "STATE", "LENGTH", "SIZE", "NAME"}, rows)
}

// placeOf returns what stands before the name of an episode or a season: "The Show, season 1, episode 2: ". It asks for what is not known yet.
func placeOf(ctx context.Context, from titles, t bijou.Title, known map[bijou.TitleID]bijou.Title) (string, error) {
	var above []string
	for t.Parent != "" {
		parent, ok := known[t.Parent]
		if !ok {
			var err error
			if parent, err = from.Title(ctx, t.Parent); err != nil {
				return "", err
			}
			known[t.Parent] = parent
		}
		above = append(above, fmt.Sprintf("%s %d", t.Kind, t.Number))
		t = parent
	}
	if len(above) == 0 {
		return "", nil
	}
	slices.Reverse(above)
	return t.Name + ", " + strings.Join(above, ", ") + ": ", nil
}

func size(t bijou.Title) string {
	if t.Height == 0 {
		return "-"
	}
	return fmt.Sprintf("%dx%d", t.Width, t.Height)
}

func allTitles(ctx context.Context, from titles, state bijou.TitleState) ([]bijou.Title, error) {
	all := []bijou.Title{}
	in := studio.AllTitles{State: state, Limit: 500}
	for {
		page, err := from.Titles(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Titles...)
		if in.Before = page.Next; page.Next == "" {
			return all, nil
		}
	}
}

type showCmd struct {
	Title string `arg:"" help:"The title's identifier, or its name."`
}

func (c *showCmd) Run(s *session) error {
	return s.withTitles(func(from titles) error {
		t, err := find(s.ctx, from, c.Title)
		if err != nil {
			return err
		}
		return s.showTitle(from, t)
	})
}

func (s *session) showTitle(from titles, t bijou.Title) error {
	return s.print(t, func() error {
		place, err := placeOf(s.ctx, from, t, map[bijou.TitleID]bijou.Title{})
		if err != nil {
			return err
		}
		return s.table([]string{"KEY", "VALUE"}, describe(t, strings.TrimSuffix(place, ": ")))
	})
}

func describe(t bijou.Title, place string) (rows [][]string) {
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, []string{key, oneLine(value)})
		}
	}
	add("id", string(t.ID))
	add("name", t.Name)
	add("kind", string(t.Kind))
	add("place", place)
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

type editCmd struct {
	Title    string   `arg:"" help:"The title's identifier, or its name."`
	Name     *string  `help:"What viewers read."`
	Synopsis *string  `help:"What it is about; empty takes it away."`
	Year     *int     `help:"Year of first release; 0 takes it away."`
	Language *string  `help:"Language of the original, such as en (BCP 47); empty takes it away." placeholder:"TAG"`
	Genre    []string `help:"A genre, in place of all there were. May be repeated; empty takes them away." sep:"none"`
	Age      *int     `help:"Youngest suitable age in years; 0 suits everyone."`
	Rating   *string  `help:"The rating as its board prints it, such as PG-13; empty takes it away."`
	Credit   *string  `help:"Who made it and under which licence it is shown; empty takes it away."`
}

func (c *editCmd) Run(s *session) error {
	edit := c.edit()
	if edit == (bijou.TitleEdit{}) {
		return fmt.Errorf("say what is to change, such as --name or --year: bijou title edit --help lists all: %w", bijou.Invalid)
	}
	st, err := s.studio()
	if err != nil {
		return err
	}
	defer st.Close()
	t, err := find(s.ctx, st, c.Title)
	if err != nil {
		return err
	}
	if t, err = st.EditTitle(s.ctx, t.ID, edit); err != nil {
		return err
	}
	return s.showTitle(st, t)
}

// edit returns what the flags ask for.
func (c *editCmd) edit() bijou.TitleEdit {
	e := bijou.TitleEdit{Name: c.Name, Synopsis: c.Synopsis, Year: c.Year, Language: c.Language, Credit: c.Credit}
	if c.Age != nil || c.Rating != nil {
		e.Maturity = &bijou.MaturityEdit{Age: c.Age, Label: c.Rating}
	}
	if c.Genre != nil {
		genres := slices.DeleteFunc(slices.Clone(c.Genre), func(g string) bool { return g == "" })
		e.Genres = &genres
	}
	return e
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
	// All are looked for before the first goes: whoever mistypes one has lost none.
	chosen := []bijou.Title{}
	for _, name := range c.Title {
		t, err := find(s.ctx, st, name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(chosen, func(o bijou.Title) bool { return o.ID == t.ID }) {
			chosen = append(chosen, t)
		}
	}
	for _, t := range chosen {
		if err := st.RemoveTitle(s.ctx, t.ID); err != nil {
			return err
		}
		if s.cli.Output != "json" {
			fmt.Fprintf(s.out, "%s  removed  %s\n", t.ID, t.Name)
		}
	}
	return s.print(chosen, func() error { return nil })
}

// find returns the title with the identifier, or the only one with the name.
func find(ctx context.Context, from titles, name string) (bijou.Title, error) {
	if id := bijou.TitleID(name); bijou.CheckID(id, bijou.TitlePrefix) == nil {
		return from.Title(ctx, id)
	}
	all, err := allTitles(ctx, from, "")
	if err != nil {
		return bijou.Title{}, err
	}
	var found []bijou.Title
	for _, t := range all {
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
