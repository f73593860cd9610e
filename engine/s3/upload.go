package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"bijou"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// Each blob carries its CRC-32C, which the server compares when the bytes come in and the reader when they come out: as S3 keeps checksums, and
// for servers that keep none as a word beside the object, where it is known beforehand.
const (
	putWord  = "put" // the word's name: what it says begins with one of these
	ofSum    = "crc32c:"
	ofUpload = "upload:" // by which an upload that was completed is told from another under the same key
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumText returns a CRC-32C as S3 writes it.
func sumText(sum uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum)))
}

// Put implements bijou.BlobStore. A blob of less than PartBytes is one request. What is longer goes out in parts while it comes in, and is seen
// when all have arrived.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (bijou.Blob, error) {
	if err := bijou.CheckKey(key); err != nil {
		return bijou.Blob{}, err
	}
	if err := s.use(ctx); err != nil {
		return bijou.Blob{}, err
	}
	u := &upload{s: s, key: key, source: &source{ctx: ctx, r: r}}
	first := s.buffer()
	if known, ok := r.(interface{ Len() int }); ok {
		first.Grow(int(min(int64(known.Len()), s.o.PartBytes)) + bytes.MinRead)
	}
	if err := u.fill(first); err != nil {
		return bijou.Blob{}, err
	}
	var err error
	if int64(first.Len()) < s.o.PartBytes {
		err = u.whole(ctx, first)
	} else {
		err = u.inParts(ctx, first)
	}
	if err != nil {
		return bijou.Blob{}, err
	}
	// The answer does not tell the time by which the server knows the object.
	b, err := s.Stat(ctx, key)
	if errors.Is(err, bijou.NotFound) { // somebody was quick to delete it
		b, err = bijou.Blob{Key: key, Modified: s.o.Now().UTC().Truncate(time.Second)}, nil
	}
	b.Size = u.size
	return b, err
}

// buffer returns an empty buffer.
func (s *Store) buffer() *bytes.Buffer {
	b, ok := s.spare.Get().(*bytes.Buffer)
	if !ok {
		return &bytes.Buffer{}
	}
	b.Reset()
	return b
}

// upload is one Put.
type upload struct {
	s      *Store
	key    string
	source *source
	size   int64
	sum    uint32 // of all that was read so far
}

// source passes on r's own failure, and stops when ctx ends.
type source struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// fill reads the next part, which is empty at the end.
func (u *upload) fill(b *bytes.Buffer) error {
	n, err := b.ReadFrom(io.LimitReader(u.source, u.s.o.PartBytes))
	u.size += n
	u.sum = crc32.Update(u.sum, castagnoli, b.Bytes())
	return err
}

// object is the key as the bucket has it.
func (u *upload) object() *string { return aws.String(u.s.at.prefix + u.key) }

// whole stores it by one request.
func (u *upload) whole(ctx context.Context, content *bytes.Buffer) error {
	sum, sent := sumText(u.sum), 0
	err := u.s.do(ctx, "store blob "+u.key, u.s.transferTime(u.size), func(ctx context.Context, c *sdk.Client) error {
		sent++
		_, err := c.PutObject(ctx, &sdk.PutObjectInput{
			Bucket: &u.s.at.bucket, Key: u.object(), Body: bytes.NewReader(content.Bytes()), ContentLength: aws.Int64(u.size),
			ChecksumCRC32C: sum, Metadata: map[string]string{putWord: ofSum + *sum},
		}, u.s.unsigned)
		return err
	})
	if err == nil && sent == 1 { // else a connection that was given up may still read it
		u.s.spare.Put(content)
	}
	return err
}

// inParts stores it in parts, of which first is one. Where that fails nothing is left but what the server forgets in the end.
func (u *upload) inParts(ctx context.Context, first *bytes.Buffer) error {
	mark := bijou.NewID[string](ofUpload)
	var id *string
	err := u.s.do(ctx, "store blob "+u.key, u.s.try, func(ctx context.Context, c *sdk.Client) error {
		out, err := c.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{
			Bucket: &u.s.at.bucket, Key: u.object(), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
			Metadata: map[string]string{putWord: mark},
		})
		if err == nil {
			id = out.UploadId
		}
		return err
	})
	if err != nil {
		return err
	}
	done, err := u.send(ctx, id, first)
	if err == nil {
		err = u.complete(ctx, id, mark, done)
	}
	if err == nil {
		return nil
	}
	// Also where the caller has gone. What stays all the same is taken back when it is as old as leftOver, so that a failure here has no one to be told.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	_ = u.s.abort(ctx, u.object(), id)
	return err
}

