// Package catalog is the room of titles: what can be watched, as members see it, and the editor's hand behind it.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"golang.org/x/text/language"
)

// Deps are what the room works with.
type Deps struct {
	Titles bijou.TitleStore // what editors read and write back
	Shown  bijou.TitleStore // the same titles as viewers read them, perhaps from a cache; Titles where nil
	Blobs  bijou.BlobStore  // posters
	Now    func() time.Time
}

// Service keeps the catalogue. It implements bijou.Titles and bijou.Editor.
type Service struct {
	Deps
	edit sync.Mutex // held from the reading of a title to its writing, so that none comes back that was removed in between
}

// New assembles the room.
func New(d Deps) *Service {
	if d.Shown == nil {
		d.Shown = d.Titles
	}
	return &Service{Deps: d}
}

// seenBy tells whether the caller may know of the title: a children's profile sees what is for children.
func seenBy(c bijou.Caller, t bijou.Title) bool { return !c.Children || t.Maturity.ForChildren() }

// PublishedTitle implements bijou.Titles.
func (s *Service) PublishedTitle(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	t, err := one(ctx, s.Shown, id)
	if err != nil {
		return bijou.Title{}, err
	}
	if t.State != bijou.Published || !seenBy(bijou.CallerOf(ctx), t) {
		return bijou.Title{}, noSuchTitle(id)
	}
	return t, nil
}

// AnyTitle implements bijou.Editor.
func (s *Service) AnyTitle(ctx context.Context, id bijou.TitleID) (bijou.Title, error) {
	return one(ctx, s.Titles, id)
}

// one returns the store's title.
func one(ctx context.Context, titles bijou.TitleStore, id bijou.TitleID) (bijou.Title, error) {
	if bijou.CheckID(id, bijou.TitlePrefix) != nil {
		return bijou.Title{}, noSuchTitle(id) // whatever that is, no title has it
	}
	t, err := titles.Title(ctx, id)
	if errors.Is(err, bijou.NotFound) {
		return bijou.Title{}, noSuchTitle(id)
	}
	return t, err
}

func noSuchTitle(id bijou.TitleID) error {
	return fmt.Errorf("no title %.80q is in the catalogue: %w", id, bijou.NotFound)
}

// AllTitles implements bijou.Editor.
func (s *Service) AllTitles(ctx context.Context, q bijou.TitleQuery) (bijou.TitlePage, error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, err := s.Titles.Titles(ctx, q)
	if page.Titles == nil {
		page.Titles = []bijou.Title{}
	}
	return page, err
}

// CreateTitle implements bijou.Editor.
func (s *Service) CreateTitle(ctx context.Context, t bijou.Title) (bijou.Title, error) {
	s.edit.Lock()
	defer s.edit.Unlock()
	old, err := s.Titles.Title(ctx, t.ID)
	if err == nil {
		return old, nil
	}
	if !errors.Is(err, bijou.NotFound) {
		return bijou.Title{}, err
	}
	if err := s.checkPlace(ctx, t); err != nil {
		return bijou.Title{}, err
	}
	t.State, t.Added, t.Updated = bijou.Draft, s.Now().UTC(), s.Now().UTC()
	return t, s.Titles.PutTitle(ctx, t)
}

// PublishAsset implements bijou.Editor.
func (s *Service) PublishAsset(ctx context.Context, a bijou.Asset) (bijou.Title, error) {
	s.edit.Lock()
	defer s.edit.Unlock()
	t, err := s.AnyTitle(ctx, a.Title)
	if err != nil || t.State == bijou.Published && t.Asset == a.ID {
		return t, err
	}
	if len(a.Video) == 0 {
		return bijou.Title{}, fmt.Errorf("publish %s: asset %s has no picture: %w", t.ID, a.ID, bijou.Invalid)
	}
	t.State, t.Reason, t.Asset, t.RuntimeMS, t.Tracks = bijou.Published, "", a.ID, a.RuntimeMS, a.Tracks()
	for _, v := range a.Video {
		t.Width, t.Height = max(t.Width, v.Width), max(t.Height, v.Height)
	}
	t.Updated = s.Now().UTC()
	// What holds it comes first: publishing is done again until the title itself is published.
	if err := s.publishAbove(ctx, t); err != nil {
		return bijou.Title{}, err
	}
	return t, s.Titles.PutTitle(ctx, t)
}

