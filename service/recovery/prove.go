package recovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"bijou"
)

// maxAsset bounds the description of an asset, in bytes.
const maxAsset = 64 << 20

// CheckTitles reads every file of every published title and compares it with what was noted when it was made. It returns how many titles and
// files there are, and fails with Corrupt where a file is missing or another.
func CheckTitles(ctx context.Context, titles bijou.TitleStore, blobs bijou.BlobStore) (count int, files int64, err error) {
	q := bijou.TitleQuery{Limit: 500}
	for {
		page, err := titles.Titles(ctx, q)
		if err != nil {
			return count, files, err
		}
		for _, t := range page.Titles {
			count++
			if t.Asset == "" {
				continue
			}
			n, err := checkAsset(ctx, t, blobs)
			if files += n; err != nil {
				return count, files, fmt.Errorf("title %s (%q): %w", t.ID, t.Name, err)
			}
		}
		if q.Before = page.Next; page.Next == "" {
			return count, files, nil
		}
	}
}

func checkAsset(ctx context.Context, t bijou.Title, blobs bijou.BlobStore) (files int64, err error) {
	a, err := readAsset(ctx, t.Asset, blobs)
	if err != nil {
		return 0, err
	}
	for part := range a.Parts() {
		if err := checkPart(ctx, a.ID, part, blobs); err != nil {
			return files, err
		}
		files++
	}
	return files, nil
}

func readAsset(ctx context.Context, id bijou.AssetID, blobs bijou.BlobStore) (a bijou.Asset, err error) {
	r, _, err := blobs.Get(ctx, id.Key(bijou.AssetFile), 0, -1)
	if err != nil {
		return a, missing(bijou.AssetFile, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(&until{ctx, r}, maxAsset))
	if err != nil {
		return a, unreadable(bijou.AssetFile, err)
	}
	if err := json.Unmarshal(b, &a); err != nil || a.ID != id {
		return a, fmt.Errorf("file %s does not describe asset %s: %w", bijou.AssetFile, id, bijou.Corrupt)
	}
	return a, nil
}

func checkPart(ctx context.Context, id bijou.AssetID, part bijou.AssetPart, blobs bijou.BlobStore) error {
	r, _, err := blobs.Get(ctx, id.Key(part.Name), 0, -1)
	if err != nil {
		return missing(part.Name, err)
	}
	defer r.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, &until{ctx, r})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return unreadable(part.Name, err)
	case part.Bytes >= 0 && n != part.Bytes, part.SHA256 != "" && hex.EncodeToString(sum.Sum(nil)) != part.SHA256:
		return fmt.Errorf("file %s is not what was made: %w", part.Name, bijou.Corrupt)
	}
	return nil
}

// unreadable counts a disk's failure as Corrupt. A store that is away says so itself.
func unreadable(name string, err error) error {
	kind := bijou.Corrupt
	if known := bijou.KindOf(err); known != "" {
		kind = known
	}
	return fmt.Errorf("file %s cannot be read (%s): %w", name, bijou.Sentence(err), kind)
}

func missing(name string, err error) error {
	if errors.Is(err, bijou.NotFound) {
		return fmt.Errorf("file %s is missing: %w", name, bijou.Corrupt)
	}
	return err
}
