package studio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bijou"
	"bijou/wire/captions"
)

// AddTitle probes the film that was handed in, adds its title as a draft, and has its renditions made. Once it returns, the work goes on
// through any restart. It fails with Invalid for a file that is no film, a text track that is none, or a description that no catalogue can
// hold, and with Conflict for a source that another title is being made of. Where it fails before the work is noted it keeps neither title nor source: the files have to be handed in again.
func (s *Service) AddTitle(ctx context.Context, in AddTitle) (bijou.Title, error) {
	return s.addTitle(ctx, bijou.NewID[bijou.TitleID](bijou.TitlePrefix), in)
}

// addTitle is AddTitle for who has chosen the title's identifier.
func (s *Service) addTitle(ctx context.Context, id bijou.TitleID, in AddTitle) (bijou.Title, error) {
	src, err := s.source(ctx, in.Source)
	if err != nil {
		return bijou.Title{}, err
	}
	t, work, err := s.prepare(ctx, id, in, src)
	if err == nil {
		err = s.mustFit(src)
	}
	if err != nil {
		ids := []bijou.SourceID{src.ID}
		for _, x := range in.Text {
			ids = append(ids, x.Source)
		}
		s.dropUnused(ctx, ids)
		return bijou.Title{}, err
	}
	// The work first: whoever leases it makes the title where a kill comes in between.
	if err := s.begin(ctx, t, work); err != nil {
		return bijou.Title{}, err
	}
	defer s.nudge()
	made, err := s.Editor.CreateTitle(ctx, t)
	if err != nil {
		s.undo(ctx, work)
	}
	return made, err
}

// mustFit refuses, as Exhausted, a film for which the disk has no room: what is made of one takes about as much as the film itself, which is
// there already. Whether others need the room meanwhile nobody knows; then a step fails and says so.
func (s *Service) mustFit(src Source) error {
	if s.Free == nil {
		return nil
	}
	free, err := s.Free(s.Scratch)
	if err != nil || free >= uint64(src.Bytes) {
		return err
	}
	return fmt.Errorf("%q needs about %d MB more while it is made, and the disk of %s has %d MB: free space there, and add it again: %w",
		src.Name, megabytes(uint64(src.Bytes)), s.Scratch, free/1_000_000, bijou.Exhausted)
}

// megabytes rounds up.
func megabytes(n uint64) uint64 { return (n + 999_999) / 1_000_000 }

// begin enqueues the title's work. It fails with Conflict where a source of it is in use for another title, which lets go of it in the end.
func (s *Service) begin(ctx context.Context, t bijou.Title, work []bijou.Work) error {
	s.sources.Lock()
	defer s.sources.Unlock()
	needed, err := s.needed(ctx)
	if err != nil {
		return err
	}
	for _, id := range sourcesOf(work) {
		if needed[id] {
			return fmt.Errorf("add %q: source %s is in use for another title: hand the file in again: %w", t.Name, id, bijou.Conflict)
		}
	}
	return s.Work.Enqueue(ctx, work)
}

// undo has all removed that was begun for a title which the catalogue did not take, also where whoever asked for it has gone.
func (s *Service) undo(ctx context.Context, work []bijou.Work) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := s.discard(ctx, work[0], task{Sources: sourcesOf(work), Withdraw: true}); err != nil {
		s.Log.Error("a title that was not added is made all the same: remove it", "title", work[0].Title, "error", err)
	}
}

// prepare looks into the files and returns the title and its work.
func (s *Service) prepare(ctx context.Context, id bijou.TitleID, in AddTitle, src Source) (bijou.Title, []bijou.Work, error) {
	now := s.Now().UTC()
	t, err := draft(in, src.Name, now)
	if err != nil {
		return t, nil, err
	}
	t.ID = id
	sides, err := s.sides(ctx, in.Text)
	if err != nil {
		return t, nil, err
	}
	probe, err := s.probe(ctx, src)
	if err != nil {
		return t, nil, err
	}
	if in.Name == "" && sensible(probe.Title) {
		t.Name = probe.Title
	}
	if t.Kind == bijou.Episode {
		season, err := s.Editor.SeasonOf(ctx, in.Series, max(1, in.Season))
		if err != nil {
			return t, nil, err
		}
		t.Parent = season.ID
	}
	work, err := newPlan(t, src, probe, sides, now)
	return t, work, err
}

