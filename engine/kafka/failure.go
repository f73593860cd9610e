package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The pauses between two tries at what is unavailable: doubled from the first to the last.
const firstPause, lastPause = 50 * time.Millisecond, 400 * time.Millisecond

// persist tries until it succeeds, fails with anything but Unavailable, or ctx ends. It returns the last failure, as the log's.
func (l *Log) persist(ctx context.Context, doing string, try func(context.Context) error) error {
	var last error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // why it failed, rather than that time was up
		}
		if failure := l.failure(doing, last); ctx.Err() != nil || bijou.KindOf(failure) != bijou.Unavailable {
			return failure
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return l.failure(doing, last)
		case <-timer.C:
		}
	}
}

// denied are the failures that another user, password or right mends.
var denied = []error{
	kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism, kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed,
	kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
}

// tooLarge are the failures of a server that takes less at once than it should.
var tooLarge = []error{kerr.MessageTooLarge, kerr.RecordListTooLarge}

func oneOf(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// failure returns err as the log's: a sentence with the fix and the kind. What has a kind already passes through.
func (l *Log) failure(doing string, err error) error {
	var refused *kerr.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case l.ctx.Err() != nil:
		return fmt.Errorf("%s is closed: %w", l, bijou.Unavailable)
	case bijou.KindOf(err) != "":
		return err
	case oneOf(err, denied):
		return fmt.Errorf("%s: %s (%w): give the address a user with the right to do so: %w", l, doing, err, bijou.Denied)
	case oneOf(err, tooLarge):
		return fmt.Errorf("%s: %s (%w): set max.message.bytes of the topic to %d, and socket.request.max.bytes above it: %w", l, doing, err, messageBytes, bijou.Unsupported)
	case errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.InvalidConfig), errors.Is(err, kerr.UnsupportedVersion):
		return fmt.Errorf("%s: %s (%w): have the servers allow it, or make the topic by hand: %w", l, doing, err, bijou.Unsupported)
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("%s: %s (%w): start as many servers as rf in the address says, or say less: %w", l, doing, err, bijou.Unavailable)
	case errors.As(err, &untrusted):
		return fmt.Errorf("%s: %s (%w): have this machine trust who signed the servers' certificates: %w", l, doing, err, bijou.Denied)
	case errors.As(err, &refused) && !refused.Retriable:
		return fmt.Errorf("%s: %s (%w): see the servers' own logs: %w", l, doing, err, bijou.Unavailable)
	}
	return fmt.Errorf("%s: %s (%w): see that the servers run and can be reached from here: %w", l, doing, err, bijou.Unavailable)
}
