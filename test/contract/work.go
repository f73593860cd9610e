package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"bijou"
)

// WorkStore checks what bijou.WorkStore promises. open returns a store that holds nothing.
func WorkStore(t *testing.T, open func(t *testing.T) bijou.WorkStore) {
	run(t, open, "WorkIsLeasedOldestFirst", workOrder)
	run(t, open, "WorkEnqueuedTwiceIsOne", workTwice)
	run(t, open, "AllIsEnqueuedOrNone", workAllOrNone)
	run(t, open, "ALeaseThatIsNotRenewedEnds", workLapses)
	run(t, open, "ARenewedLeaseHolds", workRenewed)
	run(t, open, "WhoLostTheWorkCanNeitherRenewNorFinishIt", workLost)
	run(t, open, "WorkEndsAsItsWorkerSays", workEnds)
	run(t, open, "WorkOfATitleComesOldestFirst", workOf)
	run(t, open, "UnfinishedTitlesComeOldestFirst", workUnfinished)
	run(t, open, "ForgottenWorkIsGone", workForget)
	run(t, open, "OfManyWorkersOneGetsEachPiece", workTogether)
}

func piece(n int) bijou.Work {
	return bijou.Work{
		ID: bijou.JobID(fmt.Sprintf("job_%d", n)), Asset: "ast_1", Title: "ttl_1", Step: fmt.Sprintf("video-%d", n), Version: 1,
		State: bijou.WorkWaiting, Input: json.RawMessage(fmt.Sprintf(`{"n": %d}`, n)), Created: noon,
	}
}

func enqueue(t *testing.T, s bijou.WorkStore, ws ...bijou.Work) {
	t.Helper()
	must(t, "enqueue", s.Enqueue(t.Context(), ws))
}

func lease(t *testing.T, s bijou.WorkStore, worker string, now time.Time) bijou.Work {
	t.Helper()
	w, err := s.Lease(t.Context(), worker, time.Minute, now)
	must(t, "lease", err)
	return w
}

func wantNoWork(t *testing.T, s bijou.WorkStore, now time.Time) {
	t.Helper()
	w, err := s.Lease(t.Context(), "nobody", time.Minute, now)
	wantKind(t, fmt.Sprintf("lease, which gave %+v", w), err, bijou.NotFound)
}

func wantWork(t *testing.T, s bijou.WorkStore, title bijou.TitleID, want ...bijou.Work) {
	t.Helper()
	got, err := s.WorkOf(t.Context(), title)
	must(t, "work of "+string(title), err)
	wantSame(t, "work of "+string(title), got, want)
}

// leased is how the work looks while the worker has it.
func leased(w bijou.Work, worker string, attempt int, until time.Time) bijou.Work {
	w.State, w.Worker, w.Attempt, w.Until = bijou.WorkLeased, worker, attempt, until
	return w
}

func workOrder(t *testing.T, s bijou.WorkStore) {
	wantNoWork(t, s, noon)
	enqueue(t, s, piece(3), piece(1))
	enqueue(t, s, piece(2))
	for _, n := range []int{3, 1, 2} {
		wantSame(t, "leased work", lease(t, s, "ada", noon), leased(piece(n), "ada", 1, noon.Add(time.Minute)))
	}
	older := piece(4)
	older.Title, older.Asset, older.Created = "ttl_2", "ast_2", noon.Add(-time.Second)
	enqueue(t, s, piece(5), older)
	for _, want := range []bijou.Work{older, piece(5)} {
		if got := lease(t, s, "ada", noon); got.ID != want.ID {
			t.Errorf("lease with older work enqueued last: got %s, want %s", got.ID, want.ID)
		}
	}
	wantNoWork(t, s, noon)
	wantWork(t, s, "ttl_1", leased(piece(3), "ada", 1, noon.Add(time.Minute)),
		leased(piece(1), "ada", 1, noon.Add(time.Minute)), leased(piece(2), "ada", 1, noon.Add(time.Minute)),
		leased(piece(5), "ada", 1, noon.Add(time.Minute)))
}

