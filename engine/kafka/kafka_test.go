package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text returns records with these values.
func text(values ...string) (rs []bijou.Record) {
	for _, v := range values {
		rs = append(rs, bijou.Record{Value: []byte(v)})
	}
	return rs
}

func mustAppend(t *testing.T, l *Log, rs []bijou.Record) (first int64) {
	t.Helper()
	first, err := l.Append(t.Context(), "facts", 0, rs)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return first
}

// wantValues fails the test where partition 0 of the topic does not hold these values from the offset on.
func wantValues(t *testing.T, l *Log, from int64, want ...string) {
	t.Helper()
	var got []string
	for next := from; len(got) < len(want); {
		rs, err := l.Read(t.Context(), "facts", 0, next, len(want)-len(got))
		if err != nil {
			t.Fatalf("read from %d: %v", next, err)
		}
		for _, r := range rs {
			got, next = append(got, string(r.Value)), r.Offset+1
		}
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("from %d: got %q, want %q", from, got, want)
	}
}

func wantKind(t *testing.T, what string, err error, want bijou.Kind) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want one of kind %q", what, err, want)
	}
}

func TestAnAppendThatWasNotAcknowledgedIsSentAgainAndThereOnce(t *testing.T) {
	for _, why := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError,
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, // the records are there all the same
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch,
	} {
		l, c := openFake(t, "", Options{})
		mustAppend(t, l, text("0"))
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: why, Count: 2})
		if first := mustAppend(t, l, text("1", "2")); first != 1 {
			t.Errorf("%s: got offset %d, want 1", why.Message, first)
		}
		if first := mustAppend(t, l, text("3")); first != 3 {
			t.Errorf("%s: got offset %d after it, want 3", why.Message, first)
		}
		wantValues(t, l, 0, "0", "1", "2", "3")
	}
}

func TestAnAppendWhoseAnswerIsLostWithTheConnectionIsThereOnce(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0"))
	c.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("hang up"), true })
	mustAppend(t, l, text("1"))
	wantValues(t, l, 0, "0", "1")
}

func TestWhatAServerRefusesIsToldInItsKind(t *testing.T) {
	for why, want := range map[*kerr.Error]bijou.Kind{
		kerr.MessageTooLarge: bijou.Unsupported, kerr.RecordListTooLarge: bijou.Unsupported,
		kerr.TopicAuthorizationFailed: bijou.Denied, kerr.ClusterAuthorizationFailed: bijou.Denied,
	} {
		l, c := openFake(t, "", Options{})
		mustAppend(t, l, text("0"))
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: why, Count: 1})
		_, err := l.Append(t.Context(), "facts", 0, text("refused"))
		wantKind(t, why.Message, err, want)
		mustAppend(t, l, text("1"))
		wantValues(t, l, 0, "0", "1")
	}
}

// hold has the servers keep appends waiting until the function that it returns is called. The channel has one value for each that came.
func hold(t *testing.T, c *kfake.Cluster) (came chan struct{}, release func()) {
	t.Helper()
	came, free := make(chan struct{}, 100), make(chan struct{})
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	c.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		came <- struct{}{}
		c.SleepControl(func() { <-free })
		return nil, nil, false
	})
	return came, release
}

func TestAnAppendThatIsGivenUpBeforeItWasSentIsNotThere(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0"))
	came, release := hold(t, c)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := l.Append(t.Context(), "facts", 0, text("1")); err != nil {
			t.Errorf("append: %v", err)
		}
	})
	<-came
	late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := l.Append(late, "facts", 0, text("given up"))
	wantKind(t, "append behind one that waits", err, bijou.Unavailable)
	release()
	all.Wait()
	mustAppend(t, l, text("2"))
	wantValues(t, l, 0, "0", "1", "2")
}