// Check refuses, as Invalid, what no title can be made of, as far as that can be told by the names of the film's file and of each text track's
// alone: whoever has large files to hand in asks it first.
func (in AddTitle) Check(film string, texts ...string) error {
	for _, name := range append([]string{film}, texts...) {
		if err := checkFileName(FileName(name)); err != nil {
			return err
		}
	}
	if _, err := draft(in, FileName(film), time.Time{}); err != nil {
		return err
	}
	_, err := textTracks(in.Text, texts)
	return err
}

// maxLabel bounds what a viewer chooses a text track by, in characters.
const maxLabel = 100

// draft returns the title that the request describes.
func draft(in AddTitle, file string, now time.Time) (bijou.Title, error) {
	lang := ""
	if in.Language != "" {
		var err error
		if lang, err = canonical(in.Language); err != nil {
			return bijou.Title{}, err
		}
	}
	t := bijou.Title{
		ID: bijou.NewID[bijou.TitleID](bijou.TitlePrefix), Kind: bijou.Film, Name: strings.TrimSpace(in.Name),
		Synopsis: in.Synopsis, Year: in.Year, Maturity: in.Maturity, Language: lang, Genres: in.Genres, Credit: in.Credit,
		State: bijou.Draft, Added: now, Updated: now,
	}
	if t.Name == "" {
		t.Name = nameOf(file)
	}
	switch {
	case in.Series != "":
		t.Kind, t.Number = bijou.Episode, in.Episode
		if err := bijou.CheckName(in.Series); err != nil {
			return t, fmt.Errorf("series: %w", err)
		}
		if in.Season < 0 || in.Episode < 1 {
			return t, fmt.Errorf("add %q: an episode needs its number within its season, from 1: say which it is: %w", t.Name, bijou.Invalid)
		}
	case in.Season != 0 || in.Episode != 0:
		return t, fmt.Errorf("add %q: a season and an episode belong to a series: name it: %w", t.Name, bijou.Invalid)
	}
	held := t
	if t.Kind == bijou.Episode {
		held.Parent = t.ID // stands for its season, which is found or made when the film is known to be good
	}
	return t, held.Check()
}

// CheckFiles refuses, as Invalid, a film and text tracks of which no title can be made. It looks into the files where they are.
func CheckFiles(ctx context.Context, films bijou.FilmTool, film string, texts []string) error {
	for _, path := range texts {
		if err := checkText(path); err != nil {
			return err
		}
	}
	info, err := os.Stat(film)
	if err == nil && info.Size() == 0 {
		return emptyFile(filepath.Base(film))
	}
	_, err = probe(ctx, films, film)
	return err
}

func checkText(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return unreadable(path, err)
	}
	if len(raw) == 0 {
		return emptyFile(filepath.Base(path))
	}
	_, err = captions.ToWebVTT(raw, path)
	return err
}

func unreadable(path string, err error) error {
	return fmt.Errorf("%s cannot be read (%w): check the name and the rights: %w", path, err, bijou.Invalid)
}

// fileEnding matches names that end as files do: "film.mp4", and not "Dr. Strangelove".
var fileEnding = regexp.MustCompile(`\.[0-9A-Za-z]{1,5}$`)

// nameOf makes a title's name of a file's: without its ending, with spaces for what stands in for them.
func nameOf(file string) string {
	name := file
	if fileEnding.MatchString(file) {
		name = strings.TrimSuffix(file, filepath.Ext(file))
	}
	if !strings.Contains(name, " ") {
		name = strings.NewReplacer("_", " ", ".", " ").Replace(name)
	}
	if name = strings.Join(strings.Fields(name), " "); name == "" {
		return file
	}
	return name
}

