package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"bijou"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// failure returns err as the bucket's: a sentence with the fix and the kind. What has a kind already passes through.
func (b *bucket) failure(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case bijou.KindOf(err) != "":
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer from %s in time: %w", what, b.at.server(), context.DeadlineExceeded)
	}
	status, code := 0, ""
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = re.HTTPStatusCode()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	return b.said(what, status, code, err)
}

// said tells what the server's answer means.
func (b *bucket) said(what string, status int, code string, err error) error {
	says := strings.TrimSpace(fmt.Sprintf("%d %s", status, code))
	switch {
	case code == "NoSuchBucket":
		return b.noBucket(what)
	case code == "NoSuchUpload":
		return fmt.Errorf("%s in %s: the upload was taken back by somebody: store it again: %w", what, b.at, bijou.NotFound)
	case code == "RequestTimeTooSkewed":
		return fmt.Errorf("%s in %s: this machine's clock is wrong (%s): set it: %w", what, b.at, says, bijou.Denied)
	case code == "AuthorizationHeaderMalformed", code == "PermanentRedirect", code == "IllegalLocationConstraintException", status == http.StatusMovedPermanently:
		return fmt.Errorf("%s in %s: the bucket is in another region (%s): say which in the address, region=…: %w", what, b.at, says, bijou.Invalid)
	case code == "InvalidRange", status == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%s in %s: the range begins beyond the end: %w", what, b.at, bijou.Invalid)
	case status == http.StatusInsufficientStorage, code == "XMinioStorageFull", code == "QuotaExceeded", code == "EntityTooLarge":
		return fmt.Errorf("%s in %s: it takes no more (%s): give it more space: %w", what, b.at, says, bijou.Exhausted)
	case status == http.StatusNotImplemented:
		return fmt.Errorf("%s in %s: the server does not know how (%s): use another: %w", what, b.at, says, bijou.Unsupported)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, code == "SlowDown", code == "RequestTimeout", code == "OperationAborted":
		return fmt.Errorf("%s in %s: %s cannot answer now (%s): %w", what, b.at, b.at.server(), says, bijou.Unavailable)
	case status == http.StatusPreconditionFailed, status == http.StatusConflict:
		return fmt.Errorf("%s in %s: it changed in between (%s): try again: %w", what, b.at, says, bijou.Conflict)
	case status == http.StatusNotFound:
		return fmt.Errorf("%s in %s: there is none: %w", what, b.at, bijou.NotFound)
	case status == http.StatusUnauthorized, status == http.StatusForbidden, code == "ExpiredToken", code == "InvalidToken":
		return fmt.Errorf("%s in %s: it was refused (%s): see that the key is right, and that it may do what the guide of S3 lists: %w", what, b.at, says, bijou.Denied)
	case code == "BadDigest", code == "XAmzContentSHA256Mismatch", code == "XAmzContentChecksumMismatch", code == "InvalidDigest":
		return fmt.Errorf("%s in %s: other bytes came there than were sent (%s): %w", what, b.at, says, bijou.Unavailable)
	case status >= 400:
		return fmt.Errorf("%s in %s: the request was refused (%s): %w", what, b.at, says, bijou.Invalid)
	}
	return fmt.Errorf("%s in %s: %s does not answer (%v): see that it runs and can be reached from here: %w", what, b.at, b.at.server(), cause(err), bijou.Unavailable)
}

// noBucket is no lack of a blob, so it is not NotFound; and it may be made while the service runs.
func (b *bucket) noBucket(what string) error {
	return fmt.Errorf("%s in %s: there is no bucket %s at %s: make it, or name another in the address: %w", what, b.at, b.at.bucket, b.at.server(), bijou.Unavailable)
}

// cause leaves out what the library says around the failure of a connection.
func cause(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}