// FailTitle implements bijou.Editor.
func (s *Service) FailTitle(ctx context.Context, id bijou.TitleID, reason string) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	t, err := s.AnyTitle(ctx, id)
	if err != nil || t.State == bijou.Published {
		return err
	}
	t.State, t.Reason, t.Updated = bijou.Failed, reason, s.Now().UTC()
	return s.Titles.PutTitle(ctx, t)
}

// WithdrawTitle implements bijou.Editor.
func (s *Service) WithdrawTitle(ctx context.Context, id bijou.TitleID) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	if _, err := s.AnyTitle(ctx, id); err != nil {
		return err
	}
	return s.Titles.RemoveTitle(ctx, id)
}

// EditTitle changes what people are told of the title, and nothing else of it. Edits come one after another, each on what the one before it
// left, and so do they and what the studio says of the title: two that change different things both hold, and of two that change the same the
// later one does. It fails with NotFound for an unknown title, and with Invalid for what no catalogue can hold.
func (s *Service) EditTitle(ctx context.Context, id bijou.TitleID, e bijou.TitleEdit) (bijou.Title, error) {
	s.edit.Lock()
	defer s.edit.Unlock()
	old, err := s.AnyTitle(ctx, id)
	if err != nil {
		return bijou.Title{}, err
	}
	t := e.Of(old)
	t.Name = strings.TrimSpace(t.Name)
	if e.Language != nil && *e.Language != "" {
		tag, err := language.Parse(*e.Language)
		if err != nil {
			return bijou.Title{}, fmt.Errorf("%.80q is not a language tag: write one such as en, de or pt-BR (BCP 47): %w", *e.Language, bijou.Invalid)
		}
		t.Language = tag.String()
	}
	t.Updated = s.Now().UTC()
	return t, s.Titles.PutTitle(ctx, t)
}

// List returns a page of published titles, latest first. What the caller may not know of is left out, so that a page can be short; an empty
// one is the last.
func (s *Service) List(ctx context.Context, in ListQuery) (bijou.TitlePage, error) {
	q := bijou.TitleQuery{State: bijou.Published, Parent: in.Parent, Top: in.Top, Words: in.Words, Before: in.Before, Limit: in.Limit}
	for {
		page, err := s.AllTitles(ctx, q)
		if err != nil {
			return bijou.TitlePage{}, err
		}
		page.Titles = slices.DeleteFunc(page.Titles, func(t bijou.Title) bool { return !seenBy(bijou.CallerOf(ctx), t) })
		if q.Before = page.Next; len(page.Titles) > 0 || page.Next == "" {
			return page, nil
		}
	}
}

// Poster returns the title's poster: that of a series or a season is its first episode's.
func (s *Service) Poster(ctx context.Context, in OneTitle) (rpc.Body, error) {
	t, err := s.PublishedTitle(ctx, in.ID)
	if err != nil {
		return rpc.Body{}, err
	}
	if t, err = s.first(ctx, t); err != nil {
		return rpc.Body{}, err
	}
	r, _, err := s.Blobs.Get(ctx, t.Asset.Key(bijou.PosterFile), 0, -1)
	if errors.Is(err, bijou.NotFound) {
		return rpc.Body{}, fmt.Errorf("title %s has no poster: %w", in.ID, bijou.NotFound)
	}
	if err != nil {
		return rpc.Body{}, err
	}
	defer r.Close()
	const most = 4 << 20 // bytes: a still of at most 1280 pixels' width is far below
	b, err := io.ReadAll(io.LimitReader(r, most))
	// The asset names the poster for good; the title may get another asset, so browsers ask again after a while.
	return rpc.Body{ContentType: "image/jpeg", CacheControl: "public, max-age=300", ETag: string(t.Asset), Bytes: b}, err
}
