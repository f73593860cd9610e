package s3

import (
	"context"
	"fmt"
	"io"
	"strings"

	"bijou"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Inbox implements bijou.Inbox on a prefix of a bucket, of which it reads and lists alone. A file's version is its object's ETag.
type Inbox struct{ *bucket }

// OpenInbox returns the inbox at an address as Open takes it. It does no I/O. It fails with Invalid for an address that nobody can read.
func OpenInbox(where string) (*Inbox, error) {
	at, err := parseAddress(where)
	if err != nil {
		return nil, err
	}
	return &Inbox{newBucket(at)}, nil
}

// Files implements bijou.Inbox.
func (i *Inbox) Files(ctx context.Context, after string, limit int) (out []bijou.InboxFile, err error) {
	for len(out) < limit {
		objects, more, err := i.page(ctx, "", after, min(limit-len(out), maxPage))
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			after = strings.TrimPrefix(aws.ToString(o.Key), i.at.prefix)
			if after != "" && !strings.HasSuffix(after, "/") && !strings.Contains("/"+after, "/.") { // consoles make folders of objects without content
				out = append(out, bijou.InboxFile{Name: after, Size: aws.ToInt64(o.Size), Version: aws.ToString(o.ETag)})
			}
		}
		if !more {
			break
		}
	}
	return out, nil
}

// Open implements bijou.Inbox.
func (i *Inbox) Open(ctx context.Context, f bijou.InboxFile) (io.ReadCloser, error) {
	r := &reader{b: i.bucket, ctx: ctx, what: fmt.Sprintf("read %q", f.Name), key: i.at.prefix + f.Name, length: -1, etag: &f.Version}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}