func workTwice(t *testing.T, s bijou.WorkStore) {
	enqueue(t, s, piece(1))
	again := piece(9)
	again.Step = piece(1).Step
	enqueue(t, s, piece(1), again, piece(2))
	wantWork(t, s, "ttl_1", piece(1), piece(2))
	w := lease(t, s, "ada", noon)
	must(t, "finish", s.Finish(t.Context(), w.ID, "ada", bijou.WorkEnd{State: bijou.WorkDone}))
	enqueue(t, s, piece(1))
	if got := lease(t, s, "ada", noon); got.ID != "job_2" {
		t.Errorf("lease after finished work was enqueued again: got %s, want job_2", got.ID)
	}
	wantNoWork(t, s, noon)
	other := piece(3) // another version of the pipeline is another piece of work
	other.Step, other.Version = piece(1).Step, 2
	enqueue(t, s, other)
	wantSame(t, "work of the next version", lease(t, s, "ada", noon).ID, other.ID)
}

func workAllOrNone(t *testing.T, s bijou.WorkStore) {
	enqueue(t, s, piece(1))
	taken := piece(3)
	taken.ID = "job_1" // belongs to other work already
	if err := s.Enqueue(t.Context(), []bijou.Work{piece(2), taken}); err == nil {
		t.Errorf("enqueue work with another's identifier: got no error, want one")
	}
	wantWork(t, s, "ttl_1", piece(1))
	enqueue(t, s)
	wantWork(t, s, "ttl_1", piece(1))
}

func workLapses(t *testing.T, s bijou.WorkStore) {
	enqueue(t, s, piece(1), piece(2))
	lease(t, s, "ada", noon)
	wantSame(t, "work while the first is leased", lease(t, s, "bob", noon).ID, bijou.JobID("job_2"))
	wantNoWork(t, s, noon.Add(time.Minute-time.Millisecond))
	late := noon.Add(time.Minute)
	wantSame(t, "work whose lease has ended", lease(t, s, "cyd", late), leased(piece(1), "cyd", 2, late.Add(time.Minute)))
}

func workRenewed(t *testing.T, s bijou.WorkStore) {
	enqueue(t, s, piece(1))
	lease(t, s, "ada", noon)
	now := noon.Add(50 * time.Second)
	must(t, "renew", s.Renew(t.Context(), "job_1", "ada", 0.25, 2*time.Minute, now))
	want := leased(piece(1), "ada", 1, now.Add(2*time.Minute))
	want.Progress = 0.25
	wantWork(t, s, "ttl_1", want)
	wantNoWork(t, s, now.Add(2*time.Minute-time.Millisecond))
	wantSame(t, "worker after it ended", lease(t, s, "bob", now.Add(2*time.Minute)).Worker, "bob")
}

func workLost(t *testing.T, s bijou.WorkStore) {
	enqueue(t, s, piece(1))
	late := noon.Add(time.Hour)
	refused := func(what, worker string, id bijou.JobID) {
		t.Helper()
		wantKind(t, "renew "+what, s.Renew(t.Context(), id, worker, 0.5, time.Minute, late), bijou.Conflict)
		for _, state := range []bijou.WorkState{bijou.WorkDone, bijou.WorkFailed, bijou.WorkWaiting} {
			wantKind(t, fmt.Sprintf("finish as %s %s", state, what), s.Finish(t.Context(), id, worker, bijou.WorkEnd{State: state}), bijou.Conflict)
		}
	}
	refused("work that nobody leased", "ada", "job_1")
	refused("unknown work", "ada", "job_none")
	lease(t, s, "ada", noon)
	refused("another's work", "bob", "job_1")
	lease(t, s, "bob", late)
	refused("work that another took over", "ada", "job_1")
	wantWork(t, s, "ttl_1", leased(piece(1), "bob", 2, late.Add(time.Minute)))
	must(t, "finish", s.Finish(t.Context(), "job_1", "bob", bijou.WorkEnd{State: bijou.WorkDone}))
	refused("finished work", "bob", "job_1")
}

func workEnds(t *testing.T, s bijou.WorkStore) {
	enqueue(t, s, piece(1), piece(2), piece(3))
	for range 3 {
		lease(t, s, "ada", noon)
	}
	out := json.RawMessage(`{"frames": 100}`)
	must(t, "finish", s.Finish(t.Context(), "job_1", "ada", bijou.WorkEnd{State: bijou.WorkDone, Output: out}))
	must(t, "finish", s.Finish(t.Context(), "job_2", "ada", bijou.WorkEnd{State: bijou.WorkFailed, Reason: "no picture"}))
	must(t, "finish", s.Finish(t.Context(), "job_3", "ada", bijou.WorkEnd{State: bijou.WorkWaiting, Reason: "shutting down"}))
	got, err := s.WorkOf(t.Context(), "ttl_1")
	must(t, "work of", err)
	if len(got) != 3 {
		t.Fatalf("work of the title: got %d pieces, want 3", len(got))
	}
	wantSame(t, "state of the done work", got[0].State, bijou.WorkDone)
	wantSame(t, "its output", string(got[0].Output), string(out))
	wantSame(t, "state of the failed work", got[1].State, bijou.WorkFailed)
	wantSame(t, "its reason", got[1].Reason, "no picture")
	wantSame(t, "state of the work handed back", got[2].State, bijou.WorkWaiting)
	// What was handed back can be leased at once; what ended never again.
	w := lease(t, s, "bob", noon)
	wantSame(t, "leased work", []any{w.ID, w.Attempt}, []any{bijou.JobID("job_3"), 2})
	must(t, "finish", s.Finish(t.Context(), "job_3", "bob", bijou.WorkEnd{State: bijou.WorkDone}))
	wantNoWork(t, s, noon.Add(1000*time.Hour))
}

