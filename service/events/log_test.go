package events_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"bijou"
	"bijou/engine/logfile"
	"bijou/kit/rpc"
	"bijou/service/events"
	"bijou/test/contract"
)

// there returns what the log is to who asks for it through a server.
func there(t testing.TB, log bijou.LogStore) *events.Client {
	t.Helper()
	server := httptest.NewServer(rpc.Handler(rpc.Deps{}, events.LogRoutes(log)...))
	client := rpc.NewClient(server.URL)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return events.NewClient(client)
}

func openLog(t testing.TB) *logfile.Log {
	t.Helper()
	l, err := logfile.Open(t.TempDir(), logfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestTheLogKeepsItsContractInAnotherProcess(t *testing.T) {
	contract.LogStore(t, func(t *testing.T) bijou.LogStore { return there(t, openLog(t)) })
}

// sleepy is a log in which the first waits come to nothing.
type sleepy struct {
	bijou.LogStore
	waits int
}

// Read implements bijou.LogStore.
func (s *sleepy) Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]bijou.Record, error) {
	if s.waits--; s.waits >= 0 {
		return nil, context.DeadlineExceeded
	}
	return s.LogStore.Read(ctx, topic, partition, from, limit)
}

func TestAReadWaitsLongerThanOneAnswerMay(t *testing.T) {
	s := &sleepy{openLog(t), 3}
	c := there(t, s)
	if _, err := c.Append(t.Context(), "facts", 0, []bijou.Record{{Value: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Read(t.Context(), "facts", 0, 0, 1)
	if err != nil || len(got) != 1 || s.waits != -1 {
		t.Errorf("got %d records (%v) with %d rounds left, want one after three rounds that brought none", len(got), err, s.waits)
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	l := openLog(t)
	c := there(t, much{l})
	got, err := c.Read(t.Context(), "facts", 0, 0, 100)
	if err != nil || len(got) != 8 {
		t.Errorf("got %d records of 1 MiB (%v), want 8 in one answer", len(got), err)
	}
	records := make([]bijou.Record, 33)
	for i := range records {
		records[i].Value = make([]byte, bijou.MaxRecord)
	}
	if _, err := c.Append(t.Context(), "facts", 0, records); !errors.Is(err, bijou.Invalid) {
		t.Errorf("append of 33 MiB: got %v, want Invalid", err)
	}
}

// much is a log whose every record is the largest.
type much struct{ bijou.LogStore }

// Read implements bijou.LogStore.
func (much) Read(_ context.Context, _ string, _ int, from int64, limit int) ([]bijou.Record, error) {
	records := make([]bijou.Record, limit)
	for i := range records {
		records[i] = bijou.Record{Offset: from + int64(i), At: now, Value: make([]byte, bijou.MaxRecord)}
	}
	return records, nil
}

func BenchmarkAppendThere(b *testing.B) {
	c := there(b, openLog(b))
	records := make([]bijou.Record, 1000)
	for i := range records {
		records[i] = bijou.Record{Key: make([]byte, 20), Value: make([]byte, 80)}
	}
	for b.Loop() {
		if _, err := c.Append(b.Context(), "facts", 0, records); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkReadThere(b *testing.B) {
	l := openLog(b)
	c := there(b, l)
	records := make([]bijou.Record, 1000)
	for i := range records {
		records[i] = bijou.Record{Key: make([]byte, 20), Value: make([]byte, 80)}
	}
	if _, err := l.Append(b.Context(), "facts", 0, records); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if got, err := c.Read(b.Context(), "facts", 0, 0, 1000); err != nil || len(got) != 1000 {
			b.Fatal(len(got), err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}
