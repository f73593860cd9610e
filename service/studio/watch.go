package studio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"bijou"

	"golang.org/x/text/language"
)

// What is known of films of the inbox is kept as blobs, one for each version of a file: under watchedBegun from before anything of it is taken in,
// and under watchedDone once it is a title, or refused for good. That one stays, so that no film is taken twice.
const (
	watchedBegun = "watched/begun/"
	watchedDone  = "watched/done/"
)

const (
	// maxAhead bounds the films that are taken in and not made yet: each takes its size of the disk.
	maxAhead = 4
	// maxInbox bounds the files that are looked at.
	maxInbox = 100_000
	// A film that cannot be taken now is tried again after firstWait, which doubles each time up to lastWait.
	firstWait, lastWait = time.Minute, time.Hour
)

// inboxEndings are those of files that are looked into. All else in the inbox is left alone.
var inboxEndings = []string{
	".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv",
}

// watched is what is kept of one version of a film's file.
type watched struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Title   bijou.TitleID `json:"title"`
	Reason  string        `json:"reason,omitempty"` // why it is refused
}

// arrival is a film in the inbox, with the text tracks beside it.
type arrival struct {
	film  bijou.InboxFile
	texts []arrivedText
}

type arrivedText struct {
	file     bijou.InboxFile
	language string
}

// key names the version of the film's file.
func (a arrival) key() string {
	sum := sha256.Sum256([]byte(a.film.Name + "\x00" + a.film.Version))
	return hex.EncodeToString(sum[:])
}

// watcher looks for films in the inbox.
type watcher struct {
	s      *Service
	done   map[string]bool            // keys of films that are titles or refused; nil until they are known
	before map[string]bijou.InboxFile // what the last look found
	later  map[string]*postponed      // films that could not be taken
	said   string                     // why the inbox cannot be looked at, as it was logged
}

type postponed struct {
	until time.Time
	wait  time.Duration
}