func TestTheNextAppendAfterOneThatWasGivenUpIsOfAnotherEpoch(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0"))
	var mu sync.Mutex
	var epochs []string
	c.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		var head kmsg.RecordBatch
		err := head.ReadFrom(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records)
		mu.Lock()
		epochs = append(epochs, fmt.Sprint(head.ProducerEpoch, head.FirstSequence, err))
		mu.Unlock()
		return nil, nil, false
	})
	came, release := hold(t, c)
	ended, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := l.Append(ended, "facts", 0, text("given up"))
		result <- err
	}()
	<-came
	cancel()
	err := <-result
	wantKind(t, "append that is given up", err, bijou.Unavailable)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "there or not") {
		t.Errorf("append that is given up: got error %q, want one that says that nobody knows", err)
	}
	release()
	mustAppend(t, l, text("1"))
	mustAppend(t, l, text("2"))
	mu.Lock()
	defer mu.Unlock()
	got := strings.Join(slices.Compact(epochs), "|") // a request that waits for another is shown twice
	if want := "0 1 <nil>|1 0 <nil>|1 1 <nil>"; got != want {
		t.Errorf("epochs and sequence numbers: got %q, want %q", got, want)
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	l, c := openFake(t, "?partitions=5", Options{})
	mustAppend(t, l, text("0"))
	came, release := hold(t, c)
	large := make([]bijou.Record, 15)
	for i := range large {
		large[i].Value = make([]byte, bijou.MaxRecord)
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			if _, err := l.Append(t.Context(), "facts", 1+n, large); err != nil {
				t.Errorf("append to partition %d: %v", 1+n, err)
			}
		})
	}
	<-came
	for l.room.TryAcquire(5 << 20) { // until all four wait
		l.room.Release(5 << 20)
		runtime.Gosched()
	}
	late, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := l.Append(late, "facts", 0, large[:5])
	wantKind(t, "append beyond 64 MiB", err, bijou.Exhausted)
	release()
	all.Wait()
	if first := mustAppend(t, l, text("1")); first != 1 {
		t.Errorf("append when there is room again: got offset %d, want 1", first)
	}
}

func TestReadingGoesOnWithTheEarliestRecordThatIsKept(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0", "1", "2"))
	mustAppend(t, l, text("3", "4"))
	if err := c.DeleteRecords("bijou.facts", 0, 3); err != nil {
		t.Fatal(err)
	}
	wantValues(t, l, 1, "3", "4")
}

func TestAReadBeyondTheEndWaitsForThatOffset(t *testing.T) {
	l, _ := openFake(t, "", Options{})
	mustAppend(t, l, text("0"))
	got := make(chan []bijou.Record)
	go func() {
		rs, err := l.Read(t.Context(), "facts", 0, 3, 10)
		if err != nil {
			t.Errorf("read: %v", err)
		}
		got <- rs
	}()
	for n := range 5 {
		mustAppend(t, l, text(fmt.Sprint(n+1)))
	}
	if rs := <-got; len(rs) == 0 || rs[0].Offset != 3 || string(rs[0].Value) != "3" {
		t.Errorf("read from 3: got %+v, want the record at 3", rs)
	}
}

func TestAReadInPiecesFetchesOnce(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0", "1", "2", "3", "4", "5"))
	fetches := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
	for from := range int64(6) {
		rs, err := l.Read(t.Context(), "facts", 0, from, 1)
		if err != nil || len(rs) != 1 || rs[0].Offset != from {
			t.Fatalf("read from %d: got %+v and %v", from, rs, err)
		}
	}
	if n := fetches.Hits(); n != 1 {
		t.Errorf("fetches for six reads: got %d, want 1", n)
	}
}

