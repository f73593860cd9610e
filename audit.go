package bijou

import (
	"context"
	"time"
)

// Outcome is how an action ended.
type Outcome string

// How actions end. The empty outcome is that of an action in work, or of one whose process died.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeRefused Outcome = "refused" // who asked may not do this
	OutcomeFailed  Outcome = "failed"
)

// Action is one entry of the audit log: what an operator did, or tried to.
type Action struct {
	Seq      int64             `json:"seq" doc:"Its number in the log."`
	At       time.Time         `json:"at"`
	Operator OperatorID        `json:"operator,omitempty" doc:"Who: an operator, local for the service's own machine, or absent for who had not signed in yet."`
	Name     string            `json:"name,omitempty"`
	Role     OperatorRole      `json:"role,omitempty"`
	Address  string            `json:"address,omitempty" doc:"From where: an IP address, or absent for a command on the data directory itself."`
	Method   string            `json:"method" doc:"What was done, such as DELETE /api/v1/studio/titles/{id}."`
	On       map[string]string `json:"on,omitempty" doc:"On what. Never a secret."`
	Outcome  Outcome           `json:"outcome" enum:",ok,refused,failed" doc:"Empty while it is in work, and for good where the process died meanwhile."`
	Says     string            `json:"says,omitempty" doc:"Why it was refused or failed."`
}

// ActionQuery asks for entries of the audit log.
type ActionQuery struct {
	Since  time.Time // not before; the zero time asks for all
	Name   string    // of the operator; empty asks for all
	Before int64     // entries with lower numbers only; 0 asks for the latest
	Limit  int       // at most so many
}

// AuditCheck is what reading the whole audit log found.
type AuditCheck struct {
	First   int64  `json:"first" doc:"Number of the oldest line that is kept; what is older was removed after its time."`
	Last    int64  `json:"last"`
	Lines   int64  `json:"lines" doc:"An action has two: its beginning and its end."`
	Hash    string `json:"hash" doc:"Of the last line, which holds that of the line before it, and so on. Keep it elsewhere: a log that was rewritten has another."`
	Altered int64  `json:"altered,omitempty" doc:"Number of the first line that is not what was written; absent where none was found."`
}

// AuditStore keeps what operators did: lines that are added and never changed, each with a hash of itself and the line before it.
type AuditStore interface {
	// BeginAction notes that an action begins, and returns its number. The action's own Seq, Outcome and Says are not read.
	BeginAction(ctx context.Context, a Action) (int64, error)
	// EndAction notes how the action ended. It fails with NotFound for a number that no action has, and with Conflict for one that has ended.
	EndAction(ctx context.Context, seq int64, at time.Time, outcome Outcome, says string) error
	// Actions returns actions with how they ended, latest first.
	Actions(ctx context.Context, q ActionQuery) ([]Action, error)
	// VerifyActions reads every line and finds the first that is not what was written.
	VerifyActions(ctx context.Context) (AuditCheck, error)
	// PruneActions removes what is older than before, and then the oldest until the lines take no more than maxBytes. It returns how many lines went.
	PruneActions(ctx context.Context, before time.Time, maxBytes int64) (int64, error)
}