// sensible tells whether a film's own title is one, and not what a program wrote there by itself or a site left there.
func sensible(title string) bool {
	low := strings.ToLower(title)
	switch low {
	case "untitled", "unknown", "title", "no title", "default", "video", "movie", "film":
		return false
	}
	return bijou.CheckName(title) == nil && strings.ContainsFunc(title, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) &&
		!strings.Contains(low, "://") && !strings.Contains(low, "www.") && !filmEnding.MatchString(low)
}

// filmEnding matches what is the name of a film's file.
var filmEnding = regexp.MustCompile(`\.(mp4|m4v|mov|mkv|webm|avi|wmv|flv|mpe?g|m?ts|ogv)$`)

// sides returns the text tracks that come in files of their own.
func (s *Service) sides(ctx context.Context, in []TextSource) ([]side, error) {
	var sides []side
	var names []string
	for _, x := range in {
		src, err := s.source(ctx, x.Source)
		if err != nil {
			return nil, err
		}
		sides, names = append(sides, side{x, src}), append(names, src.Name)
	}
	tracks, err := textTracks(in, names)
	if err != nil {
		return nil, err
	}
	for i := range sides {
		sides[i].TextSource = tracks[i]
		if _, err := s.text(ctx, sides[i].source); err != nil {
			return nil, err
		}
	}
	return sides, nil
}

// textTracks returns the text tracks with language and kind in their usual form. It refuses two that viewers could not tell apart.
func textTracks(in []TextSource, names []string) (out []TextSource, err error) {
	taken := map[string]string{}
	for i, x := range in {
		if x.Language, err = canonical(x.Language); err != nil {
			return nil, fmt.Errorf("text track %q: %w", names[i], err)
		}
		switch x.Kind {
		case "":
			x.Kind = bijou.Subtitles
		case bijou.Subtitles, bijou.Captions, bijou.Descriptions:
		default:
			return nil, fmt.Errorf("text track %q: kind %q is none of subtitles, captions, descriptions: %w", names[i], x.Kind, bijou.Invalid)
		}
		if n := utf8.RuneCountInString(x.Label); n > maxLabel {
			return nil, fmt.Errorf("text track %q: its label has %d characters: use at most %d: %w", names[i], n, maxLabel, bijou.Invalid)
		}
		shown := label(x.Kind, x.Label, x.Language)
		if other, ok := taken[shown]; ok {
			return nil, fmt.Errorf("text tracks %q and %q would both be called %q: leave one out, or give it another kind or a label: %w", other, names[i], shown, bijou.Invalid)
		}
		taken[shown] = names[i]
		out = append(out, x)
	}
	return out, nil
}

func (s *Service) probe(ctx context.Context, src Source) (bijou.Probe, error) {
	folder, err := os.MkdirTemp(s.Scratch, "probe-*")
	if err != nil {
		return bijou.Probe{}, scratchFailure(err)
	}
	defer os.RemoveAll(folder) // what stays is removed at the next start
	path, err := s.film(ctx, src, folder)
	if err != nil {
		return bijou.Probe{}, err
	}
	return probe(ctx, s.Films, path)
}

// probe looks into the film. It fails with Invalid for one without a picture.
func probe(ctx context.Context, films bijou.FilmTool, path string) (bijou.Probe, error) {
	p, err := films.Probe(ctx, path)
	if err == nil && len(p.Video) == 0 {
		err = fmt.Errorf("%q has no moving picture: add a film: %w", filepath.Base(path), bijou.Invalid)
	}
	return p, err
}

// Titles returns a page of titles, whatever their state.
func (s *Service) Titles(ctx context.Context, in AllTitles) (bijou.TitlePage, error) {
	return s.Editor.AllTitles(ctx, bijou.TitleQuery{State: in.State, Before: in.Before, Limit: in.Limit})
}

// Title returns one title, whatever its state. It fails with NotFound for an unknown title.
func (s *Service) Title(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	return s.Editor.AnyTitle(ctx, id)
}

