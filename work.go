package bijou

import (
	"context"
	"encoding/json"
	"time"
)

// WorkState says how far a piece of work has come.
type WorkState string

// The states of a piece of work.
const (
	WorkWaiting WorkState = "waiting"
	WorkLeased  WorkState = "leased" // a worker has it until its lease ends
	WorkDone    WorkState = "done"
	WorkFailed  WorkState = "failed" // for good; Reason says why
)

// Work is one step in the making of an asset. Asset, Step and Version identify it: enqueued twice it is one.
type Work struct {
	ID       JobID           `json:"id"`
	Asset    AssetID         `json:"asset"`
	Title    TitleID         `json:"title"`
	Step     string          `json:"step"`    // such as "video-720" or "package"
	Version  int             `json:"version"` // of the pipeline, from 1
	State    WorkState       `json:"state"`
	Attempt  int             `json:"attempt"`  // leases taken so far
	Worker   string          `json:"worker"`   // who has or had it last
	Until    time.Time       `json:"until"`    // end of the lease
	Progress float64         `json:"progress"` // 0 to 1
	Reason   string          `json:"reason"`   // why it failed
	Input    json.RawMessage `json:"input"`    // what the step needs to know; the studio's own
	Output   json.RawMessage `json:"output"`   // what the step found out; the studio's own
	Created  time.Time       `json:"created"`
}

// WorkStore hands out work under leases. A lease that is not renewed ends, and another worker takes the work.
type WorkStore interface {
	// Enqueue adds the pieces of work that are not there yet, all or none.
	Enqueue(ctx context.Context, ws []Work) error
	// Lease gives the oldest waiting work by Created (of two as old, the one enqueued first), or one whose lease has ended at now,
	// to the worker until now+term.
	// It fails with NotFound where there is none.
	Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (Work, error)
	// Renew extends the worker's lease to now+term and notes the progress. It fails with Conflict where the worker has the work no more.
	Renew(ctx context.Context, id JobID, worker string, progress float64, term time.Duration, now time.Time) error
	// Finish ends the worker's lease with state WorkDone and the output, WorkFailed and the reason, or WorkWaiting to hand it back.
	// It fails with Conflict where the worker has the work no more.
	Finish(ctx context.Context, id JobID, worker string, end WorkEnd) error
	// WorkOf returns all work of the title, oldest first.
	WorkOf(ctx context.Context, id TitleID) ([]Work, error)
	// Unfinished returns the titles that have waiting or leased work, oldest first.
	Unfinished(ctx context.Context) ([]TitleID, error)
	// Forget removes all work of the title.
	Forget(ctx context.Context, id TitleID) error
}

// WorkEnd says how a lease ended.
type WorkEnd struct {
	State  WorkState
	Output json.RawMessage
	Reason string
}
