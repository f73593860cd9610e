package rpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"bijou"
	"bijou/kit/watch"
)

const (
	// keepAlive is the time between two comments on a stream that has nothing to say: proxies end connections that are silent for a minute.
	keepAlive = 15 * time.Second
	// sendTimeout bounds the writing of one event: a client that takes nothing for so long is gone.
	sendTimeout = 30 * time.Second
	// maxEvent bounds one line of a stream at the client, in bytes.
	maxEvent = 4 << 20
)

// eventWriter sends the events of one answer.
type eventWriter struct {
	mu    sync.Mutex // events and keep-alives come from two goroutines
	w     *response
	ctl   *http.ResponseController
	fill  *emptier
	begun bool
	err   error // the first failure to write
}

// stream answers with the events that work sends, with a comment now and then, and with how it ended.
func (w *response) stream(r *http.Request, fill *emptier, work func(context.Context, *eventWriter) error) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	e := &eventWriter{w: w, ctl: http.NewResponseController(w), fill: fill}
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(keepAlive)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if e.comment() != nil {
					cancel() // the client is gone: so may the work
					return
				}
			}
		}
	})
	err := func() (err error) {
		defer wg.Wait() // before the answer's end, also where work panics
		defer cancel()
		return work(ctx, e)
	}()
	if err == nil {
		err = r.Context().Err() // work that ends with its context has not said all
	}
	err = settle(r.Context(), err)
	switch {
	case e.failed() != nil:
		w.left = true // nobody is left to tell
		return nil
	case !e.hasBegun() && err != nil:
		return err
	case err == nil:
		_ = e.named("end", struct{}{}) // the client may have gone; nobody is left to tell
		return nil
	case gone(r, err):
		w.left = true
		return nil
	}
	return e.tell(r, err)
}

// tell sends the failure as the stream's last event and returns it.
func (e *eventWriter) tell(r *http.Request, err error) error {
	p := problemOf(err, bijou.CallerOf(r.Context()), watch.RequestIDOf(r.Context()))
	_ = e.named("error", p) // the client may have gone; nobody is left to tell
	e.w.told = true
	return err
}

func (e *eventWriter) hasBegun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begun
}

func (e *eventWriter) failed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// send sends one event without a name.
func (e *eventWriter) send(v any) error {
	var buf bytes.Buffer
	buf.WriteString("data: ")
	if err := encodeJSON(&buf, e.fill.fill(v)); err != nil { // one line: JSON has no raw newlines
		return fmt.Errorf("write an event as JSON: %w", err)
	}
	buf.WriteByte('\n')
	return e.write(buf.Bytes())
}

func (e *eventWriter) named(name string, v any) error {
	var buf bytes.Buffer
	buf.WriteString("event: " + name + "\ndata: ")
	if err := encodeJSON(&buf, v); err != nil {
		return err
	}
	buf.WriteByte('\n')
	return e.write(buf.Bytes())
}

// comment keeps the connection alive, unless an event is being written, which does that too.
func (e *eventWriter) comment() error {
	if !e.mu.TryLock() {
		return nil
	}
	defer e.mu.Unlock()
	return e.locked([]byte(": still here\n\n"))
}

func (e *eventWriter) write(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.locked(b)
}

// locked sends b at once. After the first failure it does nothing but repeat it.
func (e *eventWriter) locked(b []byte) error {
	if e.err != nil {
		return e.err
	}
	if !e.begun {
		e.begun = true
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // proxies that know it pass each event on at once
		e.w.WriteHeader(http.StatusOK)
	}
	// A writer without deadlines, as in a test, has no connection that could hang.
	_ = e.ctl.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err := e.w.Write(b)
	if err == nil {
		err = e.ctl.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		e.err = fmt.Errorf("the client takes no more events (%v): %w", err, context.Canceled)
	}
	return e.err
}

// readEvents hands each event of a stream to each, with its name; an event without a name has the empty one.
// It returns io.ErrUnexpectedEOF where the stream ends without each having failed: its proper end is an event too.
func readEvents(r io.Reader, each func(name string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	var name string
	var data []byte
	var some bool
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 { // the end of an event
			if some {
				if err := each(name, data); err != nil {
					return err
				}
			}
			name, data, some = "", nil, false
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if some {
				data = append(data, '\n')
			}
			data, some = append(data, value...), true
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
