package s3

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"bijou"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Get implements bijou.BlobStore. Its reader outlives connections: it goes on where one broke, as long as the object is the same. The last bytes
// of a whole blob are given once its checksum is right.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	if err := bijou.CheckKey(key); err != nil {
		return nil, bijou.Blob{}, err
	}
	if offset < 0 {
		return nil, bijou.Blob{}, fmt.Errorf("read blob %s from byte %d: say 0 or more: %w", key, offset, bijou.Invalid)
	}
	if err := s.use(ctx); err != nil {
		return nil, bijou.Blob{}, err
	}
	length = min(length, math.MaxInt64-offset)
	r := &reader{b: s.bucket, ctx: ctx, what: "read blob " + key, key: s.at.prefix + key, next: offset, length: length}
	var err error
	if length != 0 { // of nothing, S3 knows no range
		err = r.open()
	}
	if length == 0 || errors.Is(err, errBeyond) {
		b, err := s.Stat(ctx, key)
		if err == nil && offset > b.Size {
			err = fmt.Errorf("read blob %s from byte %d: it has %d: %w", key, offset, b.Size, bijou.Invalid)
		}
		return io.NopCloser(strings.NewReader("")), b, err
	}
	if err != nil {
		return nil, bijou.Blob{}, err
	}
	return r, bijou.Blob{Key: key, Size: r.size, Modified: r.modified}, nil
}

// errBeyond says that a range holds no byte of the object.
var errBeyond = fmt.Errorf("the range begins at the end or beyond it: %w", bijou.Invalid)

// reader reads a range of one object, over as many connections as it takes.
type reader struct {
	b      *bucket
	ctx    context.Context
	what   string
	key    string
	next   int64 // where the next byte is read from
	length int64 // of the range; negative to the end
	left   int64 // bytes that are still to be read, known once it is open

	opened   bool // what follows is known
	size     int64
	modified time.Time
	etag     *string // known before by who wants this object and no other
	version  *string // where the bucket keeps versions
	want     string  // the checksum of the whole; empty where a part is read, or nobody knows it
	sum      uint32

	body   io.ReadCloser
	cancel context.CancelFunc // ends the body's connection
	stall  *time.Timer        // does so too
	barren int                // connections in a row that brought no byte
	ended  error
}

// open asks for what is still to be read.
func (r *reader) open() error {
	within, cancel := bounded(r.ctx)
	defer cancel()
	return r.b.late(r.ctx, r.what, r.b.do(within, r.what, r.b.try, r.request))
}

// request makes one try. Its body lives as long as the reader's context, while the answer has to come within that of the try.
func (r *reader) request(ctx context.Context, c *sdk.Client) error {
	own, cancel := context.WithCancel(r.ctx)
	stop := context.AfterFunc(ctx, cancel)
	in := &sdk.GetObjectInput{Bucket: &r.b.at.bucket, Key: &r.key, IfMatch: r.etag, VersionId: r.version}
	last := ""
	switch {
	case r.opened:
		last = strconv.FormatInt(r.next+r.left-1, 10)
	case r.length >= 0:
		last = strconv.FormatInt(r.next+r.length-1, 10)
	}
	ranged := r.next > 0 || last != ""
	if ranged {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%s", r.next, last))
	}
	out, err := c.GetObject(own, in, wantChecksum)
	if err == nil && !stop() {
		out.Body.Close()
		err = ctx.Err()
	}
	if err != nil {
		stop()
		cancel()
		if late := ctx.Err(); late != nil {
			return late
		}
		return r.refused(err)
	}
	if err := r.take(out, ranged); err != nil {
		out.Body.Close()
		cancel()
		return err
	}
	r.body, r.cancel, r.stall = out.Body, cancel, time.AfterFunc(r.b.stall, cancel)
	r.stall.Stop()
	return nil
}

// refused gives the failures that a range and an object that changed have their own words.
func (r *reader) refused(err error) error {
	known := r.b.failure(r.what, err)
	var beyond interface{ ErrorCode() string }
	switch {
	case errors.As(err, &beyond) && beyond.ErrorCode() == "InvalidRange":
		return errBeyond
	case errors.Is(known, bijou.Conflict), r.opened && errors.Is(known, bijou.NotFound):
		return r.changed()
	}
	return known
}

