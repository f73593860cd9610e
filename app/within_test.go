package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"bijou"
	"bijou/kit/rpc"
)

// ended counts the actions that have ended.
type ended struct{ n atomic.Int32 }

func (e *ended) Begin(context.Context, bijou.Action) (int64, error) { return 1, nil }

func (e *ended) End(context.Context, int64, bijou.Outcome, string) error {
	e.n.Add(1)
	return nil
}

func TestACommandThatIsBrokenOffIsNotedBeforeTheDirectoryIsLetGo(t *testing.T) {
	audit, begun := &ended{}, make(chan struct{})
	wait := rpc.Call[struct{}, struct{}]{Verb: "POST", Path: "/wait", Needs: rpc.Operator}
	client, leave := within(audit, slog.New(slog.DiscardHandler), wait.Serve(func(ctx context.Context, _ struct{}) (struct{}, error) {
		close(begun)
		<-ctx.Done()
		return struct{}{}, ctx.Err()
	}))
	ctx, breakOff := context.WithCancel(t.Context())
	go func() {
		<-begun
		breakOff()
	}()
	_, err := wait.Do(ctx, client, struct{}{})
	if leave(); !errors.Is(err, context.Canceled) || audit.n.Load() != 1 {
		t.Errorf("got %v, and %d ends are noted, want the command's own end and one", err, audit.n.Load())
	}
}

func TestACommandLogsWhatItsAnswerDoesNotSayAndNothingElse(t *testing.T) {
	fail := rpc.Call[struct{}, struct{}]{Verb: "POST", Path: "/fail", Needs: rpc.Operator}
	for _, c := range []struct {
		err  error
		logs bool
	}{{fmt.Errorf("the disk is full: %w", bijou.Unavailable), false}, {errors.New("words of a library"), true}} {
		var log bytes.Buffer
		client, leave := within(&ended{}, slog.New(slog.NewTextHandler(&log, nil)), fail.Serve(func(context.Context, struct{}) (struct{}, error) {
			return struct{}{}, c.err
		}))
		_, err := fail.Do(t.Context(), client, struct{}{})
		leave()
		if told := strings.Contains(err.Error(), bijou.Sentence(c.err)); told == c.logs || strings.Contains(log.String(), bijou.Sentence(c.err)) != c.logs {
			t.Errorf("%v: the answer is %v and the log %q, want it in one of them", c.err, err, log.String())
		}
	}
}
