package catalog

import (
	"context"
	"fmt"
	"strings"

	"bijou"
)

// SeasonOf implements bijou.Editor.
func (s *Service) SeasonOf(ctx context.Context, series string, number int) (bijou.Title, error) {
	s.edit.Lock()
	defer s.edit.Unlock()
	series = strings.TrimSpace(series)
	found, err := s.all(ctx, bijou.TitleQuery{Top: true, Words: series}, func(t bijou.Title) bool {
		return t.Kind == bijou.Series && strings.EqualFold(t.Name, series)
	})
	if err != nil {
		return bijou.Title{}, err
	}
	if len(found) > 1 {
		return bijou.Title{}, fmt.Errorf("%d series have the name %q: give one of them another name first: %w", len(found), series, bijou.Conflict)
	}
	if len(found) == 0 {
		made, err := s.make(ctx, bijou.Title{Kind: bijou.Series, Name: series})
		if err != nil {
			return bijou.Title{}, err
		}
		found = append(found, made)
	}
	seasons, err := s.all(ctx, bijou.TitleQuery{Parent: found[0].ID}, func(t bijou.Title) bool { return t.Number == number })
	if err != nil || len(seasons) > 0 {
		return append(seasons, bijou.Title{})[0], err
	}
	return s.make(ctx, bijou.Title{Kind: bijou.Season, Parent: found[0].ID, Number: number, Name: fmt.Sprint("Season ", number)})
}

// make keeps a new series or season, as a draft.
func (s *Service) make(ctx context.Context, t bijou.Title) (bijou.Title, error) {
	t.ID, t.State = bijou.NewID[bijou.TitleID](bijou.TitlePrefix), bijou.Draft
	t.Added, t.Updated = s.Now().UTC(), s.Now().UTC()
	return t, s.Titles.PutTitle(ctx, t)
}

// all returns the titles that the query finds and that fit.
func (s *Service) all(ctx context.Context, q bijou.TitleQuery, fits func(bijou.Title) bool) (found []bijou.Title, err error) {
	q.Limit = 500
	for {
		page, err := s.Titles.Titles(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Titles {
			if fits(t) {
				found = append(found, t)
			}
		}
		if q.Before = page.Next; page.Next == "" {
			return found, nil
		}
	}
}

// checkPlace fails with Conflict where the title's parent holds one of its number already.
func (s *Service) checkPlace(ctx context.Context, t bijou.Title) error {
	if t.Parent == "" {
		return nil
	}
	same, err := s.all(ctx, bijou.TitleQuery{Parent: t.Parent}, func(o bijou.Title) bool { return o.Number == t.Number })
	if err == nil && len(same) > 0 {
		err = fmt.Errorf("add %q: the season has %s %d already, %q: give another number, or remove that one first: %w", t.Name, t.Kind.WithArticle(), t.Number, same[0].Name, bijou.Conflict)
	}
	return err
}

// publishAbove makes visible what the title is in.
func (s *Service) publishAbove(ctx context.Context, t bijou.Title) error {
	if t.Parent == "" {
		return nil
	}
	parent, err := s.AnyTitle(ctx, t.Parent)
	if err != nil {
		return err
	}
	if err := s.publishAbove(ctx, parent); err != nil || parent.State == bijou.Published {
		return err
	}
	parent.State, parent.Updated = bijou.Published, s.Now().UTC()
	return s.Titles.PutTitle(ctx, parent)
}

// first returns the title, or the first episode of a series or a season. It fails with NotFound where that holds none that can be seen.
func (s *Service) first(ctx context.Context, t bijou.Title) (bijou.Title, error) {
	if t.Kind != bijou.Series && t.Kind != bijou.Season {
		return t, nil
	}
	within, err := s.all(ctx, bijou.TitleQuery{Parent: t.ID, State: bijou.Published}, func(bijou.Title) bool { return true })
	if err != nil {
		return bijou.Title{}, err
	}
	if len(within) == 0 {
		return bijou.Title{}, fmt.Errorf("title %s has no poster: %w", t.ID, bijou.NotFound)
	}
	first := within[0]
	for _, o := range within {
		if o.Number < first.Number {
			first = o
		}
	}
	return s.first(ctx, first)
}