// RemoveTitle takes the title out of the catalogue and has its files removed soon after. It fails with NotFound for an unknown title and
// with Conflict for one that others name as their parent.
func (s *Service) RemoveTitle(ctx context.Context, id bijou.TitleID) error {
	t, err := s.Editor.AnyTitle(ctx, id)
	if err != nil {
		return err
	}
	ws, err := s.Work.WorkOf(ctx, id)
	if err != nil {
		return err
	}
	of := bijou.Work{Title: id, Asset: t.Asset, Created: t.Added}
	if len(ws) > 0 {
		of = ws[0]
	}
	if of.Asset == "" {
		return s.withdraw(ctx, id)
	}
	// The intent is durable before the title goes, so that no kill leaves files that nobody knows of.
	order := task{Sources: sourcesOf(ws), Withdraw: true}
	if err := s.discard(ctx, of, order); err != nil {
		return err
	}
	if err := s.withdraw(ctx, id); err != nil {
		return err
	}
	s.stopSteps(id)
	// Work that ended in between has all work of the title forgotten, this too. Once the title is gone, nothing ends well any more.
	return s.discard(ctx, of, order)
}

// withdraw takes the title out of the catalogue. One that is gone already is no failure.
func (s *Service) withdraw(ctx context.Context, id bijou.TitleID) error {
	if err := s.Editor.WithdrawTitle(ctx, id); err != nil && !errors.Is(err, bijou.NotFound) {
		return err
	}
	return nil
}

// discard enqueues the removal of an asset's files and of the sources. It comes before all work that is younger than the title's.
func (s *Service) discard(ctx context.Context, of bijou.Work, t task) error {
	w, err := newWork(of.Title, of.Asset, stepDiscard, t, of.Created)
	if err != nil {
		return err
	}
	defer s.nudge()
	return s.Work.Enqueue(ctx, []bijou.Work{w})
}

// followEvery is how often Follow looks; a person sees no faster.
const followEvery = 400 * time.Millisecond

// Follow sends how far the work on the title has come, whenever that changes, until the title is published or has failed.
// It fails with NotFound where the title is unknown or was removed.
func (s *Service) Follow(ctx context.Context, id bijou.TitleID, send func(Progress) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var last Progress
	for {
		// The work before the title: it is forgotten once the title says how it ended.
		ws, err := s.Work.WorkOf(ctx, id)
		if err != nil {
			return err
		}
		t, err := s.Editor.AnyTitle(ctx, id)
		if err != nil {
			return err
		}
		ws = slices.DeleteFunc(ws, func(w bijou.Work) bool { return w.Step == stepDiscard })
		p := progressOf(t, ws, s.Now())
		if p.Behind, err = s.behind(ctx, t, ws); err != nil {
			return err
		}
		if t.State == bijou.Draft {
			s.mu.Lock()
			p.Waits = s.stuck
			s.mu.Unlock()
		}
		p.Progress = max(p.Progress, last.Progress) // a step that is begun again is no step back for who watches the bar
		elapsed := p.Elapsed
		if p.Elapsed = 0; p != last {
			last, p.Elapsed = p, elapsed
			if err := send(p); err != nil {
				return err
			}
		}
		if t.State != bijou.Draft {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// behind returns how many films are made before a title of which nothing is begun. Steps are leased in the order in which they were added.
func (s *Service) behind(ctx context.Context, t bijou.Title, ws []bijou.Work) (n int, err error) {
	begun := func(w bijou.Work) bool { return w.State != bijou.WorkWaiting }
	if t.State != bijou.Draft || len(ws) == 0 || slices.ContainsFunc(ws, begun) {
		return 0, nil
	}
	queue, err := s.Work.Unfinished(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range queue[:max(0, slices.Index(queue, t.ID))] {
		other, err := s.Editor.AnyTitle(ctx, id)
		switch {
		case errors.Is(err, bijou.NotFound): // only its files are still to go
		case err != nil:
			return 0, err
		case other.State == bijou.Draft:
			n++
		}
	}
	return n, nil
}
