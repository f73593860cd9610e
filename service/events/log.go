package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"bijou"
	"bijou/kit/rpc"
)

// LogPath begins the addresses of the log's methods, for processes of the service that do not open the log.
const LogPath = "/role/events/log/"

const (
	// maxAppend bounds the records of one Append that travel together, in bytes.
	maxAppend = 32 << 20
	// maxRead bounds the records of one answer, in bytes; the one that crosses it is sent whole.
	maxRead = 8 << 20
	// readWait is how long a read waits for its first record before it answers that there is none yet, and is asked again: so a way that has
	// broken unseen is found out, and no proxy ends it. It is shorter than a Document's time.
	readWait = 5 * time.Second
)

// logPart names a partition.
type logPart struct {
	Topic     string `query:"topic"`
	Partition int    `query:"partition"`
}

// logPlace names a place in a partition.
type logPlace struct {
	logPart
	From  int64 `query:"from"`
	Limit int   `query:"limit"`
}

// appended says where records lie.
type appended struct {
	First int64 `json:"first"`
}

const recordsType = "application/vnd.bijou.records"

var (
	appendLog    = rpc.Upload[logPart, appended]{Verb: "POST", Path: LogPath + "records", Summary: "Append records", Needs: rpc.Internal, MaxBytes: maxAppend}
	readLog      = rpc.Document[logPlace]{Verb: "GET", Path: LogPath + "records", Summary: "Read records", Needs: rpc.Internal, ContentType: recordsType}
	commitLog    = rpc.Tell4[string, string, int, int64]{Path: LogPath + "commit", Again: true}
	committedLog = rpc.Ask3[string, string, int, int64]{Path: LogPath + "committed", Again: true}
	partsOfLog   = rpc.Ask1[string, int]{Path: LogPath + "partitions", Again: true}
)

// LogRoutes are the methods of the log, for processes of the service that do not open it.
func LogRoutes(log bijou.LogStore) []rpc.Route {
	return []rpc.Route{
		appendLog.Serve(func(ctx context.Context, in logPart, r io.Reader) (appended, error) {
			b, err := io.ReadAll(r)
			if err != nil {
				return appended{}, err
			}
			records, err := decodeRecords(b)
			if err != nil {
				return appended{}, fmt.Errorf("append to topic %.100s: %w: %w", in.Topic, err, bijou.Invalid)
			}
			first, err := log.Append(ctx, in.Topic, in.Partition, records)
			return appended{first}, err
		}),
		readLog.Serve(func(ctx context.Context, in logPlace) (rpc.Body, error) {
			ctx, cancel := context.WithTimeout(ctx, readWait)
			defer cancel()
			records, err := log.Read(ctx, in.Topic, in.Partition, in.From, in.Limit)
			if bijou.KindOf(err) == "" && errors.Is(err, context.DeadlineExceeded) {
				return rpc.Body{}, nil // there is none yet
			}
			var b []byte
			for _, r := range records {
				if b = encodeRecord(b, r); len(b) >= maxRead {
					break
				}
			}
			return rpc.Body{Bytes: b}, err
		}),
		commitLog.Serve(log.Commit), committedLog.Serve(log.Committed), partsOfLog.Serve(log.Partitions),
	}
}

// Client is the log of the process that opens it. It implements bijou.LogStore.
type Client struct{ c *rpc.Client }

// NewClient returns the log behind c, which has to be known there as a process of the service.
func NewClient(c *rpc.Client) *Client { return &Client{c} }

// Append implements bijou.LogStore. It is tried once: where it fails with Unavailable, the records may be there all the same.
func (c *Client) Append(ctx context.Context, topic string, partition int, records []bijou.Record) (int64, error) {
	size := 0
	for _, r := range records {
		size += len(r.Key) + len(r.Value) + 16
	}
	if size > maxAppend {
		return 0, fmt.Errorf("append to topic %s: the records have %d bytes together and may have %d: append them in parts: %w", topic, size, maxAppend, bijou.Invalid)
	}
	b := make([]byte, 0, size)
	for _, r := range records {
		b = encodeRecord(b, bijou.Record{Key: r.Key, Value: r.Value})
	}
	ctx, cancel := context.WithTimeout(ctx, rpc.DefaultTimeout)
	defer cancel()
	out, err := appendLog.Do(ctx, c.c, logPart{topic, partition}, bytes.NewReader(b))
	return out.First, err
}

// Read implements bijou.LogStore.
func (c *Client) Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]bijou.Record, error) {
	for {
		body, err := readLog.Do(ctx, c.c, logPlace{logPart{topic, partition}, from, limit})
		if ended := ctx.Err(); ended != nil {
			return nil, ended
		}
		if err != nil {
			return nil, err
		}
		records, err := decodeRecords(body.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read topic %s: the answer cannot be read (%w): see that both processes are of one version: %w", topic, err, bijou.Unsupported)
		}
		if len(records) > 0 {
			return records, nil
		}
	}
}

// Commit implements bijou.LogStore.
func (c *Client) Commit(ctx context.Context, group, topic string, partition int, next int64) error {
	return commitLog.Do(ctx, c.c, group, topic, partition, next)
}

// Committed implements bijou.LogStore.
func (c *Client) Committed(ctx context.Context, group, topic string, partition int) (int64, error) {
	return committedLog.Do(ctx, c.c, group, topic, partition)
}

// Partitions implements bijou.LogStore.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	return partsOfLog.Do(ctx, c.c, topic)
}
