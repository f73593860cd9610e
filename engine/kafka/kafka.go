// Package kafka keeps the log of what happened in Apache Kafka: the log store of a service that runs on more than one machine.
//
// One Append is one record batch of Kafka's, or part of one that carries several: so its records are there together or not at all, whoever
// else appends. Each partition has an idempotent producer of its own (see append.go), and each Read that waits a connection (see read.go).
package kafka

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sync/semaphore"
)

const (
	// patience bounds a call whose context has no end of its own.
	patience = 10 * time.Second
	// maxWaiting bounds the records that wait to be appended, in bytes.
	maxWaiting = 64 << 20
	// answerTime is within how long a server answers what it need not wait for. A connection that is silent for longer is given up.
	answerTime = 3 * time.Second
)

// Options say how much is kept.
type Options struct {
	// Retain holds for each topic that Topics does not name.
	Retain bijou.Retention
	// Topics says what else holds for single topics.
	Topics map[string]bijou.Retention
}

// Log implements bijou.LogStore.
type Log struct {
	address address
	options Options
	client  *kgo.Client
	admin   *kadm.Client
	extra   []kgo.Opt // for tests: that every client has too
	lines   lines
	room    *semaphore.Weighted // of maxWaiting
	making  chan struct{}       // one token: held by whoever finds out about a topic

	ctx     context.Context // ends with Close
	close   context.CancelFunc
	senders sync.WaitGroup

	mu     sync.RWMutex
	topics map[string]*topic
}

// Open returns the log at the address, such as kafka://host1:9092,host2:9092?partitions=8&rf=3. It does no I/O: servers that are away are
// found out by the first call. It fails with Invalid for an address that nobody can read.
func Open(text string, o Options) (*Log, error) { return open(text, o) }

func open(text string, o Options, extra ...kgo.Opt) (*Log, error) {
	a, err := parse(text)
	if err != nil {
		return nil, err
	}
	l := &Log{
		address: a, options: o, extra: extra, topics: map[string]*topic{}, making: make(chan struct{}, 1),
		room: semaphore.NewWeighted(maxWaiting),
	}
	l.ctx, l.close = context.WithCancel(context.Background())
	if l.client, err = l.newClient(kgo.MaxVersions(versions())); err != nil {
		return nil, err
	}
	l.admin = kadm.NewClient(l.client)
	return l, nil
}

// versions are those of the requests that are made: all that are known, but for one.
func versions() *kversion.Versions {
	v := kversion.Tip()
	v.SetMaxKeyVersion(kmsg.OffsetCommit.Int16(), commitVersion)
	return v
}

func (l *Log) newClient(more ...kgo.Opt) (*kgo.Client, error) {
	o := append(l.address.options(),
		kgo.ClientID("bijou"), kgo.DisableClientMetrics(), kgo.DialTimeout(answerTime), kgo.RequestTimeoutOverhead(answerTime), kgo.RequestRetries(2),
		kgo.RetryBackoffFn(func(int) time.Duration { return firstPause }))
	c, err := kgo.NewClient(append(append(o, more...), l.extra...)...)
	if err != nil {
		return nil, fmt.Errorf("address of Kafka %s: %w: %w", strings.Join(l.address.brokers, ","), err, bijou.Invalid)
	}
	return c, nil
}

// bound returns a context that ends with the log, and after the term.
func (l *Log) bound(ctx context.Context, term time.Duration) (context.Context, context.CancelFunc) {
	own, cancel := context.WithTimeout(ctx, term)
	stop := context.AfterFunc(l.ctx, cancel)
	return own, func() { stop(); cancel() }
}

// patient returns a context that ends with the log, and within the time that a call may take.
func (l *Log) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return l.bound(ctx, time.Until(deadline))
	}
	return l.bound(ctx, patience)
}

// Close ends what is under way, with Unavailable. What was acknowledged is with the servers without it.
func (l *Log) Close() error {
	l.mu.Lock()
	l.close()
	l.mu.Unlock()
	l.senders.Wait()
	l.lines.close()
	l.client.Close()
	return nil
}

// Partitions implements bijou.LogStore.
func (l *Log) Partitions(ctx context.Context, name string) (int, error) {
	ctx, cancel := l.patient(ctx)
	defer cancel()
	t, err := l.topic(ctx, name)
	if err != nil {
		return 0, err
	}
	return len(t.partitions), nil
}

// Check returns nil when the servers answer, let this user in, and are new enough. Topics are made when they are first used.
func (l *Log) Check(ctx context.Context) error {
	ctx, cancel := l.patient(ctx)
	defer cancel()
	spoken, err := l.spoken(ctx)
	if err != nil {
		return err
	}
	has := map[int16]kmsg.ApiVersionsResponseApiKey{}
	for _, k := range spoken.ApiKeys {
		has[k.ApiKey] = k
	}
	for key, version := range needed {
		if k, ok := has[key.Int16()]; !ok || version < k.MinVersion && key == kmsg.OffsetCommit || version > k.MaxVersion {
			return fmt.Errorf("%s speaks versions %d to %d of the request %s, and %d is needed: use Kafka 4: %w", l, k.MinVersion, k.MaxVersion, key.Name(), version, bijou.Unsupported)
		}
	}
	m, err := l.admin.BrokerMetadata(ctx)
	if err != nil {
		return l.failure("check", err)
	}
	if n := len(m.Brokers); n < int(l.address.replicas) {
		return fmt.Errorf("%s has %d servers, and rf=%d keeps each record on so many: start the others, or say less: %w", l, n, l.address.replicas, bijou.Unavailable)
	}
	return nil
}

// needed are the requests, and of which version at least, that the log cannot do without. Offsets are committed by that version and no other.
var needed = map[kmsg.Key]int16{kmsg.Produce: 7, kmsg.Fetch: 11, kmsg.InitProducerID: 1, kmsg.IncrementalAlterConfigs: 0, kmsg.OffsetCommit: commitVersion}

// Version returns what the server is, as far as what it speaks tells.
func (l *Log) Version(ctx context.Context) (string, error) {
	ctx, cancel := l.patient(ctx)
	defer cancel()
	spoken, err := l.spoken(ctx)
	if err != nil {
		return "", err
	}
	return "Kafka " + kversion.FromApiVersionsResponse(spoken).VersionGuess(), nil
}

// spoken asks a server what it speaks.
func (l *Log) spoken(ctx context.Context) (answer *kmsg.ApiVersionsResponse, err error) {
	err = l.persist(ctx, "ask", func(ctx context.Context) (err error) {
		answer, err = kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, l.client)
		return err
	})
	return answer, err
}

// String names the log by its servers.
func (l *Log) String() string { return "Kafka at " + strings.Join(l.address.brokers, ",") }
