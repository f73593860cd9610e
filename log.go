package bijou

import (
	"context"
	"fmt"
	"strings"
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

// MaxAppend bounds the records of one Append together, in bytes: keys and values, and recordOverhead for each record.
const MaxAppend = 16 << 20

const recordOverhead = 16

// LogStore keeps topics: partitions of records in the order in which they were appended, and how far each group of consumers has read.
// A topic exists from its first use; its number of partitions is the store's configuration. Names of topics and groups are as CheckLogName has it.
type LogStore interface {
	// Append adds the records to the partition, together and in order, and returns the offset of the first. Once it returns,
	// they survive a kill. It fails with Invalid for a partition out of range and for what CheckRecords refuses, and with Exhausted when space ends.
	// After another failure they may be there all the same: whoever appends them again has them twice, which readers must bear.
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

// Retention says how much of a topic is kept.
type Retention struct {
	Bytes int64         // what is oldest goes first; 0 keeps all
	Age   time.Duration // how long a record is kept at least; 0 keeps it for ever
	// Partitions is how many of the topic's partitions hold records, where not all do: a store that bounds each shares Bytes among so many.
	Partitions int
}

// CheckRecords refuses, as Invalid, what no LogStore appends: no records, one over MaxRecord, or more than MaxAppend. Else it returns their size
// as MaxAppend counts it.
func CheckRecords(topic string, records []Record) (size int64, err error) {
	if len(records) == 0 {
		return 0, fmt.Errorf("append to topic %s: there are no records: %w", topic, Invalid)
	}
	for i, r := range records {
		own := len(r.Key) + len(r.Value)
		if own > MaxRecord {
			return 0, fmt.Errorf("append to topic %s: record %d has %d bytes and may have %d: %w", topic, i, own, MaxRecord, Invalid)
		}
		size += int64(own) + recordOverhead
	}
	if size > MaxAppend {
		return 0, fmt.Errorf("append to topic %s: the records have %d bytes together and may have %d: append them in parts: %w", topic, size, MaxAppend, Invalid)
	}
	return size, nil
}

// CheckLogName refuses, as Invalid, what is no name of a topic or a group: what says which of them it is.
func CheckLogName(what, name string) error {
	bad := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != ""
	if name == "" || len(name) > 100 || bad || name[0] == '.' {
		return fmt.Errorf("%s %.40q: a name has 1 to 100 lower-case letters, digits, hyphens, underscores and dots, and does not begin with a dot: %w", what, name, Invalid)
	}
	return nil
}