func TestWhoLeadsMayChange(t *testing.T) {
	l, c := openFake(t, "?partitions=1", Options{}, kfake.NumBrokers(3))
	for n := range 9 {
		if first := mustAppend(t, l, text(fmt.Sprint(n))); first != int64(n) {
			t.Errorf("append %d: got offset %d", n, first)
		}
		wantValues(t, l, int64(n), fmt.Sprint(n))
		if err := c.MoveTopicPartition("bijou.facts", 0, int32(n%3)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATopicThatSomebodyRemovedIsMadeAnew(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0", "1"))
	wantValues(t, l, 0, "0", "1")
	if err := c.DeleteTopic("bijou.facts"); err != nil {
		t.Fatal(err)
	}
	if first := mustAppend(t, l, text("new")); first != 0 {
		t.Errorf("append to the removed topic: got offset %d, want 0", first)
	}
	wantValues(t, l, 0, "new")
}

// settingsOf returns the topic's settings as the servers have them.
func settingsOf(t *testing.T, c *kfake.Cluster, topic string) map[string]string {
	t.Helper()
	info := c.TopicInfo(topic)
	if info == nil {
		t.Fatalf("there is no topic %s", topic)
	}
	got := map[string]string{}
	for k, v := range info.Configs {
		got[k] = *v
	}
	return got
}

func TestATopicKeepsWhatTheConfigurationSaysAlsoWhenThatChanges(t *testing.T) {
	l, c := openFake(t, "?partitions=4&rf=3&prefix=x.", Options{
		Retain: bijou.Retention{Bytes: 4 << 30, Age: 20 * time.Hour}, Topics: map[string]bijou.Retention{"pulse": {Age: 5 * time.Minute}},
	}, kfake.NumBrokers(3))
	check := func(l *Log, topic string, want map[string]string) {
		t.Helper()
		if _, err := l.Partitions(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		got := settingsOf(t, c, "x."+topic)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("topic %s: got %s=%s, want %s", topic, k, got[k], v)
			}
		}
	}
	check(l, "facts", map[string]string{
		"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime", "max.message.bytes": "17825792", "min.insync.replicas": "2",
		"retention.bytes": "1073741824", "segment.bytes": "67108864", "retention.ms": "72000000", "segment.ms": "7200000",
	})
	check(l, "pulse", map[string]string{"retention.bytes": "-1", "retention.ms": "300000", "segment.ms": "60000"})
	changed := openLog(t, "kafka://"+strings.Join(c.ListenAddrs(), ",")+"?prefix=x.", Options{Retain: bijou.Retention{Bytes: 400, Age: time.Hour}})
	check(changed, "facts", map[string]string{"retention.ms": "3600000", "retention.bytes": "100", "min.insync.replicas": "2"})
	if n, err := changed.Partitions(t.Context(), "facts"); err != nil || n != 4 {
		t.Errorf("partitions of a topic that is there: got %d and %v, want the four that it was made with", n, err)
	}
}

func TestASignInThatIsRefusedIsDeniedAndTheRightOneIsLetIn(t *testing.T) {
	_, c := openFake(t, "", Options{}, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "ada", "secret"), kfake.Superuser("SCRAM-SHA-512", "bob", "secret"))
	host := strings.Join(c.ListenAddrs(), ",")
	for _, user := range []string{"ada:secret@%s?sasl=scram-sha-256", "bob:secret@%s"} {
		l := openLog(t, "kafka://"+fmt.Sprintf(user, host), Options{})
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("%s: got error %v, want none", user, err)
		}
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: -1})
	l := openLog(t, "kafka://bob:secret@"+host, Options{})
	_, readErr := l.Read(t.Context(), "facts", 0, 0, 1)
	for _, err := range []error{l.Check(t.Context()), readErr, l.Commit(t.Context(), "g", "facts", 0, 1)} {
		wantKind(t, "a password that is refused", err, bijou.Denied)
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestCheckTellsWhatIsWrong(t *testing.T) {
	old := kversion.V1_0_0()
	l, _ := openFake(t, "", Options{}, kfake.MaxVersions(old))
	wantKind(t, "servers of long ago", l.Check(t.Context()), bijou.Unsupported)
	l, c := openFake(t, "", Options{})
	c.ControlKey(kmsg.ApiVersions.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key := range kmsg.MaxKey {
			k := kmsg.ApiVersionsResponseApiKey{ApiKey: int16(key), MaxVersion: 20}
			if key == int(kmsg.OffsetCommit) {
				k.MinVersion = commitVersion + 1
			}
			answer.ApiKeys = append(answer.ApiKeys, k)
		}
		return answer, nil, true
	})
	wantKind(t, "servers of some day", l.Check(t.Context()), bijou.Unsupported)
	l, _ = openFake(t, "?rf=3", Options{}, kfake.NumBrokers(2))
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantKind(t, "too few servers", l.Check(soon), bijou.Unavailable)
	_, err := l.Append(soon, "facts", 0, text("x"))
	wantKind(t, "append to too few servers", err, bijou.Unavailable)
	l, _ = openFake(t, "", Options{})
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("check: got %v, want none", err)
	}
	if v, err := l.Version(t.Context()); err != nil || !strings.HasPrefix(v, "Kafka ") {
		t.Errorf("version: got %q and %v", v, err)
	}
}