func workOf(t *testing.T, s bijou.WorkStore) {
	var first, second []bijou.Work
	for n := range 6 {
		w := piece(10 - n)
		if n%2 == 0 {
			w.Title = "ttl_2"
			second = append(second, w)
		} else {
			first = append(first, w)
		}
		enqueue(t, s, w)
	}
	wantWork(t, s, "ttl_1", first...)
	wantWork(t, s, "ttl_2", second...)
	wantWork(t, s, "ttl_3")
}

func workUnfinished(t *testing.T, s bijou.WorkStore) {
	unfinished := func(want ...bijou.TitleID) {
		t.Helper()
		got, err := s.Unfinished(t.Context())
		must(t, "unfinished", err)
		wantSame(t, "unfinished titles", got, want)
	}
	unfinished()
	for n, title := range []bijou.TitleID{"ttl_c", "ttl_a", "ttl_c", "ttl_b"} {
		w := piece(n)
		w.Title = title
		enqueue(t, s, w)
	}
	unfinished("ttl_c", "ttl_a", "ttl_b")
	end := func(id bijou.JobID, state bijou.WorkState) {
		t.Helper()
		if w := lease(t, s, "ada", noon); w.ID != id {
			t.Fatalf("lease: got %s, want %s", w.ID, id)
		}
		unfinished2, err := s.Unfinished(t.Context())
		must(t, "unfinished", err)
		if len(unfinished2) == 0 {
			t.Errorf("unfinished titles while %s is leased: got none", id)
		}
		must(t, "finish", s.Finish(t.Context(), id, "ada", bijou.WorkEnd{State: state}))
	}
	end("job_0", bijou.WorkDone)
	unfinished("ttl_a", "ttl_c", "ttl_b")
	end("job_1", bijou.WorkFailed)
	unfinished("ttl_c", "ttl_b")
	end("job_2", bijou.WorkDone)
	end("job_3", bijou.WorkDone)
	unfinished()
}

func workForget(t *testing.T, s bijou.WorkStore) {
	other := piece(3)
	other.Title, other.Asset = "ttl_2", "ast_2"
	enqueue(t, s, piece(1), piece(2), other)
	lease(t, s, "ada", noon)
	must(t, "forget", s.Forget(t.Context(), "ttl_1"))
	must(t, "forget again", s.Forget(t.Context(), "ttl_1"))
	wantWork(t, s, "ttl_1")
	wantKind(t, "renew forgotten work", s.Renew(t.Context(), "job_1", "ada", 0, time.Minute, noon), bijou.Conflict)
	wantSame(t, "work that is left", lease(t, s, "ada", noon).ID, other.ID)
	wantNoWork(t, s, noon)
	enqueue(t, s, piece(1)) // it is new again
	wantSame(t, "work enqueued after it was forgotten", lease(t, s, "ada", noon).ID, piece(1).ID)
}

func workTogether(t *testing.T, s bijou.WorkStore) {
	const pieces = 40
	for n := range pieces {
		enqueue(t, s, piece(n))
	}
	var mu sync.Mutex
	got := map[bijou.JobID]int{}
	together(8, func(i int) {
		for {
			w, err := s.Lease(t.Context(), fmt.Sprint("worker-", i), time.Minute, noon)
			if errors.Is(err, bijou.NotFound) {
				return
			}
			if err != nil {
				t.Errorf("lease: %v", err)
				return
			}
			mu.Lock()
			got[w.ID]++
			mu.Unlock()
		}
	})
	for n := range pieces {
		if times := got[piece(n).ID]; times != 1 {
			t.Errorf("work %s was leased %d times, want once", piece(n).ID, times)
		}
	}
}
