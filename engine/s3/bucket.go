// Package s3 keeps blobs in a bucket of Amazon S3, or of any server that speaks its protocol, and looks for films in one.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"bijou"
	"bijou/kit/guard"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// callTime bounds a call that brings no content, with all its tries, where the caller sets no bound.
	callTime = 10 * time.Second
	// slowest is the rate, in bytes a second, below which a connection counts as dead.
	slowest = 128 << 10
	// tries of one request; the waits between them are 6 to 12 s together, which outlasts a failover.
	tries = 8
	// connections that are kept to the server for the next request.
	connections = 64
)

// patience says how long to wait for a server.
type patience struct {
	try     time.Duration // for an answer, so that a server that has stopped in its tracks leaves time for another try
	backoff time.Duration // before the second try; doubles each time
	stall   time.Duration // for the next bytes of an answer
}

var usual = patience{try: 4 * time.Second, backoff: 100 * time.Millisecond, stall: 10 * time.Second}

// bucket is one prefix of one bucket. It speaks to the server when it is first used.
type bucket struct {
	at   address
	turn chan struct{} // holds one, which is taken by who makes the client
	made *sdk.Client
	patience
}

func newBucket(at address) *bucket {
	b := &bucket{at: at, turn: make(chan struct{}, 1), patience: usual}
	b.turn <- struct{}{}
	return b
}

// lock waits for the turn.
func (b *bucket) lock(ctx context.Context) error {
	select {
	case <-b.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bucket) unlock() { b.turn <- struct{}{} }

// client returns the client, which finds out its credentials once.
func (b *bucket) client(ctx context.Context) (*sdk.Client, error) {
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	defer b.unlock()
	if b.made != nil {
		return b.made, nil
	}
	settings := []func(*config.LoadOptions) error{
		config.WithHTTPClient(awshttp.NewBuildableClient().
			WithDialerOptions(func(d *net.Dialer) { d.Timeout = 3 * time.Second }).
			WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost, t.TLSHandshakeTimeout = connections, usual.try })),
		config.WithLogger(logging.Nop{}),
		// Tries are counted by this package, by one rule for all engines.
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		// What is read is compared by the reader, who may have to put it together from several answers.
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if b.at.key != "" {
		settings = append(settings, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(b.at.key, b.at.secret, "")))
	}
	if b.at.region != "" {
		settings = append(settings, config.WithRegion(b.at.region))
	}
	c, err := config.LoadDefaultConfig(ctx, settings...)
	if err != nil {
		return nil, fmt.Errorf("open %s: the settings of AWS cannot be read (%v): see to its variables and to ~/.aws: %w", b.at, err, bijou.Invalid)
	}
	if c.Region == "" && b.at.endpoint == "" {
		return nil, fmt.Errorf("open %s: nobody says the bucket's region: say it in the address, region=…, or as AWS_REGION: %w", b.at, bijou.Invalid)
	}
	if c.Region == "" {
		c.Region = "us-east-1" // what servers elsewhere call theirs
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("open %s: there is no key: say KEY:SECRET@ in the address, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: %w", b.at, bijou.Denied)
	}
	b.made = sdk.NewFromConfig(c, func(o *sdk.Options) {
		o.UsePathStyle = b.at.pathStyle
		if b.at.endpoint != "" {
			o.BaseEndpoint = aws.String(b.at.endpoint)
		}
	})
	return b.made, nil
}

// do makes a request until it succeeds, fails for good, or its time is up: that of ctx, and that of each try.
func (b *bucket) do(ctx context.Context, what string, each time.Duration, f func(context.Context, *sdk.Client) error) error {
	c, err := b.client(ctx)
	if err != nil {
		return err
	}
	return guard.Do(ctx, guard.Policy{Timeout: each, Tries: tries, Backoff: b.backoff}, func(ctx context.Context) error {
		return b.failure(what, f(ctx, c))
	})
}

// ask makes a request that brings no content, within callTime where ctx has no end.
func (b *bucket) ask(ctx context.Context, what string, f func(context.Context, *sdk.Client) error) error {
	within, cancel := bounded(ctx)
	defer cancel()
	return b.late(ctx, what, b.do(within, what, b.try, f))
}

// bounded gives ctx an end where it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, callTime)
}

// late returns err as Unavailable where the time that is up is not the caller's.
func (b *bucket) late(ctx context.Context, what string, err error) error {
	if err == nil || ctx.Err() != nil || bijou.KindOf(err) != "" || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%s in %s: %s does not answer within %s: see that it runs and can be reached from here: %w", what, b.at, b.at.server(), callTime, bijou.Unavailable)
}

// transferTime bounds one try that moves n bytes.
func (b *bucket) transferTime(n int64) time.Duration {
	return b.try + time.Duration(n/slowest)*time.Second
}

// unsigned leaves the content out of the signature where TLS protects it: it carries a checksum that is signed.
func (b *bucket) unsigned(o *sdk.Options) {
	if !strings.HasPrefix(b.at.endpoint, "http://") {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
}

// wantChecksum asks the server to say the checksum that it keeps with an object.
func wantChecksum(o *sdk.Options) {
	o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("x-amz-checksum-mode", "ENABLED"))
}

// Version returns what the server says it is.
func (b *bucket) Version(ctx context.Context) (string, error) {
	name := "S3"
	err := b.ask(ctx, "find the bucket", func(ctx context.Context, c *sdk.Client) error {
		out, err := c.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: &b.at.bucket})
		if err != nil {
			return err
		}
		name = serverOf(out.ResultMetadata)
		return nil
	})
	if errors.Is(err, bijou.NotFound) {
		err = b.noBucket("find the bucket")
	}
	return name, err
}

// serverOf returns how the server names itself in its answer.
func serverOf(m middleware.Metadata) string {
	if res, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok {
		if name := res.Header.Get("Server"); name != "" {
			return name
		}
	}
	return "S3"
}

// page returns the objects below prefix whose keys follow after, both without the bucket's own prefix, in order of key, and whether there are more.
func (b *bucket) page(ctx context.Context, prefix, after string, limit int) (objects []types.Object, more bool, err error) {
	in := &sdk.ListObjectsV2Input{Bucket: &b.at.bucket, Prefix: aws.String(b.at.prefix + prefix), MaxKeys: aws.Int32(int32(limit))}
	if after != "" {
		in.StartAfter = aws.String(b.at.prefix + after)
	}
	err = b.ask(ctx, "list "+prefix, func(ctx context.Context, c *sdk.Client) error {
		out, err := c.ListObjectsV2(ctx, in)
		if err == nil {
			objects, more = out.Contents, aws.ToBool(out.IsTruncated) && len(out.Contents) > 0
		}
		return err
	})
	return objects, more, err
}