// gone returns err as Unavailable where the upload is no more: it is not the blob that is NotFound.
func (u *upload) gone(err error) error {
	if errors.Is(err, bijou.NotFound) {
		return fmt.Errorf("%s: %w", bijou.Sentence(err), bijou.Unavailable)
	}
	return err
}

// send sends the parts, as many at once as the options say, and returns what the server says of them in their order.
func (u *upload) send(ctx context.Context, id *string, first *bytes.Buffer) ([]types.CompletedPart, error) {
	g, ctx := errgroup.WithContext(ctx)
	free := make(chan *bytes.Buffer, u.s.o.Parts+1) // first comes to it
	for range u.s.o.Parts {
		free <- nil
	}
	var done []*types.CompletedPart
	next := func() error {
		for part := first; part.Len() > 0; {
			if len(done) == maxParts {
				return fmt.Errorf("store blob %s: it has more than %d parts of %d bytes: say a larger part_mb in the address: %w", u.key, maxParts, u.s.o.PartBytes, bijou.Exhausted)
			}
			p := &types.CompletedPart{PartNumber: aws.Int32(int32(len(done) + 1))}
			done = append(done, p)
			sending := part
			g.Go(func() error {
				sent, err := u.part(ctx, id, p, sending.Bytes())
				if err != nil || sent > 1 { // a connection that was given up may still read it
					sending = nil
				}
				free <- sending
				return err
			})
			select {
			case part = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if part == nil {
				part = u.s.buffer()
				part.Grow(int(u.s.o.PartBytes) + bytes.MinRead)
			}
			part.Reset()
			if err := u.fill(part); err != nil {
				return err
			}
		}
		return nil
	}
	err := next()
	if err != nil {
		g.Go(func() error { return err }) // ends those on the way
	}
	if sent := g.Wait(); err == nil {
		err = sent
	}
	for range len(free) {
		if spare := <-free; spare != nil {
			u.s.spare.Put(spare)
		}
	}
	out := make([]types.CompletedPart, len(done))
	for i, p := range done {
		out[i] = *p
	}
	return out, err
}

// part sends one part, notes what the server says of it, and returns how often it was sent.
func (u *upload) part(ctx context.Context, id *string, p *types.CompletedPart, content []byte) (sent int, err error) {
	p.ChecksumCRC32C = sumText(crc32.Checksum(content, castagnoli))
	n := int64(len(content))
	err = u.s.do(ctx, "store blob "+u.key, u.s.transferTime(n), func(ctx context.Context, c *sdk.Client) error {
		sent++
		out, err := c.UploadPart(ctx, &sdk.UploadPartInput{
			Bucket: &u.s.at.bucket, Key: u.object(), UploadId: id, PartNumber: p.PartNumber, Body: bytes.NewReader(content), ContentLength: &n,
			ChecksumCRC32C: p.ChecksumCRC32C,
		}, u.s.unsigned)
		if err == nil {
			p.ETag = out.ETag
		}
		return err
	})
	return sent, u.gone(err)
}

// completeTime bounds a try to put the parts together, which servers may do by copying them.
const completeTime = 2 * time.Minute

// complete makes of the parts the blob. Where an answer was lost, the next try finds no upload any more, and looks whether the blob is this one.
func (u *upload) complete(ctx context.Context, id *string, mark string, done []types.CompletedPart) error {
	err := u.s.do(ctx, "store blob "+u.key, completeTime, func(ctx context.Context, c *sdk.Client) error {
		_, err := c.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{
			Bucket: &u.s.at.bucket, Key: u.object(), UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
			ChecksumCRC32C: sumText(u.sum), ChecksumType: types.ChecksumTypeFullObject,
		})
		return err
	})
	if !errors.Is(err, bijou.NotFound) {
		return err
	}
	found := ""
	looked := u.s.ask(ctx, "find blob "+u.key, func(ctx context.Context, c *sdk.Client) error {
		out, err := c.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &u.s.at.bucket, Key: u.object()})
		if err == nil {
			found = out.Metadata[putWord]
		}
		return err
	})
	if looked == nil && found == mark {
		return nil
	}
	return u.gone(err)
}
