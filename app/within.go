package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"bijou"
	"bijou/kit/rpc"
	"bijou/kit/watch"
)

// within returns a client of methods in this process, for the command line on a data directory that no service holds: what it asks is permitted,
// checked and audited as if it came to a service. Who leaves waits until what was asked has ended.
func within(audit rpc.Auditor, log *slog.Logger, routes ...rpc.Route) (client *rpc.Client, leave func()) {
	local, err := json.Marshal(bijou.LocalCaller)
	if err != nil {
		panic(err) // a caller is plain text
	}
	h := rpc.Handler(rpc.Deps{Log: log, Audit: audit}, routes...)
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // the client hears of it
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set(rpc.CallerHeader, string(local))
			ctx, failure := watch.Noting(r.Context())
			told := false // until the answer has come to its end
			defer func() {
				if err := failure(); err != nil && (!told || bijou.KindOf(err) == "") {
					log.Error("the command failed", "error", err) // these words are in no answer
				}
			}()
			h.ServeHTTP(w, r.WithContext(ctx))
			told = true
		}),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // it ends when it is closed
	}()
	client = rpc.NewClient("http://within", rpc.WithHTTP(&http.Client{Transport: &http.Transport{DialContext: l.dial}}))
	return client, func() {
		client.Close()
		end, cancel := context.WithTimeout(context.Background(), lastWords)
		defer cancel()
		if srv.Shutdown(end) != nil {
			_ = srv.Close() // what still works has had its time
		}
		<-ended
	}
}

// pipes is a listener whose connections come from this process alone.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "within", Net: "pipe"} }