func (r *reader) changed() error {
	return fmt.Errorf("%s in %s: it has changed meanwhile: read it again: %w", r.what, r.b.at, bijou.Conflict)
}

// take notes what the answer says of the object, or compares it with what the first one said.
func (r *reader) take(out *sdk.GetObjectOutput, ranged bool) error {
	if out.ContentLength == nil {
		return fmt.Errorf("%s in %s: the server does not say how much it sends: %w", r.what, r.b.at, bijou.Unavailable)
	}
	size, err := *out.ContentLength, error(nil)
	if ranged {
		_, total, _ := strings.Cut(aws.ToString(out.ContentRange), "/")
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return fmt.Errorf("%s in %s: the server's answer to a range has none (%q): %w", r.what, r.b.at, aws.ToString(out.ContentRange), bijou.Unavailable)
		}
	}
	if r.etag != nil && aws.ToString(out.ETag) != *r.etag || r.opened && size != r.size {
		return r.changed() // of a server that knows no conditions
	}
	if r.opened {
		return nil
	}
	r.opened, r.etag, r.size, r.modified, r.left = true, out.ETag, size, second(out.LastModified), *out.ContentLength
	if v := aws.ToString(out.VersionId); v != "" && v != "null" {
		r.version = &v
	}
	if !ranged {
		if word, ok := strings.CutPrefix(out.Metadata[putWord], ofSum); ok {
			r.want = word
		}
		if sum := aws.ToString(out.ChecksumCRC32C); sum != "" && out.ChecksumType != types.ChecksumTypeComposite && !strings.Contains(sum, "-") {
			r.want = sum
		}
	}
	return nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for r.ended == nil && len(p) > 0 {
		if r.left == 0 {
			r.end(io.EOF)
			break
		}
		if r.body == nil {
			if r.barren++; r.barren > tries {
				r.end(fmt.Errorf("%s in %s: the connection breaks again and again: see to the way to %s: %w", r.what, r.b.at, r.b.at.server(), bijou.Unavailable))
				break
			}
			if err := r.open(); err != nil {
				r.end(err)
				break
			}
		}
		n, err := r.readBody(p[:min(int64(len(p)), r.left)])
		if n > 0 {
			return n, r.ended
		}
		if err != nil {
			r.drop()
		}
		if ctxErr := r.ctx.Err(); ctxErr != nil {
			r.end(ctxErr)
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, r.ended
}

// readBody reads from the connection, and ends it where it brings nothing for too long.
func (r *reader) readBody(p []byte) (int, error) {
	r.stall.Reset(r.b.stall)
	n, err := r.body.Read(p)
	r.stall.Stop() // whoever reads may take their time between
	if n > 0 {
		r.barren = 0
		r.sum = crc32.Update(r.sum, castagnoli, p[:n])
		r.next += int64(n)
		r.left -= int64(n)
	}
	if r.left == 0 && r.want != "" && *sumText(r.sum) != r.want {
		r.end(fmt.Errorf("%s in %s: its bytes are not those that were stored, by their checksum: read it again, and if that does not help put it back from a backup: %w", r.what, r.b.at, bijou.Corrupt))
		return 0, r.ended
	}
	return n, err
}

// drop lets go of the connection.
func (r *reader) drop() {
	if r.body != nil {
		r.cancel()
		_ = r.body.Close() // nothing was written
		r.body = nil
	}
}

// end has all later reads fail with err.
func (r *reader) end(err error) {
	if r.left == 0 && r.body != nil {
		_, _ = r.body.Read(make([]byte, 1)) // to its end, so that the connection serves the next request
		_ = r.body.Close()                  // nothing was written
		r.cancel()
		r.body = nil
	}
	r.drop()
	r.ended = err
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.ended == nil {
		r.end(fmt.Errorf("%s: it is closed: %w", r.what, bijou.Invalid))
	}
	return nil
}
