package members

import (
	"context"
	"errors"
	"fmt"

	"bijou"
)

// watching returns the profile that watches by this sign-in. It fails with Conflict where that profile was deleted and none was chosen since.
func watching(ctx context.Context) (bijou.ProfileID, error) {
	id := bijou.CallerOf(ctx).Profile
	if id == "" {
		return "", fmt.Errorf("nobody is watching: choose a profile first: %w", bijou.Conflict)
	}
	return id, nil
}

// ReadList returns a page of the profile's own list, latest first.
func (s *Service) ReadList(ctx context.Context, in ListQuery) (bijou.ListPage, error) {
	id, err := watching(ctx)
	if err != nil {
		return bijou.ListPage{}, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = 100
	}
	page, err := s.Profiles.List(ctx, id, in.Before, limit)
	if page.Entries == nil {
		page.Entries = []bijou.ListEntry{}
	}
	return page, err
}

// AddToList puts a title on the profile's own list. It fails with NotFound for a title that the profile cannot see.
func (s *Service) AddToList(ctx context.Context, in OneListed) (struct{}, error) {
	id, err := watching(ctx)
	if err != nil {
		return struct{}{}, err
	}
	if _, err := s.Titles.PublishedTitle(ctx, in.Title); err != nil {
		return struct{}{}, err
	}
	err = s.Profiles.AddToList(ctx, bijou.ListEntry{Profile: id, Title: in.Title, Added: s.Now().UTC()})
	if errors.Is(err, bijou.NotFound) { // deleted in this moment
		err = fmt.Errorf("nobody is watching: choose a profile first: %w", bijou.Conflict)
	}
	return struct{}{}, err
}

// RemoveFromList takes a title off the profile's own list.
func (s *Service) RemoveFromList(ctx context.Context, in OneListed) (struct{}, error) {
	id, err := watching(ctx)
	if err != nil {
		return struct{}{}, err
	}
	if err := bijou.CheckID(in.Title, bijou.TitlePrefix); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.Profiles.RemoveFromList(ctx, id, in.Title)
}
