package operators

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"bijou"
)

// AuditDeps are what an Audit works with.
type AuditDeps struct {
	Store  bijou.AuditStore
	Config Config
	Now    func() time.Time
	Log    *slog.Logger
}

// Audit notes what operators do. It implements rpc.Auditor, by which every method that needs an operator's role comes here.
type Audit struct {
	AuditDeps
	noted atomic.Int64
}

// NewAudit assembles an Audit.
func NewAudit(d AuditDeps) *Audit { return &Audit{AuditDeps: d} }

// pruneEvery is after how many actions the log is shortened, besides every hour.
const pruneEvery = 1000

// Begin implements rpc.Auditor.
func (a *Audit) Begin(ctx context.Context, x bijou.Action) (int64, error) {
	if a.noted.Add(1)%pruneEvery == 0 {
		a.prune(ctx)
	}
	x.At = a.Now().UTC()
	return a.Store.BeginAction(ctx, x)
}

// End implements rpc.Auditor.
func (a *Audit) End(ctx context.Context, seq int64, outcome bijou.Outcome, says string) error {
	return a.Store.EndAction(ctx, seq, a.Now().UTC(), outcome, says)
}

// Run shortens the log every hour until ctx ends.
func (a *Audit) Run(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		a.prune(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *Audit) prune(ctx context.Context) {
	gone, err := a.Store.PruneActions(ctx, a.Now().Add(-a.Config.AuditRetainFor), int64(a.Config.AuditRetain))
	switch {
	case err != nil && ctx.Err() == nil:
		a.Log.Warn("audit log is not shortened, which is tried again", "error", err)
	case gone > 0:
		a.Log.Info("audit log shortened", "lines", gone)
	}
}

// Actions returns a page of the audit log, latest first.
func (s *Service) Actions(ctx context.Context, in ActionsQuery) (ActionPage, error) {
	q := bijou.ActionQuery{Name: in.User, Before: in.Before, Limit: in.Limit}
	if q.Limit == 0 {
		q.Limit = 100
	}
	if in.Since != "" {
		var err error
		if q.Since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return ActionPage{}, fmt.Errorf("since is %q: write a time such as 2026-03-04T12:00:00Z: %w", in.Since, bijou.Invalid)
		}
	}
	q.Limit++ // one more tells whether there is another page
	all, err := s.Audit.Store.Actions(ctx, q)
	if err != nil {
		return ActionPage{}, err
	}
	page := ActionPage{Actions: all}
	if len(all) == q.Limit {
		page.Actions = all[:q.Limit-1]
		page.Next = page.Actions[q.Limit-2].Seq
	}
	return page, nil
}

// Verify reads the whole audit log and finds the first line that is not what was written.
func (s *Service) Verify(ctx context.Context) (bijou.AuditCheck, error) {
	return s.Audit.Store.VerifyActions(ctx)
}