// watch looks for films until ctx ends.
func (s *Service) watch(ctx context.Context) error {
	w := &watcher{s: s, later: map[string]*postponed{}}
	tick := time.NewTicker(s.Config.WatchEvery)
	defer tick.Stop()
	for {
		err := w.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.say(err)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// say logs once why no film can be looked for, and that it can be again.
func (w *watcher) say(err error) {
	why := ""
	if err != nil {
		why = bijou.Sentence(err)
	}
	switch {
	case why == w.said:
	case err != nil:
		w.s.Log.Warn("no film can be looked for, which is tried again", "error", err)
	default:
		w.s.Log.Info("films are looked for again")
	}
	w.said = why
}

// look takes the films that are as they were at the last look.
func (w *watcher) look(ctx context.Context) error {
	if err := w.recall(ctx); err != nil {
		return err
	}
	files, err := w.list(ctx)
	if err != nil {
		return err
	}
	same := func(f bijou.InboxFile) bool { return w.before[f.Name] == f }
	now := w.s.Now()
	maps.DeleteFunc(w.later, func(_ string, p *postponed) bool { return now.Sub(p.until) > lastWait }) // long gone, or free again
	for _, a := range arrivals(files) {
		p := w.later[a.key()]
		steady := same(a.film) && !slices.ContainsFunc(a.texts, func(t arrivedText) bool { return !same(t.file) })
		if !steady || w.done[a.key()] || p != nil && now.Before(p.until) {
			continue
		}
		full, err := w.full(ctx)
		if err != nil {
			return err
		}
		if full {
			break
		}
		if err := w.take(ctx, a); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			w.postpone(a, err)
		}
	}
	w.before = map[string]bijou.InboxFile{}
	for _, f := range files {
		w.before[f.Name] = f
	}
	return nil
}

// full tells whether enough films are taken in.
func (w *watcher) full(ctx context.Context) (bool, error) {
	ids, err := w.s.Work.Unfinished(ctx)
	return len(ids) >= maxAhead, err
}

// postpone has the film tried later, and says why the first time.
func (w *watcher) postpone(a arrival, err error) {
	p := w.later[a.key()]
	if p == nil {
		p = &postponed{wait: firstWait / 2}
		w.later[a.key()] = p
		w.s.Log.Warn("a film of the inbox cannot be taken now, which is tried again", "file", a.film.Name, "error", err)
	}
	p.wait = min(2*p.wait, lastWait)
	p.until = w.s.Now().Add(p.wait)
}

// list returns the files of the inbox.
func (w *watcher) list(ctx context.Context) (all []bijou.InboxFile, err error) {
	const page = 1000
	after := ""
	for {
		files, err := w.s.Inbox.Files(ctx, after, page)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
		if len(all) > maxInbox {
			return nil, fmt.Errorf("the inbox has more than %d files: move those away that are titles already: %w", maxInbox, bijou.Exhausted)
		}
		if len(files) < page {
			return all, nil
		}
		after = files[page-1].Name
	}
}

// arrivals returns the films among the files, with the text tracks beside each: NAME.LANGUAGE.srt or .vtt for NAME.mp4.
func arrivals(files []bijou.InboxFile) (all []arrival) {
	byName := map[string]int{}
	for _, f := range files {
		if ending := path.Ext(f.Name); slices.Contains(inboxEndings, strings.ToLower(ending)) {
			byName[strings.TrimSuffix(f.Name, ending)] = len(all)
			all = append(all, arrival{film: f})
		}
	}
	for _, f := range files {
		name, lang := textOf(f.Name)
		if of, ok := byName[name]; ok && lang != "" {
			all[of].texts = append(all[of].texts, arrivedText{f, lang})
		}
	}
	return all
}

// textOf returns of which film the file is a text track, without the film's ending, and its language; none for what is no text track's name.
func textOf(file string) (film, lang string) {
	rest, ok := strings.CutSuffix(file, ".srt")
	if !ok {
		rest, ok = strings.CutSuffix(file, ".vtt")
	}
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 1 {
		return "", ""
	}
	if _, err := language.Parse(rest[dot+1:]); err != nil {
		return "", ""
	}
	return rest[:dot], rest[dot+1:]
}

// recall finds out, once, which films were taken before this process began. What was begun and became a title is one of them; what was
// begun and did not is taken anew.
func (w *watcher) recall(ctx context.Context) error {
	if w.done != nil {
		return nil
	}
	done := map[string]bool{}
	for b, err := range w.s.blobsBelow(ctx, watchedDone) {
		if err != nil {
			return err
		}
		done[strings.TrimPrefix(b.Key, watchedDone)] = true
	}
	for b, err := range w.s.blobsBelow(ctx, watchedBegun) {
		if err != nil {
			return err
		}
		key := strings.TrimPrefix(b.Key, watchedBegun)
		if done[key], err = w.settle(ctx, key, done[key]); err != nil {
			return err
		}
	}
	w.done = done
	return nil
}

// settle ends what a kill left begun, and tells whether the film is done.
func (w *watcher) settle(ctx context.Context, key string, done bool) (bool, error) {
	raw, err := w.s.read(ctx, watchedBegun+key, 1<<20)
	if err != nil {
		return false, err
	}
	var of watched
	if err := json.Unmarshal(raw, &of); err != nil {
		return false, fmt.Errorf("the note %s%s cannot be read (%v): delete that blob: %w", watchedBegun, key, err, bijou.Corrupt)
	}
	switch {
	case done:
	case of.Reason != "":
		return true, w.refuse(ctx, key, of)
	default:
		made, err := w.made(ctx, of.Title)
		if err != nil {
			return false, err
		}
		if made {
			return true, w.finish(ctx, key, of)
		}
	}
	return done, w.s.Blobs.Delete(ctx, watchedBegun+key)
}

// made tells whether the title is there, or will be since its work is.
func (w *watcher) made(ctx context.Context, id bijou.TitleID) (bool, error) {
	if _, err := w.s.Editor.AnyTitle(ctx, id); err == nil || !errors.Is(err, bijou.NotFound) {
		return err == nil, err
	}
	ws, err := w.s.Work.WorkOf(ctx, id)
	return len(ws) > 0, err
}

// take makes a title of the film, or refuses it for good where it is none. Any other failure is for a later try.
func (w *watcher) take(ctx context.Context, a arrival) error {
	key, of := a.key(), watched{Name: FileName(a.film.Name), Version: a.film.Version, Title: bijou.NewID[bijou.TitleID](bijou.TitlePrefix)}
	if err := w.note(ctx, watchedBegun+key, of); err != nil {
		return err
	}
	err := w.add(ctx, a, of.Title)
	switch bijou.KindOf(err) {
	case bijou.Invalid, bijou.Unsupported, bijou.Corrupt:
		of.Reason = bijou.Sentence(err)
		if err := w.note(ctx, watchedBegun+key, of); err != nil {
			return err
		}
		w.s.Log.Warn("a film of the inbox is refused", "file", of.Name, "title", of.Title, "error", err)
		return w.refuse(ctx, key, of)
	}
	if err != nil {
		return err
	}
	w.s.Log.Info("a film of the inbox is a title", "file", of.Name, "title", of.Title)
	return w.finish(ctx, key, of)
}

// add hands the files in and adds the title, as an operator does.
func (w *watcher) add(ctx context.Context, a arrival, id bijou.TitleID) (err error) {
	var in AddTitle
	var sent []bijou.SourceID
	defer func() {
		if err != nil {
			w.s.dropUnused(ctx, sent)
		}
	}()
	if err := w.s.mustFit(Source{Name: path.Base(a.film.Name), Bytes: a.film.Size}); err != nil {
		return err
	}
	for _, t := range a.texts {
		src, err := w.handIn(ctx, t.file)
		if err != nil {
			return err
		}
		sent = append(sent, src)
		in.Text = append(in.Text, TextSource{Source: src, Language: t.language})
	}
	if in.Source, err = w.handIn(ctx, a.film); err != nil {
		return err
	}
	sent = append(sent, in.Source)
	_, err = w.s.addTitle(ctx, id, in)
	return err
}

func (w *watcher) handIn(ctx context.Context, f bijou.InboxFile) (bijou.SourceID, error) {
	r, err := w.s.Inbox.Open(ctx, f)
	if err != nil {
		return "", err
	}
	defer r.Close()
	src, err := w.s.AddSource(ctx, path.Base(f.Name), r)
	return src.ID, err
}

// refuse lists the film as a title that failed, with the reason.
func (w *watcher) refuse(ctx context.Context, key string, of watched) error {
	now := w.s.Now().UTC()
	t, err := draft(AddTitle{}, path.Base(of.Name), now)
	if err != nil { // the file's name is none that a title could have
		t = bijou.Title{Kind: bijou.Film, Name: "A file of the inbox", State: bijou.Draft, Added: now, Updated: now}
	}
	t.ID = of.Title
	if _, err := w.s.Editor.CreateTitle(ctx, t); err != nil {
		return err
	}
	if err := w.s.fail(ctx, of.Title, of.Reason); err != nil {
		return err
	}
	return w.finish(ctx, key, of)
}

// finish notes that the film is never to be taken again.
func (w *watcher) finish(ctx context.Context, key string, of watched) error {
	if err := w.note(ctx, watchedDone+key, of); err != nil {
		return err
	}
	if w.done != nil {
		w.done[key] = true
	}
	return w.s.Blobs.Delete(ctx, watchedBegun+key)
}

func (w *watcher) note(ctx context.Context, key string, of watched) error {
	raw, err := json.Marshal(of)
	if err != nil {
		return err
	}
	_, err = w.s.Blobs.Put(ctx, key, bytes.NewReader(raw))
	return err
}
