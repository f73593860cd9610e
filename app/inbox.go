package app

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"bijou"
	"bijou/engine/directory"
	"bijou/engine/s3"
)

// openInbox returns where films are looked for: nil for nowhere. It does no I/O. It fails with Invalid for what is neither a directory nor an
// address of S3, and for one that would hold the service's own files.
func openInbox(c Config) (bijou.Inbox, error) {
	where := c.Studio.Watch
	switch {
	case where == "":
		return nil, nil
	case strings.Contains(where, "://"):
		return s3.OpenInbox(where)
	case !filepath.IsAbs(where):
		// It may hold a key, so it is not repeated.
		return nil, fmt.Errorf("it is no place to look for films: write a directory from / on, or s3://BUCKET/PREFIX: %w", bijou.Invalid)
	}
	data, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data_dir %q is no path (%v): %w", c.DataDir, err, bijou.Invalid)
	}
	if below(where, data) || below(data, where) {
		return nil, fmt.Errorf("the directory %s lies within the data directory or holds it: choose another: %w", where, bijou.Invalid)
	}
	return directory.OpenInbox(where), nil
}

// below tells whether the path is the directory or lies below it.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// checkInbox looks whether films can be looked for, where they are.
func checkInbox(ctx context.Context, c Config) []Finding {
	const name = "inbox"
	inbox, err := openInbox(c)
	if err == nil && inbox == nil {
		return nil
	}
	if err == nil {
		_, err = inbox.Files(ctx, "", 1)
	}
	if err != nil {
		return []Finding{{name, FindingFailure, bijou.Sentence(err), "mend that, or change studio.watch"}}
	}
	return []Finding{{name, FindingOK, fmt.Sprintf("films are looked for every %s", c.Studio.WatchEvery), ""}}
}
