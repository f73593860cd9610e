package bijou

import (
	"context"
	"time"
)

// Record is one entry of a log partition.
type Record struct {
	Offset int64     // place in the partition, from 0; set by the store
	At     time.Time // when it was appended, to the millisecond; set by the store
	Key    []byte    // what it is about; may be empty
	Value  []byte
}

// MaxRecord bounds a record's key and value together, in bytes.
const MaxRecord = 1 << 20

// LogStore keeps topics: partitions of records in the order in which they were appended, and how far each group of consumers has read.
// A topic exists from its first use; its number of partitions is the store's configuration.
type LogStore interface {
	// Append adds the records to the partition, together and in order, and returns the offset of the first. Once it returns,
	// they survive a kill. It fails with Invalid for a partition out of range or a record over MaxRecord, and with Exhausted when space ends.
	Append(ctx context.Context, topic string, partition int, records []Record) (first int64, err error)
	// Read returns at most limit records from the offset on. It waits for the first one; when ctx ends before that it returns ctx's error.
	// Where retention has removed the offset, it goes on with the earliest record kept.
	Read(ctx context.Context, topic string, partition int, from int64, limit int) ([]Record, error)
	// Commit notes that the group has dealt with all records before next. Once it returns, that survives a kill.
	Commit(ctx context.Context, group, topic string, partition int, next int64) error
	// Committed returns what the group committed last; 0 where it never did.
	Committed(ctx context.Context, group, topic string, partition int) (next int64, err error)
	// Partitions returns the topic's number of partitions, at least 1.
	Partitions(ctx context.Context, topic string) (int, error)
}
