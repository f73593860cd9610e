package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"bijou"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Options are what somebody may want different.
type Options struct {
	PartBytes int64            // of an upload in parts; as the address says, else 16 MiB, where 0
	Parts     int              // of one upload on the way at once; 4 where 0. An upload takes PartBytes of memory for each of them, and once more
	Now       func() time.Time // the system's where nil
}

// Store implements bijou.BlobStore. A blob is the object PREFIX/KEY. Several processes may use the prefix.
type Store struct {
	*bucket
	o     Options
	ready bool      // what is kept is of a version that this program reads
	spare sync.Pool // of *bytes.Buffer, which nobody reads any more
}

const (
	partBytes = 16 << 20
	parts     = 4
	// leftOver is the age from which on an upload that was not finished is taken back: its process has died.
	leftOver = 72 * time.Hour
	// The mark says which version of the store the prefix holds. No blob's key begins with a dot.
	markKey = ".bijou"
	version = 1
)

// Open returns the store at the address, such as s3://KEY:SECRET@bucket/prefix?endpoint=https://host:port. It does no I/O: a server that is away
// is found out by the first call. It fails with Invalid for an address that nobody can read.
func Open(where string, o Options) (*Store, error) {
	at, err := parseAddress(where)
	if err != nil {
		return nil, err
	}
	if o.PartBytes == 0 {
		o.PartBytes = at.partBytes
	}
	if o.PartBytes == 0 {
		o.PartBytes = partBytes
	}
	if o.Parts == 0 {
		o.Parts = parts
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{bucket: newBucket(at), o: o}, nil
}

// Close lets go of nothing that lasts: connections end by themselves.
func (s *Store) Close() error { return nil }

// Check returns nil when the bucket can be used and what it keeps is of a version that this program reads. It marks a new prefix, and takes back
// uploads that died. It fails with Unavailable where the server or the bucket is away, with Denied where the key is wrong or may too little, and
// with Unsupported where a newer program wrote there.
func (s *Store) Check(ctx context.Context) error {
	within, cancel := bounded(ctx)
	defer cancel()
	return s.late(ctx, "open", s.check(within))
}

func (s *Store) check(ctx context.Context) error {
	if err := s.checkMark(ctx); err != nil {
		return err
	}
	if err := s.takeBack(ctx); err != nil && !errors.Is(err, bijou.Unsupported) {
		return err
	}
	return nil
}

// use is called before anything else: the first time, it checks.
func (s *Store) use(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	ready := s.ready
	s.unlock()
	if ready {
		return nil
	}
	if err := s.Check(ctx); err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.ready = true
	s.unlock()
	return nil
}

// checkMark reads the mark, and sets it where there is none. Of several processes that find none, one sets it.
func (s *Store) checkMark(ctx context.Context) error {
	const what = "read the mark"
	key := aws.String(s.at.prefix + markKey)
	var mark []byte
	read := func(ctx context.Context, c *sdk.Client) error {
		out, err := c.GetObject(ctx, &sdk.GetObjectInput{Bucket: &s.at.bucket, Key: key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		mark, err = io.ReadAll(io.LimitReader(out.Body, 64))
		return err
	}
	err := s.do(ctx, what, s.try, read)
	if errors.Is(err, bijou.NotFound) {
		err = s.do(ctx, "set the mark", s.try, func(ctx context.Context, c *sdk.Client) error {
			_, err := c.PutObject(ctx, &sdk.PutObjectInput{
				Bucket: &s.at.bucket, Key: key, Body: strings.NewReader(fmt.Sprintln(version)), IfNoneMatch: aws.String("*"),
			}, s.unsigned)
			return err
		})
		if err == nil || errors.Is(err, bijou.Conflict) {
			err = s.do(ctx, what, s.try, read)
		}
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(mark)))
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("open %s: the object %s there is not Bijou's: choose another prefix: %w", s.at, markKey, bijou.Unsupported)
	case n > version:
		return fmt.Errorf("open %s: what it keeps is of version %d, and this program reads %d: use the newer program that wrote it: %w", s.at, n, version, bijou.Unsupported)
	}
	return nil
}

// takeBack ends uploads of processes that died. What of them has arrived is not seen, but takes space.
func (s *Store) takeBack(ctx context.Context) error {
	var key, id *string
	for {
		var page *sdk.ListMultipartUploadsOutput
		err := s.do(ctx, "list unfinished uploads", s.try, func(ctx context.Context, c *sdk.Client) (err error) {
			page, err = c.ListMultipartUploads(ctx, &sdk.ListMultipartUploadsInput{Bucket: &s.at.bucket, Prefix: &s.at.prefix, KeyMarker: key, UploadIdMarker: id})
			return err
		})
		if errors.Is(err, bijou.NotFound) {
			return nil // as some servers say where there are none
		}
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if u.Initiated != nil && s.o.Now().Sub(*u.Initiated) > leftOver {
				if err := s.abort(ctx, u.Key, u.UploadId); err != nil {
					return err
				}
			}
		}
		if !aws.ToBool(page.IsTruncated) {
			return nil
		}
		key, id = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

// abort takes an upload back. One that is gone is no failure.
func (s *Store) abort(ctx context.Context, key, id *string) error {
	err := s.do(ctx, "take an upload back", s.try, func(ctx context.Context, c *sdk.Client) error {
		_, err := c.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: &s.at.bucket, Key: key, UploadId: id})
		return err
	})
	if errors.Is(err, bijou.NotFound) {
		return nil
	}
	return err
}

// Stat implements bijou.BlobStore.
func (s *Store) Stat(ctx context.Context, key string) (b bijou.Blob, err error) {
	if err := bijou.CheckKey(key); err != nil {
		return b, err
	}
	if err := s.use(ctx); err != nil {
		return b, err
	}
	err = s.ask(ctx, "find blob "+key, func(ctx context.Context, c *sdk.Client) error {
		out, err := c.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.at.bucket, Key: aws.String(s.at.prefix + key)})
		if err == nil {
			b = bijou.Blob{Key: key, Size: aws.ToInt64(out.ContentLength), Modified: second(out.LastModified)}
		}
		return err
	})
	return b, err
}

// second returns the time as HTTP tells it: lists tell the same time with fractions of a second.
func second(t *time.Time) time.Time { return aws.ToTime(t).UTC().Truncate(time.Second) }

// maxPage is the most that S3 lists at once.
const maxPage = 1000

// List implements bijou.BlobStore.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (out []bijou.Blob, err error) {
	if err := s.use(ctx); err != nil {
		return nil, err
	}
	for len(out) < limit {
		objects, more, err := s.page(ctx, prefix, after, min(limit-len(out), maxPage))
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			after = strings.TrimPrefix(aws.ToString(o.Key), s.at.prefix)
			if bijou.CheckKey(after) == nil { // others may keep their own beside the blobs
				out = append(out, bijou.Blob{Key: after, Size: aws.ToInt64(o.Size), Modified: second(o.LastModified)})
			}
		}
		if !more {
			break
		}
	}
	return out, nil
}

// Delete implements bijou.BlobStore.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := bijou.CheckKey(key); err != nil {
		return err
	}
	if err := s.use(ctx); err != nil {
		return err
	}
	err := s.ask(ctx, "delete blob "+key, func(ctx context.Context, c *sdk.Client) error {
		_, err := c.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &s.at.bucket, Key: aws.String(s.at.prefix + key)})
		return err
	})
	if errors.Is(err, bijou.NotFound) {
		return nil
	}
	return err
}