// refused is an address at which nobody listens.
const refused = "127.0.0.1:1"

func TestWithoutServersEveryCallIsUnavailableWithinItsTime(t *testing.T) {
	l := openLog(t, "kafka://ada:secret@"+refused, Options{})
	for what, call := range map[string]func(context.Context) error{
		"append":     func(ctx context.Context) error { _, err := l.Append(ctx, "facts", 0, text("x")); return err },
		"commit":     func(ctx context.Context) error { return l.Commit(ctx, "g", "facts", 0, 1) },
		"committed":  func(ctx context.Context) error { _, err := l.Committed(ctx, "g", "facts", 0); return err },
		"partitions": func(ctx context.Context) error { _, err := l.Partitions(ctx, "facts"); return err },
		"check":      l.Check,
		"version":    func(ctx context.Context) error { _, err := l.Version(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := call(ctx)
		cancel()
		wantKind(t, what, err, bijou.Unavailable)
		if s := fmt.Sprint(err); !strings.Contains(s, refused) || strings.Contains(s, "secret") {
			t.Errorf("%s: got error %q, want one that names the server and no password", what, s)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Read(ctx, "facts", 0, 0, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: got %v, want its context's error", err)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	l, c := openFake(t, "", Options{})
	mustAppend(t, l, text("0"))
	reading := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
	results := make(chan error, 2)
	go func() { _, err := l.Read(t.Context(), "facts", 0, 1, 1); results <- err }()
	if err := reading.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	came, release := hold(t, c)
	go func() { _, err := l.Append(t.Context(), "facts", 0, text("1")); results <- err }()
	<-came
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantKind(t, "what waits when the log is closed", <-results, bijou.Unavailable)
	}
	release()
	_, err := l.Append(t.Context(), "facts", 0, text("2"))
	wantKind(t, "append to a closed log", err, bijou.Unavailable)
	_, err = l.Read(t.Context(), "facts", 0, 0, 1)
	wantKind(t, "read of a closed log", err, bijou.Unavailable)
}

func TestReadersAreBounded(t *testing.T) {
	l, _ := openFake(t, "", Options{})
	mustAppend(t, l, text("0"))
	p, err := l.partition(t.Context(), "facts", 0)
	if err != nil {
		t.Fatal(err)
	}
	var taken []*line
	for range maxLines {
		ln, err := l.take(p, 0)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, ln)
	}
	_, err = l.Read(t.Context(), "facts", 0, 0, 1)
	wantKind(t, "one read more than may be", err, bijou.Exhausted)
	for _, ln := range taken {
		l.lines.put(ln)
	}
	wantValues(t, l, 0, "0")
	if n := len(l.lines.idle); n > keptLines {
		t.Errorf("lines kept: got %d, want at most %d", n, keptLines)
	}
}

func TestByTLSTheServersCertificateHasToBeTrusted(t *testing.T) {
	known := httptest.NewTLSServer(nil) // for its certificate of 127.0.0.1
	defer known.Close()
	_, c := openFake(t, "", Options{}, kfake.TLS(known.TLS.Clone()))
	address := "kafka://" + strings.Join(c.ListenAddrs(), ",") + "?tls=true"
	wantKind(t, "a certificate that nobody here trusts", openLog(t, address, Options{}).Check(t.Context()), bijou.Denied)
	roots := x509.NewCertPool()
	roots.AddCert(known.Certificate())
	trusting := openLog(t, address, Options{}, kgo.DialTLSConfig(&tls.Config{RootCAs: roots}))
	if err := trusting.Check(t.Context()); err != nil {
		t.Errorf("a certificate that is trusted: got %v, want none", err)
	}
	mustAppend(t, trusting, text("0"))
	wantValues(t, trusting, 0, "0")
}
